"""A job is killed and compared: one that converges is found to, and one that does not is found not to."""

from __future__ import annotations

import shutil

import pytest

from lakehouse.certify.trial import Wanted, certify
from lakehouse.errors import SourceEmptyError
from lakehouse.runtime.workplace import prepare

pytestmark = pytest.mark.crash

JOB = """\
sources:
  s: {kind: files, path: landing, contract: {columns: {k: {type: string}, s: {type: int, nullable: false}}}}
write: {table: silver.t, mode: scd1, keys: [k], sequence_by: s}
"""
CODE = """\
import json, sys
from pathlib import Path

def transform(s):
    # what a job must not do: what it makes depends on what an earlier attempt at the batch left behind
    lake = json.loads(Path(sys.argv[1]).read_text())["where"]["lake"]
    commits = list(Path(lake, "quarantine/silver_t/_delta_log").glob("*.json"))
    return s.withColumn("v", F.lit(len(commits) > 1)).withColumn("at", F.current_timestamp())
"""


@pytest.fixture
def work(workshop):
    name = workshop.job("x", JOB, CODE)
    landing = workshop.project / "landing"
    landing.mkdir()
    (landing / "1.csv").write_text("k,s\na,1\nb,none\n")
    return prepare(name, root=workshop.project)


@pytest.mark.usefixtures("spark")
def test_a_job_that_looks_at_what_a_crash_left_behind_is_found_out_and_only_there(work):
    told = []
    wanted = Wanted({"env": None, "params": {}}, point="commit 1 of quarantine", seed=3)
    found = certify(work, wanted, say=told.append)
    verdicts = {trial.point: trial.verdict for trial in found.trials}
    wrong = [point for point, verdict in verdicts.items() if verdict != "converged"]
    assert wrong == ["after commit 1 of quarantine.silver_t"]
    assert "before commit 1 of quarantine.silver_t" in verdicts
    (bad,) = [trial for trial in found.trials if trial.verdict == "DIFFERS"]
    assert "silver.t: v" in bad.detail
    assert found.left_out == ("silver.t: at",)
    assert found.error
    assert "--seed 3 --point 'after commit 1 of quarantine.silver_t'" in found.error.hint
    assert told == list(found.trials)
    shutil.rmtree(bad.lake)


def test_a_job_without_input_cannot_be_tried(workshop):
    (workshop.project / "landing").mkdir()
    work = prepare(workshop.job("x", JOB), root=workshop.project)
    with pytest.raises(SourceEmptyError, match="holds no file"):
        certify(work, Wanted({"env": None, "params": {}}), say=lambda _: None)
