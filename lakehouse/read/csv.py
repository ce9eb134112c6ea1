"""Delimited text: columns by the name in each file's own header."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import BYTES, CODE, MESSAGE, RAW, SOURCE, TEXT, BadFile
from lakehouse.lake.frame import as_json, col, materialise, quoted, together
from lakehouse.lake.statements import array_of
from lakehouse.lake.storage import local, plain_path
from lakehouse.read.csv_breaks import LINE_BREAK, ODD, OWN, UNCLOSED, drop_returns, find_swallowed, look_for_signs
from lakehouse.read.header import check_header
from lakehouse.read.layout.layout import check_columns
from lakehouse.read.packed import BROKEN, DEFAULTS, opened
from lakehouse.read.scan import (
    BLOCK,
    ENCODING,
    ORDINAL,
    URI,
    Unreadable,
    decode,
    glob_escaped,
    holds,
    is_the_files_fault,
    message_of,
    place,
    wrong_byte,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import CsvOptions, FilesSource

_LONGEST_HEADER = 4 * 1024 * 1024

_UNIT = "\x1f"
_NOBODYS = "\ue0fe"
"""Of Unicode's private area, so that no feed has it."""

_MESSAGES = {
    "FIELD_COUNT": "the record has another number of fields than the header",
    UNCLOSED: "a quote in it is not closed where its field ends",
    LINE_BREAK: "it holds a line break of another kind than the header's, in no quotes: one kind ends records",
}


@dataclass(frozen=True, order=True)
class Header:
    """The names of a file's columns, what ends its records, and how long one of their fields may be.

    ``line_break`` is the last character of a line break, or the source's ``line_separator``; empty where blank lines
    come first: there Spark must find it out itself. ``longest`` is in characters: Spark makes room for whatever stands
    between two quotes, and where Java has no such room it ends.
    """

    names: tuple[str, ...]
    line_break: str = "\n"
    longest: int = DEFAULTS.record_bytes


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
            header = replace(header, longest=source.limits.record_bytes)
            check_columns(len(header.names), source.limits)
            if source.csv.header:
                check_header(header.names, source)
            by_header.setdefault(header, []).append(path)
        except Unreadable as error:
            bad.append(BadFile(path, error.code, str(error)))
        except UnicodeDecodeError as error:
            at = f"byte {error.start + 1:,}, 0x{error.object[error.start]:02X}"
            bad.append(BadFile(path, "FILE_ENCODING", f"the header is not UTF-8: {at}"))
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
    if not names:
        message = "there are only blank lines"
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
        # left to itself, Spark takes NUL for it where the quote escapes itself, and loses one before a quote
        "charToEscapeQuoteEscaping": options.escape if options.quote and options.escape != options.quote else _NOBODYS,
        **_empty(options),
        # Spark takes the character NUL for a quote where it is told of none
        "quote": options.quote or _NOBODYS,
        "escape": options.escape if options.quote else _NOBODYS,
    }


def _empty(options: CsvOptions) -> dict[str, str]:
    """What a quoted field with nothing in it is; an empty one without quotes is always NULL."""
    return {} if options.empty_value is None else {"nullValue": _NOBODYS, "emptyValue": options.empty_value}


def _text_of(spark: SparkSession, options: CsvOptions, paths: Sequence[str]) -> DataFrame:
    """The lines of files, but for those that are no record: blank ones, and comments."""
    separated = {"lineSep": options.line_separator} if options.line_separator else {}
    lines = spark.read.options(**separated).text([glob_escaped(path) for path in paths])
    lines = lines.where(~F.col("value").rlike(r"^[ \r\n]*\z"))
    return lines.where(~F.col("value").startswith(options.comment)) if options.comment else lines


def _by_line(spark: SparkSession, header: Header, options: CsvOptions, paths: Sequence[str]) -> DataFrame:
    """Each line is a record, so that Spark can split a file over its tasks."""
    lines = decode(_text_of(spark, options, paths).select("value", *place()))
    lines = materialise(lines.withColumn(TEXT, F.regexp_replace("value", "^\ufeff", "")).drop("value"))
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
    parsed = F.from_csv(F.concat(TEXT, F.lit(end)), schema, parsing)
    beside = (TEXT, BYTES, MESSAGE, URI, BLOCK, ORDINAL)
    records = records.select(parsed.alias("__parsed"), F.col(RAW).alias("__no_text"), F.col(CODE).alias(OWN), *beside)
    broken = F.col(f"__parsed.{RAW}").isNotNull()
    records = records.select("__no_text", OWN, broken.alias("__broken"), "__parsed.*", *beside)
    unclosed = F.col("__broken") & F.concat_ws("", array_of(header.names)).endswith(end)
    faults = {
        RAW: F.coalesce("__no_text", F.when(F.col("__broken"), F.col(TEXT))),
        OWN: F.coalesce(OWN, F.when(unclosed, UNCLOSED)),
    }
    return materialise(_judged(records.withColumns(faults), header))


def _multiline(spark: SparkSession, header: Header, options: CsvOptions, paths: Sequence[str]) -> DataFrame:
    """A quoted field may hold line breaks, so one task reads a file from front to back."""
    rows = materialise(_parsed(spark, header, options, paths))
    if wrong := _not_utf8(rows):
        rest = [path for path in paths if path not in wrong]
        parts = [_parsed(spark, header, options, rest)] if rest else []
        rows = materialise(together([*parts, _by_bytes(spark, header, options, wrong)]))
    rows = drop_returns(rows, header, options)
    return _judged(find_swallowed(rows, header, options), header)


