"""What a file's place says of it: columns of its folders and of its name, and whether its folder is whole."""

from __future__ import annotations

import os
import re
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.errors import ConfigError
from lakehouse.lake.batch import CODE, SOURCE, BadFile
from lakehouse.lake.frame import col, small_frame
from lakehouse.lake.storage import local

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import Column, DataFrame

    from lakehouse.lake.storage import FileEntry
    from lakehouse.spec.files import FilesSource

_NULL = "__HIVE_DEFAULT_PARTITION__"
_FILE = "__file"
IN_ZIP = r"(?s)((?i:\.zip))!/.*$"
"""What follows a zip in the name of a file that is in it."""


class _Misplaced(Exception):  # noqa: N818 -- a verdict on one file, never seen by users
    """The file's place does not say what it must."""


def placed(files: Sequence[FileEntry], source: FilesSource) -> tuple[list[FileEntry], tuple[BadFile, ...]]:
    """The files whose place says all that it must, and the others; one that is gone or empty is judged elsewhere."""
    good, bad = [], []
    for file in files:
        try:
            values_of(file.path, source)
        except _Misplaced as error:
            code, message = error.args
            bad.append(BadFile(file.path, code, message))
        else:
            good.append(file)
    return good, tuple(bad)


def values_of(path: str, source: FilesSource) -> tuple[str | None, ...]:
    """What the place of a file says, in the order of the source's ``columns_of_place``."""
    place = PurePosixPath(path)
    found: dict[str, list[str]] = {}
    for part in place.parts[:-1]:
        key, sign, value = part.partition("=")
        if sign:
            found.setdefault(_unescaped(key).lower(), []).append(value)
    values: list[str | None] = []
    for name in source.partition_columns:
        told = found.get(name.lower(), [])
        if len(told) != 1 or not told[0]:
            why = "none of its folders is" if not told else "more than one of its folders is" if told[1:] else "empty:"
            raise _Misplaced("FILE_PARTITION", f"{why} {name}=…")
        values.append(None if told[0] == _NULL else _unescaped(told[0]))
    if source.name_pattern:
        match = re.compile(source.name_pattern).fullmatch(place.name)
        if match is None:
            raise _Misplaced("FILE_NAME", "its name does not match name_pattern")
        values += match.groupdict().values()
    return tuple(values)


def _unescaped(text: str) -> str:
    """As Hive and Spark write the name of a folder: a character that a path cannot hold as % and its number.

    They write letters such as ü as they are. Others write their bytes in UTF-8 that way, which Spark would take for
    other letters.
    """
    return re.sub("(?:%[0-9A-Fa-f]{2})+", lambda found: _characters(bytes.fromhex(found[0].replace("%", ""))), text)


def _characters(numbers: bytes) -> str:
    try:
        return numbers.decode()
    except UnicodeDecodeError:
        return numbers.decode("latin-1")


def file_of_record() -> Column:
    """The file that a record lies in; of one that is in a zip, the zip."""
    return F.regexp_replace(F.col(SOURCE)["file"], IN_ZIP, "$1")


def outer(file: str) -> str:
    """A file, or the zip that it is in."""
    return re.sub(IN_ZIP, r"\1", file)


def with_columns(
    rows: DataFrame, files: Sequence[FileEntry], source: FilesSource
) -> tuple[DataFrame, tuple[BadFile, ...]]:
    """The rows with what the places of their files say, and the files that hold such a column and say another thing.

    A column of the same name and the same values, as some writers keep it, is the same column.
    """
    names = source.columns_of_place
    if not names:
        return rows, ()
    told = [f"{_FILE}_{name}" for name in names]
    known = [(file.path, *values_of(file.path, source)) for file in files]
    frame = small_frame(rows.sparkSession, known, {_FILE: "string", **dict.fromkeys(told, "string")})
    joined = rows.join(F.broadcast(frame), file_of_record() == F.col(_FILE), "left")
    own = {name.lower(): name for name in rows.columns}
    differs = {
        name: col(own[name.lower()]).isNotNull() & ~col(own[name.lower()]).cast("string").eqNullSafe(col(also))
        for name, also in zip(names, told, strict=True)
        if name.lower() in own
    }
    bad: tuple[BadFile, ...] = ()
    if differs:
        # in a record that is no whole one, values may stand in the columns beside theirs
        is_whole = F.col(CODE).isNull()
        first = F.coalesce(*[F.when(is_other, F.lit(name)) for name, is_other in differs.items()])
        strange = joined.where(is_whole & reduce(lambda one, other: one | other, differs.values()))
        found = strange.groupBy(_FILE).agg(F.min(first).alias("name")).orderBy(_FILE).collect()
        bad = tuple(
            BadFile(
                row[_FILE],
                "FILE_PARTITION" if row.name in source.partition_columns else "FILE_NAME",
                f"its column {row.name} says other than its place",
            )
            for row in found
        )
        joined = without(joined, bad)
    rest = [name for name in rows.columns if name.lower() not in {one.lower() for one in names}]
    values = [name for name in rest if name != SOURCE and not name.startswith("__")]
    beside = [name for name in rest if name not in values]
    placed_values = [col(also).alias(name) for name, also in zip(names, told, strict=True)]
    return joined.select(*map(col, values), *placed_values, *map(col, beside)), bad


def without(rows: DataFrame, bad: Sequence[BadFile]) -> DataFrame:
    """The rows but for those of these files."""
    return rows.where(~file_of_record().isin([file.file for file in bad])) if bad else rows


def ready(folder: str, marker: str) -> list[str]:
    """The folders, from this one down, that hold the marker or are the topmost that do; what is below them is ready.

    Raises:
        ConfigError: they cannot be looked into; Spark hides such markers.
    """
    place = local(folder)
    if place is None:
        message = f"ready_by looks for {marker} in folders of this machine, and {folder} is none"
        raise ConfigError(message, hint="mount it, or let its supplier write elsewhere and move what is whole")
    return sorted(_marked(place, marker))


def _marked(folder: Path, marker: str) -> Iterator[str]:
    if (folder / marker).is_file():
        yield str(folder)
        return
    with os.scandir(folder) as found:
        below = [
            Path(entry.path)
            for entry in found
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(("_", "."))
        ]
    for one in below:
        yield from _marked(one, marker)


def is_below(path: str, folders: Sequence[str]) -> bool:
    """Whether a file is in one of the folders, however deep."""
    return any(path.startswith(f"{folder}/") for folder in folders)
