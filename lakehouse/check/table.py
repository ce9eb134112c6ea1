"""A contract on a whole table as it stands: what is broken, counted where it lies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from lakehouse.check.contract import counted
from lakehouse.check.rules import FAULTS, with_broken
from lakehouse.check.score import gate, quality_of
from lakehouse.errors import QualityGateError
from lakehouse.lake.batch import CODE, SKIP
from lakehouse.lake.frame import col
from lakehouse.lake.types import widens

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.check.others import Beside
    from lakehouse.lake.quality import Quality
    from lakehouse.spec.contract import Contract


def judged_as_it_is(
    rows: DataFrame, contract: Contract, beside: Beside
) -> tuple[Quality, list[str], QualityGateError | None]:
    """What the rows of a table are found to be, the rules that it cannot be held against, and the gate that broke.

    One aggregation over the table, one for each ``unique``, one anti-join for each ``exists_in``: rows are not kept, as
    a table may be larger than what there is room for.

    Raises:
        ConfigError: Spark does not understand a rule, or a rule fails on some row.
    """
    has = {field.name.lower(): field for field in rows.schema.fields}
    rules = tuple(rule for rule in contract.rules if {name.lower() for name in rule.reads} <= has.keys())
    columns = {name: column for name, column in contract.columns.items() if name.lower() in has}
    known = contract.model_copy(update={"rules": rules, "columns": columns})
    faults = []
    for name, column in columns.items():
        field = has[name.lower()]
        if not widens(field.dataType, DataType.fromDDL(column.type)):
            faults.append(F.lit(f"CAST:{name}"))
        if not column.nullable:
            faults.append(F.when(col(field.name).isNull(), F.lit(f"NULL_VALUE:{name}")))
    asked = replace(beside.asking(known), stays=True)
    none = F.lit(None).cast("string")
    wrong = F.concat_ws("\x1f", none, *faults)
    flagged = with_broken(rows.withColumns({CODE: none, SKIP: none, FAULTS: wrong}), asked)
    _, counts = counted(flagged, asked, beside, is_kept=False)
    quality = quality_of(known, counts, where="table")
    error = None
    try:
        gate(known, quality, counts, so="the table is not what its contract says")
    except QualityGateError as broken:
        error = broken
    gone = [rule.name for rule in contract.rules if rule not in rules]
    gone += [name for name in contract.columns if name not in columns]
    return quality, gone, error
