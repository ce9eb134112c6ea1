"""``lakehouse maintain``: the tables of a project's jobs are looked after, beside the jobs and never inside of them."""

from __future__ import annotations

import re
import time
import uuid
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError, LakehouseError, LedgerError, LockedError, first_line
from lakehouse.lake.faults import typed
from lakehouse.lake.storage import local
from lakehouse.lake.table import exists, head, read_table
from lakehouse.maintain.commit import Done
from lakehouse.maintain.compact import BOUNDS, compact
from lakehouse.maintain.expire import expire
from lakehouse.maintain.forget import forget, forgettable
from lakehouse.maintain.readers import needs
from lakehouse.maintain.vacuum import LEAST, vacuum
from lakehouse.publish.ledger import Event, record
from lakehouse.runtime.lock import held
from lakehouse.runtime.result import told
from lakehouse.runtime.session import settled, start
from lakehouse.runtime.workplace import surroundings
from lakehouse.spec.project import Project, read_any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.lake.place import Lake
    from lakehouse.lake.table import Table
    from lakehouse.maintain.compact import Bounds
    from lakehouse.spec.job import Job

_TABLE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_TIME = re.compile(r"([0-9]{1,6}) (hour|day)s?")


@dataclass(frozen=True)
class Plan:
    """What is asked for: how long files are kept, whether it may be short, whether anything is done at all."""

    retain: timedelta = LEAST
    allow_short: bool = False
    dry_run: bool = False
    bounds: Bounds = BOUNDS


@dataclass(frozen=True)
class Cared:
    """What became of one table: each step in turn, and the error that ended them, if any."""

    table: Table
    steps: tuple[Done, ...]
    seconds: Mapping[str, float]
    error: LakehouseError | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints of it."""
        steps = [asdict(step) for step in self.steps]
        return {"table": self.table.name, "path": self.table.path, "steps": steps, "error": told(self.error)}


@dataclass(frozen=True)
class Report:
    """What became of all tables."""

    run_id: str
    dry_run: bool
    tables: tuple[Cared, ...]
    seconds: float

    @property
    def error(self) -> LakehouseError | None:
        """The first error; those of other tables are beside them."""
        return next((one.error for one in self.tables if one.error), None)

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse maintain --json`` prints."""
        return {
            "run_id": self.run_id,
            "status": "failed" if self.error else "done",
            "dry_run": self.dry_run,
            "tables": [one.as_json() for one in self.tables],
            "seconds": round(self.seconds, 3),
            "error": told(self.error),
        }


@dataclass(frozen=True)
class _Item:
    """A table to look after. ``remembered``: it is auxiliary, and its events are kept so long. ``job`` writes it."""

    table: Table
    job: str = ""
    remembered: timedelta | None = None
    must_exist: bool = False


def plan(*, retain: str | None = None, allow_short: bool = False, dry_run: bool = False) -> Plan:
    """What a command line asks for.

    Raises:
        ConfigError: ``retain`` is no time, or shorter than is safe.
    """
    if retain is None:
        return Plan(allow_short=allow_short, dry_run=dry_run)
    found = _TIME.fullmatch(retain.strip())
    if not found:
        message = f"--retain {retain}: expected a time such as '7 days' or '200 hours'"
        raise ConfigError(message)
    kept = timedelta(hours=int(found[1])) if found[2] == "hour" else timedelta(days=int(found[1]))
    if kept < LEAST and not allow_short:
        message = f"--retain {retain}: a query or a write may need files for {LEAST.days} days"
        raise ConfigError(message, hint="--allow-short allows it, where no job of the lake is running")
    return Plan(kept, allow_short, dry_run)


