"""What the tests share: a project of their own, with a lake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lakehouse import foreign
from lakehouse.testing import LocalLake

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Workshop(LocalLake):
    """A lake whose project is written by the test itself."""

    def job(self, name: str, text: str, code: str | None = None) -> str:
        """Write ``conf/<name>.yaml`` (all but its name), and its Python where it has some."""
        (self.project / "conf" / f"{name}.yaml").write_text(f"job: {name}\nabout: For a test.\n{text}")
        if code is not None:
            jobs = self.project / "jobs"
            jobs.mkdir(exist_ok=True)
            header = "from __future__ import annotations\nfrom pyspark.sql import DataFrame, functions as F\n"
            (jobs / f"{name}.py").write_text(header + code)
        return name


@pytest.fixture(autouse=True)
def no_secrets():
    """Forget what other tests of the process have masked."""
    yield
    foreign.forget()


@pytest.fixture
def workshop(spark: SparkSession, tmp_path: Path) -> Workshop:
    """A new project with a new lake."""
    project = tmp_path / "project"
    (project / "conf" / "env").mkdir(parents=True)
    (project / "conf" / "env" / "local.yaml").write_text("lake: lake\nparams: {landing: landing}\n")
    return Workshop(spark, project / "lake", project)


SLOW = ("test_readme.py", "test_undo.py", "test_replay.py", "test_recovery.py", "test_writers.py", "test_faults.py")
"""Files that take minutes: of two workers none should be left with one of them at the end."""


def pytest_collection_modifyitems(config, items):
    """With workers the slowest files come first; without, the README's come last: what they wait for runs beside all."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name not in SLOW)
    else:
        items.sort(key=lambda item: item.path.name == "test_readme.py")


def pytest_collection_finish(session):
    """Start the README's commands, if a test asks for them; a worker does so when it comes to them."""
    if hasattr(session.config, "workerinput"):
        return
    modules = {item.module for item in session.items if item.path.name == "test_readme.py"}
    if not session.config.option.collectonly:
        for module in modules:
            module.begin(session.config)
