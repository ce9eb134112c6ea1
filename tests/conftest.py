"""What the tests share: a project of their own, with a lake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lakehouse import foreign
from lakehouse.testing import LocalLake
from tests import schedule

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


LEFT_OUT = pytest.StashKey[list[str]]()


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


def pytest_addoption(parser):
    parser.addoption("--day", type=int, help="of the slow tests run a seventh: those of this day of the week, 1 to 7")
    parser.addoption("--record-durations", action="store_true", help="note how long each file took, for the next order")


def pytest_collection_modifyitems(config, items):
    """Leave out the slow tests of other days, and begin with what takes longest: no worker is left with it at the end."""
    for item in items:
        schedule.mark(item)
    if (day := config.option.day) is not None:
        others = [item for item in items if schedule.is_left_out(item, day)]
        items[:] = [item for item in items if item not in set(others)]
        config.hook.pytest_deselected(items=others)
        config.stash[LEFT_OUT] = names = [item.nodeid for item in others]
        if hasattr(config, "workeroutput"):
            config.workeroutput["left_out"] = names
    if hasattr(config, "workerinput"):
        items.sort(key=schedule.expected_seconds, reverse=True)
    else:
        # what the README's commands wait for runs beside all that comes before
        items.sort(key=lambda item: item.path.name == "test_readme.py")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """What a worker left out; each of them collects the same."""
    if names := getattr(node, "workeroutput", {}).get("left_out"):
        node.config.stash[LEFT_OUT] = names


def pytest_terminal_summary(terminalreporter, config):
    """Say which tests did not run, and write how long those took that did."""
    if names := config.stash.get(LEFT_OUT, []):
        terminalreporter.section(f"{len(names)} slow tests of other days were left out; scripts/test --all runs them")
        for name in names:
            terminalreporter.write_line(name)
    if config.option.record_durations:
        schedule.record(report for reports in terminalreporter.stats.values() for report in reports)


def pytest_collection_finish(session):
    """Start the README's commands, if a test asks for them; a worker does so when it comes to them."""
    if hasattr(session.config, "workerinput"):
        return
    modules = {item.module for item in session.items if item.path.name == "test_readme.py"}
    if not session.config.option.collectonly:
        for module in modules:
            module.begin(session.config)
