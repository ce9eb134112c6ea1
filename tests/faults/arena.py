"""One job of one mode, its input and its lake: faults are tried in it, and what they end in is held against a fold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakehouse.certify.failing import Failpoint, environment, is_killed
from tests.faults import records
from tests.faults.records import Record

ROOT = Path(__file__).parents[2]
DAYS = 3
"""Days of input; the first of them is in the table before anything fails."""

_CONTRACT = (
    "contract: {columns: {k: {type: string}, s: {type: int, nullable: false}, v: {type: string}, op: {type: string}}}"
)
_WRITES = {
    "append": "mode: append",
    "kafka": "mode: append",
    "scd1": "mode: scd1, keys: [k], sequence_by: s, apply_as_deletes: \"op = 'D'\", except_columns: [op, _source]",
    "scd2": "mode: scd2, keys: [k], sequence_by: s, apply_as_deletes: \"op = 'D'\", except_columns: [op, _source]",
    "snapshot": "mode: snapshot, snapshot_as: scd1, snapshot_by: file, keys: [k], except_columns: [op, _source], "
    "max_delete_fraction: 1.0",
}
MODES = tuple(_WRITES)


@dataclass(frozen=True)
class Ended:
    """A process: its exit code, what each of its commands came to as JSON, and what it said besides."""

    code: int
    answers: list[dict[str, Any]]
    told: str

    @property
    def is_killed(self) -> bool:
        return is_killed(self.code)


def _answers(lines: str) -> list[dict[str, Any]]:
    """The lines of JSON that commands printed."""
    told = (json.loads(line) for line in lines.splitlines() if line.startswith("{"))
    return [one for one in told if not one.keys() & {"exit", "ended"}]


class NotConvergedError(AssertionError):
    """What a lake holds is not what it must."""


@dataclass
class Arena:
    """A project in a folder, and a lake that can be put back to where the first day is in it."""

    folder: Path
    mode: str
    seed: int
    read: Callable[..., list[tuple[Any, ...]]]
    broker: Any = None
    produced: list[Record] = field(default_factory=list)
    _topic: str = ""
    _steady: subprocess.Popen[str] | None = None

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def target(self) -> Path:
        return self.lake / "silver" / "t"

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    def build(self, produce: Callable[[Sequence[str]], str] | None = None) -> None:
        """Write the project, and run the first day; ``produce`` sends messages to a topic, whose name it gives."""
        for name in ("conf/env", "landing"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "conf/env/local.yaml").write_text("lake: lake\n")
        (self.folder / "conf/env/retries.yaml").write_text("lake: lake\nspark: {spark.master: 'local[2,3]'}\n")
        self._deliver(1, produce)
        source = f"{{kind: files, path: landing, max_files: 1, {_CONTRACT}}}"
        if produce:
            kafka = f"kind: kafka, bootstrap_servers: '{self.broker.servers}', topics: [{self._topic}]"
            source = f"{{{kafka}, max_records: {records.ROWS + 3}, value: {{format: csv}}, {_CONTRACT}}}"
        job = f"job: x\nabout: For faults.\nsources:\n  s: {source}\nwrite: {{table: silver.t, {_WRITES[self.mode]}}}\n"
        (self.folder / "conf/x.yaml").write_text(job)
        # not in the steady one: the copies of this lake would say that it is still at work in them
        first = self.process([["run", "x", "--json"]])
        if first.code:
            raise NotConvergedError(first.told)
        shutil.copytree(self.lake, self.folder / "base")
        for number in range(2, DAYS + 1):
            self._deliver(number, produce)
        shutil.copytree(self.landing, self.folder / "delivered", copy_function=shutil.copy2)
        self._kept = list(self.produced)

    def _deliver(self, number: int, produce: Callable[[Sequence[str]], str] | None) -> None:
        whole = self.mode == "snapshot"
        if produce:
            first = len(self.produced)
            made = records.day(self.seed, number, "", whole=False, first=first)
            self._topic = produce([one.line for one in made])
            made = [
                Record((f"{self._topic}-0", one.place[1]), one.key, one.sequence, one.value, one.op) for one in made
            ]
        else:
            made = records.day(self.seed, number, f"day{number}.csv", whole=whole)
            lines = "\n".join(["k,s,v,op", *(one.line for one in made)])
            (self.landing / f"day{number}.csv").write_text(lines + "\n")
        self.produced += made

    def reset(self) -> None:
        """The lake as it was after the first day, and all days delivered."""
        for name, kept in (("lake", "base"), ("landing", "delivered")):
            shutil.rmtree(self.folder / name)
            shutil.copytree(self.folder / kept, self.folder / name, copy_function=shutil.copy2)
        self.produced = list(self._kept)

    def process(
        self, commands: Sequence[Sequence[str]], *failpoints: Failpoint, environ: Mapping[str, str] | None = None
    ) -> Ended:
        """Run commands in a process of their own, to its end."""
        return self.ended(self.begin(commands, *failpoints, environ=environ))

    def begin(
        self, commands: Sequence[Sequence[str]], *failpoints: Failpoint, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start commands in a process of their own."""
        return self._started(json.dumps(commands), failpoints, environ)

    def _started(
        self, told: str, failpoints: Sequence[Failpoint] = (), environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        place = self.folder / f"process-{time.monotonic_ns()}"
        place.mkdir()
        known = environment(place, failpoints) | {"PYTHONPATH": str(ROOT)} | dict(environ or {})
        command = [sys.executable, "-m", "tests.faults.process", told]
        with (place / "out").open("w") as out, (place / "err").open("w") as err:
            begun = subprocess.Popen(
                command,
                env=known,
                cwd=self.folder,
                stdin=subprocess.PIPE if told == "-" else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
                start_new_session=True,
            )
        begun.place = place  # type: ignore[attr-defined]
        return begun

    @staticmethod
    def ended(begun: subprocess.Popen[str], patience: float = 600) -> Ended:
        """Wait for a process."""
        code = begun.wait(patience)
        place: Path = begun.place  # type: ignore[attr-defined]
        answers = _answers((place / "out").read_text())
        told = (place / "err").read_text()
        shutil.rmtree(place)
        return Ended(code, answers, told)

    def steadily(self, commands: Sequence[Sequence[str]], patience: float = 600) -> Ended:
        """Run commands where nothing fails, in a process that goes on to the next ones."""
        if self._steady is None or self._steady.poll() is not None:
            self._steady = self._started("-")
        steady = self._steady
        place: Path = steady.place  # type: ignore[attr-defined]
        out, err = ((place / name).stat().st_size for name in ("out", "err"))
        assert steady.stdin
        print(json.dumps(commands), file=steady.stdin, flush=True)
        end = time.monotonic() + patience
        while True:
            lines = (place / "out").read_text()[out:]
            told = (place / "err").read_text()[err:]
            if found := re.search(r'^\{"ended": (\d+)\}$', lines, re.MULTILINE):
                return Ended(int(found[1]), _answers(lines), told)
            if steady.poll() is not None or time.monotonic() > end:
                raise NotConvergedError(f"a process in which nothing failed came to no end: {told[-2000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        """End what was started."""
        if self._steady is not None and self._steady.stdin:
            self._steady.stdin.close()
            self._steady.wait(60)

    def settle(self, *before: Sequence[str]) -> None:
        """Run the job with nothing failing, twice: the second run may not change anything. Then look.

        Raises:
            NotConvergedError: the lake is not what it must be.
        """
        ended = self.steadily([*before, ["run", "x", "--json"], ["run", "x", "--json"]])
        if ended.code:
            raise NotConvergedError(f"the run after the fault ended with {ended.code}: {ended.told[-2000:]}")
        again = ended.answers[-1]
        if again["rows"]["read"] or again["target"]["rows_added"] or again["target"]["rows_removed"]:
            raise NotConvergedError(f"a further run did something: {again}")
        self.judge()

    def judge(self) -> None:
        """Hold target, quarantine, commits and ledger against what was produced."""
        good = [one for one in self.produced if one.is_good]
        bad = [one for one in self.produced if not one.is_good]
        place = records.PLACES["kafka" if self.mode == "kafka" else "files"]
        self._same("the target", records.COLUMNS[self.mode], self.target, records.expected(self.mode, self.produced))
        if bad:
            aside = self.lake / "quarantine/silver_t"
            self._same("the quarantine", place, aside, [one.place for one in bad])
        self._once()
        self._balanced(len(good), len(bad))

    def _same(self, what: str, columns: str, folder: Path, wanted: Sequence[tuple[Any, ...]]) -> None:
        found, due = Counter(self.read(folder, columns)), Counter(wanted)
        if found != due:
            raise NotConvergedError(
                f"{what} has {list((found - due).items())[:5]}, lacks {list((due - found).items())[:5]}"
            )

    def _once(self) -> None:
        """Every batch has one effect."""
        made = Counter(
            (note["stream"], note["batch"], note["step"])
            for note in self.notes(self.target)
            if note.get("step") == "target"
        )
        if double := [batch for batch, count in made.items() if count > 1]:
            raise NotConvergedError(f"committed more than once: {double}")

    @staticmethod
    def notes(table: Path) -> list[dict[str, Any]]:
        """What this library noted in the commits of a table."""
        found = []
        for path in sorted((table / "_delta_log").glob("*.json")):
            if re.fullmatch(r"[0-9]{20}\.json", path.name):
                told = [json.loads(line) for line in path.read_text().splitlines()]
                text = next((one["commitInfo"].get("userMetadata") for one in told if "commitInfo" in one), None)
                found.append(json.loads(text or "{}").get("lakehouse", {}))
        return found

    def _balanced(self, good: int, bad: int) -> None:
        """The ledger tells of every batch once, and of every record once, but for what was undone."""
        told, undone = (
            self.read(self.lake / "ops/runs", "event, stream, batch, read, quarantined, run_id"),
            self.undone(),
        )
        batches = [row for row in told if row[0] == "batch" and row[5] not in undone]
        if double := [batch for batch, count in Counter(row[1:3] for row in batches).items() if count > 1]:
            raise NotConvergedError(f"the ledger tells more than once of {double}")
        read, aside = sum(row[3] for row in batches), sum(row[4] for row in batches)
        if (read, aside) != (good + bad, bad):
            raise NotConvergedError(
                f"the ledger tells of {read} read and {aside} quarantined, not {good + bad} and {bad}"
            )

    def undone(self) -> set[str]:
        """The runs that were undone, as the ledger tells."""
        return {run_id for event, run_id in self.read(self.lake / "ops/runs", "event, run_id") if event == "undo"}

    def failures(self) -> list[str]:
        """The errors of the runs that the ledger has as failed."""
        folder = self.lake / "ops/runs"
        if not folder.is_dir():
            return []
        told = self.read(folder, "event, status, error_code")
        return [row[2] for row in told if row[:2] == ("run", "failed")]
