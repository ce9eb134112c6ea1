"""A table grows with its rows where the job lets it, and what cannot be is told before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import Row
from pyspark.sql import functions as F

from lakehouse.errors import (
    ConstraintError,
    KeyMissingError,
    LayoutChangeError,
    SchemaDriftError,
    TypeChangeError,
    WriteError,
)
from lakehouse.lake.batch import Identity
from lakehouse.lake.look import _asked, look
from lakehouse.lake.place import Lake
from lakehouse.lake.table import Table, commits, head
from lakehouse.spec.write import AppendWrite, OverwriteWrite, Scd1Write
from lakehouse.write.evolve import fits, fitted, grown, renamed
from lakehouse.write.refusal import refused

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.spec.write import Write
    from lakehouse.testing import LocalLake

Batch = Callable[..., Identity]
Ways = dict[str, Callable[["DataFrame", Table, dict[str, str]], None]]
ODD = "unit price;{}()=,"
KEYED: dict[str, Any] = {"mode": "scd1", "keys": ("k",), "sequence_by": ("k",)}


def append_rows(rows: DataFrame, target: Table, options: dict[str, str]) -> None:
    rows.write.format("delta").mode("append").options(**options).save(target.path)


def replace_rows(rows: DataFrame, target: Table, options: dict[str, str]) -> None:
    writer = rows.alias("__s").write.format("delta").mode("overwrite").options(**options)
    writer.option("replaceOn", "__t.k <=> __s.k").option("targetAlias", "__t").save(target.path)


def replace_where(rows: DataFrame, target: Table, options: dict[str, str]) -> None:
    writer = rows.write.format("delta").mode("overwrite").options(**options)
    writer.option("replaceWhere", "true").save(target.path)


def merge_rows(rows: DataFrame, target: Table, options: dict[str, str]) -> None:
    rows.createOrReplaceTempView("grown_rows")
    grows = "WITH SCHEMA EVOLUTION " if options else ""
    rows.sparkSession.sql(
        f"MERGE {grows}INTO {target.sql} AS t USING grown_rows AS s ON t.k <=> s.k "
        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )


WAYS: Ways = {"append": append_rows, "replaceOn": replace_rows, "replaceWhere": replace_where, "merge": merge_rows}


def table(lake: LocalLake) -> Table:
    return Lake(str(lake.folder)).table("silver.t")


def job(**spec: Any) -> Write:
    kinds = {"append": AppendWrite, "overwrite": OverwriteWrite, "scd1": Scd1Write}
    spec = {"mode": "append", "table": "silver.t", **spec}
    return kinds[spec["mode"]](**spec)


def sql(lake: LocalLake, text: str) -> DataFrame:
    return lake.spark.sql(text.replace("THE_TABLE", table(lake).sql))


def bring(
    lake: LocalLake, rows: str | DataFrame, way: Callable[..., None] = append_rows, **spec: Any
) -> tuple[DataFrame, dict[str, str]]:
    frame = lake.spark.sql(f"SELECT {rows}") if isinstance(rows, str) else rows
    written, _, options = fitted(frame, job(**spec), table(lake), "")
    with refused(table(lake)):
        way(written, table(lake), options)
    return written, options


def made(lake: LocalLake, columns: str, values: str = "", more: str = "") -> None:
    shutil.rmtree(table(lake).path, ignore_errors=True)
    sql(lake, f"CREATE TABLE THE_TABLE ({columns}) USING DELTA {more}")
    if values:
        sql(lake, f"INSERT INTO THE_TABLE VALUES {values}")


def kinds(lake: LocalLake) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in lake.frame("silver.t").schema.fields}


def version(lake: LocalLake) -> int:
    newest = head(lake.spark, table(lake))
    return newest.version if newest else -1


# --- types ---


@pytest.mark.parametrize("way", WAYS)
def test_types_of_columns_fields_elements_and_values_grow_with_the_commit_that_needs_it(
    lake: LocalLake, read: Any, way: str
) -> None:
    made(
        lake,
        "k int, b tinyint, f float, d decimal(5,2), day date, "
        "s struct<n: int, in: struct<x: smallint>>, xs array<int>, ss array<struct<x: int>>, m map<string, float>",
        "(1, 1, 0.5, 1.25, date'2024-02-29', named_struct('n', 1, 'in', named_struct('x', 2)), array(3), "
        "array(named_struct('x', 4)), map('a', 0.25)), (2, null, null, null, null, null, null, null, null)",
    )
    big = 3_000_000_000
    rows = (
        f"3L AS k, {big}L AS b, 0.1D AS f, 12345.678 AS d, timestamp_ntz'2024-03-01 10:00:00' AS day, "
        f"named_struct('n', {big}L, 'in', named_struct('x', {big}L)) AS s, array({big}L) AS xs, "
        f"array(named_struct('x', {big}L)) AS ss, map('b', 0.1D) AS m"
    )
    before = version(lake)
    with pytest.raises(
        TypeChangeError, match="k is int in the table and bigint in the rows; b is .* xs.element is int"
    ):
        bring(lake, rows, evolve="add_columns")
    assert version(lake) == before
    bring(lake, rows, WAYS[way], evolve="widen")
    assert kinds(lake) == {
        "k": "bigint",
        "b": "bigint",
        "f": "double",
        "d": "decimal(8,3)",
        "day": "timestamp_ntz",
        "s": "struct<n:bigint,in:struct<x:bigint>>",
        "xs": "array<bigint>",
        "ss": "array<struct<x:bigint>>",
        "m": "map<string,double>",
    }
    new = (3, big, 0.1, Decimal("12345.678"), datetime(2024, 3, 1, 10), {"n": big, "in": {"x": big}}, [big], [{"x": big}], {"b": 0.1})  # fmt: skip
    old = (1, 1, 0.5, Decimal("1.250"), datetime(2024, 2, 29), {"n": 1, "in": {"x": 2}}, [3], [{"x": 4}], {"a": 0.25})
    empty = (2, *[None] * 8)
    assert read(table(lake).path) == ([new] if way == "replaceWhere" else [old, empty, new])
    # the properties, then the one commit that writes
    assert [commit.changes_rows for commit in commits(lake.spark, table(lake), 2)] == [True, False]
    assert version(lake) == before + 2
    # rows of the old types still come in, and nothing is altered for them
    written, options = bring(lake, "4 AS k, 1Y AS b, date'2024-01-01' AS day, array(1) AS xs", evolve="strict")
    assert (options, version(lake)) == ({}, before + 3)
    assert written.schema["xs"].dataType.simpleString() == "array<bigint>"


GROWTH = [
    ("int", "double", "double"),
    ("smallint", "float", "double"),
    ("float", "int", "double"),
    ("int", "decimal(4,2)", "decimal(12,2)"),
    ("tinyint", "decimal(5,4)", "decimal(14,4)"),
    ("bigint", "decimal(3,1)", "decimal(21,1)"),
    ("decimal(5,2)", "bigint", "decimal(21,2)"),
    ("decimal(5,2)", "decimal(5,4)", "decimal(7,4)"),
]
NO_GROWTH = [
    ("bigint", "double"),
    ("double", "bigint"),
    ("int", "string"),
    ("decimal(38,0)", "decimal(38,1)"),
    ("date", "timestamp"),
    ("struct<a: int>", "int"),
    ("array<date>", "array<int>"),
]


def test_a_type_grows_to_the_least_that_holds_the_values_of_both(lake: LocalLake, read: Any) -> None:
    columns = ", ".join(f"v{index} {table_has}" for index, (table_has, _, _) in enumerate(GROWTH))
    made(lake, f"k int, {columns}", f"(1, {', '.join(['7'] * len(GROWTH))})")
    values = ", ".join(f"CAST(1.5 AS {rows_have}) AS v{index}" for index, (_, rows_have, _) in enumerate(GROWTH))
    bring(lake, f"2 AS k, {values}", replace_rows, evolve="widen", **KEYED)
    assert list(kinds(lake).values())[1:] == [becomes for _, _, becomes in GROWTH]
    old, new = read(table(lake).path)
    assert [float(value) for value in old[1:]] == [7.0] * len(GROWTH)
    assert [float(value) for value in new[1:]] == [1.0 if "int" in rows_have else 1.5 for _, rows_have, _ in GROWTH]


def test_a_type_that_cannot_grow_so_is_told_and_nothing_is_written(lake: LocalLake) -> None:
    made(lake, ", ".join(f"v{index} {table_has}" for index, (table_has, _) in enumerate(NO_GROWTH)))
    for index, (_, rows_have) in enumerate(NO_GROWTH):
        with pytest.raises(
            TypeChangeError, match=rf"v{index}(.element)? is .* in the table and .* in the rows"
        ) as told:
            bring(lake, f"CAST(null AS {rows_have}) AS v{index}", evolve="widen")
        assert told.value.hint == "cast in transform(), or rebuild the table with --full-refresh"
    assert version(lake) == 0


def test_the_hint_names_widen_where_that_would_do(lake: LocalLake) -> None:
    made(lake, "k int, v date")
    with pytest.raises(TypeChangeError, match="hint: say evolve: widen to let the type grow"):
        bring(lake, "1L AS k")
    with pytest.raises(TypeChangeError, match="hint: cast in transform"):
        bring(lake, "1L AS k, 5 AS v", evolve="add_columns")


def test_keys_partitions_and_clusters_grow_too(lake: LocalLake, read: Any) -> None:
    for more, spec in (("PARTITIONED BY (p)", {"partition_by": "p"}), ("CLUSTER BY (p)", {"cluster_by": "p"})):
        made(lake, "k int, p int", "(1, 1), (2, 2)", more)
        bring(lake, "2L AS k, 3000000000L AS p", replace_rows, evolve="widen", **KEYED, **spec)
        assert read(table(lake).path) == [(1, 1), (2, 3_000_000_000)]


def test_a_kill_between_the_alter_and_the_write_leaves_nothing_to_mend(lake: LocalLake, read: Any) -> None:
    made(lake, "k int, v int", "(1, 1)")
    spec = job(evolve="widen", column_mapping="name", cluster_by="v", **KEYED)
    rows = lake.spark.sql("SELECT 1 AS k, 5000000000L AS v, 1 AS `n n`")
    fitted(rows, spec, table(lake), "")
    assert kinds(lake) == {"k": "int", "v": "int"}
    altered = version(lake)
    written, before, options = fitted(rows, spec, table(lake), "")
    assert before.version == version(lake) == altered
    replace_rows(written, table(lake), options)
    assert read(table(lake).path) == [(1, 5_000_000_000, 1)]


def test_the_table_is_compared_as_it_will_be(lake: LocalLake) -> None:
    made(lake, "k int, v int, s struct<a: int>", "(1, 2, named_struct('a', 3))")
    rows = lake.spark.sql("SELECT 1 AS k, 2L AS v, named_struct('a', 3L, 'b', null) AS s, null AS n, true AS __own")
    written, _, _ = fitted(rows, job(evolve="widen"), table(lake), "")
    after = grown(lake.frame("silver.t"), written)
    assert after.schema.simpleString() == written.drop("__own").schema.simpleString()
    assert after.collect() == written.drop("__own").collect() == [Row(k=1, v=2, s=Row(a=3, b=None), n=None)]
    assert written.collect()[0]["__own"] is True


# --- nested fields ---


@pytest.mark.parametrize("way", ["replaceOn", "merge"])
def test_new_fields_come_at_the_end_of_their_struct_and_missing_ones_are_null(
    lake: LocalLake, read: Any, way: str
) -> None:
    made(
        lake,
        "k int, a struct<b: struct<c: int, d: int>>, xs array<struct<x: int, y: int>>, m map<string, struct<p: int, q: int>>",
        "(1, named_struct('b', named_struct('c', 1, 'd', 2)), array(named_struct('x', 1, 'y', 2)), "
        "map('m', named_struct('p', 1, 'q', 2))), (2, null, null, null)",
    )
    rows = (
        "array(named_struct('new', 'n', 'Y', 5), null) AS XS, map('m', named_struct('q', 6, 'new', 7), 'null', null) AS m, "
        "named_struct('B', named_struct('new', named_struct('deep', 1), 'D', 4)) AS A, 3 AS k, 'z' AS top"
    )
    with pytest.raises(SchemaDriftError, match=r"has no column a\.b\.new, xs\.element\.new, m\.value\.new, top"):
        bring(lake, rows, evolve="strict")
    bring(lake, rows, WAYS[way], evolve="add_columns")
    old = (
        1,
        {"b": {"c": 1, "d": 2, "new": None}},
        [{"x": 1, "y": 2, "new": None}],
        {"m": {"p": 1, "q": 2, "new": None}},
        None,
    )
    new = (
        3,
        {"b": {"c": None, "d": 4, "new": {"deep": 1}}},
        [{"x": None, "y": 5, "new": "n"}, None],
        {"m": {"p": None, "q": 6, "new": 7}, "null": None},
        "z",
    )
    assert read(table(lake).path) == [old, (2, None, None, None, None), new]
    # fewer fields in another order are no drift
    bring(lake, "struct(struct(9 AS d) AS b) AS a, 4 AS k, null AS m", evolve="strict")
    wanted = (4, {"b": {"c": None, "d": 9, "new": None}}, None, None, None)
    assert [row for row in read(table(lake).path) if row[0] == 4] == [wanted]


def test_what_has_no_type_is_text_at_every_depth(lake: LocalLake, read: Any) -> None:
    bring(lake, "1 AS k, struct(null AS a, array(null) AS b) AS s, array() AS xs", evolve="add_columns")
    assert kinds(lake) == {"k": "int", "s": "struct<a:string,b:array<string>>", "xs": "array<string>"}
    bring(lake, "2 AS k, struct(null AS a, 'x' AS c, null AS d) AS s", evolve="add_columns")
    assert read(table(lake).path, "k, s.c, s.d") == [(1, None, None), (2, "x", None)]


# --- names ---


def test_rename_comes_before_all_else(lake: LocalLake) -> None:
    rows = lake.spark.sql("SELECT 1 AS `Unit Price`, 2 AS a, 3 AS b, 4 AS `x.y`")
    spec = job(rename={"unit price": "unit_price", "a": "b", "B": "a", "x.y": "`"})
    assert renamed(rows, spec).collect() == [Row(**{"unit_price": 1, "b": 2, "a": 3, "`": 4})]
    with pytest.raises(KeyMissingError, match="rename names c, which the rows do not have .they have Unit Price, a"):
        renamed(rows, job(rename={"c": "d"}))
    with pytest.raises(WriteError, match="after rename the rows would have two columns a"):
        renamed(rows, job(rename={"b": "A"}))


@pytest.mark.parametrize("existing", [False, True])
def test_column_mapping_takes_any_name_in_every_way_of_writing(lake: LocalLake, read: Any, existing: bool) -> None:
    spec: dict[str, Any] = {"column_mapping": "name", "evolve": "add_columns", **KEYED}
    if existing:
        bring(lake, "1 AS k, 0 AS plain", **{**spec, "column_mapping": "none"})
    first = f"1 AS k, 1.5D AS `{ODD}`, struct(1 AS `a b`) AS `s\n`"
    with pytest.raises(WriteError, match="hint: give it another name by rename, or say column_mapping: name"):
        bring(lake, first, **{**spec, "column_mapping": "none"})
    for number, way in enumerate((append_rows, replace_rows, merge_rows)):
        bring(lake, f"{number} AS k, {number}.5D AS `{ODD}`, struct({number} AS `a b`) AS `s\n`", way, **spec)
    columns = f'k, "{ODD}", "s\n"'
    found = [row for row in read(table(lake).path, columns) if row[1] is not None]
    assert found == [(number, number + 0.5, {"a b": number}) for number in range(3)]
    changes = lake.spark.read.format("delta").option("readChangeFeed", "true")
    changes = changes.option("startingVersion", version(lake)).load(table(lake).path)
    assert [row[f"{ODD}"] for row in changes.collect()] == [2.5]
    lake.spark.sql(f"DELETE FROM {table(lake).sql} WHERE `{ODD}` = 2.5")  # by a deletion vector
    assert len(read(table(lake).path)) == 2
    # the table takes such names now, whatever the job says
    bring(lake, "9 AS k, 1 AS `new one`", **{**spec, "column_mapping": "none"})
    assert "new one" in kinds(lake)


@pytest.mark.parametrize("name", ["Straße", "имяİ", "a.b", "c`d'e\\f#g%h$1\""])
def test_any_name_that_delta_takes_can_be_key_partition_and_cluster(lake: LocalLake, read: Any, name: str) -> None:
    quoted = "`" + name.replace("`", "``") + "`"
    for layout in ("partition_by", "cluster_by"):
        shutil.rmtree(table(lake).path, ignore_errors=True)
        spec: dict[str, Any] = {"mode": "scd1", "keys": (name,), "sequence_by": (name.swapcase(),), layout: (name,)}
        if name.swapcase().lower() != name.lower():
            spec["sequence_by"] = (name,)  # of "ß" there is no upper case that comes back
        for number in range(2):
            bring(lake, f"{number} AS {quoted}, {number} AS v", **spec)
        assert read(table(lake).path) == [(0, 0), (1, 1)]
        assert version(lake) == 2


def test_names_meet_whatever_their_case_and_the_tables_spelling_stays(lake: LocalLake, read: Any) -> None:
    made(lake, "OrderID int, `Größe` struct<Wert: int>", "(1, named_struct('Wert', 1))")
    spec = {"mode": "scd1", "keys": ("orderid",), "sequence_by": ("GRÖSSE.wert",), "evolve": "add_columns"}
    with pytest.raises(KeyMissingError, match="sequence_by names GRÖSSE.wert"):
        bring(lake, "2 AS ORDERID, struct(2 AS WERT) AS `GRÖßE`", **spec)
    spec["sequence_by"] = ("grÖße.wert",)
    bring(lake, "2 AS ORDERID, struct(2 AS WERT) AS `GRÖßE`", **spec)
    assert kinds(lake) == {"OrderID": "int", "Größe": "struct<Wert:int>"}
    assert read(table(lake).path) == [(1, {"Wert": 1}), (2, {"Wert": 2})]


def test_a_nested_column_can_be_key_sequence_and_cluster_but_no_partition(lake: LocalLake) -> None:
    rows = "struct(1 AS ID, struct(2 AS at) AS when) AS customer, 3 AS `customer.id`, struct(4 AS id) AS `dotted.name`"
    spec: dict[str, Any] = {
        "mode": "scd1",
        "keys": ("Customer.Id", "dotted.NAME.id"),
        "sequence_by": "customer.WHEN.at",
    }
    bring(lake, rows, cluster_by=("customer.when.at", "dotted.name.id"), **spec)
    described = sql(lake, "DESCRIBE DETAIL THE_TABLE").collect()[0]
    assert described.clusteringColumns == ["customer.when.at", "`dotted.name`.id"]
    bring(lake, rows, cluster_by=("customer.when.at", "dotted.name.id"), **spec)
    assert version(lake) == 2
    with pytest.raises(WriteError, match="partition_by names customer.when.at: .* not by a field of one"):
        bring(lake, rows, partition_by="customer.when.at", **spec)
    with pytest.raises(KeyMissingError, match="keys names customer.when.no, which the rows do not have"):
        bring(lake, rows, **{**spec, "keys": "customer.when.no"})


@pytest.mark.parametrize(
    ("rows", "spec", "told"),
    [
        ("1 AS k, struct(1 AS a, 2 AS A) AS s", {}, "s have two columns a"),
        ("1 AS k, make_interval(1) AS v", {}, "Delta holds no interval, and v is one"),
        ("1 AS k, array(struct()) AS v", {}, "Delta holds no struct<>, and v.element is one"),
        ("map(1, 2) AS k", {**KEYED}, "keys names k, a map<int,int>, which cannot be compared"),
        ("1 AS k, 2 AS _commit_version", {**KEYED}, "_commit_version is a name that Delta uses itself"),
        ("1 AS k, 2 AS _metadata", {**KEYED}, "_metadata is a name that Delta uses itself"),
        ("1 AS k, array(1) AS p", {"partition_by": "p"}, "not by a array<int>"),
        ("1 AS k", {"partition_by": "k"}, "partition_by names every column"),
        ("1 AS k, true AS c", {"cluster_by": "c"}, "cluster_by names c, and Delta does not cluster by boolean"),
        (
            "1 AS a, 2 AS b, 3 AS c, 4 AS d, 5 AS e",
            {"cluster_by": ("a", "b", "c", "d", "e")},
            "cluster_by names 5 columns, and Delta takes 4",
        ),
    ],
)
def test_what_no_table_can_have_is_told_before_one_is_made(
    lake: LocalLake, rows: str, spec: dict[str, Any], told: str
) -> None:
    with pytest.raises(WriteError, match=told.replace("(", r"\(")):
        bring(lake, rows, **spec)
    assert not (lake.folder / "silver").exists()


# --- layout ---


def test_another_clustering_is_made_by_the_next_run(lake: LocalLake, read: Any) -> None:
    bring(lake, "1 AS k, 'x' AS a, struct(1 AS n) AS s")
    wide = ", ".join(f"{number} AS c{number}" for number in range(40))

    def clustered(by: tuple[str, ...], rows: str = "1 AS k", **spec: Any) -> list[str]:
        bring(lake, rows, cluster_by=by, **spec)
        found = look(lake.spark, table(lake))
        described = sql(lake, "DESCRIBE DETAIL THE_TABLE").collect()[0].clusteringColumns
        assert found
        assert list(found.layout.cluster_by) == described
        return list(described)

    assert clustered(("A", "S.N"), "1 AS k, 'x' AS a, struct(1 AS n) AS s") == ["a", "s.n"]
    before = version(lake)
    assert clustered(("a", "s.n"), "1 AS k, 'x' AS a, struct(1 AS n) AS s") == ["a", "s.n"]
    assert version(lake) == before + 1
    assert clustered((), "1 AS k") == []
    # by a column that is new, and by one of which Delta keeps no statistics by itself
    assert clustered(("c39", "s.new"), f"2 AS k, struct(5 AS new) AS s, {wide}", evolve="add_columns") == [
        "c39",
        "s.new",
    ]
    assert clustered(("s.new",), "2 AS k, struct(5 AS new) AS s") == ["s.new"]
    assert len(read(table(lake).path)) == 6
    with pytest.raises(LayoutChangeError, match="is clustered by s.new, the job says partitioned by k"):
        bring(lake, "1 AS k, 2 AS a", partition_by="k")


def test_keys_and_clusters_of_a_wide_table_have_statistics(lake: LocalLake) -> None:
    wide = ", ".join(f"{number} AS c{number}" for number in range(40))
    bring(lake, f"{wide}, 1 AS k, 'p' AS p", cluster_by="c38", **KEYED)
    text = lake.spark.sql(f"SHOW TBLPROPERTIES {table(lake).sql} ('delta.dataSkippingStatsColumns')").collect()[0].value
    assert text.split(", ")[:3] == ["`c38`", "`k`", "`c0`"]
    assert len(text.split(", ")) == 32


# --- tables that somebody else made ---


def test_a_column_that_may_not_be_null_must_come(lake: LocalLake, read: Any) -> None:
    made(lake, "k int NOT NULL, s struct<a: int NOT NULL, b: int>, v int")
    with pytest.raises(SchemaDriftError, match="k may not be NULL, and the rows do not have it"):
        bring(lake, "1 AS v")
    with pytest.raises(SchemaDriftError, match=r"s\.a may not be NULL"):
        bring(lake, "1 AS k, struct(1 AS b) AS s")
    for way in (append_rows, replace_rows, merge_rows):
        # MERGE does not even take rows that might break it
        wanted = (TypeChangeError, "a: INT NOT NULL") if way is merge_rows else (ConstraintError, "column: s.a")
        with pytest.raises(wanted[0], match=wanted[1]):
            bring(lake, "1 AS k, struct(cast(null AS int) AS a, 1 AS b) AS s", way)
    # the table has taken over the definition of the job, and no row
    assert version(lake) == 1
    bring(lake, "1 AS k, struct(1 AS a) AS s")
    assert read(table(lake).path) == [(1, {"a": 1, "b": None}, None)]


def test_a_rule_of_the_table_is_told_by_its_name_and_nothing_is_written(lake: LocalLake, read: Any) -> None:
    made(lake, "k int, v int, t varchar(3), c char(2)")
    sql(lake, "ALTER TABLE THE_TABLE ADD CONSTRAINT positive CHECK (v > 0)")
    before = version(lake)
    for way in (append_rows, replace_rows, merge_rows):
        with pytest.raises(ConstraintError, match="CHECK constraint positive .v > 0. violated"):
            bring(lake, "1 AS k, -1 AS v, 'abc' AS t", way, **KEYED)
        with pytest.raises(ConstraintError, match="exceeds char/varchar type length limitation"):
            bring(lake, "1 AS k, 1 AS v, 'abcd' AS t", way, **KEYED)
    # the table has taken over the definition of the job, and no row
    assert version(lake) == before + 1
    bring(lake, "1 AS k, 1 AS v, 'abc' AS t, 'x' AS c, 1 AS new", replace_rows, evolve="widen", **KEYED)
    assert read(table(lake).path, "k, v, t, new") == [(1, 1, "abc", 1)]
    with pytest.raises(ConstraintError, match="exceeds char/varchar"):  # the length stays a rule
        bring(lake, "1 AS k, 1 AS v, 'abcd' AS t", evolve="widen", **KEYED)
    with pytest.raises(TypeChangeError, match="referenced by the following check constraint"):
        bring(lake, "1 AS k, 1L AS v", evolve="widen", **KEYED)


def test_columns_that_a_table_fills_itself_may_be_missing(lake: LocalLake, read: Any) -> None:
    made(
        lake,
        "k int, at timestamp, day date GENERATED ALWAYS AS (CAST(at AS DATE)), v int DEFAULT 5",
        more="PARTITIONED BY (day) TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')",
    )
    spec: dict[str, Any] = {"partition_by": "day", "evolve": "add_columns"}
    for number, way in enumerate((append_rows, replace_rows, merge_rows)):
        bring(lake, f"{number} AS k, timestamp'2024-01-0{number + 1} 10:00:00' AS at, {number} AS new", way, **spec)
    assert read(table(lake).path, "k, day, v, new") == [
        (number, date(2024, 1, number + 1), 5, number) for number in range(3)
    ]
    with pytest.raises(ConstraintError, match="Generated Column"):
        bring(lake, "5 AS k, timestamp'2024-01-01 10:00:00' AS at, date'2020-01-01' AS day", **spec)


def test_a_column_that_counts_up_is_left_to_the_table_where_rows_only_come(lake: LocalLake, read: Any) -> None:
    made(lake, "n bigint GENERATED ALWAYS AS IDENTITY, k int")
    bring(lake, "7 AS k")
    assert read(table(lake).path, "k") == [(7,)]
    with pytest.raises(WriteError, match="counts n up by itself and takes no value for it"):
        bring(lake, "1L AS n, 7 AS k")
    made(lake, "n bigint GENERATED ALWAYS AS IDENTITY, k int")
    with pytest.raises(WriteError, match="a row would have a new number with each change"):
        bring(lake, "7 AS k", replace_rows, **KEYED)
    assert read(table(lake).path, "k") == []


def test_an_old_table_without_vectors_or_features_is_written_as_it_is(lake: LocalLake, read: Any) -> None:
    older = "'delta.minReaderVersion' = '1', 'delta.minWriterVersion' = '2', 'delta.enableDeletionVectors' = 'false'"
    made(lake, "k int, v smallint", "(1, 1), (2, 2)", f"TBLPROPERTIES ({older})")
    bring(lake, "2 AS k, 3 AS v, timestamp_ntz'2024-01-01 00:00:00' AS at", replace_rows, evolve="widen", **KEYED)
    bring(lake, "3 AS k, 1 AS `a b`", merge_rows, evolve="widen", column_mapping="name", **KEYED)
    assert read(table(lake).path) == [(1, 1, None, None), (2, 3, datetime(2024, 1, 1), None), (3, None, None, 1)]


def test_a_table_that_takes_no_changes_says_so(lake: LocalLake) -> None:
    made(lake, "k int", "(1)", "TBLPROPERTIES ('delta.appendOnly' = 'true')")
    with pytest.raises(WriteError, match="configured to only allow appends"):
        bring(lake, "1 AS k", replace_rows, **KEYED)


# --- the one look ---

SHAPES = [
    ("k int, s struct<a: int NOT NULL>", ""),
    ("k int NOT NULL, p string, `q.r` date", "PARTITIONED BY (p, `q.r`)"),
    ("k int, s struct<a: int, `b.c`: string>, `x.y` int", "CLUSTER BY (s.a, s.`b.c`, `x.y`)"),
    ("`a b` int, s struct<`,`: int>", "CLUSTER BY (s.`,`) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"),
    ("k int, v variant, t timestamp_ntz, d decimal(7,3), m map<string, array<int>>", ""),
    ("k int, v varchar(3) DEFAULT 'x'", "TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')"),
]


@pytest.mark.parametrize(("columns", "more"), SHAPES)
def test_the_log_of_a_folder_tells_what_spark_tells(lake: LocalLake, columns: str, more: str) -> None:
    def same() -> None:
        found = look(lake.spark, table(lake))
        assert found
        asked = _asked(lake.spark, table(lake), found.head)
        assert (found.layout, found.features) == (asked.layout, asked.features)
        assert {k: v for k, v in asked.properties.items() if k in found.properties} == found.properties
        bare = [(one.name, one.dataType.simpleString(), one.nullable) for one in found.schema.fields]
        assert bare == [(one.name, one.dataType.simpleString(), one.nullable) for one in asked.schema.fields]

    made(lake, columns, more=more)
    same()
    log = lake.folder / "silver/t/_delta_log"
    for statement in () if not more or "PARTITIONED" in more or "DEFAULT" in columns else (
        "ALTER TABLE THE_TABLE SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true', 'a' = 'b')",
        "ALTER TABLE THE_TABLE ADD COLUMNS (late int COMMENT 'new')",
        "ALTER TABLE THE_TABLE CLUSTER BY (late)",
        "ALTER TABLE THE_TABLE CLUSTER BY NONE",
        "ALTER TABLE THE_TABLE UNSET TBLPROPERTIES ('a')",
    ):  # fmt: skip
        sql(lake, statement)
        same()
    for file in log.glob("0*.crc"):
        file.unlink()
    same()  # from the commits alone


def test_no_statement_is_run_to_look_at_a_table_of_this_machine(
    lake: LocalLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(lake, "1 AS k")
    fit = fits(lake.spark.sql("SELECT 1 AS k, 2 AS new"), job(evolve="add_columns"), table(lake))
    assert [(one.path, one.kind) for one in fit.differences] == [("new", "new")]
    rows = lake.spark.sql("SELECT 1 AS k, 2 AS new").select("*", F.lit(1).alias("__own"))
    monkeypatch.setattr(type(lake.spark), "sql", lambda *_: pytest.fail("a statement was run"))
    written, before, options = fitted(rows, job(evolve="add_columns"), table(lake), "", fit)
    assert (written.columns, before.version, options) == (["k", "new", "__own"], 1, {"mergeSchema": "true"})
