"""Files that were read are moved away, once the batch that read them is committed."""

from __future__ import annotations

import errno
import filecmp
import itertools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.read.control import came_late, data_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession

    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.spec.files import FilesSource


def archive(spark: SparkSession, checkpoint: Checkpoint, folder: str, target: str, source: FilesSource) -> int:
    """Move the files of every batch that Spark and the ledger know to be done; how many there were.

    One that was rewritten since stays, and one whose name is taken there gets a number behind it: nothing is
    overwritten. It is noted up to which batch this is done; after a kill the rest is moved.
    """
    known = min(checkpoint.recorded(spark), _or(checkpoint.newest_done(spark)))
    done = checkpoint.archived(spark)
    if known <= done:
        return 0
    first, last = (checkpoint.offset(spark, number).get("logOffset", -1) for number in (done, known))
    taken = {path: at for path, (at, entry) in checkpoint.files(spark).items() if first < entry <= last}
    noted = checkpoint.grown(spark)
    # a file before its control file: where that is left, it is found again
    read = [
        *_controlled(spark, folder, source, taken, noted),
        *((path, noted.get(path, at)) for path, at in taken.items()),
    ]
    moved = sum(_moved(Path(path), Path(target) / Path(path).relative_to(folder), at) for path, at in read)
    checkpoint.has_archived(spark, known)
    return moved


def _or(number: int | None) -> int:
    return -1 if number is None else number


def _controlled(
    spark: SparkSession, folder: str, source: FilesSource, taken: Mapping[str, int], noted: Mapping[str, int]
) -> Iterator[tuple[str, int]]:
    """The files that the control files stand for, but for those that came after them."""
    if source.control:
        there = data_files(spark, folder, source)
        late = came_late(there, taken, noted, source)
        for control in taken:
            for file in there.get(control.removesuffix(source.control), []):
                if file.path not in late:
                    yield file.path, noted.get(file.path, file.modified_ms)


def _moved(file: Path, target: Path, modified_ms: int) -> bool:
    """Move a file that is as it was read; whole or not at all, and over no other.

    What is reached by a link stays: it lies elsewhere, and is not the source's to move.
    """
    if os.path.realpath(file) != str(file):
        return False
    try:
        if file.stat().st_mtime_ns // 1_000_000 != modified_ms:
            return False
    except FileNotFoundError:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.parent.resolve() != Path(os.path.normpath(target.parent)):
        # a link was put there since the folder was checked: it may lead anywhere
        return False
    target = next(place for place in _names(target) if not place.exists() or filecmp.cmp(file, place, shallow=False))
    if target.exists():
        # it was copied, and a kill came before it was removed
        file.unlink()
        return True
    try:
        file.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{target.name}.part")
        shutil.copy2(file, beside)
        with beside.open("rb") as copied:
            os.fsync(copied.fileno())
        beside.rename(target)
        file.unlink()
    return True


def _names(target: Path) -> Iterator[Path]:
    """The name, and then the name with a number behind it."""
    yield target
    yield from (target.with_name(f"{target.name}.{number}") for number in itertools.count(2))
