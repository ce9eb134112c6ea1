"""A job's YAML: every fault has its line, column and path, and no file brings anything but a job or such faults."""

from __future__ import annotations

import copy
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from lakehouse.errors import InvalidConfigError
from lakehouse.spec.document import MAX_BYTES
from lakehouse.spec.files import CsvOptions

VALID = """\
job: x
about: One row per order
params:
  landing: landing
sources:
  orders:
    kind: files
    path: ${param:landing}/orders
    csv:
      delimiter: ;
    contract:
      columns:
        order_id: bigint not null
        amount: {type: 'decimal(12,2)', about: What is paid}
      rules:
        - name: not_negative
          check: amount >= 0
write:
  table: silver.orders
  mode: scd1
  keys: [order_id]
  sequence_by: amount
"""

quick = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_a_valid_file_is_a_job(folder):
    job = folder.job(VALID)
    assert job.write.keys == ("order_id",)
    assert job.sources["orders"].contract.columns["amount"].about == "What is paid"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("about:", "abuot:", ["x.yaml:2:1: abuot: unknown key; did you mean 'about'?", ":1:1: about: is missing"]),
        (
            "    path:",
            "    paht:",
            [":8:5: sources.orders.paht: unknown key; did you mean 'path'?", "path: is missing"],
        ),
        ("delimiter:", "delimeter:", [":10:7: sources.orders.csv.delimeter: unknown key; did you mean 'delimiter'?"]),
        ("columns:", "colums:", [":12:7: sources.orders.contract.colums: unknown key; did you mean 'columns'?"]),
        (
            "about: What",
            "abouts: What",
            [":14:41: sources.orders.contract.columns.amount.abouts: unknown key"],
        ),
        # pydantic's mark for a key of a mapping
        ("  keys:", "  '[key]':", [":21:3: write.[key]: unknown key; did you mean 'keys'?", "write.keys: is missing"]),
        (
            "check:",
            "chekc:",
            [
                "contract.rules.not_negative.check: is missing",
                ":17:11: sources.orders.contract.rules.not_negative.chekc:",
            ],
        ),
        ("  keys:", "  key:", [":21:3: write.key: unknown key; did you mean 'keys'?", ":19:3: write.keys: is missing"]),
    ],
)
def test_an_unknown_key_at_any_depth_has_its_place_and_the_nearest_name(folder, old, new, told):
    problems = folder.problems(VALID.replace(old, new, 1))
    assert len(problems) == len(told)
    for problem in told:
        assert any(problem in one for one in problems), problems


def test_an_unknown_key_like_no_other_brings_all_valid_names(folder):
    [problem] = folder.problems(VALID.replace("      delimiter: ;", "      zzz: 1"))
    assert problem.endswith("zzz: unknown key; expected one of " + ", ".join(CsvOptions.model_fields))


def test_several_errors_are_told_at_once_in_the_order_of_their_lines(folder):
    text = VALID.replace("silver.orders", "Silver").replace("kind: files", "kind: file").replace("bigint", "bignit")
    text = text.replace("about: One", "abot: One") + "extra: 1\n"
    problems = folder.problems(text)
    assert [problem.split(":")[1] for problem in problems] == ["1", "2", "7", "13", "19", "23"]


def test_all_faults_of_a_source_are_told_when_its_kind_is_right(folder):
    text = VALID.replace("bigint", "bignit").replace("amount >= 0", "amount >=").replace("delimiter: ;", "delimiter: 1")
    assert [problem.split(": ")[1] for problem in folder.problems(text)] == [
        "sources.orders.csv.delimiter",
        "sources.orders.contract.columns.order_id.type",
        "sources.orders.contract.rules.not_negative.check",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: files", "kind: flies", "7:11: sources.orders.kind: unknown value 'flies'; did you mean 'files'?"),
        ("    kind: files\n", "", "7:5: sources.orders.kind: is missing; expected one of files, kafka, table"),
        ("mode: scd1", "mode: upsert", "20:9: write.mode: unknown value 'upsert'; did you mean 'scd1'?"),
        ("mode: scd1", "mode: [scd1]", "20:9: write.mode: unknown value"),
        ("  mode: scd1\n", "", "19:3: write.mode: is missing; expected one of append, overwrite, scd1"),
        (
            "    csv:",
            "    format: cvs\n    csv:",
            "9:13: sources.orders.format: unknown value 'cvs'; did you mean 'csv'?",
        ),
        (
            "    csv:",
            "    stream: false\n    csv:",
            "sources.orders.stream: unknown value 'false'; expected one of true",
        ),
    ],
)
def test_a_wrong_choice_brings_the_nearest_one_and_its_place(folder, old, new, told):
    assert any(told in problem for problem in folder.problems(VALID.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("about: One row per order", "about: 7", "2:8: about: expected text (quote it if it is meant as text)"),
        ("about: One row per order", "about:", "2:1: about: expected text"),
        ("  landing: landing", "  landing: 5", "4:12: params.landing: expected text"),
        ("      delimiter: ;", "      multiline: 1", "10:18: sources.orders.csv.multiline: expected true or false"),
        ("    csv:", "    max_files: many\n    csv:", "9:16: sources.orders.max_files: expected a whole number"),
        ("    csv:", "    max_files: 0\n    csv:", "9:16: sources.orders.max_files: input should be greater than 0"),
        ("    csv:", "    max_files: 3000000000\n    csv:", "input should be less than or equal to 2147483647"),
        ("keys: [order_id]", "keys: {a: 1}", "21:9: write.keys: expected a list"),
        ("keys: [order_id]", "keys: [order_id, 2]", "21:20: write.keys.1: expected text"),
        ("keys: [order_id]", "keys: []", "21:9: write.keys: expected at least one"),
        (
            "order_id: bigint not null",
            "order_id: [bigint]",
            "13:19: sources.orders.contract.columns.order_id: expected",
        ),
        ("table: silver.orders", "table: Orders", "19:10: write.table: 'Orders' does not match"),
        (
            "table: silver.orders",
            "table: ops.runs",
            "19:10: write.table: 'ops.runs' is a table that this library keeps",
        ),
        ("  orders:", "  Orders:", "6:3: sources.Orders: 'Orders' does not match"),
        ("  landing: landing", "  landing: '${param:other}'", "4:12: params.landing: a parameter cannot refer"),
    ],
)
def test_a_wrong_value_says_what_was_expected(folder, old, new, told):
    assert any(told in problem for problem in folder.problems(VALID.replace(old, new, 1)))


