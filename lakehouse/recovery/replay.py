"""``lakehouse replay``: what came in a span of time goes through its job again, into the same table or a new one.

A replay is a run of the job, by a checkpoint of its own, over that part of the source. Its batches are known by a
stream that begins with ``replay/``; for the rest they are batches like any other. Where it is killed, the same command
goes on with the batch that it was at; the checkpoint is removed when all is done.

Into the same table it goes where a record that comes twice makes one row. It reads nothing that the job has not read:
so each record has one place afterwards, the one that the replay gave it.
"""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError
from pyspark.sql import functions as F

from lakehouse.check.quarantine import OPEN, REPLAY, every_row, supersede
from lakehouse.errors import ConfigError, RecoveryError
from lakehouse.lake.batch import SOURCE
from lakehouse.lake.checkpoint import Checkpoint
from lakehouse.lake.frame import literal, small_frame
from lakehouse.lake.statements import expression, run_sql
from lakehouse.lake.storage import list_files, local, read_lines, write_text
from lakehouse.lake.table import commits, exists
from lakehouse.read.control import as_read
from lakehouse.read.feed import Span
from lakehouse.read.folders import IN_ZIP
from lakehouse.read.kafka import first_offsets
from lakehouse.runtime import stream
from lakehouse.runtime.feeds import feed_of
from lakehouse.runtime.journal import Journal
from lakehouse.runtime.result import told as error_told
from lakehouse.runtime.runner import execute
from lakehouse.runtime.session import settled, start
from lakehouse.spec.files import FilesSource
from lakehouse.spec.kafka import AtOffsets, AtTime, KafkaSource
from lakehouse.write.commit import FAR_BACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.errors import LakehouseError
    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.read.tables import TableFeed
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.progress import Progress
    from lakehouse.runtime.result import RunResult
    from lakehouse.runtime.workplace import Workplace
    from lakehouse.spec.write import Write

_PLACE = ("file", "position", "topic", "partition", "offset")
_ROUNDED = timedelta(seconds=0.1)
"""To how much a source tells how long something has been waiting."""


@dataclass(frozen=True)
class Found:
    """What of the source is of the span, in words, and how much that the job has read of it is not there as it was."""

    told: str
    missing: int = 0


