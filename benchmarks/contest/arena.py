"""Where the contenders meet: their processes, their tables, and the rounds in which they take turns."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from contest import folder, oracle

if TYPE_CHECKING:
    from contest.workloads import Workload

HERE = Path(__file__).resolve().parent.parent
TIMEOUT = 1800
WARM_FIRST = 3
"""Rounds that do not count in the first workload of a process: its Java compiles most of its code in them."""

WARM_SERIES = 10
"""Batches of a series that a process writes before it is measured."""

FLAVOURS = {"naive": "plain", "koheesio": "plain", "deltalake": "plain", "tuned": "vectors"}


class ContenderError(Exception):
    """A contender did not do what it was asked; the message is its own."""


class Process:
    """A contender's process."""

    def __init__(self, name: str, python: Path, scratch: Path) -> None:
        """Start it, and wait until it is ready."""
        self.name = name
        scratch.mkdir(parents=True, exist_ok=True)
        self.log = scratch / "log.txt"
        self.begun = time.perf_counter()
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [python, "-m", "contest.worker", name, scratch],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=scratch,
                text=True,
                env=surroundings(python),
            )
        self.questions, self.answers = cast("IO[str]", self.process.stdin), cast("IO[str]", self.process.stdout)
        self.pids: list[int] = self._answer(120)["pids"]

    def ask(self, **request: object) -> dict[str, Any]:
        """Send a request and wait for what it gives.

        Raises:
            ContenderError: it failed, took too long, or ended.
        """
        try:
            print(json.dumps(request, default=str), file=self.questions, flush=True)
        except BrokenPipeError:
            raise ContenderError(f"{self.name} has ended, see {self.log.name}") from None
        answer = self._answer(TIMEOUT)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def _answer(self, seconds: float) -> dict[str, Any]:
        ready, _, _ = select.select([self.answers], [], [], seconds)
        line = self.answers.readline() if ready else ""
        if not line:
            self.process.kill()
            self.process.wait()
            raise ContenderError("took too long" if not ready else f"{self.name} has ended: {self._last_words()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"

    def end(self) -> None:
        """Let it end; a JVM ends with the Python that started it."""
        self.questions.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


def surroundings(python: Path) -> dict[str, str]:
    """The environment variables: the jars and Spark's settings are those of this environment for all."""
    import pyspark

    return {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "PYSPARK_PYTHON": str(python),
        "SPARK_CONF_DIR": str(Path(pyspark.__file__).parent / "conf"),
        "PYTHONWARNINGS": "ignore",
    }


@dataclass
class Score:
    """What a contender did in a workload: one entry for each round that counts."""

    status: str = "ok"
    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    series: list[list[float]] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    footprint: dict[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether what came out was right, every time."""
        return self.status == "ok" and bool(self.seconds)


class Arena:
    """The processes that are alive, the tables that were made, and the copies that are written to."""

    def __init__(self, cache: Path, pythons: Mapping[str, Path]) -> None:
        """Nothing is started before it is needed."""
        self.cache, self.pythons = cache, pythons
        self.work = cache / "work"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.processes: dict[str, Process] = {}
        self.duckdb = oracle.connect(self.work)
        self.turn = 0

    def tables(self, size: int) -> Path:
        """Where the tables of a size are."""
        return self.cache / "tables" / str(size)

    def prepare(self, chosen: Sequence[Workload]) -> None:
        """Make the tables and batches that are not there."""
        wanted: dict[int, set[str]] = {}
        for one in chosen:
            names = wanted.setdefault(one.rows, set())
            names |= {one.base, one.batch}
            if one.kind == "scd2" and "koheesio" in one.contenders:
                names.add("history_koheesio")
        for size, names in sorted(wanted.items()):
            missing = sorted(name for name in names if not (self.tables(size) / name).exists())
            if missing:
                print(f"making {', '.join(missing)} of {size:,} rows", file=sys.stderr)
                self.tables(size).mkdir(parents=True, exist_ok=True)
                python = Path(sys.executable)
                command = [python, "-m", "contest.tables", self.tables(size), str(size), *missing]
                subprocess.run(command, check=True, env=surroundings(python), cwd=self.work, stdout=sys.stderr)

    def process(self, name: str) -> Process:
        """The contender's process, started if need be."""
        if name not in self.processes:
            self.processes[name] = Process(name, self.pythons[name], self.work / name)
        return self.processes[name]

    def contest(self, workload: Workload, names: Sequence[str], repeat: int) -> dict[str, Score]:
        """All rounds of a workload. Those at the beginning only warm the contenders up."""
        expected = oracle.expected(self.duckdb, workload, self.tables(workload.rows))
        scores = {name: Score() for name in names}
        templates: dict[str, Path] = {}
        first = any(name not in self.processes for name in names)
        warm = WARM_FIRST if first and not workload.series else 1
        for turn in range((workload.repeat or repeat) + warm):
            for name in names:
                score = scores[name]
                if score.status != "ok":
                    continue
                try:
                    if name not in templates:
                        templates[name] = self.template(workload, name)
                    self._round(workload, name, templates[name], score, expected, warm=turn < warm)
                except ContenderError as error:
                    score.status = f"failed: {error}"
                    self._bury(name)
        for path in templates.values():
            if path.is_relative_to(self.work):
                shutil.rmtree(path, ignore_errors=True)
        return scores

    def _bury(self, name: str) -> None:
        """Let a process that has ended be started anew for the next workload."""
        process = self.processes.get(name)
        if process and process.process.poll() is not None:
            del self.processes[name]

    def template(self, workload: Workload, name: str) -> Path:
        """The table, or for a run the project and lake, that every round starts from."""
        base = workload.base
        place = self.tables(workload.rows)
        if flavour := FLAVOURS.get(name):
            if workload.kind == "scd2" and name == "koheesio":
                base = "history_koheesio"
            return place / base / flavour
        self.turn += 1
        template = self.work / f"template{self.turn}"
        process = self.process(name)
        batches = self._batches(workload)
        empty, table = self.work / f"empty{self.turn}", template.with_suffix(".table")
        data = place / base / "plain"
        process.ask(do="make", kind=workload.kind, empty=empty, batch=batches[0], data=data, table=table)
        shutil.rmtree(empty)
        if name == "ours_write":
            table.rename(template)
            return template
        due = [] if workload.series else batches
        process.ask(do="lake", kind=workload.kind, root=template, table=table, batches=due)
        shutil.rmtree(table)
        return template

    def _batches(self, workload: Workload) -> list[Path]:
        place = self.tables(workload.rows) / workload.batch
        return [place / f"number={number}" for number in range(workload.series)] if workload.series else [place]

    def _round(
        self, workload: Workload, name: str, template: Path, score: Score, expected: oracle.Sum, *, warm: bool
    ) -> None:
        process = self.process(name)
        self.turn += 1
        copy = self.work / f"round{self.turn}"
        folder.copy(template, copy)
        table = copy / "lake" / "silver" / "t" if name == "ours_run" else copy
        before = folder.newest(table)
        batches = self._batches(workload)
        if warm and workload.series:
            batches = batches[:WARM_SERIES]
        answer = process.ask(
            do="write",
            kind=workload.kind,
            table=copy,
            batches=batches,
            again=workload.again,
            series=bool(workload.series),
        )
        if not warm or not workload.series:
            actual = oracle.actual(self.duckdb, workload, table)
            if actual != expected:
                score.status = f"WRONG: {actual.rows:,} rows, {expected.rows:,} expected"
                if actual.rows == expected.rows:
                    score.status = "WRONG: the rows are others"
        if not warm:
            _enter(score, answer["taken"], again=workload.again, series=bool(workload.series))
            score.footprint = vars(folder.footprint(table, before))
        shutil.rmtree(copy)

    def end(self) -> None:
        """End all processes, and remove all copies."""
        for process in self.processes.values():
            process.end()
        shutil.rmtree(self.work, ignore_errors=True)


def _enter(score: Score, taken: Sequence[Mapping[str, Any]], *, again: bool, series: bool) -> None:
    counted = taken[1:] if again else taken
    score.seconds.append(sum(one["seconds"] for one in counted))
    score.cpu.append(sum(one["cpu"] for one in counted))
    score.read.append(sum(one["read"] for one in counted))
    score.written.append(sum(one["written"] for one in counted))
    score.peak.append(max(one["peak"] for one in counted))
    if again:
        score.first.append(taken[0]["seconds"])
    if series:
        score.series.append([one["seconds"] for one in taken])
