"""One batch, through the five calls: read, check, transform, write, publish."""

from __future__ import annotations

import inspect
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.check.contract import check, required, too_late
from lakehouse.check.late import by_watermark
from lakehouse.check.quarantine import STEP as QUARANTINE
from lakehouse.check.quarantine import put_aside
from lakehouse.errors import (
    ConfigError,
    DeleteGuardError,
    LakehouseError,
    QualityGateError,
    TableUnreadableError,
    TransformError,
    first_line,
)
from lakehouse.foreign import unknown_name
from lakehouse.lake.batch import SOURCE
from lakehouse.lake.faults import known
from lakehouse.lake.frame import materialise, path
from lakehouse.lake.quality import Quality
from lakehouse.lake.table import commits, exists, head, read_table
from lakehouse.lake.types import resolved
from lakehouse.publish.ledger import Event
from lakehouse.runtime.breaker import judge
from lakehouse.runtime.code_errors import describe
from lakehouse.runtime.fates import rows_of
from lakehouse.runtime.judged import after_transform, beside, looks_into_target, together
from lakehouse.runtime.lock import leased
from lakehouse.runtime.query import QueryTransform
from lakehouse.write import plan
from lakehouse.write.commit import FAR_BACK, Plan, WriteResult, earlier, result
from lakehouse.write.events import flag
from lakehouse.write.evolve import renamed
from lakehouse.write.partitions import CODE as PARTITION_VALUE
from lakehouse.write.partitions import unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.check.others import Beside
    from lakehouse.lake.batch import Arrived, BadFile, Identity
    from lakehouse.lake.table import Commit, Table
    from lakehouse.publish.ledger import Rows
    from lakehouse.runtime.journal import Journal
    from lakehouse.runtime.workplace import Workplace
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.job import Job
    from lakehouse.spec.write import Write


_MOST_TOLD = 5
"""Reasons that the message of a guard names."""


@dataclass(frozen=True)
class Outcome:
    """What one batch of a stream did."""

    stream: str
    number: int
    status: Literal["done", "replayed"]
    rows: Rows
    written: WriteResult
    rules: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    quality: tuple[Quality, ...] = ()


@dataclass(frozen=True)
class Incoming:
    """What is new of the incremental source: how it is read, and what its rows are held against.

    ``missing`` says what a column is that the contract declares and the batch lacks: ``null`` or an ``error``.
    ``send_on`` tells others of the rows that are put aside. ``is_stateful``: to read it makes what the next one needs.
    """

    name: str
    arrive: Callable[[], Arrived]
    contract: Contract | None
    missing: Literal["null", "error"]
    send_on: Callable[[DataFrame], None] | None = None
    is_stateful: bool = False


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        """All at zero."""
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begin

    def rounded(self) -> dict[str, float]:
        """The seconds, to the millisecond."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}


@dataclass(frozen=True)
class Batch:
    """One batch of a job, and all that is fixed of it before it is read.

    ``versions`` are those of the static sources, and by their names of the tables that rules look into; ``incoming`` is
    None for a job that has no incremental one. ``at`` is the time for its rules. ``row_by_row``: the rows were chosen
    by hand, so that nothing is asked of all of them together.
    """

    work: Workplace
    spark: SparkSession
    identity: Identity
    versions: Mapping[str, int]
    incoming: Incoming | None
    target: Table
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    row_by_row: bool = False

    def around(self, contract: Contract | None) -> Beside:
        """What the rules of a contract look at beside the rows."""
        return beside(self.work, self.spark, contract, self.versions, self.at, row_by_row=self.row_by_row)

    def known(self) -> Batch:
        """The batch with the tables that it reads among its inputs, as every commit of it notes them."""
        tables = _tables(self.work)
        statics = {name: {"table": table, "version": self.versions[name]} for name, table in tables.items()}
        return replace(self, identity=replace(self.identity, inputs={**self.identity.inputs, **statics}))


def _tables(work: Workplace) -> dict[str, str]:
    """The tables that a batch reads as they are: static sources by their names, those of rules by the table's."""
    statics = {name: source.table for name, source in work.job.statics.items()}
    return {**statics, **{table: table for table in work.job.references}}


