"""Files as a source: which they are, how they are written, and what becomes of those that cannot be read."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lakehouse.spec.base import Bytes, ColumnNames, FieldError, Files, Spec
from lakehouse.spec.contract import ContractOrFile
from lakehouse.spec.folders import ControlEnding, Marker, NamePattern
from lakehouse.spec.reference import Text

FileFormat = Literal["csv", "json", "parquet"]


class CsvOptions(Spec):
    """How delimited text is written; the words and defaults are those of RFC 4180."""

    delimiter: Annotated[str, Field(min_length=1, max_length=4)] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    escape: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    multiline: Annotated[
        bool,
        Field(description="A quoted field may hold line breaks; false lets Spark split one large file over its cores."),
    ] = True


class FilesSource(Spec):
    """Files that arrive in a folder, each read once.

    ``format`` is told by the file's ending where it is left out (``.csv``, ``.json``, ``.jsonl``, ``.ndjson``,
    ``.parquet``, with or without ``.gz``), so one folder may hold several.
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
