"""Which commits made a table what it is: a RESTORE takes back those that came after what it restores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lakehouse.lake.table import Commit


def effective(log: Iterable[Commit]) -> Iterator[Commit]:
    """The commits that hold, newest first, of a log that is newest first.

    A RESTORE to a time holds what was committed up to it; the time is taken for UTC, as our sessions say it.
    """
    version: int | None = None
    time = ""
    for commit in log:
        if (version is not None and commit.version > version) or (time and commit.at > time):
            continue
        yield commit
        if commit.restored.isdigit():
            version = int(commit.restored)
        elif commit.restored:
            time = commit.restored
