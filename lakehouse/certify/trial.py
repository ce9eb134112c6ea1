"""A job is killed at each place where it makes something durable, and must end as if it had not been.

Every trial has a lake of its own, and the same input. A clean run says where there is something durable, a second one
which columns are other ones in every run. Then, for each place: the real process is ended as ``kill -9`` does, the job
is run again, and once more; target, quarantine and ledger must be those of the clean run, and the third run may find
nothing to do.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.certify.failing import environment, is_killed
from lakehouse.certify.fingerprint import fingerprints
from lakehouse.certify.inputs import inputs
from lakehouse.certify.points import one_of_each, points
from lakehouse.errors import LakehouseError, RecoveryError
from lakehouse.lake.place import Lake
from lakehouse.runtime.session import settled, start

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pyspark.sql import SparkSession

    from lakehouse.certify.failing import Failpoint
    from lakehouse.certify.fingerprint import Fingerprint
    from lakehouse.certify.inputs import Inputs
    from lakehouse.certify.points import Point
    from lakehouse.runtime.workplace import Workplace

_PATIENCE = 900
"""Seconds that a process of a trial may take."""

Verdict = Literal["converged", "DIFFERS", "FAILED", "not reached"]


@dataclass(frozen=True)
class Trial:
    """What came of a kill at one place; ``detail`` says what is not as it should be, ``lake`` is kept then."""

    point: str
    verdict: Verdict
    seconds: float
    detail: str = ""
    lake: str = ""


@dataclass(frozen=True)
class Certificate:
    """All trials of a job, and what would replay them."""

    job: str
    seed: int
    batches: int
    left_out: tuple[str, ...]
    trials: tuple[Trial, ...]

    @property
    def error(self) -> LakehouseError | None:
        """Nothing, where all converged."""
        bad = [trial for trial in self.trials if trial.verdict in ("DIFFERS", "FAILED")]
        if not bad:
            return None
        message = f"{self.job}: {len(bad)} of {len(self.trials)} kills did not end in the table of a clean run"
        return RecoveryError(message, hint=f"each runs again alone: --seed {self.seed} --point '{bad[0].point}'")

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse certify --json`` prints."""
        return {**asdict(self), "status": "failed" if self.error else "done"}


