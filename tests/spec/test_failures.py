"""What a job may say about failures."""

from __future__ import annotations

import pytest

from lakehouse.errors import InvalidConfigError
from lakehouse.spec.failures import Breaker, Retry

JOB = """
job: x
about: For a test.
sources: {a: {kind: table, table: bronze.a, stream: true}}
write: {table: silver.a, mode: append}
"""


def test_a_job_that_says_nothing_tries_three_times_and_is_held_after_five_failures(folder):
    job = folder.job(JOB)
    assert job.retry == Retry(max_attempts=3, initial_backoff="1 second", max_backoff="1 minute")
    assert job.breaker == Breaker(max_failures=5, max_quarantine_fraction=None, max_change_fraction=None)


def test_every_limit_can_be_set_and_turned_off(folder):
    job = folder.job(JOB + "breaker: {max_failures: null, max_quarantine_fraction: 0.5, max_change_fraction: 0}\n")
    assert (job.breaker.max_failures, job.breaker.max_quarantine_fraction, job.breaker.max_change_fraction) == (
        None,
        0.5,
        0,
    )
    assert folder.job(JOB + "retry: {max_attempts: 1}\n").retry.max_attempts == 1


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("retry: {max_attempts: 0}", "retry.max_attempts"),
        ("retry: {initial_backoff: 1 fortnight}", "retry.initial_backoff"),
        ("retry: {initial_backoff: 5 seconds, max_backoff: 1 second}", "retry.max_backoff"),
        ("breaker: {max_failures: 0}", "breaker.max_failures"),
        ("breaker: {max_quarantine_fraction: 50}", "breaker.max_quarantine_fraction"),
        ("breaker: {max_changes: 0.5}", "breaker.max_changes"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_line(folder, line, field):
    with pytest.raises(InvalidConfigError) as raised:
        folder.job(JOB + line + "\n")
    (problem,) = raised.value.problems
    assert (problem.line, problem.field) == (6, field)
