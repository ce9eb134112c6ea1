"""What a file's own account of itself comes to, and what is refused of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.spec.limits import FileLimits

INCONSISTENT = "FILE_INCONSISTENT"
"""The code of a file of which one part says something else than another."""

LIMIT = "FILE_LIMIT"
"""The code of a file that would cost more than the source allows."""


@dataclass(frozen=True)
class Leaf:
    """One column of values as a file stores it; of a nested column there are several.

    ``values`` is how many the file says that it has, where NULL and an empty list are one each; None where every row
    has exactly one, or another leaf has as many for the same lists. ``nanos`` is ``utc`` or ``local`` of a timestamp in
    nanoseconds, and empty of all else.
    """

    values: int | None = None
    nanos: str = ""


@dataclass(frozen=True)
class Layout:
    """What a file says that it holds: rows, and by top-level column (in lower case) what it stores of it."""

    rows: int
    leaves: Mapping[str, tuple[Leaf, ...]] = field(default_factory=dict)


def contradict(message: str) -> NoReturn:
    """Refuse a file that contradicts itself.

    Raises:
        Unreadable: always.
    """
    raise Unreadable(message, INCONSISTENT)


def check_records(rows: int, size: int, limits: FileLimits) -> None:
    """Check that a file of so many bytes may hold so many rows.

    Raises:
        Unreadable: it may not.
    """
    if rows > (most := limits.records_of(size)):
        exceed("records", f"it holds {rows:,} rows in {size:,} bytes; at most {most:,} are read")


def check_columns(columns: int, limits: FileLimits) -> None:
    """Check that a file may have so many columns, nested fields among them.

    Raises:
        Unreadable: it may not.
    """
    if columns > limits.columns:
        exceed("columns", f"it has {columns:,} columns, nested fields among them; at most {limits.columns:,} are read")


def exceed(limit: str, message: str) -> NoReturn:
    """Refuse a file that goes beyond a limit.

    Raises:
        Unreadable: always.
    """
    raise Unreadable(f"{message} (limits.{limit} of the source)", LIMIT)