def pinned(work: Workplace, spark: SparkSession, identity: Identity) -> dict[str, int]:
    """The version of each static source and of each table that rules look into, fixed before the batch is read.

    Where an earlier attempt at the batch already put rows aside, it fixed them: a batch has one set of inputs.
    """
    tables = _tables(work)
    if identity.again and tables:
        quarantine = work.lake.quarantine(work.job.write.table)
        made = next(
            (commit for commit in commits(spark, quarantine, 100) if identity.made(commit.note, QUARANTINE)), None
        )
        noted = made.note["inputs"] if made else {}
        fixed = {name: noted[name]["version"] for name in tables if name in noted}
        tables = {name: table for name, table in tables.items() if name not in fixed}
    else:
        fixed = {}
    # a table is read at one version, however often it is named
    newest = {table: _newest(spark, work.lake.table(table)).version for table in {*tables.values()}}
    return {**fixed, **{name: newest[table] for name, table in tables.items()}}


def _newest(spark: SparkSession, table: Table) -> Commit:
    newest = head(spark, table)
    if newest is None:
        read_table(spark, table)
        message = f"{table.name} has no commit"
        raise TableUnreadableError(message, hint="look whether its _delta_log is whole")
    return newest


def process(batch: Batch, journal: Journal) -> Outcome:
    """Run one batch, and tell the ledger of it.

    The quarantine is committed before the target, and the target before the ledger: so a batch whose target is
    committed lacks nothing but its row in the ledger, and one that is not is run again whole.
    """
    begin, batch = datetime.now(UTC), batch.known()
    work, spark, identity, target = batch.work, batch.spark, batch.identity, batch.target
    made = earlier(spark, target, identity, among=FAR_BACK) if identity.again else None
    if made:
        identity = replace(identity, inputs=made.note["inputs"])
        if batch.incoming and batch.incoming.is_stateful:
            _taken(batch.incoming, Clock(), batch.around)
    is_judged = (identity.stream, identity.batch) != journal.let_through
    try:
        outcome = replayed(made, identity) if made else _through(batch, is_judged=is_judged)
    except QualityGateError as error:
        _refused(batch, journal, begin, error)
        raise
    event = Event(
        "batch",
        work.job.job,
        identity.run_id,
        outcome.status,
        begin,
        target=target.name,
        path=target.path,
        batch=identity.batch,
        stream=identity.stream,
        inputs=identity.inputs,
        rows=outcome.rows,
        rules=outcome.rules,
        quality=outcome.quality,
        version=outcome.written.version,
        rows_added=outcome.written.rows_added,
        rows_removed=outcome.written.rows_removed,
        seconds=outcome.seconds,
        strategy=outcome.written.strategy,
        why=outcome.written.why,
    )
    journal.add(event, committed=not outcome.written.is_empty)
    return outcome


def _refused(batch: Batch, journal: Journal, begin: datetime, error: QualityGateError) -> None:
    """Tell the history of quality of a batch that was not good enough."""
    if isinstance(error.quality, Quality):
        work, identity, target = batch.work, batch.identity, batch.target
        event = Event("batch", work.job.job, identity.run_id, "failed", begin, target=target.name)
        journal.refused(replace(event, batch=identity.batch, stream=identity.stream, quality=(error.quality,)))


def replayed(made: Commit, identity: Identity) -> Outcome:
    """The outcome of a batch that an earlier attempt committed, from what it noted in its commit."""
    written = result(made, replayed=True)
    rows = rows_of(made.note["rows"], written).balance()
    rules, noted = made.note.get("rules", {}), made.note.get("quality", ())
    quality = tuple(map(Quality.of_note, noted))
    return Outcome(identity.stream, identity.batch, "replayed", rows, written, rules, quality=quality)


def _columns(made: _Made) -> Sequence[str]:
    return made.produced.columns if made.produced is not None else ()


@dataclass
class _Made:
    """What a batch has to write: the rows, the counts that are known before the write, and the rows to put aside."""

    taken: _Taken
    produced: DataFrame | None
    known: dict[str, int]
    aside: dict[str, Sequence[DataFrame]]
    rules: Mapping[str, int] = field(default_factory=dict)
    quality: tuple[Quality, ...] = ()


