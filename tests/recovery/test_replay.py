"""A span of the input runs again: into the same table nothing changes but what was damaged, and a new one is that span."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pkgutil import resolve_name

import pytest
from click.testing import CliRunner

from lakehouse.cli import cli
from lakehouse.errors import ConfigError, LakehouseError, LockedError, RecordsLostError, RecoveryError
from lakehouse.lake.batch import SOURCE_TYPE
from lakehouse.recovery.diff import diff
from lakehouse.recovery.replay import Report, replay, span
from lakehouse.recovery.undo import undo
from lakehouse.runtime.workplace import prepare
from tests.read.corpus.case import zipped

pytestmark = pytest.mark.crash

OPEN = "requeue IS NULL AND outcome IS NULL"
DAY = datetime(2026, 11, 1, tzinfo=UTC)
ORDERS = """
sources:
  orders:
    kind: files
    path: "${{param:landing}}/orders"
{more}    contract: {{columns: {{id: bigint not null, n: int, at: int not null}}}}
write: {{table: silver.orders, mode: {mode}, keys: id, sequence_by: at, except_columns: _source}}
"""
EVENTS = {
    1: [(1, 10, 1), (2, 20, 1)],
    2: [(1, 11, 2), (3, 30, 1), (1, 10, 1)],
    3: [(1, 12, 3), (4, 40, 1)],
}


def days(first: int, last: int) -> tuple[str, str]:
    return tuple((DAY + timedelta(days=day)).isoformat() for day in (first, last))


@pytest.fixture
def again(workshop):
    """Replay a span of a job, and raise what was wrong."""

    def call(job: str, begin: str, end: str, **more) -> Report:
        params = {"landing": str(workshop.landing)}
        known = workshop._parameters(job)
        wanted = {name: value for name, value in params.items() if name in known}
        work = prepare(job, lake=str(workshop.folder), root=workshop.project, params=wanted)
        report = replay(work, span(begin, end), spark=workshop.spark, **more)
        if report.error:
            raise report.error
        return report

    return call


def land(workshop, day: int, rows: list[tuple], more: str = "") -> str:
    """A file of a day, modified at its noon."""
    lines = "".join(f"{id},{n},{at}\n" for id, n, at in rows)
    path = workshop.land(f"orders/{day}.csv", f"id,n,at\n{lines}{more}")
    noon = (DAY + timedelta(days=day, hours=12)).timestamp()
    os.utime(path, (noon, noon))
    return str(path)


def aside(workshop, table: str = "quarantine.silver_orders") -> list[tuple]:
    frame = workshop.frame(table)
    rows = frame.where(OPEN) if "outcome" in frame.columns else frame
    return sorted((row.source.file.rsplit("/", 1)[1], row.source.position, row.record) for row in rows.collect())


def test_a_replay_changes_no_row_and_brings_back_what_was_damaged(workshop, again):
    """A file a batch: those before the span are passed over, and the first behind it ends the replay."""
    workshop.job("orders", ORDERS.format(mode="scd1", more="    max_files: 1\n"))
    for day, rows in EVENTS.items():
        land(workshop, day, rows, "bad,1,1\n" if day < 3 else "")
    workshop.run("orders")
    table, before, put_aside = "silver.orders", workshop.rows("silver.orders"), aside(workshop)
    assert before == [(1, 12, 3), (2, 20, 1), (3, 30, 1), (4, 40, 1)]
    assert len(put_aside) == 2
    workshop.spark.sql(f"DELETE FROM delta.`{workshop.folder}/silver/orders` WHERE id = 3")
    report = again("orders", *days(2, 3))
    rows = report.run.rows
    assert (rows.read, rows.quarantined, rows.inserted, rows.superseded, rows.duplicates) == (4, 1, 1, 2, 0)
    assert (report.run.batches, workshop.rows(table)) == (1, before)
    # the record that is still wrong is there once, by the replay; and its batches are known by what they are
    assert aside(workshop) == put_aside
    streams = [row.stream for row in workshop.frame("quarantine.silver_orders").where(OPEN).collect()]
    assert sum(one.startswith("replay/") for one in streams) == 1
    told = workshop.frame("ops.runs").where("stream LIKE 'replay/%'").collect()
    assert [json.loads(row.inputs)["orders"]["replay"] for row in told] == [str(report.span)]
    run = workshop.frame("ops.runs").where(f"event = 'run' AND run_id = '{report.run.run_id}'").collect()
    assert [json.loads(row.inputs) for row in run] == [{"replay": str(report.span)}]
    # once more: no row changes, and no commit is made
    version = workshop.version(table)
    again("orders", *days(2, 3))
    assert (workshop.rows(table), workshop.version(table), aside(workshop)) == (before, version, put_aside)
    assert not list((workshop.folder / "_checkpoints").glob("orders.replay*"))


def test_the_history_of_a_key_comes_back_and_the_others_stay_as_they_are(workshop, again):
    """Of scd2: of a key that the span knows from its beginning. The job itself goes on where it was."""
    workshop.job("orders", ORDERS.format(mode="scd2", more=""))
    for day, rows in EVENTS.items():
        land(workshop, day, rows)
    workshop.run("orders")
    before = workshop.rows("silver.orders")
    workshop.spark.sql(f"DELETE FROM delta.`{workshop.folder}/silver/orders` WHERE id = 3")
    assert again("orders", *days(2, 3)).run.rows.read == 3
    assert workshop.rows("silver.orders") == before
    version = workshop.version("silver.orders")
    again("orders", *days(1, 3))
    assert workshop.version("silver.orders") == version
    assert workshop.run("orders").batches == 0


def test_a_record_that_the_contract_takes_now_leaves_the_quarantine(workshop, again):
    """And one that a span does not reach stays there, as it does when it is requeued."""
    write = "write: {table: silver.orders, mode: append, identity: source}\n"
    text = ORDERS.format(mode="scd1", more="").split("write:")[0]
    workshop.job("orders", text + write)
    for day in (1, 2):
        land(workshop, day, [(day, 1, 1)], f"{day},3000000000,1\n")
    workshop.run("orders")
    workshop.job("orders", text.replace("n: int", "n: bigint") + write.replace("append,", "append, evolve: widen,"))
    report = again("orders", *days(2, 3))
    assert (report.run.rows.inserted, report.run.rows.duplicates) == (1, 1)
    # what the replay closed would be open nowhere
    with pytest.raises(RecoveryError, match="is a replay"):
        undo(report.run.run_id, lake=str(workshop.folder), root=workshop.project, spark=workshop.spark)
    assert workshop.rows("silver.orders", "id", "n") == [(1, 1), (2, 1), (2, 3_000_000_000)]
    assert [file for file, _, _ in aside(workshop)] == ["1.csv"]
    marks = workshop.rows("quarantine.silver_orders", "outcome")
    assert marks == [("replayed",), (None,)]
    version = workshop.version("silver.orders")
    assert again("orders", *days(2, 3)).run.rows.duplicates == 2
    assert workshop.version("silver.orders") == version


def test_a_file_of_a_zip_with_a_control_file_leaves_the_quarantine_and_is_looked_for(workshop, again):
    text = ORDERS.format(mode="scd1", more="    control: .ctl\n")
    workshop.job("orders", text)
    content = zipped(("1.csv", b"id,n,at\n1,1,1\n2,3000000000,1\n"))
    noon = (DAY + timedelta(days=1, hours=12)).timestamp()
    for name, data in (("1.zip", content), ("1.ctl", "2")):
        os.utime(workshop.land(f"orders/{name}", data), (noon, noon))
    workshop.run("orders")
    assert [file for file, _, _ in aside(workshop)] == ["1.csv"]
    workshop.job("orders", text.replace("n: int", "n: bigint").replace("mode: scd1", "mode: scd1, evolve: widen"))
    again("orders", *days(1, 2))
    assert aside(workshop) == []
    assert workshop.rows("silver.orders", "id", "n") == [(1, 1), (2, 3_000_000_000)]
    os.utime(workshop.land("orders/1.zip", content), (noon - 9, noon - 9))
    with pytest.raises(RecoveryError, match=r"1 of what orders once read .*rewritten, first .*1\.zip"):
        again("orders", *days(1, 2), dry_run=True)


def test_what_the_job_has_not_read_or_what_is_gone_is_an_error(workshop, again, monkeypatch):
    workshop.job("orders", ORDERS.format(mode="scd1", more=""))
    paths = [land(workshop, day, rows) for day, rows in EVENTS.items()]
    workshop.run("orders")
    before = workshop.rows("silver.orders")
    land(workshop, 4, [(9, 9, 9)])
    with pytest.raises(RecoveryError, match="never read by orders") as failed:
        again("orders", *days(4, 5))
    assert "run the job first" in failed.value.hint
    Path(paths[0]).unlink()
    os.utime(paths[1])
    with pytest.raises(RecoveryError, match="2 of what orders once read") as failed:
        again("orders", *days(1, 4), dry_run=True)
    assert "--allow-missing" in failed.value.hint
    report = again("orders", *days(1, 4), allow_missing=True)
    assert (report.found.missing, report.run.rows.read) == (2, 2)
    assert workshop.rows("silver.orders") == before
    # the command line: a dry run says what there is and changes nothing
    monkeypatch.chdir(workshop.project)
    where = ["--lake", str(workshop.folder), "--param", f"landing={workshop.landing}", "--json"]
    words = ["--from", days(3, 4)[0], "--to", days(3, 4)[1]]
    done = CliRunner().invoke(cli, ["replay", "orders", *words, *where, "--dry-run"])
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (done.exit_code, answer["found"]["missing"], answer["run"]) == (0, 0, None)
    assert answer["found"]["told"].startswith("1 files")
    done = CliRunner().invoke(cli, ["replay", "orders", "--from", "2026-11-01", "--to", words[3], *where])
    assert (done.exit_code, json.loads(done.stdout.splitlines()[-1])["error"]["code"]) == (2, ConfigError.code)
    with pytest.raises(ConfigError, match="not behind"):
        span(*reversed(days(1, 2)))


APPENDED = """
sources:
  events: {{kind: table, table: bronze.events, stream: true{more}, contract: {{columns: {{id: int not null, n: int}}}}}}
