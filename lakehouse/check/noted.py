"""What quarantine notes beside a row of the contract that it broke, and of what the row was."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from lakehouse.lake.batch import RECEIVED, SOURCE
from lakehouse.lake.frame import sql_type

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.contract import Contract

_RANK = {name: rank for rank, name in enumerate(("info", "warning", "error", "critical"))}


def noted(rows: DataFrame, contract: Contract, reasons: Column) -> list[Column]:
    """The types that the row came with, the contract that judged it, and how bad it is by the rules that it broke."""
    return [
        F.lit(_types(rows)).cast("string").alias("types"),
        F.lit(version(contract)).cast("string").alias("contract"),
        _severity(contract, reasons).cast("string").alias("severity"),
    ]


def _types(rows: DataFrame) -> str | None:
    """The types of what was received; None where all of it is text, or where the message itself is kept."""
    received = [one for one in rows.schema.fields if one.name != SOURCE and not one.name.startswith("__")]
    if RECEIVED in rows.columns or all(isinstance(one.dataType, StringType) for one in received):
        return None
    return sql_type(StructType(received))


def version(contract: Contract) -> str | None:
    """Which contract it is: ``name@version`` where it says so, else the beginning of a hash of all that it says."""
    said = contract.model_dump(mode="json")
    name, number = said.get("name"), said.get("version")
    if name and number:
        return f"{name}@{number}"
    if not contract.columns and not contract.rules:
        return None
    return "sha256:" + hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _severity(contract: Contract, reasons: Column) -> Column:
    """The severity of the worst rule that a row broke; NULL where no rule that says one was broken."""
    said = [(rule.name, getattr(rule, "weight", None)) for rule in contract.rules]
    ranked = sorted(((name, one) for name, one in said if one), key=lambda pair: _RANK.get(pair[1], 0), reverse=True)
    broken = [F.when(F.array_contains(reasons, f"RULE:{name}"), F.lit(one)) for name, one in ranked]
    return F.coalesce(*broken) if broken else F.lit(None)
