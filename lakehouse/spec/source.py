"""Where rows come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lakehouse.spec.base import Bytes, ColumnNames, FieldError, Files, Spec, TableName
from lakehouse.spec.contract import ContractOrFile
from lakehouse.spec.event_time import Watermark, Window
from lakehouse.spec.files import FilesSource
from lakehouse.spec.kafka import KafkaSource


class TableSource(Spec):
    """A Delta table of the lake: as it is now, or (``stream: true``) what was appended since the last run.

    With a ``watermark`` on the time at which a row happened, rows can be taken once (``dedupe``) and put together
    (``window``) across batches: what that takes is held in a state until the watermark has passed it.
    """

    kind: Literal["table"]
    table: TableName
    stream: bool = False
    max_files: Annotated[Files | None, Field(description="Data files in a batch; 1000 unless max_bytes is given.")] = (
        None
    )
    max_bytes: Annotated[Bytes | None, Field(description="Bytes in a batch, a soft bound.")] = None
    watermark: Watermark | None = None
    dedupe: Annotated[
        ColumnNames, Field(description="Of rows that are equal in these columns, one: the first within the watermark.")
    ] = ()
    window: Window | None = None
    contract: ContractOrFile = None

    @model_validator(mode="after")
    def _state_has_a_bound(self) -> TableSource:
        wanted = [name for name in ("dedupe", "window") if getattr(self, name)]
        if wanted and not self.watermark:
            message = "needs a watermark: without one nobody can tell when its state may be forgotten"
            raise FieldError(message, wanted[0])
        if self.watermark and not wanted:
            message = "a watermark bounds the state of dedupe or window, and there is neither"
            raise FieldError(message, "watermark")
        return self

    @model_validator(mode="after")
    def _state_fits_the_source(self) -> TableSource:
        if self.is_stateful and not self.stream:
            message = "is for an incremental source (stream: true): a table that is read as it is has no late rows"
            raise FieldError(message, "watermark")
        if self.is_stateful and self.contract:
            message = f"rows are judged one by one, before a state takes them: by the job that writes {self.table}"
            raise FieldError(message, "contract")
        return self

    @property
    def is_stateful(self) -> bool:
        """Whether something of a batch is held for those that follow."""
        return self.watermark is not None

    @property
    def state(self) -> str:
        """What is held, in words: a checkpoint holds it for no other."""
        once = f"each ({', '.join(self.dedupe)}) once" if self.dedupe else ""
        bound = f"by {self.watermark.column} with {self.watermark.delay}" if self.watermark else ""
        return "; ".join(filter(None, (bound, once, str(self.window or ""))))


Source = Annotated[FilesSource | KafkaSource | TableSource, Field(discriminator="kind")]


def fields_of(source: FilesSource | KafkaSource | TableSource) -> list[tuple[tuple[str, ...], str]]:
    """Every text of a source that may hold references, with its place."""
    found: list[tuple[tuple[str, ...], str | None]]
    if isinstance(source, FilesSource):
        found = [(("path",), source.path), (("archive_to",), source.archive_to)]
    elif isinstance(source, TableSource):
        return []
    else:
        security = source.security
        found = [
            (("bootstrap_servers",), source.bootstrap_servers),
            (("value", "registry"), getattr(source.value, "registry", None)),
            (("security", "username"), security.username if security else None),
            (("security", "password"), security.password if security else None),
        ]
    return [(at, text) for at, text in found if text]


def texts_of(source: FilesSource | KafkaSource | TableSource) -> list[str]:
    """Every text of a source that may hold references."""
    return [text for _, text in fields_of(source)]
