"""Personal data is not shown: values of columns that a contract classifies so are masked wherever a person looks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import first_line
from lakehouse.lake.batch import RESCUED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.spec.contract import Contract
    from lakehouse.spec.job import Job

MASK = "***"


def personal(contract: Contract | None) -> frozenset[str]:
    """The names of columns that hold personal data, in lower case; also those that they may come under."""
    columns = contract.columns if contract else {}
    hidden = {name: column for name, column in columns.items() if column.is_personal}
    return frozenset(one.lower() for name, column in hidden.items() for one in (name, *column.aliases))


def personal_of(job: Job) -> frozenset[str]:
    """The columns that any contract of a job classifies so."""
    judged = [*job.sources.values(), job, job.write]
    return frozenset().union(*(personal(getattr(one, "contract", None)) for one in judged))


@dataclass(frozen=True)
class Shown:
    """What may be shown of a row: all but these columns; nothing where it is not known which they are."""

    hidden: frozenset[str] = frozenset()
    is_known: bool = True

    def record(self, text: str | None, *, by_columns: bool) -> str | None:
        """What was kept of a row, as far as it may be shown; ``by_columns``: it is the JSON of its columns."""
        if text is None or (self.is_known and not self.hidden):
            return text
        value = _parsed(text) if by_columns else None
        if value is None:
            return f"{len(text):,} characters, not shown: they may hold personal data"
        return json.dumps(self._masked(value), ensure_ascii=False, default=str)

    def _masked(self, value: Any) -> Any:
        """A value without what is not to be seen, at every depth."""
        if isinstance(value, dict):
            return {
                name: (None if one is None else MASK) if self._hides(name) else self._masked(one)
                for name, one in value.items()
            }
        return [self._masked(one) for one in value] if isinstance(value, list) else value

    def _hides(self, name: str) -> bool:
        # what fitted nowhere may be the value of any of them
        return not self.is_known or name.lower() in self.hidden or bool(self.hidden and name == RESCUED)


def _parsed(text: str) -> Any:
    try:
        # a number stays as it is written
        found = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def without_values(error: BaseException, hidden: Iterable[str], read: Iterable[str] | None = None) -> str:
    """What Spark says of what failed on a row; without the value, where it may be personal.

    Args:
        error: what was raised.
        hidden: the columns that are personal.
        read: the columns that were read; all where nobody can tell.
    """
    secret = {name.lower() for name in hidden}
    concerned = secret if read is None else secret & {name.lower() for name in read}
    condition = getattr(error, "getCondition", None)
    if not concerned or (read is None and condition is None):
        return first_line(error)
    name = (condition() if condition else None) or type(error).__name__
    return f"[{name}] what it says is not shown: it may hold personal data ({', '.join(sorted(concerned))})"
