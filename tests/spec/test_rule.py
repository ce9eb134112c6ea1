"""Rules: what they are about is told by their expression, and what they may call is a list."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from lakehouse.spec.contract import Contract
from lakehouse.spec.expression import (
    AggregateCheck,
    ReferenceCheck,
    RowCheck,
    UniqueCheck,
    at_time,
    columns_of,
    row_condition,
    understood,
)
from lakehouse.spec.pattern import why_refused
from lakehouse.spec.rule import Rule
from lakehouse.spec.write import Scd1Write

SCD1 = {"table": "silver.a", "mode": "scd1", "keys": ["a"], "sequence_by": "b"}
JOB = """\
job: x
about: a
sources:
  orders:
    kind: table
    table: bronze.orders
    stream: true
    contract: {columns: {a: int}}
write:
  table: silver.orders
  mode: scd1
  keys: [a]
  sequence_by: b
  contract:
    columns: {a: int, b: int}
    rules:
      - {name: r, check: RULE}
"""


def told(**rule: object) -> str:
    """What is wrong with a rule."""
    with pytest.raises(ValidationError) as caught:
        Rule.model_validate({"name": "r", **rule})
    return "; ".join(error["msg"] for error in caught.value.errors())


@pytest.mark.parametrize(
    ("check", "kind", "reads"),
    [
        ("a > 1 and b is not null", RowCheck, {"a", "b"}),
        ("is_email(a) or lower(b) = 'x'", RowCheck, {"a", "b"}),
        ("implies(matches(`a b`, 'x'), length_between(c.d, 1, 2))", RowCheck, {"a b", "c"}),
        ("exists(xs, x -> x > a)", RowCheck, {"xs", "a"}),
        ("count(*) >= 1000", AggregateCheck, set()),
        ("avg(a) between 1 and max(b) + count_if(is_uuid(c))", AggregateCheck, {"a", "b", "c"}),
        ("unique(a, b.c)", UniqueCheck, {"a", "b"}),
        ("  UNIQUE(`x y`) over  table", UniqueCheck, {"x y"}),
        ("exists_in(a, silver.customers.id)", ReferenceCheck, {"a"}),
        ("exists_in(a, b.c, s.t.x, s.t.y)", ReferenceCheck, {"a", "b"}),
    ],
)
def test_what_a_rule_is_about_is_told_by_its_expression(check, kind, reads):
    found = understood(check)
    assert isinstance(found, kind)
    assert found.reads == reads


@pytest.mark.parametrize(
    ("check", "told_as"),
    [
        *((f"{name}() > '1'", f"{name}() is none of the functions") for name in ("rand", "uuid", "input_file_name")),
        *(
            (f"{name}(a) > 1", f"{name}() is none of the functions")
            for name in ("ai_query", "try_secret", "read_files")
        ),
        *((f"{name}(a) = 1", f"{name}() is none of the functions") for name in ("first", "collect_list", "any_value")),
        ("`uuid`() > '1'", "uuid() is none of the functions"),
        ("other.lower(a) = 'x'", "lower() is none of the functions"),
        ("lowr(a) = 'x'", "did you mean 'lower'"),
        ("current_user = a", "current_user is of the session"),
        ("localtimestamp > a", "localtimestamp is of the session"),
        ("__code is null", "names that begin with two underscores are reserved"),
        ("is_email()", "is_email() takes value, found 0 arguments"),
        ("length_between(a, 1, b)", "length_between() takes a whole number here, found b"),
        ("matches(a, b)", "matches() takes a text in quotes here, found b"),
        ("unique(a) and b > 1", "nothing may stand beside it but 'over table'"),
        ("unique(lower(a))", "expected a column's name, found 'lower(a)'"),
        ("unique()", "unique(…) needs a column"),
        ("exists_in(a)", "expected exists_in(column, schema.table.column)"),
        ("exists_in(a, customers.id)", "'customers.id' is not a column of one table"),
        ("exists_in(a, b, s.t.x, s.u.y)", "'s.t.x' is not a column of one table"),
        ("b > 1 and exists_in(a, s.t.x)", "exists_in() is none of the functions"),
        ("sum(a) > b", "reads 'b' outside of its aggregates"),
        ("sum(max(a)) > 1", "an aggregate within another"),
        ("sum(a) filter (where b > 1) > 1", "say which rows an aggregate is of by where:"),
        ("sum(a) over (partition by b) > 1", "no aggregates, windows or generators"),
        ("max(a) > (select 1)", "no subqueries"),
        ("a = '${env:SECRET}'", "no parameters or references"),
        ("a rlike b", "a pattern is a text in quotes, found b"),
        (r"a rlike '\d+'", r"Spark takes the backslashes of '\d+' away: write r'\d+', or each of them twice, or, of a"),
        ("a rlike '(x+)+y'", "'(x+)+' repeats what repeats"),
        ("lower(regexp_replace(a, '(x|xx)*', '')) = ''", "'(x|xx)*' repeats what chooses"),
        ("regexp_like(a, concat(b, 'x'))", "a pattern is a text in quotes"),
        ("not matches(a, '(x+)+y')", "repeats what repeats"),
        ("a rlike '(x' '+)+y'", "a text right after another value"),
        ("a rlike '(x' || '+)+y' and b > 1", "a pattern is a text in quotes, found '(x' || '+)+y'"),
        ("a rlike '(x+' = b", "a second comparison by ="),
        ("str_to_map(a, ',', '(x+)+y') is null", "repeats what repeats"),
        ("parse_url(a, 'QUERY', b) is null", "a pattern is a text in quotes, found b"),
        ("(TABLE x) = 1", "TABLE x is a query"),
        ("ts > 'now'", "'now' is a time that changes while the batch is run again"),
        ("day = date'Today'", "'Today' is a time that changes"),
        ("ts > cast(concat('n', 'ow') as timestamp)", "a text that is computed of no column"),
        ("ts > cast(array_join(array('n', 'ow'), '') as timestamp)", "a text that is computed of no column"),
        ("ts > cast(split('now-x', '-')[0] as timestamp)", "a text that is computed of no column"),
        ("day = to_date(element_at(array('now-x', 'b'), 1))", "a text that is computed of no column"),
        ("ts > cast(get_json_object('{\"a\":\"now\"}', '$.a') as timestamp)", "a text that is computed of no column"),
        ("ts > 'n' || 'ow'", "a text that is computed of no column"),
        ("ts > cast(cast(X'6e6f77' as string) as timestamp)", "a text that is computed of no column"),
        ("ts > aggregate(array('n', 'ow'), '', (p, q) -> p || q)", "a text that is computed of no column"),
        ("not_blank(reverse('won'))", "a text that is computed of no column"),
        ("to_date(' tomorrow utc') > day", "tomorrow utc' is a time that changes"),
        ("day > cast('yester' 'day' as date)", "a text right after another value"),
    ],
)
def test_a_rule_that_may_not_be_is_refused(check, told_as):
    assert told_as in told(check=check)


@pytest.mark.parametrize(
    "check",
    [
        "(a rlike '^x+$') or b",
        "case when a rlike 'x' then b = 'nowhere' else matches(c, 'now') end",
        *("a = upper('de')", "lower('ABC') = a", "a >= concat(year(current_date()), '-01-01')"),
        *("a > cast(date_format(now(), 'yyyy-MM-01') as date)", "b > cast(make_date(2020, 1, 1) as timestamp)"),
        *("b > cast(timestamp'2020-01-01' as date)", "a > cast(concat(b, '-01') as date)"),
        r"a rlike '\\d+'",
        r"a rlike r'\d+'",
        r"matches(a, '\d{4}-(\w+)?')",
    ],
)
def test_a_pattern_that_is_bounded_is_taken(check):
    assert Rule(name="r", check=check)


@pytest.mark.parametrize("text", ["ts > timestamp'now'", "ts > 'n' || 'ow'", "reverse('won') = a"])
def test_a_condition_of_a_write_holds_no_time_of_its_own(text):
    with pytest.raises(ValidationError, match=r"is a time that changes|computed of no column"):
        Scd1Write.model_validate({**SCD1, "apply_as_deletes": text}, strict=False)


@pytest.mark.parametrize("text", ["uuid() > a", "is_email(a)", "a rlike b", "reflect('x', 'y')", "(TABLE x) = 1"])
def test_a_condition_on_a_row_calls_what_a_rule_may(text):
    with pytest.raises(ValueError, match=r"none of the functions|text in quotes|runs code|is a query"):
        columns_of(text)
    with pytest.raises(ValidationError):
        Scd1Write.model_validate({**SCD1, "apply_as_deletes": text}, strict=False)


def test_a_condition_on_a_row_reads_its_columns():
    assert columns_of("exists(a, one -> one like 'x%') and b.c > now() - interval 1 day") == {"a", "b"}
    assert Scd1Write.model_validate({**SCD1, "apply_as_deletes": "_change.op = 'd'"}, strict=False)


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a*)*", "([a-z]+)*x", "(a|aa)+", "((a+))+", "(?:x+y?){5,}", "(?<n>a+)+", "((a|b)c+)*"]
)
def test_a_pattern_that_may_take_for_ever_is_told(pattern):
    assert why_refused(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a++b?)+", "(?>a++b?)+", "(a{2}b?)*", "(?:a?+)+", "(a++b?)+?", r"(\d{3}-?)+", "(a{2,3}+)+", "((a++)b)+"),
        *(
            "(.x)+",
            "([^,])*",
            r"(a)(\1b)+",
            "(?>a|bb)+",
            "(a++b?){1,5000}",
            "(a{2}{2,}+)+",
            "((?>(?>a+?)))+",
            "(?:(?:a++b?)++c)+",
            r"(\p{L}-)+",
        ),
    ],
)
def test_a_group_of_several_lengths_is_repeated_possessively_or_not_at_all(pattern):
    assert "repeats what has several lengths" in str(why_refused(pattern))
    assert why_refused(re.sub(r"([+*]|\{[0-9,]+\})\??$", "++", pattern)) is None


@pytest.mark.parametrize(
    "pattern",
    [
        *("((((a|a){4}){4}){4}){4}b", "(a|a)" * 28, "a?" * 28 + "a" * 28, "a*a*a*a*a*b", "(.*)(.*)(.*)(.*)x"),
        *(r"(\w|\d){4}" * 7 + "x", "(a{0,4}){4}" * 3 + "b", r"(?:.*,){4}.*,.*x", "(a|b|ab){4}" * 8 + "c"),
        *("(x|)" * 30 + "y", "((a?){4}){4}((a?){4}){4}b", "(?i)(a|A)" * 28, "(?:[a-f]|[c-k])" * 28 + "z"),
        "(" * 300 + "a" + ")" * 300,
    ],
)
def test_a_pattern_whose_ways_multiply_is_refused_at_once(pattern):
    assert why_refused(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            r"^[A-Z]{2}\d{2}[A-Z0-9]{1,30}$",
            r"\d{1,2}/\d{1,2}/\d{2,4}( \d{1,2}:\d{2})?",
            ".*foo.*bar.*",
            r"\w+@\w+\.\w+",
        ),
        *(r"^(\d{1,3}\.){3}\d{1,3}$", r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$", "(0|1){4}" * 20, "([A-Z][a-z]+ ?){1,4}"),
        *("|".join(f"code{number}" for number in range(100)), r"orders_(?<day>[0-9]{8})(_v\d+)?\.(csv|json)(\.gz)?"),
    ],
)
def test_a_pattern_as_people_write_them_is_taken(pattern):
    assert why_refused(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"^\d+(,\d+)*+$", "^[a-z0-9]+(-[a-z0-9]+)*+$", "^(a|b|c)++$"),
        *("(a++)+", "(?>a+)+", "(ab)+", "[(a+)+]", r"\(a+\)+", r"(\d+\.){3}\d+", "(a|b)", "(a|b)?c+", "[]a+]+b"),
        *("[a-z&&[^b]]+", r"\Q(a+)+\E", "a{3}(b{2})+", "(?i)a+", "((?i)ab)+", r"[\]+]+", "(", "[", "a{2"),
    ],
)
def test_a_pattern_of_one_repetition_is_not(pattern):
    assert why_refused(pattern) is None


def test_the_time_stands_in_the_place_of_every_clock_and_of_nothing_else():
    at = datetime(2026, 7, 1, 2, 3, 4, 5, tzinfo=UTC)
    asked = "a > now() - interval 1 day and b < current_date and c = 'now()' and x.now > CURRENT_TIMESTAMP()"
    fixed = "TIMESTAMP_LTZ'2026-07-01 02:03:04.000005+00:00'"
    assert at_time(asked, at) == (
        f"a > {fixed} - interval 1 day and b < DATE'2026-07-01' and c = 'now()' and x.now > {fixed}"
    )


@pytest.mark.parametrize(
    ("rule", "on_fail", "dimension", "weight"),
    [
        ({"check": "a > 1"}, "quarantine", "accuracy", "error"),
        ({"check": "a is not null", "severity": "info"}, "quarantine", "completeness", "info"),
        ({"check": "a > b", "on_fail": "warn"}, "warn", "consistency", "warning"),
        ({"check": "a > now() - interval 1 day"}, "quarantine", "timeliness", "error"),
        ({"check": "not_blank(a)"}, "quarantine", "completeness", "error"),
        ({"check": "implies(a, b)"}, "quarantine", "consistency", "error"),
        ({"check": "is_email(a)", "dimension": "consistency"}, "quarantine", "consistency", "error"),
        ({"check": "count(*) > 5"}, "fail", "completeness", "error"),
        ({"check": "avg(a) > 5", "on_fail": "warn"}, "warn", "accuracy", "warning"),
        ({"check": "unique(a)"}, "quarantine", "consistency", "error"),
    ],
)
def test_what_a_rule_leaves_out_is_told_by_what_it_asks(rule, on_fail, dimension, weight):
    found = Rule.model_validate({"name": "r", **rule})
    assert (found.on_fail, found.measures, found.weight) == (on_fail, dimension, weight)


def test_what_does_not_go_together_is_refused():
    assert "no one row breaks a rule over all of them" in told(check="count(*) > 1", on_fail="drop")
    assert "kept or broken: say the bound in the check" in told(check="count(*) > 1", at_most=3)
    assert "all rows that are the same would be lost" in told(check="unique(a)", on_fail="drop")
    assert "which rows a rule is of, each row tells by itself" in told(check="a > 1", where="count(*) > 1")
    assert "should match pattern" in told(check="a > 1", at_most="101%")
    assert "subqueries" in told(check="a > 1", where="a in (select 1)")


@pytest.mark.parametrize(
    ("at_most", "broken", "judged", "allowed"),
    [
        (None, 9, 9, True),
        (0, 0, 9, True),
        (3, 4, 9, False),
        ("0.1%", 1, 1000, True),
        ("0.1%", 2, 1000, False),
        ("0%", 0, 0, True),
        ("0.009%", 9, 100000, True),  # at the bound, which no double says
    ],
)
def test_a_bound_is_a_number_or_a_share(at_most, broken, judged, allowed):
    assert Rule(name="r", check="a > 1", at_most=at_most).allows(broken, judged) is allowed


@pytest.mark.parametrize(
    ("rule", "told_as"),
    [
        (
            "a > 1, where: c > 1",
            "conf/x.yaml:17:40: write.contract.rules.r.where: rule 'r' reads 'c', which is not declared",
        ),
        ("unique(a, c)", "conf/x.yaml:17:26: write.contract.rules.r.check: rule 'r' reads 'c', which is not declared"),
        ('"exists_in(c, s.t.x)"', "conf/x.yaml:17:26: write.contract.rules.r.check: rule 'r' reads 'c'"),
        (
            '"exists_in(a, silver.orders.a)"',
            "conf/x.yaml:17:26: write.contract.rules.r.check: silver.orders is the table",
        ),
        ("uuid() > a", "conf/x.yaml:17:26: write.contract.rules.r.check: uuid() is none of the functions"),
    ],
)
def test_a_fault_of_a_rule_has_its_line(folder, rule, told_as):
    text = rule if rule.startswith('"') or "where" in rule else f'"{rule}"'
    [problem] = folder.problems(JOB.replace("RULE", text))
    assert told_as in problem


def test_over_table_is_for_the_rows_that_are_written_where_each_record_has_one(folder):
    job = JOB.replace("RULE", "unique(b) over table")
    assert folder.job(job).write.contract.rules[0].asks.in_table
    [problem] = folder.problems(job.replace("scd1", "scd2"))
    assert "'over table' is for append and scd1" in problem
    asked = "contract: {columns: {a: int}, rules: [{name: r, check: unique(a) over table}]}"
    [problem] = folder.problems(JOB.replace("RULE", "a > 1").replace("contract: {columns: {a: int}}", asked))
    assert problem.startswith("conf/x.yaml:8:")
    assert "'over table' is for the rows that are written" in problem


def test_the_tables_that_rules_look_into_are_read_as_they_are(folder):
    # vacuum keeps the versions that such a job may still need
    assert folder.job(JOB.replace("RULE", '"exists_in(b, silver.items.id)"')).reads_as_it_is == {"silver.items"}


def test_freshness_is_a_rule_of_the_table(folder):
    asked = JOB.replace("rules:", "freshness: {column: B, within: 2 hours}\n    rules:").replace("RULE", "a > 1")
    asked = asked.replace("b: int", "b: timestamp")
    contract = folder.job(asked).write.contract
    assert [rule.check for rule in contract.with_freshness.rules] == [
        "a > 1",
        "max(`B`) >= current_timestamp() - interval 7200 seconds",
    ]
    [problem] = folder.problems(asked.replace("name: r,", "name: freshness,"))
    assert "'freshness' is the rule that freshness: makes" in problem


def test_a_contract_of_a_write_is_read_from_its_file(folder):
    folder.write("contracts/out.yaml", "columns: {a: int}\nrules: [{name: r, check: c > 1}]\n")
    begin = JOB.index("  contract:\n")
    [problem] = folder.problems(JOB[:begin] + "  contract: contracts/out.yaml\n")
    assert problem.startswith("contracts/out.yaml:2:26: rules.r.check: rule 'r' reads 'c'")


def test_the_rules_of_the_documentation_are_rules(folder):
    page = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
    contract = page.split("## Rules")[1].split("```yaml\n")[1].split("```")[0]
    folder.write("contracts/out.yaml", contract)
    job = folder.job(JOB[: JOB.index("  contract:\n")] + "  contract: contracts/out.yaml\n")
    assert len(job.write.contract.rules) == 11
    assert job.references == ["silver.customers"]
    assert job.asks_time


def test_a_contract_is_known_by_what_it_says():
    one, same, other = (
        Contract.model_validate({"rules": [{"name": "r", "check": check}]}) for check in ("a > 1", "a > 1", "a > 2")
    )
    assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "check",
    [
        "(a > 1) and (b isnull)",
        "a <> interval day",
        "struct(a == 1, b) is null",
        "a.or(b, 1) is null",
        "div(a, b)",
        "a is distinct from -1::int",
        "a ilike -1::int",
    ],
)
def test_what_spark_reads_as_another_tree_than_the_one_that_was_judged_is_refused(check):
    with pytest.raises(ValueError, match=r"two ways|no built-in|between two|a number and a unit"):
        row_condition(check)


@pytest.mark.parametrize(
    "check", ["interval is null", "b > 1 and interval", "interval in (1, 2)", "isnull(a)", "a div 2 = 1"]
)
def test_a_word_that_may_be_a_column_or_a_function_is_one(check):
    assert row_condition(check)
