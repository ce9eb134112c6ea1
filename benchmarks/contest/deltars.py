"""delta-rs: its merge, from Arrow. It reads a Parquet folder by Arrow, which is its native way."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from contest.workloads import COLUMNS

SAME = "t.id = s.id"
VALUES = {name: f"s.{name}" for name in COLUMNS}


def upsert(table: str, batch: str) -> None:
    """Update what matches, insert what does not."""
    merge = DeltaTable(table).merge(pq.read_table(batch), SAME, source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def insert(table: str, batch: str) -> None:
    """Insert what is not there."""
    merge = DeltaTable(table).merge(pq.read_table(batch), SAME, source_alias="s", target_alias="t")
    merge.when_not_matched_insert_all().execute()


def cdc(table: str, batch: str) -> None:
    """The last event of each key by Arrow, then a merge with three clauses."""
    merge = DeltaTable(table).merge(_last(pq.read_table(batch)), SAME, source_alias="s", target_alias="t")
    (
        merge.when_matched_delete("s.op = 'D' AND s.updated_at > t.updated_at")
        .when_matched_update(VALUES, "s.updated_at > t.updated_at")
        .when_not_matched_insert(VALUES, "s.op <> 'D'")
        .execute()
    )


def _last(events: pa.Table) -> pa.Table:
    ordered = events.sort_by([("id", "ascending"), ("updated_at", "ascending")])
    ends = ordered.select(["id"]).append_column("place", pa.array(range(len(ordered))))
    return ordered.take(ends.group_by("id").aggregate([("place", "max")])["place_max"])


FORMS = {"upsert": upsert, "insert": insert, "cdc": cdc}