@dataclass(frozen=True)
class Report:
    """What was to be replayed, and the run that did."""

    job: str
    target: str
    span: Span
    dry_run: bool
    found: Found | None = None
    statics: tuple[str, ...] = ()
    run: RunResult | None = None

    @property
    def error(self) -> LakehouseError | None:
        """How the run failed, if it did."""
        return self.run.error if self.run else None

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse replay --json`` prints."""
        return {
            "job": self.job,
            "target": self.target,
            "from": self.span.begin.isoformat(),
            "to": self.span.end.isoformat(),
            "status": self.run.status if self.run else "done",
            "dry_run": self.dry_run,
            "found": vars(self.found) if self.found else None,
            "read_as_they_are": self.statics,
            "run": self.run.as_json() if self.run else None,
            "error": error_told(self.error),
        }


@dataclass
class _Replay:
    """The job as it is, and as it is run over the span; ``found`` is what there is to run it over."""

    job: Workplace
    work: Workplace
    span: Span
    allow_missing: bool
    found: Found | None = field(default=None, init=False)

    @property
    def target(self) -> Table:
        return self.work.lake.table(self.work.job.write.table)

    @property
    def is_into(self) -> bool:
        """Whether it makes another table than the job does."""
        return self.target.name != self.job.job.write.table

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(f"{self.work.lake.checkpoint(self.work.job.job).path}.replay", REPLAY)

    @property
    def folder(self) -> Path:
        return cast("Path", local(self.checkpoint.path))

    @property
    def gone(self) -> Path:
        """Where what is to be removed is moved to, at once: half of a folder is never taken for the whole."""
        return self.folder.with_name(f"{self.folder.name}.gone")


def span(begin: str, end: str) -> Span:
    """The span that two times make.

    Raises:
        ConfigError: one is no time, or has no zone, or the end is not behind the beginning.
    """
    times = _time("--from", begin), _time("--to", end)
    if times[0] >= times[1]:
        message = f"--from {begin} --to {end}: the end is not behind the beginning"
        raise ConfigError(message)
    return Span(*times)


def _time(option: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = f"{option} {text}: expected a time such as 2026-11-01T00:00:00Z"
        raise ConfigError(message) from None
    if at.tzinfo is None:
        message = f"{option} {text}: has no time zone: write {at.isoformat()}Z for UTC"
        raise ConfigError(message)
    return at.astimezone(UTC)


def replay(
    work: Workplace,
    part: Span,
    *,
    into: str | None = None,
    allow_missing: bool = False,
    dry_run: bool = False,
    spark: SparkSession | None = None,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
) -> Report:
    """Run a span of a job's input again.

    Args:
        work: the job in its place.
        part: the span, by the time at which its source had it: of a file's modification, a record, a commit.
        into: a new table, ``schema.table``, in the place of the job's own.
        allow_missing: go on where some of what the job once read is not as it was any more.
        dry_run: say what would be replayed, and do nothing.
        spark: the session; one is started where there is none.
        stop: set from elsewhere, it ends the run after the batch that it is at; the same command goes on.
        progress: what tells of the run.

    Raises:
        RecoveryError: the same table would not come of it, or what is to be read is not there any more.
        ConfigError: ``into`` is no name of a table.
    """
    _refuse(work, into)
    spark = spark or start("replay", work.settings)
    one = _Replay(work, _over(work, part, into, spark), part, allow_missing)
    statics = tuple(source.table for source in work.job.statics.values())
    report = Report(work.job.job, one.target.name, part, dry_run, statics=statics)
    if dry_run:
        with settled(spark, work.settings):
            _look(one, spark)
        return replace(report, found=one.found)
    if progress:
        progress.start(one.work)
    say, stop = progress.batch if progress else lambda _: None, stop or threading.Event()
    instead = partial(_replayed, one, stop)
    result = execute(one.work, spark=spark, stop=stop, instead=instead, say=say)
    if progress:
        progress.end(result)
    return replace(report, found=one.found, run=result)


def _refuse(work: Workplace, into: str | None) -> None:
    """Refuse what cannot end in the same table.

    Raises:
        RecoveryError: as it says.
    """
    job, write = work.job, work.job.write
    if not job.is_incremental:
        message = f"{job.job} reads its sources whole: there is no span of them to read again"
        raise RecoveryError(message, hint=f"lakehouse run {job.job}, with --full-refresh where nothing has changed")
    if local(work.lake.root) is None:
        message = f"a replay renames and removes a checkpoint, which {work.lake.root} cannot do"
        raise RecoveryError(message, hint="--full-refresh on a lake of this machine, or a requeue")
    why = None
    if job.is_stateful:
        why = "holds a state, which has gone on since"
    elif write.mode == "append" and not write.identity:
        why = "adds every row that comes, and says no identity: by which rows that it has would be told"
    if why and into is None:
        message = f"{job.job} {why}: its table would not be the same after a replay"
        raise RecoveryError(message, hint="--into schema.table replays into a table of its own")


def _over(work: Workplace, part: Span, into: str | None, spark: SparkSession) -> Workplace:
    """The job as it is run over the span: to its end, and into another table where one is named."""
    name, source = work.job.stream
    changed: dict[str, Any] = {"trigger": "available_now"}
    if isinstance(source, KafkaSource):
        # those who listen to dead letters were told by the job
        update = {"starting_offsets": _starting(work, source, part, spark), "dead_letter_topic": None}
        changed["sources"] = {**work.job.sources, name: source.model_copy(update=update)}
    if into is not None:
        changed["write"] = _elsewhere(work, into)
    elif work.job.write.mode == "snapshot":
        # keys that came since are not in an old snapshot, and it deletes none of them
        changed["write"] = work.job.write.model_copy(update={"max_delete_fraction": 1.0})
    return replace(work, job=work.job.model_copy(update=changed), span=part)


def _starting(work: Workplace, source: KafkaSource, part: Span, spark: SparkSession) -> AtTime | AtOffsets:
    """Where the topics are read from; never from before the job itself began."""
    own = source.starting_offsets
    if own == "earliest" or isinstance(own, AtTime):
        return AtTime(timestamp=max(part.begin, own.timestamp) if isinstance(own, AtTime) else part.begin)
    began = first_offsets(spark, work.lake.checkpoint(work.job.job))
    if began:
        return AtOffsets(
            offsets={name: {int(at): offset for at, offset in found.items()} for name, found in began.items()}
        )
    if isinstance(own, AtOffsets):
        return own
    message = f"{work.job.job} begins with what comes after its first run, and has not run"
    raise RecoveryError(message, hint="run it first, or say in starting_offsets where it begins")


def _elsewhere(work: Workplace, into: str) -> Write:
    """The job's write, to another table.

    Raises:
        RecoveryError: some job of the project writes it.
    """
    try:
        write = type(work.job.write).model_validate({**dict(work.job.write), "table": into})
    except ValidationError as error:
        message = f"--into {into}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        raise ConfigError(message, hint="--into schema.table, in lower case") from None
    for name in work.project.jobs:
        with suppress(ConfigError):
            if work.project.job(name).write.table == into:
                message = f"{into} is the table of {name}"
                raise RecoveryError(message, hint="name a new table, or leave out --into for the job's own")
    return write


def _replayed(one: _Replay, stop: threading.Event, journal: Journal, done: Callable[[Outcome], None]) -> None:
    """Begin, or go on where a replay of this span was ended; the job is locked."""
    spark, checkpoint = journal.spark, one.checkpoint
    if not one.is_into:
        # what was taken back by hand is told before one more commit hides it
        stream.check_target(one.job, spark, one.target, one.job.lake.checkpoint(one.job.job.job))
    _look(one, spark)
    _begin(one, journal)
    after = (lambda *_: None) if one.is_into else _Closing(one).close
    stream.run(one.work, one.target, checkpoint, done, journal, stop, after=after)
    journal.flush()
    if not stop.is_set():
        _remove(one, one.folder)


def _begin(one: _Replay, journal: Journal) -> None:
    """Note what is replayed, unless that is what was begun before; what was begun of another span is given up."""
    spark, path = journal.spark, f"{one.checkpoint.path}/request.json"
    shutil.rmtree(one.gone, ignore_errors=True)
    wanted = {"span": str(one.span), "target": one.target.name}
    lines = read_lines(spark, path)
    begun = json.loads(lines[0]) if lines else None
    if begun == wanted:
        return
    if begun:
        _give_up(one, journal, begun["target"])
    if one.folder.exists():
        _remove(one, one.folder)
    if one.is_into:
        _make_room(one, spark)
    write_text(spark, path, json.dumps(wanted))


def _give_up(one: _Replay, journal: Journal, target: str) -> None:
    """Leave a replay that did not end: the ledger has its batches, and the one that it was at put nothing aside."""
    spark, checkpoint, lake = journal.spark, one.checkpoint, one.work.lake
    own, pending, quarantine = checkpoint.id(spark), checkpoint.pending(spark), lake.quarantine(target)
    if own is None:
        return
    Journal(spark, journal.ledger).recover(lake.table(target), checkpoint)
    if pending is not None and exists(spark, quarantine):
        which = f"stream = {literal(own)} AND batch = {pending}"
        run_sql(spark, f"DELETE FROM {quarantine.sql} WHERE {which}")  # noqa: S608 -- quoted


def _make_room(one: _Replay, spark: SparkSession) -> None:
    """Remove what an earlier replay of the job made under the name.

    Raises:
        RecoveryError: something else made it.
    """
    target, job = one.target, one.work.job.job
    made = [commit for commit in commits(spark, target, FAR_BACK) if commit.changes_rows]
    own = [one for one in made if one.note.get("job") == job and str(one.note.get("stream")).startswith(REPLAY)]
    if len(own) < len(made):
        message = f"{target.name} is there, and no replay of {job} made it"
        raise RecoveryError(message, hint="name a new table, or remove this one")
    quarantine = one.work.lake.quarantine(target.name)
    if exists(spark, quarantine):
        which = f"job = {literal(job)} AND stream LIKE '{REPLAY}%'"
        run_sql(spark, f"DELETE FROM {quarantine.sql} WHERE {which}")  # noqa: S608 -- quoted
    if own:
        _remove(one, cast("Path", local(target.path)))


def _remove(one: _Replay, folder: Path) -> None:
    shutil.rmtree(one.gone, ignore_errors=True)
    folder.rename(one.gone)
    shutil.rmtree(one.gone)


def _look(one: _Replay, spark: SparkSession) -> None:
    """Look for what is to be replayed, and hold it against what the job has read.

    Raises:
        RecoveryError: some of it is gone or was rewritten; or the job itself has yet to read some.
    """
    checkpoint = one.job.lake.checkpoint(one.job.job.job)
    if not one.is_into and checkpoint.pending(spark) is not None:
        message = f"{one.job.job.job} has begun a batch and not ended it"
        raise RecoveryError(message, hint=_RUN_FIRST)
    _, source = one.job.job.stream
    if isinstance(source, FilesSource):
        one.found = _files(one, source, spark, checkpoint)
    else:
        _read_so_far(one, spark, checkpoint)
        one.found = (
            _records(one, source, spark, checkpoint) if isinstance(source, KafkaSource) else _commits(one, spark)
        )
    if one.found.missing and not one.allow_missing:
        message = (
            f"{one.found.missing:,} of what {one.job.job.job} once read in the span is not there any more as it was"
        )
        raise RecoveryError(
            f"{message}: {one.found.told}", hint="--allow-missing replays what there is, and counts the rest"
        )


_RUN_FIRST = "run the job first: what it has not read would come twice"


def _files(one: _Replay, source: FilesSource, spark: SparkSession, checkpoint: Checkpoint) -> Found:
    """The files of the span as they lie there, against those that the job has read.

    Raises:
        RecoveryError: the job has yet to read one.
    """
    name, _ = one.job.job.stream
    there = {file.path: file for file in list_files(spark, one.job.folders[name], source.listed)}
    read = {path: at for path, (at, _) in checkpoint.files(spark).items()}
    mine = [file for file in there.values() if one.span.holds(file.modified_ms)]
    new = [file.path for file in mine if file.path not in read]
    if new and not one.is_into:
        message = f"{len(new):,} files of the span were never read by {one.job.job.job}, first {min(new)}"
        raise RecoveryError(message, hint=_RUN_FIRST)
    once = {path: at for path, at in read.items() if one.span.holds(at)}
    other = [path for path, at in once.items() if path not in there or there[path].modified_ms != at]
    if source.control:
        found = {file.path: file.modified_ms for file in list_files(spark, one.job.folders[name], source.pattern)}
        data = as_read(once, checkpoint.grown(spark), source)
        other += [path for path, at in data.items() if found.get(path) != at]
    told = f"{len(mine):,} files, {sum(file.bytes for file in mine):,} bytes"
    if other:
        told += f"; {len(other):,} were read in the span and are gone or rewritten, first {min(other)}"
    return Found(told, len(other))


def _read_so_far(one: _Replay, spark: SparkSession, checkpoint: Checkpoint) -> None:
    """Hold the span against how far the job has come.

    Raises:
        RecoveryError: some of the span is still to be read by the job.
    """
    if one.is_into:
        return
    now = datetime.now(UTC)
    for behind in feed_of(one.job).behind(spark, checkpoint):
        oldest = now - timedelta(seconds=behind.seconds) if behind.seconds is not None else None
        if behind.count and oldest and oldest - _ROUNDED < one.span.end:
            message = f"{one.job.job.job} has not read all of {behind.of} that came before {one.span.end.isoformat()}"
            raise RecoveryError(message, hint=_RUN_FIRST)


def _records(one: _Replay, source: KafkaSource, spark: SparkSession, checkpoint: Checkpoint) -> Found:
    """Which topics, and how many of their partitions begin within the span although the job read from before that."""
    name, _ = one.job.job.stream
    brokers, began = one.job.brokers[name], first_offsets(spark, checkpoint)
    ranges = brokers.ranges(brokers.topics(source))
    cut = {
        (topic, place): low
        for topic, parts in ranges.items()
        for place, (low, high) in parts.items()
        if low > began.get(topic, {}).get(str(place), 0)
    }
    made = brokers.made_at({at: low for at, low in cut.items() if ranges[at[0]][at[1]][1] > low}) if cut else {}
    begin = one.span.begin.timestamp()
    late = sorted(at for at in cut if at not in made or made[at] > begin)
    told = f"records of {', '.join(sorted(ranges))}"
    if late:
        topic, place = late[0]
        told += f"; retention removed what came before offset {cut[late[0]]:,} of {topic}, partition {place}"
    return Found(told, len(late))


def _commits(one: _Replay, spark: SparkSession) -> Found:
    """Which versions of the table the span holds."""
    feed = cast("TableFeed", feed_of(one.work))
    part = feed.part(spark)
    return Found(f"versions {part[0]} to {part[1]} of {feed.table.name}" if part else f"no commit of {feed.table.name}")


@dataclass
class _Closing:
    """Closes what was put aside before of the records that a batch of a replay has read again."""

    one: _Replay
    is_needed: bool | None = None

    def close(self, frame: DataFrame, identity: Identity) -> None:
        """Of one batch; where it is done already, nothing is open any more."""
        spark, target = frame.sparkSession, self.one.target
        quarantine = self.one.work.lake.quarantine(target.name)
        if self.is_needed is None:
            others = f"{OPEN} AND job = {literal(identity.job)} AND stream <> {literal(identity.stream)}"
            is_there = exists(spark, quarantine)
            self.is_needed = is_there and not every_row(spark, quarantine).where(expression(others)).isEmpty()
        if not self.is_needed:
            return
        came, same = _came(self.one, frame, identity)
        supersede(came, quarantine, identity, same)
        # what transform() made has no place: it is known again by what it is, where it was put aside again
        no_place = " AND ".join(f"source.{name} IS NULL" for name in _PLACE)
        mine = f"stream = {literal(identity.stream)} AND batch = {identity.batch} AND {no_place}"
        again = every_row(spark, quarantine).where(expression(mine)).select("record").distinct()
        placeless = " AND ".join(f"q.source.{name} IS NULL" for name in _PLACE)
        supersede(again, quarantine, identity, f"q.record = c.record AND {placeless}")


def _came(one: _Replay, frame: DataFrame, identity: Identity) -> tuple[DataFrame, str]:
    """What a batch read, each once, and the condition by which a row of the quarantine is of it."""
    spark, (name, source) = frame.sparkSession, one.job.job.stream
    inputs: Mapping[str, Any] = identity.inputs[name]
    if isinstance(source, FilesSource):
        # of control files, and of those that they stand for; a row may be of a file that is in one
        files = [[file[0]] for file in (*inputs["files"], *inputs.get("data", ()))]
        whole = f"regexp_replace(q.source.file, {literal(IN_ZIP)}, {literal('$1')})"
        return small_frame(spark, files, {"file": "string"}), f"{whole} = c.file"
    if isinstance(source, KafkaSource):
        begin, end = (f"TIMESTAMP {literal(at.isoformat())}" for at in (one.span.begin, one.span.end))
        ranges = [
            f"(q.source.topic = {literal(topic)} AND q.source.partition = {place}"
            f" AND q.source.offset >= {first} AND q.source.offset < {last})"
            for topic, parts in inputs["topics"].items()
            for place, (first, last) in parts.items()
        ]
        # of what was put aside after transform() no time is known: its place tells
        when = f"(q.received IS NULL OR (q.received.timestamp >= {begin} AND q.received.timestamp < {end}))"
        return spark.range(1), f"{when} AND ({' OR '.join(ranges) or 'false'})"
    places = frame.select(*[F.col(f"{SOURCE}.{field}").alias(field) for field in _PLACE]).distinct()
    placed = " OR ".join(f"{field} IS NOT NULL" for field in _PLACE)
    return places.where(expression(placed)), " AND ".join(f"q.source.{field} <=> c.{field}" for field in _PLACE)


def told(report: Report) -> Iterator[str]:
    """A replay in words, a line at a time."""
    yield f"{report.job}: what came from {report.span} -> {report.target}"
    if report.found:
        yield f"  {report.found.told}"
    for table in report.statics:
        yield f"  {table} is read as it is now"
