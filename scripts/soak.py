"""Histories, faults or attacks with fresh seeds, until the time is over or a table is not its fold."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lakehouse.runtime.session import settled, start  # noqa: E402
from lakehouse.testing import plugin  # noqa: E402
from tests.attacks.play import ATTACKS  # noqa: E402
from tests.faults.faults import PAIRS  # noqa: E402
from tests.faults.play import play  # noqa: E402
from tests.write.histories import CASES, duckdb_reader, prove  # noqa: E402


@click.command()
@click.option("--minutes", type=float, default=0.0, help="How long; each case once where it is left out.")
@click.option("--seed", type=int, help="The first seed; random where it is left out.")
@click.option("--case", "only", type=click.Choice(list(CASES)), help="This case alone.")
@click.option("--keys", type=int, help="How many histories a table has; by the seed where it is left out.")
@click.option("--cuts", type=int, help="How many batches they come in; by the seed where it is left out.")
@click.option("--streams", is_flag=True, help="A stream under steady load for so long (30 minutes), in their place.")
@click.option("--faults", is_flag=True, help="Every fault in every mode, or those that --only names, in their place.")
@click.option("--attacks", is_flag=True, help="Every corpus of hostile input, whole, in their place.")
@click.option("--only", "named", metavar="TEXT", help="Of the faults or attacks those whose name holds this.")
def main(
    minutes: float,
    seed: int | None,
    only: str | None,
    keys: int | None,
    cuts: int | None,
    *,
    streams: bool,
    faults: bool,
    attacks: bool,
    named: str | None,
) -> None:
    """Deliver random histories to every kind of table, and hold each against the oracle."""
    if streams:
        command = [sys.executable, ROOT / "benchmarks" / "endure.py", "--minutes", str(int(minutes) or 30)]
        sys.exit(subprocess.run(command, check=False).returncode)
    seed = random.randrange(10**6) if seed is None else seed  # noqa: S311
    if faults:
        sys.exit(tried(seed, minutes, [name for name in PAIRS if (named or "") in name]))
    if attacks:
        sys.exit(play_attacks(seed, minutes, [name for name in ATTACKS if (named or "") in name]))
    play_histories(seed, minutes, list(CASES) if only is None else [only], keys=keys, cuts=cuts)


def play_histories(seed: int, minutes: float, names: list[str], *, keys: int | None, cuts: int | None) -> None:
    """Deliver random histories until the time is over; the first table that is not its fold ends it with 1."""
    end = time.monotonic() + 60 * minutes
    histories = batches = 0
    spark = start("soak", plugin._SETTINGS)
    read = duckdb_reader()
    with settled(spark, {}):
        while True:
            for name in names:
                chance = random.Random(f"{name} {seed}")  # noqa: S311
                size = keys or chance.choice((30, 200, 600))
                turns = cuts or chance.randint(2, 8)
                began = time.monotonic()
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        batches += prove(
                            CASES[name], seed, keys=size, cuts=turns, spark=spark, folder=Path(folder), read=read
                        )
                    except Exception as error:
                        print(f"{type(error).__name__}: {error}\n")
                        again = f"--seed {seed} --case '{name}' --keys {size} --cuts {turns}"
                        print(f"RED    seed {seed}: {name}. Once more: scripts/soak {again}")
                        sys.exit(1)
                histories += size
                took = time.monotonic() - began
                print(f"green  seed {seed}: {name}, {size} histories in {turns} batches, {took:.0f} s", flush=True)
                if minutes and time.monotonic() > end:
                    break
            seed += 1
            if time.monotonic() > end:
                break
    print(f"{histories:,} histories in {batches} batches: every table is the fold of what came to it")
    spark.stop()


def tried(seed: int, minutes: float, names: list[str]) -> int:
    """Try faults in a random order until the time is over, each once where none is set; 1 where one is not masked."""
    end, red, green = time.monotonic() + 60 * minutes, [], 0
    while True:
        with tempfile.TemporaryDirectory() as folder:
            for name, seconds, fault in play(names, seed, Path(folder), duckdb_reader()):
                green += fault is None
                red += [f"scripts/soak --faults --seed {seed} --only '{name}'"] if fault else []
                print(f"{'RED   ' if fault else 'green '} {name}, {seconds:.0f} s {fault or ''}", flush=True)
                if minutes and time.monotonic() > end:
                    break
        if time.monotonic() > end:
            break
        seed += 1
    print(f"{green} of {green + len(red)} faults end in the table that nothing had happened to")
    print("".join(f"once more: {one}\n" for one in red), end="")
    return int(bool(red))


def play_attacks(seed: int, minutes: float, names: list[str]) -> int:
    """Play attacks until the time is over, each once where none is set; 1 where one got through."""
    end, through = time.monotonic() + 60 * minutes, 0
    spark = start("attacks", plugin._SETTINGS)
    with settled(spark, {}):
        while True:
            for name in names:
                began = time.monotonic()
                with tempfile.TemporaryDirectory() as folder:
                    found = ATTACKS[name](spark, Path(folder), seed)
                through += len(found)
                took = time.monotonic() - began
                print(f"{'RED   ' if found else 'green '} seed {seed}: {name}, {took:.0f} s", flush=True)
                print("".join(f"  {one}\n" for one in found[:20]), end="", flush=True)
            seed += 1
            if time.monotonic() > end:
                break
    spark.stop()
    print(f"{through} attacks got through")
    return int(bool(through))


if __name__ == "__main__":
    main()
