"""Kafka topics: every record once, with all that Kafka says of it, and a loss never silent."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType

from lakehouse.errors import AccessDeniedError, RecordsLostError, SourceUnavailableError, innermost
from lakehouse.lake.batch import CODE, MESSAGE, OTHERS, RAW, RECEIVED, SKIP, SOURCE, TOLD, TYPED, Arrived
from lakehouse.lake.frame import col, literal, small_frame
from lakehouse.lake.statements import expression
from lakehouse.lake.storage import read_lines
from lakehouse.read import dead_letters
from lakehouse.read.brokers import RIGHTS
from lakehouse.read.feed import Behind, Due, Taken
from lakehouse.read.payload import avro as avro_payload
from lakehouse.read.payload import debezium, debezium_avro
from lakehouse.read.payload import json as json_payload
from lakehouse.read.payload import text as text_payload
from lakehouse.read.payload.keys import TOMBSTONE, with_key_text, with_tombstones
from lakehouse.spec.kafka import AtOffsets, AtTime, Avro, Binary, DelimitedText, Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.errors import LakehouseError
    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.read.brokers import Brokers, Range, Topic
    from lakehouse.read.feed import Span
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.kafka import KafkaSource

KAFKA = "_kafka"
"""What Kafka says of a record beside its value and its place: key, timestamp, headers."""

RECORD = {
    "key": "binary",
    "value": "binary",
    "topic": "string",
    "partition": "int",
    "offset": "bigint",
    "timestamp": "timestamp",
    "timestampType": "int",
    "headers": "array<struct<key:string,value:binary>>",
}
"""The columns of Spark's Kafka source."""

_LOOK_AGAIN = 10.0
"""Seconds between two looks at whether the topics are still those that they were, while a stream runs."""

_LOST = ("KAFKA_DATA_LOSS", "OffsetOutOfRange", "data may have been lost", "PARTITIONS_DELETED", "was changed from")
_DENIED = ("AuthorizationException", "AuthenticationException", "Not authorized")
_AWAY = ("TimeoutException", "Timed out", "DisconnectException", "No resolvable bootstrap", "UnknownTopicOrPartition")


