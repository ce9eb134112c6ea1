"""What rules cost: a write with 50 rules over rows and 20 over all of them, and the same write without any.

Beside it filters as one writes them by hand, and pandera where it installs. Rounds take turns in one warm session; what
comes out is held against DuckDB. Ends stdout with one line of JSON: {"targets": [{"name", "value", "target", "met"}]}.
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
import duckdb
from pyspark.sql import functions as F

from lakehouse.runtime.runner import execute
from lakehouse.runtime.session import settled, start
from lakehouse.runtime.workplace import prepare

HERE = Path(__file__).resolve().parent
COLUMNS = {
    "order_id": "bigint not null", "quantity": "int", "amount": "decimal(12,2)", "email": "string", "status": "string",
    "country": "string", "currency": "string", "ordered_at": "timestamp", "ratio": "double", "sku": "string",
}  # fmt: skip
ROWS = [
    "order_id >= 0", "quantity between 0 and 997", "amount >= 0", "amount < 100000", "length(sku) = 13",
    "status in ('open', 'paid', 'shipped', 'closed')", "country in ('DE', 'FR', 'US', 'GB')", "currency = 'EUR'",
    "ordered_at > timestamp '2020-01-01 00:00:00+00'", "ordered_at < timestamp '2060-01-01 00:00:00+00'", "ratio >= 0",
    "ratio <= 1", "email is not null", "length(email) between 5 and 60", "sku like 'SKU-%'",
    *(f"quantity >= {-n} or amount > {n}" for n in range(10)),
    *(f"ratio + {n} >= {n}" for n in range(10)),
    *(f"order_id + {n} > order_id - 1" for n in range(10)),
]  # fmt: skip
PATTERNS = {
    "email": "[^@ ]+@[^@ ]+[.][a-z]+", "sku": "SKU-[0-9]{9}", "status": "[a-z]+", "country": "[A-Z]{2}",
    "currency": "[A-Z]{3}",
}  # fmt: skip
TOGETHER = [
    "count(*) > 1", "avg(amount) between 1 and 1000", "max(ordered_at) > timestamp '2020-01-01 00:00:00+00'",
    "min(quantity) >= 0", "max(quantity) < 1000", "sum(quantity) > 0", "avg(ratio) < 1", "min(ratio) >= 0",
    "stddev(ratio) > 0", "count(email) = count(*)", "count_if(status = 'open') > 0", "count_if(status = 'paid') > 0",
    "max(amount) < 1001", "min(amount) >= 0", "min(ordered_at) > timestamp '2020-01-01 00:00:00+00'",
    "max(order_id) > 0",
    "min(order_id) >= 0", "avg(quantity) > 1", "max(length(email)) < 60", "approx_count_distinct(country) = 4",
]  # fmt: skip
TARGET = 1.20
PEERS = {"pandera": "pandera[pyspark]==0.35.0"}


@click.command()
@click.option("--rows", default=10_000_000, show_default=True, help="Rows of the batch.")
@click.option("--repeat", default=3, show_default=True, help="Rounds that count, after one that does not.")
@click.option("--peers/--no-peers", default=True, help="pandera, in a folder of its own.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Where tables go; a temporary folder where not said.")
@click.option("--worker", hidden=True, help="A peer, run in a process of its own.")
def main(rows: int, repeat: int, peers: bool, scratch: Path | None, worker: str | None) -> None:  # noqa: FBT001
    """Measure, print what each took, and say whether the target is met."""
    if worker:
        return peer(Path(worker))
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        place = Path(folder)
        spark = start("quality", {"spark.master": "local[2]", "spark.driver.memory": "8g", "spark.ui.enabled": "false"})
        spark.sparkContext.setLogLevel("ERROR")
        with settled(spark, {}):
            data(spark, place / "landing" / "orders", rows)
            good = right(place)
            project(place)
            contenders = {
                "without": lambda at: run(spark, place, "without", at),
                "rules": lambda at: run(spark, place, "rules", at),
                "by hand": lambda at: by_hand(spark, place, at),
            }
            seconds: dict[str, list[float]] = {name: [] for name in contenders}
            for number in range(repeat + 1):
                for name, contender in contenders.items():
                    at = place / "out" / f"{name.replace(' ', '_')}_{number}"
                    spark.sparkContext._jvm.System.gc()
                    begin = time.perf_counter()
                    contender(at)
                    took = time.perf_counter() - begin
                    held(spark, at, rows if name == "without" else good, name)
                    shutil.rmtree(at)
                    seconds[name] += [took] if number else []
        spark.stop()
        for name in PEERS if peers else ():
            told = of_peer(name, place)
            print(f"{name:>10}  {told}")
    for name, took in seconds.items():
        print(f"{name:>10}  {statistics.median(took):8.2f} s  {', '.join(f'{one:.2f}' for one in took)}")
    pairs = zip(seconds["rules"], seconds["without"], strict=True)
    ratio = statistics.median(one / other for one, other in pairs)
    by = statistics.median(seconds["rules"]) / statistics.median(seconds["by hand"])
    print(f"{rows:,} rows: with rules {ratio:.2f} of the time without; {by:.2f} of filters by hand")
    target = {"name": "50 + 20 rules, against none", "value": round(ratio, 3), "target": TARGET, "met": ratio <= TARGET}
    print(json.dumps({"targets": [target]}))
    return None


def data(spark, folder: Path, rows: int) -> None:
    """Orders of which two in a thousand break a rule by their quantity."""
    at = F.col("id")

    def one_of(*words: str):
        return F.element_at(F.array(*map(F.lit, words)), (at % len(words) + 1).cast("int"))

    frame = spark.range(0, rows, numPartitions=8).select(
        at.alias("order_id"),
        (at % 1000).cast("int").alias("quantity"),
        (F.rand(1) * 1000).cast("decimal(12,2)").alias("amount"),
        F.concat(F.lit("user"), at, F.lit("@example.com")).alias("email"),
        one_of("open", "paid", "shipped", "closed").alias("status"),
        one_of("DE", "FR", "US", "GB").alias("country"),
        F.lit("EUR").alias("currency"),
        F.timestamp_seconds(F.lit(1_700_000_000) + at).alias("ordered_at"),
        F.rand(2).alias("ratio"),
        F.concat(F.lit("SKU-"), F.lpad(at.cast("string"), 9, "0")).alias("sku"),
    )
    frame.write.parquet(str(folder))


def conditions(*, form: str) -> list[str]:
    """The rules over a row as SQL of one engine."""
    return [*ROWS, *(form.format(name=name, pattern=pattern) for name, pattern in PATTERNS.items())]


def right(place: Path) -> int:
    """How many rows break nothing, by another engine."""
    every = " AND ".join(f"({one})" for one in conditions(form="regexp_full_match({name}, '{pattern}')"))
    files = place / "landing" / "orders" / "*.parquet"
    duckdb.sql("SET TimeZone = 'UTC'")
    return duckdb.sql(f"SELECT count(*) FROM '{files}' WHERE {every}").fetchone()[0]  # noqa: S608


def project(place: Path) -> None:
    """Two jobs that differ in their rules alone."""
    of_rows = conditions(form="matches({name}, '{pattern}')")
    rules = [{"name": f"row_{index}", "check": one} for index, one in enumerate(of_rows)]
    rules += [{"name": f"all_{index}", "check": one} for index, one in enumerate(TOGETHER)]
    (place / "conf" / "env").mkdir(parents=True)
    (place / "conf" / "env" / "local.yaml").write_text("lake: lake\n")
    for name, asked in {"without": [], "rules": rules}.items():
        source = {"kind": "files", "path": "landing/orders", "contract": {"columns": COLUMNS, "rules": asked}}
        write = {"table": "silver.orders", "mode": "append"}
        job = {"job": name, "about": "Orders.", "sources": {"orders": source}, "write": write}
        (place / "conf" / f"{name}.yaml").write_text(json.dumps(job))


def run(spark, place: Path, name: str, at: Path) -> None:
    """One run of a job into a lake of its own."""
    result = execute(prepare(name, lake=str(at), root=place), spark=spark)
    if result.error:
        raise result.error


def by_hand(spark, place: Path, at: Path) -> None:
    """The rows that break nothing, written; those that do, beside them; the aggregates in a pass of their own."""
    orders = spark.read.parquet(str(place / "landing" / "orders"))
    every = " AND ".join(f"({one})" for one in conditions(form="{name} rlike '^{pattern}$'"))
    flagged = orders.withColumn("good", F.expr(every)).persist()
    good = flagged.where("good").drop("good")
    good.coalesce(4).write.format("delta").save(str(at / "silver" / "orders"))
    flagged.where("not good").drop("good").coalesce(1).write.format("delta").save(str(at / "quarantine"))
    if not all(good.agg(*[F.expr(one) for one in TOGETHER]).collect()[0]):
        raise click.ClickException("a rule over all rows is broken, where none is")
    flagged.unpersist()


def held(spark, at: Path, rows: int, name: str) -> None:
    """Hold what came out against what is right."""
    found = spark.read.format("delta").load(str(at / "silver" / "orders")).count()
    if found != rows:
        raise click.ClickException(f"{name}: {found:,} rows, where {rows:,} are right")


def of_peer(name: str, place: Path) -> str:
    """What a peer took, in a process and with packages of its own; else why not."""
    packages = HERE / ".cache" / f"quality-{name}"
    if not packages.is_dir():
        ask = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(packages), PEERS[name]]
        if subprocess.run(ask, check=False, capture_output=True).returncode:
            shutil.rmtree(packages, ignore_errors=True)
            return "not installed: its packages cannot be had here"
    ask = [sys.executable, __file__, "--worker", str(place)]
    paths = {"PYTHONPATH": f"{HERE.parent}:{packages}"}
    import os

    done = subprocess.run(ask, check=False, capture_output=True, text=True, env={**os.environ, **paths})
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 else f"failed: {done.stderr.strip()[-300:]}"


def peer(place: Path) -> None:
    """pandera's checks on the same rows: it says which columns fail, and splits no rows."""
    import pandera.pyspark as pa

    spark = start("pandera", {"spark.master": "local[2]", "spark.driver.memory": "8g", "spark.ui.enabled": "false"})
    orders = spark.read.parquet(str(place / "landing" / "orders"))
    checks = {
        "order_id": [pa.Check.ge(0)], "quantity": [pa.Check.in_range(0, 997)], "ratio": [pa.Check.in_range(0, 1)],
        "status": [pa.Check.isin(["open", "paid", "shipped", "closed"])], "currency": [pa.Check.isin(["EUR"])],
        "country": [pa.Check.isin(["DE", "FR", "US", "GB"])], "email": [pa.Check.str_contains("@")],
        "sku": [pa.Check.str_startswith("SKU-")],
    }  # fmt: skip
    schema = pa.DataFrameSchema({name: pa.Column(orders.schema[name].dataType, some) for name, some in checks.items()})
    begin = time.perf_counter()
    errors = schema.validate(orders).pandera.errors
    count = sum(len(some) for some in checks.values())
    found = "some broken" if errors else "none broken"
    print(f"{time.perf_counter() - begin:8.2f} s for {count} checks, nothing written; {found}")


if __name__ == "__main__":
    main()
