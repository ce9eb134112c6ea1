"""Contracts: columns in short and in long, and rules that are one SQL condition over one row."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lakehouse.spec.column import Column
from lakehouse.spec.contract import Contract
from lakehouse.spec.expression import columns_of
from lakehouse.spec.rule import Rule

JOB = """\
job: x
about: a
sources:
  orders:
    kind: table
    table: bronze.orders
    stream: true
    contract: contracts/orders.yaml
write: {table: silver.orders, mode: append}
"""


def told(value: dict) -> str:
    """What is wrong with a contract."""
    with pytest.raises(ValidationError) as caught:
        Contract.model_validate(value)
    return "; ".join(error["msg"] for error in caught.value.errors())


def of_rule(check: str) -> str:
    """What is wrong with a rule."""
    return told({"rules": [{"name": "r", "check": check}]})


@pytest.mark.parametrize(
    ("short", "type_", "nullable"),
    [
        ("bigint", "bigint", True),
        ("bigint not null", "bigint", False),
        ("  BIGINT  Not   NULL ", "bigint", False),
        ("decimal( 12 , 2 ) not null", "decimal(12,2)", False),
    ],
)
def test_a_column_in_short_says_the_same_as_in_long(short, type_, nullable):
    contract = Contract.model_validate({"columns": {"a": short, "b": {"type": type_, "nullable": nullable}}})
    assert contract.columns["a"] == contract.columns["b"] == Column(type=type_, nullable=nullable)


@pytest.mark.parametrize(
    "name",
    [
        *("boolean", "tinyint", "smallint", "int", "bigint", "float", "double"),
        *("string", "binary", "date", "timestamp", "timestamp_ntz", "decimal(38,38)"),
    ],
)
def test_each_type_is_taken_in_any_case(name):
    assert Contract.model_validate({"columns": {"a": name.upper()}}).columns["a"].type == name


@pytest.mark.parametrize("name", ["decimal(39,2)", "decimal(2,3)", "decimal(0,0)", "decimal(999,1)"])
def test_a_decimal_that_spark_does_not_have_is_refused(name):
    assert f"expected decimal(p,s) with s <= p <= 38, found '{name}'" in told({"columns": {"a": name}})


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("bignit", "did you mean 'bigint'"),
        ("integer", "did you mean 'int'"),
        ("timestampntz", "did you mean 'timestamp_ntz'"),
        ("decimal", "did you mean 'decimal(p,s)'"),
        ("decimal(\uff11,2)", "did you mean 'decimal(p,s)'"),
        ("b i g i n t", "unknown type"),
        ("bigint notnull", "unknown type"),
        ("array<int", "unknown type"),
        ("", "expected one of boolean, tinyint"),
    ],
)
def test_an_unknown_type_brings_the_nearest_one(name, near):
    message = told({"columns": {"a": name}})
    assert f"unknown type '{name}'" in message
    assert near in message


@pytest.mark.parametrize(
    ("written", "type_"),
    [
        ("array< decimal(10, 2) >", "array<decimal(10,2)>"),
        ("MAP<string, array<int>>", "map<string,array<int>>"),
        (
            "struct<a: int, `B, c` array<bigint>, d: struct<e: timestamp_ntz>>",
            "struct<a:int,`B, c`:array<bigint>,d:struct<e:timestamp_ntz>>",
        ),
    ],
)
def test_a_type_may_be_made_of_others(written, type_):
    assert Contract.model_validate({"columns": {"a": written}}).columns["a"].type == type_


@pytest.mark.parametrize(
    "written", ["struct<>", "struct<a>", "map<int>", "array<int, int>", "struct<a: itn>", "array<int"]
)
def test_a_type_that_is_made_of_nothing_is_refused(written):
    assert "unknown type" in (message := told({"columns": {"a": written}})) or "is not a field" in message


def test_two_columns_that_differ_in_case_only_are_refused():
    assert "'Id' and 'ID' are one column" in told({"columns": {"Id": "int", "ID": "int"}})


def test_two_rules_of_one_name_are_refused():
    rule = {"name": "r", "check": "a > 1"}
    assert "two rules are named 'r'" in told({"columns": {"a": "int"}, "rules": [rule, rule]})


def test_a_contract_file_is_read_by_a_project_only():
    from lakehouse.spec.source import TableSource

    with pytest.raises(ValidationError, match="has not been read"):
        TableSource.model_validate({"kind": "table", "table": "a.b", "contract": "contracts/a.yaml"})


@pytest.mark.parametrize(
    ("check", "columns"),
    [
        ("amount >= 0", {"amount"}),
        ("lower(trim(status)) in ('open', 'it''s; here')", {"status"}),
        ("a.b.c > 1 and m['k'] = xs[0].y", {"a", "m", "xs"}),
        ("exists(xs, x -> x > y)", {"xs", "y"}),
        ("aggregate(xs, 0, (acc, x) -> acc + x) > 1", {"xs"}),
        ("`two words` is not null", {"two words"}),
        ("case when a then b else c end", {"a", "b", "c"}),
        ("try_cast(a as int) is not null and b rlike '^x$'", {"a", "b"}),
        ("a between date '2024-01-01' and current_date()", {"a"}),
        ("ordered_at <= current_timestamp() + interval 1 day", {"ordered_at"}),
        ("a <=> b", {"a", "b"}),
        ("true", set()),
    ],
)
def test_a_rule_reads_the_columns_that_it_names(check, columns):
    assert columns_of(check) == columns
    assert Rule(name="r", check=check).on_fail == "quarantine"


@pytest.mark.parametrize(
    ("check", "told_as"),
    [
        ("amount >", "not an SQL expression: Required keyword: 'expression' missing"),
        ("amount >= 0)", "not an SQL expression: ')' closes nothing (at character 12)"),
        ("lower(a", "not an SQL expression: '(' is never closed (at character 6)"),
        ("a = 'x", "not an SQL expression"),
        ("a as b", "not an SQL expression"),
        ("drop table orders", "not an SQL expression"),
        ("create table x as select 1", "not an SQL expression"),
        ("insert into x values (1)", "not an SQL expression"),
        ("set x = 1", "not an SQL expression"),
        ("select 1", "not an SQL expression"),
        ("identifier('reflect')('a', 'b')", "not an SQL expression"),
        ("(" * 3000, "not an SQL expression"),
        ("", "expected one SQL expression"),
        ("-- nothing", "expected one SQL expression"),
        ("*", "expected one SQL expression"),
        ("a > 1; drop table b", "expected one SQL expression"),
        ("a > 1;", "expected one SQL expression"),
        ("(a, b)", "expected one SQL expression"),
        ("a in (select b from c)", "no subqueries"),
        ("exists (select 1)", "no subqueries"),
        ("(select max(a) from b) > 1", "no subqueries"),
        ("row_number() over (partition by a order by b) = 1", "no aggregates, windows or generators"),
        ("explode(a) > 1", "no aggregates, windows or generators"),
        ("a > ${env:LIMIT}", "no parameters or references"),
        ("a > :limit", "no parameters or references"),
        ("java_method('java.lang.System', 'exit', 1) = 'x'", "java_method() runs code"),
        ("a > 1 or REFLECT('java.lang.System', 'exit', 1) = 'x'", "reflect() runs code"),
        ("`try_reflect`('a', 'b') = 'x'", "try_reflect() runs code"),
        ("system.builtin.reflect('a', 'b') = 'x'", "reflect() runs code"),
        ("a = '" + "x" * 5000 + "'", "at most 4000 characters"),
    ],
)
def test_a_rule_that_is_not_one_condition_over_one_row_is_refused(check, told_as, caplog):
    assert told_as in of_rule(check)
    assert not caplog.records


def test_a_rule_over_an_unknown_column_is_told_at_its_line_with_the_nearest_name(folder):
    inline = """\
    contract:
      columns: {amount: int}
      rules:
        - {name: good, check: AMOUNT > 0}
        - name: bad
          check: amuont > 0
