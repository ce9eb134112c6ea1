"""A sample of hostile configurations: each is a job, or an error with its place, in bounded time, and runs nothing."""

from __future__ import annotations

import pytest

from tests.attacks.configs import NAMES, PATHS, documents, hostile_names, hostile_paths, judge


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hostile_configuration_is_a_job_or_an_error_with_its_place(tmp_path, seed):
    wrong = {number: judge(made, tmp_path / "project") for number, made in enumerate(documents(seed, 60))}
    assert {number: found for number, found in wrong.items() if found} == {}
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_a_hostile_name_becomes_text_and_no_code(tmp_path):
    assert len(NAMES) * 3 >= 200
    assert list(hostile_names(tmp_path, NAMES[::9])) == []


def test_a_hostile_path_leads_neither_out_nor_among_code(tmp_path):
    assert len(PATHS) >= 50
    assert list(hostile_paths(tmp_path, PATHS[::4])) == []
