"""Rows once and windows, by when things happened: held against a fold that knows nothing of Spark."""

from __future__ import annotations

import json
import random
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from lakehouse.errors import CheckpointError, ColumnMissingError, ConfigError, DefinitionChangeError, LakehouseError
from lakehouse.runtime import stream
from lakehouse.runtime.plan import planned
from lakehouse.runtime.requeue import requeue
from lakehouse.runtime.runner import execute
from lakehouse.runtime.workplace import prepare

EVENTS = "event_id string, status string, amount decimal(12,2), at timestamp"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DELAY, SIZE = 60, 60


def job(write, *, dedupe=False, slide=None, window=True):
    """A job in YAML that reads one file a batch."""
    by = f"size: {SIZE} seconds, {f'slide: {slide} seconds, ' if slide else ''}by: [status]"
    values = "values: {orders: count(*), revenue: sum(amount)}"
    lines = [
        "sources:",
        "  events:",
        "    kind: table",
        "    table: bronze.events",
        "    stream: true",
        "    max_files: 1",
        f"    watermark: {{column: at, delay: {DELAY} seconds}}",
        *(["    dedupe: [event_id]"] if dedupe else []),
        *([f"    window: {{{by}, {values}}}"] if window else []),
        f"write: {{table: gold.out, {write}}}",
    ]
    return "\n".join(lines)


APPEND = "mode: append"
SCD1 = "mode: scd1, keys: [window_start, status], sequence_by: _events"


def at(second):
    return BEGIN + timedelta(seconds=second)


def event(name, second, status="open", amount="1.00"):
    return (name, status, Decimal(amount), None if second is None else at(second))


class Fold:
    """What becomes of rows, batch by batch, in plain Python: seconds since ``BEGIN`` for times."""

    def __init__(self, *, dedupe=False, slide=None):
        self.dedupe, self.slide = dedupe, slide or SIZE
        self.watermark = self.passed = -BEGIN.timestamp()
        self.newest = -BEGIN.timestamp() + DELAY
        self.seen, self.windows, self.closed, self.counts, self.late = {}, {}, {}, [], []

    def run(self, *batches):
        """A run: its batches, and one without rows where the last one moved the watermark."""
        for rows in batches:
            self._batch(rows)
        if self.newest - DELAY > self.watermark:
            self._batch([], told=False)

    def _batch(self, rows, *, told=True):
        """Late is what was closed before the batch before; closed is what the watermark passed before this one."""
        self.passed, self.watermark = self.watermark, max(self.watermark, self.newest - DELAY)
        late, known, partly = [], 0, 0
        for name, status, amount, when in rows:
            second = (when - BEGIN).total_seconds()
            self.newest = max(self.newest, second)
            starts = [one for one in range(-SIZE, 10_000, self.slide) if one <= second < one + SIZE]
            still = [one for one in starts if one + SIZE > self.passed]
            if second <= self.passed if self.dedupe else not still:
                late.append(name)
            elif self.dedupe and name in self.seen:
                known += 1
            else:
                self.seen[name] = second + DELAY
                partly += len(still) < len(starts)
                for start in still:
                    count, total = self.windows.get((start, status), (0, Decimal(0)))
                    self.windows[start, status] = (count + 1, total + amount)
        self.seen = {name: until for name, until in self.seen.items() if until > self.watermark}
        self.closed |= {key: value for key, value in self.windows.items() if key[0] + SIZE <= self.watermark}
        self.late += late
        if told:
            self.counts.append((len(rows), len(rows) - len(late) - known, len(late), known, partly))

    @staticmethod
    def table(windows):
        """As rows of the target, sorted."""
        return sorted(
            (at(start).replace(tzinfo=None), at(start + SIZE).replace(tzinfo=None), status, count, total, count)
            for (start, status), (count, total) in windows.items()
        )


def put(workshop, *batches):
    for rows in batches:
        workshop.put("bronze.events", EVENTS, rows)


def told(workshop):
    """What the ledger says of each batch that rows came in: read, accepted, quarantined, dropped, partly late."""
    rows = workshop.frame("ops.runs").where("event = 'batch' AND read > 0").orderBy("stream", "batch").collect()
    return [
        (row.read, row.accepted, row.quarantined, row.dropped, (row.rules or {}).get("late_for_some_windows", 0))
        for row in rows
    ]


def late_ones(workshop):
    if workshop.version("quarantine.gold_out") is None:
        return []
    rows = workshop.frame("quarantine.gold_out").where("code = 'BEHIND_WATERMARK'").collect()
    return sorted(json.loads(row.record)["event_id"] for row in rows)


def random_batches(seed, count=3):
    """Events whose time moves on, most of them a little out of order, some very late, some twice."""
    chance = random.Random(seed)
    made = []
    for batch in range(count):
        rows = []
        for number in range(12):
            back = chance.choice([0, 5, 20, 20, 45, 90, 200])
            second = max(0, batch * 80 + chance.randint(0, 60) - back)
            amount = f"{chance.randint(1, 500)}.{chance.randint(10, 99)}"
            rows.append(event(f"e{batch}-{number}", second, chance.choice(["open", "paid"]), amount))
        earlier = [row for rows in made for row in rows] + rows
        rows += chance.sample(earlier, 4)
        chance.shuffle(rows)
        made.append(rows)
    return made