"""
    [problem] = folder.problems(JOB.replace("    contract: contracts/orders.yaml\n", inline))
    assert problem == (
        "conf/x.yaml:13:18: sources.orders.contract.rules.bad.check: "
        "rule 'bad' reads 'amuont', which is not declared; did you mean 'amount'?"
    )


def test_a_contract_file_is_read_in_its_place(folder):
    folder.write(
        "contracts/orders.yaml", "columns: {a: int not null}\nrules: [{name: r, check: a > 1, on_fail: warn}]\n"
    )
    _, source = folder.job(JOB).stream
    assert source.contract.rules[0].on_fail == "warn"


@pytest.mark.parametrize(
    ("content", "told_as"),
    [
        ("columns:\n  a: itn\n", "contracts/orders.yaml:2:6: columns.a.type: unknown type 'itn'; did you mean 'int'?"),
        (
            "columns: {a: int}\nrules:\n- {name: r, check: b > 1}\n",
            "contracts/orders.yaml:3:20: rules.r.check: rule 'r'",
        ),
        ("colums: {}\n", "contracts/orders.yaml:1:1: colums: unknown key; did you mean 'columns'?"),
        (
            "rules:\n- {name: r, check: 'true', on_fail: drp}\n",
            "orders.yaml:2:37: rules.r.on_fail: unknown value 'drp'; did",
        ),
        (
            "rules:\n- {name: r, check: 'true'}\n- {name: r, check: 'true'}\n",
            "orders.yaml:3:10: rules.r.name: two rules",
        ),
        ("columns: {a: int, A: int}\n", "contracts/orders.yaml:1:22: columns.A: 'a' and 'A' are one column"),
        ("a: &b 1\n", "contracts/orders.yaml:1:4: anchors, aliases and tags"),
        ("", "contracts/orders.yaml:1:1: expected a mapping"),
    ],
)
def test_a_fault_in_a_contract_file_has_the_line_of_that_file(folder, content, told_as):
    folder.write("contracts/orders.yaml", content)
    [problem] = folder.problems(JOB)
    assert told_as in problem


def test_faults_of_a_contract_file_and_of_its_job_are_told_together(folder):
    folder.write("contracts/orders.yaml", "columns: {a: itn}\n")
    problems = folder.problems(JOB.replace("mode: append", "mode: apend"))
    assert [problem.split(":")[0] for problem in problems] == ["conf/x.yaml", "contracts/orders.yaml"]


def test_a_contract_file_that_is_not_there_brings_the_nearest_one(folder):
    folder.write("contracts/orders.yml", "")
    [problem] = folder.problems(JOB)
    assert problem == (
        "conf/x.yaml:8:15: sources.orders.contract: there is no file contracts/orders.yaml; did you mean 'orders.yml'?"
    )


@pytest.mark.parametrize(
    "path", ["../secret.yaml", "contracts/../../secret.yaml", "{outside}/secret.yaml", "contracts/link"]
)
def test_a_contract_outside_of_the_project_is_refused_by_path_and_by_link(folder, path):
    outside = folder.root.parent
    (outside / "secret.yaml").write_text("columns: {}")
    (folder.root / "contracts").mkdir()
    (folder.root / "contracts/link").symlink_to(outside / "secret.yaml")
    [problem] = folder.problems(JOB.replace("contracts/orders.yaml", path.format(outside=outside)))
    assert problem == "conf/x.yaml:8:15: sources.orders.contract: leads out of the project"


def test_a_contract_of_a_project_reached_by_a_link_is_in_the_project(folder):
    from lakehouse.spec.project import Project

    folder.write("contracts/orders.yaml", "columns: {}")
    folder.write("conf/x.yaml", JOB)
    link = folder.root.parent / "link"
    link.symlink_to(folder.root)
    assert Project(link).job("x").is_incremental


@pytest.mark.parametrize("path", ['"a\\0b"', "contracts/loop", "''", "contracts", "c" * 3000, "c/" * 3000])
def test_a_contract_path_that_is_no_file_is_told(folder, path):
    (folder.root / "contracts").mkdir()
    (folder.root / "contracts/loop").symlink_to("loop")
    [problem] = folder.problems(JOB.replace("contracts/orders.yaml", path))
    assert problem.startswith("conf/x.yaml:8:15: sources.orders.contract: ")
    assert "is not a path" in problem or "there is no file" in problem


def test_a_contract_belongs_to_the_incremental_source(folder):
    text = JOB.replace("    stream: true\n", "").replace("mode: append", "mode: overwrite")
    folder.write("contracts/orders.yaml", "columns: {}")
    [problem] = folder.problems(text)
    assert problem.startswith("conf/x.yaml:7:15: sources.orders.contract: a contract belongs to the incremental source")
