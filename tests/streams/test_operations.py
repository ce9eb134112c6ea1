"""Streams as they are run: told to stop, killed, side by side, without a broker, without rights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from deltalake import DeltaTable, QueryBuilder

from lakehouse.errors import AccessDeniedError, SourceUnavailableError
from lakehouse.read.brokers import brokers
from lakehouse.runtime.status import status
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.kafka import KafkaSource
from scripts.streams import Kafka

JOB = """\
trigger: as_fast_as_possible
sources:
  events:
    kind: kafka
    bootstrap_servers: '{servers}'
    topics: {topic}
    value: json
    contract: {{columns: {{id: bigint not null}}}}
write: {{table: {table}, mode: append}}
"""

ENV = """\
lake: lake
spark:
  spark.master: local[2]
  spark.sql.shuffle.partitions: 2
  spark.databricks.delta.snapshotPartitions: 1
  spark.ui.enabled: false
  spark.sql.adaptive.enabled: false
  spark.sql.codegen.wholeStage: false
  spark.sql.codegen.factoryMode: NO_CODEGEN
"""


def events(count: int, first: int = 0) -> list[str]:
    return [json.dumps({"id": number}) for number in range(first, first + count)]


def ids(lake: Path, table: str) -> list[int]:
    """The rows as another reader of Delta finds them."""
    found = (
        QueryBuilder()
        .register("t", DeltaTable(str(lake / table.replace(".", "/"))))
        .execute("select id from t order by id")
    )
    return [row for batch in found for row in batch["id"].to_pylist()]


def until(true, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)


def commits(lake: Path, table: str) -> int:
    return len(list((lake / table.replace(".", "/") / "_delta_log").glob("*.json")))


@pytest.fixture
def project(tmp_path, kafka):
    """A project of streams, and a way to run them as a process of their own."""
    kafka.resume()
    kafka.start()
    (tmp_path / "conf" / "env").mkdir(parents=True)
    (tmp_path / "conf" / "env" / "local.yaml").write_text(ENV)
    running: list[subprocess.Popen] = []
    environ = {**os.environ, "SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1"}

    def run(*arguments: str, **jobs: str) -> subprocess.Popen:
        for name, topic in jobs.items():
            text = JOB.format(servers=kafka.servers, topic=topic, table=f"bronze.{name}")
            (tmp_path / "conf" / f"{name}.yaml").write_text(f"job: {name}\nabout: Events.\n{text}")
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "lakehouse", "run", *jobs, "--json", *arguments],
                cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        running.append(process)
        return process

    run.lake = tmp_path / "lake"
    yield run
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_streams_side_by_side_are_stopped_and_killed_and_lose_and_double_nothing(project, topic, produce):
    one, two = topic(partitions=2), topic()
    lake = project.lake
    produce(one, events(100))
    produce(two, events(10))
    process = project(first=one, second=two)
    until(lambda: commits(lake, "bronze.first") > 1 and commits(lake, "bronze.second") > 1)
    for number in range(5):
        produce(one, events(100, 100 + 100 * number))
        time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    said = [json.loads(line) for line in process.communicate(timeout=60)[0].splitlines()]
    assert process.returncode == 0
    assert [(line["job"], line["status"]) for line in said] == [("first", "stopped"), ("second", "stopped")]
    assert said[0]["rows"]["inserted"] == len(ids(lake, "bronze.first"))
    # no word to it this time
    process = project(first=one, second=two)
    before = commits(lake, "bronze.first")
    produce(one, events(100, 600))
    until(lambda: commits(lake, "bronze.first") > before)
    produce(one, events(100, 700))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    produce(one, events(100, 800))
    process = project("--trigger", "available_now", first=one, second=two)
    said = [json.loads(line) for line in process.communicate(timeout=120)[0].splitlines()]
    assert [line["status"] for line in said] == ["done", "done"]
    assert ids(lake, "bronze.first") == list(range(900))
    assert ids(lake, "bronze.second") == list(range(10))
    found = QueryBuilder().register("runs", DeltaTable(str(lake / "ops" / "runs")))
    told = found.execute(
        "select job, sum(inserted) as n, count(distinct batch) = count(*) as each_once from runs where event = 'batch' group by job order by job"
    )
    table = told.read_all()
    rows = list(zip(*([value.as_py() for value in table[name]] for name in ("job", "n", "each_once")), strict=True))
    assert rows == [("first", 900, True), ("second", 10, True)]


def test_a_stream_is_refused_while_the_java_of_one_that_was_killed_goes_on(project, topic, produce):
    name = topic()
    produce(name, events(50))
    process = project(first=name)
    until(lambda: commits(project.lake, "bronze.first") > 1)
    (java,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(java), signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    produce(name, events(50, 50))
    refused = project("--trigger", "available_now", first=name)
    said = json.loads(refused.communicate(timeout=120)[0])
    assert (refused.returncode, said["error"]["code"]) == (4, "LOCKED")
    os.kill(int(java), signal.SIGCONT)
    until(lambda: not Path(f"/proc/{java}").exists())
    done = project("--trigger", "available_now", first=name)
    assert json.loads(done.communicate(timeout=120)[0])["status"] == "done"
    assert ids(project.lake, "bronze.first") == list(range(100))


def test_a_broker_that_is_away_for_a_while_is_waited_for(project, topic, produce, kafka):
    name = topic()
    produce(name, events(10))
    process = project(first=name)
    until(lambda: commits(project.lake, "bronze.first") > 1)
    kafka.pause()
    time.sleep(10)
    kafka.resume()
    produce(name, events(10, 10))
    until(lambda: len(ids(project.lake, "bronze.first")) == 20)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_status_says_how_far_a_stream_is_behind(workshop, topic, produce, kafka):
    name = topic(partitions=2)
    produce(name, events(10))
    text = JOB.format(servers=kafka.servers, topic=name, table="bronze.events").replace(
        "as_fast_as_possible", "available_now"
    )
    job = workshop.job("bronze_events", text)
    silver = workshop.job(
        "silver_events",
        "sources: {events: {kind: table, table: bronze.events, stream: true}}\nwrite: {table: silver.events, mode: append}\n",
    )

    def found(which: str):
        return status(prepare(which, lake=str(workshop.folder), root=workshop.project))

    (behind,) = found(job).behind
    assert (behind.of, behind.count, behind.unit, found(job).batch) == (name, 10, "records", None)
    assert 0 < behind.seconds < 600
    workshop.run(job)
    produce(name, events(3, 10))
    (behind,) = found(job).behind
    assert (behind.count, found(job).batch, found(job).read, found(job).runner) == (3, 0, 10, None)
    workshop.run(job)
    assert (found(job).behind[0].count, found(job).behind[0].seconds) == (0, None)
    assert found(job).rows_per_second > 0
    assert (found(silver).behind[0].unit, found(silver).behind[0].count) == ("commits", 2)
    workshop.run(silver)
    assert found(silver).behind[0].count == 0
    kafka.stop()
    assert found(job).error.startswith("SOURCE_UNAVAILABLE")
    kafka.start()


def test_a_user_needs_a_password_and_rights(workshop, tmp_path_factory, allow):
    folder = tmp_path_factory.mktemp("secure")
    with Kafka(folder, users={"reader": "secret$1", "stranger": "secret2"}, tls=True) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.servers, "log_level": 2})
        admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
        for right in (("READ", "TOPIC", "t"), ("DESCRIBE", "TOPIC", "t"), ("READ", "GROUP", "*")):
            allow(kafka, "reader", *right)
        workshop.land("x", "")

        def run(user: str, password: str):
            (workshop.project / "ca.pem").write_bytes(Path(kafka.certificate).read_bytes())
            os.environ["STREAM_USER"], os.environ["STREAM_PASSWORD"] = user, password
            text = JOB.format(servers=kafka.secure_servers, topic="t", table="bronze.secure").replace(
                "as_fast_as_possible", "available_now"
            )
            security = (
                "    security: {protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username: '${env:STREAM_USER}',"
                " password: '${env:STREAM_PASSWORD}', ca: ca.pem}\n"
            )
            return workshop.run(workshop.job("bronze_secure", text.replace("    value:", f"{security}    value:")))

        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": kafka.servers, "log_level": 2})
        producer.produce("t", '{"id": 1}')
        producer.flush(30)
        assert run("reader", "secret$1").rows.inserted == 1
        with pytest.raises(AccessDeniedError):
            run("stranger", "secret2")
        with pytest.raises((AccessDeniedError, SourceUnavailableError)) as caught:
            run("reader", "wrong")
        assert "wrong" not in str(caught.value)


def test_secrets_are_not_shown():
    source = KafkaSource.model_validate(
        {
            "kind": "kafka", "bootstrap_servers": "b:1", "topics": "t", "value": "text",
            "security": {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u", "password": "${env:P}"},
        }
    )  # fmt: skip
    made = brokers(source, lambda text, _: text.replace("${env:P}", 's"ecret'), Path("/"), "sources.x")
    assert "ecret" not in repr(made)
    assert 'password="s\\"ecret";' in made.java["sasl.jaas.config"]
