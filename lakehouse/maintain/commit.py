"""What every step of maintenance does around its own commit: it says whose it is, and gives way to writers."""

from __future__ import annotations

import json
import random
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from lakehouse.errors import WriteConflictError, first_line
from lakehouse.lake.faults import is_conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table

STEP = "maintain"

MOVES = {"OPTIMIZE", "REORG", "VACUUM START", "VACUUM END"}
"""Operations after which a table reads as before, columns and all, and of which no stream reads anything."""

Step = Literal["forget", "expire", "purge", "optimize", "vacuum"]

T = TypeVar("T")

_NOTE = "spark.databricks.delta.commitInfo.userMetadata"
_TRANSACTION = ("spark.databricks.delta.write.txnAppId", "spark.databricks.delta.write.txnVersion")
_ATTEMPTS = 4


@dataclass(frozen=True)
class Done:
    """What a step did to a table.

    ``done``: it did something; ``planned``: it would; ``nothing``: it does not pay, or nothing is due;
    ``skipped``: it is due, and must not or cannot be done now. ``why`` says so in words, ``counts`` in numbers.
    """

    step: Step
    status: Literal["done", "planned", "nothing", "skipped"]
    why: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


def note(step: Step) -> str:
    """What a commit of maintenance says of itself: no batch, so that no run takes it for one of its own."""
    return json.dumps({"lakehouse": {"step": STEP, "action": step}})


@contextmanager
def noted(spark: SparkSession, step: Step, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """The commits of the block carry the note of a step."""
    with saying(spark, note(step), settings):
        yield


@contextmanager
def saying(spark: SparkSession, text: str, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """The commits of the block carry a note, and no transaction id; the session is as it was, afterwards.

    An id that some MERGE left in the session would make Delta skip the commit without a word.
    """
    wanted: dict[str, str | None] = {_NOTE: text, **dict.fromkeys(_TRANSACTION), **(settings or {})}
    before = {key: spark.conf.get(key, None) for key in wanted}
    try:
        _set(spark, wanted)
        yield
    finally:
        _set(spark, before)


def _set(spark: SparkSession, values: Mapping[str, str | None]) -> None:
    for key, value in values.items():
        if value is None:
            spark.conf.unset(key)
        else:
            spark.conf.set(key, value)


def attempted(action: Callable[[], T], table: Table, step: Step) -> T:
    """Do it, and again after a while where a writer was quicker: the writer's commit stands, ours is made anew.

    Raises:
        WriteConflictError: a writer was quicker each time.
    """
    told = ""
    for attempt in range(_ATTEMPTS):
        try:
            return action()
        except Exception as error:
            if not is_conflict(error):
                raise
            told = first_line(error)
        if attempt + 1 < _ATTEMPTS:
            time.sleep(random.uniform(0.5, 1) * 2**attempt)  # noqa: S311 -- no secret
    message = f"{table.name}: {step} gave way to other writers {_ATTEMPTS} times; the last: {told}"
    raise WriteConflictError(message, hint="run it again when less is written")