def test_a_long_wrong_value_is_shown_in_short(folder):
    [problem] = folder.problems(VALID.replace("mode: scd1", f"mode: {'long ' * 1000}"))
    assert len(problem) < 200


def test_two_bounds_of_a_batch_are_told_at_the_second(folder):
    [problem] = folder.problems(VALID.replace("    csv:", "    max_files: 1\n    max_bytes: 1\n    csv:"))
    assert problem.startswith("conf/x.yaml:10:16: sources.orders.max_bytes: give max_files or max_bytes")


def test_two_layouts_are_told_at_the_second(folder):
    [problem] = folder.problems(VALID + "  partition_by: a\n  cluster_by: [b]\n")
    assert problem.startswith("conf/x.yaml:24:15: write.cluster_by: give partition_by or cluster_by")


def test_two_incremental_sources_are_told_at_the_second(folder):
    [problem] = folder.problems(VALID.replace("write:", "  more: {kind: table, table: a.b, stream: true}\nwrite:"))
    assert problem.startswith("conf/x.yaml:18:9: sources.more: at most one source can be incremental")


def test_append_without_an_incremental_source_is_an_error_as_it_would_add_all_rows_again(folder):
    [problem] = folder.problems(
        """\
        job: x
        about: a
        sources:
          a: {kind: table, table: s.a}
        write: {table: s.t, mode: append}
        """
    )
    assert problem.startswith("conf/x.yaml:5:27: write.mode: append needs an incremental source")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("job: x\njob: y\n", "2:1: job: found twice, first in line 1"),
        ("a:\n  b: {c: 1, d: 2,\n   c: 3}\n", "3:4: a.b.c: found twice, first in line 2"),
        ("a: &anchor 1\n", "1:4: anchors, aliases and tags are not accepted"),
        ("a: *anchor\n", "1:4: anchors, aliases and tags are not accepted"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", "2:4: anchors, aliases and tags are not accepted"),
        ("a: !secret x\n", "1:4: anchors, aliases and tags are not accepted"),
        ("<<: {a: 1}\n", "1:1: a key must be text"),
        ("job: x\n1: x\n", "2:1: a key must be text: quote it"),
        ("params:\n  2024-01-01: x\n", "2:3: params: a key must be text"),
        ("? [a, b]\n: c\n", "1:3: a key must be text"),
        ("job:\n\tx: 1\n", "2:1: not YAML: found character '\\t' that cannot start any token: indent by spaces"),
        ("a: [1, 2\n", "2:1: not YAML: expected ',' or ']'"),
        ("a: 'b\n", "not YAML: found unexpected end of stream"),
        ("a: b: c\n", "1:5: not YAML: mapping values are not allowed here"),
        ("a: 1\nb: \x07\n", "2:1: not YAML: the character U+0007"),
        ('a: b\nc: "\\U00110000"\n', "2:2: not YAML: an escape or a number after this"),
        ('a: b\nc: "\\UFFFFFFFF"\n', "2:2: not YAML: an escape or a number after this"),
        ('a: b\nc: "x\\ud800"\n', "2:4: c: holds one half of a character (U+D800)"),
        ('a: b\n"\\udfff": c\n', "2:1: holds one half of a character (U+DFFF)"),
        (f"a: [{'1,' * 60_000}]\n", "1:60000: is too large: more than 60,000 names, values and marks"),
        ("a: 1\n---\nb: 2\n", "2:1: not YAML: but found another document"),
        (f"a: {'9' * 5000}\n", "1:4: a: not a number that can be read"),
        ("- a\n- b\n", "1:1: expected a mapping (name: value)"),
        ("", "1:1: expected a mapping (name: value)"),
        ("# nothing\n", "1:1: expected a mapping (name: value)"),
        ("text", "1:1: expected a mapping (name: value)"),
        (b"a: 1\nb: \xff\n", "2:1: not UTF-8: the byte 0xff"),
        ("job: x".encode("utf-16"), "1:1: not UTF-8"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_at_its_place(folder, text, told):
    [problem] = folder.problems(text)
    assert problem.startswith(f"conf/x.yaml:{told}") or (told.startswith("not") and told in problem)


def test_every_key_that_stands_twice_is_told(folder):
    assert len(folder.problems("job: x\njob: y\nwrite: {mode: a, mode: b}\n")) == 2


def test_a_bomb_of_aliases_is_refused_before_it_grows(folder):
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    [problem] = folder.problems(text)
    assert "1:5: anchors, aliases and tags" in problem


@pytest.mark.parametrize("text", ["[" * 50_000, "{a: " * 50_000, "- " * 50_000, "? " * 50_000])
def test_a_deep_nest_is_refused_at_the_place_where_it_is_too_deep(folder, text):
    [problem] = folder.problems(text)
    assert "nested more than 32 deep" in problem


def test_a_file_over_the_limit_is_refused_unread(folder):
    [problem] = folder.problems(VALID + "#" * MAX_BYTES)
    assert problem == "conf/x.yaml:1:1: is too large: a configuration file has at most 262,144 bytes"


def test_a_byte_order_mark_moves_no_column(folder):
    assert folder.job(b"\xef\xbb\xbf" + VALID.encode()).job == "x"
    [problem] = folder.problems(b"\xef\xbb\xbfjbo: x\n" + VALID.encode())
    assert "x.yaml:1:1: jbo: unknown key" in problem


def test_windows_line_ends_move_no_line(folder):
    [problem] = folder.problems(VALID.replace("mode: scd1", "mode: scd").replace("\n", "\r\n"))
    assert problem.startswith("conf/x.yaml:20:9: write.mode:")


def test_a_date_is_the_text_that_it_is(folder):
    assert folder.job(VALID.replace("landing: landing", "landing: 2024-01-01")).params == {"landing": "2024-01-01"}


@pytest.mark.parametrize("name", ["files", "table", "append", "kind", "scd1"])
def test_a_name_that_is_also_a_choice_confuses_no_error(folder, name):
    text = VALID.replace("  orders:", f"  {name}:").replace("    csv:", "    cvs:")
    [problem] = folder.problems(text)
    assert problem.startswith(f"conf/x.yaml:9:5: sources.{name}.cvs: unknown key; did you mean 'csv'?")


def judged(folder, content):
    """The job that a file is, or None where it is none: its faults are there, and each has a line of the file."""
    try:
        return folder.job(content)
    except InvalidConfigError as error:
        found = error.problems
    lines = len((content if isinstance(content, str) else content.decode("latin-1")).splitlines()) + 1
    assert found
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in found)
    return None


def is_a_job_or_none(folder, content):
    return (job := judged(folder, content)) is None or (job.job, bool(job.sources)) == ("x", True)


yaml_like = st.text(st.sampled_from("ab:jo 01-.[]{},?!&*#|>'\"%@`~<=\n\n\t\r$\x85\u2028\ufeffé😀\x00"), max_size=60)


@quick
@given(st.one_of(st.text().map(str.encode), yaml_like.map(str.encode), st.binary()))
def test_any_file_is_a_job_or_brings_faults_with_lines(folder, content):
    assert judged(folder, content) is None


@quick
@given(st.data())
def test_any_text_put_into_a_job_leaves_a_job_or_faults_with_lines(folder, data):
    at = data.draw(st.integers(0, len(VALID)))
    until = data.draw(st.integers(at, min(len(VALID), at + 20)))
    assert is_a_job_or_none(folder, VALID[:at] + data.draw(yaml_like) + VALID[until:])


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["files", "a.b"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
    max_leaves=4,
)


@quick
@given(st.data())
def test_any_key_dropped_renamed_or_of_another_type_leaves_a_job_or_faults_with_lines(folder, data):
    tree = YAML(typ="safe", pure=True).load(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        mapping = data.draw(st.sampled_from(list(mappings(tree))))
        key = data.draw(st.sampled_from(sorted(mapping))) if mapping else ""
        change = data.draw(st.sampled_from(["drop", "rename", "retype"]))
        value = mapping.pop(key, None)
        if change == "rename":
            mapping[data.draw(st.text(max_size=8))] = value
        elif change == "retype":
            mapping[key] = copy.deepcopy(data.draw(values))
    assert is_a_job_or_none(folder, data.draw(st.sampled_from([json_text, block_text]))(tree))


def mappings(tree):
    if isinstance(tree, dict):
        yield tree
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from mappings(value)


def json_text(tree):
    return json.dumps(tree, indent=1)


def block_text(tree):
    out = io.StringIO()
    YAML().dump(tree, out)
    return out.getvalue()
