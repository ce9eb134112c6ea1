"""``lakehouse undo``: the tables of a run, and its job's checkpoint, as they were just before it.

The target is restored by one commit that says why. What the run's batches put beside it goes, and the checkpoint ends
with the batch before them, with a new id: they come again as new batches, and nothing takes them for replays of those
whose notes the log still holds. What later runs made of it is in the way, or is undone first.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.check.quarantine import REPLAY, REQUEUE, every_row
from lakehouse.errors import BuiltUponError, RecoveryError
from lakehouse.lake.table import commits, exists, head, read_table
from lakehouse.maintain.commit import MOVES
from lakehouse.maintain.commit import STEP as MAINTAIN
from lakehouse.recovery.checkpoint import check_not_archived, places, write
from lakehouse.recovery.history import FROM_START, History, history
from lakehouse.runtime import refresh, setback
from lakehouse.runtime.lock import held
from lakehouse.runtime.session import settled, start
from lakehouse.runtime.setback import Setback, beside, decide
from lakehouse.runtime.workplace import prepare, surroundings
from lakehouse.spec.project import Project
from lakehouse.spec.source import TableSource
from lakehouse.write.commit import FAR_BACK, REFRESH, REPAIR, STEP, UNDO

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

    from lakehouse.lake.place import Lake
    from lakehouse.lake.table import Commit, Table
    from lakehouse.runtime.workplace import Workplace
    from lakehouse.spec.job import Job


@dataclass(frozen=True)
class Step:
    """What is done to one job: its target from a version to one, and its checkpoint to a batch; None: it stays."""

    job: str
    runs: tuple[str, ...]
    table: str
    before: int | None
    after: int | None
    batch: int | None


@dataclass(frozen=True)
class Report:
    """The steps of an undo, in their order; none where the run was undone before, or did nothing."""

    run_id: str
    dry_run: bool
    steps: tuple[Step, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse undo --json`` prints."""
        status = "nothing" if not self.steps else "planned" if self.dry_run else "done"
        return {"run_id": self.run_id, "status": status, "undone": [asdict(step) for step in self.steps]}


def told(report: Report) -> Iterator[str]:
    """What a person sees of it."""
    yield f"undo {report.run_id}"
    if not report.steps:
        yield "  nothing to do: it was undone before, or did nothing"
    for step in report.steps:
        table = "stays" if step.after is None else f"from version {step.before} to what it was at {step.after}"
        checkpoint = "stays" if step.batch is None else f"goes back to batch {step.batch}"
        yield f"  {step.job} ({', '.join(step.runs)}): {step.table} {table}; the checkpoint {checkpoint}"


@dataclass(frozen=True)
class _Known:
    """What the lake tells of its runs."""

    spark: SparkSession
    project: Project
    lake: Lake
    env: str | None
    params: Mapping[str, str]
    logs: dict[str, list[Commit]] = field(default_factory=dict)

    @cached_property
    def ledger(self) -> list[Row]:
        """The batches that were made and the runs that were undone, as the ledger tells."""
        if not exists(self.spark, self.lake.ledger):
            return []
        rows = read_table(self.spark, self.lake.ledger).where(F.col("event").isin("batch", UNDO))
        return rows.select("event", "job", "run_id", "target", "stream", "batch", "inputs", "ended_at").collect()

    @cached_property
    def undone(self) -> set[str]:
        """Runs of which nothing is left."""
        return {row.run_id for row in self.ledger if row.event == UNDO}

    def log(self, table: Table) -> list[Commit]:
        """The commits of a table, newest first."""
        if table.path not in self.logs:
            self.logs[table.path] = list(commits(self.spark, table, FAR_BACK))
        return self.logs[table.path]

    def job_of(self, run_id: str) -> str:
        """The job of a run.

        Raises:
            RecoveryError: no row of the ledger and no commit is of such a run.
        """
        if job := next((row.job for row in self.ledger if row.run_id == run_id), None):
            return str(job)
        # one that was killed has told the ledger nothing
        for name in self.project.jobs:
            target = self.lake.table(self.project.job(name).write.table)
            for table in (target, self.lake.quarantine(target.name)):
                if any((one.note.get("run_id"), one.note.get("job")) == (run_id, name) for one in self.log(table)):
                    return name
        message = f"no batch of a run {run_id} is known in {self.lake.root}"
        raise RecoveryError(
            message, hint="lakehouse show TABLE lists the last runs; one that found nothing new is none"
        )

    def work(self, job: str) -> Workplace:
        """A job in its place."""
        spec = self.project.job(job)
        known = {**self.project.env(self.env).params, **spec.params}
        params = {name: value for name, value in self.params.items() if name in known}
        return prepare(job, env=self.env, lake=self.lake.root, params=params, root=self.project.root)


