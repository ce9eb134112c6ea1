"""The events of a batch and their order, which is what every fold goes by; docs/writes.md says it in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from lakehouse.errors import WriteError, first_line
from lakehouse.lake.batch import SOURCE
from lakehouse.lake.frame import col, literal, path, row_hash, sql_path
from lakehouse.lake.statements import expression
from lakehouse.spec.expression import SESSION_WORDS, columns_of
from lakehouse.write.bounds import has_range, widen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyspark.sql import Column, DataFrame, Row

EVENT, DELETED, TRUNCATE = "__event", "__deleted", "__truncate"
FATE, ACTION, OLD, RANK, REMEMBER, KIND = "__fate", "__action", "__old", "__rank", "__remember", "__kind"
FILE = "__file"
DROPPED = "__dropped"
"""What the produced rows have and the table does not keep, for a row that has to be put aside as it came."""
_POSITION = ("file", "topic", "partition", "offset", "position")
_POSITION_TYPE = "struct<file:string,topic:string,partition:int,offset:bigint,position:bigint>"
_BROADCAST_ROWS = 1_000_000
"""Rows of a batch whose keys are sent to every task of the probe; the table then is read, not shuffled."""


def key(index: int) -> str:
    """The name that a key has among the engine's own columns."""
    return f"__k{index}"


def keys(frame: DataFrame, by: Sequence[str]) -> list[Column]:
    """The keys under the engine's own names."""
    return [path(frame, name).alias(key(index)) for index, name in enumerate(by)]


def names(count: int) -> list[str]:
    """The engine's own names of so many keys."""
    return [key(index) for index in range(count)]


def payload(batch: DataFrame) -> list[str]:
    """The columns of a batch that are not the engine's own."""
    return [name for name in batch.columns if not name.startswith("__")]


def without(batch: DataFrame, names: Iterable[str | None]) -> DataFrame:
    """The batch without these columns, which are beside each row in ``__dropped``."""
    wanted = {name.lower() for name in names if name}
    there = [name for name in batch.columns if name.lower() in wanted]
    return batch.withColumn(DROPPED, F.struct(*map(col, there))).drop(*there) if there else batch


def dropped(batch: DataFrame) -> list[str]:
    """The column with what the table does not keep, if there is one."""
    return [DROPPED] if DROPPED in batch.columns else []


def filed(table: DataFrame) -> DataFrame:
    """A table with the file that each row is in."""
    return table.withColumn(FILE, F.col("_metadata.file_path"))


def same_key(one: DataFrame, other: DataFrame, size: Size) -> Column:
    """Whether two rows have the same key, one of them the batch's; NULL is equal to NULL."""
    return _same(zip([one[name] for name in size.names], [other[name] for name in size.names], strict=True), size)


def _same(pairs: Iterable[tuple[Column, Column]], size: Size) -> Column:
    # a join by <=> takes twice the time of one by =, which is the same where no key of the batch is NULL
    same = [
        left.eqNullSafe(right) if nullable else left == right
        for (left, right), nullable in zip(pairs, size.nullable, strict=True)
    ]
    return reduce(lambda left, right: left & right, same)


def of_keys(rows: DataFrame, wanted: DataFrame, size: Size) -> DataFrame:
    """The rows whose key is among the batch's; those are sent to every task if they are few."""
    wanted = F.broadcast(wanted) if size.small else wanted
    return rows.join(wanted, same_key(rows, wanted, size), "left_semi")


def beside(rows: DataFrame, found: DataFrame, size: Size, *, few: bool = True) -> DataFrame:
    """The rows with what was found of their keys (at most one row of each), NULL where nothing was.

    ``few``: there is no more found than the batch has keys.
    """
    renamed = found.withColumnsRenamed({name: f"{name}_found" for name in size.names})
    pairs = ((rows[name], renamed[f"{name}_found"]) for name in size.names)
    joined = rows.join(F.broadcast(renamed) if few and size.small else renamed, _same(pairs, size), "left")
    return joined.drop(*[f"{name}_found" for name in size.names])


