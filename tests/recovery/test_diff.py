"""What differs between two tables, by column, against a fold in plain Python."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest
from click.testing import CliRunner

from lakehouse.cli import cli
from lakehouse.errors import ConfigError, RecoveryError, SourceNotFoundError
from lakehouse.lake.place import Lake
from lakehouse.recovery.diff import Diff, _grouped, _keyed, _Shared, diff, names, told


@pytest.fixture
def compare(workshop):
    """Put two tables of SQL's making beside each other, and say what differs."""

    def call(a: str, b: str, **how) -> Diff:
        for name, text in (("a", a), ("b", b)):
            writer = workshop.spark.sql(text).write.format("delta").mode("overwrite")
            writer = writer.option("overwriteSchema", "true").option("delta.columnMapping.mode", "name")
            writer.save(str(workshop.folder / "x" / name))
        return diff(workshop.spark, Lake(str(workshop.folder)), "x.a", "x.b", **how)

    return call


def expected(a: list[tuple], b: list[tuple]) -> dict[str, int]:
    """The same by dictionaries: the first field of a row is its key."""
    in_a, in_b = Counter(row[0] for row in a), Counter(row[0] for row in b)
    many = {key for key in in_a | in_b if max(in_a[key], in_b[key]) > 1}
    mine, theirs = ({row[0]: row[1:] for row in rows if row[0] not in many} for rows in (a, b))
    both = mine.keys() & theirs.keys()
    bags = [{key: Counter(row for row in rows if row[0] == key) for key in many} for rows in (a, b)]
    return {
        "only_a": len(mine.keys() - theirs.keys()),
        "only_b": len(theirs.keys() - mine.keys()),
        "equal": sum(mine[key] == theirs[key] for key in both),
        "different": sum(mine[key] != theirs[key] for key in both),
        "keys": len(many),
        "unlike": sum(bags[0][key] != bags[1][key] for key in many),
        "n": sum(mine[key][0] != theirs[key][0] for key in both),
        "m": sum(mine[key][1] != theirs[key][1] for key in both),
    }


def test_the_counts_are_those_of_a_fold_in_plain_python(workshop):
    """Keys and values with NULLs, keys that are there more than once, on one side or both."""
    chance = random.Random(7)

    def rows() -> list[tuple]:
        some = (None, 1, 2)
        return [(chance.choice([None, *range(150)]), chance.choice(some), chance.choice(some)) for _ in range(110)]

    a, b = rows(), rows()
    b += a[:60]
    workshop.put("x.a", "k int, n int, m int", a)
    workshop.put("x.b", "k int, n int, m int", b)
    found = diff(workshop.spark, Lake(str(workshop.folder)), "x.a", "x.b", keys=["k"], examples=2)
    columns = {one.name: one.rows for one in found.columns}
    answer = {name: getattr(found, name) for name in ("only_a", "only_b", "equal", "different")}
    answer |= {"keys": found.duplicates.keys, "unlike": found.duplicates.different, **columns}
    assert answer == expected(a, b)
    assert (found.a.rows, found.b.rows, found.is_equal) == (110, 170, False)
    assert [len(one.examples) for one in found.columns] == [2, 2]
    for one in found.columns:
        for example in one.examples:
            (key,) = (int(value) if value else None for value in example.key.values())
            index = ["n", "m"].index(one.name) + 1
            shown = [None if value is None else int(value) for value in (example.a, example.b)]
            assert shown == [next(row[index] for row in rows if row[0] == key) for rows in (a, b)]
    # without keys whole rows are counted, each as often as it is there
    bags = diff(workshop.spark, Lake(str(workshop.folder)), "x.a", "x.b", examples=1)
    mine, theirs = Counter(a), Counter(b)
    assert (bags.only_a, bags.only_b) == ((mine - theirs).total(), (theirs - mine).total())
    assert bags.equal == (mine & theirs).total()
    assert [set(one.key) for one in bags.examples_only_a] == [{"k", "n", "m"}]


EVERY_TYPE = """SELECT 1 k, CAST('NaN' AS double) nan, {zero} zero, CAST(NULL AS int) none, X'00ff' bin,
    struct(CAST(NULL AS string) AS x, {zero} AS y) s, array(1, NULL) l, map('b', {zero}, 'a', NULL) m,
    CAST(1.50 AS decimal({digits})) d, TIMESTAMP '2026-01-01 00:00:00.000001' t"""


