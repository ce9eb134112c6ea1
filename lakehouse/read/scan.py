"""What the file formats share: a path that is no pattern, and columns that tell where in a file a record stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.errors import innermost
from lakehouse.lake.batch import BYTES, CODE, MESSAGE, RAW, SOURCE
from lakehouse.lake.frame import col

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from lakehouse.lake.batch import BadFile

    Scan = Callable[[Sequence[str]], DataFrame]
    Groups = tuple[list[tuple[Sequence[str], Scan]], Iterable[BadFile]]

URI, BLOCK, ORDINAL = "__uri", "__block", "__ordinal"


class Unreadable(Exception):  # noqa: N818 -- a verdict on one file, never seen by users
    """The file is not what it is said to be; ``file`` names it where several are read together."""

    def __init__(self, message: str, code: str = "FILE_UNREADABLE", *, file: str | None = None) -> None:
        super().__init__(message)
        self.code, self.file = code, file


def place() -> list[Column]:
    """Where a record stands: its file, the start of the split that held it, and a number that grows within the split.

    One task reads a split from front to back, so numbers of one split are consecutive; the ordinal in the file
    follows once every split's count is known. They must be taken in the scan itself, before any shuffle.
    """
    return [
        F.col("_metadata.file_path").alias(URI),
        F.col("_metadata.file_block_start").alias(BLOCK),
        F.monotonically_increasing_id().alias(ORDINAL),
    ]


def glob_escaped(path: str) -> str:
    """The path as Spark must be given it: it takes ``* ? [ ] { }`` and backslashes for a pattern."""
    escaped = re.sub(r"([\\*?\[\]{}])", r"\\\1", path)
    if escaped == path:
        return path
    # Hadoop takes a part of a pattern that has a colon for a URI; not so where the colon is a class of characters
    place = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://[^/]*)?", escaped)
    end = place.end() if place else 0
    return escaped[:end] + escaped[end:].replace(":", "[:]")


def holds(values: Column, condition: Callable[[Column], Column]) -> Column:
    """Whether a value of an array is what is asked for; one that is NULL is not."""
    return F.coalesce(F.exists(values, condition), F.lit(False))


ENCODING = "RECORD_ENCODING"
"""The code of a record that is not UTF-8."""


def decode(lines: DataFrame, name: str = "value") -> DataFrame:
    """Set records that are not UTF-8 apart: NULL in their place, with their bytes, a code and a message beside.

    Spark's scan of text keeps the bytes as they are. The message names the first byte that is wrong, and where it is.
    """
    value = col(name)
    is_text = F.is_valid_utf8(value)
    beside = {
        CODE: F.when(~is_text, F.lit(ENCODING)),
        MESSAGE: F.when(~is_text, wrong_byte(value)),
        BYTES: F.when(~is_text, value.cast("binary")),
        RAW: F.when(~is_text, F.make_valid_utf8(value)),
        name: F.when(is_text, value),
    }
    return lines.withColumns(beside)


def wrong_byte(text: Column) -> Column:
    """Which byte of a text is the first that is not UTF-8, and what it is."""
    # the character that stands for a wrong byte may also stand there rightly; one of the same length does not
    shown = F.make_valid_utf8(F.replace(text, F.lit("\ufffd"), F.lit("\ue0ff")))
    before = F.octet_length(F.substring_index(shown, "\ufffd", 1))
    wrong = F.hex(F.substring(text.cast("binary"), before + 1, F.lit(1)))
    return F.format_string("byte %d, 0x%s, is not UTF-8", before + 1, wrong)


def message_of(code: Column, messages: Mapping[str, str]) -> Column:
    """What a code means, for people."""
    return F.create_map(*[F.lit(text) for pair in messages.items() for text in pair])[code]


_FAULTS = re.compile(
    r"FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|UNABLE_TO_INFER_SCHEMA|CANNOT_MERGE_SCHEMAS|MALFORMED_CSV_RECORD"
    # of the schema that a file holds
    r"|COLUMN_ALREADY_EXISTS|AMBIGUOUS_REFERENCE|PARQUET_TYPE_|UNSUPPORTED_TIME_TYPE|Could not read file: "
    # of the name of a file, which Hadoop takes for a URI where it has a colon
    r"|URISyntaxException"
    r"|\bIncompatibleSchemaException|: org\.apache\.avro\.|: java\.io\.IOException: .+ was written by a future ORC"
    r"|Caused by: (shaded\.parquet\.)?org\.apache\.(orc|avro|parquet|thrift)\."
)


def is_the_files_fault(error: Exception) -> bool:
    """Whether a scan failed for what a file holds, and not for what Spark or this machine lacks."""
    return isinstance(error, Unreadable) or bool(_FAULTS.search(str(error)))


_BEYOND = re.compile(r"\bSystemLimitException\b|UnsupportedOperationException: Cannot read \w+ (longer|larger) than")
"""What Avro says of a length beyond what it may have, or beyond what Java can hold."""


_LONG_FIELD = re.compile(r"ArrayIndexOutOfBoundsException: Index (\d+) out of bounds for length \1\b")
"""What the parser of CSV says where a field has more characters than it may have, or a record more fields."""

_MOST_FIELDS = 20_480
"""For so many the parser of CSV has room, which Spark sets."""


def fault_of(error: Exception) -> tuple[str, str]:
    """The code of a file for whose content a scan failed, and what is wrong with it."""
    if isinstance(error, Unreadable):
        return error.code, innermost(str(error))
    if (found := _LONG_FIELD.search(str(error))) and int(found[1]) != _MOST_FIELDS:
        most = f"{int(found[1]):,} characters (limits.record_bytes of the source)"
        return "FILE_LIMIT", f"it has a field of more than {most}: a quote may be open"
    if found:
        return "FILE_UNREADABLE", f"it has a record of more than {_MOST_FIELDS:,} fields"
    return "FILE_LIMIT" if _BEYOND.search(str(error)) else "FILE_UNREADABLE", innermost(str(error))


def usable(names: Sequence[str]) -> None:
    """Whether a file's columns have names that can be used.

    Raises:
        Unreadable: one is this library's own.
    """
    if own := [name for name in names if name.lower() == SOURCE or name.startswith("__")]:
        message = f"the column {own[0]} is reserved"
        raise Unreadable(message)
