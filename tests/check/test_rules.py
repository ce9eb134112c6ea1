"""Rules of every kind on one batch: what is judged, what is broken, and what of it ends the run."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.check.contract import Checked, check, judge
from lakehouse.check.others import Beside
from lakehouse.check.rules import Asked, failing
from lakehouse.check.score import gate
from lakehouse.errors import ConfigError, QualityGateError
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, SOURCE_TYPE, TOLD, Arrived
from lakehouse.lake.quality import Judgement, Quality
from lakehouse.spec.contract import Contract

COLUMNS = {"id": "int", "s": "string", "n": "double"}


@pytest.fixture(scope="module")
def batch(spark: SparkSession) -> Arrived:
    """Five rows: the first two are the same in ``s``, the fourth has nothing, the fifth could not be read."""
    rows = [(1, "a", 1.0), (2, "a", 2.0), (3, "b", 4.0), (4, None, None)]
    beside = f"id int, s string, n double, {RAW} string, {CODE} string, {MESSAGE} string"
    frame = spark.createDataFrame(
        [*((*row, None, None, None) for row in rows), (9, "z", 9.0, "?", "BAD", "bad")], beside
    )
    return Arrived(frame.withColumn(SOURCE, F.lit(None).cast(SOURCE_TYPE)).localCheckpoint())


def rules(*given: dict[str, Any], **more: Any) -> Contract:
    named = [{"name": f"r{index}", **rule} for index, rule in enumerate(given)]
    return Contract.model_validate({"columns": COLUMNS, "rules": named, **more})


def judged(checked: Checked) -> dict[str, tuple[int, int]]:
    assert checked.quality
    return {one.rule: (one.judged, one.broken) for one in checked.quality.judgements if one.rule.islower()}


def ids(frame: DataFrame) -> list[int]:
    return sorted(row.id for row in frame.collect())


def test_a_rule_judges_the_rows_that_its_where_is_true_for(batch: Arrived) -> None:
    # 1 / 0 is asked of no row
    checked = check(
        batch, rules({"check": "10 / (id - 3) > 4", "where": "id <> 3"}, {"check": "n > 1", "on_fail": "warn"})
    )
    assert judged(checked) == {"r0": (3, 2), "r1": (4, 1)}
    assert (checked.read, checked.kept, checked.quarantined) == (5, 2, 3)
    assert ids(checked.accepted) == [3, 4]


def test_all_rows_together_are_those_that_go_on(batch: Arrived) -> None:
    checked = check(
        batch,
        rules(
            {"check": "n > 1"},
            {"check": "min(n) > 1 and count(*) = 3"},
            {"check": "count(distinct s) = 1 and sum(n) = 2", "where": "s = 'a'"},
            {"check": "max(n) < 4", "on_fail": "warn"},
            {"check": "avg(n) > 100", "where": "id > 100"},  # of nothing there is no average
        ),
    )
    assert judged(checked) == {"r0": (4, 1), "r1": (1, 0), "r2": (1, 0), "r3": (1, 1), "r4": (1, 0)}
    assert checked.broken == {"r0": 1, "r3": 1}


def test_all_rows_that_are_the_same_are_put_aside_as_nobody_knows_which_is_right(batch: Arrived) -> None:
    checked = check(
        batch, rules({"check": "unique(s)"}, {"check": "unique(id, `s`)"}, {"check": "n <> 4", "on_fail": "warn"})
    )
    assert judged(checked) == {"r0": (4, 2), "r1": (4, 0), "r2": (4, 1)}
    assert [(row.record, row.reasons) for row in checked.rejected.orderBy("record").collect()] == [
        ("?", ["BAD"]),
        ('{"id":1,"s":"a","n":1.0}', ["RULE:r0"]),
        ('{"id":2,"s":"a","n":2.0}', ["RULE:r0"]),
    ]
    assert ids(checked.accepted) == [3, 4]
    # a row that another rule puts aside is no other row
    assert judged(check(batch, rules({"check": "unique(s)"}, {"check": "id > 1"})))["r0"] == (3, 0)


def test_a_row_is_held_against_the_rows_of_its_table_but_not_against_itself(
    spark: SparkSession, batch: Arrived
) -> None:
    held = spark.createDataFrame([(3, "b"), (7, "a"), (8, None)], "id int, s string")
    contract = rules({"check": "unique(s) over table", "on_fail": "warn", "where": "id <> 2"})
    assert judged(check(batch, contract, beside=Beside(target=held)))["r0"] == (3, 2)
    assert judged(check(batch, contract, beside=Beside(target=held, record=("id",))))["r0"] == (3, 1)
    assert judged(check(batch, contract))["r0"] == (3, 0)  # there is no table yet


def test_what_a_row_names_stands_in_the_other_table(spark: SparkSession, batch: Arrived) -> None:
    other = spark.createDataFrame([("a", 1), ("a", 2), ("x", 3), (None, 4)], "code string, number bigint")
    beside = Beside(tables={"s.t": other})
    contract = rules(
        {"check": "exists_in(s, s.t.code)"}, {"check": "exists_in(s, id, s.t.code, s.t.number)", "on_fail": "warn"}
    )
    checked = check(batch, contract, beside=beside)
    assert judged(checked) == {"r0": (4, 1), "r1": (4, 1)}
    assert ids(checked.accepted) == [1, 2, 4]
    with pytest.raises(ConfigError, match="'s' and s.t.number are string and bigint, which cannot be compared"):
        check(batch, rules({"check": "exists_in(s, s.t.number)"}), beside=beside)
    for kind in ("map<string,int>", "array<map<string,int>>", "variant", "struct<v:variant>"):
        made = Arrived(batch.rows.withColumn("m", F.lit(None).cast(kind)))
        for asked in ("unique(s, m)", "exists_in(m, s.t.code)"):
            with pytest.raises(ConfigError, match=rf"rule 'r0': .* compares m, a {kind}, which cannot be compared"):
                check(made, rules({"check": asked}, columns={}), beside=beside)
    with pytest.raises(ConfigError, match=r"rule 'r0'.*nosuch"):
        check(batch, rules({"check": "exists_in(s, s.t.nosuch)"}), beside=beside)


def test_the_time_is_that_of_the_batch(batch: Arrived) -> None:
    asked = rules(
        {"check": "timestamp_seconds(1782000000) < now() and current_date() <= date'2026-07-01'", "on_fail": "warn"}
    )
    assert judged(check(batch, asked, beside=Beside(datetime(2026, 7, 1, 23, 59, tzinfo=UTC))))["r0"] == (4, 0)
    assert judged(check(batch, asked, beside=Beside(datetime(2026, 7, 2, tzinfo=UTC))))["r0"] == (4, 4)
    assert judged(check(batch, asked, beside=Beside(datetime(2026, 6, 1, tzinfo=UTC))))["r0"] == (4, 4)


def test_named_checks_stand_within_others_and_within_aggregates(batch: Arrived) -> None:
    checked = check(
        batch,
        rules(
            {"check": "implies(id > 1, matches(s, '[ab]') and length_between(s, 1, 1)) or id = 9", "on_fail": "warn"},
            {"check": "count_if(matches(s, 'a')) = 2"},
            {"check": "n < 9 -- a comment", "where": "not matches(s, 'b') -- another"},
        ),
    )
    assert judged(checked) == {"r0": (4, 0), "r1": (1, 0), "r2": (2, 0)}


@pytest.mark.parametrize(
    ("contract", "told"),
    [
        (
            rules({"check": "n > 1", "on_fail": "warn", "at_most": "24.9%"}),
            r"r0 \(n > 1\): 1 of 4 rows, at_most: 24.9%",
        ),
        (rules({"check": "n > 2", "at_most": 1}), "2 of 4 rows, at_most: 1"),
        (rules({"check": "unique(s)", "at_most": 0}), r"r0 \(unique\(s\)\): 2 of 4 rows, at_most: 0"),
        (rules({"check": "n > 1", "on_fail": "fail"}), r"r0 \(n > 1\): 1 rows"),
        (rules({"check": "max(n) - min(n) < 1", "where": "id > 1"}), r"max\(n\) is 4.0, min\(n\) is 2.0"),
        (rules({"check": "n > 2"}, min_score="86%"), r"min_score: 86%: the score is 85.7143% \(accuracy 85.71%\)"),
    ],
)
def test_a_gate_says_what_was_found(batch: Arrived, contract: Contract, told: str) -> None:
    with pytest.raises(QualityGateError, match=told) as raised:
        check(batch, contract)
    assert raised.value.quality


def test_what_is_within_the_bounds_goes_on(batch: Arrived) -> None:
    within = rules(
        {"check": "n > 1", "on_fail": "fail", "at_most": "25%"}, {"check": "n > 2", "at_most": 2}, min_score="84%"
    )
    checked = check(batch, within)
    assert (checked.kept, checked.quarantined) == (2, 3)  # what a gate lets pass is kept, or goes where its rule says


def test_a_share_at_its_bound_is_within_it() -> None:
    # as doubles, 97.89999999999999 is less than 97.9
    quality = Quality("write", "v", (Judgement("r0", "accuracy", "error", 1000, 21),))
    gate(rules({"check": "n > 1"}, min_score="97.9%"), quality, {})
    with pytest.raises(QualityGateError):
        gate(rules({"check": "n > 1"}, min_score="98.0%"), quality, {})


def test_a_gate_shows_no_value_of_a_personal_column(batch: Arrived) -> None:
    columns = {**COLUMNS, "s": {"type": "string", "classification": "personal"}}
    contract = Contract.model_validate({"columns": columns, "rules": [{"name": "r0", "check": "max(S) < 'aa'"}]})
    with pytest.raises(QualityGateError, match="what it came to is not shown") as raised:
        check(batch, contract)
    assert "max(S) is" not in str(raised.value)


def test_rows_of_one_record_are_one_to_a_unique_rule(batch: Arrived) -> None:
    # two changes of one key, or an event that came twice: the write makes one row of them
    asked = rules({"check": "unique(s)"})
    assert judged(check(batch, asked, beside=Beside(record=("s",))))["r0"] == (4, 0)
    assert judged(check(batch, asked, beside=Beside(record=("id",))))["r0"] == (4, 2)


def test_nothing_is_asked_of_what_a_change_does_not_tell(batch: Arrived) -> None:
    # the first row is a deletion, which tells its key alone; the second one does not tell n
    told = F.expr("CASE id WHEN 1 THEN CAST(array() AS ARRAY<STRING>) WHEN 2 THEN array('id', 's') END")
    rows = batch.rows.withColumn(TOLD, told).withColumn("n", F.expr("nullif(n, 2)"))
    asked = rules(
        {"check": "coalesce(n, 0) > 0", "on_fail": "warn"},
        {"check": "s <> 'a'"},
        {"check": "id > 0", "where": "N is null", "on_fail": "warn"},
        {"check": "count(*) = 2"},
    )
    checked = check(Arrived(rows), asked)
    assert judged(checked) == {"r0": (2, 1), "r1": (3, 1), "r2": (1, 0), "r3": (1, 0)}
    assert ids(checked.accepted) == [1, 3, 4]


def test_rows_that_were_chosen_by_hand_are_judged_one_by_one(batch: Arrived) -> None:
    asked = rules(
        {"check": "count(*) >= 1000"},
        {"check": "n > 1", "on_fail": "fail"},
        {"check": "n < 4", "at_most": 0, "on_fail": "warn"},
        min_score="100%",
    )
    checked = check(batch, asked, beside=Beside(row_by_row=True), where="sources.x")
    assert judged(checked) == {"r1": (4, 1), "r2": (4, 1)}
    assert ids(checked.accepted) == [2, 3, 4]
    found = {tuple(row.reasons): row.contract for row in checked.rejected.collect()}
    assert found == dict.fromkeys([("RULE:r1",), ("BAD",)], asked.fingerprint)


SHOWN = "[DIVIDE_BY_ZERO] Division by zero.\n== SQL (line 2, position 1) ==\n{}\n^^^^^\n\nJVM stacktrace: on n a"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("java.io.IOException: No space left on device", None),
        ("[CAST_INVALID_INPUT] the value 'on'\n== DataFrame ==\ncast at line 1", None),
        (SHOWN.format("100 / device > 1 or n = 1"), "r2"),
        (SHOWN.format("100 / device > 1"), "r1"),
        (SHOWN.format("sum(1 / n) FILTER (WHERE true) > 1"), "r3"),
        (SHOWN.format("upper(device || 1 / n)"), "r0"),
        (SHOWN.format("something / else"), None),
    ],
)
def test_a_rule_is_known_by_the_expression_that_spark_shows(error: str, told: str | None) -> None:
    contract = rules(
        {"check": "matches(device, 'on') and matches(upper(device || 1 / n), 'space')"},
        {"check": "100 / device > 1"},
        {"check": "100 / device > 1 or n = 1"},
        {"check": "sum(1 / n) > 1"},
    )
    found = failing(Asked(contract), RuntimeError(error))
    assert (found.name if found else None) == told


def test_more_rules_than_a_number_has_bits_are_told_apart(batch: Arrived) -> None:
    many = [{"check": f"id <> {index % 7}", "on_fail": "drop" if index == 64 else "warn"} for index in range(130)]
    checked = check(batch, rules(*many))
    assert judged(checked) == {f"r{index}": (4, int(0 < index % 7 < 5)) for index in range(130)}
    assert ids(checked.accepted) == [2, 3, 4]


def test_a_named_check_is_asked_of_no_row_that_where_leaves_out(batch: Arrived) -> None:
    guarded = {"check": "implies(10 / (id - 3) > 4, n > 3)", "where": "id <> 3"}
    checked = check(batch, rules(guarded, {"check": "id = 4 or implies(1 / (id - 4) < 0, n > 0)"}))
    assert judged(checked) == {"r0": (3, 0), "r1": (4, 0)}
    assert ids(checked.accepted) == [1, 2, 3, 4]


def test_what_spark_interprets_is_counted_as_what_it_compiles(batch: Arrived) -> None:
    given = [
        {"check": "count(DISTINCT s) = 2", "on_fail": "fail"},
        {"check": "count(distinct s) = 3", "on_fail": "warn"},
        {"check": "approx_count_distinct(s) = 2 and count(*) = 3", "on_fail": "fail"},
        {"check": "median(n) = 2", "on_fail": "fail"},
        {"check": "max(n) = 4", "on_fail": "fail"},
        {"check": "s is not null"},
    ]
    checked = check(batch, rules(*given))
    assert judged(checked) == {"r0": (1, 0), "r1": (1, 1), "r2": (1, 0), "r3": (1, 0), "r4": (1, 0), "r5": (4, 1)}
    assert ids(checked.accepted) == [1, 2, 3]


def test_java_compiles_what_spark_makes_of_many_rules(batch: Arrived, spark: SparkSession) -> None:
    contract = rules(*[{"check": f"n + {n} >= {n} and length(s) < {n + 2}"} for n in range(80)])
    settings = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
    before = {name: spark.conf.get(name) for name in settings}
    try:
        for name, value in settings.items():
            spark.conf.set(name, value)
        plan = judge(batch.rows, contract)._jdf.queryExecution().executedPlan()
        debug = spark._jvm.org.apache.spark.sql.execution.debug  # type: ignore[union-attr]
        told = debug.package.codegenString(plan)
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
    sizes = [int(size) for size in re.findall(r"maxMethodCodeSize:(\d+)", told)]
    assert sizes
    assert max(sizes) <= 8000


def test_of_many_rules_each_is_counted_by_its_own_bit(batch: Arrived) -> None:
    checked = check(batch, rules(*[{"check": f"id <> {1 + n % 5}", "on_fail": "warn"} for n in range(130)]))
    assert judged(checked) == {f"r{n}": (4, int(n % 5 < 4)) for n in range(130)}
    assert ids(checked.accepted) == [1, 2, 3, 4]
