"""Upserts, change events and histories, by this library and by others: on the same tables, in turn.

Each contender is a process of its own; they take turns, each round on a new copy of its table. What comes out is held
against a fold of the same rows by DuckDB. Ends stdout with one line of JSON:
{"targets": [{"name", "value", "target", "met"}]}.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import click
from contest.arena import Arena, Score, surroundings
from contest.peers import environment
from contest.targets import exponent, p50, slope, targets
from contest.workloads import ABOUT, CONTENDERS, Workload, workloads

HERE = Path(__file__).resolve().parent
OF_PEERS = ("koheesio", "deltalake")


@click.command()
@click.option("--rows", type=int, help="Rows of the tables; 10,000,000, or 1,000,000 with --quick.")
@click.option("--quick", is_flag=True, help="Smaller, three rounds, and only who is in a target.")
@click.option("--only", multiple=True, help="A workload, or a pattern of names; may be given again.")
@click.option("--contender", multiple=True, type=click.Choice(CONTENDERS), help="Who takes part; may be given again.")
@click.option("--repeat", type=int, help="Rounds that count, after one that does not; 5, or 3 with --quick.")
@click.option("--cache", type=click.Path(path_type=Path), default=HERE / ".cache", help="Where tables are kept.")
@click.option("--results", type=click.Path(path_type=Path), default=HERE / "results", help="Where results go.")
def main(
    rows: int | None,
    quick: bool,  # noqa: FBT001 -- a flag of the command line
    only: tuple[str, ...],
    contender: tuple[str, ...],
    repeat: int | None,
    cache: Path,
    results: Path,
) -> None:
    """Measure, print a table, save what was measured, and say which targets are met."""
    begin = time.perf_counter()
    size = rows or (1_000_000 if quick else 10_000_000)
    chosen = [one for one in workloads(size, quick=quick) if not only or any(fnmatch(one.name, form) for form in only)]
    if not chosen:
        known = ", ".join(one.name for one in workloads(size, quick=quick))
        raise click.UsageError(f"no such workload; there are {known}")
    asked = [name for name in CONTENDERS if name in (contender or CONTENDERS)]
    cache = cache.resolve()
    peers = environment(cache)
    python = Path(sys.executable)
    pythons = {name: peers if name in OF_PEERS else python for name in asked}
    able = {name: found for name, found in pythons.items() if found}
    arena = Arena(cache, able)
    scores: dict[str, dict[str, Score]] = {}
    try:
        arena.prepare(chosen)
        for workload in chosen:
            names = [name for name in workload.contenders if name in able]
            scores[workload.name] = arena.contest(workload, names, repeat or (3 if quick else 5))
            absent = [name for name in workload.contenders if name in asked and name not in able]
            scores[workload.name] |= {name: Score("not installed") for name in absent}
            print(told(workload, scores[workload.name]), file=sys.stderr, flush=True)
    finally:
        arena.end()
    reached = targets(scores, chosen, asked)
    saved = results / f"writes-{size}{'-quick' if quick else ''}.json"
    save(saved, size, chosen, scores, [target.shown() for target in reached])
    if peers:
        picture = saved.with_suffix(".png")
        subprocess.run([peers, "-m", "contest.plot", saved, picture], check=False, env=surroundings(peers))
    print("\n".join(told(workload, scores[workload.name]) for workload in chosen))
    print(summary(scores, chosen))
    for target in reached:
        value = "no score" if target.value is None else f"{target.value:.2f}"
        sign = "at least" if target.at_least else "at most"
        print(f"{'met    ' if target.met else 'NOT MET'}  {target.name}: {value}, {sign} {target.target:g}")
    print(f"{time.perf_counter() - begin:.0f} s; {saved}")
    print(json.dumps({"targets": [target.shown() for target in reached]}))


def told(workload: Workload, scores: Mapping[str, Score]) -> str:
    """A workload as a table: the median of the rounds, and what the last of them did to the files."""
    lines = [f"\n{workload.name}: {workload.about}"]
    head = (
        "p50 s",
        "min",
        "max",
        "/ ours",
        "cpu s",
        "read MB",
        "wrote MB",
        "peak MB",
        "commits",
        "files +",
        "files -",
        "vectors",
    )
    lines.append(f"  {'':11}" + "".join(f"{name:>9}" for name in head))
    ours = p50(scores.get("ours_write"))
    for name, score in scores.items():
        middle = p50(score)
        if middle is None:
            lines.append(f"  {name:11}  {score.status}")
            continue
        ratio = f"{middle / ours:.2f}" if ours else ""
        mega = [f"{statistics.median(one) / 1e6:.0f}" for one in (score.read, score.written, score.peak)]
        files = [score.footprint[key] for key in ("commits", "files_added", "files_removed", "vectors")]
        cells = [
            f"{middle:.2f}",
            f"{min(score.seconds):.2f}",
            f"{max(score.seconds):.2f}",
            ratio,
            f"{statistics.median(score.cpu):.2f}",
            *mega,
            *files,
        ]
        lines.append(f"  {name:11}" + "".join(f"{cell:>9}" for cell in cells))
    return "\n".join(lines)


def summary(scores: Mapping[str, Mapping[str, Score]], chosen: Sequence[Workload]) -> str:
    """What several measurements say together: replays, growth, and the drift of a series."""
    lines = [""]
    sizes = {one.rows: one.name for one in chosen if one.name.startswith("growth_")}
    for name in CONTENDERS:
        said = []
        if (replay := scores.get("replay", {}).get(name)) and replay.counts:
            share = statistics.median(replay.seconds) / statistics.median(replay.first)
            said.append(f"a replay takes {share:.2f} of the first run ({replay.footprint['commits'] - 1} commits)")
        times = {size: p50(scores[workload].get(name)) for size, workload in sizes.items()}
        if len(times) > 1 and (power := exponent(times)) is not None:
            said.append(f"time grows with the table to the power of {power:.2f}")
        if (drift := slope(scores.get("micro", {}).get(name))) is not None:
            said.append(f"the last ten micro-batches take {drift:.2f} of the first ten")
        if said:
            lines.append(f"{name}: {'; '.join(said)}")
    return "\n".join(lines)


def save(
    path: Path,
    size: int,
    chosen: Sequence[Workload],
    scores: Mapping[str, Mapping[str, Score]],
    reached: Sequence[Mapping[str, object]],
) -> None:
    """All that was measured, as JSON."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}",
        "versions": {name: metadata.version(name) for name in ("lakehouse", "pyspark", "delta-spark", "duckdb")},
        "contenders": ABOUT,
        "rows": size,
        "workloads": {
            one.name: {
                "about": one.about,
                "rows": one.rows,
                "scores": {name: vars(score) for name, score in scores[one.name].items()},
            }
            for one in chosen
        },
        "targets": reached,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
