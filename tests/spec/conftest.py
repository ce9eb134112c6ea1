from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from lakehouse.errors import InvalidConfigError
from lakehouse.spec.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.spec.env import Env
    from lakehouse.spec.job import Job


class Folder:
    """A project's folder, into which a test writes what it is about."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "conf").mkdir(parents=True)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
        return path

    def job(self, content: str | bytes) -> Job:
        """What ``conf/x.yaml`` means when it says this."""
        self.write("conf/x.yaml", content)
        return Project(self.root).job("x")

    def env(self, content: str) -> Env:
        """What ``conf/env/local.yaml`` means when it says this."""
        self.write("conf/env/local.yaml", content)
        return Project(self.root).env()

    def problems(self, content: str | bytes) -> list[str]:
        """What is wrong with a job that says this."""
        with pytest.raises(InvalidConfigError) as caught:
            self.job(content)
        return [str(problem) for problem in caught.value.problems]

    def env_problems(self, content: str) -> list[str]:
        """What is wrong with an environment that says this."""
        with pytest.raises(InvalidConfigError) as caught:
            self.env(content)
        return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("LAKEHOUSE_ENV", raising=False)
    return Folder(tmp_path / "project")
