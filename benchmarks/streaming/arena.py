"""A broker, a producer, streams and a poller: what is measured, and how."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from confluent_kafka.admin import AdminClient, NewTopic

if TYPE_CHECKING:
    from scripts.streams import Kafka

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 20
"""Seconds of load before it is measured, from when the stream is there."""

STARTED, LAST = 4, 3
"""Versions after which a stream counts as there, and seconds for the last of it to come."""
SETTINGS = {
    "spark.master": "local[2]",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.properties.defaults.checkpointInterval": "100",
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "true",
    "spark.databricks.delta.stats.collect": "true",
    "spark.ui.enabled": "false",
}
"""The same for all, beside the defaults that the set-up wrote for Spark: what makes a small batch quick."""

SOURCE = """\
  events:
    kind: kafka
    bootstrap_servers: ${param:kafka}
    topics: events
    max_records: 200000
    value: json
    contract:
      columns: {event_id: bigint, order_id: bigint, status: string, amount: "decimal(12,2)",
                customer: string, made_us: bigint}
"""
JOBS = {
    "append": "write: {table: bronze.order_events, mode: append}\n",
    "scd1": "write: {table: bronze.order_events, mode: scd1, keys: order_id, sequence_by: event_id}\n",
}


@dataclass
class Seen:
    """What a poller saw of a table: when each version became visible."""

    table: Path
    versions: dict[int, float] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> None:
        """Look until told to end; a commit is visible once its file is there."""
        log, number = self.table / "_delta_log", 0
        while not self.done.is_set():
            if (log / f"{number:020d}.json").exists():
                self.versions[number] = time.time()
                number += 1
            else:
                time.sleep(0.002)

    def latencies(self, since: float, until: float) -> list[float]:
        """Seconds from the making of each event, made in that time, to the first version that holds it."""
        found, known = [], set()
        for number, at in sorted(self.versions.items()):
            for line in (self.table / "_delta_log" / f"{number:020d}.json").read_text().splitlines():
                added = json.loads(line).get("add")
                # what maintenance only moved was visible before
                if added and added["dataChange"] and added["path"] not in known:
                    known.add(added["path"])
                    made = pq.read_table(self.table / added["path"], columns=["made_us"])["made_us"].to_numpy() / 1e6
                    found += (at - made[(made >= since) & (made < until)]).tolist()
        return found


@contextmanager
def polled(table: Path) -> Iterator[Seen]:
    """A poller, while the block runs."""
    seen = Seen(table)
    thread = threading.Thread(target=seen.poll)
    thread.start()
    try:
        yield seen
    finally:
        seen.done.set()
        thread.join()


@dataclass
class Place:
    """A broker and a project, both new."""

    folder: Path
    kafka: Kafka

    def topic(self, name: str) -> None:
        """A topic of two partitions."""
        admin = AdminClient({"bootstrap.servers": self.kafka.address})
        admin.create_topics([NewTopic(name, 2, 1)])[name].result()

    def stream(self, contender: str, topic: str, trigger: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a contender; the table that it writes."""
        lake = self.folder / f"{contender}-{topic}"
        log = (self.folder / f"{contender}-{topic}.log").open("ab")
        if contender == "bare":
            command = ["-m", "streaming.bare", json.dumps(SETTINGS), self.kafka.address, topic, str(lake), trigger]
            place = ROOT / "benchmarks"
        else:
            place = self._project(contender, topic)
            command = ["-m", "lakehouse", "run", "stream", "--lake", str(lake), "--trigger", trigger]
            command += ["--param", f"kafka={self.kafka.address}"]
        process = subprocess.Popen(
            [sys.executable, *command], cwd=place, stdout=log, stderr=log, start_new_session=True
        )
        return process, lake / "bronze" / "order_events"

    def _project(self, contender: str, topic: str) -> Path:
        project = self.folder / f"project-{contender}-{topic}"
        (project / "conf" / "env").mkdir(parents=True, exist_ok=True)
        env = {"lake": "lake", "params": {"kafka": "127.0.0.1:1"}, "spark": SETTINGS}
        (project / "conf" / "env" / "local.yaml").write_text(json.dumps(env))
        source = SOURCE.replace("topics: events", f"topics: {topic}")
        text = f"job: stream\nabout: Events.\nsources:\n{source}{JOBS[contender]}"
        (project / "conf" / "stream.yaml").write_text(text)
        return project

    def maintain(self, contender: str, topic: str) -> None:
        """Look after the table, beside the stream that writes it."""
        lake = self.folder / f"{contender}-{topic}"
        command = [sys.executable, "-m", "lakehouse", "maintain", "stream", "--lake", str(lake)]
        with (self.folder / "maintain.log").open("ab") as log:
            subprocess.Popen(command, cwd=self.folder / f"project-{contender}-{topic}", stdout=log, stderr=log)

    def produce(self, topic: str, rate: float, seconds: int) -> subprocess.Popen[bytes]:
        """Produce at a rate for some seconds; a rate of 0: so many messages, as fast as can be."""
        command = [sys.executable, "-m", "streaming.produce", self.kafka.address, topic, str(rate), str(seconds)]
        return subprocess.Popen(command, cwd=ROOT / "benchmarks", stdout=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes]) -> None:
    """Tell a stream to end, and wait for it."""
    process.send_signal(signal.SIGTERM if process.args[2] == "lakehouse" else signal.SIGKILL)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
