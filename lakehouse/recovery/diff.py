"""``lakehouse diff``: what differs between two tables, or two versions of one.

Both are laid on each other and grouped by the key, so each is shuffled once, NULL is a key like any other, and a key
that is there a thousand times on both sides stays two thousand rows. Values are equal as Spark's ``<=>`` says: NULL is
NULL, NaN is NaN, -0.0 is 0.0; so are they within structs, arrays and maps, and a map has no order.
"""

from __future__ import annotations

import csv
import re
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DoubleType,
    FloatType,
    MapType,
    StringType,
    StructField,
    StructType,
    VariantType,
)

from lakehouse.errors import ConfigError, ImbalanceError, RecoveryError, SourceNotFoundError, innermost
from lakehouse.lake.frame import as_json, counted, path, row_hash
from lakehouse.lake.statements import expression
from lakehouse.lake.table import Table, head, read_table
from lakehouse.lake.types import alike, brought, grows, parts, resolved, widens
from lakehouse.spec.base import TableName
from lakehouse.spec.document import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.lake.place import Lake

_A, _KEY, _VALUES, _LOW, _HIGH = "__a", "__key", "__values", "__low", "__high"


@dataclass(frozen=True)
class Side:
    """One of the two: how it was named, and which version of it was read."""

    name: str
    version: int
    rows: int


@dataclass(frozen=True)
class Example:
    """A row that differs, as text: of one that is there on both sides the values of a column."""

    key: Mapping[str, str | None]
    a: str | None = None
    b: str | None = None


@dataclass(frozen=True)
class ColumnDiff:
    """A column, and in how many of the rows of both it differs."""

    name: str
    rows: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Retyped:
    """A column that has another type in B. ``is_compared``: one type holds the values of both, and so they were."""

    name: str
    a: str
    b: str
    is_compared: bool


