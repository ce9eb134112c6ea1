"""What was put aside comes in after a fix: once, at its place in the order, and whatever is killed in between."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from lakehouse.check import quarantine
from lakehouse.errors import ConfigError, LockedError, SourceNotFoundError, TransformError
from lakehouse.runtime.lock import held
from lakehouse.runtime.requeue import Report, requeue, writers

NARROW = "id: bigint not null, n: int"
WIDE = "id: bigint not null, n: bigint"
WIDER = "id: bigint not null, n: bigint, more: string"
APPEND = "mode: append, identity: source, evolve: widen"
TARGET, ASIDE = "bronze.events", "quarantine.bronze_events"


class KilledError(BaseException):
    """Stands for a kill: nothing of the library catches it, so nothing is tidied up."""


@pytest.fixture
def stream(workshop, kafka):
    """Write the job of a topic into ``bronze.events``; it is run by its name."""
    kafka.resume()
    kafka.start()

    def make(topic: str, columns: str = NARROW, *words: str, write: str = APPEND, code: str | None = None) -> str:
        more = "".join(f"    {word}\n" for word in words)
        text = (
            f"sources:\n  events:\n    kind: kafka\n    bootstrap_servers: '{kafka.servers}'\n    topics: {topic}\n"
            f"    value: json\n{more}    contract: {{columns: {{{columns}}}}}\nwrite: {{table: {TARGET}, {write}}}\n"
        )
        return workshop.job("bronze_events", text, code)

    return make


@pytest.fixture
def again(workshop):
    """Requeue what is in quarantine, and raise what was wrong."""

    def call(where: str | None = None, table: str = TARGET, **more: Any) -> Report:
        works = writers(table, root=workshop.project, lake=str(workshop.folder))
        report = requeue(works, where=where, spark=workshop.spark, **more)
        if report.error:
            raise report.error
        return report

    return call


def event(number: int, **more: Any) -> str:
    return json.dumps({"id": number, **more})


def places(workshop, table: str, column: str, which: str = "true") -> list[tuple[int, int]]:
    if workshop.version(table) is None:
        return []
    found = workshop.frame(table).where(which).select(f"{column}.partition", f"{column}.offset").collect()
    return sorted(map(tuple, found))


def aside(workshop) -> list[tuple[int, int]]:
    """The places of the messages that are still in quarantine; the table of an older version has no marks."""
    if workshop.version(ASIDE) is None:
        return []
    which = quarantine.OPEN if "requeue" in workshop.frame(ASIDE).columns else "true"
    return places(workshop, ASIDE, "source", which)


def everything_is_somewhere_once(workshop, sent: list[tuple[int, int]]) -> None:
    assert sorted(places(workshop, TARGET, "_source") + aside(workshop)) == sorted(sent)


def test_what_could_not_be_decoded_comes_in_after_a_fix_and_what_is_still_wrong_stays(
    workshop, stream, topic, produce, again
):
    name = topic(partitions=2)
    bad = [event(2, n=3_000_000_000), event(3, more="x"), "{", None]
    sent = produce(name, [event(1, n=1), *[{"value": value, "key": "k", "headers": {"h": "1"}} for value in bad]])
    workshop.run(stream(name))
    assert len(aside(workshop)) == 4
    job = stream(name, WIDER)
    report = again()
    (run,) = report.runs
    assert [(one.job, one.rows, one.refused) for one in report.found] == [(job, 4, None)]
    assert (run.rows.read, run.rows.accepted, run.rows.quarantined, run.rows.inserted) == (4, 2, 2, 2)
    everything_is_somewhere_once(workshop, sent)
    assert sorted(aside(workshop)) == sorted(sent[3:])
    assert workshop.rows(TARGET, "id", "n", "more") == [(1, 1, None), (2, 3_000_000_000, None), (3, None, "x")]
    (row,) = workshop.frame(TARGET).where("id = 3").collect()
    assert (row._source.topic, row._source.run_id, bytes(row._kafka.key)) == (name, run.run_id, b"k")
    assert [(one.key, bytes(one.value)) for one in row._kafka.headers] == [("h", b"1")]
    # the old rows say what became of them, the new ones why they are still here
    marks = workshop.rows(ASIDE, "requeue", "outcome")
    assert marks == [*[(run.run_id, "requeued")] * 4, *[(None, None)] * 2]
    new = workshop.frame(ASIDE).where("requeue IS NULL").select("code", "run_id", "stream", "received").collect()
    assert {row.code for row in new} == {"MALFORMED_JSON", "EMPTY_MESSAGE"}
    assert {(row.run_id, row.stream) for row in new} == {(run.run_id, f"requeue/{run.run_id}")}
    assert {row.received.value and bytes(row.received.value) for row in new} == {b"{", None}
    (told,) = workshop.frame("ops.runs").where("stream LIKE 'requeue/%'").collect()
    assert (told.event, told.job, told.read, told.quarantined, told.inserted) == ("batch", job, 4, 2, 2)
    inputs = {"requeue": run.run_id, "quarantine": ASIDE, "rows": 4}
    assert json.loads(told.inputs) == {"events": inputs}
    # once more: the target has what it can have
    version = workshop.version(TARGET)
    (run,) = again().runs
    assert (run.rows.read, run.rows.quarantined, workshop.version(TARGET)) == (2, 2, version)
    everything_is_somewhere_once(workshop, sent)
    assert workshop.run(job).batches == 0
    # a rebuild reads all of it again, so what requeues put aside is none of it any more
    workshop.run(job, full_refresh=True)
    everything_is_somewhere_once(workshop, sent)
    assert workshop.frame(ASIDE).count() == 2


def test_a_condition_chooses_and_a_dry_run_changes_nothing(workshop, stream, topic, produce, again, monkeypatch):
    """Of a quarantine of an older version, too, which has no marks yet."""
    name = topic()
    sent = produce(name, [event(number, n=3_000_000_000) for number in range(4)])
    older = {kind: value for kind, value in quarantine._COLUMNS.items() if kind not in quarantine._MARKS}
    with monkeypatch.context() as patched:
        patched.setattr(quarantine, "_COLUMNS", older)
        workshop.run(stream(name))
    stream(name, WIDE)
    version = workshop.version(ASIDE)
    report = again("source.offset < 2 -- the first", dry_run=True)
    assert [(one.rows, one.refused) for one in report.found] == [(2, None)]
    assert (report.runs, workshop.version(ASIDE), workshop.version(TARGET)) == ((), version, None)
    for condition, told in {
        "ofset < 2": "no column 'ofset'",
        "source.ofset < 2": "ofset",
        "code =": "not an SQL expression",
        "true) OR (true": "not an SQL expression",
        "code": "it is string, not true or false",
        "source.offset in (select 1)": "no subqueries",
        "code = '${env:HOME}'": "holds a reference",
        "int(message) > 1": "fails on some row",
    }.items():
        with pytest.raises(ConfigError, match=f"--where .*{told}"):
            again(condition)
    assert workshop.version(ASIDE) == version
    assert "requeue" not in workshop.frame(ASIDE).columns
    assert (
        again("requeue IS NULL AND source.offset < 2 AND reasons[0] LIKE 'JSON%' -- the first").runs[0].rows.inserted
        == 2
    )
    assert [row[0] for row in workshop.rows(TARGET, "id")] == [0, 1]
    everything_is_somewhere_once(workshop, sent)
    # an overlapping one takes the rest, and only that
    assert again("source.offset >= 1").runs[0].rows.inserted == 2
    assert again().found == ()
    assert aside(workshop) == []
    everything_is_somewhere_once(workshop, sent)


@pytest.mark.parametrize("mode", ["scd1", "scd2"])
def test_what_comes_late_from_quarantine_does_not_go_over_what_is_newer(workshop, stream, topic, produce, again, mode):
    name = topic()
    write = f"mode: {mode}, keys: id, sequence_by: n, evolve: add_columns"
    produce(name, [event(1, n=1), event(1, n=2, more="between"), event(1, n=3), event(2, n=1, more="only")])
    workshop.run(stream(name, write=write))
    assert len(aside(workshop)) == 2
    stream(name, f"{NARROW}, more: string", write=write)
    rows = again().runs[0].rows
    assert (rows.read, rows.accepted) == (2, 2)
    if mode == "scd1":
        assert (rows.superseded, rows.inserted) == (1, 1)
        assert workshop.rows(TARGET, "id", "n", "more") == [(1, 3, None), (2, 1, "only")]
    else:
        assert workshop.rows(TARGET, "id", "valid_from", "valid_to", "more") == [
            (1, 1, 2, None),
            (1, 2, 3, "between"),
            (1, 3, None, None),
            (2, 1, None, "only"),
        ]
    assert aside(workshop) == []


KILLS = [
    # what is killed, whether there is something to write, and whether the target has it by then
    ("lakehouse.runtime.requeue.close", True, True),
    ("lakehouse.runtime.journal.record", True, True),
    ("lakehouse.write.commit.Plan.commit", True, False),
    ("lakehouse.runtime.requeue.close", False, False),
    ("lakehouse.runtime.journal.record", False, False),
    ("lakehouse.runtime.requeue.process", True, False),
]


def test_a_requeue_that_is_killed_anywhere_is_settled_by_the_next_one(
    workshop, stream, topic, produce, again, monkeypatch
):
    """For each kill one message that is still wrong and one that is mended; no identity would hide one added twice."""
    name, write = topic(), "mode: append, evolve: widen"
    fixable = event(0, n=3_000_000_000)
    sent = produce(name, [one for _, writes, _ in KILLS for one in ("{", fixable if writes else "[")])
    workshop.run(stream(name, write=write))
    stream(name, WIDE, write=write)

    def killed(*_, **__):
        raise KilledError

    committed = 0
    for index, (place, _, reaches) in enumerate(KILLS):
        mine = sent[2 * index : 2 * index + 2]
        with monkeypatch.context() as patched:
            patched.setattr(place, killed)
            with pytest.raises(KilledError):
                again(f"source.offset IN ({mine[0][1]}, {mine[1][1]})")
        committed += reaches
        found = places(workshop, TARGET, "_source")
        assert len(found) == committed
        assert places(workshop, ASIDE, "source", quarantine.UNFINISHED) == mine
        # the one before is settled by now
        others = [one for one in found + aside(workshop) if one not in mine]
        assert sorted(others) == sorted(one for one in sent if one not in mine)
    again()
    everything_is_somewhere_once(workshop, sent)
    assert len(workshop.rows(TARGET)) == sum(writes for _, writes, _ in KILLS)
    assert places(workshop, ASIDE, "source", quarantine.UNFINISHED) == []
    # each that reached the target is told once, and balances
    told = workshop.frame("ops.runs").where("stream LIKE 'requeue/%' AND inserted > 0")
    assert (told.count(), told.select("stream").distinct().count()) == (committed + 1, committed + 1)


def test_a_requeue_that_fails_leaves_the_rows_open(workshop, stream, topic, produce, again):
    name = topic()
    sent = produce(name, [event(1, n=3_000_000_000), "{"])
    workshop.run(stream(name))
    code = "def transform(events: DataFrame) -> DataFrame:\n    raise ValueError('not yet')\n"
    stream(name, WIDE, code=code)
    with pytest.raises(TransformError, match="not yet"):
        again()
    assert sorted(aside(workshop)) == sent
    assert workshop.frame(ASIDE).count() == 2
    failed = workshop.frame("ops.runs").where("event = 'run' AND status = 'failed'").collect()
    assert [row.error_code for row in failed] == ["TRANSFORM_FAILED"]
    (workshop.project / "jobs" / "bronze_events.py").unlink()
    with held_by_another(workshop), pytest.raises(LockedError):
        again()
    assert again().runs[0].rows.inserted == 1
    everything_is_somewhere_once(workshop, sent)


def held_by_another(workshop):
    from lakehouse.lake.place import Lake

    return held(Lake(str(workshop.folder)), "bronze_events")


def test_rows_of_a_batch_that_is_not_ended_are_left_to_the_job(workshop, stream, topic, produce, again, monkeypatch):
    """The job will judge them again, by what is right by then: they would be in the table twice."""
    name = topic()
    sent = produce(name, [event(1), event(2, n=3_000_000_000)])
    write = "mode: append, evolve: widen"
    job = stream(name, write=write)

    def fails(*_, **__):
        message = "out of luck"
        raise RuntimeError(message)

    with monkeypatch.context() as patched:
        patched.setattr("lakehouse.write.commit.Plan.commit", fails)
        with pytest.raises(Exception, match="out of luck"):
            workshop.run(job)
    stream(name, WIDE, write=write)
    report = again()
    assert [(one.rows, one.refused) for one in report.found] == [
        (1, "its batch was begun and not ended: run the job first")
    ]
    workshop.run(job)
    assert again().found == ()
    everything_is_somewhere_once(workshop, sent)


def test_messages_that_are_put_aside_go_to_the_dead_letter_topic_as_they_came(
    workshop, stream, topic, produce, kafka, again
):
    name, letters = topic(), topic()
    big = '{"id": 1, "strange": "' + "x" * 2_000_000 + '"}'
    bad = [
        {"value": b"\xff\x00", "key": b"\x00k", "headers": [("h", b"\x01"), ("h", None)]},
        {"value": None, "key": "k"},
        {"value": big},
    ]
    sent = produce(name, [event(1), *bad])
    result = workshop.run(stream(name, NARROW, f"dead_letter_topic: {letters}"))
    assert result.rows.quarantined == 3
    found = messages(kafka, letters, 3)
    for message, original, place in zip(found, bad, sent[1:], strict=True):
        value, key = original["value"], original.get("key")
        assert message.value() == (value.encode() if isinstance(value, str) else value)
        assert message.key() == (key.encode() if isinstance(key, str) else key)
        theirs = original.get("headers", [])
        headers = message.headers()
        assert headers[: len(theirs)] == theirs
        told = dict(headers[len(theirs) :])
        assert told["lakehouse.topic"].decode() == name
        assert (int(told["lakehouse.partition"]), int(told["lakehouse.offset"])) == place
        assert told["lakehouse.run_id"].decode() == result.run_id
    codes = [dict(message.headers())["lakehouse.code"].decode() for message in found]
    assert codes == ["VALUE_ENCODING", "EMPTY_MESSAGE", "UNKNOWN_FIELD"]
    assert dict(found[2].headers())["lakehouse.message"].decode() == "a field is not declared: strange"
    # what is still wrong was sent already
    again()
    assert messages(kafka, letters, 4, patience=2) == []


def test_nothing_hostile_in_a_message_keeps_others_from_the_dead_letter_topic(workshop, stream, topic, produce, kafka):
    """Larger than the topic takes, in its value or its headers; names of headers that are ours, or no text."""
    name, letters = topic(config={"max.message.bytes": str(8 << 20)}), topic(config={"max.message.bytes": "200000"})
    noise = random.Random(7).randbytes(600_000)
    bad = [
        {"value": noise, "key": "k", "headers": [("h", b"v")]},
        {"value": b"{", "headers": [("lakehouse.code", b"FAKED"), ("lakehouse.left_out", None), ("", b"")]},
        {"value": b"\x00", "key": noise},
        {"value": b"[", "headers": [("big", noise)]},
        {"value": b"{", "headers": [("same", b"1"), ("same", b"2")] * 500},
    ]
    produce(name, [event(1), *bad])
    job = stream(name, NARROW, f"dead_letter_topic: {letters}")
    result = workshop.run(job)
    assert (result.rows.inserted, result.rows.quarantined) == (1, 5)
    # what was sent before the first that was too large comes once more
    found = {int(dict(one.headers())["lakehouse.offset"]): one for one in messages(kafka, letters, 10, patience=11)}
    assert sorted(found) == [1, 2, 3, 4, 5]
    left_out = {place: dict(one.headers()).get("lakehouse.left_out") for place, one in found.items()}
    assert left_out == {1: b"value", 2: None, 3: b"value, key, headers", 4: b"value, key, headers", 5: None}
    assert (found[1].key(), found[1].value(), found[1].headers()[0]) == (b"k", None, ("h", b"v"))
    assert found[2].headers()[:3] == bad[1]["headers"]
    assert dict(found[2].headers())["lakehouse.code"] == b"MALFORMED_JSON"
    assert found[5].headers()[:1000] == bad[4]["headers"]
    held = dict(workshop.rows("quarantine.bronze_events", "source.offset", "received.value"))
    assert bytes(held[1]) == noise
    assert workshop.run(job).rows.read == 0


def messages(kafka, topic: str, count: int, patience: float = 20) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": topic, "log_level": 2})
    consumer.assign([TopicPartition(topic, 0, count - 1 if patience < 10 else 0)])
    found = consumer.consume(count, timeout=patience)
    consumer.close()
    return found


def test_a_dead_letter_topic_is_there_and_is_none_that_is_read(workshop, stream, topic, produce):
    name = topic()
    produce(name, [event(1)])
    with pytest.raises(SourceNotFoundError, match="no topic 'nowhere' for dead letters"):
        workshop.run(stream(name, NARROW, "dead_letter_topic: nowhere"))
    with pytest.raises(ConfigError, match="would come again for ever"):
        workshop.run(stream(name, NARROW, f"dead_letter_topic: {name}"))


SILVER = """
sources:
  orders:
    kind: table
    table: bronze.orders
    stream: true
    contract: {columns: {id: bigint not null, amount: "decimal(AMOUNT)"}}
