"""A checkpoint as Structured Streaming writes it, made of a job's history.

It has the newest two batches: Spark asks for no others. A source of files lists every file that was ever read, in one
entry for all but the newest batch, and one for that.
"""

from __future__ import annotations

import json
import shutil
import time
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lakehouse.errors import RecordsLostError, RecoveryError
from lakehouse.lake.checkpoint import Checkpoint
from lakehouse.lake.storage import local, write_text
from lakehouse.read.kafka import KafkaFeed, nothing_lost
from lakehouse.recovery.history import FROM_START
from lakehouse.runtime.feeds import feed_of
from lakehouse.runtime.stream import owner
from lakehouse.spec.files import FilesSource
from lakehouse.spec.kafka import KafkaSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.recovery.history import History
    from lakehouse.runtime.workplace import Workplace

_UNRESERVED = "/_-!.~'()*,;:$&+=@"
"""Characters besides letters and digits that Java leaves as they are in the path of a URI."""

_ORDER = ("sourceVersion", "reservoirId", "reservoirVersion", "index", "isStartingVersion")
"""Delta's order of what is in its offset: Spark holds offsets against each other as text."""

_SHOWN = 3
"""How many files are named."""


@dataclass(frozen=True)
class Places:
    """Where the newest batches end in their source, by number, and what else of a checkpoint is the source's own."""

    ends: Mapping[int, Mapping[str, Any]]
    files: Mapping[str, str]


def places(work: Workplace, past: History) -> Places:
    """What the history of a job makes of its checkpoint.

    Raises:
        RecoveryError: the history does not tell, or is that of another source.
    """
    if work.job.is_stateful:
        message = f"{work.job.job} holds a state of the rows that it read, and no commit tells what is in it"
        raise RecoveryError(message, hint=FROM_START)
    name, source = work.job.stream
    read = {number: one.inputs.get(name, {}) for number, one in past.batches.items()}
    if past.begun:
        read[past.begun.number] = past.begun.inputs.get(name, {})
    if isinstance(source, FilesSource):
        return _of_files(work, read)
    if isinstance(source, KafkaSource):
        return _of_topics(work, read, past.first.inputs.get(name, {}) if past.first else {})
    return _of_table(work, read)


def _of_files(work: Workplace, read: Mapping[int, Mapping[str, Any]]) -> Places:
    """Of a folder: every file of every batch must be known, or it would be read twice."""
    newest, folder = max(read, default=-1), work.folders[work.job.stream[0]]
    for number in range(newest + 1):
        _known(work, read, number, "files")
    entries = [[one for number in range(newest) for one in read[number]["files"]], read.get(newest, {}).get("files")]
    logged = [entry for entry in entries if entry]
    for path, *_ in (one for entry in logged for one in entry):
        if not str(path).startswith(f"{folder}/"):
            raise _other(work, str(path))
    ends = {newest - back: {"logOffset": len(logged) - 1 - back} for back in range(len(logged))}
    return Places(ends, {f"sources/0/{number}": _entry(number, files) for number, files in enumerate(logged)})


def _entry(number: int, files: Sequence[Sequence[Any]]) -> str:
    """An entry of Spark's log of files."""
    lines = [{"path": _uri(path), "timestamp": modified, "batchId": number} for path, modified, _ in files]
    return "\n".join(["v1", *(json.dumps(line, ensure_ascii=False) for line in lines)])


def _uri(path: str) -> str:
    """A path as Java writes it as a URI: by that Spark knows a file again."""
    scheme, found, rest = path.partition("://")
    if found:
        authority, slash, inside = rest.partition("/")
        return f"{scheme}://{authority}{slash}{_encoded(inside)}"
    return f"file://{_encoded(path)}"


def _encoded(path: str) -> str:
    return "".join(one if one > "\x7f" and _is_shown(one) else quote(one, safe=_UNRESERVED) for one in path)


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in ("Zs", "Zl", "Zp", "Cc")