def flag(batch: DataFrame, condition: str | None, table: str, field: str) -> Column:
    """A condition of the job as a column; NULL is false.

    Raises:
        WriteError: Spark does not take it, or it is no condition.
    """
    if condition is None:
        return F.lit(False)
    there = {name.lower() for name in batch.columns}
    if words := {name for name in columns_of(condition) if name.lower() in SESSION_WORDS - there}:
        message = f"{table}: {field} is {condition!r}: no column is called {min(words)}, which is of the session"
        raise WriteError(message)
    try:
        kind = batch.select(expression(condition).alias("it")).schema["it"].dataType
    except Exception as error:
        message = f"{table}: {field} is {condition!r}, which Spark does not take: {first_line(error)}"
        raise WriteError(message) from None
    if not isinstance(kind, BooleanType):
        message = f"{table}: {field} is {condition!r}, which is {kind.simpleString()} and no condition"
        raise WriteError(message)
    return F.coalesce(expression(condition), F.lit(False))


def order(
    frame: DataFrame,
    sequence: Sequence[Column],
    *,
    deleted: Column,
    columns: Sequence[str] | None,
    placed: bool = True,
) -> Column:
    """What two events of a key are compared by.

    Without ``columns`` it lacks the hash, and unless ``placed`` the position; it then reads less of a table.
    """
    position = F.lit(None).cast(_POSITION_TYPE)
    if placed and SOURCE in frame.columns:
        position = F.struct(*[F.col(f"{SOURCE}.{field}").alias(field) for field in _POSITION])
    payload = None if columns is None else [name for name in columns if name != SOURCE]
    return F.struct(
        F.struct(*[value.alias(f"s{index}") for index, value in enumerate(sequence)]).alias("sequence"),
        position.alias("position"),
        deleted.alias("deleted"),
        (F.lit(None).cast("bigint") if payload is None else row_hash(frame, payload)).alias("hash"),
    )


@dataclass(frozen=True)
class Size:
    """How many rows a batch has, whether a key is NULL in some, and between which values its keys lie.

    These are texts, NULL where a key's type has none.
    """

    rows: int
    deletes: int
    truncates: int
    nullable: tuple[bool, ...]
    lowest: tuple[str | None, ...]
    highest: tuple[str | None, ...]

    @property
    def names(self) -> list[str]:
        """The engine's own names of the keys."""
        return names(len(self.nullable))

    def operators(self, by: Sequence[str]) -> dict[str, str]:
        """By which operator of SQL each key is compared."""
        return {name: "<=>" if nullable else "=" for name, nullable in zip(by, self.nullable, strict=True)}

    @property
    def small(self) -> bool:
        """Whether the batch's keys may be sent to every task."""
        return self.rows <= _BROADCAST_ROWS


def sized(batch: DataFrame, by: Sequence[str]) -> Size:
    """Look at a batch once. It has the columns ``__deleted`` and ``__truncate``."""
    wanted = [
        F.count("*").alias("rows"),
        F.coalesce(F.sum(F.col(DELETED).cast("bigint")), F.lit(0)).alias("deletes"),
        F.coalesce(F.sum(F.col(TRUNCATE).cast("bigint")), F.lit(0)).alias("truncates"),
    ]
    for index, name in enumerate(by):
        value = path(batch, name)
        kind = batch.select(value.alias("it")).schema["it"].dataType
        ranged = value if has_range(kind) else F.lit(None).cast("string")
        # a key that is NULL lies outside of every range
        whole = F.count("*") == F.count(ranged)
        wanted += [
            F.count_if(value.isNull() & ~F.col(TRUNCATE)).alias(f"null{index}"),
            F.when(whole, F.min(ranged)).cast("string").alias(f"lowest{index}"),
            F.when(whole, F.max(ranged)).cast("string").alias(f"highest{index}"),
        ]
    found: Row = batch.agg(*wanted).collect()[0]
    counted = range(len(by))
    return Size(
        found.rows,
        found.deletes,
        found.truncates,
        tuple(found[f"null{index}"] > 0 for index in counted),
        tuple(found[f"lowest{index}"] for index in counted),
        tuple(found[f"highest{index}"] for index in counted),
    )


def within(size: Size, by: Sequence[str], frame: DataFrame, alias: str = "") -> str | None:
    """The ranges of the keys as a condition of literals, by which Delta leaves out files; None where there are none.

    It is on the keys alone, which never change in a row: a range over anything else would take an update for an insert.
    """
    terms = []
    for name, low, high in zip(by, size.lowest, size.highest, strict=True):
        if low is None or high is None:
            continue
        kind = frame.select(path(frame, name).alias("it")).schema["it"].dataType
        column = f"{alias}{sql_path(frame, name)}"
        bounds = [f"CAST({literal(value)} AS {kind.simpleString()})" for value in widen(low, high, kind)]
        terms.append(f"{column} >= {bounds[0]} AND {column} <= {bounds[1]}")
    return " AND ".join(terms) or None
