"""A contract on the rows of one batch: typed columns, and rows sorted by what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from lakehouse.check.cast import exact
from lakehouse.errors import ColumnMissingError, ConfigError, QualityGateError, first_line
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE
from lakehouse.lake.frame import as_json, col, materialise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from lakehouse.lake.batch import Arrived
    from lakehouse.spec.contract import Contract, Rule

RECORD, REASONS, FATE = "__record", "__reasons", "__fate"
_BESIDE = (RAW, CODE, MESSAGE)


@dataclass(frozen=True)
class Checked:
    """The rows of a batch by what becomes of them; the three counts add up to what was read.

    ``accepted`` holds the typed columns and ``_source``; ``rejected`` holds ``record, source, code, reasons, message``.
    ``broken`` counts the rows that broke each rule, whatever its ``on_fail``.
    """

    accepted: DataFrame
    rejected: DataFrame
    read: int
    kept: int
    quarantined: int
    dropped: int
    broken: Mapping[str, int] = field(default_factory=dict)


def check(arrived: Arrived, contract: Contract | None, *, missing: str = "null") -> Checked:
    """Sort the rows of a batch by the contract; without one, only what could not be read is put aside.

    ``missing``: what a declared column is that the batch lacks: ``null`` (a file may) or an ``error`` (a table may not)

    Raises:
        ColumnMissingError: a column that must be there is not.
        QualityGateError: a rule with ``on_fail: fail`` was broken.
        ConfigError: Spark does not understand a rule, a rule fails on a row, or a column cannot have its type.
    """
    rows = arrived.rows
    received = [name for name in rows.columns if name not in (*_BESIDE, SOURCE)]
    # one field at least, since to_json does not take an empty struct
    record = F.coalesce(
        F.col(RAW),
        as_json(F.struct(*[col(name) for name in received])) if received else F.lit("{}"),
    )
    typed = rows.withColumn(RECORD, record)
    if contract is None:
        judged = typed.withColumn(REASONS, F.array_compact(F.array(F.col(CODE)))).withColumn(
            FATE, F.when(F.col(CODE).isNotNull(), "quarantine").otherwise("accept")
        )
        broken: list[Column] = []
    else:
        judged, broken = _judged(typed, contract, received, missing)
        judged = _evaluated(judged, contract)
    counts = _counted(judged, contract, broken)
    bad_files = len(arrived.bad_files)
    accepted = judged.where(F.col(FATE) == "accept").select(
        [col(name) for name in judged.columns if not name.startswith("__")]
    )
    rejected = judged.where(F.col(FATE) == "quarantine").select(
        F.col(RECORD).alias("record"),
        F.col(SOURCE).alias("source"),
        _first_code().alias("code"),
        F.col(REASONS).alias("reasons"),
        _text().alias("message"),
    )
    rules = {rule.name: counts[f"rule_{index}"] for index, rule in enumerate(contract.rules if contract else ())}
    _gate(contract, rules)
    return Checked(
        accepted,
        rejected,
        read=counts["read"] + bad_files,
        kept=counts["kept"],
        quarantined=counts["quarantined"] + bad_files,
        dropped=counts["dropped"],
        broken={name: count for name, count in rules.items() if count},
    )


def required(produced: DataFrame, missing: Mapping[str, Column], record: Sequence[str]) -> tuple[DataFrame, DataFrame]:
    """Split what a transform made: rows in which no column of these is missing where it must not be; and the rest.

    The rest is as quarantine takes it.
    """
    told = [F.when(is_missing, F.lit(f"NULL_KEY:{name}")) for name, is_missing in missing.items()]
    reasons = F.array_compact(F.array(*told, F.lit(None).cast("string")))
    good = produced.where(F.size(reasons) == 0)
    bad = produced.withColumn(REASONS, reasons).where(F.size(REASONS) > 0)
    message = F.concat(F.lit("after the transform: "), F.array_join(REASONS, ", "))
    columns = [col(name) for name in record]
    return good, _aside(bad, columns, code=F.lit("NULL_KEY"), reasons=F.col(REASONS), message=message)


def too_late(rows: DataFrame, produced: Sequence[str]) -> DataFrame:
    """Rows that a write refuses for the code that it gives each, as quarantine takes them: with what was produced."""
    came = {name.lower() for name in produced if name != SOURCE}
    record = [col(name) for name in rows.columns if name.lower() in came]
    if "__dropped" in rows.columns:
        record += [F.col("__dropped")[name].alias(name) for name in rows.select("__dropped.*").columns]
    message = F.lit("older than what the table remembers of deletions and of events that changed nothing")
    return _aside(rows, record, code=F.col(CODE), reasons=F.array(CODE), message=message)


def _aside(rows: DataFrame, record: Sequence[Column], *, code: Column, reasons: Column, message: Column) -> DataFrame:
    """Rows that a transform made, as quarantine takes them."""
    source = F.col(SOURCE) if SOURCE in rows.columns else F.lit(None)
    return rows.select(
        as_json(F.struct(*record)).alias("record"),
        source.alias("source"),
        code.alias("code"),
        reasons.alias("reasons"),
        message.alias("message"),
    )


def _judged(
    rows: DataFrame, contract: Contract, received: Sequence[str], missing: str
) -> tuple[DataFrame, list[Column]]:
    spelled = {name.lower(): name for name in received}
    kinds: dict[str, DataType] = {field.name: field.dataType for field in rows.schema.fields}
    lacking = [name for name in contract.columns if name.lower() not in spelled]
    if lacking and missing == "error":
        has = ", ".join(received)
        message = f"the contract declares {', '.join(lacking)}, which the source does not have (it has {has})"
        raise ColumnMissingError(message, hint="correct the name, or take it out of the contract")
    values, fates = [], []
    for name, column in contract.columns.items():
        want = DataType.fromDDL(column.type)
        if name.lower() in spelled:
            value, kept = _exact(rows, spelled[name.lower()], kinds[spelled[name.lower()]], want, name)
        else:
            value, kept = F.lit(None).cast(want), F.lit(True)
        values.append(value.alias(name))
        fates.append(F.when(~kept, F.lit(f"CAST:{name}")))
        if not column.nullable:
            fates.append(F.when(kept & value.isNull(), F.lit(f"NULL_VALUE:{name}")))
    declared = {name.lower() for name in contract.columns}
    others = [col(name) for name in received if name.lower() not in declared]
    # the values first, as columns of their own: rules speak of the typed ones
    typed = rows.select(
        *values,
        *others,
        SOURCE,
        *_BESIDE,
        RECORD,
        F.array_compact(F.array(F.col(CODE), *[F.when(F.col(CODE).isNull(), fate) for fate in fates])).alias(REASONS),
    )
    broken = [F.col(CODE).isNull() & F.coalesce(~_condition(typed, rule), F.lit(False)) for rule in contract.rules]
    flagged = typed.withColumns({f"__rule_{index}": condition for index, condition in enumerate(broken)})
    flags = [F.col(f"__rule_{index}") for index in range(len(broken))]
    put_aside = [
        F.when(flag, F.lit(f"RULE:{rule.name}"))
        for flag, rule in zip(flags, contract.rules, strict=True)
        if rule.on_fail == "quarantine"
    ]
    dropped = [flag for flag, rule in zip(flags, contract.rules, strict=True) if rule.on_fail == "drop"]
    flagged = flagged.withColumn(
        REASONS, F.array_compact(F.concat(F.col(REASONS), F.array(*put_aside).cast("array<string>")))
    )
    drops = reduce(lambda one, other: one | other, dropped, F.lit(False))
    fate = F.when(F.size(REASONS) > 0, "quarantine").when(drops, "drop").otherwise("accept")
    return flagged.withColumn(FATE, fate), flags


def _exact(rows: DataFrame, received: str, have: DataType, want: DataType, name: str) -> tuple[Column, Column]:
    value, kept = exact(col(received), have, want, name)
    try:
        rows.select(value, kept)
    except AnalysisException:
        message = f"the contract declares {name} as {want.simpleString()}, and no {have.simpleString()} can become one"
        raise ConfigError(message, hint="declare the type that the source has, and cast in transform()") from None
    return value, kept


def _condition(typed: DataFrame, rule: Rule) -> Column:
    condition = F.expr(rule.check)
    try:
        kind = typed.select(condition.alias("it")).schema["it"].dataType.simpleString()
    except PySparkException as error:
        message = f"rule '{rule.name}': Spark does not understand '{rule.check}': {first_line(error)}"
        raise ConfigError(message) from None
    if kind != "boolean":
        message = f"rule '{rule.name}': '{rule.check}' is {kind}, not true or false"
        raise ConfigError(message)
    return condition


def _evaluated(judged: DataFrame, contract: Contract) -> DataFrame:
    """The rows with their fates, evaluated once: a rule may ask what time it is, and must not be asked twice."""
    try:
        return materialise(judged)
    except PySparkException as error:
        for index, rule in enumerate(contract.rules):
            try:
                judged.agg(F.max(f"__rule_{index}")).collect()
            except PySparkException as failure:
                message = f"rule '{rule.name}' fails on some row: '{rule.check}': {first_line(failure)}"
                hint = "say what such a row means, with nullif(), try_divide(), try_cast() and the like"
                raise ConfigError(message, hint=hint) from error
        raise


def _counted(judged: DataFrame, contract: Contract | None, broken: Sequence[Column]) -> dict[str, int]:
    def times(condition: Column) -> Column:
        return F.coalesce(F.sum(condition.cast("bigint")), F.lit(0))

    fates = {"kept": "accept", "quarantined": "quarantine", "dropped": "drop"}
    wanted = [F.count("*").alias("read"), *[times(F.col(FATE) == fate).alias(name) for name, fate in fates.items()]]
    wanted += [times(flag).alias(f"rule_{index}") for index, flag in enumerate(broken if contract else [])]
    return dict(judged.agg(*wanted).collect()[0].asDict())


def _gate(contract: Contract | None, broken: Mapping[str, int]) -> None:
    failed = [rule for rule in (contract.rules if contract else ()) if rule.on_fail == "fail" and broken[rule.name]]
    if failed:
        listed = "; ".join(f"{rule.name} ({rule.check}): {broken[rule.name]:,} rows" for rule in failed)
        message = f"rules with on_fail: fail were broken, nothing was written: {listed}"
        raise QualityGateError(message, hint="mend the data at its source, or change the rule")


def _first_code() -> Column:
    return F.split(F.element_at(REASONS, 1), ":").getItem(0)


def _text() -> Column:
    return F.coalesce(F.col(MESSAGE), F.array_join(REASONS, ", "))
