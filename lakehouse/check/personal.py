"""Personal data is not shown: values of columns that a contract classifies so are masked wherever a person looks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.foreign import MASK, hide_places, mask_places
from lakehouse.lake.batch import RESCUED

if TYPE_CHECKING:
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.job import Job

_OF_FOLDER = re.compile(r"(?<=/)([^/=]+)(?:=|%3D)[^/]+")


def personal(contract: Contract | None) -> frozenset[str]:
    """The names of columns that hold personal data, in lower case; also those that they may come under."""
    columns = contract.columns if contract else {}
    hidden = {name: column for name, column in columns.items() if column.is_personal}
    return frozenset(one.lower() for name, column in hidden.items() for one in (name, *column.aliases))


def personal_of(job: Job) -> frozenset[str]:
    """The columns that any contract of a job classifies so."""
    judged = [*job.sources.values(), job, job.write]
    return frozenset().union(*(personal(getattr(one, "contract", None)) for one in judged))


def hide_places_of(job: Job) -> None:
    """Mask from now on what the paths of a job's files and tables say of its personal columns."""
    patterns = (getattr(source, "name_pattern", None) for source in job.sources.values())
    hide_places(personal_of(job), filter(None, patterns))


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

    def place(self, path: str) -> str:
        """A path; where it is not known which columns are personal, without what it says of any."""
        return mask_places(path if self.is_known else _OF_FOLDER.sub(rf"\1={MASK}", path))

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
