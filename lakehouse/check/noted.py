"""What quarantine notes beside a row of the contract that it broke, and of what the row was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from lakehouse.lake.batch import RECEIVED, SOURCE
from lakehouse.lake.frame import sql_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.contract import Contract

_RANK = {name: rank for rank, name in enumerate(("info", "warning", "error", "critical"))}


PART = "__part"
"""Beside a row that is judged where a batch has several parts: the number of its own."""


def noted(parts: Sequence[DataFrame], contract: Contract, reasons: Column) -> list[Column]:
    """The types that the row came with, the contract that judged it, and how bad it is by the rules that it broke."""
    types = [F.lit(_types(part)).cast("string") for part in parts]
    return [
        (types[0] if len(types) == 1 else F.array(*types)[F.col(PART)]).alias("types"),
        F.lit(contract.fingerprint if contract.columns or contract.rules else None).cast("string").alias("contract"),
        _severity(contract, reasons).cast("string").alias("severity"),
    ]


def _types(rows: DataFrame) -> str | None:
    """The types of what was received; None where all of it is text, or where the message itself is kept."""
    received = [one for one in rows.schema.fields if one.name != SOURCE and not one.name.startswith("__")]
    if RECEIVED in rows.columns or all(isinstance(one.dataType, StringType) for one in received):
        return None
    return sql_type(StructType(received))


def _severity(contract: Contract, reasons: Column) -> Column:
    """The severity of the worst rule that a row broke; NULL where no rule was broken."""
    ranked = sorted(contract.rules, key=lambda rule: _RANK[rule.weight], reverse=True)
    broken = [F.when(F.array_contains(reasons, f"RULE:{rule.name}"), F.lit(rule.weight)) for rule in ranked]
    return F.coalesce(*broken) if broken else F.lit(None)
