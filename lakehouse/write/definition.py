"""What a table was made by (mode, keys, order), which its properties say; rows of two definitions make two grains.

A property goes with the table: a RESTORE brings back that of its version, a clone has it, and a table that is made
anew begins without. A table that says nothing takes over what the next write says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lakehouse.errors import DefinitionChangeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Write

MODE = "lakehouse.mode"
_FIELDS = ("keys", "sequence_by", "snapshot_by", "snapshot_as")


def define(spec: Write) -> dict[str, str]:
    """The properties of a table that is written so."""
    properties: dict[str, str] = {MODE: spec.mode}
    for name in _FIELDS:
        if value := getattr(spec, name, None):
            properties[f"lakehouse.{name}"] = value if isinstance(value, str) else json.dumps(list(value))
    return properties


def changed(properties: Mapping[str, str], spec: Write) -> dict[str, str]:
    """Those properties of the write that the table does not have, or has otherwise."""
    return {name: value for name, value in define(spec).items() if properties.get(name) != value}


def check_definition(properties: Mapping[str, str], spec: Write, table: Table) -> None:
    """Hold what the table was made by against what the job says.

    Names of columns are compared in any case. An ``overwrite`` of the whole table replaces whatever was there.

    Raises:
        DefinitionChangeError: they differ; the message says in what.
    """
    if spec.mode == "overwrite" and spec.replace_where is None:
        return
    different = [
        f"{name.removeprefix('lakehouse.')} is {properties[name]}, the job says {value}"
        for name, value in define(spec).items()
        if name in properties and properties[name].lower() != value.lower()
    ]
    if different:
        message = f"{table.name} was written by another definition: {'; '.join(different)}"
        hint = (
            "take the change back, or rebuild the table with --full-refresh (a job without a stream: drop the table); "
            "where its rows are right as they are, docs/writes.md says how the table takes over the new one"
        )
        raise DefinitionChangeError(message, hint=hint)