def maintain(
    names: Sequence[str],
    asked: Plan,
    *,
    env: str | None = None,
    lake: str | None = None,
    root: Path | None = None,
    spark: SparkSession | None = None,
    say: Callable[[Cared], None] = lambda _: None,
) -> Report:
    """Look after the tables of jobs, or after tables by their names; after all of the project where none is named.

    One that fails does not keep the others from being looked after; what failed is in the report and in the ledger.

    Args:
        names: jobs (by name or file) and tables (``schema.table``).
        asked: what to do.
        env: the environment.
        lake: the lake's root, in the place of the environment's.
        root: the project's folder; the one around here where none is given.
        spark: the session; one is started where there is none.
        say: called after each table.

    Raises:
        ConfigError: there is no such job, or more than one project.
    """
    begin, run_id = time.perf_counter(), uuid.uuid4().hex[:12]
    project, chosen = _chosen(names, root)
    place, settings = surroundings(project, env, lake)
    jobs = _jobs(project, must_be_good=() if names else project.jobs)
    items = _items(project, place, chosen, jobs)
    spark = spark or start("maintain", settings)
    place.guarded(spark)
    tables = []
    with settled(spark, settings):
        for item in items:
            if item.must_exist or exists(spark, item.table):
                cared = _cared(spark, place, item, asked, jobs)
                tables.append(cared if asked.dry_run else _recorded(spark, place, item, cared, run_id))
                say(tables[-1])
    return Report(run_id, asked.dry_run, tuple(tables), time.perf_counter() - begin)


def _chosen(names: Sequence[str], root: Path | None) -> tuple[Project, list[str]]:
    """The project, and the jobs and tables; a name with a dot is a table's, unless it ends as a job's file does."""
    if root is not None:
        return Project(root), list(names)
    found = [(None, name) if _is_table(name) else read_any(name) for name in names]
    projects = {project.root: project for project, _ in found if project}
    if len(projects) > 1:
        message = f"jobs of {len(projects)} projects: {', '.join(map(str, projects))}"
        raise ConfigError(message, hint="maintain one project after the other")
    return next(iter(projects.values()), None) or Project.around(Path.cwd()), [name for _, name in found]


def _is_table(name: str) -> bool:
    return bool(_TABLE.fullmatch(name)) and Path(name).suffix not in (".yaml", ".py")


def _jobs(project: Project, must_be_good: Sequence[str]) -> dict[str, Job]:
    """The jobs of the project that can be read: those that cannot are no concern of the others' tables."""
    jobs = {}
    for name in project.jobs:
        try:
            jobs[name] = project.job(name)
        except ConfigError:
            if name in must_be_good:
                raise
    return jobs


def _items(project: Project, lake: Lake, chosen: Sequence[str], jobs: Mapping[str, Job]) -> list[_Item]:
    """The tables, each once: a job's come with what goes beside them, and those of all jobs at the end."""
    items: list[_Item] = []
    for name in chosen or project.jobs:
        writers = [job for job in jobs.values() if job.write.table == name]
        if _is_table(name):
            items.append(_Item(lake.table(name), writers[0].job if writers else "", must_exist=True))
            items += [_auxiliary(lake, job) for job in writers]
        else:
            job = jobs.get(name) or project.job(name)
            items.append(_Item(lake.table(job.write.table), name))
            items += [_auxiliary(lake, job), _Item(lake.quarantine(job.write.table), name)]
    if not all(map(_is_table, chosen)) or not chosen:
        items += [_Item(lake.ledger), _Item(lake.quality)]
    return list({item.table.path: item for item in reversed(items)}.values())[::-1]


def _auxiliary(lake: Lake, job: Job) -> _Item:
    remembered = getattr(job.write, "remembered", None)
    return _Item(lake.table(job.write.table).auxiliary, job.job, remembered)


