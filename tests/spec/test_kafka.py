"""What a Kafka source may say, and how what is wrong with it is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from lakehouse.errors import ConfigError
from lakehouse.read.brokers import brokers
from lakehouse.spec.job import Job
from lakehouse.spec.kafka import AtOffsets, AtTime, KafkaSource, is_loopback

GOOD = {"kind": "kafka", "bootstrap_servers": "localhost:9092", "topics": "t", "value": "text"}
SASL = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u", "password": "${env:P}"}


def source(**more: object) -> KafkaSource:
    return KafkaSource.model_validate({name: value for name, value in {**GOOD, **more}.items() if value is not None})


def told(**more: object) -> str:
    with pytest.raises(ValidationError) as caught:
        source(**more)
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"topics": None}, "give topics or topic_pattern"),
        ({"topic_pattern": "a.*"}, "give topics or topic_pattern"),
        ({"topics": "a b"}, "'a b' is not a topic's name"),
        ({"topics": ["."]}, "'.' is not a topic's name"),
        ({"topics": None, "topic_pattern": "("}, "not a regular expression"),
        ({"value": "xml"}, "'binary'"),
        ({"value": "json"}, "json needs a contract with columns"),
        ({"value": "csv"}, "csv needs a contract with columns"),
        ({"value": "avro"}, "give registry or schema_file"),
        (
            {"value": {"format": "avro", "registry": "http://r", "schema_file": "a.avsc"}},
            "give registry or schema_file",
        ),
        ({"debezium": {}}, "Debezium writes json or avro"),
        ({"rescue": "more"}, "rescue is for json"),
        ({"max_records": 0}, "greater than 0"),
        ({"starting_offsets": {"timestamp": "2026-01-01"}}, "has no time zone"),
        ({"starting_offsets": {"timestamp": "soon"}}, "expected a time such as"),
        ({"starting_offsets": {"offsets": {"t": {"0": -1}}}}, "greater than or equal to 0"),
        ({"ending_offsets": "earliest"}, "latest"),
        ({"consumer": {"fetch.max.byte": 1}}, "did you mean 'fetch.max.bytes'"),
        ({"consumer": {"isolation.level": "read_uncommitted"}}, "would change what is read"),
        ({"consumer": {"interceptor.classes": "x"}}, "cannot be set"),
        ({"security": {**SASL, "password": "hunter2"}}, "a password is a reference"),
        ({"security": {**SASL, "username": None}}, "SASL_SSL needs username"),
        ({"security": {**SASL, "protocol": "SSL"}}, "SSL has no mechanism"),
        ({"security": {"protocol": "PLAINTEXT"}}, "SASL_SSL"),
        ({"stream": False}, "True"),
    ],
)
def test_what_a_source_cannot_say_is_told_with_the_mend(more, message):
    if "security" in more:
        more = {"security": {name: value for name, value in more["security"].items() if value is not None}}
    assert message in told(**more)


def test_no_secret_is_in_what_is_told():
    assert "hunter2" not in told(security={**SASL, "password": "hunter2"})


def test_positions_are_times_or_offsets():
    assert source(starting_offsets={"timestamp": "2026-01-01T00:00:00Z"}).starting_offsets == AtTime(
        timestamp=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert source(starting_offsets={"offsets": {"t": {0: 5, "1": 7}}}).starting_offsets == AtOffsets(
        offsets={"t": {0: 5, 1: 7}}
    )


@pytest.mark.parametrize(
    ("servers", "here"),
    [
        ("localhost:9092", True),
        ("127.0.0.1:9092,127.0.0.2:9093", True),
        ("[::1]:9092", True),
        ("127.0.0.1:9092,10.0.0.1:9092", False),
        ("localhost.example.com:9092", False),
        ("127.0.0.1.example.com:9092", False),
    ],
)
def test_this_machine_is_told_from_others(servers, here):
    assert is_loopback(servers) is here


def made(servers: str, **more: object):
    return brokers(
        source(bootstrap_servers=servers, **more),
        lambda text, _: text.replace("${env:P}", "x"),
        Path("/"),
        "sources.events",
    )


@pytest.mark.parametrize("servers", ["kafka", "kafka:port", "kafka:9092;x:1", "http://kafka:9092", ""])
def test_an_address_that_is_none_is_named(servers):
    with pytest.raises((ConfigError, ValidationError)):
        made(servers)


def test_the_way_to_other_machines_is_not_open_to_all():
    with pytest.raises(ConfigError, match="would be reached without TLS"):
        made("kafka.example.com:9092")
    with pytest.raises(ConfigError, match="would be reached without TLS"):
        made("kafka.example.com:9092", security={**SASL, "protocol": "SASL_PLAINTEXT"})
    assert made("kafka.example.com:9092", allow_plaintext=True).java == {}
    assert made("kafka.example.com:9092", security=SASL).java["security.protocol"] == "SASL_SSL"
    assert made("localhost:9092").java == {}


def test_what_a_consumer_is_told_is_text():
    assert made("localhost:9092", consumer={"check.crcs": False, "fetch.max.bytes": 5, "client.id": "a"}).java == {
        "check.crcs": "false", "fetch.max.bytes": "5", "client.id": "a",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("trigger", "more", "message"),
    [
        ("now", {}, "String should match pattern"),
        ("0 seconds", {}, "String should match pattern"),
        ("10 seconds", {"ending_offsets": {"offsets": {"t": {0: 1}}}}, "never ends"),
        ("as_fast_as_possible", {"kind": "table"}, "nothing to wait for"),
    ],
)
def test_a_trigger_fits_its_source(trigger, more, message):
    events = {"kind": "table", "table": "a.b"} if more.get("kind") == "table" else {**GOOD, **more}
    job = {
        "job": "x",
        "about": "a",
        "trigger": trigger,
        "sources": {"events": events},
        "write": {"table": "a.b", "mode": "append" if events is not None and "table" not in events else "overwrite"},
    }
    with pytest.raises(ValidationError, match=message):
        Job.model_validate(job)


@pytest.mark.parametrize(("trigger", "sla", "message"), [
    ("available_now", "soon", "String should match pattern"),
    ("10 seconds", "1 hour", "10 seconds never ends: freshness in write.contract"),
])  # fmt: skip
def test_an_sla_is_of_a_run_that_ends(trigger, sla, message):
    job = {"job": "x", "about": "a", "sources": {"events": GOOD}, "write": {"table": "a.b", "mode": "append"}}
    assert Job.model_validate({**job, "sla": "30 minutes"}).sla == "30 minutes"
    with pytest.raises(ValidationError, match=message):
        Job.model_validate({**job, "trigger": trigger, "sla": sla})
