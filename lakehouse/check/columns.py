"""The declared columns of a batch in their types, and what is wrong with a row where one cannot be had."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import chain
from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, MapType, StructType, VariantType

from lakehouse.check.cast import exact, may_reject
from lakehouse.errors import ColumnMissingError, ConfigError
from lakehouse.lake.batch import CODE, MESSAGE, OTHERS, RAW, RECEIVED, RESCUED, SKIP, SOURCE, TOLD, TYPED
from lakehouse.lake.frame import as_json, col, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.spec.column import Column as Declared
    from lakehouse.spec.contract import Contract

AS_RECEIVED = "__as_received"
"""Beside a row while it is judged: all that was received of it, as one struct."""

UNKNOWN = "unknown:"
"""Before the name of a column that the contract does not name, where rows are told that have a value in it."""

_BESIDE = (RAW, CODE, MESSAGE, SKIP)
_MADE = ("_kafka", "_change")
"""Columns that the sources of this library make."""

_MOST_TOLD = 20
"""Columns that are told one by one."""


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
    cast = _casts(rows, contract, {name: spelled[name.lower()] for name in contract.columns if name.lower() in spelled})
    values, kept_flags, faults = [], [], []
    misfits: dict[str, Column] = {}
    sound = F.col(CODE).isNull()
    for index, (name, column) in enumerate(contract.columns.items()):
        found, is_kept = spelled.get(name.lower()), F.lit(True)
        value, kept = cast[name] if found else (F.lit(None).cast(column.type), F.lit(True))
        values.append(value.alias(name))
        if found and (f"{TYPED}{found}" in kinds or may_reject(kinds[found], column)):
            kept_flags.append(kept.alias(f"__kept_{index}"))
            is_kept = F.col(f"__kept_{index}")
            if contract.unknown == "rescue" and column.nullable:
                misfits[found] = ~kept
            else:
                faults.append(F.when(sound & _asked_of(rows, name) & ~is_kept, F.lit(f"CAST:{name}")))
        if not column.nullable:
            told = F.coalesce(F.array_contains(TOLD, name), F.lit(True)) if TOLD in rows.columns else F.lit(True)
            faults.append(F.when(sound & is_kept & told & col(name).isNull(), F.lit(f"NULL_VALUE:{name}")))
    unknown = _unknown(rows, contract, kinds, misfits)
    beside = [name for name in (*_BESIDE, TOLD, RECEIVED) if name in rows.columns]
    # the values first, as columns of their own: rules speak of the typed ones
    typed = rows.select(*values, *unknown.kept, SOURCE, *beside, AS_RECEIVED, *kept_flags, *unknown.flags)
    return typed, [*faults, *(F.when(sound, fault) for fault in unknown.faults)]


def _casts(rows: DataFrame, contract: Contract, found: Mapping[str, str]) -> dict[str, tuple[Column, Column]]:
    """The columns that are there in their types, and whether each value was kept.

    Raises:
        ConfigError: no value of what is there can become what is declared.
    """
    kinds = {field.name: field.dataType for field in rows.schema.fields}
    typed = {name: f"{TYPED}{received}" for name, received in found.items() if f"{TYPED}{received}" in kinds}
    cast = {
        name: exact(col(received), kinds[received], contract.columns[name], name)
        for name, received in found.items()
        if name not in typed
    }
    cast |= {name: _cast_by_type(rows, column, contract.columns[name], name) for name, column in typed.items()}
    try:
        # Spark Connect looks at a plan when it is asked for its schema
        _ = rows.select(SOURCE, *chain.from_iterable(cast.values())).schema
    except AnalysisException:
        for name, pair in cast.items():
            _judged_alone(rows, pair, f"{name} as {contract.columns[name].type}", kinds[found[name]])
        raise
    return cast


def _cast_by_type(rows: DataFrame, column: str, declared: Declared, name: str) -> tuple[Column, Column]:
    """A column whose values came in several types, each cast from its own; no value is kept of a type that has none."""
    kind = rows.schema[column].dataType
    values, flags = [], []
    for field in kind.fields if isinstance(kind, StructType) else ():
        came = col(column).getField(field.name)
        value, kept = exact(came, field.dataType, declared, name)
        try:
            _ = rows.select(value, kept).schema
        except AnalysisException:
            flags.append(came.isNull())
        else:
            values.append(value)
            flags.append(kept)
    whole = reduce(lambda one, other: one & other, flags, F.lit(True))
    return F.coalesce(F.lit(None).cast(declared.type), *values).alias(name), whole


def _judged_alone(rows: DataFrame, pair: tuple[Column, Column], declared: str, have: DataType) -> None:
    try:
        _ = rows.select(*pair).schema
    except AnalysisException:
        message = f"the contract declares {declared}, and no {have.simpleString()} can become one"
        raise ConfigError(message, hint="declare the type that the source has, and cast in transform()") from None


def _asked_of(rows: DataFrame, name: str) -> Column:
    """Whether a value of the column is asked for: not of a row that the write takes for its key, and that has others.

    Of a deletion that came as its key nothing is told, and the columns of that key are among them.
    """
    if TOLD not in rows.columns:
        return F.lit(True)
    return F.coalesce(F.array_contains(TOLD, name) | (F.size(TOLD) == 0), F.lit(True))


@dataclass(frozen=True)
class _Unknown:
    """Of columns that the contract does not name: what is kept of them, where they are told, and what is wrong."""

    kept: Sequence[Column]
    flags: Sequence[Column] = ()
    faults: Sequence[Column] = ()


def _unknown(
    rows: DataFrame, contract: Contract, kinds: Mapping[str, DataType], misfits: Mapping[str, Column]
) -> _Unknown:
    declared = {name.lower() for name in contract.columns}
    received = [name for name in rows.columns if name != SOURCE and not name.startswith("__")]
    others = [name for name in received if name.lower() not in declared]
    if contract.unknown == "keep":
        return _Unknown([col(name) for name in others])
    made = [col(name) for name in others if name in _MADE]
    strange = sorted(name for name in others if name not in _MADE)
    if contract.unknown == "refuse":
        faults = [F.when(F.col(AS_RECEIVED)[name].isNotNull(), F.lit(f"UNKNOWN_COLUMN:{name}")) for name in strange]
        return _Unknown(made, faults=faults)
    flags = [col(name).isNotNull().alias(f"__{UNKNOWN}{name}") for name in strange[:_MOST_TOLD]]
    if contract.unknown == "ignore":
        return _Unknown(made, flags)
    if RESCUED in received:
        message = f"the source has a column {RESCUED} of its own, which unknown: rescue makes"
        raise ConfigError(message, hint="say unknown: keep, and declare the column")
    whether = {**{name: col(name).isNotNull() for name in strange}, **misfits}
    entries = [
        F.when(is_rescued, F.struct(F.lit(name), _as_text(col(name), kinds[name])))
        for name, is_rescued in whether.items()
    ]
    # one entry at least, so that an array of none has a type
    nothing = F.lit(None).cast("struct<col1:string,col2:string>")
    rescued = F.map_from_entries(F.array_compact(F.array(*entries, nothing)))
    if OTHERS in rows.columns:
        rescued = F.map_concat(rescued, F.coalesce(F.col(OTHERS), F.create_map().cast("map<string,string>")))
    return _Unknown([F.when(F.size(rescued) > 0, F.to_json(rescued)).alias(RESCUED), *made], flags)


def _as_text(value: Column, kind: DataType) -> Column:
    """A value as text: what was received of text formats, else as JSON writes it."""
    if isinstance(kind, ArrayType | MapType | StructType | VariantType):
        return as_json(value)
    return F.base64(value) if isinstance(kind, BinaryType) else value.cast("string")


def told_unknown(columns: Sequence[str]) -> dict[str, str]:
    """What is counted of columns that the contract does not name, as SQL: rows that have a value in each of the first.

    Args:
        columns: those of the rows, once ``with_types`` has made them.
    """
    flags = [name for name in columns if name.startswith(f"__{UNKNOWN}")]
    return {name.removeprefix("__"): f"count_if({quoted(name)})" for name in flags}