def test_values_are_equal_as_people_mean_it(compare):
    """NULL and NaN are themselves, zero has no sign, a map no order, and a decimal is a number whatever its scale."""
    one = EVERY_TYPE.format(zero="0.0D", digits="10,2")
    other = EVERY_TYPE.format(zero="-0.0D", digits="12,4").replace(
        "map('b', -0.0D, 'a', NULL)", "map('a', NULL, 'b', -0.0D)"
    )
    found = compare(one, other, keys=["K"])
    assert found.is_equal, list(told(found))
    assert [(kind.name, kind.is_compared) for kind in found.types] == [("d", True)]
    assert compare(one, other).is_equal
    changed = {
        "CAST(NULL AS int)": "7",
        "X'00ff'": "X'00fe'",
        "CAST(NULL AS string)": "''",
        "array(1, NULL)": "array(NULL, 1)",
        "'a', NULL,": "'a', 1.0D,",
        "00.000001": "00.000002",
        "'NaN'": "'1'",
    }
    for old, new in changed.items():
        other = other.replace(old, new)
    found = compare(one, other, keys=["k"])
    shown = {column.name: (column.examples[0].a, column.examples[0].b) for column in found.columns}
    assert shown == {
        "nan": ("NaN", "1.0"),
        "none": (None, "7"),
        "bin": ("0x00ff", "0x00fe"),
        "s": ('{"x":null,"y":0.0}', '{"x":"","y":0.0}'),
        "l": ("[1,null]", "[null,1]"),
        "m": (
            '[{"key":"a","value":null},{"key":"b","value":0.0}]',
            '[{"key":"a","value":1.0},{"key":"b","value":0.0}]',
        ),
        "t": ("2026-01-01 00:00:00.000001", "2026-01-01 00:00:00.000002"),
    }
    assert (found.different, found.equal) == (1, 0)


def test_columns_that_one_side_lacks_or_that_cannot_be_compared_are_said(compare):
    one = "SELECT 1 `a.b`, 2 `x y`, 3 `it's`, 'text' t, 1 only_a, struct(1 AS p) s, 5 n"
    other = "SELECT 1 `A.B`, 2 `X y`, 4 `it's`, 7 t, 1 only_b, struct(1 AS q) s, 5L n"
    found = compare(one, other, keys=names(["a.b"]))
    assert [(column.name, column.rows) for column in found.columns] == [("it's", 1)]
    assert (found.columns_only_a, found.columns_only_b) == (("only_a",), ("only_b",))
    assert {kind.name: kind.is_compared for kind in found.types} == {"t": False, "s": False, "n": True}
    lines = "\n".join(told(found))
    assert "a.b = 1: 3 | 4" in lines
    assert "t: string in A, int in B, not compared" in lines
    # a column too many or of another kind is a difference of its own, unless it is left out
    left_out = {"keys": ["a.b"], "without": ["it's", "t", "s", "ONLY_A", "only_b"]}
    assert compare(one, other, **left_out).is_equal
    assert not compare(one, other, **{**left_out, "without": left_out["without"][:-1]}).is_equal
    assert compare(one, other, keys=["a.b"], columns=["x y"]).is_equal
    assert names(['a, "b,c"', "d"]) == ("a", "b,c", "d")


def test_examples_of_personal_data_can_be_switched_off(compare):
    found = compare("SELECT 1 k, 'secret' v", "SELECT 1 k, 'other' v UNION ALL SELECT 2, 'w'", keys=["k"], examples=0)
    assert [column.rows for column in found.columns] == [1]
    assert not re.search("secret|other", json.dumps(found.as_json()) + "".join(told(found)))


def test_versions_and_paths_are_compared_and_what_there_is_not_is_an_error(workshop, monkeypatch):
    workshop.put("x.a", "k int, v int", [(1, 1)])
    workshop.put("x.a", "k int, v int", [(2, 2)])
    monkeypatch.chdir(workshop.project)
    lake = ["--lake", str(workshop.folder), "--json"]

    def command(*words: str) -> tuple[int, dict]:
        done = CliRunner().invoke(cli, ["diff", *words, *lake])
        return done.exit_code, json.loads(done.stdout.splitlines()[-1])

    code, answer = command("x.a@0", "x.a@1", "--keys", "k")
    assert (code, answer["status"], answer["only_b"], answer["equal"]) == (1, "different", 1, 1)
    assert answer["examples_only_b"] == [{"key": {"k": "2"}, "a": None, "b": None}]
    code, answer = command("x.a", f"{workshop.folder}/x/a@1", "--keys", "k")
    assert (code, answer["status"], answer["equal"]) == (0, "equal", 2)
    assert command("x.a", "x.b")[0] == SourceNotFoundError.exit_code
    assert command("x.a", "x.a@9")[1]["error"]["code"] == RecoveryError.code
    code, answer = command("x.a", "x.a@0", "--keys", "kk")
    assert (code, answer["error"]["code"]) == (2, ConfigError.code)
    assert "did you mean 'k'?" in answer["error"]["message"]


def test_each_side_is_shuffled_once(workshop):
    """By one exchange over both; a join after the look for duplicates would take two for each."""
    frame = workshop.spark.sql("SELECT 1 k, 2 v")
    columns = [_Shared("v", "v", frame.schema["v"].dataType)]
    plan = _grouped(frame, frame, _keyed(frame, frame, ["k"]), columns)._jdf.queryExecution().executedPlan().toString()
    assert (plan.count("Exchange "), plan.count("Join")) == (1, 0)