def _made(batch: Batch, clock: Clock) -> _Made:
    """The first three calls: read, check, transform."""
    work = batch.work
    frames = {
        name: read_table(batch.spark, work.lake.table(source.table), batch.versions[name])
        for name, source in work.job.statics.items()
    }
    taken = _taken(batch.incoming, clock, batch.around) if batch.incoming else _Taken()
    contract = work.job.write.contract
    is_empty = batch.incoming is not None and not taken.rows
    made = _Made(taken, None, dict(taken.counts), {"read": taken.rejected}, taken.rules, taken.quality)
    if not is_empty or (contract and contract.of_all and not batch.row_by_row):
        with clock.stage("transform"):
            made_of = _transformed(work, {**frames, **taken.frames})
            _without_own(work, made_of)
            produced = renamed(made_of, work.job.write)
            if is_empty:
                _judged_empty(batch, made, produced)
            else:
                _judged(batch, made, produced, batch.around(contract))
    return made


def _judged_empty(batch: Batch, made: _Made, produced: DataFrame) -> None:
    """Ask of no rows what the contract of the write asks of all rows together; nothing is made of them."""
    checked = after_transform(
        produced.limit(0), batch.work.job.write, batch.around(batch.work.job.write.contract), batch.target
    )
    made.quality = (*made.quality, *([checked.quality] if checked and checked.quality else []))
    made.rules = together(made.rules, checked.broken if checked else {})


def _judged(batch: Batch, made: _Made, produced: DataFrame, around: Beside) -> None:
    """Hold what was made against the contract of the write, and against what the write needs of each row."""
    work = batch.work
    try:
        checked = after_transform(produced, work.job.write, around, batch.target)
    except PySparkException as error:
        # the rows are evaluated while they are judged, and what fails is the code that makes them
        raise failed(work, error) from error
    if checked is None:
        count = made.taken.rows if work.transform is None else None
        made.produced, counts, rejected = _writable(work, produced, count)
        made.known |= counts
        made.aside["write"] = [rejected] if counts["rejected"] else []
        return
    made.produced, counts, rejected = _writable(work, checked.accepted, checked.kept)
    made.aside["write"] = [checked.rejected] if checked.quarantined else []
    made.aside["write"] = [*made.aside["write"], *([rejected] if counts["rejected"] else [])]
    fates = {"rejected": checked.quarantined + counts["rejected"], "filtered": checked.dropped}
    made.known |= {"produced": checked.read, **fates}
    made.rules = together(made.rules, checked.broken)
    made.quality = (*made.quality, *([checked.quality] if checked.quality else []))


def explained(batch: Batch) -> WriteResult:
    """What one batch would do to the target; nothing is written."""
    clock = Clock()
    made = _made(batch.known(), clock)
    return _planned(batch, made, clock).planned


def _through(batch: Batch, *, is_judged: bool) -> Outcome:
    """The five calls: read, check, transform, write; the last, publish, is the caller's."""
    clock = Clock()
    if looks_into_target(batch.work.job.write.contract):
        # what is found of the table must still be so when it is written
        with leased(batch.target):
            return _written(batch, _made(batch, clock), clock, is_judged=is_judged)
    made = _made(batch, clock)
    with leased(batch.target):
        return _written(batch, made, clock, is_judged=is_judged)


