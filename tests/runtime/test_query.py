"""A job that is one SELECT: the same as one in Python, its parameters values, and nothing left behind."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakehouse.errors import TransformError, UndefinedReferenceError
from lakehouse.runtime.query import bound
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.functions import OF_QUERIES
from lakehouse.spec.query import read_query

WHOLE = """\
params: {country: DE}
sources:
  orders: {kind: table, table: bronze.orders}
write: {table: silver.orders, mode: overwrite}
"""
STREAM = """\
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
  countries: {kind: table, table: bronze.countries}
write: {table: silver.orders, mode: scd1, keys: [id], sequence_by: n}
"""


def written(workshop, conf, text):
    (workshop.project / "jobs").mkdir(exist_ok=True)
    (workshop.project / "jobs" / "x.sql").write_text(text)
    return workshop.job("x", conf)


def made(tmp_path, text, frames, **values):
    path = tmp_path / "x.sql"
    path.write_text(text)
    return bound(read_query(path, frames, shown_as="jobs/x.sql"), tuple(frames), values)(**frames)


def test_parameters_are_values_whatever_is_in_them_and_no_view_is_left(spark, tmp_path):
    orders = spark.sql("""SELECT * FROM VALUES (1, "DE"), (2, "x' OR '1'='1") AS t(id, country)""")
    other = spark.range(7, 8).toDF("n")
    spark.range(3).createOrReplaceTempView("orders")
    try:
        text = """
            WITH orders AS (SELECT *, '{id} {{}} %s' AS braces FROM orders), o AS (SELECT * FROM orders)
            SELECT id, braces, n, map('a', :args) AS m FROM o CROSS JOIN `other` WHERE country = :args -- the end"""
        frames = {"orders": orders, "other": other}
        for value, found in (("DE", [1]), ("x' OR '1'='1", [2]), ("${env:HOME}", []), (":x {orders} -- ?", [])):
            assert [row.id for row in made(tmp_path, text, frames, args=value).collect()] == found
        [row] = made(tmp_path, text, frames, args="DE").collect()
        assert (row.braces, row.n, row.m) == ("{id} {{}} %s", 7, {"a": "DE"})
        assert [row.viewName for row in spark.sql("SHOW VIEWS").collect()] == ["orders"]
    finally:
        spark.catalog.dropTempView("orders")


def test_threads_of_one_session_do_not_meet(spark, tmp_path):
    def run(number):
        (tmp_path / str(number)).mkdir()
        frame = spark.range(number, number + 1)
        return made(tmp_path / str(number), "SELECT max(id) AS n FROM orders", {"orders": frame}).collect()[0].n

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(12))) == list(range(12))


def test_a_whole_job_runs_again_for_another_text_or_another_value_and_for_nothing_else(workshop):
    workshop.put("bronze.orders", "id int, country string", [(1, "DE"), (2, "FR")])
    written(workshop, WHOLE, "SELECT id FROM orders WHERE country = :country")
    assert workshop.run("x").rows.inserted == 1
    assert workshop.run("x").batches == 0
    assert workshop.run("x", params={"country": "FR"}).batches == 1
    assert workshop.rows("silver.orders") == [(2,)]
    written(workshop, WHOLE, "SELECT id + 1 AS id FROM orders WHERE country = :country;")
    assert workshop.run("x", params={"country": "FR"}).batches == 1
    assert workshop.rows("silver.orders") == [(3,)]


def test_batches_of_a_stream_are_joined_by_sql(workshop):
    workshop.put("bronze.countries", "country string, name string", [("DE", "Germany")])
    workshop.put("bronze.orders", "id int, n int, country string", [(1, 1, "DE"), (2, 1, "FR")])
    written(workshop, STREAM, "SELECT o.id, n, c.name FROM orders o LEFT JOIN countries c USING (country)")
    assert workshop.run("x").rows.inserted == 2
    workshop.put("bronze.orders", "id int, n int, country string", [(2, 2, "DE")])
    workshop.run("x")
    assert workshop.rows("silver.orders", "id", "name") == [(1, "Germany"), (2, "Germany")]
    written(workshop, STREAM, "SELECT o.id,\n  c.nmae\nFROM orders o LEFT JOIN countries c USING (country)")
    workshop.put("bronze.orders", "id int, n int, country string", [(3, 1, "DE")])
    with pytest.raises(TransformError, match=r"^jobs/x.sql:2:5: the query failed: .*`c`.`nmae`") as raised:
        workshop.run("x")
    assert raised.value.code == "TRANSFORM_FAILED"


def test_a_parameter_that_nothing_defines_is_told_with_its_line(workshop):
    written(workshop, WHOLE, "SELECT id FROM orders\nWHERE country = :countri")
    with pytest.raises(UndefinedReferenceError, match=r"jobs/x.sql:2:17: :countri is not defined") as raised:
        prepare("x", root=workshop.project)
    assert "did you mean 'country'" in raised.value.hint
    assert prepare(str(workshop.project / "jobs/x.sql"), params={"countri": "FR"}).transform.values == {"countri": "FR"}


REFUSED = """
aes_encrypt and between current_catalog current_database current_schema current_time current_timezone current_user div
from_protobuf ilike in input_file_block_length input_file_block_start input_file_name java_method like
monotonically_increasing_id or rand randn random randstr reflect regexp rlike schema_of_avro session_user shuffle
spark_partition_id to_protobuf try_reflect uniform user uuid version when
"""
"""Functions of Spark's that a job's SQL may not call; some are operators, too, and no functions before a parenthesis."""


def test_every_function_of_sparks_is_known_here(spark):
    found = spark._jvm.org.apache.spark.sql.catalyst.analysis.FunctionRegistry.builtin().listFunction()
    names = {name for name in re.findall(r"\w+", found.mkString(" ")) if not name.isdigit()}
    assert sorted(names - OF_QUERIES) == REFUSED.split()
