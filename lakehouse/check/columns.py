"""The declared columns of a batch in their types, and what is wrong with a row where one cannot be had."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import chain
from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from lakehouse.check.cast import can_become, exact, may_reject
from lakehouse.errors import ColumnMissingError, ConfigError
from lakehouse.lake.batch import (
    BYTES,
    CODE,
    MESSAGE,
    OTHERS,
    RAW,
    RECEIVED,
    RESCUED,
    SKIP,
    SOURCE,
    TEXT,
    TOLD,
    TYPED,
)
from lakehouse.lake.frame import as_text, col, quoted
from lakehouse.lake.statements import array_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.spec.column import Column as Declared
    from lakehouse.spec.contract import Contract

AS_RECEIVED = "__as_received"
"""Beside a row while it is judged: all that was received of it, as one struct."""

UNKNOWN = "unknown:"
"""Before the name of a column that the contract does not name, where rows are told that have a value in it."""

NOTHING = "NO_DECLARED_FIELD"
"""The code of a record of which no field is declared."""

_BESIDE = (RAW, CODE, MESSAGE, SKIP, TEXT, BYTES)
_MADE = ("_kafka", "_change")
"""Columns that the sources of this library make."""

_MOST_TOLD = 20
"""Columns that are told one by one."""

_MANY = 200
"""Columns of which more are cast together, those that are cast alike."""

_NOT_OF_VALUES = {"nullable", "unit", "classification", "aliases", "about"}
"""What a contract says of a column that does not matter to how a value is cast."""


def with_types(rows: DataFrame, contract: Contract, missing: str) -> tuple[DataFrame, list[Column]]:
    """The rows with the contract's columns in their types, and what is wrong with them, as columns of the result.

    Args:
        rows: what came, with ``AS_RECEIVED``.
        contract: what is declared.
        missing: ``error`` where the source has one schema for good, as a table does: a column that it lacks, or whose
            type no value can leave, is a fault of the contract. ``null`` where it is a matter of each batch or file.

    Raises:
        ColumnMissingError: the source lacks a column, and must not.
        ConfigError: no value of what is there can become what is declared.
    """
    if not contract.columns and contract.unknown == "keep":
        known = {*_BESIDE, TOLD, RECEIVED, AS_RECEIVED}
        return rows.drop(*[name for name in rows.columns if name.startswith("__") and name not in known]), []
    kinds: dict[str, DataType] = {field.name: field.dataType for field in rows.schema.fields}
    came = _columns_of(rows, contract)
    if missing == "error":
        _refuse(rows, contract, came, kinds)
    with_casts, cast = _casts(rows, contract, came)
    has = frozenset(rows.columns)
    typed = [
        _column(has, contract, index, name, [(one, kinds[one], cast[one]) for one in came[name]])
        for index, name in enumerate(contract.columns)
    ]
    misfits = dict(chain.from_iterable(one.misfits.items() for one in typed))
    unknown = _unknown(rows, contract, kinds, misfits)
    beside = [name for name in (*_BESIDE, TOLD, RECEIVED) if name in has]
    values = [one.value.alias(name) for name, one in zip(contract.columns, typed, strict=True)]
    flags = [flag for one in typed for flag in one.flags]
    # the values first, as columns of their own: rules speak of the typed ones
    result = with_casts.select(*values, *unknown.kept, SOURCE, *beside, AS_RECEIVED, *flags, *unknown.flags)
    nothing = _of_nothing(rows, contract, came) if missing == "null" else []
    faults = [*nothing, *(fault for one in typed for fault in one.faults), *unknown.faults]
    is_readable = F.col(CODE).isNull()
    return result, [F.when(is_readable, fault) for fault in faults]


def _columns_of(rows: DataFrame, contract: Contract) -> dict[str, list[str]]:
    """The columns that came for each that is declared: by its own name, and by its aliases."""
    names = contract.names
    came: dict[str, list[str]] = {name: [] for name in contract.columns}
    for received in rows.columns:
        if received != SOURCE and not received.startswith("__") and received.lower() in names:
            came[names[received.lower()]].append(received)
    return came


def _refuse(
    rows: DataFrame, contract: Contract, came: Mapping[str, Sequence[str]], kinds: Mapping[str, DataType]
) -> None:
    """Refuse a contract that its source, which has one schema for good, cannot keep.

    Raises:
        ColumnMissingError: the source lacks a column.
        ConfigError: no value of a column can have its type.
    """
    if lacking := [name for name, found in came.items() if not found]:
        has = ", ".join(name for name in rows.columns if name != SOURCE and not name.startswith("__"))
        message = f"the contract declares {', '.join(lacking)}, which the source does not have (it has {has})"
        raise ColumnMissingError(message, hint="correct the name, or take it out of the contract")
    for name, found in came.items():
        for one in found:
            if not can_become(kinds[one], contract.columns[name]):
                raise _impossible(name, contract.columns[name].type, kinds[one])


def _casts(
    rows: DataFrame, contract: Contract, came: Mapping[str, Sequence[str]]
) -> tuple[DataFrame, dict[str, tuple[Column, Column]]]:
    """The columns that are there in their types, and whether each value was kept; by the names that they came with.

    And the rows that they are columns of.

    Raises:
        ConfigError: no value of what is there can become what is declared.
    """
    kinds = {field.name: field.dataType for field in rows.schema.fields}
    declared = {one: name for name, found in came.items() for one in found}
    arrays, cast = _cast_together(kinds, contract, declared)
    for one, name in declared.items():
        if f"{TYPED}{one}" in kinds:
            cast[one] = _cast_by_type(rows, f"{TYPED}{one}", contract.columns[name], name)
        elif one not in cast:
            cast[one] = exact(col(one), kinds[one], contract.columns[name], name)
    try:
        whole = rows.select("*", *arrays) if arrays else rows
        # Spark Connect looks at a plan when it is asked for its schema
        _ = whole.select(SOURCE, *chain.from_iterable(cast.values())).schema
    except AnalysisException:
        for one, name in declared.items():
            column = contract.columns[name]
            pair = exact(col(one), kinds[one], column, name) if f"{TYPED}{one}" not in kinds else cast[one]
            _judged_alone(rows, pair, _impossible(name, column.type, kinds[one]))
        raise
    return whole, cast


def _cast_together(
    kinds: Mapping[str, DataType], contract: Contract, declared: Mapping[str, str]
) -> tuple[list[Column], dict[str, tuple[Column, Column]]]:
    """Of very many columns those that are cast alike, as the items of one array: its cast is one expression.

    Spark takes minutes to plan thousands of casts, each of some fifty expressions. Of fewer columns nothing: compiled
    code for each is faster.
    """
    if len(declared) <= _MANY:
        return [], {}
    alike: dict[tuple[DataType, str], list[str]] = {}
    for one, name in declared.items():
        if f"{TYPED}{one}" not in kinds:
            written = contract.columns[name].model_dump_json(exclude=_NOT_OF_VALUES)
            alike.setdefault((kinds[one], written), []).append(one)
    arrays, cast = [], {}
    for index, ((kind, _), names) in enumerate(alike.items()):
        column, item = contract.columns[declared[names[0]]], f"__cast_{index}"
        array = F.transform(array_of(names), _cast_item(kind, column))
        arrays.append(array.alias(item))
        for number, one in enumerate(names):
            both = F.col(item)[number]
            cast[one] = both["value"].alias(declared[one]), both["kept"]
    return arrays, cast


def _cast_item(kind: DataType, declared: Declared) -> Callable[[Column], Column]:
    def cast(item: Column) -> Column:
        value, kept = exact(item, kind, declared, "value")
        return F.struct(value, kept.alias("kept"))

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


@dataclass(frozen=True)
class _Typed:
    """A declared column: its value, flags that stand beside the row, what is wrong with it, what is rescued of it."""

    value: Column
    flags: Sequence[Column]
    faults: Sequence[Column]
    misfits: Mapping[str, Column]


def _column(
    has: Collection[str],
    contract: Contract,
    index: int,
    name: str,
    came: Sequence[tuple[str, DataType, tuple[Column, Column]]],
) -> _Typed:
    """One declared column, of the columns that came for it: one, none, or several of which a row may have one."""
    column = contract.columns[name]
    values = [one for _, _, (one, _) in came]
    value = F.coalesce(*values) if values[1:] else values[0] if values else F.lit(None).cast(column.type)
    flags, faults, misfits = [], [], {}
    is_kept = F.lit(True)
    if len(came) > 1:
        times = reduce(Column.__add__, [F.col(AS_RECEIVED)[one].isNotNull().cast("int") for one, _, _ in came])
        faults.append(F.when(times > 1, F.lit(f"COLUMN_TWICE:{name}")))
    if any(f"{TYPED}{one}" in has or may_reject(kind, column) for one, kind, _ in came):
        kept = reduce(Column.__and__, [kept for _, _, (_, kept) in came])
        flags.append(kept.alias(f"__kept_{index}"))
        is_kept = F.col(f"__kept_{index}")
        if contract.unknown == "rescue" and column.nullable and len(came) == 1:
            misfits[came[0][0]] = ~kept
        else:
            is_lost = F.when(~is_kept, F.lit(f"CAST:{name}"))
            faults.append(is_lost if TOLD not in has else F.when(_asked_of(name, column), is_lost))
    if not column.nullable:
        told = F.coalesce(_tells(name, column), F.lit(True)) if TOLD in has else F.lit(True)
        faults.append(F.when(is_kept & told & col(name).isNull(), F.lit(f"NULL_VALUE:{name}")))
    return _Typed(value, flags, faults, misfits)


def _of_nothing(rows: DataFrame, contract: Contract, came: Mapping[str, Sequence[str]]) -> list[Column]:
    """What is wrong with a record of which no field is declared: it would be a row of NULLs.

    Asked of formats whose records name their fields; files with a header are held against it as a whole.
    """
    if TEXT not in rows.columns or contract.missing == "allow" or not contract.columns:
        return []
    received = [F.col(AS_RECEIVED)[one] for found in came.values() for one in found]
    names = F.transform(F.json_object_keys(TEXT), F.lower)
    is_any = F.arrays_overlap(names, F.array(*map(F.lit, contract.names)))
    # the text is looked at only where there is no value
    is_nothing = reduce(Column.__and__, [one.isNull() for one in received], F.lit(True))
    return [F.when(is_nothing & F.coalesce(~is_any, F.lit(False)), F.lit(f"{NOTHING}:record"))]


def _judged_alone(rows: DataFrame, pair: tuple[Column, Column], error: ConfigError) -> None:
    try:
        _ = rows.select(*pair).schema
    except AnalysisException:
        raise error from None


def _impossible(name: str, declared: str, have: DataType) -> ConfigError:
    message = f"the contract declares {name} as {declared}, and no {have.simpleString()} can become one"
    return ConfigError(message, hint="declare the type that the source has, and cast in transform()")


def _asked_of(name: str, column: Declared) -> Column:
    """Whether a value of the column is asked for: not of a row that the write takes for its key, and that has others.

    Of a deletion that came as its key nothing is told, and the columns of that key are among them.
    """
    return F.coalesce(_tells(name, column) | (F.size(TOLD) == 0), F.lit(True))


def _tells(name: str, column: Declared) -> Column:
    """Whether a row that tells some columns tells this one."""
    return reduce(Column.__or__, [F.array_contains(TOLD, one) for one in (name, *column.aliases)])


@dataclass(frozen=True)
class _Unknown:
    """Of columns that the contract does not name: what is kept of them, where they are told, and what is wrong."""

    kept: Sequence[Column]
    flags: Sequence[Column] = ()
    faults: Sequence[Column] = ()


def _unknown(
    rows: DataFrame, contract: Contract, kinds: Mapping[str, DataType], misfits: Mapping[str, Column]
) -> _Unknown:
    declared = contract.names
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
        F.when(is_rescued, F.struct(F.lit(name), as_text(col(name), kinds[name])))
        for name, is_rescued in whether.items()
    ]
    # one entry at least, so that an array of none has a type
    nothing = F.lit(None).cast("struct<col1:string,col2:string>")
    rescued = F.map_from_entries(F.array_compact(F.array(*entries, nothing)))
    if OTHERS in rows.columns:
        rescued = F.map_concat(rescued, F.coalesce(F.col(OTHERS), F.create_map().cast("map<string,string>")))
    return _Unknown([F.when(F.size(rescued) > 0, F.to_json(rescued)).alias(RESCUED), *made], flags)


def told_unknown(columns: Sequence[str]) -> dict[str, str]:
    """What is counted of columns that the contract does not name, as SQL: rows that have a value in each of the first.

    Args:
        columns: those of the rows, once ``with_types`` has made them.
    """
    flags = [name for name in columns if name.startswith(f"__{UNKNOWN}")]
    return {name.removeprefix("__"): f"count_if({quoted(name)})" for name in flags}
