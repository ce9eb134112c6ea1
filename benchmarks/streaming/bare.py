"""The stream as one writes it by hand: Kafka, from_json, Delta's own sink; nothing is accounted for.

python -m streaming.bare SETTINGS SERVERS TOPIC LAKE TRIGGER; with available_now it ends when nothing is left.
"""

from __future__ import annotations

import json
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

SCHEMA = "event_id bigint, order_id bigint, status string, amount decimal(12,2), customer string, made_us bigint"


def main() -> None:
    """Run until told to stop."""
    settings, servers, topic, lake, trigger = sys.argv[1:]
    builder = SparkSession.builder.appName("bare")
    for name, value in json.loads(settings).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", servers)
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", "200000")
        .option("includeHeaders", "true")
        .load()
    )
    rows = source.select(
        F.from_json(F.col("value").cast("string"), SCHEMA).alias("v"),
        F.struct("key", "timestamp", "timestampType", "headers").alias("_kafka"),
        F.struct("topic", "partition", "offset", F.current_timestamp().alias("ingested_at")).alias("_source"),
    ).select("v.*", "_kafka", "_source")
    when = {"availableNow": True} if trigger == "available_now" else {"processingTime": "0 seconds"}
    query = (
        rows.coalesce(1)
        .writeStream.format("delta")
        .option("checkpointLocation", f"{lake}/_checkpoints/bare")
        .trigger(**when)
        .start(f"{lake}/bronze/order_events")
    )
    query.awaitTermination()


if __name__ == "__main__":
    main()
