"""Control files: one stands beside each file, once that is whole, and may say how many records it has, or its checksum.

They are what is streamed, so that the data is not seen before its control file is there, and is read by the batch that
takes that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import SOURCE, BadFile
from lakehouse.lake.frame import together
from lakehouse.lake.storage import LISTING, FileEntry, list_files, local, plain_path
from lakehouse.read.folders import file_of_record, is_below, outer, placed, ready, with_columns, without
from lakehouse.read.scan import glob_escaped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.spec.files import FilesSource

_LONGEST = 64 * 1024
_PACKED = (".gz", ".bz2", ".zst", ".zip")
_DIGESTS = {32: "md5", 64: "sha256"}


@dataclass(frozen=True)
class Control:
    """What a control file says of its file."""

    records: int | None = None
    digests: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Controlled:
    """The files that the control files of a batch stand for, what those say, and what is wrong with some."""

    files: tuple[FileEntry, ...] = ()
    says: Mapping[str, Control] = field(default_factory=dict)
    bad: tuple[BadFile, ...] = ()
    noted: Mapping[str, int] = field(default_factory=dict)
    """The files by path, with the time at which each was read; -1 of one that was not there, without its ending."""
    taken: tuple[str, ...] = ()
    """The control files that stand for a file."""

    def __add__(self, other: Controlled) -> Controlled:
        """Both."""
        noted, says = {**self.noted, **other.noted}, {**self.says, **other.says}
        return Controlled(self.files + other.files, says, self.bad + other.bad, noted, self.taken + other.taken)


def controlled(
    spark: SparkSession,
    folder: str,
    controls: Sequence[FileEntry],
    source: FilesSource,
    *,
    earlier: Collection[str],
) -> Controlled:
    """The files of the control files: ``orders.csv`` for both ``orders.csv.ctl`` and ``orders.ctl``.

    ``earlier`` are the control files of other batches: a file is read for one of its own.
    """
    there = data_files(spark, folder, source)
    held = Controlled()
    for control in controls:
        found = there[_stem(control.path, source)]
        others = {*earlier, *held.taken} & {f"{stem}{source.control}" for file in found for stem in _stems(file.path)}
        if control.bytes < 0:
            held += _refused(control.path, "it was announced, and is gone", code="FILE_VANISHED")
        elif not found:
            held += _refused(control.path, "there is no file for it to stand for")
            held += Controlled(noted={_stem(control.path, source): -1})
        elif len(found) > 1 or others:
            why = f"it may stand for {len(found)} files" if len(found) > 1 else f"{min(others)} stands for its file"
            held += _refused(control.path, why)
        else:
            held += _held(spark, control, found[0])
    return held


def _refused(path: str, why: str, *, code: str = "FILE_CONTROL") -> Controlled:
    return Controlled(bad=(BadFile(path, code, why),))


def _held(spark: SparkSession, control: FileEntry, file: FileEntry) -> Controlled:
    """A file and its control file."""
    # also of one that is older than its control file: another one, put in its place, may be older still
    noted = {file.path: file.modified_ms}
    try:
        says = {file.path: _read(spark, control)}
    except ValueError as error:
        bad = BadFile(file.path, "FILE_CONTROL", f"its control file says nothing usable: {error}")
        return Controlled(bad=(bad,), noted=noted, taken=(control.path,))
    return Controlled((file,), says, (), noted, (control.path,))


def data_files(spark: SparkSession, folder: str, source: FilesSource) -> Mapping[str, list[FileEntry]]:
    """The files of the folder by what the path of their control file may be, without its ending."""
    there: defaultdict[str, list[FileEntry]] = defaultdict(list)
    for file in list_files(spark, folder, source.pattern):
        if not file.path.endswith(str(source.control)):
            for stem in _stems(file.path):
                there[stem].append(file)
    return there


def _stems(path: str) -> list[str]:
    """A path, without its ending, and without the one before that where it is a packed file's."""
    place = PurePosixPath(path)
    bare = place.with_suffix("") if place.suffix else place
    stems = [path, str(bare)]
    if place.suffix.lower() in _PACKED and bare.suffix:
        stems.append(str(bare.with_suffix("")))
    return list(dict.fromkeys(stems))


