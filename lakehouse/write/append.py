"""Append: every row is added, each batch once; with an identity of records, each record once."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.errors import KeyMissingError
from lakehouse.lake.batch import SOURCE
from lakehouse.lake.frame import materialise, path, row_hash
from lakehouse.lake.statements import expression
from lakehouse.lake.table import read_table
from lakehouse.write import commit
from lakehouse.write.commit import Plan, WriteResult, files_for
from lakehouse.write.evolve import fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import AppendWrite

_PLACE = tuple(f"{SOURCE}.{field}" for field in ("file", "topic", "partition", "offset", "position"))
_SMALL = 1_000_000


def plan(batch: DataFrame, spec: AppendWrite, target: Table, identity: Identity, about: str) -> Plan:
    """Add the rows; a batch that was added before makes no commit."""
    batch, before, options = fitted(batch, spec, target, about)
    known = identity.rows
    # counted already where a run counts: a count is a job of Spark's
    gone = known.get("rejected", 0) + known.get("filtered", 0)
    total = count = known["produced"] - gone if "produced" in known else batch.count()
    if spec.identity and count:
        held = None if before.is_empty_table else read_table(batch.sparkSession, target)
        batch = materialise(_new(batch, held, _identity(batch, spec), rows=count))
        count = batch.count()
    planned = WriteResult(
        inserted=count,
        duplicates=total - count,
        rows_added=count,
        version=before.version,
        strategy="append" if count else "nothing",
        why=f"{count:,} new rows",
    )
    rows = batch if spec.partition_by else batch.coalesce(files_for(count))
    return Plan(target, identity, before, planned, make=lambda more: commit.append(rows, target, {**options, **more}))


def _identity(batch: DataFrame, spec: AppendWrite) -> Sequence[str]:
    if spec.identity != "source":
        return spec.identity
    if SOURCE not in batch.columns:
        message = f"{spec.table}: identity: source needs the column {SOURCE}, which the rows do not have"
        raise KeyMissingError(message, hint="let transform() carry _source along, or name columns as identity")
    return _PLACE


def _new(batch: DataFrame, held: DataFrame | None, names: Sequence[str], *, rows: int) -> DataFrame:
    """The records that the table has not, each once."""
    columns = [path(batch, name) for name in names]
    any_of_them = Window.partitionBy(*columns).orderBy(row_hash(batch, batch.columns))
    once = batch.withColumn("__nth", F.row_number().over(any_of_them)).where(expression("__nth = 1")).drop("__nth")
    if held is None:
        return once
    told = batch.agg(*[F.count(column).alias(f"n{index}") for index, column in enumerate(columns)]).collect()[0]
    nullable = [count < rows for count in told]
    named = [f"__i{index}" for index in range(len(names))]
    there = held.select(*[path(held, name).alias(alias) for name, alias in zip(names, named, strict=True)])
    mine = once.select(*[path(once, name).alias(f"{alias}m") for name, alias in zip(names, named, strict=True)])
    mine = F.broadcast(mine) if rows <= _SMALL else mine
    pairs = [(there[alias], mine[f"{alias}m"]) for alias in named]
    there = there.join(mine, _same(pairs, nullable), "left_semi")
    there = F.broadcast(there) if rows <= _SMALL else there
    pairs = [(path(once, name), there[alias]) for name, alias in zip(names, named, strict=True)]
    return once.join(there, _same(pairs, nullable), "left_anti")


def _same(pairs: Sequence[tuple[Column, Column]], nullable: Sequence[bool]) -> Column:
    same = [
        left.eqNullSafe(right) if may_be else left == right
        for (left, right), may_be in zip(pairs, nullable, strict=True)
    ]
    return reduce(lambda one, other: one & other, same)