@pytest.mark.parametrize(
    ("write", "shape"),
    [(SCD1, {"slide": 30}), (APPEND, {"dedupe": True, "slide": 20})],
    ids=["scd1", "append, each once"],
)
def test_windows_and_counts_are_those_of_a_fold_in_plain_python(workshop, write, shape):
    workshop.job("gold", job(write, **shape))
    batches, fold = random_batches(str(shape)), Fold(**shape)
    for part in (batches[:2], batches[2:]):  # the second run goes on where the first one ended
        put(workshop, *part)
        fold.run(*part)
        workshop.run("gold")
    expected = fold.windows if write is SCD1 else fold.closed
    assert workshop.rows("gold.out") == sorted(Fold.table(expected), key=repr)
    assert told(workshop) == fold.counts
    assert late_ones(workshop) == sorted(fold.late)
    assert fold.late
    assert set(fold.closed) < set(fold.windows)


IN_ORDER = [
    [event("a", 0), event("b", 20), event("b", 20), event("c", 130, "paid", "7.25")],
    [event("d", 40), event("a", 0), event("e", 190, "paid", "0.75")],
    [event("f", 180, "paid", "2.00"), event("e", 190, "paid", "0.75"), event("g", 300)],
]
"""Some of it twice and out of order, and nothing late."""


@pytest.mark.parametrize("write", [SCD1, f"{APPEND}, identity: [window_start, status]"], ids=["scd1", "append"])
def test_a_kill_between_two_commits_and_a_lost_checkpoint_end_in_the_same_windows(workshop, write, monkeypatch):
    workshop.job("gold", job(write, dedupe=True))
    put(workshop, *IN_ORDER[:2])
    process = stream.process

    def killed(batch, journal):
        outcome = process(batch, journal)
        if batch.identity.batch == 1:  # it is in the target, and not yet in Spark's commits
            message = "killed"
            raise RuntimeError(message)
        return outcome

    monkeypatch.setattr(stream, "process", killed)
    with pytest.raises(LakehouseError, match="killed"):
        workshop.run("gold")
    monkeypatch.undo()
    put(workshop, IN_ORDER[2])
    assert workshop.run("gold").status == "done"
    fold = Fold(dedupe=True)
    fold.run(*IN_ORDER)
    expected = sorted(Fold.table(fold.windows if write is SCD1 else fold.closed), key=repr)
    assert workshop.rows("gold.out") == expected
    assert told(workshop) == fold.counts == [(4, 3, 0, 1, 0), (3, 2, 0, 1, 0), (3, 2, 0, 1, 0)]

    shutil.rmtree(workshop.folder / "_checkpoints" / "gold")
    workshop.job("gold", job(write, dedupe=True).replace("max_files: 1", "max_files: 3"))
    again = workshop.run("gold")
    assert workshop.rows("gold.out") == expected
    assert (again.rows.read, again.rows.accepted, again.rows.dropped, again.rows.inserted) == (10, 7, 3, 0)


def test_each_row_comes_once_and_those_that_no_state_can_take_are_kept_aside(workshop):
    workshop.job("once", job(APPEND, dedupe=True, window=False))
    batches = [
        [event("a", 0), event("a", 0), event("b", 100), event(None, 5), event("c", None), event(None, None)],
        [event("b", 100), event("d", 41)],  # what the first batch's watermark (40) closed is closed after this one
        [event("e", 40), event("f", 41), event("b", 100)],
    ]
    put(workshop, *batches)
    assert workshop.run("once").rows.inserted == 4
    assert [row[0] for row in workshop.rows("gold.out", "event_id")] == ["a", "b", "d", "f"]
    assert told(workshop) == [(6, 2, 3, 1, 0), (2, 1, 0, 1, 0), (3, 1, 1, 1, 0)]
    aside = workshop.rows("quarantine.gold_out", "code", "reasons", "message", "record")
    assert [(code, reasons) for code, reasons, *_ in aside] == [
        ("BEHIND_WATERMARK", ["BEHIND_WATERMARK"]),
        ("NULL_VALUE", ["NULL_VALUE:at", "NULL_VALUE:event_id"]),
        ("NULL_VALUE", ["NULL_VALUE:at"]),
        ("NULL_VALUE", ["NULL_VALUE:event_id"]),
    ]
    assert aside[0][2] == "the watermark was at 2026-01-01T00:00:40.000+00:00"
    assert json.loads(aside[0][3]) == {
        "event_id": "e",
        "status": "open",
        "amount": 1.00,
        "at": "2026-01-01T00:00:40.000000Z",
    }
    rows = workshop.frame("ops.runs").where("event = 'batch'").orderBy("batch").collect()
    marks = [json.loads(row.inputs)["events"]["watermark"] for row in rows]
    assert marks == [None, None, "2026-01-01T00:00:40+00:00"]
    work = prepare("once", lake=str(workshop.folder), root=workshop.project)
    (found,) = requeue([work], dry_run=True, spark=workshop.spark).found
    assert (found.rows, found.refused.split(":")[0]) == (4, "a state has gone on without it")
    (state,) = (workshop.folder / "_checkpoints" / "once" / "offsets").glob("2")
    assert "RocksDBStateStoreProvider" in state.read_text()
    assert list((workshop.folder / "_checkpoints" / "once" / "state").rglob("*.changelog"))
    assert "RocksDB" not in (workshop.spark.conf.get("spark.sql.streaming.stateStore.providerClass") or "")


