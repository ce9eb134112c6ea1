"""One look at a table: all that a write must know of it, from one version of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import StructType

from lakehouse.lake.storage import local
from lakehouse.lake.table import Commit, Layout, head, layout, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructField

    from lakehouse.lake.table import Table

_WALK = 200
"""Commits that are read back from the newest to find what the table is; beyond that Spark is asked."""

GENERATED, DEFAULT, IDENTITY = "delta.generationExpression", "CURRENT_DEFAULT", "delta.identity.start"
"""What Delta notes of a column that it computes, that has a value where a row has none, that it counts up."""

_KINDS = ("metaData", "protocol", "domainMetadata")
_CLUSTERING = "delta.clustering"


@dataclass(frozen=True)
class Look:
    """A table as one of its versions has it.

    ``schema`` carries what Delta notes of each column, as far as the log was there to be read: how it is generated or
    counted up, and what it is where a row does not say. ``properties`` are the table's own.
    """

    head: Commit
    schema: StructType
    layout: Layout
    properties: Mapping[str, str] = field(default_factory=dict)
    features: frozenset[str] = frozenset()

    @property
    def is_mapped(self) -> bool:
        """Whether columns have names apart from those in the files, so that any name will do."""
        return self.properties.get("delta.columnMapping.mode", "none") != "none"

    @property
    def has_change_feed(self) -> bool:
        """Whether its change feed is on."""
        return self.properties.get("delta.enableChangeDataFeed", "false").lower() == "true"


def look(spark: SparkSession, table: Table) -> Look | None:
    """The table as it is now; None where there is no such table.

    Of a folder of this machine the log tells, by Delta's protocol: the checksum file of a version holds the whole of
    its metadata, and the commits after it what was changed since. That takes a few milliseconds, and Spark's own
    statements for it half a second, with every batch.

    Raises:
        NotDeltaError: something else is there.
    """
    newest = head(spark, table)
    if newest is None:
        return None
    place = local(table.path)
    found = _logged(place / "_delta_log", newest) if place is not None else None
    return found or _asked(spark, table, newest)


def fills_itself(field: StructField) -> bool:
    """Whether the table has a value for the column where the rows have none."""
    return any(name in field.metadata for name in (GENERATED, DEFAULT, IDENTITY))


def weighed(table: Table, commit: Commit) -> tuple[int, int]:
    """How many files the table has at a commit, and how many bytes; zeros where no checksum file says it."""
    place = local(table.path)
    if place is None:
        return 0, 0
    try:
        told = json.loads((place / "_delta_log" / f"{commit.version:020d}.crc").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0, 0
    return int(told.get("numFiles") or 0), int(told.get("tableSizeBytes") or 0)


def _asked(spark: SparkSession, table: Table, newest: Commit) -> Look:
    """What Spark says of it."""
    properties = {row.key: row.value for row in spark.sql(f"SHOW TBLPROPERTIES {table.sql}").collect()}
    prefix = "delta.feature."
    features = frozenset(name.removeprefix(prefix) for name in properties if name.startswith(prefix))
    schema = read_table(spark, table, newest.version).schema
    return Look(newest, schema, layout(spark, table), properties, features)


def _logged(log: Path, newest: Commit) -> Look | None:
    """What the log says of it; None where that takes more than a walk back through some commits."""
    state = _state(log, newest.version)
    if state is None or "catalogManaged" in state["protocol"].get("writerFeatures", ()):
        return None
    metadata = state["metaData"]
    schema = StructType.fromJson(json.loads(metadata["schemaString"]))
    domain = json.loads(state["domainMetadata"].get(_CLUSTERING) or "{}")
    clustering = tuple(".".join(_logical(schema, path)) for path in domain.get("clusteringColumns", []))
    return Look(
        newest,
        schema,
        Layout(tuple(metadata.get("partitionColumns", ())), clustering),
        metadata.get("configuration", {}),
        frozenset(state["protocol"].get("writerFeatures", ())),
    )


def _state(log: Path, version: int) -> dict[str, Any] | None:
    """Metadata, protocol and domains at a version: from the nearest checksum file, and from the commits after it."""
    state: dict[str, Any] = {"domainMetadata": {}}
    later: list[list[dict[str, Any]]] = []
    for at in range(version, version - _WALK, -1):
        if at < 0:
            break
        if base := _checksum(log / f"{at:020d}.crc"):
            state = base
            break
        try:
            later.append(_actions(log / f"{at:020d}.json"))
        except FileNotFoundError:
            # cleaned up, so what was said before is in a checkpoint
            return None
    else:
        return None
    for actions in reversed(later):
        for action in actions:
            ((kind, said),) = action.items()
            if kind == "domainMetadata":
                state[kind][said["domain"]] = None if said.get("removed") else said["configuration"]
            else:
                state[kind] = said
    return state if "metaData" in state and "protocol" in state else None


def _checksum(file: Path) -> dict[str, Any] | None:
    """What the checksum file of a version says, where it says it all."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(told, dict) or not all(told.get(name) for name in ("metadata", "protocol")):
        return None
    domains = told.get("domainMetadata")
    if domains is None and "domainMetadata" in told["protocol"].get("writerFeatures", ()):
        return None
    known = {one["domain"]: one["configuration"] for one in domains or () if not one.get("removed")}
    return {"metaData": told["metadata"], "protocol": told["protocol"], "domainMetadata": known}


def _actions(file: Path) -> list[dict[str, Any]]:
    """What a commit says of the table, its files apart."""
    begin = tuple(f'{{"{kind}"' for kind in _KINDS)
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.startswith(begin)]


def _logical(schema: StructType, path: list[str]) -> list[str]:
    """A path of the names in the files, by the table's own names."""
    found: list[str] = []
    fields: list[StructField] = schema.fields
    for part in path:
        one = next(one for one in fields if one.metadata.get("delta.columnMapping.physicalName", one.name) == part)
        found.append(one.name)
        fields = one.dataType.fields if isinstance(one.dataType, StructType) else []
    return found