@dataclass(frozen=True)
class _Run:
    """A run that is to be undone: its commits to the target, newest first, and its batches of the checkpoint."""

    run_id: str
    work: Workplace
    past: History | None
    commits: tuple[Commit, ...]
    numbers: tuple[int, ...]
    streams: tuple[str, ...]
    at: Any

    @property
    def target(self) -> Table:
        """The table that it wrote."""
        return self.work.lake.table(self.work.job.write.table)

    @property
    def first(self) -> int | None:
        """The version that it made first."""
        return self.commits[-1].version if self.commits else None


def undo(
    run_id: str,
    *,
    dry_run: bool = False,
    later: bool = False,
    params: Mapping[str, str] | None = None,
    root: Path | None = None,
    spark: SparkSession | None = None,
    say: Callable[[Report], None] = lambda _: None,
    **where: Any,
) -> Report:
    """Undo a run.

    Args:
        run_id: the run.
        dry_run: say what would be done, and do nothing.
        later: undo the runs that build on it as well.
        params: values for the jobs' parameters.
        root: the project's folder; the one around here where none is given.
        spark: the session; one is started where there is none.
        say: told what will be done, before it is.
        where: the environment (``env``) and the lake's root (``lake``), as ``surroundings`` takes them.

    Raises:
        BuiltUponError: later runs build on it.
        LockedError: one of the jobs is being run.
        RecoveryError: it cannot be undone.
    """
    project = Project(root) if root else Project.around(Path.cwd())
    place, settings = surroundings(project, **where)
    spark = spark or start("undo", settings)

    def planned() -> list[tuple[Step, Setback, _Run]]:
        known = _Known(spark, project, place, where.get("env"), params or {})
        return _planned(known, _closure(known, run_id, later=later))

    with settled(spark, settings), ExitStack() as locks:
        setback.folder(place)
        jobs = {run.work.job.job: run.work for _, _, run in planned()}
        if not dry_run:
            for name, work in sorted(jobs.items()):
                locks.enter_context(held(place, name, spark))
                refresh.finish(work, spark, place.table(work.job.write.table))
                setback.finish(spark, work)
        plan = planned()
        report = Report(run_id, dry_run, tuple(step for step, _, _ in plan))
        say(report)
        _can_be_opened(spark, plan)
        if not dry_run:
            _hold(jobs, plan)
            _done(spark, plan)
    return report


def _hold(jobs: Mapping[str, Workplace], plan: list[tuple[Step, Setback, _Run]]) -> None:
    """Hold what is to be done against what was locked.

    Raises:
        BuiltUponError: another job has built on the run meanwhile.
    """
    if strange := sorted({run.work.job.job for _, _, run in plan} - jobs.keys()):
        message = f"{strange[0]} has built on the run meanwhile"
        raise BuiltUponError(message, hint="ask again")


def _can_be_opened(spark: SparkSession, plan: list[tuple[Step, Setback, _Run]]) -> None:
    """Hold what a requeue took up against what of it is still there to be opened again.

    Raises:
        RecoveryError: rows of it have gone for good, and would then be nowhere.
    """
    for _, wanted, run in plan:
        streams = [stream for stream in wanted.streams if stream.startswith(REQUEUE)]
        quarantine = run.work.lake.quarantine(run.target.name)
        if not streams or not exists(spark, quarantine):
            continue
        ledger = read_table(spark, run.work.lake.ledger).where(F.col("event") == "batch")
        noted = ledger.where(F.col("stream").isin(streams)).select("stream", "inputs").distinct().collect()
        rows = every_row(spark, quarantine).where(F.col("requeue").isin([one[len(REQUEUE) :] for one in streams]))
        there = {f"{REQUEUE}{row.requeue}": row["count"] for row in rows.groupBy("requeue").count().collect()}
        for row in noted:
            taken = sum(one.get("rows", 0) for one in json.loads(row.inputs).values() if "requeue" in one)
            if (left := there.get(row.stream, 0)) < taken:
                message = (
                    f"{row.stream} took up {taken:,} rows of {quarantine.name}, of which {left:,} are still there: "
                    "the others have expired"
                )
                raise RecoveryError(message, hint="correct the rows by a run; quarantine_retention says what is kept")


