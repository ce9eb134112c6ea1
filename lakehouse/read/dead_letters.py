"""A dead-letter topic: messages that were put aside, as they came, for whoever looks after them elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.read.brokers import Brokers
    from lakehouse.spec.kafka import KafkaSource

_HEADERS = "array<struct<key:string,value:binary>>"

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
    """
    told = {
        "code": F.col("code"),
        "message": F.col("message"),
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
    messages = rejected.select("received.key", "received.value", F.concat(theirs, ours.cast(_HEADERS)).alias("headers"))
    # what is said of the consumer is none of a producer's
    way = {name: value for name, value in brokers.java.items() if name not in source.consumer}
    writer = messages.write.format("kafka").option("kafka.bootstrap.servers", brokers.servers)
    writer.options(**{f"kafka.{name}": value for name, value in {**_PRODUCER, **way}.items()}).option(
        "topic", source.dead_letter_topic
    ).save()
