"""The table that must come out, worked out by DuckDB from the table before and the batch; and what did come out."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb

if TYPE_CHECKING:
    from contest.workloads import Workload

ROW = """hash(id, epoch_us(updated_at), customer_id, status, amount, quantity, price, country, email, note, created_on,
    active)"""
VERSION = f"hash({ROW}, epoch_us(valid_from), epoch_us(valid_to), is_current)"
UPSERT = """
    SELECT * FROM base ANTI JOIN batch USING (id)
    UNION ALL BY NAME SELECT * FROM batch
"""
FOLDS = {
    "upsert": UPSERT,
    "insert": """
        SELECT * FROM base
        UNION ALL BY NAME SELECT * FROM batch ANTI JOIN base USING (id)
    """,
    "cdc": """
        WITH last AS (FROM batch QUALIFY row_number() OVER (PARTITION BY id ORDER BY updated_at DESC) = 1),
        newer AS (
            SELECT last.* FROM last LEFT JOIN base USING (id)
            WHERE base.id IS NULL OR last.updated_at > base.updated_at
        )
        SELECT * FROM base ANTI JOIN newer USING (id)
        UNION ALL BY NAME SELECT * EXCLUDE (op) FROM newer WHERE op <> 'D'
    """,
    "series": """
        WITH last AS (FROM batch QUALIFY row_number() OVER (PARTITION BY id ORDER BY updated_at DESC) = 1)
        SELECT * FROM base ANTI JOIN last USING (id)
        UNION ALL BY NAME SELECT * EXCLUDE (number) FROM last
    """,
    # each version that is there is an event, too: all of a key's are put in order, and equal neighbours are one
    "scd2": """
        WITH events AS (
            SELECT * EXCLUDE (valid_from, valid_to, is_current) FROM base SEMI JOIN batch USING (id)
            UNION ALL BY NAME SELECT * FROM batch
        ),
        seen AS (
            SELECT *,
                row(customer_id, status, amount, quantity, price, country, email, note, created_on, active) AS state
            FROM events
        ),
        begun AS (
            FROM seen
            QUALIFY state IS DISTINCT FROM lag(state) OVER (PARTITION BY id ORDER BY updated_at)
        ),
        versions AS (
            SELECT * EXCLUDE (state), updated_at AS valid_from,
                lead(updated_at) OVER (PARTITION BY id ORDER BY updated_at) AS valid_to,
                valid_to IS NULL AS is_current
            FROM begun
        )
        SELECT * FROM base ANTI JOIN batch USING (id)
        UNION ALL BY NAME SELECT * FROM versions
    """,
}


@dataclass(frozen=True)
class Sum:
    """A table, whatever the order of its rows."""

    rows: int
    hash: str


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB with its reader of Delta tables, which knows nothing of Spark's or of this library's."""
    spec = importlib.util.find_spec("duckdb_extension_delta")
    if spec is None or not spec.submodule_search_locations:
        message = "duckdb-extension-delta is not installed: scripts/setup"
        raise RuntimeError(message)
    extension = next(Path(spec.submodule_search_locations[0]).rglob("delta.duckdb_extension"))
    settings: dict[str, str | bool | int | float | list[str]] = {
        "allow_unsigned_extensions": "true",
        "memory_limit": "5GB",
        "temp_directory": str(scratch / "duckdb"),
        "threads": "2",
        "preserve_insertion_order": "false",
    }
    connection = duckdb.connect(config=settings)
    connection.execute(f"LOAD '{extension}'")
    return connection


def expected(connection: duckdb.DuckDBPyConnection, workload: Workload, place: Path) -> Sum:
    """What a workload must make; kept beside the tables once it is known."""
    kept = place / f"{workload.base}-{workload.batch}-{workload.oracle}.json"
    if kept.exists():
        return Sum(**json.loads(kept.read_text(encoding="utf-8")))
    connection.read_parquet(str(place / workload.base / "plain" / "*.parquet")).create_view("base", replace=True)
    pattern = "number=*/*.parquet" if workload.series else "*.parquet"
    batch = connection.read_parquet(str(place / workload.batch / pattern), hive_partitioning=bool(workload.series))
    batch.create_view("batch", replace=True)
    found = _sum(connection.sql(FOLDS[workload.oracle]), history=workload.kind == "scd2")
    kept.write_text(json.dumps(vars(found)), encoding="utf-8")
    return found


def actual(connection: duckdb.DuckDBPyConnection, workload: Workload, table: Path) -> Sum:
    """What a table holds."""
    rows = connection.table_function("delta_scan", [str(table)])
    if workload.kind == "scd2" and "_scd2" in rows.columns:
        rows = rows.project(
            "* EXCLUDE (_scd2), _scd2.effective_time AS valid_from, _scd2.end_time AS valid_to, _scd2.is_current"
        )
    return _sum(rows, history=workload.kind == "scd2")


def _sum(rows: duckdb.DuckDBPyRelation, *, history: bool) -> Sum:
    found = rows.aggregate(f"count(*) AS rows, sum({VERSION if history else ROW})::varchar AS hash").fetchone()
    return Sum(*cast("tuple[int, str]", found))
