"""``lakehouse maintain``: which tables it looks after, what it refuses, and that no run notices it."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from lakehouse import cli
from lakehouse.errors import ConfigError, SourceNotFoundError
from lakehouse.lake.place import Lake
from lakehouse.maintain.compact import Bounds
from lakehouse.runtime.lock import held
from lakehouse.runtime.maintain import Plan, _items, _jobs, _kept, maintain, plan
from lakehouse.spec.project import Project

SILVER = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.orders, mode: append}
"""
EAGER = Bounds(files=1)


@pytest.fixture
def pipeline(workshop):
    workshop.job(
        "silver", SILVER, 'def transform(orders: DataFrame) -> DataFrame:\n    return orders.drop("_source")\n'
    )
    return workshop


def maintained(lake, *names, **asked):
    report = maintain(names, Plan(bounds=EAGER, **asked), lake=str(lake.folder), root=lake.project, spark=lake.spark)
    return report, {one.table.name: {step.step: step for step in one.steps} for one in report.tables}


def test_a_stream_reads_no_row_again(pipeline):
    for number in ("1", "2"):
        pipeline.put("bronze.orders", "id string", [(number,)])
    pipeline.run("silver")
    rows = pipeline.rows("bronze.orders")

    report, done = maintained(pipeline, "bronze.orders")
    assert report.error is None
    assert [(step.step, step.status) for step in report.tables[0].steps] == [
        ("purge", "nothing"),
        ("optimize", "done"),
        ("vacuum", "nothing"),
    ]
    assert done["bronze.orders"]["optimize"].counts["files_before"] == 2
    assert pipeline.rows("bronze.orders") == rows
    events = pipeline.frame("ops.runs").where("event = 'maintain'").collect()
    told = {row.target: (row.job, row.run_id, row.status, json.loads(row.inputs)) for row in events}
    assert told["bronze.orders"][:3] == ("", report.run_id, "done")
    assert told["bronze.orders"][3]["optimize"]["files_after"] == 1
    json.dumps(report.as_json())

    # a stream that had read the files reads no row again, and what is new it reads once
    pipeline.put("bronze.orders", "id string", [("3",)])
    silver = pipeline.run("silver")
    assert (silver.rows.read, silver.rows.inserted) == (1, 1)


def test_a_table_by_its_name_and_files_that_go_early_only_while_nobody_runs(pipeline):
    pipeline.put("bronze.orders", "id string", [("1",)])
    pipeline.spark.sql(f"DELETE FROM delta.`{pipeline.folder}/bronze/orders`")
    lake, short = Lake(str(pipeline.folder)), timedelta(hours=1)
    lake.writable()
    with held(lake, "silver"):
        done = maintained(pipeline, "bronze.orders", retain=short, allow_short=True)[1]
    assert list(done) == ["bronze.orders"]
    assert done["bronze.orders"]["vacuum"].status == "skipped"
    assert done["bronze.orders"]["vacuum"].why.startswith("silver is being run by another runner")
    done = maintained(pipeline, "bronze.orders", retain=short, allow_short=True)[1]
    assert done["bronze.orders"]["vacuum"].status == "nothing"
    assert list(maintained(pipeline, "silver")[1]) == []

    report, _ = maintained(pipeline, "no.such", "bronze.orders")
    assert isinstance(report.error, SourceNotFoundError)
    assert [bool(one.error) for one in report.tables] == [True, False]


def test_a_job_comes_with_all_that_is_kept_beside_its_table(tmp_path):
    (tmp_path / "conf").mkdir()
    keyed = SILVER.replace("append", "scd1, keys: id, sequence_by: at, tombstone_retention: 9 days")
    for name, text in (("silver", keyed), ("more", SILVER)):
        (tmp_path / f"conf/{name}.yaml").write_text(f"job: {name}\nabout: x\n{text}")
    project, lake = Project(tmp_path), Lake("/lake")
    jobs = _jobs(project, must_be_good=project.jobs)

    def chosen(*names):
        return [(item.table.path, item.job, item.remembered) for item in _items(project, lake, names, jobs)]

    target = ("/lake/silver/orders", "silver", None)
    auxiliary = ("/lake/silver/orders/_auxiliary", "silver", timedelta(days=9))
    quarantine, ledger = ("/lake/quarantine/silver_orders", "silver", None), ("/lake/ops/runs", "", None)
    assert chosen("silver") == [target, auxiliary, quarantine, ledger, ("/lake/ops/quality", "", None)]
    assert {path for path, *_ in chosen()} == {path for path, *_ in chosen("silver")}
    assert len(chosen()) == 5
    assert [path for path, *_ in chosen("silver.orders")] == [target[0], auxiliary[0]]
    assert chosen("ops.runs") == [ledger]


def test_a_quarantine_is_kept_as_long_as_the_job_says_that_put_rows_there(tmp_path):
    (tmp_path / "conf").mkdir()
    said = {"silver": "append, quarantine_retention: 9 days", "more": "append, quarantine_retention: 36 hours"}
    for name, text in {**said, "another": "append"}.items():
        (tmp_path / f"conf/{name}.yaml").write_text(f"job: {name}\nabout: x\n{SILVER.replace('append', text)}")
    project, lake = Project(tmp_path), Lake("/lake")
    jobs = _jobs(project, must_be_good=project.jobs)
    kept = {item.table.name: _kept(lake, item, jobs) for item in _items(project, lake, [], jobs)}
    assert kept.pop("quarantine.silver_orders") == {"silver": timedelta(days=9), "more": timedelta(hours=36)}
    assert not any(kept.values())


@pytest.mark.parametrize(
    ("retain", "told"),
    [("6 days", "may need files for 7 days"), ("a week", "expected a time"), ("-8 days", "expected a time")],
)
def test_a_retention_that_is_not_safe_is_refused(retain, told):
    with pytest.raises(ConfigError, match=told):
        plan(retain=retain)


def test_a_retention_may_be_short_if_that_is_said():
    assert plan(retain="1 hour", allow_short=True).retain == timedelta(hours=1)
    assert plan().retain == timedelta(days=7) == plan(retain="168 hours").retain


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--retain", "1 day"], "CONFIG", "--retain 1 day"),
        (["nothere"], "JOB_NOT_FOUND", "no job 'nothere'"),
        (["conf/nothere.yaml"], "JOB_NOT_FOUND", "no such file"),
        (["--env", "prod"], "CONFIG", "no environment 'prod'"),
    ],
)
def test_what_cannot_be_done_ends_with_2_before_spark(tmp_path, monkeypatch, capsys, arguments, code, told):
    (tmp_path / "conf/env").mkdir(parents=True)
    (tmp_path / "conf/env/local.yaml").write_text("lake: .lake\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAKEHOUSE_ENV", raising=False)
    monkeypatch.setattr(sys, "argv", ["lakehouse", "maintain", "--json", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    answer = json.loads(capsys.readouterr().out)
    assert (ended.value.code, answer["status"], answer["error"]["code"]) == (2, "failed", code)
    assert told in answer["error"]["message"]
    assert not (Path(tmp_path) / ".lake").exists()
