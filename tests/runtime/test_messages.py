"""Canaries: a secret and a person, pushed through each place where a foreign message becomes text of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from lakehouse.errors import TransformError
from lakehouse.lake.place import Lake
from lakehouse.runtime.plan import planned
from lakehouse.runtime.runner import execute
from lakehouse.runtime.workplace import prepare

SECRET, PERSON = "Zk9$s3cret/Wert", "ann.canary@example.com"
SAID = (
    '[CAST_INVALID_INPUT] The value *** of the type "STRING" cannot be cast to "INT" because it is malformed. '
    "Correct the value as per the syntax, or change its target type. "
    "Use `try_cast` to tolerate malformed input and return NULL instead."
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a process of many canaries said: stdout and stderr, that of Java included."""
    root = tmp_path_factory.mktemp("canaries")
    environ = {**os.environ, "CANARY": SECRET, "PYTHONPATH": os.pathsep.join(sys.path)}
    environ = {name: value for name, value in environ.items() if not name.startswith("PYSPARK_GATEWAY")}
    program = Path(__file__).with_name("canaries.py")
    done = subprocess.run(
        [sys.executable, str(program), str(root), PERSON],
        env=environ,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    logs = "".join(path.read_text() for path in (root / "lake").rglob("_delta_log/*.json"))
    return done.stdout, done.stderr, logs


def test_no_canary_is_seen_anywhere(seen):
    out, err, logs = seen
    for text in (out, err):
        for canary in (SECRET, SECRET.encode().hex(), "s3cret", PERSON, "ann.canary"):
            assert canary.lower() not in text.lower()
    assert "s3cret" not in logs.lower()
    assert SECRET.encode().hex() not in logs.lower()


def test_each_of_them_was_met_and_says_what_failed(seen):
    out, err, _ = seen
    for code, message in {
        "EXPRESSION_FAILED": f"NumberFormatException: {SAID} (in cast(email as int))",
        "CONFIG": "sources.rows.bootstrap_servers: ${env:CANARY}: expected host:port, or several",
    }.items():
        assert f"{code}: {message}" in err
    for message in (
        f"jobs/lazy.py:4: transform() of lazy failed: NumberFormatException: {SAID}",
        "jobs/raises.py:4: transform() of raises failed: ValueError: no such person: ***",
        "jobs/worker.py:5: transform() of worker failed: RuntimeError: of ***",
        f"jobs/sql.sql: the query failed: NumberFormatException: {SAID}",
        "Did you mean one of the following? [`_source`, ***, ***]",
    ):
        assert message in err
    assert "rule 'no_year' fails on some row" in err
    assert "places/email=***/***-x.parquet" in out
    assert "write NumberFormatException" in out


def test_no_stack_is_seen_on_stderr(seen):
    err = seen[1]
    assert "\tat " not in err
    assert '"logger":' not in err
    assert "Traceback" not in err


def test_a_run_that_is_told_to_stop_before_its_first_batch_is_not_done(workshop):
    source = 'orders: {kind: files, path: "${param:landing}/orders", format: csv}'
    workshop.job("bronze", f"sources: {{{source}}}\nwrite: {{table: bronze.orders, mode: append}}\n")
    workshop.job(
        "gold", "sources: {orders: {kind: table, table: bronze.orders}}\nwrite: {table: gold.orders, mode: overwrite}\n"
    )
    workshop.land("orders/1.csv", "id\n1\n")
    stop, params = threading.Event(), {"landing": str(workshop.landing)}
    stop.set()
    for job in ("bronze", "gold"):
        work = prepare(
            job, lake=str(workshop.folder), params=params if job == "bronze" else None, root=workshop.project
        )
        result = execute(work, spark=workshop.spark, stop=stop)
        assert (result.status, result.error.code, result.error.exit_code) == ("stopped", "STOPPED", 5)
        assert workshop.version(work.job.write.table) is None
    runs = workshop.frame("ops.runs").select("job", "status", "error_code").collect()
    assert {tuple(row) for row in runs} == {("bronze", "stopped", "STOPPED"), ("gold", "stopped", "STOPPED")}
    assert workshop.run("bronze").rows.inserted == workshop.run("gold").rows.inserted == 1


def broken(workshop, how):
    """A table with three commits, with which something is wrong."""
    table = f"bronze.{how}"
    for number in range(3):
        workshop.put(table, "id int", [(number,)])
    folder = Path(Lake(str(workshop.folder)).table(table).path)
    logs = sorted((folder / "_delta_log").glob("*.json"))
    if how == "gap":
        logs[1].unlink()
    elif how == "protocol":
        features = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["odd"], "writerFeatures": ["odd"]}
        (folder / "_delta_log" / f"{3:020}.json").write_text(json.dumps({"protocol": features}))
    elif how == "files":
        for file in folder.glob("*.parquet"):
            file.unlink()
    elif how == "columns":
        shutil.rmtree(folder)
        workshop.spark.sql(f"CREATE TABLE delta.`{folder}` USING delta")
    workshop.job(
        how, f"sources: {{rows: {{kind: table, table: {table}}}}}\nwrite: {{table: gold.{how}, mode: overwrite}}\n"
    )


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("gap", "TABLE_UNREADABLE"),
        ("protocol", "TABLE_UNSUPPORTED"),
        ("files", "TABLE_UNREADABLE"),
        ("columns", "TABLE_UNREADABLE"),
    ],
)
def test_a_table_that_cannot_be_read_has_a_code_and_a_hint(workshop, how, code):
    broken(workshop, how)
    result = execute(prepare(how, lake=str(workshop.folder), root=workshop.project), spark=workshop.spark)
    assert (result.status, result.error.code, bool(result.error.hint)) == ("failed", code, True), result.error


def test_a_plan_of_what_names_do_not_allow_fails_with_a_place_in_the_file(workshop):
    source = 'orders: {kind: files, path: "${param:landing}/orders", format: csv, contract: {columns: {id: int}}}'
    workshop.job("bronze", f"sources: {{{source}}}\nwrite: {{table: bronze.orders, mode: append}}\n")
    (workshop.project / "jobs").mkdir()
    query = workshop.project / "jobs" / "bronze.sql"
    query.write_text("-- emial\nSELECT id,\n  `emial` FROM orders\n")
    workshop.land("orders/1.csv", "id\n1\n")
    work = partial(prepare, "bronze", lake=str(workshop.folder), params={"landing": str(workshop.landing)})
    with pytest.raises(TransformError, match=r"^jobs/bronze.sql:3:3: the query failed: .* `emial` cannot be resolved"):
        list(planned(work(root=workshop.project), spark=workshop.spark))
    query.unlink()
    (workshop.project / "jobs" / "bronze.py").write_text("def transform(orders):\n    return orders.select('emial')\n")
    with pytest.raises(TransformError, match=r"^jobs/bronze.py:2: transform\(\) of bronze failed: "):
        list(planned(work(root=workshop.project), spark=workshop.spark))
