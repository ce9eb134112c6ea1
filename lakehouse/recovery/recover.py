"""``lakehouse recover``: a checkpoint that was lost, damaged or put back is made anew of what the commits tell.

The notes of the target, its quarantine and the ledger name each batch and what it read. The checkpoint that is made of
them has the id of those batches, so that numbers go on and replays are known; a batch that had put rows aside and not
reached its target comes again as it was.
"""

from __future__ import annotations

import json
import re
import uuid
import zlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lakehouse.check.quarantine import REQUEUE
from lakehouse.errors import RecoveryError, SourceChangedError
from lakehouse.lake.effective import effective
from lakehouse.lake.table import commits, head
from lakehouse.read.tables import TableFeed
from lakehouse.recovery.checkpoint import check_files, places, write
from lakehouse.recovery.history import FROM_START, history, taken_back
from lakehouse.runtime import refresh, setback
from lakehouse.runtime.feeds import feed_of
from lakehouse.runtime.lock import held
from lakehouse.runtime.session import settled, start
from lakehouse.runtime.setback import Setback, beside, decide, decided, folder
from lakehouse.write.commit import FAR_BACK
from lakehouse.write.setback import is_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.lake.table import Table
    from lakehouse.recovery.history import History
    from lakehouse.runtime.workplace import Workplace

_FORMS = {"metadata": 1, "offsets": 3, "commits": 2, "sources": 1, "owner.json": 1, "topics.json": 1, "recorded": 1}
"""What a checkpoint consists of, and how many lines each file of it has at least."""


@dataclass(frozen=True)
class Report:
    """What was wrong with a checkpoint, and what it is made of anew.

    ``status``: nothing (it is fine, or there is nothing to make it of), planned, or done.
    """

    job: str
    status: str
    why: tuple[str, ...] = ()
    stream: str | None = None
    batch: int | None = None
    again: int | None = None
    ends: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse recover --json`` prints."""
        return {
            "job": self.job,
            "status": self.status,
            "why": list(self.why),
            "stream": self.stream,
            "batch": self.batch,
            "again": self.again,
            "ends": self.ends,
        }


def told(report: Report) -> Iterator[str]:
    """What a person sees of it."""
    yield report.job
    for why in report.why:
        yield f"  {why}"
    if report.stream is None or report.status == "nothing":
        yield "  nothing to do"
        return
    yield f"  checkpoint {report.stream} up to batch {report.batch}, which ends at {json.dumps(report.ends)}"
    if report.again is not None:
        yield f"  batch {report.again} put rows aside and did not reach its target: it comes again as it was"


def recover(
    work: Workplace,
    *,
    dry_run: bool = False,
    spark: SparkSession | None = None,
    say: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Rebuild the checkpoint of a job, if it has to be.

    Args:
        work: the job in its place.
        dry_run: say what would be done, and do nothing.
        spark: the session; one is started where there is none.
        say: told what will be done, before it is.

    Raises:
        LockedError: the job is being run.
        RecoveryError: the commits do not tell what must be in it.
    """
    work.lake.writable()
    if not work.job.is_incremental:
        return Report(work.job.job, "nothing", (f"{work.job.job} reads all there is, and keeps no checkpoint",))
    spark = spark or start("recover", work.settings)
    with settled(spark, work.settings), nullcontext() if dry_run else held(work.lake, work.job.job, spark):
        if not dry_run:
            refresh.finish(work, spark, work.lake.table(work.job.write.table))
            setback.finish(spark, work)
        elif waiting := decided(work.lake, work.job.job):
            begun = f"{waiting.event} {waiting.run_id} was begun: it is finished first"
            return Report(work.job.job, "planned", (begun,))
        report, past = _judged(spark, work)
        say(report)
        if report.status == "nothing" or past is None or dry_run:
            return report
        _rebuild(spark, work, past, report.why)
    return Report(**{**vars(report), "status": "done"})


def _judged(spark: SparkSession, work: Workplace) -> tuple[Report, History | None]:
    """What is wrong with the checkpoint, and the history that it is to be made of."""
    past = history(spark, work)
    checkpoint = work.lake.checkpoint(work.job.job)
    if past is None:
        _never_made(spark, work)
        return Report(work.job.job, "nothing", ("no batch was ever made: the next run reads from the start",)), None
    if gone := taken_back(spark, work.lake.table(work.job.write.table), past):
        return _set_back(work, past, gone)
    why = tuple(_faults(spark, work, checkpoint, past))
    last = past.begun.number if past.begun else None
    if not why:
        return Report(work.job.job, "nothing", _source_faults(spark, work), past.stream, past.newest, last), past
    ends = places(work, past).ends
    told_ends = dict(ends[max(ends)]) if ends else {}
    return Report(work.job.job, "planned", why, past.stream, past.newest, last, told_ends), past


def _source_faults(spark: SparkSession, work: Workplace) -> tuple[str, ...]:
    """Why the next run cannot go on although the checkpoint is fine, and what to do: its source is another one."""
    feed = feed_of(work)
    if isinstance(feed, TableFeed):
        try:
            feed.check(spark, work.lake.checkpoint(work.job.job))
        except SourceChangedError as error:
            return f"the checkpoint is fine; {error.message}", error.hint
    return ()


