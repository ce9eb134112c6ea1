"""What importing the package brings, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lakehouse


def imported_by(statement: str) -> set[str]:
    """The top-level packages that a new Python has loaded after a statement."""
    code = f"{statement}; import sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_public_names_are_sorted_complete_and_described():
    assert lakehouse.__all__ == sorted(lakehouse.__all__)
    public = {
        name
        for name, value in vars(lakehouse).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == "lakehouse"
    }
    assert public == set(lakehouse.__all__)
    assert all(getattr(lakehouse, name).__doc__ for name in lakehouse.__all__)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import lakehouse", {"pyspark", "delta", "pydantic", "ruamel", "click", "rich", "sqlglot"}),
        ("import lakehouse.cli", {"pyspark", "delta", "pydantic", "ruamel", "sqlglot"}),
        ("import lakehouse.errors", {"pyspark", "delta", "pydantic", "ruamel", "click", "sqlglot"}),
        ("import lakehouse.spec.project", {"pyspark", "delta", "py4j"}),
    ],
)
def test_importing_brings_nothing_heavy(statement, absent):
    assert not imported_by(statement) & absent


def test_run_stays_a_function_whatever_is_loaded():
    code = "import lakehouse, lakehouse.runtime.workplace as _; assert callable(lakehouse.run), lakehouse.run"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