def _of_table(work: Workplace, read: Mapping[int, Mapping[str, Any]]) -> Places:
    """Of a table: where Delta's own offset says."""
    newest, name = max(read, default=-1), work.job.stream[1]
    ends = {}
    for number in range(max(newest - 1, 0), newest + 1):
        inputs = _known(work, read, number, "offset")
        if inputs["table"] != getattr(name, "table", None):
            raise _other(work, inputs["table"])
        offset = inputs["offset"]
        ends[number] = {**{word: offset[word] for word in _ORDER if word in offset}, **offset}
    return Places(ends, {})


def _of_topics(work: Workplace, read: Mapping[int, Mapping[str, Any]], first: Mapping[str, Any]) -> Places:
    """Of topics: each batch says where it begins, which is where the one before it ends."""
    if not read and "topics" not in first and getattr(work.job.stream[1], "starting_offsets", "") == "latest":
        message = f"{work.job.job} began at the latest records, and nothing tells any more which those were"
        raise RecoveryError(message, hint="say where to begin by starting_offsets, and run the job")
    if not read:
        return Places({}, _beginning(first["topics"]) if "topics" in first else {})
    newest = max(read)
    parts = _known(work, read, newest, "topics")["topics"]
    known = getattr(work.job.stream[1], "topics", ())
    if known and (strange := sorted(parts.keys() - set(known))):
        raise _other(work, strange[0])
    ends = {newest: _side(parts, 1)} | ({newest - 1: _side(parts, 0)} if newest else {})
    return Places(ends, _beginning(first.get("topics", parts)))


def _beginning(parts: Mapping[str, Mapping[str, Sequence[int]]]) -> dict[str, str]:
    """Where a stream of topics began, as Spark notes it: the zero tells its form from that of Spark 2.0."""
    return {"sources/0/0": f"\0v1\n{_compact(_side(parts, 0))}"}


def _side(parts: Mapping[str, Mapping[str, Sequence[int]]], side: int) -> dict[str, dict[str, int]]:
    """One end of each partition, in the order that Spark writes them."""
    return {
        topic: {place: ends[side] for place, ends in sorted(places.items(), key=lambda item: int(item[0]))}
        for topic, places in parts.items()
    }


def _known(work: Workplace, read: Mapping[int, Mapping[str, Any]], number: int, word: str) -> Mapping[str, Any]:
    """What a batch noted that it read."""
    if word in read.get(number, {}):
        return read[number]
    why = "no commit and no row of the ledger tells" if number not in read else "its note does not tell"
    message = f"{work.job.job}: what batch {number} read is not known: {why}"
    raise RecoveryError(message, hint=FROM_START)


def _other(work: Workplace, found: str) -> RecoveryError:
    message = f"{work.job.job} has read {found}, which is not of {feed_of(work).where}"
    return RecoveryError(message, hint=f"undo the change of its source, or {FROM_START}")


def check_not_archived(work: Workplace, past: History, numbers: Sequence[int]) -> None:
    """Hold the files of batches against the folder that they are to be read from again.

    Raises:
        RecoveryError: they were moved away after they were read.
    """
    name, source = work.job.stream
    if not isinstance(source, FilesSource) or not source.archive_to:
        return
    if gone := _absent(work, past, numbers):
        archive = work.folders[f"{name}.archive_to"]
        message = f"{len(gone):,} files that are to be read again are in {archive}, such as {gone[0]}"
        raise RecoveryError(message, hint="move them back, undo, and run the job: it moves them away again")


def check_files(work: Workplace, past: History, numbers: Sequence[int]) -> None:
    """Hold that the files of batches are there to be read again, as far as this machine can see.

    Raises:
        RecoveryError: they are not: archived, or gone.
    """
    check_not_archived(work, past, numbers)
    if gone := [path for path in _absent(work, past, numbers) if local(path)]:
        message = f"{len(gone):,} files that are to be read again are gone, such as {', '.join(gone[:_SHOWN])}"
        hint = f"put them back; or restore the table to a version that holds them; or {FROM_START} of what is there"
        raise RecoveryError(message, hint=hint)


