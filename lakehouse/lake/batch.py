"""What the stages hand to each other: the rows of one batch, and which batch of which run it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.errors import ImbalanceError
from lakehouse.foreign import mask
from lakehouse.lake.frame import by_types, together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from lakehouse.lake.quality import Quality

SOURCE = "_source"
"""Where a row came from."""

SOURCE_TYPE = (
    "struct<file:string,position:bigint,topic:string,partition:int,offset:bigint,ingested_at:timestamp,run_id:string>"
)

RAW, CODE, MESSAGE = "__raw", "__code", "__message"
"""Beside a row that was read: its text as received, where the columns are not all there is, and why it is unusable."""

TEXT = "__as_written"
"""Beside a row where its format has such: its text as received, also where the columns are all there is."""

BYTES = "__bytes"
"""Beside a row where its format has such: the bytes of a record that is no text."""

SKIP = "__skip"
"""Beside a row where the source has such: why it is no row of data, such as ``tombstone``; it is counted as dropped."""

TOLD = "__told"
"""Beside a row where the source has such: the columns that it tells, where it is not all of them (a deletion tells its
key alone); the others are NULL and mean nothing, so that NOT NULL is not asked of them."""

OTHERS = "__others"
"""Beside a row where the source has such: fields that nobody declared, by name, each as its text (or NULL)."""

TYPED = "__typed:"
"""Before the name of a declared column whose values came in several types, or in another one than the declared: beside
it a struct with a field for each type, of which one at the most is not NULL. Each is held against the contract in the
type in which it came, so that what becomes of a row does not depend on the others of its batch."""

RESCUED = "_rescued"
"""What a contract with ``unknown: rescue`` had no place for, as JSON."""

RECEIVED = "__received"
"""Beside a row where the source has such: the message that it came in, which quarantine keeps."""

RECEIVED_TYPE = (
    "struct<key:binary,value:binary,headers:array<struct<key:string,value:binary>>,"
    "timestamp:timestamp,timestamp_type:int>"
)

CAME, HANDED, ONCE, LATE_AT, FAULTS = "__came", "__handed", "__once", "__late_at", "__faults"
"""Of rows that a state has taken up: a row that came, or one that the state hands on. Beside the first its ``_source``,
what is wrong with it, and the first and last moment (in µs) at which the watermark shuts it out; beside the second
whether it stands for one that came."""


def sourced(frame: DataFrame) -> DataFrame:
    """The frame with ``_source``, whether or not it came with it."""
    return frame if SOURCE in frame.columns else frame.withColumn(SOURCE, F.lit(None).cast(SOURCE_TYPE))


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be read as a whole; it counts as one row read and one quarantined."""

    file: str
    code: str
    message: str

    def __post_init__(self) -> None:
        """Mask the message: what libraries say of a file goes to the quarantine, and where people look."""
        object.__setattr__(self, "message", mask(self.message))


def check_counts(counts: Mapping[str, Any]) -> None:
    """Hold counts against what the ledger can keep, before anything is committed that notes them.

    A commit's note is JSON, and Python's ``True`` or ``None`` would be read back as no number for ever after.

    Raises:
        ImbalanceError: one is no whole number.
    """
    # a bool is an int of Python's, and is written as no number
    if wrong := {name: count for name, count in counts.items() if type(count) is not int}:
        message = f"counts must be whole numbers, and these are not: {wrong}"
        raise ImbalanceError(message, hint="a fault of this library; nothing was written")


@dataclass(frozen=True)
class Arrived:
    """What a source brought: its rows with ``_source``, ``__raw``, ``__code`` and ``__message``.

    They are not evaluated yet, or give the same whenever they are. ``skips`` are the reasons that ``__skip`` may hold.
    ``parts``: the same rows in several frames, where a column differs in type between them (it is text in ``rows``):
    each is held against a contract by its own types, so that a row's values do not depend on what came beside it.
    ``judged``: they were held against the contract already, on their way in.
    ``watermark_ms``: a state has taken them up, and has left out those that this watermark has passed.
    """

    rows: DataFrame
    bad_files: tuple[BadFile, ...] = ()
    parts: tuple[DataFrame, ...] = ()
    skips: tuple[str, ...] = ()
    judged: bool = False
    watermark_ms: int | None = None


def unite(frames: Sequence[DataFrame], bad_files: tuple[BadFile, ...] = ()) -> Arrived:
    """Bring several frames, whose columns may differ in type, as the rows of one batch."""
    parts = by_types(frames)
    return Arrived(together(parts), bad_files, tuple(parts) if len(parts) > 1 else ())


@dataclass(frozen=True)
class Identity:
    """Which batch of which job this is: it travels in every commit that the batch makes.

    ``stream`` is the checkpoint's own id. A new checkpoint counts its batches from 0 again, so an id made of the job's
    name would take its first batches for old ones. For a job with no incremental source it is a digest of the code and
    of the versions that were read, and ``incremental`` is false. ``again``: an
    attempt at this batch was begun before. ``past``: it or a later one has been committed. ``sole``: nobody but this
    run can have made it or be making it. ``beside``: it goes into a table that is being rebuilt. ``inputs`` is what was
    read, ``rows`` the counts of it that are known before the write, ``rules`` how many of them broke each rule,
    ``quality`` what each rule came to.
    """

    job: str
    run_id: str
    stream: str
    batch: int
    incremental: bool = True
    again: bool = False
    past: bool = False
    sole: bool = False
    beside: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    rules: Mapping[str, int] = field(default_factory=dict)
    quality: tuple[Quality, ...] = ()

    def options(self, step: str, note: Mapping[str, Any], *, once: bool = True) -> dict[str, str]:
        """The writer's options for a commit of the batch: its note and, if ``once``, a transaction to be made once.

        Raises:
            ImbalanceError: a count is no whole number, so that the ledger could not be told of it.
        """
        check_counts({**self.rows, **self.rules})
        noted = {
            "job": self.job,
            "run_id": self.run_id,
            "stream": self.stream,
            "batch": self.batch,
            "step": step,
            **({"beside": True} if self.beside else {}),
            "inputs": self.inputs,
            "rows": self.rows,
            "rules": self.rules,
            **({"quality": [one.as_note() for one in self.quality]} if self.quality else {}),
            **note,
        }
        options = {"userMetadata": json.dumps({"lakehouse": noted}, default=str, sort_keys=True)}
        if once:
            options |= {"txnAppId": f"lakehouse/{self.stream}/{step}", "txnVersion": str(self.batch)}
        return options

    def made(self, note: Mapping[str, Any], step: str) -> bool:
        """Whether a commit's note says that it is this batch's."""
        return (note.get("stream"), note.get("batch"), note.get("step")) == (self.stream, self.batch, step)
