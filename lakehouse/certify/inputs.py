"""What a trial reads: a copy of what a job read of late, the same for every trial."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError, SourceEmptyError
from lakehouse.lake.storage import local
from lakehouse.spec.files import FilesSource
from lakehouse.spec.kafka import AtOffsets, KafkaSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lakehouse.runtime.workplace import Workplace
    from lakehouse.spec.job import Job

_OFFSETS = ("starting_offsets", "ending_offsets")
_BATCHES = 3
"""Batches of a trial: one that makes the table, one that finds it, and one after that."""


@dataclass(frozen=True)
class Inputs:
    """What of each source is another one than the job says, where files lie, and which tables a lake must hold."""

    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Path] = field(default_factory=dict)

    def put(self, lake: Path) -> None:
        """Give a lake the tables, as links to the same files: neither Delta nor this library changes one in place."""
        for name, place in self.tables.items():
            shutil.copytree(place, lake / name.replace(".", "/"), copy_function=os.link, dirs_exist_ok=True)


def inputs(work: Workplace, scratch: Path, *, given: Path | None, size: int) -> Inputs:
    """A copy of the newest files, the source tables, or the newest records' offsets.

    Args:
        work: the job.
        scratch: where the copy is put.
        given: a folder of files to take in the place of the job's own.
        size: how many files, or how many records of each partition.

    Raises:
        ConfigError: a source cannot be copied; SourceEmptyError: there is nothing.
    """
    sources: dict[str, dict[str, Any]] = {}
    folders: dict[str, str] = {}
    tables: dict[str, Path] = {}
    for name, source in work.job.sources.items():
        if isinstance(source, FilesSource):
            place = scratch / "input" / name
            _copy(given or local(work.folders[name]), place, source, size)
            folders[name] = str(place)
            # what a trial has read is for the next one, too
            sources[name] = {"archive_to": None}
            if work.job.write.mode != "snapshot":
                sources[name] |= {"max_files": max(size // _BATCHES, 1), "max_bytes": None}
        elif isinstance(source, KafkaSource):
            sources[name] = _newest(work, name, source, size)
        else:
            tables[source.table] = _table(work, source.table)
    # what the contract's rules look into
    tables |= {name: _table(work, name) for name in work.job.references if name not in tables}
    return Inputs(sources, folders, tables)


def _copy(folder: Path | None, place: Path, source: FilesSource, size: int) -> None:
    """Copy the newest files, with their times."""
    if folder is None or not folder.is_dir():
        message = f"{source.path} is no folder of this machine"
        raise ConfigError(message, hint="give a folder of files by --input")
    found = [file for file in folder.rglob(source.listed) if file.is_file() and not _is_hidden(file, folder)]
    newest = sorted(found, key=lambda file: file.stat().st_mtime_ns)[-size:]
    if not newest:
        message = f"{folder} holds no file that matches {source.listed}"
        raise SourceEmptyError(message, hint="give a folder of files by --input")
    for file in [*newest, *_beside(folder, newest, source)]:
        copy = place / file.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in file.relative_to(folder).parts)


def _beside(folder: Path, files: Sequence[Path], source: FilesSource) -> Iterator[Path]:
    """What else there must be for the files to be read: those that control files stand for, and markers."""
    if source.control:
        for file in files:
            bare = file.name.removesuffix(source.control)
            yield from (one for one in file.parent.iterdir() if one.is_file() and one.name.startswith(bare))
    if source.ready_by:
        yield from (marker for marker in folder.rglob(source.ready_by) if marker.is_file())


def _newest(work: Workplace, name: str, source: KafkaSource, size: int) -> dict[str, Any]:
    """The last records of each partition, and no later ones."""
    brokers = work.brokers[name]
    ranges = brokers.ranges(brokers.topics(source))
    ends = {topic: {str(place): high for place, (_, high) in parts.items()} for topic, parts in ranges.items()}
    starts = {
        topic: {str(place): max(low, high - size) for place, (low, high) in parts.items()}
        for topic, parts in ranges.items()
    }
    partitions = sum(len(parts) for parts in ends.values())
    return {
        "starting_offsets": {"offsets": starts},
        "ending_offsets": {"offsets": ends},
        "max_records": max(size * partitions // _BATCHES, 1),
        # nobody else is to hear of a trial
        "dead_letter_topic": None,
    }


def applied(job: Job, sources: Mapping[str, Mapping[str, Any]]) -> Job:
    """The job with what of each source is another one."""
    changed = {}
    for name, source in job.sources.items():
        told = sources.get(name, {})
        known = {key: AtOffsets.model_validate(value) if key in _OFFSETS else value for key, value in told.items()}
        changed[name] = source.model_copy(update=known)
    return job.model_copy(update={"sources": changed})


def _table(work: Workplace, name: str) -> Path:
    table = work.lake.table(name)
    place = local(table.path)
    if place is None or not (place / "_delta_log").is_dir():
        message = f"{table.name} is no table in a folder of this machine"
        raise ConfigError(message, hint="certify a job where its source tables are, in a lake on this machine")
    return place
