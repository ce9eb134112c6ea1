"""The independent reader, as the tests of the write have it."""

from __future__ import annotations

import pytest

from tests.write.histories import duckdb_reader


@pytest.fixture(scope="session")
def read():
    """The rows of a table, as DuckDB reads them from the folder."""
    return duckdb_reader()