write: {{table: silver.events, mode: append}}
"""


@pytest.fixture
def events(workshop):
    """Five commits of a table, three rows each of which one is bad; the times between the commits."""
    between = []
    for number in range(5):
        between.append(datetime.now(UTC).isoformat())
        time.sleep(0.05)
        rows = [(10 * number + 1, number), (10 * number + 2, number), (None, number)]
        workshop.put("bronze.events", "id int, n int", rows)
        time.sleep(0.05)
    return [*between, datetime.now(UTC).isoformat()]


def test_a_span_of_a_table_goes_into_a_new_one_that_is_equal_to_one_built_of_it(workshop, again, events):
    """Its commits come in one batch with those that follow, and no row of these is taken."""
    workshop.job("events", APPENDED.format(more=""))
    workshop.run("events")
    with pytest.raises(RecoveryError, match="identity") as refused:
        again("events", events[1], events[4])
    assert "--into" in refused.value.hint
    report = again("events", events[1], events[4], into="silver.again")
    assert (report.run.rows.read, report.run.rows.inserted, report.run.rows.quarantined) == (9, 6, 3)
    fresh = [(10 * number + one, number) for number in (1, 2, 3) for one in (1, 2)]
    workshop.put("silver.fresh", "id int, n int", fresh)

    def differs() -> list[int]:
        found = diff(
            workshop.spark,
            prepare("events", lake=str(workshop.folder), root=workshop.project).lake,
            "silver.again",
            "silver.fresh",
            without=["_source"],
            examples=0,
        )
        return [found.equal, found.only_a, found.only_b]

    assert differs() == [6, 0, 0]
    assert workshop.frame("quarantine.silver_again").count() == 3
    # the same again makes the same of it, though the write is no more than append; a rebuild of the job's own table
    # that was killed is left to the job
    killed = workshop.folder / "_checkpoints" / "events.refresh"
    killed.mkdir()
    (killed / "owner.json").write_text(json.dumps({"target": "silver.events"}))
    again("events", events[1], events[4], into="silver.again")
    assert killed.is_dir()
    assert differs() == [6, 0, 0]
    assert workshop.frame("quarantine.silver_again").count() == 3
    assert workshop.frame("silver.events").count() == 10
    for name in ("silver.fresh", "silver.events"):
        with pytest.raises(RecoveryError):
            again("events", events[1], events[4], into=name)
    assert (workshop.version("silver.fresh"), differs()) == (0, [6, 0, 0])
    assert again("events", *days(-9, -8), into="silver.none").run.batches == 0
    # a file that vacuum would have taken after a compaction
    log = (workshop.folder / "bronze" / "events" / "_delta_log" / f"{2:020d}.json").read_text()
    for line in log.splitlines():
        if added := json.loads(line).get("add"):
            (workshop.folder / "bronze" / "events" / added["path"]).unlink()
    with pytest.raises(RecordsLostError):
        again("events", events[1], events[4], into="silver.again")


def test_rows_of_a_table_are_put_aside_once_and_leave_when_they_are_taken(workshop, again):
    """Those that say where they came from; of the others what is still wrong."""
    schema = f"id int, n int, _source {SOURCE_TYPE}"
    place = lambda position: ("f.csv", position, None, None, None, None, None)  # noqa: E731
    rows = [(1, 1, place(1)), (None, 1, place(2)), (2, 9, place(3)), (None, 2, None)]
    workshop.put("bronze.events", schema, rows)
    source = "kind: table, table: bronze.events, stream: true"
    columns = "columns: {id: int not null, n: int}"
    write = "table: silver.events, mode: scd1, keys: id, sequence_by: n, except_columns: _source"

    def job(rules: str) -> None:
        contract = f"contract: {{{columns}{rules}}}"
        workshop.job("events", f"sources: {{events: {{{source}, {contract}}}}}\nwrite: {{{write}}}\n")

    job(", rules: [{name: small, check: n < 5}]")
    workshop.run("events")
    assert workshop.frame("quarantine.silver_events").count() == 3
    job("")
    assert again("events", *days(0, 365)).run.rows.inserted == 1
    assert workshop.rows("silver.events", "id", "n") == [(1, 1), (2, 9)]
    marks = workshop.rows("quarantine.silver_events", "source.position", "outcome")
    assert marks == [(2, "replayed"), (2, None), (3, "replayed"), (None, "replayed"), (None, None)]


def killing(place: str, after: int):
    """What stands there, until it was called so often."""
    real, calls = resolve_name(place), []

    def killed(*args, **more):
        calls.append(1)
        if len(calls) > after:
            raise RuntimeError("killed")
        return real(*args, **more)

    return killed


def test_a_replay_that_is_killed_goes_on_and_one_of_another_span_begins_anew(workshop, again, events, monkeypatch):
    workshop.job("events", APPENDED.format(more=", max_files: 1"))

    def kill(place: str, after: int) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(place, killing(place, after))
            with pytest.raises(LakehouseError, match="killed"):
                again("events", events[2], events[4], into="silver.again")

    def made() -> list[int]:
        assert workshop.frame("quarantine.silver_again").count() == 2
        return [row[0] for row in workshop.rows("silver.again", "id")]

    # what was put aside of the second batch is none of the new span's, and the first is taken out
    kill("lakehouse.write.commit.Plan.commit", 1)
    again("events", events[0], events[2], into="silver.again")
    assert made() == [1, 11, 12, 2]
    kill("lakehouse.runtime.journal.record", 0)
    again("events", events[2], events[4], into="silver.again")
    assert made() == [21, 22, 31, 32]
    kill("lakehouse.recovery.replay._remove", 1)
    again("events", events[2], events[4], into="silver.again")
    assert made() == [21, 22, 31, 32]
    assert not list((workshop.folder / "_checkpoints").glob("events.replay*"))


def test_a_process_that_is_killed_leaves_what_the_same_command_ends(workshop, again, events):
    code = """
