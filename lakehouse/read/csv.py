"""Delimited text: columns by the name in each file's own header."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, BadFile
from lakehouse.lake.frame import as_json, col, materialise, quoted
from lakehouse.lake.storage import local, plain_path
from lakehouse.read.packed import BROKEN, opened
from lakehouse.read.scan import (
    BLOCK,
    ORDINAL,
    URI,
    array_of,
    glob_escaped,
    holds,
    is_the_files_fault,
    message_of,
    place,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import CsvOptions, FilesSource

_LONGEST_HEADER = 4 * 1024 * 1024


_MOST_COLUMNS = 10_000
_UNIT = "\x1f"
_NOBODYS = "\ue0fe"
"""Of Unicode's private area, so that no feed has it."""

_MESSAGES = {
    "FIELD_COUNT": "the record has another number of fields than the header",
    "UNCLOSED_QUOTE": "a quote in it is not closed where its field ends",
}


@dataclass(frozen=True, order=True)
class Header:
    """The names of a file's columns, and what ends its records.

    ``line_break`` is the last character of a line break, or the source's ``line_separator``; empty where blank lines
    come first: there Spark must find it out itself.
    """

    names: tuple[str, ...]
    line_break: str = "\n"


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """The files by their header: those with the same one are read together."""
    found, bad = headers(spark, paths, source)
    scan = _multiline if source.csv.multiline else _by_line
    return [(same, partial(scan, spark, header, source.csv)) for header, same in sorted(found.items())], bad


def headers(
    spark: SparkSession, paths: Sequence[str], source: FilesSource
) -> tuple[dict[Header, list[str]], list[BadFile]]:
    """The files by their header, and those that have none."""
    bad: list[BadFile] = []
    by_header: dict[Header, list[str]] = {}
    far = {path for path in paths if local(path) is None}
    first_lines = _first_lines(spark, sorted(far), source.csv) if far else {}
    for path in paths:
        try:
            head = first_lines.get(path, "") if path in far else _head(path, source.csv)
            header = _header(head, source.csv, () if source.csv.header else source.headerless)
            by_header.setdefault(header, []).append(path)
        except UnicodeDecodeError:
            bad.append(BadFile(path, "FILE_ENCODING", "the file is not UTF-8"))
        except BROKEN as error:
            bad.append(BadFile(path, "FILE_UNREADABLE", f"no header can be read: {error}"))
        except (ValueError, csv.Error) as error:
            bad.append(BadFile(path, "FILE_HEADER", f"no header can be read: {error}"))
    return by_header, bad


def _head(path: str, options: CsvOptions) -> str:
    """The beginning of a file, as far as a header can reach."""
    quote, comment = options.quote.encode(), (options.comment or "").encode()
    with opened(path) as file:
        # one line at a time, until the quotes of the header are closed
        head, begun = b"", b""
        while line := _line(file, options):
            line = line if head else line.removeprefix(codecs.BOM_UTF8)
            head += line
            if begun or not (comment and line.startswith(comment)):
                begun += line.lstrip() if not begun else line
            if len(head) >= _LONGEST_HEADER or (begun and (not quote or begun.count(quote) % 2 == 0)):
                break
        # where there is more, a character may be cut
        return codecs.getincrementaldecoder("utf-8")().decode(head, final=not file.read(1))


def _line(file: IO[bytes], options: CsvOptions) -> bytes:
    """The next bytes of a file: to the next line break, or as many as a header may well have."""
    if not options.line_separator:
        return file.readline(_LONGEST_HEADER)
    return file.read(_LONGEST_HEADER)


def _header(head: str, options: CsvOptions, names: tuple[str, ...] = ()) -> Header:
    """The header at the beginning of a text; with these names, where it has none of its own.

    Raises:
        ValueError: there is none, two names are the same but for case, or one is this library's own.
        csv.Error: a quote is not closed.
    """
    taken: list[str] = []
    before: list[str] = []

    def lines() -> Iterator[str]:
        for line in _lines(head.removeprefix("\ufeff"), options.line_separator):
            is_comment = options.comment and line.startswith(options.comment) and not taken
            if is_comment or not line.strip("\r\n"):
                before.extend([] if taken else [line])
                taken.extend([line] if taken else [])
                continue
            taken.append(line)
            # Python knows no delimiter of several characters
            yield line.replace(options.plain_delimiter, _UNIT)

    doubled = options.escape == options.quote or not options.quote
    reader = csv.reader(
        lines(),
        delimiter=_UNIT,
        quotechar=options.quote or None,
        quoting=csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE,
        doublequote=doubled,
        escapechar=None if doubled else options.escape,
        strict=True,
    )
    if names:
        next(lines(), "")
    else:
        fields = [name.replace(_UNIT, options.plain_delimiter).strip() for name in next(reader, [])]
        names = tuple(name or f"_c{index}" for index, name in enumerate(fields))
        _usable(names)
    if options.line_separator:
        return Header(names, options.line_separator)
    end = taken[-1][-1] if taken else "\n"
    is_blank_first = any(not line.strip("\r\n") for line in before)
    return Header(names, "" if is_blank_first else end if end == "\r" else "\n")