@dataclass(frozen=True)
class Duplicates:
    """Keys that are there more than once: which row of A would be which of B nobody can tell.

    They are counted apart. ``different`` of them have not the same rows on both sides, in whatever order.
    """

    keys: int = 0
    rows_a: int = 0
    rows_b: int = 0
    different: int = 0
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Diff:
    """What differs. Each row of A is equal, different, only in A, or of a duplicated key; and so is each of B."""

    a: Side
    b: Side
    keys: tuple[str, ...]
    equal: int
    different: int
    only_a: int
    only_b: int
    duplicates: Duplicates
    columns: tuple[ColumnDiff, ...]
    columns_only_a: tuple[str, ...]
    columns_only_b: tuple[str, ...]
    types: tuple[Retyped, ...]
    examples_only_a: tuple[Example, ...] = ()
    examples_only_b: tuple[Example, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether the rows are the same; a type that another holds is no difference, a column too many is one."""
        rows = self.different + self.only_a + self.only_b + self.duplicates.different
        columns = (*self.columns_only_a, *self.columns_only_b, *(one for one in self.types if not one.is_compared))
        return not rows and not columns

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse diff --json`` prints."""
        return {"status": "equal" if self.is_equal else "different", **asdict(self)}


@dataclass(frozen=True)
class _Shared:
    """A column that is compared: its name on each side, and the type that holds the values of both."""

    a: str
    b: str
    kind: DataType


def names(texts: Sequence[str]) -> tuple[str, ...]:
    """The columns that ``--keys a,b`` names; one with a comma in its name stands in double quotes."""
    return tuple(name for row in csv.reader(texts, skipinitialspace=True) for name in row if name)


def diff(
    spark: SparkSession,
    lake: Lake,
    a: str,
    b: str,
    *,
    keys: Sequence[str] = (),
    columns: Sequence[str] = (),
    without: Sequence[str] = (),
    examples: int = 5,
) -> Diff:
    """Compare two tables, row by row by their keys, or where none are given as bags of rows.

    Args:
        spark: the session.
        lake: where ``schema.table`` is looked for.
        a: ``schema.table``, ``schema.table@VERSION``, or a path with or without ``@VERSION``.
        b: the other.
        keys: the columns that tell a row.
        columns: compare these only.
        without: leave these out.
        examples: how many rows to show of each kind; values are shown as they are, so 0 where they are personal.

    Raises:
        RecoveryError: there is no such version, its files are gone, or the keys cannot be compared.
        SourceError: there is no such table.
        ConfigError: neither has a column that is named.
    """
    (left, side_a), (right, side_b) = (_read(spark, lake, text) for text in (a, b))
    _known([*keys, *columns, *without], left, right)
    shared, retyped, only = _matched(left, right, keys=keys, columns=columns, without=without)
    compare = _by_key if keys else _as_bags
    try:
        found = compare(left, right, keys, shared, examples)
        rows = left.count(), right.count()
    except PySparkException as error:
        if not re.search("FILE_NOT_EXIST|FAILED_READ_FILE|FileNotFound", str(error)):
            raise
        message = f"files of {a} or {b} are gone: {innermost(str(error))}"
        raise RecoveryError(message, hint="vacuum took them: only newer versions can be compared") from None
    sides = Side(a, side_a, rows[0]), Side(b, side_b, rows[1])
    return _balanced(
        Diff(*sides, tuple(keys), 0, types=retyped, columns_only_a=only[0], columns_only_b=only[1], **found)
    )


def _balanced(found: Diff) -> Diff:
    """The result with the rows that are equal, once both sides say the same of them."""
    equal_a = found.a.rows - found.only_a - found.different - found.duplicates.rows_a
    equal_b = found.b.rows - found.only_b - found.different - found.duplicates.rows_b
    if equal_a != equal_b or equal_a < 0:
        message = f"{found.a.name} would have {equal_a:,} rows that are equal, and {found.b.name} {equal_b:,}"
        raise ImbalanceError(message, hint="a fault of this library; the versions that were read are fixed")
    return Diff(**{**vars(found), "equal": equal_a})


def _read(spark: SparkSession, lake: Lake, text: str) -> tuple[DataFrame, int]:
    """The table that a text names, at a version that stays the same while it is compared."""
    found = re.fullmatch(r"(.+)@(\d+)", text)
    is_folder = "/" in text and Path(text).is_dir()
    name, wanted = (found[1], int(found[2])) if found and not is_folder else (text, None)
    table = _table(lake, name)
    newest = head(spark, table)
    if newest is None:
        read_table(spark, table)
        message = f"{name} has no commit"
        raise SourceNotFoundError(message)
    if wanted is not None and wanted > newest.version:
        message = f"{name} has no version {wanted} yet: its newest is {newest.version}"
        raise RecoveryError(message)
    version = newest.version if wanted is None else wanted
    try:
        return read_table(spark, table, version), version
    except PySparkException as error:
        message = f"{name} cannot be read as of version {version} any more: {innermost(str(error))}"
        raise RecoveryError(message, hint="its log was cleaned: only newer versions can be compared") from None


def _table(lake: Lake, name: str) -> Table:
    if "/" in name:
        return Table(name, name if "://" in name else str(Path(name).resolve()))
    try:
        return lake.table(TypeAdapter(TableName).validate_python(name))
    except ValidationError:
        message = f"{name}: expected schema.table, schema.table@VERSION, or a path (with a / in it)"
        raise ConfigError(message) from None


def _known(wanted: Sequence[str], left: DataFrame, right: DataFrame) -> None:
    """Hold names of the command line against the columns.

    Raises:
        ConfigError: neither table has it.
    """
    for name in wanted:
        if not any(resolved(frame.schema, name) for frame in (left, right)):
            message = f"neither table has a column {name}{nearest(name, [*left.columns, *right.columns])}"
            raise ConfigError(message)


def _matched(
    left: DataFrame, right: DataFrame, *, keys: Sequence[str], columns: Sequence[str], without: Sequence[str]
) -> tuple[list[_Shared], tuple[Retyped, ...], tuple[tuple[str, ...], tuple[str, ...]]]:
    """The columns that can be compared, those of other types, and those that one side lacks."""
    out = {name.lower() for name in (*keys, *without)}
    wanted = {name.lower() for name in columns}

    def chosen(frame: DataFrame) -> dict[str, StructField]:
        fields = {field.name.lower(): field for field in frame.schema.fields}
        return {name: field for name, field in fields.items() if name not in out and (not wanted or name in wanted)}

    mine, others = chosen(left), chosen(right)
    shared, retyped = [], []
    for name, one in mine.items():
        if other := others.get(name):
            kind = _holds_both(one.dataType, other.dataType)
            if kind:
                shared.append(_Shared(one.name, other.name, kind))
            if not alike(one.dataType, other.dataType):
                types = one.dataType.simpleString(), other.dataType.simpleString()
                retyped.append(Retyped(one.name, *types, is_compared=kind is not None))
    only = (
        tuple(field.name for name, field in mine.items() if name not in others),
        tuple(field.name for name, field in others.items() if name not in mine),
    )
    return shared, tuple(retyped), only


def _holds_both(one: DataType, other: DataType) -> DataType | None:
    """A type in which values of both are what they were; text holds numbers only in one of their spellings."""
    if alike(one, other):
        return one
    if isinstance(one, StructType) and isinstance(other, StructType):
        theirs = {field.name.lower(): field.dataType for field in other.fields}
        if theirs.keys() != {field.name.lower() for field in one.fields}:
            return None
        kinds = {field.name: _holds_both(field.dataType, theirs[field.name.lower()]) for field in one.fields}
        fields = [StructField(name, kind) for name, kind in kinds.items() if kind]
        return StructType(fields) if len(fields) == len(kinds) else None
    if isinstance(one, ArrayType) and isinstance(other, ArrayType):
        element = _holds_both(one.elementType, other.elementType)
        return ArrayType(element) if element else None
    if isinstance(one, MapType) and isinstance(other, MapType):
        key, value = _holds_both(one.keyType, other.keyType), _holds_both(one.valueType, other.valueType)
        return MapType(key, value) if key and value else None
    if isinstance(one, StringType) or isinstance(other, StringType):
        return None
    return other if widens(one, other) else one if widens(other, one) else grows(one, other)


def _comparable(value: Column, kind: DataType) -> Column:
    """A value that can be grouped by, and that is equal where the other is: no map in it, and no -0.0."""
    special = FloatType | DoubleType | MapType | VariantType
    if not any(isinstance(one, special) for _, one in parts(kind, "it")):
        return value
    if isinstance(kind, FloatType | DoubleType):
        return value + F.lit(0.0).cast(kind)
    if isinstance(kind, ArrayType):
        return F.transform(value, lambda element: _comparable(element, kind.elementType))
    if isinstance(kind, StructType):
        fields = [_comparable(value.getField(one.name), one.dataType).alias(one.name) for one in kind.fields]
        return F.when(value.isNotNull(), F.struct(*fields))
    if isinstance(kind, MapType):
        return F.array_sort(F.transform(F.map_entries(value), lambda entry: _entry(entry, kind)))
    return F.to_json(value)


def _entry(entry: Column, kind: MapType) -> Column:
    key, value = _comparable(entry["key"], kind.keyType), _comparable(entry["value"], kind.valueType)
    return F.struct(key.alias("key"), value.alias("value"))


def _values(frame: DataFrame, names: Sequence[str], kinds: Sequence[DataType]) -> Column:
    """Columns as one struct, of fields that are called by their number: a column may be called anything."""
    found = [resolved(frame.schema, name) for name in names]
    values = [
        _comparable(brought(path(frame, name), one[1], kind), kind).alias(f"c{index}")
        for index, (name, one, kind) in enumerate(zip(names, found, kinds, strict=True))
        if one
    ]
    return F.struct(*values) if values else F.struct(F.lit(0).alias("c"))


def _keyed(left: DataFrame, right: DataFrame, keys: Sequence[str]) -> list[_Shared]:
    """The keys on both sides.

    Raises:
        RecoveryError: one side lacks a key, or has it in a type that cannot be compared with the other's.
    """
    shared = []
    for name in keys:
        one, other = resolved(left.schema, name), resolved(right.schema, name)
        kind = _holds_both(one[1], other[1]) if one and other else None
        if kind is None:
            types = [found[1].simpleString() if found else "not there" for found in (one, other)]
            message = f"the key {name} is {types[0]} in A and {types[1]} in B"
            raise RecoveryError(
                message, hint="rows are told by keys that both tables have, in types that can be compared"
            )
        shared.append(_Shared(name, name, kind))
    return shared


def _laid(left: DataFrame, right: DataFrame, keys: Sequence[_Shared], columns: Sequence[_Shared]) -> DataFrame:
    """The rows of both, one below the other: which side, the key, and the values that are compared."""
    sides = []
    for frame, is_a in ((left, True), (right, False)):
        key = _values(frame, [one.a if is_a else one.b for one in keys], [one.kind for one in keys])
        values = _values(frame, [one.a if is_a else one.b for one in columns], [one.kind for one in columns])
        sides.append(frame.select(F.lit(is_a).alias(_A), key.alias(_KEY), values.alias(_VALUES)))
    return sides[0].unionAll(sides[1])


def _grouped(left: DataFrame, right: DataFrame, keys: Sequence[_Shared], columns: Sequence[_Shared]) -> DataFrame:
    """Each key: how often it is there, one row of each side, and whether all rows are the same, whatever their order.

    That tell the sums of both halves of their hashes: what is there on both sides adds up to nothing.
    """
    laid = _laid(left, right, keys, columns)
    inside = laid.select("*", f"{_VALUES}.*")
    hashed = row_hash(inside, [name for name in inside.columns if name not in laid.columns])
    laid = inside.select(*laid.columns, hashed.alias(_LOW))
    sign = F.when(F.col(_A), 1).otherwise(-1)
    return laid.groupBy(_KEY).agg(
        F.count_if(_A).alias("in_a"),
        F.count_if(~F.col(_A)).alias("in_b"),
        F.first(F.when(F.col(_A), F.col(_VALUES)), ignorenulls=True).alias("a"),
        F.first(F.when(~F.col(_A), F.col(_VALUES)), ignorenulls=True).alias("b"),
        F.sum(sign * F.col(_LOW).bitwiseAND(0xFFFFFFFF)).alias(_LOW),
        F.sum(sign * F.shiftright(_LOW, 32)).alias(_HIGH),
    )


def _by_key(
    left: DataFrame, right: DataFrame, keys: Sequence[str], columns: Sequence[_Shared], examples: int
) -> dict[str, Any]:
    """Rows that have the same key against each other, all counts in one pass."""
    grouped = _grouped(left, right, _keyed(left, right, keys), columns)
    many = (F.col("in_a") > 1) | (F.col("in_b") > 1)
    unlike = (F.col("in_a") != F.col("in_b")) | (F.col(_LOW) != 0) | (F.col(_HIGH) != 0)
    both = ~many & (F.col("in_a") == F.col("in_b"))
    differs = [both & ~F.col(f"a.c{index}").eqNullSafe(F.col(f"b.c{index}")) for index in range(len(columns))]
    any_differs = reduce(lambda one, other: one | other, differs, F.lit(False))
    kinds = {
        "only_a": ~many & (F.col("in_b") == 0),
        "only_b": ~many & (F.col("in_a") == 0),
        "duplicates": many,
        **{f"d{index}": one for index, one in enumerate(differs)},
    }
    kept, counts = _counted(
        grouped.where(many | ~both | any_differs),
        examples,
        *[F.count_if(which).alias(kind) for kind, which in kinds.items()],
        F.count_if(any_differs).alias("different"),
        F.count_if(many & unlike).alias("unlike"),
        *[F.coalesce(F.sum(F.when(many, F.col(name))), F.lit(0)).alias(f"dup_{name}") for name in ("in_a", "in_b")],
    )
    there = {kind: which for kind, which in kinds.items() if counts[kind]}
    shown = _examples(kept, keys, there, examples) if examples and there else {}
    return {
        **{name: counts[name] for name in ("different", "only_a", "only_b")},
        "columns": tuple(
            ColumnDiff(one.a, counts[f"d{index}"], shown.get(f"d{index}", ()))
            for index, one in enumerate(columns)
            if counts[f"d{index}"]
        ),
        "duplicates": Duplicates(
            counts["duplicates"], counts["dup_in_a"], counts["dup_in_b"], counts["unlike"], shown.get("duplicates", ())
        ),
        **{f"examples_{name}": shown.get(name, ()) for name in ("only_a", "only_b")},
    }


def _as_bags(
    left: DataFrame, right: DataFrame, keys: Sequence[str], columns: Sequence[_Shared], examples: int
) -> dict[str, Any]:
    """Whole rows, each as often as it is there."""
    del keys
    grouped = _laid(left, right, columns, []).groupBy(_KEY)
    more = grouped.agg(F.sum(F.when(F.col(_A), 1).otherwise(-1)).alias("more")).where(expression("more <> 0"))
    sides = {"only_a": F.col("more") > 0, "only_b": F.col("more") < 0}
    sums = [F.coalesce(F.sum(F.when(which, F.abs("more"))), F.lit(0)).alias(name) for name, which in sides.items()]
    kept, counts = _counted(more, examples, *sums)
    there = {name: which for name, which in sides.items() if counts[name]}
    shown = _examples(kept, [one.a for one in columns], there, examples) if examples and there else {}
    return {
        **counts,
        "different": 0,
        "columns": (),
        "duplicates": Duplicates(),
        **{f"examples_{name}": shown.get(name, ()) for name in sides},
    }


def _counted(frame: DataFrame, examples: int, *counts: Column) -> tuple[DataFrame, dict[str, Any]]:
    """What differs, counted; it is kept where examples of it are wanted."""
    return counted(frame, *counts) if examples else (frame, frame.agg(*counts).collect()[0].asDict())


def _examples(
    kept: DataFrame, keys: Sequence[str], kinds: Mapping[str, Column], most: int
) -> dict[str, tuple[Example, ...]]:
    """The first rows of each kind in the order of their keys, as text."""
    found: dict[str, list[Example]] = {}
    nothing = F.lit(None).cast("string")
    schema = kept.schema
    key = F.array(*[_text(schema, _KEY, index) for index in range(len(keys))]).alias("key")
    parts_of = []
    for kind, which in kinds.items():
        index = int(kind[1:]) if re.fullmatch(r"d\d+", kind) else None
        a, b = (nothing if index is None else _text(schema, side, index) for side in ("a", "b"))
        chosen = kept.where(which).orderBy(_KEY).limit(most)
        parts_of.append(
            chosen.select(F.lit(kind).alias("kind"), F.col(_KEY).alias("at"), key, a.alias("a"), b.alias("b"))
        )
    union = reduce(lambda one, other: one.unionAll(other), parts_of)
    for row in union.orderBy("kind", "at").select("kind", "key", "a", "b").collect():
        found.setdefault(row.kind, []).append(Example(dict(zip(keys, row.key, strict=True)), row.a, row.b))
    return {kind: tuple(rows) for kind, rows in found.items()}


def _text(schema: StructType, struct: str, index: int) -> Column:
    """A value as people read it."""
    fields = schema[struct].dataType
    value = F.col(f"{struct}.c{index}")
    kind = fields[f"c{index}"].dataType if isinstance(fields, StructType) else StringType()
    if isinstance(kind, BinaryType):
        return F.concat(F.lit("0x"), F.lower(F.hex(value)))
    return as_json(value) if isinstance(kind, StructType | ArrayType) else value.cast("string")


def told(found: Diff) -> Iterator[str]:
    """A diff in words, a line at a time."""
    for letter, side in (("A", found.a), ("B", found.b)):
        yield f"{letter} {side.name}: version {side.version}, {side.rows:,} rows"
    by = f"by {', '.join(found.keys)}" if found.keys else "as bags of whole rows"
    yield f"{'equal' if found.is_equal else 'different'}, {by}"
    sides = f"{found.only_a:,} only in A, {found.only_b:,} only in B"
    yield f"  rows: {found.equal:,} equal, {found.different:,} different, {sides}"
    yield from _rows_told(found)
    yield from _columns_told(found)


def _rows_told(found: Diff) -> Iterator[str]:
    many = found.duplicates
    if many.keys:
        yield f"  keys there more than once: {many.keys:,}, {many.rows_a:,} rows of A and {many.rows_b:,} of B"
        yield f"  of these with other rows on both sides: {many.different:,}"
        yield from _listed(many.examples)
    for letter, rows in (("A", found.examples_only_a), ("B", found.examples_only_b)):
        if rows:
            yield f"  only in {letter}:"
            yield from _listed(rows)


def _columns_told(found: Diff) -> Iterator[str]:
    for column in found.columns:
        yield f"  {column.name}: differs in {column.rows:,} rows"
        for one in column.examples:
            yield f"    {_key(one)}: {_shown(one.a)} | {_shown(one.b)}"
    for letter, lacking in (("A", found.columns_only_a), ("B", found.columns_only_b)):
        if lacking:
            yield f"  columns only in {letter}: {', '.join(lacking)}"
    for kind in found.types:
        yield f"  {kind.name}: {kind.a} in A, {kind.b} in B{'' if kind.is_compared else ', not compared'}"


def _listed(examples: Sequence[Example]) -> Iterator[str]:
    for one in examples:
        yield f"    {_key(one)}"


def _key(example: Example) -> str:
    return ", ".join(f"{name} = {_shown(value)}" for name, value in example.key.items())


def _shown(value: str | None) -> str:
    return "NULL" if value is None else value