@dataclass
class KafkaFeed:
    """The records of topics, in Spark's batches of them."""

    brokers: Brokers
    source: KafkaSource
    span: Span | None = None
    missing: ClassVar[Literal["null"]] = "null"
    _looked: float = field(default=0.0, init=False)

    @property
    def where(self) -> str:
        """The topics and, where the source says so, the part of them: whose offsets the checkpoint holds."""
        topics = self.source.topic_pattern or ",".join(sorted(self.source.topics))
        end = self.source.ending_offsets
        return f"kafka {topics}" if end == "latest" else f"kafka {topics} to {end.model_dump_json()}"

    @property
    def contract(self) -> Contract | None:
        """What its rows are held against."""
        return self.source.contract

    def look(self, spark: SparkSession, checkpoint: Checkpoint) -> bool:
        """Hold the topics against what the checkpoint has read of them.

        Raises:
            SourceUnavailableError: the brokers do not answer.
            SourceNotFoundError: there is no such topic.
            RecordsLostError: records that were never read are gone, or a topic is another one of the same name.
        """
        topics = self.brokers.topics(self.source)
        _same_topics(spark, checkpoint, topics)
        read = checkpoint.committed_offset(spark)
        if read:
            nothing_lost(read, topics, self.brokers.ranges({name: topics[name] for name in read if name in topics}))
        self._looked = time.monotonic()
        return False

    @property
    def gives_rows(self) -> bool:
        """Whether one plan decodes every batch; where schemas come with the messages, each needs its own."""
        return not isinstance(self.source.value, Avro)

    def stream(self, spark: SparkSession, run_id: str) -> DataFrame:
        """The rows of the records, or the records as Spark's source has them."""
        options = {
            "kafka.bootstrap.servers": self.brokers.servers,
            **({"subscribePattern": self.source.topic_pattern} if self.source.topic_pattern else {}),
            **({"subscribe": ",".join(self.source.topics)} if self.source.topics else {}),
            **_starting(self.source),
            "maxOffsetsPerTrigger": str(self.source.max_records),
            "includeHeaders": "true",
            "failOnDataLoss": "true",
            # what a transaction wrote that was aborted never was
            "kafka.isolation.level": "read_committed",
            **{f"kafka.{name}": value for name, value in self.brokers.java.items()},
        }
        records = spark.readStream.format("kafka").options(**options).load()
        records = records.where(self.span.has(F.col("timestamp"))) if self.span else records
        return arrived(records, self.source, self.brokers, run_id=run_id).rows if self.gives_rows else records

    def take(self, batch: DataFrame, number: int, checkpoint: Checkpoint, run_id: str) -> Taken:
        """One batch, and the offsets that it goes from and to."""
        spark = batch.sparkSession
        if time.monotonic() - self._looked > _LOOK_AGAIN:
            _same_topics(spark, checkpoint, self.brokers.topics(self.source))
            self._looked = time.monotonic()
        start = checkpoint.offset(spark, number - 1) if number else first_offsets(spark, checkpoint)
        end = checkpoint.offset(spark, number)
        inputs = {
            "topics": {
                topic: {place: [start.get(topic, {}).get(place, 0), offset] for place, offset in parts.items()}
                for topic, parts in end.items()
            }
        }
        arrive = partial(arrived, batch, self.source, self.brokers, run_id=run_id)
        if self.gives_rows:
            arrive = partial(Arrived, batch, judged=True, skips=debezium.SKIPS if self.source.debezium else ())
        send_on = partial(dead_letters.send, source=self.source, brokers=self.brokers, run_id=run_id)
        return Taken(inputs, arrive, send_on if self.source.dead_letter_topic else None)

    def due(self, spark: SparkSession, checkpoint: Checkpoint) -> Due:
        """How many records there are that the checkpoint has not read."""
        topics = self.brokers.topics(self.source)
        ranges, read = self.brokers.ranges(topics), checkpoint.committed_offset(spark)
        behind = {name: behind_of(parts, read.get(name, {})) for name, parts in ranges.items()}
        listed = ", ".join(f"{count:,} records of {name}" for name, count in sorted(behind.items()))
        columns = arrived(small_frame(spark, [], RECORD), self.source, self.brokers, run_id="")
        return Due(listed, columns.rows.drop(RAW, CODE, MESSAGE, RECEIVED, SKIP))

    def behind(self, spark: SparkSession, checkpoint: Checkpoint) -> list[Behind]:
        """The offsets of each topic that were not read yet; some may hold no record."""
        topics, read = self.brokers.topics(self.source), checkpoint.committed_offset(spark)
        ranges = self.brokers.ranges(topics)
        next_ones = {
            (name, place): max(read.get(name, {}).get(str(place), low), low)
            for name, parts in ranges.items()
            for place, (low, high) in parts.items()
            if high > read.get(name, {}).get(str(place), low)
        }
        made, now = self.brokers.made_at(next_ones), time.time()
        oldest = {name: min((at for (topic, _), at in made.items() if topic == name), default=None) for name in ranges}
        return [
            Behind(name, behind_of(parts, read.get(name, {})), "records", None if at is None else round(now - at, 1))
            for name, parts, at in ((name, parts, oldest[name]) for name, parts in sorted(ranges.items()))
        ]

    def failure(self, error: str) -> LakehouseError | None:
        """What the consumers of Spark say, as one of our errors."""
        if any(mark in error for mark in _LOST):
            message = f"records of {self.where} that were never read are gone: {innermost(error)}"
            return RecordsLostError(message, hint=_LOST_HINT)
        if any(mark in error for mark in _DENIED):
            message = f"the brokers do not let us read {self.where}: {innermost(error)}"
            return AccessDeniedError(message, hint=RIGHTS)
        if any(mark in error for mark in _AWAY):
            message = f"the brokers at {self.brokers.servers} do not answer: {innermost(error)}"
            return SourceUnavailableError(message, hint="the run can be repeated: it goes on where it was")
        return None


_LOST_HINT = "--full-refresh reads what is there from its start; nothing that was written is touched until then"


def behind_of(parts: Mapping[int, Range], read: Mapping[str, int]) -> int:
    """How many offsets of a topic are beyond those that were read; some of them may hold no record."""
    return sum(max(high - max(read.get(str(place), low), low), 0) for place, (low, high) in parts.items())