def _lines(text: str, separator: str | None) -> Iterator[str]:
    if separator is None:
        yield from io.StringIO(text, newline="")
    else:
        yield from text.split(separator)


def _usable(names: Sequence[str]) -> None:
    if not names or len(names) > _MOST_COLUMNS:
        message = f"{len(names):,} columns" if names else "there are only blank lines"
        raise ValueError(message)
    lowered = Counter(name.lower() for name in names)
    if twice := [name for name, times in lowered.items() if times > 1]:
        message = f"it names '{twice[0]}' twice"
        raise ValueError(message)
    if own := [name for name in lowered if name == SOURCE or name.startswith("__")]:
        message = f"it names '{own[0]}', which is reserved"
        raise ValueError(message)


def _first_lines(spark: SparkSession, paths: Sequence[str], options: CsvOptions) -> dict[str, str]:
    """The first record of each file that only Spark can reach, in one job; a file that cannot be read has none."""
    first = (
        _text_of(spark, options, paths)
        .select("value", *place())
        .groupBy(URI)
        .agg(F.min(F.struct(BLOCK, ORDINAL, "value")).alias("first"))
    )
    try:
        return {plain_path(row[URI], encoded=True): row["first"]["value"] for row in first.collect()}
    except Exception as error:
        if not is_the_files_fault(error):
            raise
        half = len(paths) // 2
        parts = (paths[:half], paths[half:]) if half else ()
        return {path: line for part in parts for path, line in _first_lines(spark, part, options).items()}


def _parsing(names: Sequence[str], options: CsvOptions) -> tuple[str, dict[str, str]]:
    """Schema and options of the parser: every value as text, a record with too few or too many fields kept whole."""
    return ", ".join(f"{quoted(name)} string" for name in (*names, RAW)), {
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": RAW,
        "sep": options.plain_delimiter,
        # Spark takes the character NUL for a quote where it is told of none
        "quote": options.quote or _NOBODYS,
        "escape": options.escape if options.quote else _NOBODYS,
    }


def _text_of(spark: SparkSession, options: CsvOptions, paths: Sequence[str]) -> DataFrame:
    """The lines of files, but for those that are no record: blank ones, and comments."""
    separated = {"lineSep": options.line_separator} if options.line_separator else {}
    lines = spark.read.options(**separated).text([glob_escaped(path) for path in paths])
    lines = lines.where(~F.col("value").rlike(r"^[ \r\n]*\z"))
    return lines.where(~F.col("value").startswith(options.comment)) if options.comment else lines


def _by_line(spark: SparkSession, header: Header, options: CsvOptions, paths: Sequence[str]) -> DataFrame:
    """Each line is a record, so that Spark can split a file over its tasks."""
    lines = _text_of(spark, options, paths)
    lines = materialise(lines.select(F.regexp_replace("value", "^\ufeff", "").alias("__line"), *place()))
    place_in_file = F.struct(BLOCK, ORDINAL)
    records = lines
    if options.header:
        first = lines.groupBy(URI).agg(F.min(place_in_file).alias("__first"))
        records = lines.join(F.broadcast(first), URI).where(place_in_file != F.col("__first"))
    # with a field of its own at the end, a quote that the line leaves open is seen: it takes that field in
    schema, parsing = _parsing((*header.names, "__end"), options)
    if options.line_separator:
        # what breaks a line is within a value now
        parsing["lineSep"] = _NOBODYS
    end = options.plain_delimiter + _UNIT
    records = records.withColumn("__parsed", F.from_csv(F.concat("__line", F.lit(end)), schema, parsing))
    broken = F.col(f"__parsed.{RAW}").isNotNull()
    records = records.select("__line", broken.alias("__broken"), "__parsed.*", URI, BLOCK, ORDINAL)
    unclosed = F.concat_ws("", array_of(header.names)).endswith(end)
    rows = records.withColumns(
        {
            RAW: F.when(F.col("__broken"), F.col("__line")),
            "__unclosed": F.when(F.col("__broken") & unclosed, F.col("__line")),
        }
    )
    return materialise(_judged(rows, header))


