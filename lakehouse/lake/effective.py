"""Which commits made a table what it is: a RESTORE takes back those that came after what it restores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lakehouse.lake.table import Commit


def effective(log: Iterable[Commit]) -> Iterator[Commit]:
    """The commits that hold, newest first, of a log that is newest first.

    One that says no version is taken for one that takes back nothing: ask ``is_untold``.
    """
    version: int | None = None
    for commit in log:
        if version is not None and commit.version > version:
            continue
        yield commit
        if commit.restored.isdigit():
            version = int(commit.restored)


def is_untold(commit: Commit) -> bool:
    """Whether a commit is a RESTORE that does not tell the version that it went back to.

    Of one to a time Delta notes the time as text, in the zone of the machine that restored, which nothing tells.
    """
    return commit.operation == "RESTORE" and not commit.restored.isdigit()