def test_a_checkpoint_holds_its_state_for_no_other_window_and_a_refresh_builds_it_anew(workshop):
    workshop.job("gold", job(SCD1))
    put(workshop, [event("a", 0), event("b", 100), event("c", 101)])
    workshop.run("gold")
    workshop.job("gold", job(SCD1).replace(f"{SIZE} seconds, by", "120 seconds, by"))
    with pytest.raises(CheckpointError, match="windows of 60 seconds every 60 .*, not .* windows of 120 seconds every"):
        workshop.run("gold")
    workshop.job("gold", job(APPEND))
    with pytest.raises(DefinitionChangeError, match="mode is scd1, the job says append"):
        workshop.run("gold")
    # a table of before its definition was noted in it
    table = f"delta.`{workshop.folder}/gold/out`"
    noted = [row.key for row in workshop.spark.sql(f"SHOW TBLPROPERTIES {table}").collect() if "lakehouse." in row.key]
    workshop.spark.sql(f"ALTER TABLE {table} UNSET TBLPROPERTIES ({', '.join(map(repr, noted))})")
    with pytest.raises(CheckpointError, match="windows is update, not append"):
        workshop.run("gold")
    workshop.job("gold", job(SCD1).replace("max_files: 1", "max_files: 9").replace("count(*)", "count(*) + 1"))
    assert workshop.run("gold", full_refresh=True).rows.inserted == 2
    assert [row[0] for row in workshop.rows("gold.out", "orders")] == [2, 3]
    put(workshop, [event("d", 102)])
    assert workshop.run("gold").rows.updated == 1


def test_a_plan_says_what_windows_there_would_be_and_what_the_next_batch_would_do(workshop):
    workshop.job("gold", job(SCD1))
    put(workshop, [event("a", 0), event("b", 100), event("c", 101)])
    work = prepare("gold", lake=str(workshop.folder), root=workshop.project)
    lines = list(planned(work, spark=workshop.spark, explain_write=True))
    columns = "window_start timestamp, window_end timestamp, status string, orders bigint, revenue decimal(22,2)"
    assert f"  create gold.out (scd1): {columns}, _events bigint" in lines
    assert lines[-1] == "    adds 2 rows, removes 0"
    assert workshop.version("gold.out") is None


def test_a_stream_is_joined_to_the_dimension_as_it_is_when_the_batch_begins(workshop):
    yaml = "sources:\n  events: {kind: table, table: bronze.events, stream: true, max_files: 1}\n"
    code = 'def transform(events: DataFrame, names: DataFrame) -> DataFrame:\n    return events.join(names, "status")\n'
    dimension = "  names: {kind: table, table: silver.names}\nwrite: {table: gold.out, mode: append}\n"
    workshop.job("joined", yaml + dimension, code)
    workshop.put("silver.names", "status string, name string", [("open", "old")])
    put(workshop, [event("a", 0)], [event("b", 0)], [event("c", 0)])
    renamed = f"UPDATE delta.`{workshop.folder}/silver/names` SET name = 'new'"
    work = prepare("joined", lake=str(workshop.folder), root=workshop.project)
    batches = []

    def say(outcome):
        batches.append(outcome.number)
        if len(batches) == 1:
            workshop.spark.sql(renamed)

    assert execute(work, spark=workshop.spark, say=say).error is None
    assert workshop.rows("gold.out", "event_id", "name") == [("a", "old"), ("b", "new"), ("c", "new")]
    rows = workshop.frame("ops.runs").where("event = 'batch'").orderBy("batch").collect()
    assert [json.loads(row.inputs)["names"]["version"] for row in rows] == [0, 1, 1]


def test_what_the_table_does_not_have_is_a_typed_error(workshop):
    put(workshop, [event("a", 0)])
    for old, new, error, told in (
        ("column: at", "column: then", ColumnMissingError, "bronze.events has no column then"),
        ("column: at", "column: status", ConfigError, "status of bronze.events is string, not a timestamp"),
        ("[event_id]", "[eventid]", ColumnMissingError, "no column eventid"),
        ("by: [status]", "by: [state]", ColumnMissingError, "no column state"),
        ("sum(amount)", "sum(amont)", ConfigError, r"window.values.revenue: Spark does not understand 'sum\(amont\)'"),
    ):
        workshop.job("gold", job(SCD1, dedupe=True).replace(old, new))
        with pytest.raises(error, match=told):
            workshop.run("gold")
        with pytest.raises(error, match=told):
            list(planned(prepare("gold", lake=str(workshop.folder), root=workshop.project), spark=workshop.spark))