def _multiline(spark: SparkSession, header: Header, options: CsvOptions, paths: Sequence[str]) -> DataFrame:
    """A quoted field may hold line breaks, so one task reads a file from front to back."""
    schema, parsing = _parsing(header.names, options)
    reader = spark.read.schema(schema).options(header=str(options.header), multiLine="true", **parsing)
    if options.comment:
        reader = reader.option("comment", options.comment)
    if header.line_break:
        # left to itself, Spark goes by the first line break of a file, and loses its way where another kind follows
        reader = reader.option("lineSep", header.line_break)
    rows = reader.csv([glob_escaped(path) for path in paths])
    first, last = col(header.names[0]), col(header.names[-1])
    # of a line break \r\n the \r is left at the end; a line of nothing else is blank
    blank = first.rlike(r"^[\r\n]+\z" if options.line_separator else r"^\r\z")
    filled = holds(array_of(header.names[1:]), lambda value: value.isNotNull()) if header.names[1:] else F.lit(False)
    rows = rows.where(filled | ~F.coalesce(blank, F.lit(False))).select("*", *place())
    if not options.line_separator:
        rows = rows.withColumns({name: F.regexp_replace(col(name), r"\r\z", "") for name in (header.names[-1], RAW)})
        rows = rows.withColumn(header.names[-1], F.when(last != "", last))
    return _judged(_swallowing(spark, materialise(rows), header, options), header)


def _swallowing(spark: SparkSession, rows: DataFrame, header: Header, options: CsvOptions) -> DataFrame:
    """The rows, with those that took the records after them for their own by a quote that is not closed.

    Such a value holds a line break and either begins with the quote or is in the last record. Only these are looked
    for in the file's text: a good one stands there between two quotes.
    """
    if not options.quote:
        return rows.withColumn("__unclosed", F.lit(None).cast("string"))
    ends = re.escape(options.line_separator) if options.line_separator else r"[\r\n]"

    def breaks(value: Column) -> Column:
        return value.rlike(ends)

    def begins(value: Column) -> Column:
        return breaks(value) & value.startswith(options.quote)

    values = array_of(header.names)
    last = rows.groupBy(URI).agg(
        F.max(ORDINAL).alias("__last"),
        F.max_by(holds(values, breaks), ORDINAL).alias("__ends"),
        F.max(holds(values, begins)).alias("__begins"),
    )
    suspects = [row[URI] for row in last.where("__ends OR __begins").select(URI).collect()]
    if not suspects:
        return rows.withColumn("__unclosed", F.lit(None).cast("string"))
    paths = [glob_escaped(plain_path(uri, encoded=True)) for uri in suspects]
    texts = spark.read.text(paths, wholetext=True)
    texts = texts.select(_unescaped(F.col("value"), options).alias("__text"), F.col("_metadata.file_path").alias(URI))
    joined = rows.join(last, URI, "left").join(texts, URI, "left")
    is_last = F.col(ORDINAL) == F.col("__last")
    quote = F.lit(options.quote)

    def lost(value: Column) -> Column:
        stands = F.col("__text").contains(F.concat(quote, _written(value, options), quote))
        return (begins(value) | (breaks(value) & is_last)) & ~stands

    shown = as_json(F.expr(f"struct({', '.join(map(quoted, header.names))})"))
    joined = joined.withColumn("__unclosed", F.when(holds(values, lost), shown))
    return materialise(joined.drop("__last", "__ends", "__begins", "__text"))


def _written(value: Column, options: CsvOptions) -> Column:
    """A value as it stands between quotes, in a text that went through ``_unescaped``."""
    return F.replace(_unescaped(value, options), F.lit(options.quote), F.lit(_twice(options)))


def _twice(options: CsvOptions) -> str:
    return options.quote * 2 if options.escape == options.quote else options.quote


def _unescaped(text: Column, options: CsvOptions) -> Column:
    """A text in which neither the kind of its line breaks nor needless escapes make a difference."""
    text = F.replace(text, F.lit("\r\n"), F.lit("\n"))
    return text if options.escape == options.quote else F.replace(text, F.lit(options.escape), F.lit(""))


def _judged(rows: DataFrame, header: Header) -> DataFrame:
    """The rows with what is wrong with each."""
    code = F.when(F.col("__unclosed").isNotNull(), "UNCLOSED_QUOTE").when(F.col(RAW).isNotNull(), "FIELD_COUNT")
    message = message_of(code, _MESSAGES)
    wrong = rows.withColumns({RAW: F.coalesce(RAW, "__unclosed"), CODE: code, MESSAGE: message})
    return wrong.selectExpr(*map(quoted, header.names), RAW, CODE, MESSAGE, URI, BLOCK, ORDINAL)


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The columns that the files' headers name, all text."""
    found, _ = headers(spark, paths, source)
    return {name: "string" for header in found for name in header.names}