def _done(spark: SparkSession, plan: list[tuple[Step, Setback, _Run]]) -> None:
    """Job by job, downstream first, each written down and then done.

    Where that ends in between, the next run of the job does the rest of its own, and none is ahead of what it reads.
    """
    for _, wanted, run in plan:
        if wanted.stream and run.past:
            write(spark, beside(run.work.lake, wanted.job), run.work, run.past.until(wanted.batch, wanted.stream))
        decide(spark, run.work.lake, wanted)
        setback.finish(spark, run.work)


def _closure(known: _Known, run_id: str, *, later: bool) -> list[_Run]:
    """The run and all that build on it, newest first; none where it was undone before.

    Raises:
        BuiltUponError: there are such, and ``later`` does not say that they go as well; or nobody's run changed rows.
    """
    if run_id in known.undone:
        return []
    found: dict[str, _Run] = {}
    waiting = [run_id]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found[one] = _run(known, one)
            waiting += sorted(_builders(known, found[one]))
    others = [run for name, run in found.items() if name != run_id]
    if others and not later:
        listed = ", ".join(f"{run.run_id} of {run.work.job.job}" for run in others)
        message = f"later runs build on {run_id}: {listed}"
        raise BuiltUponError(message, hint="--later undoes them as well")
    return sorted(found.values(), key=lambda run: run.at, reverse=True)


def _run(known: _Known, run_id: str) -> _Run:
    """What a run did.

    Raises:
        RecoveryError: it rebuilt its target, beside which nothing of the old one is left.
    """
    work = known.work(known.job_of(run_id))
    target = work.lake.table(work.job.write.table)
    own = [one for one in known.log(target) if one.note.get("run_id") == run_id]
    if any(one.note["step"] == REFRESH for one in own):
        message = f"{run_id} rebuilt {target.name}, and the checkpoint and the memory of the one before are gone"
        raise RecoveryError(message, hint="correct the job, and build it anew again with --full-refresh")
    if any(str(one.note["stream"]).startswith(REPLAY) for one in own):
        message = f"{run_id} is a replay, which closed what was put aside before of the same records"
        raise RecoveryError(message, hint="correct the job, and replay the same span once more")
    past = history(known.spark, work) if work.job.is_incremental else None
    batches = [*past.batches.values(), *([past.begun] if past.begun else [])] if past else []
    rows = [row for row in known.ledger if row.run_id == run_id and row.event == "batch"]
    streams = {str(row.stream) for row in rows} | {str(one.note["stream"]) for one in own}
    numbers = tuple(sorted(one.number for one in batches if one.run_id == run_id))
    if work.job.is_incremental and not numbers and any("/" not in stream for stream in streams):
        message = f"nothing tells which batches of {work.job.job} {run_id} made"
        raise RecoveryError(message, hint=FROM_START)
    if past:
        check_not_archived(work, past, numbers)
    times = [str(row.ended_at) for row in rows] + [one.at for one in own]
    return _Run(
        run_id,
        work,
        past,
        tuple(one for one in own if one.note["step"] in (STEP, REPAIR)),
        numbers,
        tuple(sorted(stream for stream in streams if "/" in stream)),
        max(times, default=""),
    )


def _builders(known: _Known, run: _Run) -> set[str]:
    """The runs that build on one: by its table, by its job's batches, or by what they read."""
    found = {past.run_id for past in _after(run)}
    if run.first is not None:
        found |= set(_changers(known, run.target, run.first))
        found |= set(_readers(known, run.target, run.first))
    found |= set(_takers(known, run))
    return found - {run.run_id} - known.undone


def _after(run: _Run) -> Iterator[Any]:
    """The batches of the checkpoint from the run's first on."""
    if run.past and run.numbers:
        yield from (past for number, past in run.past.batches.items() if number >= run.numbers[0])


def _changers(known: _Known, target: Table, first: int) -> Iterator[str]:
    """The runs that changed rows of a table from a version on.

    Raises:
        BuiltUponError: rows were changed by no run of a job.
    """
    for one in known.log(target):
        if one.version < first or not one.changes_rows or one.operation in MOVES:
            continue
        if "run_id" in one.note:
            if one.note["step"] != UNDO:
                yield str(one.note["run_id"])
        elif one.note.get("step") != MAINTAIN:
            message = f"version {one.version} of {target.name} ({one.operation}) changed rows, and is of no job's run"
            raise BuiltUponError(message, hint="what was changed by hand is not undone: correct the rows by hand")


def _readers(known: _Known, target: Table, first: int) -> Iterator[str]:
    """The runs that read a table from a version on: of the ledger, and of commits that it was not told of yet."""
    for row in known.ledger:
        if row.event == "batch" and _has_read(json.loads(row.inputs or "{}"), target.name, first):
            yield str(row.run_id)
    for name in known.project.jobs:
        job = known.project.job(name)
        if target.name in _read_by(job):
            for one in known.log(known.lake.table(job.write.table)):
                if one.note.get("step") == STEP and _has_read(one.note.get("inputs", {}), target.name, first):
                    yield str(one.note["run_id"])


