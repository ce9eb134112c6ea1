"""Every mode against the oracle: hundreds of generated histories each, and the table is the fold of what came."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.write.histories import CASES, Batches, Case, Proof, Rows, batches_of, comparable, duckdb_reader, prove
from tests.write.oracle import Event, scd2

SEED = 20240101
HISTORIES = 220
CUTS = {
    "append, told by source": 2,
    "scd1": 3,
    "scd1, events name what they set": 2,
    "scd2": 3,
    "scd2, some columns tracked and an open end": 2,
    "snapshots by file, as scd1": 2,
    "snapshots by a column, as scd2": 2,
}
"""Into how many batches the histories of a case are cut here; ``scripts/soak`` has all cases, and more of everything."""


@pytest.mark.parametrize("name", CUTS)
def test_the_table_is_the_fold_of_all_that_came(name: str, spark: SparkSession, tmp_path: Path) -> None:
    folder, read = tmp_path, duckdb_reader()
    written = prove(CASES[name], SEED, keys=HISTORIES, cuts=CUTS[name], spark=spark, folder=folder, read=read)
    assert written == CUTS[name] + 2


def test_versions_that_only_a_hash_tells_apart_are_the_same_however_they_came(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Equal sequences with different values, and no place: whichever wins, it wins in every order and cut."""
    case, read = CASES["scd2, some columns tracked and an open end"], duckdb_reader()
    ours = [event for event in batches_of(case, SEED, keys=60, cuts=1)[0] if event.kind == "upsert"]
    theirs = [replace(event, values=tuple((column.name, column.pool[-1]) for column in case.payload)) for event in ours]
    found: list[Rows] = []
    for batches in ([ours, theirs], [[*theirs, *ours]]):
        proof = Proof(case, spark, tmp_path / str(len(found)), read)
        for number, batch in enumerate(batches):
            proof.write(batch, number)
        found.append(sorted(proof.found(), key=repr))
    assert found[0] == found[1]
    shown = {row[1 : 1 + len(case.payload)] for row in found[0]}
    last = tuple(comparable(column.pool[-1]) for column in case.payload)
    assert last in shown
    assert shown - {last}


def test_the_histories_hold_what_is_hard() -> None:
    for name in CUTS.keys() & {name for name, case in CASES.items() if case.deletes}:
        counted = hard(CASES[name], batches_of(CASES[name], SEED, keys=HISTORIES, cuts=CUTS[name]))
        assert min(counted.values()) > 9, (name, counted)


def hard(case: Case, batches: Batches) -> Counter[str]:
    """How many histories have what."""
    counted: Counter[str] = Counter()
    for key in {event.key for batch in batches for event in batch if event.kind != "truncate"}:
        cut = [[event for event in batch if event.key == key] for batch in batches]
        came = [event for batch in cut for event in batch]
        every = set(came)
        by_sequence = sorted(every, key=lambda event: event.sequence)
        name = case.payload[0].name
        values = [dict(event.values)[name] for event in by_sequence if event.kind == "upsert"]
        versions = scd2(every, tracked=[name])
        counted.update(
            {
                "several in a batch": any(len(set(batch)) > 2 for batch in cut),
                "twice in a batch": any(len(set(batch)) < len(batch) for batch in cut),
                "again in another batch": any(set(one) & set(other) for one in cut for other in cut if one is not other),
                "A, B, A": any(
                    a == c != b for a, b, c in zip(values, values[1:], values[2:], strict=False)
                ),
                "equal in a row": any(a == b for a, b in pairwise(values)),
                "NULL and then not": any(a is None is not b for a, b in pairwise(values)),
                "equal sequences": len({event.sequence for event in every}) < len(every),
                "delete before all else": came[0].kind == "delete" and any(late(came, event) for event in came[1:]),
                "before the first": any(
                    event.sequence < min(other.sequence for other in came[:number])
                    for number, event in enumerate(came) if number
                ),
                "between two": any(
                    min(sequences) < event.sequence < max(sequences)
                    for number, event in enumerate(came)
                    if (sequences := {other.sequence for other in came[:number]})
                ),
                "a gap between two": any(
                    one.end is not None and one.key == other.key and one.end < other.start
                    for one in versions
                    for other in versions
                ),
                "after a delete": any(late(came, event) for event in came),
                "a key that ends deleted": bool(by_sequence) and by_sequence[-1].kind == "delete",
            }
        )  # fmt: skip
    return counted


def late(came: list[Event], event: Event) -> bool:
    """Whether an upsert comes after a newer delete."""
    before: list[Any] = [other for other in came[: came.index(event)] if other.kind == "delete"]
    return event.kind == "upsert" and any(event.sequence < other.sequence for other in before)
