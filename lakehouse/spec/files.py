"""Files as a source: which they are, how they are written, and what becomes of those that cannot be read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lakehouse.spec.base import Bytes, FieldError, Files, Spec
from lakehouse.spec.contract import ContractOrFile
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

    @model_validator(mode="after")
    def _one_bound(self) -> FilesSource:
        if self.max_files and self.max_bytes:
            message = "give max_files or max_bytes: Spark bounds a batch by one of them"
            raise FieldError(message, "max_bytes")
        return self