def _takers(known: _Known, run: _Run) -> Iterator[str]:
    """The requeues that took up what a run put aside, which a batch that comes again puts aside again.

    Raises:
        BuiltUponError: a replay closed it.
    """
    quarantine = run.work.lake.quarantine(run.target.name)
    if not run.past or not run.numbers or not exists(known.spark, quarantine):
        return
    own = (F.col("stream") == run.past.stream) & F.col("batch").isin(list(run.numbers))
    taken = every_row(known.spark, quarantine).where(own & F.col("requeue").isNotNull()).select("requeue").distinct()
    for row in taken.collect():
        if str(row.requeue).startswith(REPLAY):
            message = f"a replay has read again what {run.run_id} put aside"
            raise BuiltUponError(message, hint="correct the job, and replay the same span once more")
        yield str(row.requeue)


def _read_by(job: Job) -> set[str]:
    """The tables that a job reads."""
    return {source.table for source in job.sources.values() if isinstance(source, TableSource)} | set(job.references)


def _has_read(inputs: Mapping[str, Any], table: str, first: int) -> bool:
    """Whether a batch has read a version of a table, or one that follows it."""
    for read in inputs.values():
        if isinstance(read, dict) and read.get("table") == table and read.get("version") is not None:
            # of a stream the version is the next one, unless it was left in the midst
            last = read["version"] - 1 if read.get("index", 0) < 0 else read["version"]
            if last >= first:
                return True
    return False


def _planned(known: _Known, runs: list[_Run]) -> list[tuple[Step, Setback, _Run]]:
    """What is done to each job, downstream first.

    Raises:
        RecoveryError: the history does not tell what the checkpoint was.
    """
    by_job: dict[str, list[_Run]] = {}
    for run in runs:
        by_job.setdefault(run.work.job.job, []).append(run)
    plan, asked = [], uuid.uuid4().hex[:12]
    for job, own in _downstream_first(by_job).items():
        target = own[0].target
        made = [run.first for run in own if run.first is not None]
        version = min(made) - 1 if made else None
        wanted = _setback(asked, job, own, _restorable(target, version), head(known.spark, target))
        if wanted.stream and own[0].past:
            places(own[0].work, own[0].past.until(wanted.batch, wanted.stream))
        batch = wanted.batch if wanted.stream else None
        step = Step(job, wanted.undone, target.name, wanted.seen, wanted.version, batch)
        if wanted.version is not None or wanted.stream or wanted.streams:
            plan.append((step, wanted, own[0]))
    return plan


def _downstream_first(by_job: Mapping[str, list[_Run]]) -> dict[str, list[_Run]]:
    """The jobs in such an order that each comes before those whose tables it reads.

    Raises:
        RecoveryError: there is none, or two of them write one table, which is set back once.
    """
    left, ordered = dict(by_job), dict[str, list[_Run]]()
    tables = [runs[0].target.name for runs in left.values()]
    if double := sorted({name for name in tables if tables.count(name) > 1}):
        message = f"{double[0]} is written by several of the jobs: {', '.join(sorted(left))}"
        raise RecoveryError(message, hint=FROM_START)
    while left:
        read = {name: _read_by(runs[0].work.job) for name, runs in left.items()}
        last = next(
            (name for name in left if all(left[name][0].target.name not in read[one] for one in left if one != name)),
            None,
        )
        if last is None:
            message = f"the jobs read each other's tables: {', '.join(sorted(left))}"
            raise RecoveryError(message, hint=FROM_START)
        ordered[last] = left.pop(last)
    return ordered


def _restorable(target: Table, version: int | None) -> int | None:
    if version is not None and version < 0:
        message = f"{target.name} was made by the very commit that is to be undone"
        raise RecoveryError(message, hint=f"remove the table, or {FROM_START}")
    return version


def _setback(asked: str, job: str, runs: list[_Run], version: int | None, newest: Commit | None) -> Setback:
    numbers = [number for run in runs for number in run.numbers]
    past = runs[0].past if numbers else None
    return Setback(
        "undo",
        job,
        asked,
        stream=str(uuid.uuid4()) if past else "",
        of=past.stream if past else "",
        batch=min(numbers) - 1 if past else -1,
        undone=tuple(run.run_id for run in runs),
        streams=tuple(sorted({stream for run in runs for stream in run.streams})),
        version=version,
        seen=newest.version if newest else None,
        line=past.line if past else (),
    )
