"""The scripts that guard the tests: each guard that ``scripts/mutate`` takes away is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.mutate import MUTANTS, mutated

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_a_guard_is_there_once_and_so_are_its_tests(mutant):
    assert mutated(mutant, ROOT) != (ROOT / mutant.file).read_text()
    for test in mutant.tests:
        file, name = test.split("::")
        assert f"def {name.split('[')[0]}(" in (ROOT / file).read_text()
