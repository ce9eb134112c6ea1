"""What was produced: a ledger of every record by its place, and what a table must hold of them by a fold in Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.write import oracle
from tests.write.oracle import Event

KEYS = 12
ROWS = 25


@dataclass(frozen=True)
class Record:
    """One record: where it was put, and what it says. Of a bad one the sequence is no number."""

    place: tuple[str, int]
    key: str
    sequence: str
    value: str
    op: str = "U"

    @property
    def is_good(self) -> bool:
        return self.sequence.isdigit()

    @property
    def line(self) -> str:
        return f"{self.key},{self.sequence},{self.value},{self.op}"


def day(seed: int, number: int, place: str, *, whole: bool, first: int = 1) -> list[Record]:
    """The records of a day: disordered, some twice, some bad; or (``whole``) a snapshot, of which each key is once."""
    chance = random.Random(f"{seed} {number}")
    if whole:
        lines = [
            (f"k{key}", str(number), f"v{chance.randint(0, 3)}", "U") for key in range(KEYS) if chance.random() < 0.9
        ]
    else:
        lines = [_event(chance, f"k{chance.randrange(KEYS)}", number) for _ in range(ROWS)]
        lines += [(key, "zz", "bad", "U") for key in ("k1", "k2", "k3")]
        chance.shuffle(lines)
    return [Record((place, first + at), *line) for at, line in enumerate(lines)]


def _event(chance: random.Random, key: str, number: int) -> tuple[str, str, str, str]:
    # late by up to two days; of one sequence there is one payload
    sequence = max(number * 10 - chance.randint(0, 25), 1)
    own = random.Random(f"{key} {sequence}")
    return key, str(sequence), f"v{own.randint(0, 3)}", "D" if own.random() < 0.15 else "U"


def events(records: Sequence[Record]) -> list[Event]:
    return [
        Event((one.key,), (int(one.sequence),), (("v", one.value),), "delete" if one.op == "D" else "upsert")
        for one in records
        if one.is_good
    ]


def expected(mode: str, records: Sequence[Record]) -> list[tuple[object, ...]]:
    """The rows that the target must show, as ``COLUMNS`` names them."""
    if mode in ("append", "kafka"):
        return [(one.key, int(one.sequence), one.value, one.op, *one.place) for one in records if one.is_good]
    if mode == "scd1":
        return [(*row.key, *row.sequence, row.values[0][1]) for row in oracle.scd1(events(records)).values()]
    if mode == "scd2":
        versions = oracle.scd2(events(records), tracked=("v",))
        return [(*one.key, one.start[0], one.end[0] if one.end else None, one.values[0][1]) for one in versions]
    last = max(one.place[0] for one in records)
    return [(one.key, int(one.sequence), one.value) for one in records if one.place[0] == last]


COLUMNS = {
    "append": "k, s, v, op, parse_filename(_source.file), _source.position",
    "kafka": "k, s, v, op, _source.topic || '-' || _source.partition, _source.offset",
    "scd1": "k, s, v",
    "scd2": "k, valid_from, valid_to, v",
    "snapshot": "k, s, v",
}
PLACES = {
    "kafka": "source.topic || '-' || source.partition, source.offset",
    "files": "parse_filename(source.file), source.position",
}