def _stem(control: str, source: FilesSource) -> str:
    return control.removesuffix(str(source.control))


def waiting(spark: SparkSession, folder: str, source: FilesSource) -> list[str]:
    """Files that are there and not read, as nothing says yet that they are whole."""
    if source.ready_by:
        whole = ready(folder, source.ready_by)
        return [file.path for file in list_files(spark, folder, source.pattern) if not is_below(file.path, whole)]
    if not source.control:
        return []
    controls = {_stem(file.path, source) for file in list_files(spark, folder, source.listed)}
    files = {file.path for found in data_files(spark, folder, source).values() for file in found}
    return sorted(path for path in files if not controls.intersection(_stems(path)))


def came_late(
    there: Mapping[str, list[FileEntry]], read: Mapping[str, int], noted: Mapping[str, int], source: FilesSource
) -> list[str]:
    """Files that came, or were rewritten, after their control file was read; ``read`` has the times of those."""
    return sorted(
        {
            file.path
            for control, modified in read.items()
            if control.endswith(str(source.control))
            for file in there.get(_stem(control, source), [])
            if (
                file.modified_ms != noted[file.path]
                if file.path in noted
                else file.modified_ms > modified or _stem(control, source) in noted
            )
        }
    )


def as_read(controls: Collection[str], noted: Mapping[str, int], source: FilesSource) -> dict[str, int]:
    """The files that these control files stand for, by what was noted of them."""
    stems = {_stem(control, source) for control in controls}
    return {path: at for path, at in noted.items() if at >= 0 and stems.intersection(_stems(path))}