@dataclass(frozen=True)
class Wanted:
    """How a job is to be certified.

    Attributes:
        where: the arguments of ``prepare`` but for the lake: environment and parameters.
        given: a folder of files in the place of the job's own.
        size: files, or records of each partition, that a trial reads.
        every: all places, and not one of each sort.
        point: only the places whose name holds this.
        seed: which of each sort; random where there is none.
    """

    where: Mapping[str, Any]
    given: Path | None = None
    size: int = 3
    every: bool = False
    point: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class _Bench:
    """Where the trials of a job are made."""

    work: Workplace
    where: Mapping[str, Any]
    scratch: Path
    inputs: Inputs
    spark: SparkSession

    def lake(self, name: str) -> Lake:
        """A new lake, with the tables that the job reads."""
        place = self.scratch / name
        place.mkdir(parents=True)
        self.inputs.put(place)
        return Lake(str(place))

    def run(self, lake: Lake, *failpoints: Failpoint, trace: Path | None = None) -> _Ended:
        """Run the job in a process of its own."""
        told = {
            "job": self.work.job.job,
            "root": str(self.work.project.root),
            "sources": self.inputs.sources,
            "folders": self.inputs.folders,
            "where": {**self.where, "lake": lake.root, "trigger": self._trigger},
        }
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        (folder / "trial.json").write_text(json.dumps(told), encoding="utf-8")
        command = [sys.executable, "-m", "lakehouse.certify.child", str(folder / "trial.json")]
        known = environment(folder, failpoints, trace=trace)
        done = subprocess.run(
            command,
            env=known,
            start_new_session=True,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return _Ended(done.returncode, lines, done.stderr)

    @property
    def _trigger(self) -> str | None:
        return "available_now" if self.work.job.is_incremental else None

    def prints(self, lake: Lake, without: Mapping[str, Collection[str]]) -> dict[str, Fingerprint]:
        """What a lake holds."""
        return fingerprints(self.spark, lake, self.work.job.write.table, without)


@dataclass(frozen=True)
class _Ended:
    """How a process ended, what its runs came to, and what it said besides."""

    code: int
    runs: list[dict[str, Any]]
    told: str

    @property
    def fault(self) -> str:
        """Why it is no good run followed by one that had nothing to do; empty where it is."""
        if self.code or len(self.runs) != 2:
            errors = [run["error"]["message"] for run in self.runs if run["error"]]
            return (errors or [self.told.strip()[-300:]])[0] or f"ended with {self.code}"
        again = self.runs[1]
        if again["target"]["rows_added"] or again["target"]["rows_removed"]:
            return f"a further run changed the table: {again['target']}"
        return ""


def certify(work: Workplace, wanted: Wanted, *, say: Callable[[Trial], None]) -> Certificate:
    """Kill the job wherever it makes something durable, and hold what it ends in against a clean run.

    Args:
        work: the job in its place; nothing there is written.
        wanted: what to try.
        say: told of each trial.

    Raises:
        LakehouseError: the job cannot be run cleanly in the first place.
    """
    seed = random.randrange(10**6) if wanted.seed is None else wanted.seed  # noqa: S311 -- no secret
    scratch = Path(tempfile.mkdtemp(prefix="certify-"))
    spark = start("certify", work.settings)
    with settled(spark, work.settings):
        read = inputs(work, scratch, given=wanted.given, size=wanted.size)
        bench = _Bench(work, wanted.where, scratch, read, spark)
        trace = scratch / "trace"
        clean, batches = _clean(bench, "clean", trace=trace)
        other, _ = _clean(bench, "again")
        first, second = bench.prints(clean, {}), bench.prints(other, {})
        without = {name: first[name].differs_in(second.get(name)) for name in first}
        expected = bench.prints(clean, without)
        lines = trace.read_text(encoding="utf-8").splitlines()
        found = points(lines, clean.root)
        chosen = found if wanted.every else one_of_each(found, seed)
        if wanted.point:
            chosen = [point for point in found if wanted.point in point.name]
        trials = []
        for number, point in enumerate(chosen):
            trials.append(_trial(bench, point, f"trial-{number}", expected, without))
            say(trials[-1])
    left_out = tuple(f"{name}: {column}" for name, columns in without.items() for column in columns)
    certificate = Certificate(work.job.job, seed, batches, left_out, tuple(trials))
    if certificate.error is None:
        shutil.rmtree(scratch)
    return certificate


def _clean(bench: _Bench, name: str, *, trace: Path | None = None) -> tuple[Lake, int]:
    """Run the job where nothing fails; its lake, and how many batches it had.

    Raises:
        RecoveryError: it fails all the same.
    """
    lake = bench.lake(name)
    ended = bench.run(lake, trace=trace)
    if ended.fault:
        message = f"{bench.work.job.job} does not run cleanly: {ended.fault}"
        raise RecoveryError(message, hint="certify a job that runs; its input is a copy of the newest of its own")
    return lake, int(ended.runs[0]["batches"])


def _trial(
    bench: _Bench,
    point: Point,
    name: str,
    expected: Mapping[str, Fingerprint],
    without: Mapping[str, Collection[str]],
) -> Trial:
    """Kill the job at one place, run it again, and look."""
    begin = time.monotonic()
    lake = bench.lake(name)
    killed = bench.run(lake, point.failpoint)
    verdict: Verdict = "converged"
    detail = ""
    if not is_killed(killed.code):
        verdict = "not reached"
    else:
        detail = bench.run(lake).fault
        verdict = "FAILED" if detail else "converged"
    if not detail:
        found = bench.prints(lake, without)
        wrong = {name: expected[name].differs_in(found.get(name)) for name in expected}
        wrong |= {name: ["a table that a clean run does not make"] for name in found.keys() - expected.keys()}
        detail = "; ".join(f"{name}: {', '.join(what)}" for name, what in wrong.items() if what)
        verdict = "DIFFERS" if detail else verdict
    kept = lake.root if detail else ""
    if not detail:
        shutil.rmtree(lake.root)
    return Trial(point.name, verdict, round(time.monotonic() - begin, 1), detail, kept)