def _absent(work: Workplace, past: History, numbers: Sequence[int]) -> list[str]:
    """The files of batches that this machine does not see where they were read."""
    read = [past.batches[number].inputs.get(work.job.stream[0], {}) for number in numbers if number in past.batches]
    files = [path for one in read for path, *_ in (*one.get("files", ()), *one.get("data", ()))]
    return [path for path in files if not (local(path) or Path(path)).exists()]


def write(spark: SparkSession, folder: Path, work: Workplace, past: History) -> None:
    """Make a checkpoint in a folder, which is emptied before.

    Raises:
        RecoveryError: the history does not tell what must be in it.
    """
    found, old = places(work, past), work.lake.checkpoint(work.job.job)
    shutil.rmtree(folder, ignore_errors=True)
    new = Checkpoint(str(folder))
    done = dict(found.files)
    begun = {"batchWatermarkMs": 0, "batchTimestampMs": int(time.time() * 1000), "conf": {}}
    for number, end in found.ends.items():
        done[f"offsets/{number}"] = "\n".join(["v1", _compact(begun), _compact(end)])
        if not past.begun or number < past.begun.number:
            done[f"commits/{number}"] = "\n".join(["v1", _compact({"nextBatchWatermarkMs": 0})])
    done["metadata"] = json.dumps({"id": past.stream})
    done["owner.json"] = json.dumps(owner(work, feed_of(work)))
    done |= _topic_ids(spark, work, old, found) | _noted(spark, work, old, past)
    for name, text in done.items():
        write_text(spark, f"{folder}/{name}", text)
    new.has_recorded(spark, past.told)
    if past.wrote:
        new.has_written(spark)


def _noted(spark: SparkSession, work: Workplace, old: Checkpoint, past: History) -> dict[str, str]:
    """When files were read that Spark's log does not tell so: as the old checkpoint says, and as the batches do."""
    name, source = work.job.stream
    if not isinstance(source, FilesSource):
        return {}
    inputs = [one.inputs.get(name, {}) for one in (*past.batches.values(), *([past.begun] if past.begun else []))]
    data = {path: modified for one in inputs for path, modified, _ in one.get("data", ())}
    read = data.keys() | {path for one in inputs for path, *_ in one.get("files", ())}
    if source.control:
        # of a control file that stands for none its own name is noted
        read |= {path.removesuffix(source.control) for path in read}
    with suppress(ValueError):
        # where it is damaged, what the batches tell is all
        data = {path: at for path, at in old.grown(spark).items() if path in read} | data
    return {"grown.json": json.dumps(data)} if data else {}


def _compact(value: Mapping[str, Any]) -> str:
    """As Spark writes it."""
    return json.dumps(value, separators=(",", ":"))


def _topic_ids(spark: SparkSession, work: Workplace, old: Checkpoint, found: Places) -> dict[str, str]:
    """Which topics it is that were read: as the old checkpoint says, else those that are there now, if they fit."""
    feed = feed_of(work)
    if not isinstance(feed, KafkaFeed):
        return {}
    if known := old.topics(spark):
        return {"topics.json": json.dumps(known)}
    if not found.ends:
        return {}
    topics, read = feed.brokers.topics(feed.source), found.ends[max(found.ends)]
    if gone := sorted(read.keys() - topics.keys()):
        message = f"the topic {gone[0]} is gone, and {work.job.job} has read it"
        raise RecoveryError(message, hint=FROM_START)
    try:
        nothing_lost(read, topics, feed.brokers.ranges({name: topics[name] for name in read}))
    except RecordsLostError as error:
        raise RecoveryError(error.message, hint=error.hint) from None
    return {"topics.json": json.dumps({name: topic.id for name, topic in sorted(topics.items())})}
