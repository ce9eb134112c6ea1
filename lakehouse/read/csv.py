"""Delimited text: columns by the name in each file's own header."""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, BadFile
from lakehouse.lake.frame import col, quoted
from lakehouse.lake.storage import local, plain_path
from lakehouse.read.scan import URI, glob_escaped, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.read.scan import Groups, Scan
    from lakehouse.spec.source import CsvOptions, FilesSource

_LONGEST_HEADER = 4 * 1024 * 1024


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """The files by their header: those with the same one are read together."""
    bad, by_header = [], {}
    far = [path for path in paths if local(path) is None]
    first_lines = _first_lines(spark, far) if far else {}
    for path in paths:
        try:
            header = _names(first_lines.get(path, "") if path in first_lines else _head(path), source.csv)
        except (OSError, EOFError, csv.Error) as error:
            bad.append(BadFile(path, "FILE_UNREADABLE", f"no header can be read: {error}"))
        except UnicodeDecodeError:
            bad.append(BadFile(path, "FILE_ENCODING", "the file is not UTF-8"))
        except ValueError as error:
            bad.append(BadFile(path, "FILE_HEADER", str(error)))
        else:
            by_header.setdefault(header, []).append(path)
    return [(same, _scan(spark, header, source.csv)) for header, same in sorted(by_header.items())], bad


def _head(path: str) -> str:
    """The beginning of a file, as far as a header can reach."""
    place = local(path)
    assert place is not None
    opened = gzip.open(place) if path.lower().endswith(".gz") else place.open("rb")
    with opened as file:
        # one line at a time, until the quotes of the header are closed
        head = b""
        for line in file:
            head += line
            if len(head) > _LONGEST_HEADER or (head.strip(b"\xef\xbb\xbf \t\r\n") and head.count(b'"') % 2 == 0):
                break
    return head.decode("utf-8-sig")


def _names(head: str, options: CsvOptions) -> tuple[str, ...]:
    """The column names of a header.

    Raises:
        ValueError: two columns have the same name, but for case, or one has a name of this library's own.
    """
    lines = (line for line in io.StringIO(head.removeprefix("\ufeff"), newline="") if line.strip("\r\n"))
    doubled = options.escape == options.quote
    reader = csv.reader(
        lines,
        delimiter=options.delimiter,
        quotechar=options.quote,
        doublequote=doubled,
        escapechar=None if doubled else options.escape,
    )
    names = tuple(name.strip() or f"_c{index}" for index, name in enumerate(next(reader, [])))
    lowered = [name.lower() for name in names]
    if twice := sorted({name for name in lowered if lowered.count(name) > 1}):
        message = f"the header names '{twice[0]}' twice"
        raise ValueError(message)
    if own := [name for name in lowered if name == SOURCE or name.startswith("__")]:
        message = f"the header names '{own[0]}', which is reserved"
        raise ValueError(message)
    return names


def _first_lines(spark: SparkSession, paths: Sequence[str]) -> dict[str, str]:
    """The first line of each file that only Spark can reach, in one job."""
    lines = spark.read.text([glob_escaped(path) for path in paths]).select("value", *place())
    first = lines.where("__block = 0").groupBy(URI).agg(F.min_by("value", "__ordinal").alias("value"))
    return {plain_path(row[URI], encoded=True): row["value"] for row in first.collect()}


def _scan(spark: SparkSession, header: tuple[str, ...], options: CsvOptions) -> Scan:
    """How files of one header are read: every value as text, a record with too few or too many fields kept whole."""
    schema = ", ".join(f"{quoted(name)} string" for name in (*header, RAW))

    def scan(paths: Sequence[str]) -> DataFrame:
        reader = (
            spark.read.schema(schema)
            .option("header", "true")
            .option("mode", "PERMISSIVE")
            .option("columnNameOfCorruptRecord", RAW)
        )
        reader = reader.option("sep", options.delimiter).option("quote", options.quote).option("escape", options.escape)
        reader = reader.option("multiLine", str(options.multiline).lower())
        broken = F.col(RAW).isNotNull()
        wrong_count = F.lit(f"the header has {len(header)} fields, the record has another number")
        return reader.csv([glob_escaped(path) for path in paths]).select(
            *[col(name) for name in (*header, RAW)],
            F.when(broken, "FIELD_COUNT").alias(CODE),
            F.when(broken, wrong_count).alias(MESSAGE),
            *place(),
        )

    return scan
