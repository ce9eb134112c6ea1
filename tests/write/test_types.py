"""Every type in every mode, many columns at once: the table converges, or the error is typed and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql.types import ArrayType, IntegerType, LongType, MapType, StructField, StructType, VariantType

from lakehouse.errors import TypeChangeError, WriteError
from lakehouse.lake.batch import Identity
from lakehouse.lake.place import Lake
from lakehouse.runtime.session import settled
from lakehouse.spec.write import AppendWrite, OverwriteWrite, Scd1Write, Scd2Write, SnapshotWrite, Write
from lakehouse.write import write
from lakehouse.write.holds import check_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType

    from lakehouse.testing import LocalLake
    from lakehouse.write.commit import WriteResult

ORDERED = {
    "boolean": ("true", "false"),
    "tinyint": ("1Y", "-128Y"),
    "smallint": ("1S", "32767S"),
    "int": ("1", "2147483647"),
    "bigint": ("1L", "9223372036854775807L"),
    "float": ("float('NaN')", "float('-0.0')"),
    "double": ("double('NaN')", "double('-Infinity')"),
    "decimal": ("99999999999999999999999999999999999999BD", "CAST(0 AS decimal(38,0))"),
    "fraction": ("CAST(0.000000000000000001 AS decimal(38,18))", "CAST(1 AS decimal(38,18))"),
    "string": ("'é'", "'\U0001f600'"),
    "char": ("CAST('a' AS char(3))", "CAST('b' AS char(3))"),
    "varchar": ("CAST('a' AS varchar(3))", "CAST('b' AS varchar(3))"),
    "date": ("date'0001-01-01'", "date'9999-12-31'"),
    "timestamp": ("timestamp'0001-01-01'", "timestamp'9999-12-31 23:59:59.999999'"),
    "ntz": ("timestamp_ntz'0001-01-01'", "timestamp_ntz'9999-12-31 23:59:59.999999'"),
}
"""A value of each type, and another."""
NESTED = {
    "binary": ("X'FF00'", "X''"),
    "list": ("array(1, NULL)", "array()"),
    "struct": ("named_struct('a', 1, 'b', NULL)", "named_struct('a', 2, 'b', 'x')"),
}
AB, BA, A = "map('a', 1, 'b', 2)", "map('b', 2, 'a', 1)", "map('a', 1)"
WITHOUT_ORDER = {
    "variant": ('parse_json(\'{"b": 1, "a": [1, {"c": null}]}\')', "parse_json('1')"),
    "map": (AB, A, BA),
    "struct_map": (f"named_struct('m', {AB})", f"named_struct('m', {A})", f"named_struct('m', {BA})"),
    "array_map": (f"array({AB})", f"array({A})", f"array({BA})"),
    "map_map": (f"map('x', {AB}, 'y', NULL)", f"map('x', {A}, 'y', NULL)", f"map('y', NULL, 'x', {BA})"),
    "struct_key": (
        "map(struct(1), 1, struct(2), 2)",
        "map(struct(1), 1)",
        "map(struct(2), 2, struct(1), 1)",
    ),
    "struct_variant": (
        "named_struct('v', parse_json('{\"b\": 1, \"a\": 2}'))",
        "named_struct('v', parse_json('[]'))",
        "named_struct('v', parse_json('{\"a\": 2, \"b\": 1}'))",
    ),
    "map_variant": (
        "map('a', parse_json('1'), 'b', parse_json('2'))",
        "map('a', parse_json('[]'))",
        "map('b', parse_json('2'), 'a', parse_json('1'))",
    ),
    "array_variant": ("array(parse_json('1'))", "array(parse_json('[]'))"),
    "void": ("NULL", "NULL"),
    "struct_void": ("named_struct('a', 1, 'n', NULL)", "named_struct('a', 2, 'n', NULL)"),
}
"""The third is the first written in another order: no other value."""
ALL = {**ORDERED, **NESTED, **WITHOUT_ORDER}
FIRST, OTHER, TURNED = 0, 1, 2

SHARED: dict[str, Any] = {"table": "silver.t", "keys": ("k",)}
CHANGES: dict[str, Any] = {**SHARED, "sequence_by": ("at",)}
SNAPSHOTS: dict[str, Any] = {**SHARED, "mode": "snapshot", "snapshot_by": "at", "max_delete_fraction": 1}
MODES: dict[str, Write] = {
    "append": AppendWrite(table="silver.t", mode="append", identity=("k", "at")),
    "overwrite": OverwriteWrite(table="silver.t", mode="overwrite"),
    "scd1": Scd1Write(mode="scd1", **CHANGES),
    "scd1 in parts": Scd1Write(mode="scd1", ignore_null_updates=True, **CHANGES),
    "scd2": Scd2Write(mode="scd2", **CHANGES),
    "scd2 in place": Scd2Write(mode="scd2", track_history=("k",), **CHANGES),
    "snapshot as scd1": SnapshotWrite(snapshot_as="scd1", **SNAPSHOTS),
    "snapshot as scd2": SnapshotWrite(snapshot_as="scd2", **SNAPSHOTS),
}


def rows_of(
    spark: SparkSession, *events: tuple[int, int, int | None], types: Mapping[str, Sequence[str]] = ALL
) -> DataFrame:
    """Rows of a key, a time, and which of its values each column has; None: NULL."""

    def value(values: Sequence[str], which: int | None) -> str:
        if which is None:
            return f"IF(false, {values[0]}, NULL)"
        return values[which] if which < len(values) else values[FIRST]

    def row(key: int, at: int, which: int | None) -> str:
        columns = ", ".join(f"{value(values, which)} AS `{name}`" for name, values in types.items())
        return f"SELECT {key} AS k, {at} AS at, {columns}"

    return spark.sql(" UNION ALL ".join(row(*event) for event in events))


def put(lake: LocalLake, spec: Write, rows: DataFrame, number: int, stream: str = "s") -> WriteResult:
    identity = Identity("job", "run", stream, number, rows={"read": 1})
    return write(rows, spec, target=Lake(str(lake.folder)).table("silver.t"), identity=identity)


def counts(made: WriteResult) -> tuple[int, int, int]:
    return made.inserted, made.updated, made.unchanged


@pytest.mark.parametrize("mode", MODES)
def test_a_value_of_any_type_converges_in_every_mode(lake: LocalLake, mode: str) -> None:
    # the others compare values of the simple types in no other way than their own tests do
    spec, types = MODES[mode], ALL if mode == "scd2" else WITHOUT_ORDER
    with settled(lake.spark, {}):
        put(lake, spec, rows_of(lake.spark, (1, 1, FIRST), types=types), 0)
        # what is only written in another order is no change
        made = put(lake, spec, rows_of(lake.spark, (1, 1, TURNED), types=types), 0, "again")
        assert made.is_empty, made
        later = rows_of(lake.spark, (1, 2, TURNED), (1, 3, OTHER), (1, 4, None), types=types)
        made = put(lake, spec, later, 1)
    assert made.rows == 3
    found = {
        "append": (3, 0, 0),
        "overwrite": (3, 0, 0),
        "scd1": (0, 1, 0),
        "scd1 in parts": (0, 2, 0),
        "scd2": (0, 2, 1),
        "scd2 in place": (0, 1, 2),
        "snapshot as scd1": (0, 1, 0),
        "snapshot as scd2": (0, 2, 1),
    }
    assert counts(made) == found[mode]


MAP, VARIANT = MapType(IntegerType(), IntegerType()), VariantType()
INCOMPARABLE = [MAP, VARIANT, ArrayType(MAP), StructType([StructField("a", ArrayType(VARIANT))])]


@pytest.mark.parametrize("kind", INCOMPARABLE, ids=str)
def test_what_cannot_be_compared_is_refused_before_the_write(kind: DataType) -> None:
    schema = StructType([StructField("k", IntegerType()), StructField("m", kind), StructField("_source", LongType())])
    named = {
        "append": {"identity": ("k", "m")},
        "scd1": {"keys": ("k", "m"), "sequence_by": ("k",)},
        "scd2": {"keys": ("k",), "sequence_by": ("M",)},
        "snapshot": {"keys": ("k",), "snapshot_as": "scd2", "snapshot_by": "m"},
    }
    for mode, fields in named.items():
        spec = type(next(one for one in MODES.values() if one.mode == mode))(table="silver.t", mode=mode, **fields)
        with pytest.raises(WriteError, match="names [mM], a .*, which cannot be compared"):
            check_order(schema, spec)
    check_order(schema, AppendWrite(table="silver.t", mode="append", identity="source"))


LIKE_OTHERS = ("smallint", "int", "fraction", "char", "varchar")
COMPARED = {name: values for name, values in {**ORDERED, **NESTED}.items() if name not in LIKE_OTHERS}
GREATER = ("boolean", "tinyint", "float", "double", "decimal", "binary", "list")
"""Types of which the first value comes after the other one; of the others the other one does."""
UNPARTITIONED = ("float", "double", "binary", "list", "struct")


@pytest.mark.parametrize("mode", ["scd1", "scd2"])
def test_a_value_of_any_type_is_a_key_and_a_partition_and_comes_in_its_order(lake: LocalLake, mode: str) -> None:
    names = list(COMPARED)

    def rows(which: int) -> DataFrame:
        # row n differs from the others in the column n of the key alone, its events from each other in that of the sequence
        def row(number: int) -> str:
            fields = [f"'n', {number}, 'v', {which}"]
            for index, (name, values) in enumerate(COMPARED.items()):
                mine, at = values[index == number], values[which if index == number else FIRST]
                fields.append(f"'k_{name}', {mine}, 's_{name}', {at}")
            return f"named_struct({', '.join(fields)})"

        return lake.spark.sql(f"SELECT inline(array({', '.join(map(row, range(len(names))))}))")

    spec = MODES[mode].model_copy(
        update={
            "keys": tuple(f"k_{name}" for name in names),
            "sequence_by": tuple(f"s_{name}" for name in names),
            "partition_by": tuple(f"k_{name}" for name in names if mode == "scd1" and name not in UNPARTITIONED),
        }
    )
    assert put(lake, spec, rows(OTHER), 0).inserted == len(names)
    put(lake, spec, rows(FIRST), 1)
    found = lake.frame("silver.t")
    last = (found if mode == "scd1" else found.where("is_current")).select("n", "v").collect()
    assert len(last) == len(names)
    assert {names[row.n] for row in last if row.v == FIRST} == set(GREATER)
    # as they are read back they are the values that came
    came = rows(OTHER).unionAll(rows(FIRST))
    assert found.select(came.columns).exceptAll(came).count() == 0


def test_what_delta_does_not_hold_is_refused_before_the_write(lake: LocalLake) -> None:
    collated = "'a' COLLATE UTF8_LCASE"
    for kind in ("interval '1' year", "interval '1' day", "make_interval(1)", "time'12:00:00'", collated):
        for value in (kind, f"array({kind})", f"named_struct('a', {kind})"):
            with pytest.raises(WriteError, match="Delta holds no"):
                put(lake, MODES["scd1"], rows_of(lake.spark, (1, 1, FIRST), types={"v": (value,)}), 0)
    assert lake.version("silver.t") is None


SMALL, LARGE = "named_struct('a', 1)", "named_struct('a', 1, 'b', {})"
GROWN = {
    "flat": (SMALL, LARGE.format("NULL"), LARGE.format(2)),
    "inner": (f"named_struct('s', {SMALL})", *[f"named_struct('s', {LARGE.format(one)})" for one in ("NULL", 2)]),
    "list": (f"array({SMALL})", *[f"array({LARGE.format(one)})" for one in ("NULL", 2)]),
    "map": (f"map('k', {SMALL})", *[f"map('k', {LARGE.format(one)})" for one in ("NULL", 2)]),
}
"""A value before the struct in it grew, the same value after it, and another one."""
GROWING: dict[str, Any] = {**CHANGES, "evolve": "add_columns", "except_columns": ("gone",)}
GROW: dict[str, Write] = {
    "scd2": Scd2Write(mode="scd2", apply_as_deletes="gone", **GROWING),
    "scd2, some tracked": Scd2Write(mode="scd2", track_history=("flat", "list"), apply_as_deletes="gone", **GROWING),
    "snapshot as scd2": SnapshotWrite(snapshot_as="scd2", evolve="add_columns", **SNAPSHOTS),
}


@pytest.mark.parametrize("mode", GROW)
def test_a_struct_that_grows_makes_no_version_by_itself_and_one_with_its_new_value(lake: LocalLake, mode: str) -> None:
    def rows(*events: tuple[int, int, int | None]) -> DataFrame:
        found = rows_of(lake.spark, *events, types=GROWN)
        return found if mode.startswith("snapshot") else found.selectExpr("*", "false AS gone")

    spec = GROW[mode]
    put(lake, spec, rows((1, 10, 0), (1, 20, 0)), 0)
    assert counts(put(lake, spec, rows((1, 30, 1)), 1)) == (0, 0, 1)
    # an event of before comes late, and knows nothing of the field
    late = () if mode.startswith("snapshot") else ((1, 15, 0),)
    made = (
        put(lake, spec, rows_of(lake.spark, *late, types=GROWN).selectExpr("*", "false AS gone"), 2) if late else None
    )
    assert made is None or counts(made) == (0, 0, 1)
    assert counts(put(lake, spec, rows((1, 40, 2)), 3)) == (0, 1, 0)
    assert [row[:2] for row in lake.rows("silver.t", "valid_from", "valid_to")] == [(10, 40), (40, None)]


def test_a_struct_by_which_rows_are_told_apart_does_not_grow(lake: LocalLake) -> None:
    spec = Scd2Write(mode="scd2", **{**GROWING, "keys": ("flat",), "except_columns": ()})
    put(lake, spec, rows_of(lake.spark, (1, 1, 0), types=GROWN), 0)
    with pytest.raises(TypeChangeError, match="flat.b is new, in a column by which rows are told apart"):
        put(lake, spec, rows_of(lake.spark, (1, 2, 2), types=GROWN), 1)
