"""4. The rows of one batch become one Delta commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.write import append, overwrite, scd1, scd2, snapshot
from lakehouse.write.commit import earlier, result
from lakehouse.write.holds import check_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Write
    from lakehouse.write.commit import Plan, WriteResult

WRITERS: dict[str, Callable[..., Plan]] = {
    "append": append.plan,
    "overwrite": overwrite.plan,
    "scd1": scd1.plan,
    "scd2": scd2.plan,
    "snapshot": snapshot.plan,
}


def plan(batch: DataFrame, spec: Write, *, target: Table, identity: Identity, about: str = "") -> Plan:
    """What the rows of one batch will do to the target; it is made if it is not there, and nothing is written to it.

    The frame must give the same rows whenever it is evaluated, and its keys must not be NULL.

    Raises:
        WriteError: the rows do not fit the table; the message says which column, and nothing was written.
    """
    check_order(batch.schema, spec)
    return WRITERS[spec.mode](batch, spec, target, identity, about)


def write(batch: DataFrame, spec: Write, *, target: Table, identity: Identity, about: str = "") -> WriteResult:
    """Bring the rows of one batch into the target, in one commit or in none where nothing changes.

    A batch that the table has is not looked at again.

    Raises:
        WriteError: the rows do not fit the table; the message says which column, and nothing was written.
        ImbalanceError: the commit did something else than was planned.
    """
    spark = batch.sparkSession
    if identity.incremental and (made := earlier(spark, target, identity)):
        return result(made, replayed=True)
    return plan(batch, spec, target=target, identity=identity, about=about).commit(spark)
