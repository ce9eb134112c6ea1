"""A contract on the rows of one batch: typed columns, and rows sorted by what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from lakehouse.check.columns import AS_RECEIVED, told_unknown, with_types
from lakehouse.errors import ConfigError, QualityGateError, first_line
from lakehouse.lake.batch import CODE, MESSAGE, RAW, RECEIVED, SKIP, SOURCE
from lakehouse.lake.frame import as_json, col, counted
from lakehouse.spec.contract import Contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from lakehouse.lake.batch import Arrived
    from lakehouse.spec.rule import Rule

REASONS, FATE = "__reasons", "__fate"
_ASIDE = {"record": "__record", "received": RECEIVED}
"""What quarantine takes of a row that has come in, and the column that it is in."""


@dataclass(frozen=True)
class Checked:
    """The rows of a batch by what becomes of them; the three counts add up to what was read.

    ``accepted`` holds the typed columns and ``_source``; ``rejected`` holds ``record, source, code, reasons, message``.
    ``broken`` counts the rows that broke each rule, whatever its ``on_fail``.
    ``handed``: how many rows ``accepted`` holds, where a state made others of those that were kept.
    """

    accepted: DataFrame
    rejected: DataFrame
    read: int
    kept: int
    quarantined: int
    dropped: int
    broken: Mapping[str, int] = field(default_factory=dict)
    handed: int | None = None


def check(arrived: Arrived, contract: Contract | None, *, missing: str = "null") -> Checked:
    """Sort the rows of a batch by the contract; without one, only what could not be read is put aside.

    All of it is one pass over the rows, which are evaluated, judged, counted and kept.
    ``missing``: what a declared column is that the batch lacks: ``null`` (a file may) or an ``error`` (a table may not)

    Raises:
        ColumnMissingError: a column that must be there is not.
        QualityGateError: a rule with ``on_fail: fail`` was broken.
        ConfigError: Spark does not understand a rule, a rule fails on a row, or a column cannot have its type.
    """
    contract = contract or Contract()
    judged = arrived.rows if arrived.judged else judge(arrived.rows, contract, missing=missing)
    judged, counts = _evaluated(judged, contract, arrived.skips)
    bad_files = len(arrived.bad_files)
    accepted = judged.where(F.col(FATE) == "accept").select(
        [col(name) for name in judged.columns if not name.startswith("__")]
    )
    there = [F.col(column).alias(name) for name, column in _ASIDE.items() if column in judged.columns]
    rejected = judged.where(F.col(FATE) == "quarantine").select(
        *there,
        F.col(SOURCE).alias("source"),
        _first_code().alias("code"),
        F.col(REASONS).alias("reasons"),
        _text().alias("message"),
    )
    rules = {rule.name: counts[f"rule_{index}"] for index, rule in enumerate(contract.rules)}
    _gate(contract, rules)
    skipped = {reason: counts[f"skip_{index}"] for index, reason in enumerate(arrived.skips)}
    unknown = {name: counts[name] for name in told_unknown(judged.columns)}
    return Checked(
        accepted,
        rejected,
        read=counts["read"] + bad_files,
        kept=counts["kept"],
        quarantined=counts["quarantined"] + bad_files,
        dropped=counts["dropped"],
        broken={name: count for name, count in {**rules, **skipped, **unknown}.items() if count},
    )


def _with_received(rows: DataFrame) -> DataFrame:
    """The rows with what was received of each as one struct: it is made into text only where a row is put aside."""
    received = [col(name) for name in rows.columns if name != SOURCE and not name.startswith("__")]
    # one field at least, since to_json does not take an empty struct
    whole = F.struct(*received) if received else F.struct(F.lit(None).alias("nothing"))
    skip = {} if SKIP in rows.columns else {SKIP: F.lit(None).cast("string")}
    return rows.withColumns({AS_RECEIVED: whole, **skip})


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


def judge(rows: DataFrame, contract: Contract | None, *, missing: str = "null") -> DataFrame:
    """Each row with its typed columns, its fate and why, and which of the rules it broke; nothing is evaluated.

    Of a stream too: so its plan is made once, and not with every batch.

    Raises:
        ColumnMissingError: a column that must be there is not.
        ConfigError: Spark does not understand a rule, or a column cannot have its type.
    """
    contract, rows = contract or Contract(), _with_received(rows)
    typed, faults = with_types(rows, contract, missing)
    whole = F.col(CODE).isNull() & F.col(SKIP).isNull()
    broken = [whole & F.coalesce(~_condition(typed, rule), F.lit(False)) for rule in contract.rules]
    # Spark Connect takes no empty list of columns
    flagged = typed.select("*", *[condition.alias(f"__rule_{index}") for index, condition in enumerate(broken)])
    flags = [F.col(f"__rule_{index}") for index in range(len(broken))]
    by_fate = {
        fate: [(rule, flag) for rule, flag in zip(contract.rules, flags, strict=True) if rule.on_fail == fate]
        for fate in ("quarantine", "drop")
    }
    put_aside = [F.when(flag, F.lit(f"RULE:{rule.name}")) for rule, flag in by_fate["quarantine"]]
    reasons = F.when(F.col(SKIP).isNull(), F.array_compact(F.array(F.col(CODE), *faults, *put_aside)))
    flagged = flagged.withColumn(REASONS, reasons)
    drops = reduce(lambda one, other: one | other, (flag for _, flag in by_fate["drop"]), F.col(SKIP).isNotNull())
    fate = F.when(F.size(REASONS) > 0, "quarantine").when(drops, "drop").otherwise("accept")
    # a row that is kept need not be carried as it was received, too
    aside = F.size(REASONS) > 0
    as_received = {name: F.when(aside, F.col(name)).alias(name) for name in (RECEIVED,) if name in rows.columns}
    record = F.when(aside, F.coalesce(F.col(RAW), as_json(F.col(AS_RECEIVED))))
    flagged = flagged.withColumns({FATE: fate, "__record": record, **as_received})
    return flagged.drop(RAW, AS_RECEIVED)


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


def _evaluated(judged: DataFrame, contract: Contract, skips: Sequence[str]) -> tuple[DataFrame, dict[str, int]]:
    """The rows with their fates, evaluated once: a rule may ask what time it is, and must not be asked twice."""
    fates = {"kept": "accept", "quarantined": "quarantine", "dropped": "drop"}
    wanted = [F.count("*").alias("read")]
    wanted += [F.count_if(F.col(FATE) == fate).alias(name) for name, fate in fates.items()]
    wanted += [F.count_if(F.col(f"__rule_{index}")).alias(f"rule_{index}") for index, _ in enumerate(contract.rules)]
    wanted += [F.count_if(F.col(SKIP) == reason).alias(f"skip_{index}") for index, reason in enumerate(skips)]
    wanted += [F.expr(count).alias(name) for name, count in told_unknown(judged.columns).items()]
    try:
        return counted(judged, *wanted)
    except PySparkException as error:
        # Spark shows the expression that failed, as it was written
        if rule := next((rule for rule in contract.rules if rule.check in str(error)), None):
            message = f"rule '{rule.name}' fails on some row: '{rule.check}': {first_line(error)}"
            hint = "say what such a row means, with nullif(), try_divide(), try_cast() and the like"
            raise ConfigError(message, hint=hint) from error
        raise


def _gate(contract: Contract, broken: Mapping[str, int]) -> None:
    failed = [rule for rule in contract.rules if rule.on_fail == "fail" and broken[rule.name]]
    if failed:
        listed = "; ".join(f"{rule.name} ({rule.check}): {broken[rule.name]:,} rows" for rule in failed)
        message = f"rules with on_fail: fail were broken, nothing was written: {listed}"
        raise QualityGateError(message, hint="mend the data at its source, or change the rule")


def _first_code() -> Column:
    return F.split(F.element_at(REASONS, 1), ":").getItem(0)


def _text() -> Column:
    return F.coalesce(F.col(MESSAGE), F.array_join(REASONS, ", "))
