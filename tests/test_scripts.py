"""The scripts around the tests: each guard that ``scripts/mutate`` takes away is there, and each test has its day."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.mutate import MUTANTS, mutated
from tests import schedule

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_a_guard_is_there_once_and_so_are_its_tests(mutant):
    assert mutated(mutant, ROOT) != (ROOT / mutant.file).read_text()
    for test in mutant.tests:
        file, name = test.split("::")
        assert f"def {name.split('[')[0]}(" in (ROOT / file).read_text()


def test_each_slow_test_runs_on_one_day_of_the_week_and_every_other_test_on_all():
    item = SimpleNamespace(nodeid="tests/a.py::test_a", iter_markers=lambda: [SimpleNamespace(name="crash")])
    assert sum(not schedule.is_left_out(item, day) for day in range(1, 8)) == 1
    item.iter_markers = lambda: [SimpleNamespace(name="parametrize")]
    assert not any(schedule.is_left_out(item, day) for day in range(1, 8))
