"""What a column may be by the type that it is declared with; docs/writes.md has the table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

_NO_ORDER = re.compile(r"(.*\b)?map<.*"), "which Spark cannot compare"
_REFUSED: dict[str, tuple[re.Pattern[str], str]] = {
    **dict.fromkeys(("keys", "sequence_by", "identity", "snapshot_by", "compared"), _NO_ORDER),
    "partition_by": (re.compile(r"(map|array|struct)<.*"), "which Delta does not partition by"),
    "cluster_by": (re.compile(r"(map|array|struct)<.*|boolean|binary"), "which Delta does not cluster by"),
    "update_columns": (re.compile(r"(?!array<string>$).*"), "and a list of columns is an array<string>"),
    "freshness": (re.compile(r"(?!(date|timestamp|timestamp_ntz|string)$).*"), "which is no time"),
}
"""By role: the types that cannot have it, and why."""

_WITHOUT_A_TEXT = ("binary", "float", "double")


def misfit(name: str, kind: str, role: str) -> str | None:
    """Say why a column of that type cannot be that; None where it can.

    ``role`` is the field of a write that names the column, ``compared`` (by a rule or a key), or ``freshness``.
    """
    if role == "partition_by" and kind in _WITHOUT_A_TEXT:
        return f"'{name}' is a {kind}, and not every one has a text of its own, which a partition is"
    refused, why = _REFUSED[role]
    return f"'{name}' is declared as {kind}, {why}; name another column" if refused.fullmatch(kind) else None


def misfits(write: BaseModel, declared: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The fields of a write that name a column whose type cannot be that, and why; ``declared`` by lower-case names."""
    for field in _REFUSED:
        value = getattr(write, field, None) or ()
        for name in (value,) if isinstance(value, str) else value:
            kind = declared.get(name.lower())
            if kind and (why := misfit(name, kind, field)):
                yield field, why
