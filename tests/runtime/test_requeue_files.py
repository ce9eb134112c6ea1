"""What was put aside of files comes in after a fix, as if the contract had been right from the start."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest

from lakehouse.check.quarantine import OPEN
from lakehouse.errors import FileChangedError
from lakehouse.read.again import refusals
from lakehouse.runtime.requeue import Report, requeue, writers
from lakehouse.spec.files import FilesSource

ASIDE = "quarantine.bronze_orders"
JOB = """
sources:
  orders:
    kind: files
    path: ${param:landing}
    contract: {columns: {id: bigint not null, amount: "decimal(AMOUNT)", at: timestamp}}
write: {table: bronze.orders, WRITE, evolve: widen}
"""
APPEND = "mode: append"
SCD1 = "mode: scd1, keys: [id], sequence_by: [at]"
VALUES = ("raw", "tags", "ratio", "names", "seen", "label")


class KilledError(BaseException):
    """Stands for a kill: nothing of the library catches it, so nothing is tidied up."""


@pytest.fixture
def job(workshop):
    """Write the job; its amounts are ``decimal(p,s)``."""

    def make(amount: str, write: str = APPEND, *, code: str | None = None) -> str:
        return workshop.job("bronze_orders", JOB.replace("AMOUNT", amount).replace("WRITE", write), code)

    return make


@pytest.fixture
def again(workshop):
    """Requeue what is in quarantine, and raise what was wrong."""

    def call(where: str | None = None, **more: Any) -> Report:
        params = {"landing": str(workshop.landing)}
        works = writers("bronze.orders", root=workshop.project, lake=str(workshop.folder), params=params)
        report = requeue(works, where=where, spark=workshop.spark, **more)
        if report.error:
            raise report.error
        return report

    return call


def open_rows(workshop, *columns: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in workshop.frame(ASIDE).where(OPEN).select(*columns).collect()), key=repr)


def land(workshop) -> None:
    """A CSV, JSON lines, and Parquet with what a Parquet can hold: in each a row whose amount has three digits."""
    workshop.land("1.csv", 'id,amount,at,label\n1,1.50,2026-01-01,"a ""b"",\n c"\n2,2.505,2026-01-02,"x,\ny"\n,3,,\n')
    workshop.land(
        "2.json", '{"id": 2, "amount": 0.125, "at": "2026-01-01", "label": "ü\\u0000\\t"}\n{"id": 3, "more": 1}\n'
    )
    beside = (
        "X'00FF' AS raw, array(named_struct('x', double('NaN'), 'y', date'0001-01-01')) AS tags, 0.1F AS ratio, "
        "map('k', 12.50BD) AS names, timestamp'2026-01-01 10:00:00.123456' AS seen, '0012' AS label"
    )
    rows = "VALUES (4L, 4.000BD), (5L, 5.125BD), (2L, 1.000BD) AS t(id, amount)"
    frame = workshop.spark.sql(f"SELECT *, timestamp'2026-01-03' AS at, {beside} FROM {rows}")
    frame.coalesce(1).write.parquet(str(workshop.landing / "3"))


def test_rows_come_in_as_they_were_and_the_table_is_as_if_the_contract_had_been_right(workshop, job, again):
    land(workshop)
    first = workshop.run(job("5,2"))
    # NULL in the key column is put aside either way, and goes on being wrong
    assert (first.rows.read, first.rows.quarantined) == (8, 4)
    assert all(contract.startswith("sha256:") for (contract,) in open_rows(workshop, "contract"))
    job("6,3")
    version = workshop.version("bronze.orders")
    dry = again(dry_run=True)
    assert [(one.rows, one.refused) for one in dry.found] == [(4, None)]
    assert workshop.version("bronze.orders") == version

    (run,) = again().runs
    assert (run.rows.read, run.rows.accepted, run.rows.quarantined) == (4, 3, 1)
    assert [code for (code,) in open_rows(workshop, "code")] == ["NULL_VALUE"]
    # the same files under the right contract, from the start
    other = type(workshop)(workshop.spark, workshop.folder.parent / "other", workshop.project)
    other.run("bronze_orders", params={"landing": str(workshop.landing)})
    columns = ["id", "amount", "at", *VALUES, "more", "_source.file", "_source.position"]
    # a NaN is not equal to itself
    assert repr(workshop.rows("bronze.orders", *columns)) == repr(other.rows("bronze.orders", *columns))
    # and by hand
    amounts = {row[0]: row[1] for row in workshop.rows("bronze.orders", "id", "amount")}
    assert (amounts[1], amounts[5]) == (Decimal("1.5"), Decimal("5.125"))
    assert workshop.run("bronze_orders").batches == 0
    # what has gone is closed, and says so
    marks = workshop.frame(ASIDE).where("outcome = 'requeued' AND closed_at IS NOT NULL")
    assert marks.where(f"requeue = '{run.run_id}'").count() == 4


def test_quarantine_holds_the_text_as_it_was_received_and_still_brings_the_row_in(workshop, job, again):
    lines = (
        '{"at":"2026-01-01",  "AMOUNT": 1.2345e1, "id":1, "label":"\\u00fc"}',
        '{"id": 2, "amount": "x", "amount2": [1, 2.50]}',
        "{}",
    )
    workshop.land("1.json", "\n".join(lines))
    assert workshop.run(job("3,1")).rows.quarantined == 3
    aside = open_rows(workshop, "record", "code")
    assert aside == sorted(zip(lines, ("CAST", "CAST", "NO_DECLARED_FIELD"), strict=True), key=repr)
    job("6,3")
    (run,) = again("code = 'CAST'").runs
    assert (run.rows.read, run.rows.accepted, run.rows.quarantined) == (2, 1, 1)
    assert workshop.rows("bronze.orders", "id", "amount", "label") == [(1, Decimal("12.345"), "ü")]
    # once more, as it was received
    assert open_rows(workshop, "record", "code") == sorted([(lines[1], "CAST"), ("{}", "NO_DECLARED_FIELD")], key=repr)


def test_a_row_of_a_file_never_goes_over_a_newer_one(workshop, job, again):
    workshop.land("1.csv", "id,amount,at\n1,1.505,2026-01-01\n2,2.505,2026-01-09\n")
    workshop.land("2.csv", "id,amount,at\n1,1,2026-01-02\n2,2,2026-01-02\n")
    assert workshop.run(job("5,2", SCD1)).rows.quarantined == 2
    # what is asked of all rows together is asked of none that are chosen by hand
    gates = "at: timestamp}, rules: [{name: many, check: count(*) >= 1000}], min_score: 100%}"
    gated = JOB.replace("at: timestamp}}", gates).replace("AMOUNT", "6,3").replace("WRITE", SCD1)
    workshop.job("bronze_orders", gated)
    rows = again().runs[0].rows
    assert (rows.read, rows.superseded, rows.updated) == (2, 1, 1)
    assert workshop.rows("bronze.orders", "id", "amount") == [(1, Decimal("1.000")), (2, Decimal("2.505"))]


def test_a_file_is_read_again_where_it_lies_and_its_records_come_once(workshop, job, again):
    """One is mended, one comes back, one is as it was: a row each, and so many records as they hold."""
    workshop.land("good.csv", "id,amount,at\n1,1,\n")
    workshop.land("latin.csv", "id,amount,at,label\n2,2,,ü\n3,3,,ä\nx,4,,\n".encode("latin-1"))
    workshop.land("empty.csv", "")
    workshop.land("what.doc", "?")
    name = job("5,2")
    assert workshop.run(name).rows.quarantined == 3
    assert open_rows(workshop, "code") == [("FILE_EMPTY",), ("FILE_ENCODING",), ("FILE_FORMAT",)]

    workshop.land("latin.csv", "id,amount,at,label\n2,2,,ü\n3,3,,ä\nx,4,,\n")
    later = (workshop.landing / "latin.csv").stat().st_mtime + 60
    os.utime(workshop.landing / "latin.csv", (later, later))
    (workshop.landing / "empty.csv").unlink()
    with pytest.raises(FileChangedError):
        workshop.run(name)
    (run,) = again().runs
    # the three records of one, and two files that are no better
    assert (run.rows.read, run.rows.accepted, run.rows.quarantined, run.rows.inserted) == (5, 2, 3, 2)
    assert open_rows(workshop, "code") == [("CAST",), ("FILE_FORMAT",), ("FILE_VANISHED",)]
    assert workshop.rows("bronze.orders", "id", "_source.position") == [(1, 1), (2, 1), (3, 2)]
    (told,) = workshop.frame("ops.runs").where("stream LIKE 'requeue/%'").select("read", "inputs").collect()
    assert (told.read, "latin.csv" in told.inputs) == (5, True)
    # that it was rewritten is known, and it is not read by the job as well
    assert workshop.run(name).batches == 0
    assert again("code = 'CAST'").runs[0].rows.read == 1


def test_a_requeue_of_a_file_that_was_killed_is_finished_and_brings_no_record_twice(workshop, job, again, monkeypatch):
    workshop.land("a.csv", "id,amount,at\n1,\xfc,\n".encode("latin-1"))
    workshop.run(job("5,2"))
    workshop.land("a.csv", "id,amount,at\n1,1,\n2,2,\n")

    def killed(*_, **__):
        raise KilledError

    with monkeypatch.context() as patched:
        # the target has its records by then, and the quarantine does not say so
        patched.setattr("lakehouse.runtime.requeue.close", killed)
        with pytest.raises(KilledError):
            again()
    assert workshop.rows("bronze.orders", "id") == [(1,), (2,)]
    report = again()
    assert (report.unfinished, report.found) == (1, ())
    assert workshop.rows("bronze.orders", "id") == [(1,), (2,)]
    assert open_rows(workshop, "code") == []
    assert workshop.run("bronze_orders").batches == 0


def test_a_record_that_is_no_record_is_refused_and_what_is_not_as_it_was_is_put_aside(workshop, job, again):
    workshop.land("a.csv", "id,amount,at\n1,1\nx,1,\n")
    workshop.run(job("5,2"))
    target = f"delta.`{workshop.folder}/quarantine/bronze_orders`"
    # as an older version kept the rows of a Parquet: nothing says what the number was
    workshop.spark.sql(f"""UPDATE {target} SET record = '{{"id":1.50}}' WHERE code = 'CAST'""")
    report = again()
    found = {one.rows: one.refused for one in report.found if one.refused}
    assert list(found) == [1]
    assert "no record that can be parsed" in found[1]
    assert (report.runs[0].rows.read, report.runs[0].rows.quarantined) == (1, 1)
    assert open_rows(workshop, "code", "record") == [("FIELD_COUNT", "1,1"), ("NOT_AS_RECEIVED", '{"id":1.50}')]
    assert [one.refused is None for one in again().found] == [False]


def test_a_file_that_is_held_to_a_control_file_is_not_read_without_it():
    free = [condition for condition, _ in refusals(FilesSource(kind="files", path="x"), "x")]
    assert "record IS NULL" not in free
    held = FilesSource(kind="files", path="x", control=".ctl")
    assert [condition for condition, _ in refusals(held, "x")][-1] == "record IS NULL"


def test_a_file_that_lies_in_a_zip_or_was_moved_away_is_not_looked_for_where_it_is_not(spark, tmp_path):
    there, gone = tmp_path / "a/there $1.csv", tmp_path / "gone.csv"
    there.parent.mkdir()
    there.touch()
    files = [str(there), str(gone), f"{tmp_path}/a.zip!/b\nc.csv", f"{tmp_path}/a.ZIP"]
    rows = spark.createDataFrame([((file,), None) for file in files], "source struct<file: string>, record string")
    records = spark.createDataFrame([((file,), "{}") for file in files], rows.schema)
    for more, expected in (({}, {2: "zip"}), ({"archive_to": "done"}, {1: "moved", 2: "zip", 3: "moved"})):
        source = FilesSource(kind="files", path="x", **more)
        asked = [one for one in refusals(source, str(tmp_path)) if "reasons" not in one[0]]
        refused = {
            files.index(row.source.file): "zip" if "zip" in why else "moved"
            for condition, why in reversed(asked)
            for row in rows.where(condition).collect()
        }
        assert refused == expected
        assert all(records.where(condition).isEmpty() for condition, _ in asked)
