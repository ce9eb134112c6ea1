"""One look at a table: all that a write must know of it, from one version of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.errors import ParseException
from pyspark.sql.types import StructType

from lakehouse.lake.log import commit_file, parse_metrics, read_actions, read_checksum
from lakehouse.lake.statements import run_sql
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
    told = parse_metrics(read_checksum(place / "_delta_log", commit.version))
    return told.get("numFiles", 0), told.get("tableSizeBytes", 0)


def _asked(spark: SparkSession, table: Table, newest: Commit) -> Look:
    """What Spark says of it."""
    properties = {row.key: row.value for row in run_sql(spark, f"SHOW TBLPROPERTIES {table.sql}").collect()}
    prefix = "delta.feature."
    features = frozenset(name.removeprefix(prefix) for name in properties if name.startswith(prefix))
    schema = read_table(spark, table, newest.version).schema
    return Look(newest, schema, layout(spark, table), properties, features)


def _logged(log: Path, newest: Commit) -> Look | None:
    """What the log says of it; None where that takes more than a walk back through some commits.

    A log of another writer may say it in ways that are not known here: Spark is asked then.
    """
    state = _state(log, newest.version)
    if state is None:
        return None
    try:
        return _read_state(state, newest)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, ParseException):
        return None


def _read_state(state: Mapping[str, Any], newest: Commit) -> Look | None:
    """A table by its metadata, protocol and domains; None where its commits are not in its log alone."""
    features = frozenset(state["protocol"].get("writerFeatures") or ())
    if "catalogManaged" in features:
        return None
    metadata = state["metaData"]
    schema = StructType.fromJson(json.loads(metadata["schemaString"]))
    domain = json.loads(state["domainMetadata"].get(_CLUSTERING) or "{}")
    clustering = tuple(".".join(_logical(schema, path)) for path in domain.get("clusteringColumns") or ())
    layout_ = Layout(tuple(metadata.get("partitionColumns") or ()), clustering)
    return Look(newest, schema, layout_, metadata.get("configuration") or {}, features)


def _state(log: Path, version: int) -> dict[str, Any] | None:
    """Metadata, protocol and domains at a version: from the nearest checksum file, and from the commits after it."""
    state: dict[str, Any] = {"domainMetadata": {}}
    later: list[list[tuple[str, dict[str, Any]]]] = []
    for at in range(version, max(version - _WALK, -1), -1):
        if base := _checksum(log, at):
            state = base
            break
        try:
            later.append(list(read_actions(commit_file(log, at), _KINDS)))
        except FileNotFoundError:
            # cleaned up, so what was said before is in a checkpoint
            return None
    else:
        if version >= _WALK:
            return None
    for kind, said in (action for actions in reversed(later) for action in actions):
        if kind == "domainMetadata":
            state[kind][said.get("domain")] = None if said.get("removed") else said.get("configuration")
        else:
            state[kind] = said
    return state if "metaData" in state and "protocol" in state else None


def _checksum(log: Path, version: int) -> dict[str, Any] | None:
    """What the checksum file of a version says, where it says it all."""
    told = read_checksum(log, version)
    if not all(isinstance(told.get(name), dict) for name in ("metadata", "protocol")):
        return None
    domains = told.get("domainMetadata")
    if domains is None and "domainMetadata" in (told["protocol"].get("writerFeatures") or ()):
        return None
    found = [one for one in domains or () if isinstance(one, dict) and not one.get("removed")]
    known = {one.get("domain"): one.get("configuration") for one in found}
    return {"metaData": told["metadata"], "protocol": told["protocol"], "domainMetadata": known}


def _logical(schema: StructType, path: list[str]) -> list[str]:
    """A path of the names in the files, by the table's own names."""
    found: list[str] = []
    fields: list[StructField] = schema.fields
    for part in path:
        one = next(one for one in fields if one.metadata.get("delta.columnMapping.physicalName", one.name) == part)
        found.append(one.name)
        fields = one.dataType.fields if isinstance(one.dataType, StructType) else []
    return found
