"""4. The rows of one batch become one Delta commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.write.append import append
from lakehouse.write.overwrite import overwrite
from lakehouse.write.scd1 import scd1

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Write
    from lakehouse.write.commit import WriteResult

WRITERS: dict[str, Callable[..., WriteResult]] = {"append": append, "overwrite": overwrite, "scd1": scd1}


def write(batch: DataFrame, spec: Write, *, target: Table, identity: Identity, about: str = "") -> WriteResult:
    """Bring the rows of one batch into the target, in one commit or in none where nothing changes.

    The frame must give the same rows whenever it is evaluated, and its keys must not be NULL.

    Raises:
        WriteError: the rows do not fit the table; the message says which column, and nothing was written.
        ImbalanceError: the commit did something else than was planned.
    """
    return WRITERS[spec.mode](batch, spec, target, identity, about)
