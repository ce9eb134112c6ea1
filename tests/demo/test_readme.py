"""The README's commands, run as they stand there, and what the demo's tables must hold, computed without Spark.

The scripts, ``spark-submit`` and one command of the library are processes of their own, started beside the other tests
(see ``conftest.py``). The other commands run in the tests' own session: a start of Spark takes longer than most of them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import deltalake
import pytest
from click.testing import CliRunner

from lakehouse.cli import cli

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
NOT_RUN = {"scripts/test", "source .venv/bin/activate"}
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.split("#")[0].strip() not in NOT_RUN
]


OWN_PROCESS = {"lakehouse doctor"}
"""A command of the library that needs no Spark: that it starts at all is worth a process."""


def is_own_process(command):
    return command in OWN_PROCESS or not command.startswith("lakehouse ")


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


class Readme(threading.Thread):
    """The commands that are processes of their own, one after the other; what each printed and how it ended."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ended = {}

    def run(self):
        paths = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        # every one of them is a short start
        environ = {**os.environ, "PATH": paths, "SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1"}
        for command in filter(is_own_process, COMMANDS):
            words = shlex.split(command)
            done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
            self.ended[command] = Ended(done.returncode, done.stdout, done.stderr)


def run_in_session(command):
    """Run a command of the library in this process, from the project's folder."""
    with contextlib.chdir(ROOT):
        done = CliRunner().invoke(cli, shlex.split(command)[1:])
    failure = f"\n{done.exception!r}" if done.exception and not isinstance(done.exception, SystemExit) else ""
    return Ended(done.exit_code, done.stdout, done.stderr + failure)


@pytest.fixture(scope="module")
def readme(request, spark):  # noqa: ARG001 -- the session that the commands find
    if README_KEY not in request.config.stash:
        begin(request.config)
    runner = request.config.stash[README_KEY]
    runner.join()
    own = {command: run_in_session(command) for command in COMMANDS if not is_own_process(command)}
    return {**runner.ended, **own}


README_KEY = pytest.StashKey[Readme]()


def begin(config):
    """Start the commands, from an empty demo."""
    shutil.rmtree(ROOT / ".demo", ignore_errors=True)
    config.stash[README_KEY] = Readme()
    config.stash[README_KEY].start()


@pytest.fixture(scope="module")
def expected(readme):
    assert all(done.returncode == 0 for done in readme.values())
    spec = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
    oracle = importlib.util.module_from_spec(spec)
    sys.modules["oracle"] = oracle
    spec.loader.exec_module(oracle)
    return oracle.expect(ROOT / ".demo" / "landing")


def table(name):
    """A table's rows as another reader sees them."""
    found = deltalake.DeltaTable(ROOT / ".demo" / "lake" / name)
    found = deltalake.QueryBuilder().register("t", found).execute("select * from t").read_all()
    return [dict(zip(found.column_names, row, strict=True)) for row in zip(*map(values, found.columns), strict=True)]


def values(column):
    return [value.as_py() for value in column]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_ends_well(readme, command):
    done = readme[command]
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_second_run_of_a_job_finds_nothing_new(readme):
    (again,) = [done for command, done in readme.items() if command.startswith("lakehouse run")]
    assert '"batches": 0' in again.stdout.splitlines()[-1]


def test_bronze_holds_every_record_as_it_was_received(expected):
    for name, bronze in (("orders", expected.bronze_orders), ("customers", expected.bronze_customers)):
        rows = table(f"bronze/{name}")
        found = {place(row["_source"]): row for row in rows}
        assert len(found) == len(rows) == len(bronze.records)
        for record in bronze.records:
            row = found[record.file, record.position]
            assert {column: row[column] for column in record.values} == record.values


def test_quarantine_holds_every_record_and_file_that_cannot_be_read(expected):
    for name, bronze in (("orders", expected.bronze_orders), ("customers", expected.bronze_customers)):
        found = [(*place(row["source"]), row["code"]) for row in table(f"quarantine/bronze_{name}")]
        wanted = [(one.file, one.position, one.code) for one in bronze.quarantine]
        assert sorted(found, key=repr) == sorted(wanted, key=repr)


def test_silver_is_the_fold_of_all_that_was_accepted(expected):
    rows = {row["order_id"]: row for row in table("silver/orders")}
    assert rows.keys() == expected.silver_orders.rows.keys()
    for key, wanted in expected.silver_orders.rows.items():
        found = {name: naive(value) for name, value in rows[key].items() if name in wanted}
        assert found == wanted


def naive(value):
    return value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value


def test_what_silver_could_not_take_is_in_quarantine_with_all_its_reasons(expected):
    found = [(*place(row["source"]), sorted(row["reasons"])) for row in table("quarantine/silver_orders")]
    wanted = [
        (one.record.file, one.record.position, sorted(reason(*pair) for pair in one.reasons))
        for one in expected.silver_orders.quarantine
    ]
    assert sorted(found, key=repr) == sorted(wanted, key=repr)


def place(source):
    """Where a row came from, as the oracle says it."""
    return str(Path(source["file"]).relative_to(ROOT / ".demo" / "landing")), source["position"]


def reason(code, column):
    return code if ":" in code else f"{code}:{column}"


def test_gold_is_the_sum_of_silver(expected):
    rows = [
        (row["order_date"], row["segment"], row["orders"], Decimal(row["revenue"])) for row in table("gold/daily_sales")
    ]
    wanted = [(row["order_date"], row["segment"], row["orders"], row["revenue"]) for row in expected.gold_daily_sales]
    assert sorted(rows) == sorted(wanted)
