"""What a person sees of a run: a line for each batch, on stderr, so that stdout is the result's alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.status import Status

    from lakehouse.publish.ledger import Rows
    from lakehouse.runtime.attempts import Failure
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.maintain import Cared
    from lakehouse.runtime.requeue import Report
    from lakehouse.runtime.result import RunResult
    from lakehouse.runtime.workplace import Workplace

_ANEW, _SIDES = ("files", "bytes"), ("_before", "_after")
_WAY_IN = ("read", "accepted", "quarantined", "dropped")


class Progress:
    """Says what a run does: with a spinner on a terminal, as plain lines in a log."""

    def __init__(self, *, alone: bool = True) -> None:
        """On stderr; one that is not ``alone`` has no spinner."""
        self._alone = alone
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._name = ""

    def start(self, work: Workplace) -> None:
        """A run begins."""
        self._name = f"{work.job.job} {work.run_id}"
        flow = f"{', '.join(work.job.sources)} -> {work.job.write.table} ({work.job.write.mode})"
        self._say(f"{self._name} starts: {flow} in {work.lake.root}")
        if self._alone and self._console.is_terminal:
            self._status = self._console.status("starting Spark")
            self._status.start()

    def batch(self, outcome: Outcome) -> None:
        """A batch was committed."""
        version = f"version {outcome.written.version}" if not outcome.written.is_empty else "no commit"
        again = " (had been committed before)" if outcome.status == "replayed" else ""
        seconds = f"{sum(outcome.seconds.values()):.1f} s"
        self._say(f"{self._name} batch {outcome.number}{again}: {told(outcome.rows)}; {version}; {seconds}")
        if self._status:
            self._status.update(f"after batch {outcome.number}")

    def retry(self, failure: Failure) -> None:
        """An attempt failed, and another follows."""
        said = f"{failure.error.code}: {failure.error.message}"
        self._say(
            f"{self._name} attempt {failure.attempt} of {failure.of} failed, again in {failure.waits:.1f} s: {said}"
        )

    def end(self, result: RunResult) -> None:
        """The run ended."""
        if self._status:
            self._status.stop()
        what = told(result.rows) if result.batches else "nothing new" if result.status == "done" else "nothing written"
        late = ", longer than its sla" if result.is_late else ""
        self._say(f"{self._name} {result.status} in {result.seconds:.1f} s{late}: {result.batches} batches, {what}")

    def _say(self, line: str) -> None:
        self._console.print(escape(line))


def told(rows: Rows) -> str:
    """The counts that are not zero, the way in and the way out."""
    counts = asdict(rows)

    def listed(names: list[str]) -> str:
        return ", ".join(f"{name} {counts[name]:,}" for name in names if counts[name]) or "none"

    return f"{listed(list(_WAY_IN))} -> {listed([name for name in counts if name not in _WAY_IN])}"


def cared_for(cared: Cared) -> Iterator[str]:
    """What maintenance did to a table, a line for each step."""
    yield cared.table.name
    for step in cared.steps:
        yield f"  {step.step:<8} {step.status:<8} {'; '.join(filter(None, (_counted(step.counts), step.why)))}"
    if cared.error:
        yield f"  failed: {cared.error.code}"


def requeued(report: Report) -> Iterator[str]:
    """What a requeue found, a line for each job and reason, and what came of it."""
    yield report.table
    if report.unfinished:
        yield f"  {report.unfinished:,} rows of a requeue that was interrupted: settled before others are taken up"
    if not report.found:
        yield "  nothing in quarantine that was asked for"
    for one in report.found:
        yield f"  {one.rows:,} rows of {one.job}: {f'not requeued: {one.refused}' if one.refused else 'chosen'}"
    for run in report.runs:
        yield f"  {run.job} {run.run_id} {run.status}: {told(run.rows)}"


def _counted(counts: Mapping[str, int]) -> str:
    """What a step counted; of what it wrote anew, before and after."""
    anew = (unit for unit in _ANEW if f"{unit}_before" in counts)
    parts = [f"{counts[f'{unit}_before']:,} {unit} -> {counts[f'{unit}_after']:,}" for unit in anew]
    others = {name: count for name, count in counts.items() if count and not name.endswith(_SIDES)}
    return ", ".join([*parts, *(f"{count:,} {name.replace('_', ' ')}" for name, count in others.items())])
