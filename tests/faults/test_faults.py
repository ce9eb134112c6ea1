"""A few of the faults, others each day: kill -9 and errors of the disk end in the table that nothing had happened to."""

from __future__ import annotations

import datetime
import os
import random
from collections import Counter

import pytest

from tests.faults import records
from tests.faults.arena import MODES
from tests.faults.faults import ERRORS, KILLS, PAIRS
from tests.faults.play import arena, tried

SEED = int(os.environ.get("LAKEHOUSE_FAULTS_SEED", datetime.datetime.now(datetime.UTC).date().toordinal()))


def _of_the_day() -> list[str]:
    """Two kills and an error in one mode."""
    chance = random.Random(SEED)
    mode = chance.choice(MODES)
    kills, errors = ([one.name for one in some if mode in one.modes] for some in (KILLS, ERRORS))
    return [f"{mode}: {name}" for name in (*chance.sample(kills, 2), *chance.sample(errors, 1))]


@pytest.fixture(scope="module")
def place(tmp_path_factory, read):
    mode = PAIRS[_of_the_day()[0]][1]
    with arena(tmp_path_factory.mktemp("faults"), mode, SEED, read) as made:
        yield made


@pytest.mark.parametrize("name", _of_the_day())
def test_a_fault_ends_in_the_table_that_nothing_had_happened_to(place, name):
    fault, _ = PAIRS[name]
    assert tried(fault, place) is None, f"once more: scripts/soak --faults --seed {SEED} --only '{name}'"


def test_every_fault_is_there_for_the_modes_and_has_a_name_of_its_own():
    assert len(PAIRS) >= 100
    assert Counter(mode for _, mode in PAIRS.values()).keys() == set(MODES)


def test_what_is_produced_is_disordered_and_doubled_and_bad_in_part():
    days = [one for number in (1, 2, 3) for one in records.day(1, number, f"day{number}.csv", whole=False)]
    good = [one for one in days if one.is_good]
    assert 0 < len(days) - len(good) < len(days)
    assert len({(one.key, one.sequence) for one in good}) < len(good)
    assert [int(one.sequence) for one in good] != sorted(int(one.sequence) for one in good)
    assert len(records.expected("scd1", days)) < len(records.expected("scd2", days)) < len(good)
