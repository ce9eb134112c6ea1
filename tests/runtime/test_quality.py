"""Contracts in a run: what a batch is held against on its way in and out, its gates, and the history of quality."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from lakehouse.cli import cli
from lakehouse.errors import ConfigError, QualityGateError
from lakehouse.lake.place import Lake
from lakehouse.lake.table import commits

SOURCE = """\
sources:
  orders:
    kind: files
    path: ${param:landing}/orders
    contract:
      columns: {id: bigint not null, customer: bigint, amount: double, op: string}
"""
ORDERS = """\
      rules:
        - {name: positive, check: amount > 0, where: op <> 'D', at_most: 50%}
        - {name: known_customer, check: "exists_in(customer, silver.customers.id)"}
        - {name: enough, check: count(*) >= 2}
"""
WRITE = """\
write:
  table: silver.orders
  mode: scd1
  keys: [id]
  sequence_by: at
  apply_as_deletes: op = 'D'
  except_columns: [op]
"""
CODE = """
def transform(orders: DataFrame) -> DataFrame:
    return orders.withColumn("at", F.col("_source.position")).withColumn("twice", 2 * F.col("amount")).drop("_source")
"""
OUT = """\
  contract:
    columns: {twice: "decimal(9,1) not null", id: bigint}
    rules:
      - {name: small, check: twice < 100}
      - {name: not_nine, check: id <> 9, on_fail: drop}
      - {name: one_each, check: "unique(twice) over table", on_fail: warn}
"""


@pytest.fixture
def quality(workshop):
    def rows(*columns: str, stage: str | None = None) -> list[tuple]:
        """What the history tells, read by another library."""
        found = DeltaTable(f"{workshop.folder}/ops/quality").to_pyarrow_table().to_pylist()
        of_it = [{**row, "score": round(row["score"], 4)} for row in found if stage in (None, row["contract"])]
        return sorted(tuple(row[name] for name in columns) for row in of_it)

    return rows


HELD = """
import fcntl