def first_offsets(spark: SparkSession, checkpoint: Checkpoint) -> dict[str, dict[str, int]]:
    """Where the first batch began: Spark notes it when the stream begins."""
    lines = read_lines(spark, f"{checkpoint.path}/sources/0/0") or []
    return dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}


def _starting(source: KafkaSource) -> dict[str, str]:
    start = source.starting_offsets
    if isinstance(start, AtTime):
        at = int(start.timestamp.timestamp() * 1000)
        return {"startingTimestamp": str(at), "startingOffsetsByTimestampStrategy": "latest"}
    if isinstance(start, AtOffsets):
        return {"startingOffsets": json.dumps(start.offsets)}
    return {"startingOffsets": start}


def _same_topics(spark: SparkSession, checkpoint: Checkpoint, topics: Mapping[str, Topic]) -> None:
    """Hold the topics' own ids against those that the checkpoint was begun with, and note those that are new.

    Offsets cannot tell: those of a topic that was made again soon reach where the old one's were.
    """
    known = checkpoint.topics(spark)
    gone = sorted(known.keys() - topics.keys())
    if gone:
        message = f"the topic {gone[0]} is gone, and this job has read it"
        raise RecordsLostError(message, hint=_LOST_HINT)
    other = sorted(name for name, topic in topics.items() if known.get(name, topic.id) != topic.id)
    if other:
        message = f"the topic {other[0]} was deleted and made again since this job began to read it"
        raise RecordsLostError(message, hint=_LOST_HINT)
    if topics.keys() - known.keys():
        checkpoint.has_topics(spark, {name: topic.id for name, topic in sorted(topics.items())})


def nothing_lost(
    read: Mapping[str, Mapping[str, int]], topics: Mapping[str, Topic], ranges: Mapping[str, Mapping[int, Range]]
) -> None:
    """Hold what is to be read next against what is there.

    Gaps within a partition are none of this: compaction and transactions make them.

    Raises:
        RecordsLostError: the next record of a partition is gone.
    """
    for name, parts in read.items():
        for place, offset in sorted(parts.items()):
            low, high = ranges[name].get(int(place), (0, -1))
            told = f"{name}, partition {place}"
            if int(place) >= topics[name].partitions:
                message = f"{told} is gone, and this job has read it up to {offset:,}"
            elif low > offset:
                message = f"{told}: retention removed the records from {offset:,} to {low - 1:,}, which were never read"
            elif high < offset:
                message = f"{told} ends at {high:,}, and this job has read it up to {offset:,}"
            else:
                continue
            raise RecordsLostError(message, hint=_LOST_HINT)


def arrived(batch: DataFrame, source: KafkaSource, brokers: Brokers, *, run_id: str) -> Arrived:
    """The rows that the records of a batch hold, with all that Kafka says of each; nothing is evaluated yet."""
    messages = _messages(_until(batch, source), run_id)
    plain_key = None if source.debezium else source.key_column
    messages = with_key_text(messages, plain_key, brokers.registry) if plain_key else messages
    decoded = _decoded(messages, source, brokers)
    decoded = with_tombstones(decoded, plain_key) if plain_key else decoded
    key = F.col("__key")
    code = F.col(CODE)
    if source.key == "text":
        bad_key = key.isNotNull() & ~F.is_valid_utf8(key.cast("string"))
        code = F.coalesce(code, F.when(bad_key, "KEY_ENCODING"))
        key = F.when(~bad_key, key.cast("string"))
    beside = F.struct(
        key.alias("key"),
        F.col("__timestamp").alias("timestamp"),
        F.col("__timestampType").alias("timestamp_type"),
        F.col("__headers").alias("headers"),
        *([F.col(TOMBSTONE).alias("tombstone")] if TOMBSTONE in decoded.columns else []),
    )
    raw = F.coalesce("__text", F.concat(F.lit("base64:"), F.base64("__value")))
    skip = F.col(SKIP) if SKIP in decoded.columns else F.lit(None).cast("string")
    values = [col(name) for name in decoded.columns if not name.startswith("__") or name.startswith(TYPED)]
    rows = decoded.select(
        *values,
        beside.alias(KAFKA),
        F.col("__source").alias(SOURCE),
        F.col(RECEIVED),
        raw.alias(RAW),
        code.alias(CODE),
        F.col(MESSAGE),
        skip.alias(SKIP),
        *[F.col(name) for name in (TOLD, OTHERS) if name in decoded.columns],
    )
    return Arrived(rows, skips=debezium.SKIPS if source.debezium else ())


