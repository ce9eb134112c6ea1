"""The demo: a few days of order files become a trusted gold table, by plain spark-submit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import deltalake
import landing
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".demo"
JOBS = ("bronze_orders", "bronze_customers", "silver_orders", "gold_daily_sales")
SHOWN = (
    "read",
    "accepted",
    "quarantined",
    "dropped",
    "produced",
    "inserted",
    "updated",
    "unchanged",
    "superseded",
    "duplicates",
)


@click.command()
@click.option(
    "--days",
    type=int,
    help="Days that the landing zone holds; one more than last time where it is left out, 3 at first.",
)
@click.option("--streams", is_flag=True, help="Kafka and a data base in the place of files: live, and real.")
@click.option("--seconds", default=30, help="How long the streams run.")
def main(days: int | None, seconds: int, *, streams: bool) -> None:
    """Land files, run the four jobs, and show what became of every row."""
    if streams:
        from demo_streams import demo

        demo(seconds)
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    state = PLACE / "days"
    days = days or (int(state.read_text()) + 1 if state.exists() else 3)
    written = landing.write(PLACE / "landing", days)
    state.write_text(str(days))
    console.print(f"[bold]{len(written)} new files[/] in .demo/landing, {days} days in all")
    results = [run(job, console) for job in JOBS]
    console.print(summary(results))
    console.print(quarantined(results))
    console.print("Where to look next:", markup=False)
    for line in (
        "  source .venv/bin/activate",
        "  lakehouse show silver.orders --lake .demo/lake      # columns, version, quarantine by code, last runs",
        "  lakehouse plan silver_orders --lake .demo/lake      # what the next run would do",
        "  scripts/demo                                        # the next day's files, and nothing twice",
    ):
        console.print(line, markup=False, highlight=False)


def run(job: str, console: Console) -> dict[str, object]:
    """Run one job as a user would, and return its result."""
    command = ["spark-submit", f"jobs/{job}.py", "--lake", ".demo/lake", "--json"]
    if job.startswith("bronze"):
        command += ["--param", "landing=.demo/landing"]
    console.print(f"[bold]$ {' '.join(command)}[/]", highlight=False)
    # spark-submit puts a job's stderr into stdout: what it says of its progress, then the result
    # each job is a JVM of its own that lives for seconds: the second compiler would cost more than it brings
    environ = {"SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1", **os.environ}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        last = ""
        for line in process.stdout:
            if last:
                console.print(f"  {last}", markup=False, highlight=False)
            last = line.rstrip()
    if process.returncode:
        console.print(last, markup=False, highlight=False)
        sys.exit(process.returncode)
    return json.loads(last)


def summary(results: list[dict]) -> Table:
    """What each job did with every row that it read."""
    table = Table(title="every row accounted for", title_justify="left")
    table.add_column("")
    for result in results:
        table.add_column(result["job"], justify="right")
    for name in SHOWN:
        table.add_row(name, *[f"{result['rows'][name]:,}" if result["rows"][name] else "" for result in results])
    table.add_section()
    table.add_row("table", *[result["target"]["table"] for result in results])
    table.add_row(
        "version",
        *[
            "as it was" if result["target"]["version"] is None else str(result["target"]["version"])
            for result in results
        ],
    )
    table.add_row("seconds", *[f"{result['seconds']:.0f}" for result in results])
    return table


def quarantined(results: list[dict]) -> Table:
    """What lies in quarantine, and why: read without Spark."""
    table = Table(title="in quarantine, as it was received", title_justify="left")
    for name in ("of", "code", "rows", "for example"):
        table.add_column(name, justify="right" if name == "rows" else "left", no_wrap=True)
    for result in results:
        target = str(result["target"]["table"])
        place = PLACE / "lake" / "quarantine" / target.replace(".", "_")
        if place.exists():
            query = (
                "select code, count(*) as n, min(coalesce(record, message)) as example "
                "from q group by code order by n desc, code"
            )
            found = deltalake.QueryBuilder().register("q", deltalake.DeltaTable(place)).execute(query).read_all()
            for code, rows, example in zip(
                *[[value.as_py() for value in found[name]] for name in ("code", "n", "example")], strict=True
            ):
                table.add_row(target, code, str(rows), " ".join(example.split())[:50])
    return table


if __name__ == "__main__":
    main()
