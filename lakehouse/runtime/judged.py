"""Where a contract applies: to what a source brought, and to what ``transform()`` made of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.check.contract import check
from lakehouse.check.others import Beside
from lakehouse.check.personal import personal_of
from lakehouse.errors import ConfigError
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, TOLD, Arrived, sourced
from lakehouse.lake.frame import sql_path
from lakehouse.lake.table import exists, read_table
from lakehouse.lake.types import resolved
from lakehouse.spec.expression import UniqueCheck
from lakehouse.write.events import flag

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.check.contract import Checked
    from lakehouse.lake.table import Table
    from lakehouse.runtime.workplace import Workplace
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.write import Write

_PLACE = ("file", "topic", "partition", "offset", "position")


def beside(
    work: Workplace,
    spark: SparkSession,
    contract: Contract | None,
    versions: Mapping[str, int],
    at: datetime,
    *,
    row_by_row: bool = False,
) -> Beside:
    """What the rules of a contract look at beside the rows, at the versions that are fixed for the batch."""
    names = contract.references if contract else []
    tables = {name: read_table(spark, work.lake.table(name), versions[name]) for name in names}
    return Beside(at, tables, row_by_row=row_by_row, hidden=personal_of(work.job))


def looks_into_target(contract: Contract | None) -> bool:
    """Whether a rule compares rows with those of the table that they go to."""
    rules = contract.rules if contract else ()
    return any(isinstance(rule.asks, UniqueCheck) and rule.asks.in_table for rule in rules)


def after_transform(produced: DataFrame, spec: Write, around: Beside, target: Table) -> Checked | None:
    """What ``transform()`` made, held against the contract of the write; None where there is none.

    What is wrong is rejected, and what a rule drops is filtered. A row that deletes is its key and its place in the
    order: it is held against nothing but that.

    Raises:
        ConfigError: the contract declares a column that the rows have not.
        QualityGateError: too much is broken.
    """
    contract = spec.contract
    if contract is None:
        return None
    has = {name.lower() for name in produced.columns}
    if lacking := [name for name in contract.columns if name.lower() not in has]:
        listed = ", ".join(name for name in produced.columns if name != SOURCE)
        message = f"write.contract declares {', '.join(lacking)}, which transform() did not make (it made {listed})"
        raise ConfigError(message, hint="correct the name, or take it out of the contract")
    beside = {name: F.lit(None).cast("string") for name in (RAW, CODE, MESSAGE)}
    events = _key_alone(produced, spec, contract)
    rows = sourced(produced).withColumns({**beside, **events})
    spark = produced.sparkSession
    there = read_table(spark, target) if looks_into_target(contract) and exists(spark, target) else None
    around = replace(around, target=there, record=_record(produced, spec), of_events=bool(events))
    checked = check(Arrived(rows), contract, missing="error", beside=around, where="write")
    return checked if SOURCE in produced.columns else _without_source(checked)


def _key_alone(produced: DataFrame, spec: Write, contract: Contract) -> dict[str, Column]:
    """Which rows are no more than a key, and the columns that they tell; nothing where the write knows no such rows."""
    ends = [name for name in ("apply_as_deletes", "apply_as_truncates") if getattr(spec, name, None)]
    if not ends:
        return {}
    is_end = F.lit(False)
    for name in ends:
        is_end = is_end | flag(produced, getattr(spec, name), spec.table, name)
    kept = {name.lower(): name for name in (*getattr(spec, "keys", ()), *getattr(spec, "sequence_by", ()))}
    # by the contract's spelling, where it has the column; what it has not stays, so that they are never none
    told = {**kept, **{name.lower(): name for name in contract.columns if name.lower() in kept}}
    return {TOLD: F.when(is_end, F.array(*map(F.lit, told.values())))}


def _record(produced: DataFrame, spec: Write) -> tuple[str, ...]:
    """The columns by which a row of the table is the same record as one of the batch, as SQL."""
    if spec.mode == "scd1":
        return tuple(sql_path(produced, name) for name in spec.keys if resolved(produced.schema, name))
    if spec.mode != "append" or (spec.identity == "source" and SOURCE not in produced.columns):
        return ()
    if spec.identity == "source":
        return tuple(f"{SOURCE}.{name}" for name in _PLACE)
    return tuple(sql_path(produced, name) for name in spec.identity)


def _without_source(checked: Checked) -> Checked:
    return replace(checked, accepted=checked.accepted.drop(SOURCE))


def together(*rules: Mapping[str, int]) -> dict[str, int]:
    """How many rows broke each rule, of several contracts."""
    total: Counter[str] = Counter()
    for one in rules:
        total.update(one)
    return dict(total)
