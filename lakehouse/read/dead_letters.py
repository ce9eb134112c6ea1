"""A dead-letter topic: messages that were put aside, as they came, for whoever looks after them elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.read.brokers import Brokers
    from lakehouse.spec.kafka import KafkaSource

_HEADERS = "array<struct<key:string,value:binary>>"

_OVERHEAD = 4096
"""Bytes that our headers and what Kafka adds to a message may take."""

_PRODUCER = {
    # the size of a message is the topic's matter: a client has bounds of its own, which are lower
    "max.request.size": str(2**30),
    "buffer.memory": str(2**30),
    # what came in compressed may be too large as it is
    "compression.type": "gzip",
}


def send(rejected: DataFrame, source: KafkaSource, brokers: Brokers, *, run_id: str) -> None:
    """Send messages as they came, with why they were put aside in headers that begin with ``lakehouse.``.

    At least once: a batch that is run again sends them again, with the same topic, partition and offset in the headers.
    Ours come last, so that a header of theirs with such a name is not taken for one. What is larger than the topic
    takes goes there without its value, and says so: it is whole in quarantine, and no reason to end the run.
    """
    told = {
        "code": F.col("code"),
        # it may name fields of any length
        "message": F.substring("message", 1, 500),
        "topic": F.col("source.topic"),
        "partition": F.col("source.partition").cast("string"),
        "offset": F.col("source.offset").cast("string"),
        "run_id": F.lit(run_id),
    }
    ours = F.array(
        *[
            F.struct(F.lit(f"lakehouse.{name}").alias("key"), value.cast("binary").alias("value"))
            for name, value in told.items()
        ]
    )
    theirs = F.coalesce("received.headers", F.array().cast(_HEADERS))
    messages = rejected.select(
        "received.key", "received.value", theirs.alias("theirs"), ours.cast(_HEADERS).alias("ours")
    )
    try:
        _write(messages, source, brokers)
    except Exception as error:
        if "RecordTooLarge" not in str(error):
            raise
        _write(_cut(messages, brokers.largest_message(source.dead_letter_topic or "")), source, brokers)


def _write(messages: DataFrame, source: KafkaSource, brokers: Brokers) -> None:
    # what is said of the consumer is none of a producer's
    way = {name: value for name, value in brokers.java.items() if name not in source.consumer}
    records = messages.select("key", "value", F.concat("theirs", "ours").alias("headers"))
    writer = records.write.format("kafka").option("kafka.bootstrap.servers", brokers.servers)
    writer.options(**{f"kafka.{name}": value for name, value in {**_PRODUCER, **way}.items()}).option(
        "topic", source.dead_letter_topic
    ).save()


def _cut(messages: DataFrame, largest: int) -> DataFrame:
    """The messages without what makes one larger than the topic takes: its value, and then its key and its headers."""
    room = F.lit(largest - _OVERHEAD)
    sizes = F.transform("theirs", lambda one: F.octet_length(one["key"]) + _length(one["value"]) + 8)
    beside = F.aggregate(sizes, F.lit(0), lambda total, one: total + one) + _length(F.col("key"))
    size = beside + _length(F.col("value"))
    lacks = F.when(beside > room, "value, key, headers").when(size > room, "value")
    told = F.struct(F.lit("lakehouse.left_out").alias("key"), F.encode(lacks, "UTF-8").alias("value"))
    is_bare = F.coalesce(lacks != "value", F.lit(False))
    return messages.withColumns(
        {
            "value": F.when(lacks.isNull(), F.col("value")),
            "key": F.when(~is_bare, F.col("key")),
            "theirs": F.when(is_bare, F.array().cast(_HEADERS)).otherwise(F.col("theirs")),
            "ours": F.when(lacks.isNull(), F.col("ours")).otherwise(F.concat("ours", F.array(told).cast(_HEADERS))),
        }
    )


def _length(value: Column) -> Column:
    return F.coalesce(F.octet_length(value), F.lit(0))
