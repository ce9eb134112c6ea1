"""Event time in a job's YAML: what a state may be told to hold."""

from __future__ import annotations

import pytest

JOB = """\
job: x
about: For a test
sources:
  events:
    kind: table
    table: bronze.events
    stream: true
    watermark: {column: at, delay: 10 minutes}
    dedupe: event_id
    window:
      size: 1 hour
      slide: 15 minutes
      by: status
      values: {orders: count(*), revenue: sum(amount)}
write: {table: gold.x, mode: append}
"""


def test_a_state_is_said_in_a_few_words(folder):
    job = folder.job(JOB)
    assert (job.is_stateful, job.windows, job.output_mode) == (True, True, "append")
    assert job.sources["events"].state == (
        "by at with 10 minutes; each (event_id) once; "
        "windows of 1 hour every 15 minutes by (status): orders = count(*), revenue = sum(amount)"
    )
    scd1 = "mode: scd1, keys: [window_start, status], sequence_by: _events"
    assert folder.job(JOB.replace("mode: append", scd1)).output_mode == "update"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    watermark: {column: at, delay: 10 minutes}\n",
            "",
            "x.yaml:8:13: sources.events.dedupe: needs a watermark: without one nobody can tell when its state may be",
        ),
        (
            JOB[JOB.index("    dedupe") : JOB.index("write")],
            "",
            "8:16: sources.events.watermark: a watermark bounds the state of dedupe or window, and there is neither",
        ),
        ("stream: true", "stream: false", "sources.events.watermark: is for an incremental source (stream: true)"),
        (
            "    dedupe:",
            "    contract: {columns: {at: timestamp}}\n    dedupe:",
            "9:15: sources.events.contract: rows are judged one by one, before a state takes them: by the job that writes",
        ),
        ("mode: append", "mode: scd2, keys: status, sequence_by: at", "write.mode: windows are appended (each once"),
        (
            JOB[JOB.index("    window") :],
            "write: {table: gold.x, mode: snapshot, snapshot_as: scd1, snapshot_by: day, keys: a}",
            "write.mode: a snapshot is whole: what dedupe or the watermark left out of it would be deleted",
        ),
        ("10 minutes", "ten minutes", "8:36: sources.events.watermark.delay:"),
        ("15 minutes", "25 minutes", "12:14: sources.events.window.slide: 1 hour is not a multiple of it"),
        ("15 minutes", "2 hours", "window.slide: 1 hour is not a multiple of it"),
        ("{orders:", "{Status:", "values.Status: 'Status' is in by, too"),
        ("{orders:", "{window_end:", "values.window_end: 'window_end' is a column of every window"),
        ("{orders:", "{_events:", "values._events: '_events' is a column of every window"),
        ("{orders:", "{_own:", "values._own: '_own': names that begin with an underscore are this library's"),
        ("by: status", "by: _source", "window.by: '_source': names that begin with an underscore are this library's"),
        ("{orders: count(*), revenue: sum(amount)}", "{}", "window.values:"),
    ],
)
def test_what_no_state_can_hold_is_told_by_its_line(folder, old, new, told):
    assert old in JOB
    assert told in "\n".join(folder.problems(JOB.replace(old, new, 1)))


@pytest.mark.parametrize(
    "value",
    [
        "count(*)",
        "count_if(status = 'paid')",
        "round(sum(amount) / nullif(count(*), 0), 2)",
        "max(struct(at, event_id, amount)).amount",
        "sum(case when status = 'paid' then amount else 0 end)",
        "approx_count_distinct(customer)",
        "bool_and(amount > 0)",
    ],
)
def test_an_aggregate_that_no_order_changes_is_a_value(folder, value):
    assert folder.job(JOB.replace("count(*)", f'"{value}"')).sources["events"].window.values["orders"] == value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "first(amount)",
            "first() is not known here, or depends on the order of rows: a window holds approx_count_dis",
        ),
        ("collect_list(amount)", "array_agg() is not known here"),
        ("foo(amount)", "foo() is not known here"),
        ("reflect('java.lang.System', 'exit')", "reflect() is not known here"),
        ("amount + 1", "not an aggregate: a window holds"),
        ("sum(amount) + amount", "'amount' is of one row: aggregate it, or name it in by"),
        ("count(distinct customer)", "approx_count_distinct() counts them, nearly"),
        ("sum(rand())", "RAND() gives another value each time"),
        ("max(current_timestamp())", "CURRENT_TIMESTAMP() gives another value each time"),
        ("sum(count(*))", "an aggregate within an aggregate"),
        ("sum((select 1))", "no subqueries, OVER, generators or parameters"),
        ("count(*) over ()", "no subqueries, OVER, generators or parameters"),
        ("sum(amount", "not an SQL expression"),
        ("count(*); drop table x", "expected one SQL expression"),
    ],
)
def test_what_is_no_aggregate_or_changes_by_itself_is_no_value(folder, value, told):
    (problem,) = folder.problems(JOB.replace("count(*)", f'"{value}"'))
    assert ".values.orders: " in problem
    assert told in problem