def _written(batch: Batch, made: _Made, clock: Clock, *, is_judged: bool) -> Outcome:
    """The fourth call; the target is leased."""
    now, spark, target = datetime.now(UTC), batch.spark, batch.target
    known, aside, taken = made.known, made.aside, made.taken
    planned = _planned(batch, made, clock)
    if planned.rejected is not None:
        known["rejected"] += planned.planned.rejected
        aside["write"] = [*aside["write"], too_late(planned.rejected, _columns(made))]
    identity = replace(batch.identity, rows=known, rules=made.rules)
    # what does not add up, or is no number, must not be committed: the ledger would stumble over it ever after
    rows_of(known, planned.planned).balance()
    put = known.get("quarantined", 0) + known.get("rejected", 0)
    if is_judged:
        came = known.get("read") or known.get("produced", 0)
        judge(spark, planned, batch.work.job.breaker, aside=put, of=came)
    quarantine = batch.work.lake.quarantine(target.name)
    if put or (identity.again and exists(spark, quarantine)):
        with clock.stage("quarantine"):
            put_aside(spark, quarantine, aside, taken.bad_files, identity, now=now, expected=put)
    if batch.incoming and batch.incoming.send_on:
        with clock.stage("dead_letters"):
            for rejected in taken.rejected:
                batch.incoming.send_on(rejected)
    with clock.stage("write"):
        written = replace(planned, identity=replace(identity, quality=made.quality)).commit(spark)
    rows = rows_of(known, written).balance()
    return Outcome(identity.stream, identity.batch, "done", rows, written, made.rules, clock.rounded(), made.quality)


def _planned(batch: Batch, made: _Made, clock: Clock) -> Plan:
    """What the rows will do to the target."""
    job, target, identity = batch.work.job, batch.target, replace(batch.identity, rows=made.known)
    if made.produced is None:
        _not_empty(job.write, made)
        return Plan.nothing(target, identity, head(batch.spark, target))
    with clock.stage("plan"):
        try:
            return plan(made.produced, _described(job), target=target, identity=identity, about=job.about)
        except DeleteGuardError as error:
            raise DeleteGuardError(error.message + _unusable(made), hint=error.hint) from None


def _described(job: Job) -> Write:
    """The write, with what the contracts say of a column where the write says nothing of it."""
    contract = job.stream[1].contract if job.is_incremental else None
    told: dict[str, tuple[str, str]] = {}
    for one in (contract, job.write.contract):
        columns = one.columns if one else {}
        told |= {name.lower(): (name, column.about) for name, column in columns.items() if column.about}
    said = {name.lower() for name in job.write.comments}
    others = {name: about for lower, (name, about) in told.items() if lower not in said}
    return job.write.model_copy(update={"comments": {**job.write.comments, **others}})


def _unusable(made: _Made) -> str:
    """Why rows of a batch are not usable, the most frequent first: nothing is written, and so none is in quarantine."""
    counts = Counter(file.code for file in made.taken.bad_files)
    for frame in (frame for frames in made.aside.values() for frame in frames):
        for row in frame.select(F.explode("reasons").alias("reason")).groupBy("reason").count().collect():
            counts[row.reason] += row["count"]
    told = ", ".join(f"{reason} ({count:,})" for reason, count in counts.most_common(_MOST_TOLD))
    return f": {told}" if told else ""


def _not_empty(spec: Write, made: _Made) -> None:
    """Hold a batch of which nothing is left against the guard on deletions.

    Raises:
        DeleteGuardError: it is a snapshot, of which nobody can tell whether its table is empty now.
    """
    if spec.mode == "snapshot" and spec.on_absent == "delete":
        message = f"{spec.table}: no row of the snapshot is usable, and it would delete every key{_unusable(made)}"
        hint = "mend the delivery, or say on_absent: keep; nothing was written, to the quarantine neither"
        raise DeleteGuardError(message, hint=hint)


@dataclass(frozen=True)
class _Taken:
    """What came of the incremental source: what is kept of it by the source's name, how many rows, and what is not."""

    frames: Mapping[str, DataFrame] = field(default_factory=dict)
    rows: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    rejected: Sequence[DataFrame] = ()
    bad_files: Sequence[BadFile] = ()
    rules: Mapping[str, int] = field(default_factory=dict)
    quality: tuple[Quality, ...] = ()


def _taken(incoming: Incoming, clock: Clock, around: Callable[[Contract | None], Beside]) -> _Taken:
    with clock.stage("read"):
        arrived = incoming.arrive()
    with clock.stage("check"):
        if arrived.watermark_ms is not None:
            checked = by_watermark(arrived)
        else:
            contract, where = incoming.contract, f"sources.{incoming.name}"
            checked = check(arrived, contract, missing=incoming.missing, beside=around(contract), where=where)
    counts = {
        "read": checked.read,
        "accepted": checked.kept,
        "quarantined": checked.quarantined,
        "dropped": checked.dropped,
    }
    rejected = [checked.rejected] if checked.quarantined > len(arrived.bad_files) else []
    rows = checked.kept if checked.handed is None else checked.handed
    quality = (checked.quality,) if checked.quality else ()
    return _Taken({incoming.name: checked.accepted}, rows, counts, rejected, arrived.bad_files, checked.broken, quality)


