"""Append: every row is added, each batch once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.write.commit import STEP, WriteResult, files_for, note, read_back
from lakehouse.write.evolve import fitted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import AppendWrite


def append(batch: DataFrame, spec: AppendWrite, target: Table, identity: Identity, about: str) -> WriteResult:
    """Add the rows; a batch that was added before makes no commit."""
    batch, before, options = fitted(batch, spec, target, about)
    count = batch.count()
    planned = WriteResult(inserted=count, rows_added=count, version=before.version)
    if not count:
        return planned
    if not spec.partition_by:
        batch = batch.coalesce(files_for(count))
    batch.write.format("delta").mode("append").options(**options, **identity.options(STEP, note(planned))).save(
        target.path
    )
    return read_back(batch, target, identity, before)
