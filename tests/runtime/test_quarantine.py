"""The quarantine as people use it: looked at, closed, opened again, and cleared of what is done with."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse import cli
from lakehouse.check import quarantine
from lakehouse.check.personal import Shown, personal
from lakehouse.errors import ConfigError
from lakehouse.lake.place import Lake
from lakehouse.maintain.expire import expire
from lakehouse.runtime.discard import discard
from lakehouse.runtime.quarantined import may_be_shown
from lakehouse.runtime.quarantined import quarantined as found_in
from lakehouse.spec.contract import Contract
from lakehouse.spec.project import Project
from lakehouse.spec.write import AppendWrite

ASIDE = "quarantine.bronze_orders"
FILES = """
sources:
  orders: {kind: files, path: "${param:landing}/orders", format: csv, contract: {columns: {id: int not null}}}
write: {table: bronze.orders, mode: append, evolve: widen, quarantine_retention: 90 days}
"""


@pytest.fixture
def lakehouse(workshop, monkeypatch, capsys):
    """The command, as a shell would call it in the project: its exit code, and what it printed."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(workshop.project)
        monkeypatch.setattr(sys, "argv", ["lakehouse", "quarantine", *arguments, "--lake", str(workshop.folder)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return call


def test_people_look_at_it_close_rows_take_that_back_and_bring_them_in(workshop, lakehouse):
    workshop.job("bronze_orders", FILES)
    param = ("--param", f"landing={workshop.landing}")
    workshop.land("orders/1.csv", "id,email\nx,ann@example.com\n3000000000,\n1,\n")
    workshop.land("orders/2.csv", "")
    nothing = "bronze.orders\n  nothing in quarantine that was asked for\n"
    assert lakehouse("requeue", "bronze.orders", *param)[:2] == (0, nothing)
    workshop.run("bronze_orders")

    code, out, _ = lakehouse("show", "bronze.orders", "--json")
    told = json.loads(out.splitlines()[-1])
    assert (code, told["open"], told["is_all"], told["error"]) == (0, 3, True, None)
    assert [(one["reason"], one["code"], one["rows"], one["share"]) for one in told["reasons"]] == [
        ("CAST:id", "CAST", 2, 0.6667),
        ("FILE_EMPTY", "FILE_EMPTY", 1, 0.3333),
    ]
    head, *lines = out.splitlines()[:-1]
    assert head.startswith("quarantine.bronze_orders  3 open  /")
    assert [line.split()[:3] for line in lines if line[:9].strip()] == [
        ["2", "67%", "CAST:id"],
        ["1", "33%", "FILE_EMPTY"],
    ]
    assert any("1.csv, record " in line and "CAST:id" in line for line in lines)
    # of a row that may not be shown, neither the text nor a part of it
    masked = looked_at(workshop, where="source.position = 1", shown=Shown(frozenset({"email"})))
    masked = masked.reasons[0].example.record
    assert json.loads(masked) == {"id": "x", "email": "***"}
    assert len(looked_at(workshop, limit=1).reasons) == 1
    assert not looked_at(workshop, limit=1).is_all

    # a dry run closes nothing; a reason is asked for, and a condition that holds
    where = ("--where", "record LIKE '%\"x\"%'")
    assert lakehouse("discard", "bronze.orders", *where, "--why", "a test order", "--dry-run")[0] == 0
    assert lakehouse("discard", "bronze.orders", *where, "--why", " ")[0] == 2
    code, _, err = lakehouse("discard", "bronze.orders", "--where", "cod = 'CAST'", "--why", "x")
    assert (code, "no column 'cod'; did you mean 'code'" in err) == (2, True)
    assert opened(workshop) == 3
    code, out, _ = lakehouse("discard", "bronze.orders", *where, "--why", "a test ${env:HOME}'s order", "--json")
    closed = json.loads(out.splitlines()[-1])
    assert (code, closed["rows"], closed["chosen"]) == (0, 1, [{"job": "bronze_orders", "code": "CAST", "rows": 1}])
    (row,) = workshop.frame(ASIDE).where(quarantine.DISCARDED).collect()
    assert (row.why, bool(row.closed_by), bool(row.closed_at)) == ("a test ${env:HOME}'s order", True, True)
    (event,) = workshop.frame("ops.runs").where("event = 'discard'").collect()
    assert (event.target, json.loads(event.inputs)["rows"], json.loads(event.inputs)["why"]) == (ASIDE, 1, row.why)

    # what is closed is not requeued, and what is open again is
    workshop.job("bronze_orders", FILES.replace("id: int", "id: bigint"))
    out = lakehouse("requeue", "bronze.orders", "--where", "code = 'CAST'", *param, "--json")[1]
    assert json.loads(out.splitlines()[-1])["runs"][0]["rows"]["read"] == 1
    assert lakehouse("reopen", "bronze.orders", "--where", "true")[0] == 0
    assert opened(workshop) == 2
    assert lakehouse("reopen", "bronze.orders", "--where", "true")[1] == nothing
    kept_until_they_are_old(workshop)


def looked_at(workshop, **more):
    return found_in("bronze.orders", lake_of(workshop), {}, spark=workshop.spark, **{"shown": Shown(), **more})


def lake_of(workshop):
    return Lake(str(workshop.folder))


def opened(workshop):
    return workshop.frame(ASIDE).where(quarantine.OPEN).count()


def kept_until_they_are_old(workshop):
    """One row is requeued by now, and two are open."""
    spark, place = workshop.spark, lake_of(workshop).quarantine("bronze.orders")
    kept = {"bronze_orders": timedelta(days=90), "another": timedelta(days=1)}
    done = expire(spark, place, kept)
    assert (done.status, done.counts) == ("nothing", {"rows": 0, "open_rows_kept": 0})
    old = (datetime.now(UTC) - timedelta(days=91)).isoformat()
    spark.sql(f"UPDATE {place.sql} SET quarantined_at = '{old}', closed_at = if(closed_at IS NULL, NULL, '{old}')")
    assert expire(spark, place, {"another": timedelta(days=1)}).status == "nothing"
    planned = expire(spark, place, kept, dry_run=True)
    assert (planned.status, planned.counts) == ("planned", {"rows": 1, "open_rows_kept": 2})
    done = expire(spark, place, kept)
    assert (done.status, done.counts) == ("done", {"rows": 1, "open_rows_kept": 2})
    assert "requeue or discard them" in done.why
    assert workshop.frame(ASIDE).where("outcome IS NOT NULL").count() == 0
    assert opened(workshop) == 2


def test_a_retention_is_the_jobs_that_writes_the_table():
    write = AppendWrite(table="a.b", mode="append", quarantine_retention="36 hours")
    assert write.quarantine_kept == timedelta(hours=36)
    assert AppendWrite(table="a.b", mode="append").quarantine_kept is None


def test_without_a_reason_nothing_is_closed(workshop):
    with pytest.raises(ConfigError, match="say why"):
        discard("bronze.orders", lake_of(workshop), {}, where="true", why="  ", spark=workshop.spark)


ROW = '{"id": 1, "Email": "ann@example.com", "to": {"EMAIL": null, "city": "Ulm", "tags": [{"email": 1}]}, "n": 1.50}'


def test_what_is_personal_is_masked_at_every_depth_and_what_is_no_row_is_not_shown():
    shown = Shown(frozenset({"email"}))
    masked = shown.record(ROW, by_columns=True)
    assert json.loads(masked) == {
        "id": 1,
        "Email": "***",
        "to": {"EMAIL": None, "city": "Ulm", "tags": [{"email": "***"}]},
        "n": "1.50",
    }
    for text, by_columns in ((ROW, False), ("1,ann@example.com", True), ("[" * 100_000, True), ('"ann"', True)):
        assert (
            shown.record(text, by_columns=by_columns)
            == f"{len(text):,} characters, not shown: they may hold personal data"
        )
    assert Shown().record(ROW, by_columns=False) == ROW
    # what fitted nowhere may be any of them
    rescued = '{"_rescued": "***", "a": 1}'
    assert shown.record(rescued.replace("***", "ann@"), by_columns=True) == rescued
    assert shown.record(None, by_columns=True) is None
    # nobody knows what is personal: nothing is shown but what columns there are
    assert json.loads(Shown(is_known=False).record(ROW, by_columns=True)) == dict.fromkeys(
        ("id", "Email", "to", "n"), "***"
    )


def test_what_is_classified_is_personal_unless_it_is_public_or_internal():
    kinds = {"Email": "personal", "IBAN": "restricted", "id": "internal", "name": "Public", "n": None}
    contract = Contract(columns={name: {"type": "string", "classification": kind} for name, kind in kinds.items()})
    assert personal(contract) == {"email", "iban"}
    assert personal(None) == personal(Contract(columns={"a": "int"})) == frozenset()


def test_where_no_job_is_known_that_writes_the_table_nothing_is_shown(tmp_path):
    (tmp_path / "conf").mkdir()
    assert may_be_shown(Project(tmp_path), "bronze.orders") == Shown(is_known=False)
    (tmp_path / "conf" / "bronze_orders.yaml").write_text(f"job: bronze_orders\nabout: x\n{FILES}")
    (tmp_path / "conf" / "bad.yaml").write_text("job: bad\n")
    # that one may write it, too
    assert may_be_shown(Project(tmp_path), "bronze.orders") == Shown(is_known=False)
    (tmp_path / "conf" / "bad.yaml").unlink()
    assert may_be_shown(Project(tmp_path), "bronze.orders") == Shown()


def test_a_contract_has_a_version_by_what_it_says():
    one, other = Contract(columns={"a": "int"}), Contract(columns={"a": "bigint"})
    assert one.fingerprint == Contract(columns={"a": "int"}).fingerprint
    assert one.fingerprint != other.fingerprint
