"""Jobs side by side: none may read what another writes in the same run, and the error says the order."""

from __future__ import annotations

import pytest

from lakehouse.errors import RunOrderError
from lakehouse.runtime.order import check_order
from lakehouse.spec.job import Job


def job(name: str, table: str, *reads: str, stream: str | None = None, trigger: str = "available_now") -> Job:
    sources = {f"s{number}": {"kind": "table", "table": read} for number, read in enumerate(reads)}
    if stream:
        sources["stream"] = {"kind": "table", "table": stream, "stream": True}
    mode = "append" if stream else "overwrite"
    write = {"table": table, "mode": mode}
    spec = {"job": name, "about": "For a test.", "sources": sources, "write": write, "trigger": trigger}
    return Job.model_validate(spec)


FACT = job("fact", "gold.fact", "silver.customers", stream="silver.orders")


@pytest.mark.parametrize(
    ("jobs", "order"),
    [
        ([FACT, job("dim", "silver.customers", "bronze.customers")], "lakehouse run dim && lakehouse run fact"),
        ([FACT, job("orders", "silver.orders", stream="bronze.orders")], "lakehouse run orders && lakehouse run fact"),
        ([job("a", "x.a", "x.b"), job("b", "x.b", "x.a")], "in a circle"),
        ([job("c", "x.c", "x.b"), job("b", "x.b", "x.a"), job("a", "x.a", "x.z")], "run a && lakehouse run b && lake"),
    ],
    ids=["a dimension", "a stream", "a circle", "a chain"],
)
def test_jobs_that_read_each_others_tables_are_refused_with_the_order(jobs: list[Job], order: str) -> None:
    with pytest.raises(RunOrderError) as found:
        check_order(jobs)
    assert order in found.value.hint
    assert found.value.exit_code == 2


@pytest.mark.parametrize(
    "jobs",
    [
        [FACT],
        [FACT, job("other", "gold.other", "silver.customers")],
        [FACT.model_copy(update={"trigger": "1 second"}), job("dim", "silver.customers", "bronze.customers")],
        [FACT, job("orders", "silver.orders", stream="bronze.orders", trigger="as_fast_as_possible")],
    ],
    ids=["alone", "of one source", "a reader that reads on", "a writer that writes on"],
)
def test_other_jobs_run_side_by_side(jobs: list[Job]) -> None:
    check_order(jobs)
