"""Kafka topics become tables: every message is in the target or in quarantine, once, whatever happens."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from lakehouse.errors import CheckpointError, ConfigError, RecordsLostError, SourceNotFoundError, SourceUnavailableError

CONTRACT = """\
    contract:
      columns: {id: bigint not null, name: string, amount: "decimal(12,2)", at: timestamp, tags: array<string>, x: double}
"""


@pytest.fixture
def stream(workshop, kafka):
    """Write the job of a topic into a table, with more words for its source; it is run by its name."""
    kafka.resume()
    kafka.start()

    def make(topic: str, *words: str, contract: str = CONTRACT, mode: str = "append", value: str = "json") -> str:
        lines = "".join(f"    {word}\n" for word in words)
        text = (
            f"sources:\n  events:\n    kind: kafka\n    bootstrap_servers: '{kafka.servers}'\n"
            f"    topics: {topic}\n    value: {value}\n{lines}{contract}write: {{table: bronze.events, mode: {mode}}}\n"
        )
        if "topic_pattern" in lines:
            text = text.replace(f"    topics: {topic}\n", "")
        return workshop.job("bronze_events", text)

    return make


def held(workshop, *columns: str) -> list[tuple[Any, ...]]:
    found = workshop.frame("bronze.events").selectExpr(*columns).collect()
    return sorted(map(tuple, found), key=repr)


def places(workshop, table: str, column: str) -> list[tuple[int, int]]:
    if workshop.version(table) is None:
        return []
    return workshop.rows(table, f"{column}.partition", f"{column}.offset")


def everything_is_somewhere_once(workshop, sent: list[tuple[int, int]]) -> None:
    """What was produced, by its place, against the target and the quarantine together."""
    found = places(workshop, "bronze.events", "_source") + places(workshop, "quarantine.bronze_events", "source")
    assert sorted(found) == sorted(sent)


def event(number: int, **more: Any) -> str:
    return json.dumps({"id": number, "name": f"n{number}", **more})


POISON: list[tuple[Any, str]] = [
    ("x", "MALFORMED_JSON"),
    ('{"id": 1', "MALFORMED_JSON"),
    ("", "MALFORMED_JSON"),
    ("null", "MALFORMED_JSON"),
    ("[]", "MALFORMED_JSON"),
    ('[{"id": 1}]', "MALFORMED_JSON"),
    ('{"id": 1} {"id": 2}', "MALFORMED_JSON"),
    ('{"id": 1}, "x": {"id": 2}', "MALFORMED_JSON"),
    ('{"id": 1}}', "MALFORMED_JSON"),
    ('{"id": 1}]', "MALFORMED_JSON"),
    ("{'id': 1}", "MALFORMED_JSON"),
    ("{id: 1}", "MALFORMED_JSON"),
    ('{"id": 01}', "MALFORMED_JSON"),
    ('{"id": 1, "x": NaN}', "MALFORMED_JSON"),
    ('{"id": 1, "x": Infinity}', "MALFORMED_JSON"),
    (None, "EMPTY_MESSAGE"),
    (b"\xff\xfe{}", "VALUE_ENCODING"),
    (b'{"id": 1, "name": "\xff"}', "VALUE_ENCODING"),
    ('{"id": "1"}', "JSON_TYPE"),
    ('{"id": 1.0}', "JSON_TYPE"),
    ('{"id": 9223372036854775808}', "JSON_TYPE"),
    ('{"id": true}', "JSON_TYPE"),
    ('{"id": 1, "tags": "a"}', "JSON_TYPE"),
    ('{"id": 1, "tags": {"a": 1}}', "JSON_TYPE"),
    ('{"id": 1, "amount": "much"}', "JSON_TYPE"),
    ('{"id": 1, "x": 1e400}', "JSON_TYPE"),
    ('{"id": 1, "x": "NaN"}', "JSON_TYPE"),
    ('{"id": 1, "amount": 1.005}', "CAST"),
    ('{"id": 1, "amount": 12345678901.00}', "JSON_TYPE"),
    ('{"id": 1, "at": "yesterday"}', "CAST"),
    ('{"id": 1, "at": "2026-02-30T00:00:00Z"}', "CAST"),
    ('{"id": 1, "at": 1700000000}', "CAST"),
    ('{"id": 1, "id": 2}', "DUPLICATE_JSON_KEY"),
    ('{"id": 1, "strange": 1}', "UNKNOWN_FIELD"),
    ('{"id": 1, "ID": 1}', "UNKNOWN_FIELD"),
    ('{"name": "no id"}', "NULL_VALUE"),
    ('{"id": null}', "NULL_VALUE"),
    ("{}", "NO_DECLARED_FIELD"),
    ("[" * 3000 + "]" * 3000, "MALFORMED_JSON"),
    ('{"id": 1, "strange": "' + "x" * 10_485_760 + '"}', "UNKNOWN_FIELD"),
]
GOOD: list[tuple[str, tuple[Any, ...]]] = [
    ('{"id": 1, "name": "a", "amount": 12.50, "at": "2026-01-01T01:02:03.456789Z"}', (1, "a", "12.50", "2026-01-01 01:02:03.456789")),
    ('{"id": 2, "amount": "12.50", "at": "2026-01-01 01:02:03"}', (2, None, "12.50", "2026-01-01 01:02:03")),
    (' {"at": null, "id": 3, "name": "}{"} ', (3, "}{", None, None)),
    ('{"id": 4, "name": "\\u00e9 \\ud83d\\ude00", "amount": 1e1}', (4, "é 😀", "10.00", None)),
    ('{"id": 5, "amount": 9999999999.99}', (5, None, "9999999999.99", None)),
]  # fmt: skip


def test_poison_between_good_messages_is_put_aside_with_a_code_and_its_bytes(workshop, stream, topic, produce):
    name = topic(partitions=2)
    good = [message for message, _ in GOOD] + [event(6, name="x" * 10_485_760)]
    bad = [message for message, _ in POISON]
    mixed = [one for pair in zip(bad, good * 10, strict=False) for one in pair]
    sent = produce(
        name, [{"value": one, "key": f"k{number}", "headers": {"n": str(number)}} for number, one in enumerate(mixed)]
    )
    rows = workshop.run(stream(name)).rows
    assert (rows.read, rows.accepted, rows.quarantined) == (len(mixed), len(bad), len(bad))
    everything_is_somewhere_once(workshop, sent)
    aside = workshop.frame("quarantine.bronze_events").select("code", "received", "source").collect()
    told = {(row.source.partition, row.source.offset): row for row in aside}
    wanted = {place: POISON[number // 2] for number, place in enumerate(sent) if number % 2 == 0}
    assert {place: row.code for place, row in told.items()} == {place: code for place, (_, code) in wanted.items()}
    for number, place in enumerate(sent):
        if number % 2 == 0:
            value, received = mixed[number], told[place].received
            assert received.value == (value.encode() if isinstance(value, str) else value)
            assert (bytes(received.key), received.headers[0].key, bytes(received.headers[0].value)) == (
                f"k{number}".encode(),
                "n",
                str(number).encode(),
            )
    found = {row[0]: row for row in held(workshop, "id", "name", "cast(amount as string)", "cast(at as string)")}
    for _, row in GOOD:
        assert found[row[0]] == row


def test_all_that_kafka_says_of_a_record_is_kept(workshop, stream, topic, produce):
    name = topic(config={"retention.ms": "-1"})
    at = 1_700_000_000_123
    produce(
        name,
        [
            {"value": event(1), "key": "é", "headers": [("h", b"\x00"), ("h", b"2")], "timestamp": at},
            {"value": event(2)},
        ],
    )
    workshop.run(stream(name, "key: text"))
    first, second = workshop.frame("bronze.events").orderBy("id").collect()
    assert (first._kafka.key, second._kafka.key) == ("é", None)
    assert first._kafka.timestamp == datetime.fromtimestamp(at / 1000, UTC).replace(tzinfo=None)
    assert [(one.key, bytes(one.value)) for one in first._kafka.headers] == [("h", b"\x00"), ("h", b"2")]
    assert (first._source.topic, first._source.partition, first._source.offset, first._source.file) == (
        name,
        0,
        0,
        None,
    )
    assert first._source.run_id
    assert first._source.ingested_at


def test_a_run_takes_up_where_the_last_one_was_and_cuts_what_piled_up(workshop, stream, topic, produce):
    name = topic(partitions=2)
    sent = produce(name, [{"value": event(number), "partition": number % 2} for number in range(25)])
    job = stream(name, "max_records: 10")
    first = workshop.run(job)
    assert (first.rows.inserted, first.batches) == (25, 3)
    assert workshop.run(job).batches == 0
    sent += produce(name, [event(number) for number in range(25, 30)])
    assert workshop.run(job).rows.inserted == 5
    everything_is_somewhere_once(workshop, sent)
    inputs = [
        json.loads(row.inputs)["events"]["topics"][name]
        for row in workshop.frame("ops.runs").where("event = 'batch'").orderBy("batch").collect()
    ]
    sizes = [sum(end - start for start, end in parts.values()) for parts in inputs]
    # of the 13 and 12 that wait, Spark takes 10 * 13 / 25 and 10 * 12 / 25, each rounded down
    assert sizes == [5 + 4, 5 + 5, 3 + 3, 5]


def test_a_source_begins_and_ends_where_it_says(workshop, stream, topic, produce):
    name = topic(partitions=2, config={"retention.ms": "-1"})
    for number in range(10):
        produce(
            name, [{"value": event(number), "partition": number % 2, "timestamp": 1_700_000_000_000 + 1000 * number}]
        )

    def ids(start: str, end: str = "latest") -> list[int]:
        job = stream(name, f"starting_offsets: {start}", f"ending_offsets: {end}")
        workshop.run(job, full_refresh=workshop.version("bronze.events") is not None)
        assert workshop.run(job).batches == 0
        return [row[0] for row in held(workshop, "id")]

    assert ids("earliest") == list(range(10))
    assert ids("{timestamp: '2023-11-14T22:13:24Z'}") == [4, 5, 6, 7, 8, 9]
    assert ids(f"{{offsets: {{{name}: {{'0': 3, '1': 4}}}}}}") == [6, 8, 9]
    assert ids("earliest", "{timestamp: '2023-11-14T22:13:24Z'}") == [0, 1, 2, 3]
    assert ids("earliest", f"{{offsets: {{{name}: {{'0': 2, '1': 0}}}}}}") == [0, 2]
    with pytest.raises(CheckpointError, match="belongs to another job or source"):
        workshop.run(stream(name))


def test_a_job_that_begins_at_the_end_reads_what_comes_after(workshop, stream, topic, produce):
    name = topic()
    produce(name, [event(1)])
    job = stream(name, "starting_offsets: latest")
    workshop.run(job)
    produce(name, [event(2)])
    workshop.run(job)
    assert held(workshop, "id") == [(2,)]


def test_topics_are_found_by_a_pattern_also_those_that_come_later(workshop, stream, topic, produce):
    first, other = topic(), topic()
    common = first.rpartition("-")[0]
    sent = produce(first, [event(1)]) + produce(other, [event(2)])
    job = stream("", f"topic_pattern: '{common}-.*'")
    assert workshop.run(job).rows.inserted == len(sent)
    later = topic()
    produce(later, [event(3)])
    assert workshop.run(job).rows.inserted == 1
    assert Counter(held(workshop, "_source.topic")) == Counter([(first,), (other,), (later,)])


def test_text_bytes_and_delimited_lines_are_values_too(workshop, stream, topic, produce):
    name = topic()
    produce(name, ["a;1;2.50", "b;x;1", "c;1", '"d;";2;', "", None, b"\xff;1;1", "e;1;1\nf;2;2"])
    columns = '    contract:\n      columns: {name: string, n: int, amount: "decimal(5,2)"}\n'
    rows = workshop.run(stream(name, contract=columns, value="{format: csv, delimiter: ';'}")).rows
    assert (rows.read, rows.accepted) == (8, 2)
    assert held(workshop, "name", "n", "cast(amount as string)") == [("a", 1, "2.50"), ("d;", 2, None)]
    codes = workshop.rows("quarantine.bronze_events", "source.offset", "code")
    assert codes == [
        (1, "CAST"),
        (2, "FIELD_COUNT"),
        (4, "FIELD_COUNT"),
        (5, "EMPTY_MESSAGE"),
        (6, "VALUE_ENCODING"),
        (7, "SEVERAL_LINES"),
    ]


@pytest.mark.parametrize(("value", "kept"), [("text", ["a", None]), ("binary", [b"a", None, b"\xff"])])
def test_a_message_may_be_kept_as_it_is(workshop, stream, topic, produce, value, kept):
    name = topic()
    produce(name, ["a", None, b"\xff"])
    workshop.run(stream(name, contract="", value=value))
    found = [row.value for row in workshop.frame("bronze.events").orderBy("_source.offset").collect()]
    assert found == kept


def test_fields_that_nobody_declared_are_kept_aside_left_or_rescued(workshop, stream, topic, produce):
    name = topic()
    produce(name, ['{"id": 1, "b": {"c": [1, 2.50]}, "d": "x"}', '{"id": 2}'])
    workshop.run(stream(name, "rescue: _rescued"))
    assert [row._rescued for row in workshop.frame("bronze.events").orderBy("id").collect()] == [
        {"b": '{"c":[1,2.5]}', "d": "x"},
        None,
    ]


def test_records_of_aborted_transactions_never_were_and_their_gaps_are_no_loss(workshop, stream, topic, kafka):
    name = topic()
    producer = Producer({"bootstrap.servers": kafka.servers, "transactional.id": name, "log_level": 2})
    producer.init_transactions(30)
    for number in range(6):
        producer.begin_transaction()
        producer.produce(name, event(number))
        producer.flush()
        if number % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    job = stream(name, "max_records: 3")
    rows = workshop.run(job).rows
    assert (rows.read, rows.inserted) == (3, 3)
    assert held(workshop, "id") == [(0,), (2,), (4,)]
    assert workshop.run(job).rows.read == 0


def test_records_that_retention_removed_before_they_were_read_are_a_loss_that_is_told(
    workshop, stream, topic, produce, kafka
):
    name = topic()
    produce(name, [event(number) for number in range(5)])
    job = stream(name)
    workshop.run(job)
    produce(name, [event(number) for number in range(5, 10)])
    admin = AdminClient({"bootstrap.servers": kafka.servers, "log_level": 2})
    for future in admin.delete_records([TopicPartition(name, 0, 8)]).values():
        future.result(30)
    with pytest.raises(RecordsLostError, match="retention removed the records from 5 to 7"):
        workshop.run(job)
    assert len(held(workshop, "id")) == 5


def test_a_topic_that_was_made_again_is_not_taken_for_the_old_one(workshop, stream, topic, produce, kafka):
    name = topic()
    produce(name, [event(1)])
    job = stream(name)
    workshop.run(job)
    admin = AdminClient({"bootstrap.servers": kafka.servers, "log_level": 2})
    admin.delete_topics([name])[name].result(30)
    with pytest.raises((RecordsLostError, SourceNotFoundError), match="is gone|no topic"):
        workshop.run(job)
    make_again(admin, name)
    # as many records as were read of the old one: offsets cannot tell
    produce(name, [event(2), event(3)])
    with pytest.raises(RecordsLostError, match="was deleted and made again"):
        workshop.run(job)
    assert held(workshop, "id") == [(1,)]
    workshop.run(job, full_refresh=True)
    assert held(workshop, "id") == [(2,), (3,)]


def make_again(admin, name: str) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import NewTopic

    for _ in range(50):
        try:
            admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
        except KafkaException:  # until it is deleted for good
            continue
        return


def test_a_topic_that_is_not_there_is_named_with_its_nearest(workshop, stream, topic):
    name = topic()
    with pytest.raises(SourceNotFoundError, match=f"no topic '{name}x'; did you mean '{name}'"):
        workshop.run(stream(f"{name}x"))
    with pytest.raises(SourceNotFoundError, match="no topic fits nothing-at-all"):
        workshop.run(stream("", "topic_pattern: nothing-at-all"))


def test_brokers_that_are_down_are_a_typed_error_that_can_be_tried_again(
    workshop, stream, topic, produce, kafka, monkeypatch
):
    name = topic()
    sent = produce(name, [event(1)])
    job = stream(name)
    monkeypatch.setattr("lakehouse.read.brokers._PATIENCE", 2.0)
    kafka.stop()
    with pytest.raises(SourceUnavailableError) as caught:
        workshop.run(job)
    assert (caught.value.retryable, caught.value.code) == (True, "SOURCE_UNAVAILABLE")
    kafka.start()
    workshop.run(job)
    everything_is_somewhere_once(workshop, sent)


def test_brokers_elsewhere_are_not_reached_in_plain_text(workshop):
    text = "sources:\n  events:\n    kind: kafka\n    bootstrap_servers: kafka.example.com:9092\n    topics: t\n    value: text\nwrite: {table: bronze.events, mode: append}\n"
    with pytest.raises(ConfigError, match="would be reached without TLS"):
        workshop.run(workshop.job("bronze_events", text))


def test_another_reader_finds_the_same(topic, produce, kafka):
    """That the places which ``produce`` tells are those that a consumer finds: the oracle of this file."""
    name = topic(partitions=2)
    sent = produce(name, [event(number) for number in range(20)])
    consumer = Consumer(
        {"bootstrap.servers": kafka.servers, "group.id": name, "auto.offset.reset": "earliest", "log_level": 2}
    )
    consumer.assign([TopicPartition(name, 0, 0), TopicPartition(name, 1, 0)])
    found = [consumer.poll(10) for _ in sent]
    consumer.close()
    by_place = {(one.partition(), one.offset()): json.loads(one.value())["id"] for one in found}
    assert by_place == dict(zip(sent, range(20), strict=True))
    assert Decimal(len(by_place)) == 20


def test_a_message_without_a_value_deletes_the_row_of_its_plain_key(workshop, kafka, topic, produce):
    name = topic()
    first = [{"key": str(number), "value": event(number)} for number in (1, 2, 3)]
    produce(name, [*first, {"key": "1", "value": None}, {"key": None, "value": None}])
    job = workshop.job(
        "silver_events",
        f"sources:\n  events:\n    kind: kafka\n    bootstrap_servers: '{kafka.servers}'\n    topics: {name}\n"
        "    value: json\n    key_column: id\n    contract: {columns: {id: bigint not null, name: string not null}}\n"
        "write: {table: silver.events, mode: scd1, keys: id, sequence_by: _source.offset, apply_as_deletes: _kafka.tombstone}\n",
    )
    result = workshop.run(job)
    assert (result.rows.read, result.rows.quarantined) == (5, 1)
    assert workshop.rows("silver.events", "id") == [(2,), (3,)]
    produce(name, [{"key": "3", "value": None}, {"key": "4", "value": event(4)}])
    assert workshop.run(job).rows.deleted == 1
    assert workshop.rows("silver.events", "id") == [(2,), (4,)]
