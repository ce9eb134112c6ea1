"""A stream under a steady load for long, with maintenance beside it: whether latency, memory and files stay the same.

Ends stdout with one line of JSON: {"targets": [{"name", "value", "target", "met"}]}.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import deltalake
from streaming.arena import LAST, STARTED, Place, ended, polled

from scripts.streams import Kafka

MAINTAINED = 5
"""Minutes between two runs of maintenance."""


def endure(place: Place, rate: int, minutes: int) -> dict[str, list[float]]:
    """A steady rate for long, with maintenance beside it: p99 by the minute, memory and files at each minute's end."""
    place.topic("endure")
    process, table = place.stream("append", "endure", "as_fast_as_possible")
    told: dict[str, list[float]] = {"memory": [], "files": []}
    with polled(table) as seen:
        producer = place.produce("endure", rate, 3600 * 24)
        while len(seen.versions) < STARTED and process.poll() is None:
            time.sleep(0.1)
        begin = time.time()
        for minute in range(1, minutes + 1):
            time.sleep(max(0, begin + 60 * minute - time.time()))
            told["memory"].append(resident(process.pid))
            told["files"].append(len(deltalake.DeltaTable(table).file_uris()))
            print(
                f"minute {minute}: {told['memory'][-1]:.0f} MB, {told['files'][-1]} files", file=sys.stderr, flush=True
            )
            if minute % MAINTAINED == 0:
                place.maintain("append", "endure")
        producer.kill()
        producer.wait()
        time.sleep(LAST)
        ended(process)
    spans = [(begin + 60 * minute, begin + 60 * minute + 60) for minute in range(minutes)]
    told["p99"] = [statistics.quantiles(seen.latencies(*span), n=100)[98] * 1000 for span in spans]
    return told


def resident(pid: int) -> float:
    """MB that a process and its children hold in memory."""
    found = subprocess.run(["ps", "-o", "rss=", "-s", str(pid)], capture_output=True, text=True, check=True)
    return sum(map(int, found.stdout.split())) / 1024


def lasting(told: dict[str, list[float]]) -> dict[str, object]:
    """What a long run is held against: the last minute against the third, in latency and in memory."""
    third = min(2, len(told["p99"]) - 1)
    late, fat = (told[name][-1] / told[name][third] for name in ("p99", "memory"))
    reached = [
        {
            "name": "p99 of the last minute against the third",
            "value": round(late, 2),
            "target": 1.3,
            "met": late <= 1.3,
        },
        {
            "name": "memory at the end against the third minute",
            "value": round(fat, 2),
            "target": 1.1,
            "met": fat <= 1.1,
        },
    ]
    return {"endure": told, "targets": reached}


@click.command()
@click.option("--minutes", default=30, help="How long.")
@click.option("--rate", default=1000, help="Messages a second.")
def main(minutes: int, rate: int) -> None:
    """Measure, and say which targets are met."""
    folder = Path(tempfile.mkdtemp(prefix="streams-"))
    try:
        with Kafka(folder / "kafka") as kafka:
            print(json.dumps(lasting(endure(Place(folder, kafka), rate, minutes))))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
