"""What a source of files may say of their places: patterns that end in time, names that do not meet. No Spark."""

from __future__ import annotations

import re
import time

import pytest

JOB = """\
job: x
about: a
sources:
  orders: {kind: files, path: landing, %s}
write: {table: bronze.orders, mode: append}
"""


@pytest.mark.parametrize(
    ("pattern", "columns"),
    [
        (r"orders_(?P<country>[A-Z]{2})_(?P<day>\d{4}-\d\d-\d\d)\.csv(\.gz)?", ["country", "day"]),
        (r"(?P<a>.+)_(?P<b>.+)_(?P<c>.+)\..+", ["a", "b", "c"]),
        (r"(?:x|y)?(?P<a>[^)*+]+)[*]\(\*", ["a"]),
        (r"(?P<a>(?:ab){3})", ["a"]),
        (r"(?P<a>.*?)_(?P<b>.+?)_(?P<c>.{1,9}?)(?:\.csv)?", ["a", "b", "c"]),
    ],
)
def test_named_groups_of_a_sound_pattern_are_columns(folder, pattern, columns):
    source = folder.job(JOB % f"name_pattern: '{pattern}'").sources["orders"]
    assert list(source.columns_of_place) == columns
    # the worst name that a file can have
    for letter in "a_.":
        begin = time.perf_counter()
        re.fullmatch(pattern, letter * 254 + "\0")
        assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"orders_(.*)\.csv", "names no part"),
        (r"orders_(?P<a>.*", "not a regular expression: missing )"),
        (r"(?P<a>(x+)+)y", "a repeated group holds a repeat or alternatives"),
        (r"(?P<a>(?:[a-z]?[a-z0-9]?)+)y", "a repeated group holds a repeat or alternatives"),
        (r"(?P<a>x?x?x?x?x?)y", "5 repeats of no fixed length; at most 4"),
        (r"(?P<a>(?:x|xx)*)y", "a repeated group holds a repeat or alternatives"),
        (r"(?P<a>((x+))*)y", "a repeated group holds a repeat or alternatives"),
        (r"(?P<a>(x{1,9}){20})y", "a repeated group holds a repeat or alternatives"),
        (r"(?P<a>(x*){2,})y", "a repeated group holds a repeat or alternatives"),
        (r"(?P<a>x*x*x*x*x*)y", "5 repeats of no fixed length; at most 4"),
        (r"(?P<a>x)(?=y)", "without look-around, flags and back references"),
        (r"(?P<a>x)(?P=a)", "without look-around, flags and back references"),
        (r"(?P<a>x)\1", "without look-around, flags and back references"),
        (r"(?i)(?P<a>x)", "without look-around, flags and back references"),
        (r"(?P<__a>x)", "'__a' is reserved"),
        (r"(?P<_SOURCE>x)", "'_SOURCE' is reserved"),
        (r"(?P<A>x)(?P<a>y)", "'a' is told twice"),
        (r"(?P<a>" + "x" * 500 + ")", "at most 500"),
    ],
)
def test_a_pattern_that_may_not_end_or_names_nothing_is_refused(folder, pattern, told):
    [problem] = folder.problems(JOB % f"name_pattern: '{pattern}'")
    assert problem.startswith("conf/x.yaml:4:5")
    assert told in problem


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("partition_columns: [a, A]", "sources.orders.partition_columns: 'A' is told twice"),
        ("partition_columns: a, name_pattern: '(?P<a>.*)'", "'a' is told twice: by a folder or the name"),
        ("control: .ctl, ready_by: _SUCCESS", "sources.orders.ready_by: give control or ready_by"),
        ("control: .ctl, max_bytes: 5", "sources.orders.max_bytes: with control files a batch is bounded"),
        ("control: 'ctl'", "sources.orders.control: 'ctl' does not match"),
        ("control: '.c*'", "sources.orders.control: '.c*' does not match"),
        ("ready_by: READY", "sources.orders.ready_by: READY would be read as a file"),
        ("ready_by: a/b", "sources.orders.ready_by: 'a/b' does not match"),
        ("ready_by: ..", "sources.orders.ready_by: '..' does not match"),
    ],
)
def test_what_does_not_go_together_is_told(folder, said, told):
    [problem] = folder.problems(JOB % said)
    assert told in problem


def test_a_marker_that_no_file_is_taken_for_may_have_any_name(folder):
    assert folder.job(JOB % "ready_by: READY, pattern: '*.csv'").sources["orders"].ready_by == "READY"


def test_markers_are_for_runs_that_end(folder):
    [problem] = folder.problems(JOB % "ready_by: _SUCCESS" + "trigger: as_fast_as_possible\n")
    assert "sources.orders.ready_by: markers are looked for when a run begins" in problem
