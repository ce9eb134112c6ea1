"""How long a run takes to its first row, against a bare pyspark session with the same jars.

Each figure is a process of its own; pairs run in turn, so that a drift of the machine hits both. Ends stdout with one
line of JSON: {"targets": [{"name", "value", "target", "met"}]}.
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

ROOT = Path(__file__).resolve().parent.parent
BARE = """
import time
begin = time.perf_counter()
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("bare").getOrCreate()
spark.sql("select 1").collect()
print(time.perf_counter() - begin)
"""
OURS = """
import time
begin = time.perf_counter()
from lakehouse.runtime.session import settled, start
from lakehouse.runtime.workplace import prepare
work = prepare("silver_orders", lake="{lake}")
spark = start(work.job.job, work.settings)
with settled(spark, work.settings):
    spark.sql("select 1").collect()
print(time.perf_counter() - begin)
"""


@click.command()
@click.option("--pairs", default=5, help="How often each is measured.")
def main(pairs: int) -> None:
    """Print the times, and the ratios that count."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as folder:
        lake = Path(folder) / "lake"
        checks = [seconds([sys.executable, "-m", "lakehouse", "check"]) for _ in range(pairs)]
        bare, ours = [], []
        for _ in range(pairs):
            bare.append(printed(BARE))
            ours.append(printed(OURS.format(lake=lake)))
        day = small_day(Path(folder), lake)
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    for name, values in (
        ("check", checks),
        ("bare session", bare),
        ("our session", ours),
        ("run of a small day", [day]),
    ):
        print(f"{name}: median {statistics.median(values):.2f} s, {min(values):.2f} to {max(values):.2f}")
    print(f"our session / bare session: {ratio:.2f}; small day / bare session: {day / statistics.median(bare):.2f}")
    targets = [
        target("seconds of lakehouse check", statistics.median(checks), 1.0),
        target("session start / bare session start", ratio, 1.0),
        target("seconds of a warm run of the demo's small day", day, 25.0),
    ]
    print(json.dumps({"targets": targets}))


def target(name: str, value: float, most: float) -> dict[str, object]:
    """One figure beside what it may be at the most."""
    return {"name": name, "value": round(value, 3), "target": most, "met": value <= most}


def seconds(command: list[str]) -> float:
    """How long a command takes, as a process."""
    begin = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begin


def printed(code: str) -> float:
    """The figure that a piece of code prints last, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def small_day(folder: Path, lake: Path) -> float:
    """The seconds of one job on one more day, in a lake that has two: the run has to be right to count."""
    landing = folder / "landing"
    make = [sys.executable, "scripts/landing.py", str(landing), "--days"]
    job = [sys.executable, "-m", "lakehouse", "run", "bronze_orders", "--lake", str(lake), "--json"]
    job += ["--param", f"landing={landing}"]
    seconds([*make, "2"])
    seconds(job)
    seconds([*make, "3"])
    begin = time.perf_counter()
    done = subprocess.run(job, cwd=ROOT, check=True, capture_output=True, text=True)
    taken = time.perf_counter() - begin
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    if not rows["inserted"] or rows["read"] != rows["accepted"] + rows["quarantined"] + rows["dropped"]:
        sys.exit(f"the run of the small day is not right: {rows}")
    shutil.rmtree(lake)
    return taken


if __name__ == "__main__":
    main()