def _cared(spark: SparkSession, lake: Lake, item: _Item, asked: Plan, jobs: Mapping[str, Job]) -> Cared:
    """The steps of one table, as far as they went."""
    steps: list[Done] = []
    seconds: dict[str, float] = {}
    error: LakehouseError | None = None
    clock = time.perf_counter()
    try:
        for done in _steps(spark, lake, item, asked, jobs):
            steps.append(done)
            seconds[done.step] = round(time.perf_counter() - clock, 3)
            clock = time.perf_counter()
    except LakehouseError as raised:
        error = raised
    except Exception as raised:
        # whatever it is, the other tables are looked after
        error = typed(raised, item.table.name)
        error.__cause__ = raised
    return Cared(item.table, tuple(steps), seconds, error)


def _steps(spark: SparkSession, lake: Lake, item: _Item, asked: Plan, jobs: Mapping[str, Job]) -> Iterator[Done]:
    read_table(spark, item.table)
    if item.remembered is not None:
        yield _forgotten(spark, item.table, item.remembered, asked)
    if kept := _kept(lake, item, jobs):
        yield expire(spark, item.table, kept, dry_run=asked.dry_run)
    yield from compact(spark, item.table, dry_run=asked.dry_run, bounds=asked.bounds)
    # those that read it as it is, and those that cannot be read themselves, may need an older version
    unconcerned = [name for name, job in jobs.items() if item.table.name not in job.reads_as_it_is]
    with ExitStack() as locks:
        if asked.retain < LEAST and not asked.dry_run and (why := _not_alone(lake, jobs, locks)):
            yield Done("vacuum", "skipped", why)
            return
        needed = needs(spark, lake, item.table, unconcerned=unconcerned)
        yield vacuum(spark, item.table, asked.retain, needed, dry_run=asked.dry_run)


def _kept(lake: Lake, item: _Item, jobs: Mapping[str, Job]) -> dict[str, timedelta]:
    """Of a quarantine how long each job keeps what was dealt with, where it says so."""
    own = [job for job in jobs.values() if lake.quarantine(job.write.table).path == item.table.path]
    return {job.job: kept for job in own if (kept := job.write.quarantine_kept)}


def _forgotten(spark: SparkSession, table: Table, remembered: timedelta, asked: Plan) -> Done:
    limit = datetime.now(UTC) - remembered
    told_as = f"events older than {remembered}"
    if asked.dry_run:
        rows = forgettable(spark, table, limit)
        return Done("forget", "planned" if rows else "nothing", told_as, {"rows": rows})
    rows = forget(spark, table, limit)
    return Done("forget", "done" if rows else "nothing", told_as, {"rows": rows})


def _not_alone(lake: Lake, jobs: Mapping[str, Job], locks: ExitStack) -> str:
    """Why files may not be removed early; empty once every job of the lake is locked, and so none is running."""
    folder = local(f"{lake.root}/_checkpoints")
    if folder is None:
        return f"nobody can be kept from {lake.root} meanwhile: it is not on this machine"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name in sorted({*jobs, *(path.stem for path in folder.glob("*.lock"))}):
            locks.enter_context(held(lake, name))
    except LockedError as error:
        return error.message
    return ""


def _recorded(spark: SparkSession, lake: Lake, item: _Item, cared: Cared, run_id: str) -> Cared:
    """The same, once the ledger has it, if there is anything to tell."""
    done: dict[str, Any] = {step.step: dict(step.counts) for step in cared.steps if step.status == "done"}
    if not done and not cared.error:
        return cared
    try:
        newest = head(spark, item.table)
        event = Event(
            "maintain",
            item.job,
            run_id,
            "failed" if cared.error else "done",
            datetime.now(UTC) - timedelta(seconds=sum(cared.seconds.values())),
            target=item.table.name,
            path=item.table.path,
            inputs=done,
            version=newest.version if newest else None,
            seconds=cared.seconds,
            error_code=cared.error.code if cared.error else None,
            error_message=str(cared.error) if cared.error else None,
        )
        record(spark, lake.ledger, [event])
    except Exception as failure:
        if cared.error is None:
            error = LedgerError(f"the ledger cannot be written: {first_line(failure)}")
            return Cared(cared.table, cared.steps, cared.seconds, error)
    return cared
