"""Rules that look at other rows: of the same batch, of the table that it goes to, or of another table.

They are asked of the rows that the other rules let go on, once these are evaluated; what comes of it is most often
nothing, and then the rows stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType

from lakehouse.check.rules import Asked
from lakehouse.errors import ConfigError, first_line
from lakehouse.lake.batch import TOLD
from lakehouse.lake.frame import materialise, quoted
from lakehouse.lake.statements import expression
from lakehouse.spec.expression import ReferenceCheck, UniqueCheck

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.contract import Contract
    from lakehouse.spec.rule import Rule

_SMALL = 1_000_000
"""Rows that are sent to every task."""


@dataclass(frozen=True)
class Beside:
    """What rules may look at beside the rows, the same in every attempt at a batch.

    ``at``: when it is; None: Spark's own time. ``tables``: by name, as they are for this batch. ``target``: the table
    that the rows go to, if it is there; a row of it that is the same in ``record`` is the same record.
    ``of_events``: rows that are no more than the key of what is deleted are told so, and no rule is asked of them.
    ``row_by_row``: the rows were chosen by hand, and nothing is asked of all of them together.
    ``hidden``: columns whose values no message shows, by any contract of the job.
    """

    at: datetime | None = None
    tables: Mapping[str, DataFrame] = field(default_factory=dict)
    target: DataFrame | None = None
    record: tuple[str, ...] = ()
    of_events: bool = False
    row_by_row: bool = False
    hidden: frozenset[str] = frozenset()

    def asking(self, contract: Contract, columns: Sequence[str] = ()) -> Asked:
        """The contract's rules, asked as it is here, of rows with these columns."""
        hides = TOLD in columns and not self.of_events
        return Asked(contract, self.at, self.of_events, hides=hides, row_by_row=self.row_by_row)


def compared(rows: DataFrame, asked: Asked, beside: Beside) -> DataFrame:
    """Rows with the rules noted that others make them break.

    One aggregate for each ``unique``, one anti-join for each ``exists_in``, over what is evaluated already.

    Raises:
        ConfigError: a rule names a column that the other table has not, or one of another type.
    """
    for index, rule in enumerate(asked.contract.rules):
        if not isinstance(rule.asks, UniqueCheck | ReferenceCheck):
            continue
        which = f"{asked.goes_on}{asked.only(rule)}"
        judged = asked.computed(rows, [rule]).where(expression(which))
        try:
            broken = _broken(judged, rule, beside)
        except AnalysisException as error:
            message = f"rule '{rule.name}': Spark does not understand '{rule.check}': {first_line(error)}"
            raise ConfigError(message) from None
        for values, columns in broken:
            rows = _marked(rows, index, rule, asked, (values, columns, which))
    return rows


def _broken(judged: DataFrame, rule: Rule, beside: Beside) -> list[tuple[DataFrame, Sequence[str]]]:
    """The values that break a rule, and which columns of a row they are of."""
    asks = rule.asks
    if isinstance(asks, ReferenceCheck):
        return [(_absent(judged, asks, beside.tables[asks.table]), asks.columns)]
    if not isinstance(asks, UniqueCheck):
        return []
    # several rows of one record are one: the write keeps the last of them, or the first
    records = _keys(judged, asks.columns, beside.record)
    keys = records.distinct() if beside.record else records
    values = keys.columns[: len(asks.columns)]
    found: list[tuple[DataFrame, Sequence[str]]]
    found = [(keys.groupBy(*values).count().where(expression("count > 1")).drop("count"), asks.columns)]
    if asks.in_table and beside.target is not None:
        columns = (*asks.columns, *beside.record)
        found.append((_held(judged, asks, beside.target, beside.record), columns))
    return found


def _keys(rows: DataFrame, columns: Sequence[str], record: Sequence[str] = ()) -> DataFrame:
    """What rows have in columns, under names of its own; where one is NULL, there is nothing to compare."""
    named = rows.select(*[expression(column).alias(f"__k{index}") for index, column in enumerate((*columns, *record))])
    return named.where(expression(" AND ".join(f"__k{index} IS NOT NULL" for index in range(len(columns)))))


def _absent(judged: DataFrame, asks: ReferenceCheck, table: DataFrame) -> DataFrame:
    """What the rows have and the table has not."""
    keys = materialise(_keys(judged, asks.columns).distinct())
    there = _keys(table, [quoted(name) for name in asks.references])
    for mine, other, name in zip(keys.schema.fields, there.schema.fields, asks.references, strict=True):
        kinds = mine.dataType, other.dataType
        both_numbers = all(isinstance(kind, NumericType) for kind in kinds)
        if not both_numbers and kinds[0].simpleString() != kinds[1].simpleString():
            told = " and ".join(kind.simpleString() for kind in kinds)
            message = f"'{asks.columns[0]}' and {asks.table}.{name} are {told}, which cannot be compared"
            raise ConfigError(message, hint="cast one of them, in the contract or where its table is made")
    is_small = keys.count() <= _SMALL
    there = there.withColumnsRenamed({name: f"{name}t" for name in there.columns})
    same = reduce(lambda one, other: one & other, [keys[name] == there[f"{name}t"] for name in keys.columns])
    if is_small:
        # what is asked for is sent to the tasks that read the table, which is not shuffled then
        there = F.broadcast(there.join(F.broadcast(keys), same, "left_semi").distinct())
    return keys.join(there, same, "left_anti")


def _held(judged: DataFrame, asks: UniqueCheck, target: DataFrame, record: Sequence[str]) -> DataFrame:
    """The rows' values that another record of the table has, with the record that each row is of."""
    mine = _keys(judged, asks.columns, record).distinct()
    held = _keys(target, asks.columns, record)
    held = held.withColumnsRenamed({name: f"{name}t" for name in held.columns})
    own = len(asks.columns)
    same = [mine[name] == held[f"{name}t"] for name in mine.columns[:own]]
    is_it = [mine[name].eqNullSafe(held[f"{name}t"]) for name in mine.columns[own:]]
    is_another = ~_all(is_it) if is_it else F.lit(True)
    return mine.join(held, _all(same) & is_another, "left_semi")


def _marked(
    rows: DataFrame, index: int, rule: Rule, asked: Asked, found: tuple[DataFrame, Sequence[str], str]
) -> DataFrame:
    """The rows with a rule noted as broken where their values are among those that were found."""
    values, columns, which = found
    values = materialise(values)
    count = values.count()
    if not count:
        return rows
    own = {name: f"__found{index}_{name}" for name in values.columns}
    values = values.withColumnsRenamed(own).withColumn("__found", F.lit(True))
    values = F.broadcast(values) if count <= _SMALL else values
    same = _all([expression(f"{column} <=> {name}") for column, name in zip(columns, own.values(), strict=True)])
    names = rows.columns
    joined = asked.computed(rows, [rule]).join(values, same, "left")
    marked = asked.mark(joined, index, f"__found AND {which}")
    return marked.select(*[F.col(quoted(name)) for name in names])


def _all(conditions: Sequence[Column]) -> Column:
    return reduce(lambda one, other: one & other, conditions)