import os, signal
from pathlib import Path

def transform(events: DataFrame) -> DataFrame:
    if Path(os.environ.get("KILL_AT", "/nowhere")).is_dir() and events.where("n = 2").count():
        os.kill(os.getpid(), signal.SIGKILL)
    return events
"""
    workshop.job("events", APPENDED.format(more=", max_files: 1"), code)
    small = "{spark.sql.shuffle.partitions: 1, spark.databricks.delta.snapshotPartitions: 1, spark.ui.enabled: 'false'}"
    (workshop.project / "conf" / "env" / "local.yaml").write_text(f"lake: lake\nspark: {small}\n")
    command = [sys.executable, "-m", "lakehouse", "replay", "events", "--into", "silver.again", "--lake"]
    command += [str(workshop.folder), "--from", events[1], "--to", events[4]]
    environment = {**os.environ, "KILL_AT": str(workshop.folder)}
    done = subprocess.run(command, cwd=workshop.project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert workshop.rows("silver.again", "id") == [(11,), (12,)]
    until = time.monotonic() + 60
    while True:
        try:
            report = again("events", events[1], events[4], into="silver.again")
            break
        except LockedError:
            # the Java of the process that was killed has not ended yet
            assert time.monotonic() < until
            time.sleep(0.5)
    assert report.run.batches == 2
    assert workshop.rows("silver.again", "id") == [(10 * number + one,) for number in (1, 2, 3) for one in (1, 2)]
    assert workshop.frame("quarantine.silver_again").count() == 3


@pytest.mark.parametrize("kind", ["scd1", "scd2"])
def test_an_old_snapshot_takes_nothing_from_newer_ones(workshop, again, kind):
    """Though it lacks two of the three keys that are there by now."""
    text = ORDERS.format(mode="snapshot", more="").split("write:")[0].replace(", at: int not null", ", at: int")
    write = f"table: silver.orders, mode: snapshot, snapshot_as: {kind}, snapshot_by: file, keys: id"
    workshop.job("orders", f"{text}write: {{{write}, except_columns: [_source, at]}}\n")
    for day, ids in {1: (1,), 2: (1, 2), 3: (1, 2, 3)}.items():
        land(workshop, day, [(id, day if id == 1 else 0, 0) for id in ids])
    workshop.run("orders")
    before, version = workshop.rows("silver.orders"), workshop.version("silver.orders")
    again("orders", *days(1, 2))
    assert (workshop.rows("silver.orders"), workshop.version("silver.orders")) == (before, version)