def transform(orders: DataFrame) -> DataFrame:
    with open("LEASE", "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return made(orders)
    raise AssertionError("another writer may write what the rows are judged by")
"""


def test_rows_are_judged_on_their_way_in_and_out_and_every_one_is_accounted_for(workshop, quality):
    workshop.put("silver.customers", "id int", [(1,), (2,)])
    workshop.put(
        "silver.orders",
        "id bigint, twice decimal(9,1), customer bigint, amount double, at bigint",
        [(3, Decimal(8), 1, 4.0, 0)],
    )
    held = HELD.replace("LEASE", f"{workshop.folder}/silver/.orders.lease")
    job = workshop.job("orders", SOURCE + ORDERS + WRITE + OUT, CODE.replace("transform", "made") + held)
    workshop.land(
        "orders/1.csv",
        "id,customer,amount,op\n"
        "1,1,1.5,I\n"  # is written
        "2,1,-1,I\n"  # not positive
        "4,7,1,I\n"  # nobody's
        "5,,3,I\n"  # of no customer: nothing to look for; is written
        "6,2,80,I\n"  # too large, once it is doubled
        "7,2,0.01,I\n"  # is no decimal(9,1)
        "9,2,1,I\n"  # is dropped
        "3,2,,D\n"  # deletes: of its other columns nothing is asked
        "8,1,4,I\n"  # as large as what is deleted, which is still there
        "x,1,4,I\n",  # no number
    )
    rows = workshop.run(job).rows
    assert (rows.read, rows.accepted, rows.quarantined, rows.dropped) == (10, 7, 3, 0)
    assert (rows.produced, rows.inserted, rows.deleted, rows.rejected, rows.filtered) == (7, 3, 1, 2, 1)
    assert workshop.rows("silver.orders", "id", "customer") == [(1, 1), (5, None), (8, 1)]
    assert sorted(workshop.rows("quarantine.silver_orders", "stage", "reasons")) == [
        ("read", ["CAST:id", "NULL_VALUE:id"][:1]),
        ("read", ["RULE:known_customer"]),
        ("read", ["RULE:positive"]),
        ("write", ["CAST:twice"]),
        ("write", ["RULE:small"]),
    ]
    assert quality("rule", "dimension", "judged", "broken", stage="sources.orders") == [
        ("CAST", "accuracy", 40, 1),
        ("NULL_VALUE", "completeness", 10, 0),
        ("RECORD", "accuracy", 10, 0),
        ("enough", "completeness", 1, 0),
        ("known_customer", "consistency", 8, 1),
        ("positive", "accuracy", 9, 1),
    ]
    assert quality("rule", "judged", "broken", "score", stage="write") == [
        ("CAST", 12, 1, 0.9167),
        ("NULL_VALUE", 6, 0, 1.0),
        ("not_nine", 6, 1, 0.8333),
        ("one_each", 3, 1, 0.6667),
        ("small", 6, 1, 0.8333),
    ]
    lake = Lake(str(workshop.folder))
    newest = commits(workshop.spark, lake.table("silver.orders"), 1)
    assert next(iter(newest)).note["inputs"]["silver.customers"] == {"table": "silver.customers", "version": 0}


def test_a_gate_ends_the_run_before_anything_is_written_and_the_history_tells_why(workshop, quality):
    rules = "      rules: [{name: r, check: amount > 1, at_most: 1}]\n"
    job = workshop.job("orders", SOURCE + rules + "write: {table: silver.orders, mode: append}\n")
    workshop.land("orders/1.csv", "id,customer,amount,op\n1,1,0.5,I\n2,1,1,I\n3,1,2,I\n4,1,3,I\n")
    with pytest.raises(QualityGateError, match=r"r \(amount > 1\): 2 of 4 rows, at_most: 1") as raised:
        workshop.run(job)
    assert raised.value.exit_code == 3
    assert workshop.version("silver.orders") is None
    assert ("r", 4, 2, "failed") in quality("rule", "judged", "broken", "status")
    # nothing goes on, and it was to be something
    none = "      rules: [{name: r, check: amount > 9}]\nwrite:\n  table: silver.others\n  mode: append\n"
    some = "  contract: {rules: [{name: some, check: count(*) >= 1}]}\n"
    with pytest.raises(QualityGateError, match=r"some \(count\(\*\) >= 1\): count\(\*\) is 0"):
        workshop.run(workshop.job("others", SOURCE + none + some))
    assert ("some", 1, 1, "failed") in quality("rule", "judged", "broken", "status")


def test_what_is_within_the_bounds_goes_on(workshop, quality):
    rules = """\
      rules:
        - {name: some, check: amount > 1, on_fail: fail, at_most: 50%}
        - {name: no_more, check: amount < 3, on_fail: quarantine, at_most: 1}
        - {name: all, check: bool_and(is_finite(amount)) and count_if(op = 'I') >= 3}
      min_score: 88.8%
"""
    job = workshop.job("orders", SOURCE + rules + "write: {table: silver.orders, mode: append}\n")
    workshop.land("orders/1.csv", "id,customer,amount,op\n1,1,0.5,I\n2,1,1,I\n3,1,2,I\n4,1,3,I\n")
    rows = workshop.run(job).rows
    assert (rows.inserted, rows.quarantined) == (3, 1)
    assert {status for (status,) in quality("status")} == {"done"}


def test_a_batch_is_in_the_history_once_though_its_run_was_killed_before_it_told(workshop, quality, monkeypatch):
    from lakehouse.runtime.journal import Journal

    job = workshop.job(
        "orders",
        SOURCE
        + "      rules: [{name: r, check: amount > 1, on_fail: warn}]\n"
        + "write: {table: silver.orders, mode: append}\n",
    )
    workshop.land("orders/1.csv", "id,customer,amount,op\n1,1,0.5,I\n2,1,2,I\n")
    workshop.run(job)
    told = quality("batch", "rule", "judged", "broken", "version", "run_id")

    def killed(_):
        raise KeyboardInterrupt

    workshop.land("orders/2.csv", "id,customer,amount,op\n3,1,0.5,I\n")
    with monkeypatch.context() as broken:
        broken.setattr(Journal, "flush", killed)
        with pytest.raises(KeyboardInterrupt):
            workshop.run(job)
    assert quality("batch", "rule", "judged", "broken", "version", "run_id") == told
    workshop.run(job)
    workshop.run(job)
    after = quality("batch", "rule", "judged", "broken")
    assert after == sorted({(0, "RECORD", 2, 0), (0, "CAST", 8, 0), (0, "NULL_VALUE", 2, 0), (0, "r", 2, 1),
                            (1, "RECORD", 1, 0), (1, "CAST", 4, 0), (1, "NULL_VALUE", 1, 0), (1, "r", 1, 1)})  # fmt: skip


def test_a_column_that_transform_did_not_make_is_told(workshop):
    workshop.put("silver.customers", "id int", [(1,)])
    text = "sources:\n  customers: {kind: table, table: silver.customers}\nwrite:\n  table: gold.customers\n  mode: overwrite\n  contract: {columns: {name: string}}\n"
    job = workshop.job("customers", text)
    with pytest.raises(
        ConfigError, match=r"write.contract declares name, which transform\(\) did not make \(it made id"
    ):
        workshop.run(job)


def test_a_table_that_is_made_anew_is_judged_too_and_made_again_where_what_rules_look_into_changed(workshop):
    workshop.put("silver.customers", "id int, country string", [(1, "DE"), (2, "XX"), (3, "FR"), (3, "FR")])
    workshop.put("silver.countries", "code string", [("DE",)])
    text = """\
sources:
  customers: {kind: table, table: silver.customers}
write:
  table: gold.customers
  mode: overwrite
  contract:
    columns: {id: int, country: string}
    rules:
      - {name: country, check: is_country(country)}
      - {name: ours, check: "exists_in(country, silver.countries.code)", on_fail: drop, where: id < 3}
      - {name: once, check: "unique(id)", on_fail: warn}
"""
    job = workshop.job("customers", text)
    rows = workshop.run(job).rows
    assert (rows.produced, rows.inserted, rows.rejected, rows.filtered) == (4, 3, 1, 0)
    assert workshop.rows("gold.customers") == [(1, "DE"), (3, "FR"), (3, "FR")]
    assert workshop.run(job).batches == 0
    workshop.spark.sql(f"DELETE FROM delta.`{workshop.folder}/silver/countries`")
    again = workshop.run(job).rows
    assert (again.produced, again.rejected, again.filtered) == (4, 1, 1)
    assert workshop.rows("gold.customers") == [(3, "FR"), (3, "FR")]


def test_a_published_table_is_held_against_its_contract(workshop, quality, monkeypatch):
    columns = "id bigint, twice decimal(9,1), customer bigint, amount double, at bigint, seen timestamp"
    held = [
        (1, Decimal(500), 1, 250.0, 1),
        (2, None, 1, 1.0, 2),
        (3, Decimal(7), 1, 3.5, 3),
        (4, Decimal(7), 1, 3.5, 4),
    ]
    workshop.put("silver.orders", columns, [(*row, datetime(2026, 1, 1, tzinfo=UTC)) for row in held])
    out = OUT + "      - {name: no_op, check: op = 'I'}\n      - {name: many, check: count(*) > 9, on_fail: fail}\n"
    out = out.replace("unique(twice) over table", "unique(twice)").replace("id: bigint", "id: bigint, op: string")
    workshop.job("orders", SOURCE + WRITE + out, CODE)
    # another job writes it, too, and what it says is broken is told as well
    fresh = "  contract: {columns: {seen: timestamp}, freshness: {column: seen, within: 2 days}}\n"
    workshop.job("other", SOURCE + WRITE + fresh, CODE)
    monkeypatch.chdir(workshop.project)
    ended = CliRunner().invoke(cli, ["contract", "check", "silver.orders", "--lake", str(workshop.folder), "--json"])
    answer = json.loads(ended.stdout.splitlines()[-1])
    assert (ended.exit_code, answer["status"], answer["error"]["code"]) == (3, "failed", "QUALITY_GATE")
    assert "the table is not what its contract says: many (count(*) > 9): count(*) is 4" in ended.stderr
    assert quality("rule", "judged", "broken", "status", stage="table") == [
        ("CAST", 4, 0, "failed"),
        ("CAST", 8, 0, "failed"),
        ("NULL_VALUE", 4, 1, "failed"),
        ("freshness", 1, 1, "failed"),
        ("many", 1, 1, "failed"),
        ("not_nine", 4, 0, "failed"),
        ("one_each", 4, 2, "failed"),
        ("small", 4, 1, "failed"),
    ]
    second = answer["contracts"][1]["error"]["message"]
    assert (
        "freshness (max(`seen`) >= current_timestamp() - interval 172800 seconds): max(`seen`) is 2026-01-01" in second
    )
    assert answer["passed_over"] == ["no_op", "op"]
    assert answer["contracts"][0]["dimensions"]["completeness"] == 0.6
    none = CliRunner().invoke(cli, ["contract", "check", "silver.customers", "--lake", str(workshop.folder)])
    assert (none.exit_code, "no job" in none.stderr) == (2, True)


def test_a_run_that_takes_longer_than_its_sla_is_told_and_stays_written(workshop, quality):
    slow = "\ndef transform(orders: DataFrame) -> DataFrame:\n    time.sleep(1)\n    return orders.drop('_source')\n"
    write = "write: {table: silver.orders, mode: append}\n"
    job = workshop.job("orders", f"{SOURCE}{write}sla: 1 second\n", f"\nimport time\n{slow}")
    workshop.land("orders/1.csv", "id,customer,amount,op\n1,1,1.5,I\n")
    late = workshop.run(job)
    assert (late.is_late, late.status, late.as_json()["late"]) == (True, "done", True)
    workshop.job("orders", f"{SOURCE}{write}sla: 1 hour\n", f"\nimport time\n{slow}")
    assert not workshop.run(job).is_late
    of_a_run = quality("rule", "dimension", "severity", "judged", "broken", "batch", stage="run")
    assert of_a_run == [("SLA", "timeliness", "warning", 1, 0, None), ("SLA", "timeliness", "warning", 1, 1, None)]
    assert workshop.rows("silver.orders", "id") == [(1,)]
