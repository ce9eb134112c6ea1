"""What a crash costs, and what the guards against it do: time to recover, and the guards' share of a batch.

Ends stdout with one line of JSON: {"targets": [{"name", "value", "target", "met"}]}.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lakehouse.certify.failing import Failpoint  # noqa: E402
from lakehouse.publish.ledger import Rows  # noqa: E402
from lakehouse.runtime import batch as run_batch  # noqa: E402
from lakehouse.runtime import runner, stream  # noqa: E402
from lakehouse.runtime.session import start  # noqa: E402
from lakehouse.runtime.workplace import prepare  # noqa: E402
from lakehouse.write import commit  # noqa: E402
from tests.faults.arena import Arena  # noqa: E402
from tests.faults.faults import RUN, TARGET  # noqa: E402
from tests.write.histories import duckdb_reader  # noqa: E402

SHARE, CONSTANT = 0.10, 0.3
SLOWER, LATER = 1.2, 2.0
JOB = """\
job: cost
about: For a benchmark.
sources:
  s:
    kind: files
    path: landing
    max_files: 1
    contract: {columns: {k: {type: bigint}, s: {type: bigint}, v: {type: string}}}
write: {table: silver.cost, mode: scd1, keys: [k], sequence_by: s}
"""


def recovery(folder: Path, rounds: int) -> tuple[float, float]:
    """Seconds from a start to the next commit: after a kill -9 just before it, and where nothing was killed."""
    arena = Arena(folder, "scd1", 1, duckdb_reader())
    folder.mkdir()
    arena.build()
    killing = Failpoint("rename", "before", "kill", f"{TARGET}_delta_log/[0-9]{{20}}\\.json$")
    killed, plain = [], []
    for _ in range(rounds):
        arena.reset()
        if not arena.process([RUN], killing).is_killed:
            raise SystemExit("the job was not killed")
        killed.append(_to_the_next_commit(arena))
        arena.judge()
        arena.reset()
        plain.append(_to_the_next_commit(arena))
        arena.judge()
        print(f"killed {killed[-1]:.1f} s, not killed {plain[-1]:.1f} s", file=sys.stderr, flush=True)
    return statistics.median(killed), statistics.median(plain)


def _to_the_next_commit(arena: Arena) -> float:
    log = arena.target / "_delta_log"
    had = {path.name for path in log.glob("*.json")}
    began = time.time()
    ended = arena.process([RUN])
    if ended.code:
        raise SystemExit(ended.told)
    new = [path for path in log.glob("*.json") if path.name not in had]
    return min(path.stat().st_mtime for path in new) - began


def guards(folder: Path, batches: int, rows: int) -> tuple[float, float]:
    """Seconds of a batch, and those of them that went into guards: the median over the batches of a warm run."""
    for name in ("conf/env", "landing"):
        (folder / name).mkdir(parents=True)
    (folder / "conf/env/local.yaml").write_text("lake: lake\n")
    (folder / "conf/cost.yaml").write_text(JOB)
    for number in range(batches):
        # half of the keys of the file before come again
        lines = (f"{key},{number},v{key * 31 % 1000}" for key in range(number * rows // 2, number * rows // 2 + rows))
        (folder / f"landing/{number:03}.csv").write_text("k,s,v\n" + "\n".join(lines) + "\n")
    spent: dict[str, float] = {}
    told: list[tuple[float, float]] = []

    def batch(outcome: Any) -> None:
        told.append((sum(outcome.seconds.values()), sum(spent.values())))
        spent.clear()

    with _timed(spent):
        result = runner.execute(prepare("cost", root=folder), spark=start("faults", {}), say=batch)
    if result.error or result.batches != batches:
        raise SystemExit(f"{result.batches} batches: {result.error}")
    if result.rows.inserted + result.rows.updated != batches * rows:
        raise SystemExit(f"wrong counts: {result.rows}")
    warm = told[batches // 2 :]
    return statistics.median(one for one, _ in warm), statistics.median(one for _, one in warm)


@contextlib.contextmanager
def _timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up the time of what guards a batch: the look for an earlier attempt, lease, read-back, balances."""
    places: list[tuple[Any, str]] = [
        (run_batch, "earlier"),
        (commit, "_read_back"),
        (Rows, "balance"),
        (stream._Seen, "known"),
        (stream, "_newest"),
    ]
    before = [(place, name, getattr(place, name)) for place, name in places]
    lease = run_batch.leased

    @contextlib.contextmanager
    def leased(*arguments: Any, **more: Any) -> Iterator[None]:
        began = time.perf_counter()
        with lease(*arguments, **more):
            spent["lease"] = spent.get("lease", 0) + time.perf_counter() - began
            yield

    for place, name, function in before:
        setattr(place, name, _clocked(function, partial(_add, spent, name)))
    run_batch.leased = leased
    try:
        yield
    finally:
        run_batch.leased = lease
        for place, name, function in before:
            setattr(place, name, function)


def _add(spent: dict[str, float], name: str, seconds: float) -> None:
    spent[name] = spent.get(name, 0) + seconds


def _clocked(function: Callable[..., Any], add: Callable[[float], None]) -> Callable[..., Any]:
    @wraps(function)
    def clocked(*arguments: Any, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **more)
        finally:
            add(time.perf_counter() - began)

    return clocked


@click.command()
@click.option("--rounds", default=3, help="Kills, and runs without one, in turn.")
@click.option("--batches", default=20, help="Batches of the run in which the guards are measured.")
@click.option("--rows", default=10_000, help="Rows of such a batch.")
def main(rounds: int, batches: int, rows: int) -> None:
    """Measure both, and say whether the targets are met."""
    with tempfile.TemporaryDirectory() as place:
        killed, plain = recovery(Path(place) / "recovery", rounds)
        whole, guarding = guards(Path(place) / "guards", batches, rows)
    print(f"next commit after a kill: {killed:.1f} s; without one: {plain:.1f} s", file=sys.stderr)
    print(f"a batch: {whole:.2f} s, of it guards: {guarding * 1000:.0f} ms", file=sys.stderr)
    allowed, most = SLOWER * plain + LATER, SHARE * whole + CONSTANT
    targets = [
        {"name": "time to recover, over a plain restart", "value": round(killed / plain, 2),
         "target": f"1.2 times and 2 s ({allowed / plain:.2f})", "met": killed <= allowed},
        {"name": "guards, of a batch", "value": round(guarding / whole, 3),
         "target": f"10 % and 0.3 s ({most / whole:.2f})", "met": guarding <= most},
    ]  # fmt: skip
    print(json.dumps({"targets": targets}))


if __name__ == "__main__":
    main()
