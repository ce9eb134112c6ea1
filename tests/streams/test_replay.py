"""A span of a topic runs again: by the time of each record, whatever order they came in."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from lakehouse.errors import RecoveryError
from lakehouse.recovery.replay import replay, span
from lakehouse.runtime.workplace import prepare

TABLE, ASIDE = "bronze.events", "quarantine.bronze_events"


def test_the_records_of_a_span_come_in_again_and_leave_the_quarantine(workshop, kafka, topic, produce):
    name, begin = topic(), datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

    def send(*messages: tuple[int, int, float]) -> None:
        for id, n, second in messages:
            at = int((begin.timestamp() + second) * 1000)
            produce(name, [{"value": json.dumps({"id": id, "n": n}), "timestamp": at}])

    def job(kind: str) -> None:
        source = f"kind: kafka, bootstrap_servers: '{kafka.servers}', topics: {name}, value: json"
        contract = f"contract: {{columns: {{id: bigint not null, n: {kind}}}}}"
        write = f"table: {TABLE}, mode: append, identity: source, evolve: widen"
        workshop.job("events", f"sources: {{events: {{{source}, {contract}}}}}\nwrite: {{{write}}}\n")

    def again(first: float, last: float, **more):
        times = [(begin + timedelta(seconds=at)).isoformat() for at in (first, last)]
        work = prepare("events", lake=str(workshop.folder), root=workshop.project)
        report = replay(work, span(*times), spark=workshop.spark, **more)
        if report.error:
            raise report.error
        return report

    big = 3_000_000_000
    send((1, 1, 1.0), (2, big, 2.0), (3, big, 5.0), (4, 4, 1.5), (5, 5, 0.5))
    job("int")
    workshop.run("events")
    job("bigint")
    rows = again(1, 3).run.rows
    assert (rows.read, rows.inserted, rows.duplicates) == (3, 1, 2)
    assert workshop.rows(TABLE, "id", "n") == [(1, 1), (2, big), (4, 4), (5, 5)]
    marks = workshop.rows(ASIDE, "source.offset", "outcome")
    assert marks == [(1, "replayed"), (2, None)]
    # a record of that time that the job has not read would come twice
    send((6, 6, 2.5))
    with pytest.raises(RecoveryError, match="has not read all") as refused:
        again(1, 3)
    assert "run the job first" in refused.value.hint
    workshop.run("events")
    # what retention took may have been of the span
    admin = AdminClient({"bootstrap.servers": kafka.servers, "log_level": 2})
    (cut,) = admin.delete_records([TopicPartition(name, 0, 2)]).values()
    cut.result(30)
    time.sleep(0.2)
    with pytest.raises(RecoveryError, match="before offset 2") as refused:
        again(1, 3)
    assert "--allow-missing" in refused.value.hint
    report = again(1, 3, allow_missing=True)
    assert (report.found.missing, report.run.rows.read, report.run.rows.duplicates) == (1, 2, 2)
    assert len(workshop.rows(TABLE)) == 5
