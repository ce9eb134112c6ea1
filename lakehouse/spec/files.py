"""Files as a source: which they are, how they are written, and what becomes of those that cannot be read."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lakehouse.spec.base import Bytes, ColumnName, ColumnNames, FieldError, Files, Spec
from lakehouse.spec.contract import ContractOrFile
from lakehouse.spec.folders import ControlEnding, Marker, NamePattern
from lakehouse.spec.limits import FileLimits
from lakehouse.spec.reference import Text

FileFormat = Literal["csv", "json", "parquet", "avro", "orc", "xml", "text", "fixed_width", "excel"]

Encoding = Literal["UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "ISO-8859-1", "windows-1252"]

Character = Annotated[str, Field(min_length=1, max_length=1)]


class CsvOptions(Spec):
    """How delimited text is written; the words and defaults are those of RFC 4180."""

    delimiter: Annotated[str, Field(min_length=1, max_length=4)] = ","
    quote: Annotated[str, Field(max_length=1, description="Empty where no field is ever quoted.")] = '"'
    escape: Character = '"'
    comment: Annotated[
        Character | None, Field(description="A line that begins with it is no record; not within a quoted field.")
    ] = None
    empty_value: Annotated[
        str | None,
        Field(
            description="What a quoted field with nothing in it is, such as ''; NULL where not said, as without quotes."
        ),
    ] = None
    header: Annotated[
        bool, Field(description="Whether the first record names the columns; else columns: or the contract does.")
    ] = True
    columns: Annotated[
        tuple[ColumnName, ...], Field(strict=False, description="The columns of files without a header, in order.")
    ] = ()
    skip_lines: Annotated[
        int, Field(ge=0, le=10_000, description="Lines before the header that are no part of it.")
    ] = 0
    line_separator: Annotated[
        str | None,
        Field(min_length=1, max_length=4, description="What ends a record, where that is no line break."),
    ] = None
    multiline: Annotated[
        bool,
        Field(description="A quoted field may hold line breaks; false lets Spark split one large file over its cores."),
    ] = True

    @property
    def plain_delimiter(self) -> str:
        r"""The delimiter; ``\t`` is a tab, since plain YAML leaves it as it is written."""
        return self.delimiter.replace("\\t", "\t")

    @model_validator(mode="after")
    def _characters_differ(self) -> CsvOptions:
        escape = self.escape if self.quote and self.escape != self.quote else None
        seen = {"delimiter": self.plain_delimiter, "line_separator": self.line_separator or ""}
        for name, mark in {"quote": self.quote, "escape": escape, "comment": self.comment}.items():
            if mark and any(mark in other for other in (*seen.values(), "\r\n")):
                message = f"{mark!r} cannot be two things at once"
                raise FieldError(message, name)
            seen[name] = mark or ""
        if self.line_separator == self.plain_delimiter:
            message = f"{self.line_separator!r} cannot be two things at once"
            raise FieldError(message, "line_separator")
        if set(self.delimiter) & set("\r\n"):
            message = "a line break ends a record, and no field"
            raise FieldError(message, "delimiter")
        if self.line_separator in ("\n", "\r", "\r\n"):
            message = "line breaks of every kind end a record already: leave it out"
            raise FieldError(message, "line_separator")
        if self.line_separator and len(self.line_separator) > 1 and self.multiline:
            message = "one of several characters needs multiline: false, so that it ends a record wherever it stands"
            raise FieldError(message, "line_separator")
        return self

    @model_validator(mode="after")
    def _columns_are_named_once(self) -> CsvOptions:
        if self.columns and self.header:
            message = "the files' headers name the columns; say header: false where they have none"
            raise FieldError(message, "columns")
        _usable(self.columns)
        return self


class JsonOptions(Spec):
    """How JSON is laid out: an object a line, or (``multiline: true``) one array of objects, or objects over lines."""

    multiline: bool = False


class XmlOptions(Spec):
    """Which elements of an XML file are its records; one of a namespace by its prefix, too."""

    row_tag: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s<>/&'\"]+$")]


class FixedField(Spec):
    """Where a column stands in a line: from this character, counted from 1, and so many."""

    start: Annotated[int, Field(ge=1, le=1_000_000)]
    length: Annotated[int, Field(ge=1, le=1_000_000)]


class FixedWidthOptions(Spec):
    """Lines of one length, cut by position: ``{id: 8, name: 20, city: {start: 41, length: 12}}``.

    A column of which only its length is told begins where the one before it ends. Blanks around a value are its
    padding, unless ``trim: false``. A line of another length is quarantined.
    """

    columns: Annotated[
        dict[ColumnName, Annotated[int, Field(ge=1, le=1_000_000)] | FixedField], Field(min_length=1, max_length=10_000)
    ]
    line_length: Annotated[
        int | None, Field(ge=1, description="Characters of a line, where its end is of no column.")
    ] = None
    trim: bool = True

    @model_validator(mode="after")
    def _columns_fit(self) -> FixedWidthOptions:
        _usable(tuple(self.columns))
        if self.line_length and self.line_length < self.end:
            message = f"the columns reach to character {self.end}"
            raise FieldError(message, "line_length")
        return self

    @property
    def fields(self) -> dict[str, FixedField]:
        """Every column with its place."""
        found: dict[str, FixedField] = {}
        start = 1
        for name, place in self.columns.items():
            field = place if isinstance(place, FixedField) else FixedField(start=start, length=place)
            found[name] = field
            start = field.start + field.length
        return found

    @property
    def end(self) -> int:
        """The last character that a column takes."""
        return max(field.start + field.length - 1 for field in self.fields.values())


class ExcelOptions(Spec):
    """Which sheet of a workbook is read (the first one, where none is named), and which of its rows names columns."""

    sheet: Annotated[str | None, Field(min_length=1, max_length=31)] = None
    header_row: Annotated[int, Field(ge=1, le=10_000)] = 1


def _usable(names: tuple[str, ...]) -> None:
    lowered = [name.lower() for name in names]
    for index, name in enumerate(lowered):
        if name in lowered[:index]:
            message = f"'{names[index]}' is named twice: case makes no difference"
            raise FieldError(message, "columns")
        if name == "_source" or name.startswith("__"):
            message = f"'{names[index]}' is reserved"
            raise FieldError(message, "columns")


class FilesSource(Spec):
    """Files that arrive in a folder, each read once.

    ``format`` is told by the file's ending where it is left out (``.csv``, ``.json``, ``.jsonl``, ``.ndjson``,
    ``.parquet``, ``.avro``, ``.orc``, ``.xml``, ``.xlsx``), so one folder may hold several. ``.gz``, ``.bz2``, ``.zst``
    and ``.zip`` after it are unpacked; each file in a ``.zip`` is a file of its own, called ``a.zip!/b.csv``.
    """

    kind: Literal["files"]
    path: Annotated[
        Text,
        Field(description="The folder, relative to the project; may hold ${env:NAME} and ${param:NAME}."),
    ]
    pattern: Annotated[
        # braces and negations mean one thing to Spark and another to Python, which both look
        str, Field(pattern=r"^([^{}\\\[\]/]|\[[^\^!\]{}\\/]+\])+$", description="Which names are read: * ? and [abc].")
    ] = "*"
    format: FileFormat | None = None
    encoding: Annotated[
        Encoding, Field(description="Of text, where the file has no byte order mark: what such a mark says goes first.")
    ] = "UTF-8"
    csv: CsvOptions = CsvOptions()
    partition_columns: Annotated[
        ColumnNames, Field(description="Folders such as country=DE as columns of text; every file must lie in them.")
    ] = ()
    name_pattern: Annotated[
        NamePattern | None,
        Field(
            description="A regular expression that every file name must match; its named groups are columns of text."
        ),
    ] = None
    control: Annotated[
        ControlEnding | None,
        Field(description="The ending of control files, such as .ctl: a file is read once it has one, and held to it."),
    ] = None
    ready_by: Annotated[
        Marker | None,
        Field(description="A marker, such as _SUCCESS: files are read once it is in their folder or one above."),
    ] = None
    archive_to: Annotated[
        Text | None, Field(description="A folder that files are moved to once the batch that read them is committed.")
    ] = None
    json_: Annotated[JsonOptions, Field(alias="json")] = JsonOptions()
    xml: XmlOptions | None = None
    fixed_width: FixedWidthOptions | None = None
    excel: ExcelOptions = ExcelOptions()
    limits: FileLimits = FileLimits()
    max_files: Annotated[Files | None, Field(description="Files in a batch; 1000 unless max_bytes is given.")] = None
    max_bytes: Annotated[Bytes | None, Field(description="Bytes in a batch, as files lie on disk.")] = None
    on_unreadable: Annotated[
        Literal["quarantine", "fail"],
        Field(description="A file that cannot be read: one quarantine entry, or the end of the run."),
    ] = "quarantine"
    on_changed: Annotated[
        Literal["fail", "ignore"],
        Field(
            description="A file rewritten under its name after it was read: the end of the run, or left as it was read."
        ),
    ] = "fail"
    accept_changed: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(strict=False, description="Files, by name or path below the folder, whose rewriting is of no matter."),
    ] = ()
    allow_empty: Annotated[
        bool, Field(description="Whether the folder may be empty before the first file ever came.")
    ] = False
    contract: ContractOrFile = None
    stream: Annotated[Literal[True], Field(description="Files are always read incrementally.")] = True

    @property
    def columns_of_place(self) -> tuple[str, ...]:
        """The columns that a file's folders and its name tell."""
        groups = re.compile(self.name_pattern).groupindex if self.name_pattern else ()
        return (*self.partition_columns, *groups)

    @property
    def listed(self) -> str:
        """Which names tell that there is something to read: those of the files, or of their control files."""
        return f"*{self.control}" if self.control else self.pattern

    @model_validator(mode="after")
    def _columns_of_a_place(self) -> FilesSource:
        seen: set[str] = set()
        for name in self.columns_of_place:
            field = "partition_columns" if name in self.partition_columns else "name_pattern"
            if name.startswith("__") or name.lower() == "_source":
                message = f"'{name}' is reserved"
                raise FieldError(message, field)
            if name.lower() in seen:
                message = f"'{name}' is told twice: by a folder or the name"
                raise FieldError(message, field)
            seen.add(name.lower())
        return self

    @model_validator(mode="after")
    def _one_sign_that_all_is_there(self) -> FilesSource:
        if self.control and self.ready_by:
            message = "give control or ready_by: one of them says when a file is whole"
            raise FieldError(message, "ready_by")
        if self.ready_by and self.ready_by[0] != "_" and PurePath(self.ready_by).match(self.pattern):
            message = f"{self.ready_by} would be read as a file: give a pattern that leaves it out, such as '*.csv'"
            raise FieldError(message, "ready_by")
        if self.control and self.max_bytes:
            message = "with control files a batch is bounded by their number: give max_files"
            raise FieldError(message, "max_bytes")
        return self

    @model_validator(mode="after")
    def _one_bound(self) -> FilesSource:
        if self.max_files and self.max_bytes:
            message = "give max_files or max_bytes: Spark bounds a batch by one of them"
            raise FieldError(message, "max_bytes")
        return self

    @model_validator(mode="after")
    def _the_format_is_told(self) -> FilesSource:
        for name, wanted in (("xml", "{row_tag: …}"), ("fixed_width", "{columns: {…}}")):
            if self.format == name and getattr(self, name) is None:
                message = f"needs {name}: {wanted}"
                raise FieldError(message, "format")
        if not self.csv.header and not self.headerless:
            message = "files without a header need csv.columns, or a contract that names the columns in their order"
            raise FieldError(message, "csv", "header")
        return self

    @property
    def headerless(self) -> tuple[str, ...]:
        """The columns of delimited text that has no header, in order."""
        return self.csv.columns or tuple(self.contract.columns if self.contract else ())