def _transformed(work: Workplace, frames: Mapping[str, DataFrame]) -> DataFrame:
    """What the job's code makes of the rows, evaluated once."""
    if work.transform is None:
        return next(iter(frames.values()))
    try:
        produced: Any = work.transform(**frames)
        if isinstance(produced, DataFrame):
            # the contract of the write evaluates the rows while it judges them
            return produced if work.job.write.contract else materialise(produced)
    except Exception as error:
        raise failed(work, error) from error
    message = f"transform() of {work.job.job} returned {type(produced).__name__}, not a DataFrame"
    raise TransformError(message)


def failed(work: Workplace, error: Exception) -> LakehouseError:
    """What the job's code failed with; or Spark while it read for it, which says of the disk what is no fault of it."""
    if isinstance(work.transform, QueryTransform):
        place = work.transform.query.place_of(unknown_name(error))
        message = f"{place}: the query failed: {type(error).__name__}: {first_line(error)}"
    else:
        place, words = describe(error, _source_file(work), work.project.root)
        message = f"{place}: transform() of {work.job.job} failed: {words}"
    return (known(error) if not isinstance(error, OSError) else None) or TransformError(message)


def _source_file(work: Workplace) -> Path:
    """Where the code of the transform stands: a notebook or a test may hand one over that is not the job's own."""
    try:
        found = inspect.getsourcefile(inspect.unwrap(work.transform))  # type: ignore[arg-type]
    except TypeError:
        found = None
    return Path(found) if found else work.project.code(work.job.job) or Path()


def _without_own(work: Workplace, produced: DataFrame) -> None:
    """Hold the names of columns against those that are this library's.

    Raises:
        ConfigError: one is.
    """
    if own := [name for name in produced.columns if name.startswith("__")]:
        message = (
            f"transform() of {work.job.job} made a column {own[0]}: names that begin with two underscores are reserved"
        )
        raise ConfigError(message)


def _writable(work: Workplace, produced: DataFrame, count: int | None) -> tuple[DataFrame, dict[str, int], DataFrame]:
    """The rows that have what the write needs of each, how many there are, and those that have not.

    ``count``: how many rows were made, where that is known.
    """
    spec = work.job.write
    named = [*getattr(spec, "keys", ()), *getattr(spec, "sequence_by", ()), *_snapshot_column(spec)]
    needed = [name for name in named if resolved(produced.schema, name)]
    unheld = unfit(produced, spec)
    if not needed and not unheld and count is not None:
        return produced, {"produced": count, "rejected": 0}, produced
    # a truncate is of no key, and a deletion writes nothing but its key
    truncate, delete = (
        flag(produced, getattr(spec, name, None), spec.table, name)
        for name in ("apply_as_truncates", "apply_as_deletes")
    )
    record = [name for name in produced.columns if name != SOURCE]
    keys = {name.lower() for name in getattr(spec, "keys", ())}
    faults = {}
    for name in needed:
        asked = ~truncate if name.lower() in keys else F.lit(True)
        faults[f"NULL_KEY:{name}"] = path(produced, name).isNull() & asked
    for name, is_unfit in unheld.items():
        asked = ~truncate if name.lower() in keys else ~truncate & ~delete
        faults[f"{PARTITION_VALUE}:{name}"] = is_unfit & asked
    good, bad = required(produced, faults, record)
    any_fault = reduce(lambda one, other: one | other, faults.values(), F.lit(False))
    counts = produced.agg(F.count("*").alias("produced"), F.count_if(any_fault).alias("rejected")).collect()[0]
    return good if faults else produced, {"produced": counts.produced, "rejected": counts.rejected}, bad


def _snapshot_column(spec: Write) -> Sequence[str]:
    by = getattr(spec, "snapshot_by", "file")
    return () if by in ("file", "folder") else (by,)
