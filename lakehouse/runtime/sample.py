"""A look at real data before there is a contract: what its columns hold, by a bounded sample."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DateType,
    DecimalType,
    IntegralType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from lakehouse.check.columns import AS_RECEIVED, with_types
from lakehouse.errors import ConfigError, SourceEmptyError
from lakehouse.lake.batch import CODE, SOURCE, SOURCE_TYPE
from lakehouse.lake.frame import col, materialise, row_hash, sql_type
from lakehouse.lake.storage import FileEntry, list_files
from lakehouse.lake.table import read_table
from lakehouse.read.files import read_files
from lakehouse.read.links import Links
from lakehouse.runtime.sensitive import DIGITS_OF_A_TEXT, is_sensitive, looks_like_card, looks_sensitive
from lakehouse.spec.column import Column as Declared
from lakehouse.spec.contract import Contract
from lakehouse.spec.files import CsvOptions, FilesSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructField

    from lakehouse.lake.table import Table
    from lakehouse.spec.files import FileFormat

_BYTES, _FILES = 64 * 1024 * 1024, 50
"""More than so much of a folder is not read, but for one file."""

_TOGETHER = 20
"""Columns that are looked at in one pass: each takes some twenty figures."""

_TRIED = ("bigint", "double", "date", "timestamp")
_DIGITS_OF_INT, _DIGITS_OF_BIGINT = 6, 15
"""Digits of whole numbers that leave room to grow; no more than a double has."""
_FEW = 12
_WORDS = ("true", "false", "yes", "no")
_NOT_A_NUMBER = r"^([+-]?0\d|\+)"
"""Digits that are no number: a leading zero or plus would be lost."""

_PLAIN = r"^-?(\d+\.?\d*|\.\d+)$"
_WHOLE = r"^-?\d+(\.0)?$"
"""Whole numbers, some written with one zero behind the point: so writers write integers beside an empty value."""
_OF_KEYS, _ID = ("int", "bigint", "smallint", "tinyint", "string"), re.compile(r"(^|[_ ])(id|key|number|no|nr)$")


@dataclass(frozen=True)
class Seen:
    """One column of a sample: the narrowest type that has all of its values exactly, and what they were.

    ``values``: how many are not NULL. ``least`` and ``most`` are of numbers and times; ``shortest`` and ``longest`` the
    characters of texts. ``notation``: how whole numbers are written, as a contract says it. ``texts`` are all that
    there were, where they are few; none are kept of what may be personal.
    ``is_personal``: by its name, or by what most of its values look like; ``is_mixed``: some of them do.
    """

    name: str
    type: str
    values: int
    least: str | None = None
    most: str | None = None
    shortest: int | None = None
    longest: int | None = None
    texts: tuple[str, ...] = ()
    is_unique: bool = False
    is_personal: bool = False
    is_mixed: bool = False
    notation: str = "integer"


@dataclass(frozen=True)
class Sample:
    """What was looked at, and what it holds.

    ``source`` says how files were read, and ``file`` is one of them; of a table there is neither. ``frame``: its rows.
    """

    of: str
    told: str
    rows: int
    bad: int
    columns: tuple[Seen, ...]
    source: FilesSource | None = None
    file: str = ""
    frame: DataFrame | None = field(default=None, compare=False, repr=False)

    def ambiguous(self, keys: Sequence[str], sequence_by: Sequence[str]) -> int:
        """Count the keys of which several rows differ and have one sequence: of each but one row would be kept."""
        if self.frame is None or not keys:
            return 0
        by = [col(name) for name in dict.fromkeys((*keys, *sequence_by))]
        rows = self.frame.select(*by, row_hash(self.frame, self.frame.columns).alias("__row")).distinct()
        return rows.groupBy(*by).count().where(F.col("count") > 1).count()

    @property
    def keys(self) -> list[str]:
        """Columns that tell each row of the sample from all others, those that are called so first."""
        names = [one.name for one in self.columns if one.is_unique and one.type in _OF_KEYS and not one.is_personal]
        return sorted(names, key=lambda name: not _ID.search(name.lower()))


def of_files(
    spark: SparkSession,
    place: Path,
    *,
    rows: int,
    format: FileFormat | None = None,
    delimiter: str | None = None,
) -> Sample:
    """Look at a file, or at the newest files of a folder.

    Raises:
        SourceEmptyError: there is no file, or none that can be read.
        ConfigError: there is no such format or delimiter.
    """
    folder = place if place.is_dir() else place.parent
    found = list_files(spark, str(folder), "*")
    if place.is_dir():
        # who delivers files does not choose what of this machine is shown
        found, _ = Links(str(folder), "*").sort_out(found)
    found = found if place.is_dir() else [file for file in found if Path(file.path) == place]
    if not found:
        message = f"{place} holds no file"
        raise SourceEmptyError(message, hint="names that begin with _ or . are never read")
    chosen = _chosen(found)
    source = _source(folder, format, delimiter or _delimiter(chosen, format))
    arrived = read_files(spark, chosen, source, run_id="sample", now=datetime.now(UTC))
    whole = materialise(arrived.rows.limit(rows))
    count = whole.count()
    good = whole.where(F.col(CODE).isNull())
    names = [name for name in good.columns if name != SOURCE and not name.startswith("__")]
    if not names:
        first = arrived.bad_files[0] if arrived.bad_files else None
        why = f"{first.file}: {first.code}: {first.message}" if first else f"{place} has no columns"
        raise SourceEmptyError(f"no file can be read: {why}", hint="--format and --delimiter say how they are written")
    frame = good.select(*map(col, names))
    columns = _columns(frame)
    sound = good.count()
    told, bad = f"{sound:,} rows of {len(chosen):,} of {len(found):,} files", count - sound + len(arrived.bad_files)
    return Sample(str(place), told, sound, bad, columns, source, chosen[0].path, frame)


def of_table(spark: SparkSession, table: Table, *, rows: int) -> Sample:
    """Look at rows of a table.

    Raises:
        SourceNotFoundError: there is none.
    """
    frame = read_table(spark, table)
    names = [name for name in frame.columns if name != SOURCE and not name.startswith("__")]
    whole = materialise(frame.select(*map(col, names)).limit(rows))
    count = whole.count()
    return Sample(table.name, f"{count:,} rows of the table", count, 0, _columns(whole), frame=whole)


def _source(folder: Path, format: FileFormat | None, delimiter: str | None) -> FilesSource:
    """The files as a source says them.

    Raises:
        ConfigError: there is no such format, or no such delimiter.
    """
    try:
        csv = CsvOptions(delimiter=delimiter) if delimiter else CsvOptions()
        return FilesSource(kind="files", path=str(folder), format=format, csv=csv)
    except ValidationError as error:
        wrong = error.errors()[0]
        message = f"--{wrong['loc'][0]}: {wrong['msg'].removeprefix('Value error, ')}"
        raise ConfigError(message) from None


def _chosen(found: Sequence[FileEntry]) -> list[FileEntry]:
    """The newest, as many as are within the bounds; one at least."""
    newest = sorted(found, key=lambda file: file.modified_ms, reverse=True)[:_FILES]
    chosen, size = newest[:1], newest[0].bytes
    for file in newest[1:]:
        size += file.bytes
        if size > _BYTES:
            break
        chosen.append(file)
    return sorted(chosen)


def _delimiter(files: Sequence[FileEntry], given: FileFormat | None) -> str | None:
    """The delimiter that the first header has most of; None where it is the comma, or where there is none to see."""
    for file in files:
        name = file.path.lower()
        if given != "csv" and not name.removesuffix(".gz").endswith(".csv"):
            continue
        try:
            with _opened(file.path) as lines:
                header = str(lines.readline(65_536))
        except (OSError, ValueError, EOFError):
            continue
        best = max(",;\t|", key=header.count)
        return best if best != "," and best in header else None
    return None


def _opened(path: str) -> IO[str]:
    return (
        gzip.open(path, "rt", encoding="utf-8") if path.lower().endswith(".gz") else Path(path).open(encoding="utf-8")
    )


def _least(value: Column) -> Column:
    return F.min(value).cast("string")


def _most(value: Column) -> Column:
    return F.max(value).cast("string")


_ENDS = {"least": _least, "most": _most}


def _columns(rows: DataFrame) -> tuple[Seen, ...]:
    """What the columns of the rows hold, which are kept: two passes, each over some columns at a time."""
    seen: list[Seen] = []
    fields = rows.schema.fields
    for first in range(0, len(fields), _TOGETHER):
        seen += _looked_at(rows, fields[first : first + _TOGETHER])
    return tuple(seen)


def _looked_at(rows: DataFrame, fields: Sequence[StructField]) -> list[Seen]:
    """What some columns hold."""
    texts = [index for index, field in enumerate(fields) if isinstance(field.dataType, StringType)]
    trial = Contract(columns={f"c{index}_{kind}": Declared(type=kind) for index in texts for kind in _TRIED})
    beside = {CODE: "string", AS_RECEIVED: "string", SOURCE: SOURCE_TYPE}
    tried = rows.select(
        *[col(fields[index].name).alias(f"c{index}_{kind}") for index in texts for kind in _TRIED],
        *[col(field.name).alias(f"v{index}") for index, field in enumerate(fields)],
        *[F.lit(None).cast(kind).alias(name) for name, kind in beside.items()],
    )
    typed, faults = with_types(tried, trial, "null")
    wanted = [F.count("*").alias("rows")]
    wanted += [F.count(fault).alias(f"not_{name}") for name, fault in zip(trial.columns, faults, strict=True)]
    for index, one in enumerate(fields):
        wanted += _figures(index, one)
    found: dict[str, Any] = typed.agg(*wanted).collect()[0].asDict()
    seen = [_seen(field, index, found) for index, field in enumerate(fields)]
    return _closer(rows, seen, found)


def _figures(index: int, field: StructField) -> list[Column]:
    """What is counted of a column."""
    value = F.col(f"v{index}")
    figures = {"values": F.count(value)}
    if isinstance(field.dataType, StringType):
        text = F.trim(value)
        figures |= {f"{end}_{kind}": one(F.col(f"c{index}_{kind}")) for kind in _TRIED for end, one in _ENDS.items()}
        figures |= {
            "distinct": F.approx_count_distinct(value),
            "digits": F.count_if(text.rlike(_NOT_A_NUMBER)),
            "plain": F.count_if(text.rlike(_PLAIN)),
            "whole": F.count_if(text.rlike(_WHOLE)),
            "before": F.max(F.length(F.regexp_extract(text, r"^-?0*(\d*)", 1))),
            "after": F.max(F.length(F.regexp_extract(text, r"\.(\d*)$", 1))),
            "words": F.count_if(F.lower(text).isin(*_WORDS)),
            "sensitive": F.count_if(looks_sensitive(value)),
            "shortest": F.min(F.length(value)),
            "longest": F.max(F.length(value)),
        }
    elif isinstance(field.dataType, NumericType | DateType | TimestampType | TimestampNTZType):
        figures |= {end: one(value) for end, one in _ENDS.items()}
        if isinstance(field.dataType, IntegralType | DecimalType):
            figures["sensitive"] = F.count_if(looks_like_card(value.cast("string")))
        figures["distinct"] = F.approx_count_distinct(value)
    return [figure.alias(f"{name}_{index}") for name, figure in figures.items()]


def _seen(field: StructField, index: int, found: dict[str, Any]) -> Seen:
    def figure(name: str) -> Any:
        return found.get(f"{name}_{index}")

    values = figure("values")
    sensitive = figure("sensitive") or 0
    is_personal = is_sensitive(field.name) or 2 * sensitive > values
    # of long numbers one in ten ends in a right check by chance
    is_mixed = 5 * sensitive > values
    seen = Seen(field.name, sql_type(field.dataType), values, is_personal=is_personal, is_mixed=is_mixed)
    if not isinstance(field.dataType, StringType):
        return replace(seen, least=figure("least"), most=figure("most"))
    kind, tried = _type_of_text(field.name, index, found)
    if kind in ("int", "bigint") and tried == "double":
        seen = replace(seen, notation="number")
    if tried:
        return replace(seen, type=kind, least=figure(f"least_{tried}"), most=figure(f"most_{tried}"))
    return replace(seen, type=kind, shortest=figure("shortest"), longest=figure("longest"))


def _type_of_text(name: str, index: int, found: dict[str, Any]) -> tuple[str, str]:
    """The narrowest type with room to grow that all texts are exactly, and which of those tried has their ends."""
    values, fits = found[f"values_{index}"], [kind for kind in _TRIED if not found[f"not_c{index}_{kind}"]]
    if not values:
        return "string", ""
    if found[f"words_{index}"] == values:
        return "boolean", ""
    for kind in ("date", "timestamp"):
        if kind in fits:
            return kind, kind
    if found[f"digits_{index}"] or "double" not in fits or DIGITS_OF_A_TEXT.search(name.lower()):
        return "string", ""
    return _number(index, found, fits)


def _number(index: int, found: dict[str, Any], fits: Sequence[str]) -> tuple[str, str]:
    if "bigint" in fits:
        most = max(abs(int(found[f"{end}_bigint_{index}"])) for end in _ENDS)
        return ("int" if most < 1_000_000 else "bigint"), "bigint"
    before, after = found[f"before_{index}"], found[f"after_{index}"]
    if found[f"whole_{index}"] == found[f"values_{index}"] and before <= _DIGITS_OF_BIGINT:
        return ("int" if before <= _DIGITS_OF_INT else "bigint"), "double"
    if found[f"plain_{index}"] == found[f"values_{index}"] and before + after <= 38:
        # room for a few digits more, as far as there is any
        return f"decimal({min(38, max(12, before + after + 2))},{after})", "double" if before + after < 16 else ""
    return "double", "double"


def _closer(rows: DataFrame, seen: Sequence[Seen], found: dict[str, Any]) -> list[Seen]:
    """The columns with their few texts, and with whether each value of them is another: one more pass."""
    wanted: dict[str, Column] = {}
    for index, one in enumerate(seen):
        distinct = found.get(f"distinct_{index}")
        if distinct is None:
            continue
        is_shown = not one.is_personal and not found.get(f"sensitive_{index}")
        if one.type == "string" and is_shown and distinct <= _FEW and (one.longest or 99) <= 40:
            wanted[f"texts_{index}"] = F.collect_set(col(one.name))
        if one.values == found["rows"] > 1 and distinct >= 0.9 * one.values:
            wanted[f"unique_{index}"] = F.count_distinct(col(one.name))
    told = rows.agg(*[one.alias(name) for name, one in wanted.items()]).collect()[0].asDict() if wanted else {}
    return [
        replace(
            one,
            texts=tuple(sorted(told.get(f"texts_{index}", ()))),
            is_unique=told.get(f"unique_{index}") == one.values,
        )
        for index, one in enumerate(seen)
    ]
