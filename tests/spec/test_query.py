"""The SQL of a job: one SELECT over its sources, told with its line where it is anything else. No Spark."""

from __future__ import annotations

import pytest

from lakehouse.errors import InvalidConfigError, TransformMismatchError
from lakehouse.spec.project import Project, read_any
from lakehouse.spec.query import log_expression, read_query

JOB = """\
job: x
about: a
sources:
  orders: {kind: table, table: bronze.orders}
  customers: {kind: table, table: bronze.customers}
write: {table: silver.orders, mode: overwrite}
"""


def query(folder, text, sources=("orders",)):
    return read_query(folder.write("jobs/x.sql", text), sources, shown_as="jobs/x.sql")


def problems(folder, text, sources=("orders",)):
    with pytest.raises(InvalidConfigError) as caught:
        query(folder, text, sources)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM orders",
        "SELECT * FROM Orders AS o WHERE `o`.id > 1; -- the end",
        "WITH a AS (SELECT * FROM orders) SELECT * FROM a",
        "WITH orders AS (SELECT * FROM orders WHERE id > 1) SELECT * FROM orders",
        "WITH a AS (SELECT * FROM orders), b AS (SELECT * FROM a) SELECT * FROM b UNION ALL (SELECT * FROM A)",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r, orders",
        "SELECT /*+ BROADCAST(o) */ * FROM orders o, LATERAL explode(o.items) AS item",
        "SELECT * FROM orders LATERAL VIEW OUTER posexplode(items) t AS n, item",
        "SELECT * FROM orders JOIN (VALUES (1, 'a')) AS t(id, name) USING (id) JOIN range(10) r ON r.id = n",
        "SELECT transform(items, one -> one + 1), CAST(a AS struct<x:int>), '{x}', ':y' FROM orders -- :z",
        "SELECT * FROM orders WHERE EXISTS (SELECT 1 FROM orders AS other WHERE other.id = orders.id)",
        "SELECT from_avro(a, '\"string\"'), to_avro(a), from_xml(a, 'b string'), to_xml(a) FROM orders",
        "SELECT id FROM orders JOIN orders o USING (id, user)",
        "SELECT * EXCEPT (user) FROM orders",
        "WITH x (user, n) AS (SELECT a, b FROM orders) SELECT x.user, n FROM x",
        "SELECT k.user FROM (SELECT a, b FROM orders) AS k(user, b)",
        "SELECT * FROM orders UNPIVOT (v FOR n IN (user, b))",
        "SELECT cast(a AS struct<user:string,age:int>) FROM orders",
        "SELECT transform(a, user -> user.id), filter(a, user -> user > 1 AND `user` < 3) FROM orders",
        "SELECT window(t, '1 hour') AS w, count(*) AS n FROM orders GROUP BY window(t, '1 hour'), a",
        "SELECT window.start, count(*) AS n FROM orders GROUP BY window(t, '1 hour'), `window`.start",
        "SELECT w.start FROM (SELECT window(t, '1 day') AS w, sum(a) OVER v FROM orders WINDOW v AS (PARTITION BY b)) AS x",
        "SELECT count(DISTINCT a, b), sum(a) FILTER (WHERE b > 1), builtin.upper(a), system.builtin.lower(a) FROM orders",
        "SELECT a, grouping(a) FROM orders GROUP BY GROUPING SETS ((a), ()) UNION (SELECT 1, 2)",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a), cast(a AS decimal(9, 2)) FROM orders GROUP BY ROLLUP (b)",
        "SELECT * FROM orders AS t(a, upperr) PIVOT (sum(a) FOR (b, c) IN ((1, 2))) TABLESAMPLE (10 PERCENT)",
        "WITH upperr (a) AS (SELECT 1) SELECT CASE (a) WHEN (1) THEN (2) ELSE (3) END FROM upperr, orders",
        "SELECT a FROM orders WHERE a IN (1) AND NOT (b LIKE ANY ('x', 'y')) AND b BETWEEN (1) AND (2) LIMIT (3)",
        "SELECT id, row_number() OVER (PARTITION BY a ORDER BY b) AS n FROM orders QUALIFY n = 1 ORDER BY ALL LIMIT 3",
    ],
)
def test_a_select_over_the_sources_passes(folder, text):
    assert query(folder, text).parameters == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT * FROM orders;\nSELECT 1", "2:1: one statement is a job: there is another one"),
        ("SELECT * FROM orders;;", "1:22: one statement is a job: there is another one"),
        ("INSERT INTO x SELECT * FROM orders", "1:1: expected one SELECT over the sources"),
        ("WITH a AS (SELECT 1) INSERT INTO x SELECT * FROM orders", "1:1: expected one SELECT over the sources"),
        ("FROM orders INSERT INTO x SELECT *", "1:1: expected one SELECT over the sources"),
        ("-- nothing", "1:1: expected one SELECT over the sources"),
        ("CREATE VIEW x AS SELECT * FROM orders", "1:1: expected one SELECT over the sources"),
        ("DELETE FROM orders", "1:1: expected one SELECT over the sources"),
        ("EXPLAIN SELECT * FROM orders", "1:1: expected one SELECT over the sources"),
        ("SELECT * INTO x FROM orders", "1:15: a job's SQL reads, and its YAML says what is written"),
        ("SELECT TRANSFORM(a) USING 'cat' FROM orders", "1:18: TRANSFORM runs another program"),
        ("SELECT\n  java_method('a', 'b') FROM orders", "2:3: java_method() runs code of another kind"),
        ("SELECT `reflect`('a', 'b') FROM orders", "1:8: reflect() runs code of another kind"),
        ("SELECT system.builtin.try_reflect('a', 'b') FROM orders", "1:23: try_reflect() runs code of another kind"),
        ("SELECT secret('a', 'b') FROM orders", "1:8: secret() reads what is no source"),
        ("SELECT ai_gen(a) FROM orders", "1:8: ai_gen() reads what is no source"),
        (
            "SELECT from_avro(a, 'x', map('avroSchemaUrl', 'file:///x')) FROM orders",
            "1:8: from_avro() takes no options",
        ),
        (
            "SELECT builtin.from_xml(a, 'b int', map('rowValidationXSDPath', '/x')) FROM orders",
            "1:16: from_xml() takes",
        ),
        ("SELECT `to_xml`(a, map('x', '/x')) FROM orders", "1:8: to_xml() takes no options here"),
        ("SELECT schema_of_xml('<a/>', map('x', '/x')) FROM orders", "1:8: schema_of_xml() takes no options here"),
        ("SELECT schema_of_avro('x') FROM orders", "1:8: schema_of_avro() reads what is no source"),
        ("SELECT from_protobuf(a, 'M', '/etc/passwd') FROM orders", "1:8: from_protobuf() reads what is no source"),
        ("SELECT to_protobuf(a, 'M', '/etc/passwd') FROM orders", "1:8: to_protobuf() reads what is no source"),
        ("SELECT input_file_name() FROM orders", "1:8: input_file_name() gives another value"),
        ("SELECT * FROM orders, collations()", "1:23: collations() reads what is no source"),
        ("SELECT struct(user) FROM orders", "1:15: user is of the session"),
        ("SELECT transform(a, x -> user) FROM orders", "1:26: user is of the session"),
        ("SELECT transform(a, user -> struct(user)) FROM orders", "1:36: user is of the session"),
        ("SELECT * FROM orders WHERE user IN (user, b)", "1:37: user is of the session"),
        ("SELECT * FROM orders JOIN orders o ON user = o.x", "1:39: user is of the session"),
        ("SELECT my_function(a) FROM orders", "1:8: my_function() is none of the functions that a job's SQL may call"),
        (
            "SELECT uper(a) FROM orders",
            "1:8: uper() is none of the functions that a job's SQL may call; did you mean 'upper'",
        ),
        ("SELECT 1,\n  `my_function` (a) FROM orders", "2:3: my_function() is none of the functions"),
        ("SELECT matches(a, '[0-9]') FROM orders", "1:8: matches() is none of the functions"),
        (
            "SELECT ops.upper(a) FROM orders",
            "1:12: ops.upper() is of the catalog: a job's SQL calls built-in functions",
        ),
        ("SELECT spark_catalog.ops.values(a) FROM orders", "1:26: spark_catalog.ops.values() is of the catalog"),
        ("SELECT a FROM orders GROUP BY window(t, '1 hour'), my_function(a)", "1:52: my_function() is none"),
        ("SELECT aes_encrypt(a, 'k') FROM orders", "1:8: aes_encrypt() is none of the functions"),
        ("SELECT current_timezone() FROM orders", "1:8: current_timezone() is none of the functions"),
        ("WITH x AS (SELECT x(1)) SELECT * FROM x, orders", "1:19: x() is none of the functions"),
        ("SELECT rows(a) FROM orders", "1:8: rows() is none of the functions that a job's SQL may call"),
        ("SELECT sets(a) FROM orders", "1:8: sets() is none of the functions that a job's SQL may call"),
        ("SELECT o(1) FROM orders AS o(a)", "1:8: o() is none of the functions"),
        (
            r"SELECT a FROM orders WHERE a RLIKE '\d+'",
            r"1:36: Spark takes the backslashes of '\d+' away: write r'\d+', or each",
        ),
        ("SELECT event_log(a) FROM orders", "1:8: event_log() reads what is no source"),
        ("SELECT uuid() AS id FROM orders", "1:8: uuid() gives another value each time it is run"),
        ("SELECT id FROM orders WHERE rand() < 0.1", "1:29: rand() gives another value each time it is run"),
        ("SELECT current_user AS who FROM orders", "1:8: current_user() is of the session, not of the sources"),
        ("SELECT user FROM orders", "1:8: user is of the session where no column has the name"),
        ("SELECT * FROM orders WHERE `Current_User` = 'x'", "1:28: `Current_User` is of the session"),
        ("SELECT a FROM FROM t, orders", "1:15: no source 'FROM'"),
        ("SELECT * FROM orders, (secret)", "1:24: no source 'secret'"),
        (
            "SELECT x FROM orders /* /*+ */ UNION ALL SELECT value FROM text.`/etc/passwd` -- */",
            "1:25: a comment within",
        ),
        ("SELECT /*+ X(a) --*/ x /* /*\n*/ reflect('a') AS z -- */ , x\nFROM orders", "1:17: a comment within a hint"),
        ("SELECT a.reflect ('a') FROM orders", "1:10: reflect() runs code of another kind"),
        ("SELECT * FROM orders, identifier('a.b')", "1:23: identifier() reads what is no source"),
        ("SELECT identifier(:c) FROM orders", "1:8: identifier() reads what is no source"),
        ("SELECT * FROM orders, read_files('/x')", "1:23: read_files() reads what is no source"),
        ("SELECT * FROM orders LEFT JOIN LATERAL read_files('/x')", "1:40: read_files() reads what is no source"),
        ("WITH a AS (TABLE b) SELECT * FROM a, orders", "1:12: TABLE x is a query: write SELECT * FROM x"),
        ("SELECT map(a) FROM orders", "1:1: not SQL: "),
        ("SELECT * FROM orders, LATERAL (SELECT * FROM b)", "1:46: no source 'b'; expected one of orders"),
        ("FROM orders |> UNION ALL (SELECT * FROM b)", "1:13: no |> here: write SELECT … FROM …"),
        ("SELECT * FROM orders JOIN delta.`/x`", "1:27: delta./x is a path, not a source"),
        ("SELECT * FROM orders JOIN `parquet`.`/x`", "1:27: parquet./x is a path, not a source"),
        (
            "SELECT * FROM orders\nWHERE id IN (SELECT id FROM silver.b)",
            "2:29: silver.b is a table of the catalog, not a source: name its table under sources: in the job's YAML",
        ),
        ("SELECT * FROM orders JOIN ordesr", "1:27: no source 'ordesr'; did you mean 'orders'?"),
        ("SELECT * FROM b JOIN (WITH b AS (SELECT 1) SELECT * FROM b) JOIN orders", "1:15: no source 'b'"),
        ("WITH r AS (SELECT * FROM r) SELECT * FROM r, orders", "1:26: no source 'r'; expected one of orders"),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, orders", "1:26: no source 'b'"),
        ("SELECT 1", "1:1: the source 'orders' is never read: use it, or take it out of sources:"),
        ("SELECT * FROM orders VERSION AS OF 1", "1:1: a source is read at the version that is fixed for the batch"),
        ("SELECT '${env:HOME}' FROM orders", "1:9: no references in SQL: write :name, and its value under params:"),
        ("SELECT * FROM orders WHERE id = ?", "1:33: a parameter has a name: write :name"),
        ("SELECT * FROM orders WHERE id = @id", "1:33: a parameter is written :name"),
        ("SELECT * FROM orders WHERE id = :int", "1:33: a type is called int: give the parameter another name"),
        ("SELECT 1 -- \\\n/*\n, 2 */ FROM orders", "1:13: a line may not end with a backslash"),
        ("SELECT a FROM orders WHERE (", "1:28: '(' is never closed"),
        ("SELECT /* a", "1:8: a comment that does not end"),
        ("SELECT " + "(" * 5000, "1:108: nested deeper than 100"),
        ("SELECT * FROM orders\n-- \xe9".encode("latin-1"), "2:1: not UTF-8: the byte 0xe9"),
        ("SELECT * FROM orders --" + "x" * 300_000, "1:1: is too large"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_anything_else_is_told_with_its_line(folder, text, told):
    assert any(problem.startswith(f"jobs/x.sql:{told}") for problem in problems(folder, text)), problems(folder, text)


def test_all_that_is_wrong_is_told_at_once(folder):
    assert len(problems(folder, "SELECT reflect('a'), ? FROM ordesr", ("orders", "customers"))) == 5


def test_a_parameter_is_known_by_where_it_stands_and_filled_there_alone(folder):
    found = query(folder, "SELECT ':a', :a AS `:a`, b -- :a\nFROM orders WHERE x = :b AND y = :a")
    assert found.parameters == {"a": (1, 14), "b": (2, 23)}
    filled = found.filled({"a": "<1>", "b": "<2>"})
    assert filled == "SELECT ':a', <1> AS `:a`, b      \nFROM orders WHERE x = <2> AND y = <1>"


def test_a_job_brings_its_sources_together_in_sql_or_in_python(folder):
    folder.write("jobs/x.sql", "SELECT * FROM orders JOIN customers USING (id)")
    assert folder.job(JOB).job == "x"
    assert read_any(str(folder.root / "jobs/x.sql")) == (Project(folder.root), "x")
    folder.write("jobs/x.sql", "SELECT * FROM orders")
    [problem] = folder.problems(JOB)
    assert problem.startswith("jobs/x.sql:1:1: the source 'customers' is never read")
    folder.write("jobs/x.py", "def transform(orders, customers): ...")
    [problem] = folder.problems(JOB)
    assert problem == "jobs/x.sql:1:1: the job has jobs/x.py, too: its logic is one of them"


def test_where_sources_meet_without_logic_both_ways_are_told(folder):
    with pytest.raises(TransformMismatchError) as caught:
        folder.job(JOB)
    assert caught.value.hint == "write jobs/x.py with def transform(orders, customers), or jobs/x.sql"


@pytest.mark.parametrize(
    "text", ["concat('a', upper(b))", "current_timestamp()", "extract(year FROM d)", "CAST(a AS DATE) -- x"]
)
def test_what_a_tables_log_has_for_a_column_is_a_value_printed_anew(text):
    assert log_expression(text) == text.split(" --")[0]


@pytest.mark.parametrize(
    "text",
    [
        "reflect('a', 'b')",
        "(SELECT value FROM text.`/x`)",
        "`java_method` ('a')",
        "ai_gen('x')",
        "a /* /*+ */",
        "to_xml(a, map('x', '/x'))",
    ],
)
def test_what_a_tables_log_has_for_a_column_runs_no_code_and_reads_nothing(text):
    with pytest.raises(ValueError, match=r"is no value|of a query|a comment within"):
        log_expression(text)