write: {table: silver.orders, mode: scd1, keys: id, sequence_by: at, evolve: widen}
"""


def test_rows_of_a_table_come_in_again_as_they_were(workshop, again):
    workshop.job("silver", SILVER.replace("AMOUNT", "5,2"))
    path = f"{workshop.folder}/bronze/orders"
    beside = "timestamp'2026-01-01 10:00:00.123456' AS at, X'00FF' AS raw, 0.1F AS `a.b`, "
    beside += (
        "array(named_struct('x', 0.1D, 'y', date'0001-01-01'), named_struct('x', double('NaN'), 'y', NULL)) AS tags"
    )
    frame = workshop.spark.sql(
        f"SELECT *, {beside} FROM VALUES ('1', '1.00'), ('2', '1.005'), (NULL, '1') AS t(id, amount)"
    )
    frame.write.format("delta").option("delta.columnMapping.mode", "name").save(path)
    assert workshop.run("silver").rows.quarantined == 2
    workshop.job("silver", SILVER.replace("AMOUNT", "6,3"))
    rows = again(table="silver.orders").runs[0].rows
    assert (rows.read, rows.inserted, rows.quarantined) == (2, 1, 1)
    columns = ("int(id)", "double(amount)", "at", "raw", "`a.b`", "tags")
    have, want = workshop.frame("silver.orders"), workshop.frame("bronze.orders").where("id IS NOT NULL")
    assert (have.count(), have.selectExpr(*columns).exceptAll(want.selectExpr(*columns)).count()) == (2, 0)
    # a table that was made anew has no place for all that there was
    smaller = frame.select("id", "amount", "at").limit(0)
    smaller.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
    before = workshop.rows("quarantine.silver_orders", "record")
    assert again(table="silver.orders").runs[0].rows.quarantined == 1
    after = workshop.frame("quarantine.silver_orders").where(quarantine.OPEN).select("code", "record").collect()
    assert [(row.code, (row.record,) in before) for row in after] == [("COLUMNS_CHANGED", True)]
