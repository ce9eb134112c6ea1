"""What the tests of the write share: an independent reader, and identities of batches."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakehouse.lake.batch import Identity

Reader = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def duck() -> duckdb.DuckDBPyConnection:
    """DuckDB with its Delta extension, by which it reads and writes tables."""
    spec = importlib.util.find_spec("duckdb_extension_delta")
    assert spec
    extension = next(Path(spec.submodule_search_locations[0]).rglob("delta.duckdb_extension"))  # type: ignore[index]
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{extension}'")
    return connection


@pytest.fixture(scope="session")
def read(duck: duckdb.DuckDBPyConnection) -> Reader:
    """The rows of a table, sorted, as DuckDB reads them from the folder: ``read(folder, "a, b")``."""

    def rows(folder: Path, columns: str = "*") -> list[tuple[Any, ...]]:
        return sorted(duck.sql(f"SELECT {columns} FROM delta_scan('{folder}')").fetchall(), key=repr)

    return rows


@pytest.fixture
def batch() -> Callable[..., Identity]:
    """The identity of a batch by its number: ``batch(3)``, or ``batch(0, stream="another")``."""

    def identity(number: int, *, stream: str = "stream", incremental: bool = True) -> Identity:
        return Identity("job", "run", stream, number, incremental=incremental, rows={"read": 1})

    return identity