def _parsed(
    spark: SparkSession,
    header: Header,
    options: CsvOptions,
    paths: Sequence[str],
    encoding: str = "",
) -> DataFrame:
    """The records as Spark parses them: where two characters break a line, the first is left at the end."""
    schema, parsing = _parsing(header.names, options)
    reader = spark.read.schema(schema).options(header=str(options.header), multiLine="true", **parsing)
    reader = reader.option("maxCharsPerColumn", header.longest)
    if options.comment:
        reader = reader.option("comment", options.comment)
    if header.line_break:
        # left to itself, Spark goes by the first line break of a file, and loses its way where another kind follows
        reader = reader.option("lineSep", header.line_break)
    if encoding:
        separator = options.plain_delimiter.encode().decode(encoding)
        reader = reader.options(encoding=encoding, sep=separator)
    rows = reader.csv([glob_escaped(path) for path in paths])
    first = col(header.names[0])
    # a line of nothing else is blank
    blank = first.rlike(r"^[\r\n]+\z" if options.line_separator else r"^\r\z")
    filled = holds(array_of(header.names[1:]), lambda value: value.isNotNull()) if header.names[1:] else F.lit(False)
    rows = rows.where(filled | ~F.coalesce(blank, F.lit(False))).select("*", *place())
    no_text = F.lit(None).cast("string")
    # in one text, as a look at each of thousands of columns takes long to compile
    text = F.concat_ws(_UNIT, array_of(header.names))
    signs = look_for_signs(text, header, options)
    return rows.withColumns({OWN: no_text, MESSAGE: no_text, **signs})


def _not_utf8(rows: DataFrame) -> list[str]:
    """The files that hold bytes which are no UTF-8.

    Spark decodes a broken byte as U+FFFD without a word. A value that holds one is a suspicion; the file's own bytes
    decide, since the character may stand in it rightly.
    """
    found = rows.where(ODD).select(URI).distinct().collect()
    paths = sorted(plain_path(row[URI], encoded=True) for row in found)
    if not paths:
        return []
    lines = rows.sparkSession.read.text([glob_escaped(path) for path in paths])
    broken = lines.where(~F.is_valid_utf8("value")).select(F.col("_metadata.file_path").alias(URI)).distinct()
    return sorted(plain_path(row[URI], encoded=True) for row in broken.collect())


def _by_bytes(spark: SparkSession, header: Header, options: CsvOptions, paths: Sequence[str]) -> DataFrame:
    """The records of files of which some are not UTF-8: read byte by byte, so that only those are set apart.

    Of such a record the values that are no text are kept in Base64, as binary values are.

    Raises:
        Unreadable: what stands between fields or around them is no single byte, so that the parser would not see it.
    """
    if not f"{options.quote}{options.escape}{options.comment or ''}".isascii():
        message = "it is not UTF-8, and its quote, escape or comment is no character of ASCII"
        raise Unreadable(message, "FILE_ENCODING")
    rows = _parsed(spark, header, options, paths, "ISO-8859-1")
    names = (*header.names, RAW)
    # a text of Spark's holds any bytes
    texts = rows.withColumns({name: F.encode(col(name), "ISO-8859-1").cast("string") for name in names})
    is_text = {name: F.coalesce(F.is_valid_utf8(col(name)), F.lit(True)) for name in names}
    wrong = F.coalesce(*[F.when(~is_text[name], F.lit(name)) for name in names])
    shown = as_json(
        F.struct(
            *[
                F.when(is_text[name], col(name)).otherwise(F.base64(col(name).cast("binary"))).alias(name)
                for name in header.names
            ]
        )
    )
    where = F.coalesce(F.nullif(wrong, F.lit(RAW)), F.lit("the record"))
    first = F.coalesce(*[F.when(~is_text[name], col(name)) for name in names])
    why = F.concat(where, F.lit(": "), wrong_byte(first))
    told = texts.withColumns(
        {
            OWN: F.when(wrong.isNotNull(), ENCODING),
            MESSAGE: F.when(wrong.isNotNull(), why),
            BYTES: F.when(~is_text[RAW], col(RAW).cast("binary")),
            "__shown": F.when(wrong.isNotNull(), F.coalesce(F.make_valid_utf8(RAW), shown)),
        }
    )
    # the mark of the file's beginning is no part of a value
    cleared = {name: F.when(F.col(OWN).isNull(), F.ltrim(col(name), F.lit("\ufeff"))) for name in header.names[:1]}
    cleared |= {name: F.when(F.col(OWN).isNull(), col(name)) for name in header.names[1:]}
    return told.withColumns({**cleared, RAW: F.coalesce("__shown", RAW)}).drop("__shown")


def _judged(rows: DataFrame, header: Header) -> DataFrame:
    """The rows with what is wrong with each."""
    code = F.coalesce(OWN, F.when(F.col(RAW).isNotNull(), "FIELD_COUNT"))
    wrong = rows.withColumns({CODE: code, MESSAGE: F.coalesce(MESSAGE, message_of(code, _MESSAGES))})
    beside = [name for name in (TEXT, BYTES) if name in rows.columns]
    wanted = {*header.names, RAW, CODE, MESSAGE, *beside, URI, BLOCK, ORDINAL}
    # what goes is named, which is little beside thousands of columns
    return wrong.drop(*[col(name) for name in wrong.columns if name not in wanted])


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The columns that the files' headers name, all text."""
    found, _ = headers(spark, paths, source)
    return {name: "string" for header in found for name in header.names}