AS_IT_CAME = "received IS NOT NULL AND source.offset IS NOT NULL"
"""Which rows of the quarantine are whole messages."""


def again(rows: DataFrame, source: KafkaSource, brokers: Brokers, *, run_id: str) -> Arrived:
    """Messages of the quarantine as they once came, each with its place in its topic, wherever the source ends now."""
    held = {name: f"received.{name}" for name in ("key", "value", "timestamp", "headers")}
    held |= {name: f"source.{name}" for name in ("topic", "partition", "offset")}
    held["timestampType"] = "received.timestamp_type"
    records = rows.select(*[F.col(held[name]).cast(kind).alias(name) for name, kind in RECORD.items()])
    return arrived(records, source.model_copy(update={"ending_offsets": "latest"}), brokers, run_id=run_id)


def _until(batch: DataFrame, source: KafkaSource) -> DataFrame:
    """The records before the source's end: the others are not of this job."""
    end = source.ending_offsets
    if isinstance(end, AtTime):
        return batch.where(F.col("timestamp") < F.lit(end.timestamp))
    if isinstance(end, AtOffsets):
        beyond = [
            f"(topic = {literal(topic)} AND partition = {place} AND offset >= {offset})"
            for topic, parts in end.offsets.items()
            for place, offset in parts.items()
        ]
        return batch.where(~expression(" OR ".join(beyond))) if beyond else batch
    return batch


def _messages(batch: DataFrame, run_id: str) -> DataFrame:
    """The records as the formats take them; no format sees a column that does not begin with two underscores."""
    source = F.struct(
        F.lit(None).cast("string").alias("file"),
        F.lit(None).cast("bigint").alias("position"),
        F.col("topic"),
        F.col("partition"),
        F.col("offset"),
        F.current_timestamp().alias("ingested_at"),
        F.lit(run_id).alias("run_id"),
    )
    received = F.struct("key", "value", "headers", F.col("timestamp"), F.col("timestampType").alias("timestamp_type"))
    text = F.col("value").cast(StringType())
    return batch.select(
        *[F.col(name).alias(f"__{name}") for name in RECORD],
        F.when(F.is_valid_utf8(text), text).alias("__text"),
        source.alias("__source"),
        received.alias(RECEIVED),
    )


def _strange(source: KafkaSource) -> tuple[str, str | None]:
    """What becomes of a field that is not declared, and the column that it goes to."""
    by_contract = source.contract.unknown if source.contract else "keep"
    if by_contract == "keep":
        return source.unknown_fields, source.rescue
    return "ignore" if by_contract == "ignore" else "quarantine", OTHERS if by_contract == "rescue" else None


def _decoded(messages: DataFrame, source: KafkaSource, brokers: Brokers) -> DataFrame:
    """The messages with the columns that they hold."""
    columns = source.contract.columns if source.contract else {}
    # words for true and false are text
    declared = {
        name: DataType.fromDDL("string" if column.true_values else column.type) for name, column in columns.items()
    }
    unknown, rescue = _strange(source)
    if source.debezium:
        if isinstance(source.value, Avro):
            messages = debezium_avro.as_read(
                messages,
                registry=brokers.registry,
                schema=brokers.schema,
                topics=source.topics,
                flat=source.debezium.flat,
                key_column=source.key_column,
            )
        else:
            messages = debezium.as_read(messages, source.key_column)
        return debezium.decoded(messages, declared, source.debezium, unknown=unknown, rescue=rescue)
    match source.value:
        case Json():
            missing = source.contract.missing if source.contract else "allow"
            return json_payload.decoded(messages, declared, unknown=unknown, rescue=rescue, missing=missing)
        case DelimitedText() as form:
            return text_payload.delimited(messages, list(declared), form)
        case Binary():
            return text_payload.binary(messages)
        case Avro():
            return avro_payload.decoded(
                messages,
                registry=brokers.registry,
                schema=brokers.schema,
                topics=source.topics,
                declared=declared,
            )
        case _:
            return text_payload.text(messages)
