"""The declared columns of a batch in their types, and what is wrong with a row where one cannot be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from lakehouse.check.cast import exact
from lakehouse.errors import ColumnMissingError, ConfigError
from lakehouse.lake.batch import CODE, MESSAGE, RAW, RECEIVED, SKIP, SOURCE, TOLD
from lakehouse.lake.frame import col

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.contract import Contract

AS_RECEIVED = "__as_received"
"""Beside a row while it is judged: all that was received of it, as one struct."""

_BESIDE = (RAW, CODE, MESSAGE, SKIP)


def with_types(rows: DataFrame, contract: Contract, missing: str) -> tuple[DataFrame, list[Column]]:
    """The rows with the contract's columns in their types, and what is wrong with them, as columns of the result."""
    kinds: dict[str, DataType] = {field.name: field.dataType for field in rows.schema.fields}
    received = [name for name in rows.columns if name != SOURCE and not name.startswith("__")]
    spelled = {name.lower(): name for name in received}
    lacking = [name for name in contract.columns if name.lower() not in spelled]
    if lacking and missing == "error":
        has = ", ".join(received)
        message = f"the contract declares {', '.join(lacking)}, which the source does not have (it has {has})"
        raise ColumnMissingError(message, hint="correct the name, or take it out of the contract")
    values, kept_flags, faults = [], [], []
    sound = F.col(CODE).isNull()
    for index, (name, column) in enumerate(contract.columns.items()):
        want = DataType.fromDDL(column.type)
        kept = F.lit(True)
        if name.lower() in spelled:
            value, kept = _exact(rows, spelled[name.lower()], kinds[spelled[name.lower()]], want, name)
        else:
            value = F.lit(None).cast(want)
        values.append(value.alias(name))
        is_kept = F.lit(True)
        if name.lower() in spelled and kinds[spelled[name.lower()]] != want:
            kept_flags.append(kept.alias(f"__kept_{index}"))
            is_kept = F.col(f"__kept_{index}")
            faults.append(F.when(sound & ~is_kept, F.lit(f"CAST:{name}")))
        if not column.nullable:
            told = F.coalesce(F.array_contains(TOLD, name), F.lit(True)) if TOLD in rows.columns else F.lit(True)
            faults.append(F.when(sound & is_kept & told & col(name).isNull(), F.lit(f"NULL_VALUE:{name}")))
    declared = {name.lower() for name in contract.columns}
    others = [col(name) for name in received if name.lower() not in declared]
    beside = [name for name in (*_BESIDE, TOLD, RECEIVED) if name in rows.columns]
    # the values first, as columns of their own: rules speak of the typed ones
    typed = rows.select(*values, *others, SOURCE, *beside, AS_RECEIVED, *kept_flags)
    return typed, faults


def _exact(rows: DataFrame, received: str, have: DataType, want: DataType, name: str) -> tuple[Column, Column]:
    value, kept = exact(col(received), have, want, name)
    try:
        rows.select(value, kept)
    except AnalysisException:
        message = f"the contract declares {name} as {want.simpleString()}, and no {have.simpleString()} can become one"
        raise ConfigError(message, hint="declare the type that the source has, and cast in transform()") from None
    return value, kept