def _set_back(work: Workplace, past: History, gone: set[int]) -> tuple[Report, History]:
    """The history as far as the table holds it: what comes after is read again, as batches of a new checkpoint."""
    numbers = sorted(number for number in past.batches if number >= min(gone))
    check_files(work, past, numbers)
    holds = replace(past.until(min(gone) - 1, str(uuid.uuid4())), of=past.stream)
    # nothing is told of batches that come again
    holds = replace(holds, wrote=bool(holds.batches) and holds.wrote)
    why = (f"{work.job.write.table} holds no more what batch {min(gone)} committed to it",)
    ends = places(work, holds).ends
    told_ends = dict(ends[max(ends)]) if ends else {}
    return Report(work.job.job, "planned", why, holds.stream, holds.newest, None, told_ends), holds


def _never_made(spark: SparkSession, work: Workplace) -> None:
    """Hold that nothing tells of a batch against how far back the target's log goes.

    Raises:
        RecoveryError: it does not go back to the table's beginning.
    """
    target, oldest = work.lake.table(work.job.write.table), 0
    for commit in commits(spark, target, FAR_BACK):
        oldest = commit.version
    if oldest:
        message = (
            f"nothing tells of the batches of {work.job.job}: the log of {target.name} begins with version {oldest}"
        )
        raise RecoveryError(message, hint=f"put {work.lake.ledger.name} back, or {FROM_START}")


def _rebuild(spark: SparkSession, work: Workplace, past: History, why: tuple[str, ...]) -> None:
    write(spark, beside(work.lake, work.job.job), work, past)
    wanted = Setback("recover", work.job.job, uuid.uuid4().hex[:12], stream=past.stream, batch=past.newest, why=why)
    if past.of:
        target = work.lake.table(work.job.write.table)
        newest = head(spark, target)
        at = newest.version if newest else None
        # the table stays as it is, and its newest commit says which batches it holds
        wanted = replace(wanted, of=past.of, seen=at, streams=_requeues(spark, work, target), line=past.line)
    decide(spark, work.lake, wanted)
    setback.finish(spark, work)


def _requeues(spark: SparkSession, work: Workplace, target: Table) -> tuple[str, ...]:
    """The requeues of a job that were taken back with its batches: their rows are open again."""
    log = list(commits(spark, target, FAR_BACK))
    hold = {one.version for one in effective(log)}
    own = [one for one in log if is_of(one, work.job.job) and one.version not in hold]
    return tuple(sorted({str(one.note["stream"]) for one in own if str(one.note["stream"]).startswith(REQUEUE)}))


def _faults(spark: SparkSession, work: Workplace, checkpoint: Checkpoint, past: History) -> Iterator[str]:
    """Why a checkpoint is not the one that the job's batches were made with."""
    place = folder(work.lake) / work.job.job
    if not place.is_dir():
        yield "the checkpoint is gone"
        return
    torn = sorted(_torn(place))
    if torn:
        yield from (f"{name} is damaged" for name in torn)
        return
    lacking = [name for name in ("metadata", "owner.json") if not (place / name).is_file()]
    if lacking:
        yield from (f"{name} is gone" for name in lacking)
        return
    own = checkpoint.id(spark)
    if own != past.stream:
        yield f"its id is {own}, and the newest batches are those of {past.stream}"
        return
    yield from _behind(spark, work, checkpoint, past)


def _behind(spark: SparkSession, work: Workplace, checkpoint: Checkpoint, past: History) -> Iterator[str]:
    """What the batches have read, and a checkpoint of their id does not know."""
    last = past.begun or past.batches.get(past.newest)
    if last is None:
        return
    offset = checkpoint.offset(spark, last.number)
    if not offset:
        yield f"it does not know batch {last.number}"
        return
    if work.job.is_stateful:
        return
    read = last.inputs.get(work.job.stream[0], {})
    if "files" in read:
        known = checkpoint.files(spark)
        files = [name for one in (*past.batches.values(), last) for name, *_ in one.inputs[work.job.stream[0]]["files"]]
        if lost := [name for name in files if name not in known]:
            yield f"it does not know {len(lost)} files that were read, such as {lost[0]}"
        elif {name for name, *_ in read["files"]} != checkpoint.files_of(spark, last.number).keys():
            yield f"batch {last.number} read other files than it says"
    elif offset != places(work, past).ends[last.number]:
        yield f"batch {last.number} ends elsewhere than it says"


def _torn(place: Path) -> Iterator[str]:
    """The files of a checkpoint that are not whole."""
    for path in place.rglob("*"):
        name = path.relative_to(place)
        lines = _FORMS.get(name.parts[0])
        if lines and path.is_file() and not path.name.startswith((".", "_")) and not _is_whole(path, lines):
            yield str(name)


def _is_whole(path: Path, lines: int) -> bool:
    """Whether a file has as many lines, each what it must be, and the sums that Hadoop wrote beside it."""
    content, sums = path.read_bytes(), path.with_name(f".{path.name}.crc")
    try:
        text = content.decode().lstrip("\0").splitlines()
        for line in text:
            if not re.fullmatch(r"v[0-9]+", line):
                json.loads(line)
    except ValueError:
        return False
    return len(text) >= lines and (not sums.is_file() or sums.read_bytes() == _sums(content, sums.read_bytes()))


def _sums(content: bytes, like: bytes) -> bytes:
    """Hadoop's file of sums: its name, the bytes of a chunk, and of each chunk the CRC-32."""
    size = int.from_bytes(like[4:8], "big") or len(content) or 1
    chunks = (content[at : at + size] for at in range(0, len(content), size))
    return b"crc\0" + like[4:8] + b"".join(zlib.crc32(chunk).to_bytes(4, "big") for chunk in chunks)