def _read(spark: SparkSession, control: FileEntry) -> Control:
    """What a control file says: nothing, a number, a checksum (as md5sum and sha256sum write it), or JSON of both.

    Raises:
        ValueError: something else.
    """
    if control.bytes > _LONGEST:
        message = f"it has {control.bytes:,} bytes"
        raise ValueError(message)
    text = _content(spark, control).decode("utf-8-sig").strip() if control.bytes else ""
    if not text:
        return Control()
    if found := re.fullmatch(r"([0-9a-fA-F]{64}|[0-9a-fA-F]{32})(\s.*)?", text):
        return Control(digests=((_DIGESTS[len(found[1])], found[1].lower()),))
    if re.fullmatch(r"[0-9]{1,18}", text):
        return Control(int(text))
    try:
        told = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        message = "it is nested too deep"
        raise ValueError(message) from None
    if not isinstance(told, dict):
        message = "it is no number, no checksum and no JSON object"
        raise ValueError(message)  # noqa: TRY004 -- a verdict on what it holds
    return Control(_records(told.get("records")), tuple(_digests(told)))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, each of whose names stands once."""
    made: dict[str, object] = {}
    for name, value in pairs:
        if name in made:
            message = f"'{name[:40]}' stands twice in it"
            raise ValueError(message)
        made[name] = value
    return made


def _records(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    message = f"records is {str(value)[:40]}"
    raise ValueError(message)


def _digests(told: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    for size, name in _DIGESTS.items():
        value = told.get(name)
        if value is not None:
            if not isinstance(value, str) or not re.fullmatch(f"[0-9a-fA-F]{{{size}}}", value):
                message = f"{name} is {str(value)[:80]}"
                raise ValueError(message)
            yield name, value.lower()


def _content(spark: SparkSession, file: FileEntry) -> bytes:
    place = local(file.path)
    if place is not None:
        return place.read_bytes()
    found = spark.read.format("binaryFile").schema(LISTING).load(glob_escaped(file.path)).select("content").collect()
    return bytes(found[0].content) if found else b""


def to_read(
    spark: SparkSession, files: Sequence[FileEntry], source: FilesSource, held: Controlled
) -> tuple[list[FileEntry], tuple[BadFile, ...]]:
    """The files that can be what they are to be, by their places and their control files; and the others."""
    good, misplaced = placed(files, source)
    good, torn = _intact(spark, good, held.says)
    return good, (*misplaced, *held.bad, *torn)


def as_told(
    parts: Sequence[DataFrame],
    files: Sequence[FileEntry],
    bad: Sequence[BadFile],
    source: FilesSource,
    held: Controlled,
) -> tuple[list[DataFrame], tuple[BadFile, ...]]:
    """The rows of the files with what their places tell, but for files that are not as was said; and all bad files."""
    found = [with_columns(rows, files, source) for rows in parts]
    # a zip may hold files of several formats
    strange = tuple({file.file: file for _, some in found for file in some}.values())
    kept = [without(rows, strange) for rows, _ in found]
    unread = {outer(file.file) for file in (*bad, *strange)}
    short = (
        *_uncounted(bad, held.says),
        *_miscounted(kept, [file.path for file in files if file.path not in unread], held.says),
    )
    # of a zip that is put aside as a whole no member is told as well
    whole = {file.file for file in short}
    bad = tuple(file for file in bad if outer(file.file) not in whole)
    return [without(rows, short) for rows in kept], (*bad, *strange, *short)


def _uncounted(bad: Sequence[BadFile], says: Mapping[str, Control]) -> Iterator[BadFile]:
    """The zips whose records were to be counted, and of which a file cannot be read."""
    first = {outer(file.file): file for file in reversed(bad) if outer(file.file) != file.file}
    for path, file in sorted(first.items()):
        if path in says and says[path].records is not None:
            member = file.file.removeprefix(f"{path}!/")
            message = f"its control file says {says[path].records:,} records, and of its {member}: {file.message}"
            yield BadFile(path, "FILE_COUNT", message)


def _intact(
    spark: SparkSession, files: Sequence[FileEntry], says: Mapping[str, Control]
) -> tuple[list[FileEntry], tuple[BadFile, ...]]:
    """The files that have the checksum that their control file says, where it does; and the others."""
    bad = []
    for file in files:
        for name, wanted in says[file.path].digests if file.path in says and file.bytes > 0 else ():
            found = _digest(spark, file.path, name)
            if found != wanted:
                message = f"its {name} is {found}, and its control file says {wanted}"
                bad.append(BadFile(file.path, "FILE_CHECKSUM", message))
                break
    # of no byte, and said to be of no record: there is nothing of it to read
    nothing = {file.path for file in files if file.bytes == 0 and says.get(file.path, Control()).records == 0}
    wrong = nothing | {file.file for file in bad}
    return [file for file in files if file.path not in wrong], tuple(bad)


def _digest(spark: SparkSession, path: str, name: str) -> str:
    place = local(path)
    if place is not None:
        with place.open("rb") as file:
            return hashlib.file_digest(file, name).hexdigest()
    content = F.col("content")
    read = spark.read.format("binaryFile").schema(LISTING).load(glob_escaped(path))
    found = read.select((F.md5(content) if name == "md5" else F.sha2(content, 256)).alias("digest")).collect()
    return str(found[0].digest) if found else ""


def _miscounted(parts: Sequence[DataFrame], read: Sequence[str], says: Mapping[str, Control]) -> tuple[BadFile, ...]:
    """Those of the files that were read which have another number of records than their control file says."""
    wanted = {path: says[path].records for path in read if path in says and says[path].records is not None}
    if not wanted:
        return ()
    rows = together([part.select(SOURCE) for part in parts])
    counts = rows.groupBy(file_of_record().alias("file")).agg(F.count("*").alias("records")).collect()
    found = {plain_path(row.file, encoded=False): row.records for row in counts}
    return tuple(
        BadFile(path, "FILE_COUNT", f"it has {found.get(path, 0):,} records, and its control file says {records:,}")
        for path, records in sorted(wanted.items())
        if found.get(path, 0) != records
    )
