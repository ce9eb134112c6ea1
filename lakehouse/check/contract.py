"""A contract on the rows of one batch: typed columns, and rows sorted by what becomes of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from lakehouse.check.columns import AS_RECEIVED, told_unknown, with_types
from lakehouse.check.noted import PART, noted
from lakehouse.check.others import Beside, compared
from lakehouse.check.reasons import in_words
from lakehouse.check.rules import BETWEEN, FAULTS, failing, with_broken
from lakehouse.check.score import gate, quality_of
from lakehouse.errors import ConfigError, first_line
from lakehouse.lake.batch import BYTES, CODE, MESSAGE, RAW, RECEIVED, RECEIVED_TYPE, SKIP, SOURCE, TEXT
from lakehouse.lake.faults import is_of_values
from lakehouse.lake.frame import as_json, col, literal, quoted, together
from lakehouse.lake.statements import expression, struct_of
from lakehouse.spec.contract import Contract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

    from lakehouse.check.rules import Asked
    from lakehouse.lake.batch import Arrived
    from lakehouse.lake.quality import Quality

REASONS = "__reasons"
_RECORD, _PARSED, _ACCEPTED = "__record", "__columns", "__accepted"


@dataclass(frozen=True)
class Checked:
    """The rows of a batch by what becomes of them; the three counts add up to what was read.

    ``accepted`` holds the typed columns and ``_source``; ``rejected`` holds ``record, source, code, reasons, message``.
    ``broken`` counts the rows that broke each rule, whatever its ``on_fail``; ``quality`` says it of all rules.
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
    quality: Quality | None = None


def check(
    arrived: Arrived,
    contract: Contract | None,
    *,
    missing: str = "null",
    beside: Beside | None = None,
    where: str = "",
) -> Checked:
    """Sort the rows of a batch by the contract; without one, only what could not be read is put aside.

    All of it is one pass over the rows, which are evaluated, judged, counted and kept.

    Args:
        arrived: the rows.
        contract: what they are held against.
        missing: what a declared column is that the batch lacks: ``null`` (a file may) or an ``error`` (a table may not)
        beside: what rules look at beside the rows.
        where: where the contract stands in the job, for those who are told of it.

    Raises:
        ColumnMissingError: a column that must be there is not.
        QualityGateError: too much is broken for the batch to be written.
        ConfigError: Spark does not understand a rule, a rule fails on a row, or a column cannot have its type.
    """
    known, beside = contract or Contract(), beside or Beside()
    asked = beside.asking(known, arrived.rows.columns)
    is_judged = arrived.judged and is_judged_alone(known)
    judged = arrived.rows if is_judged else _judge_all(arrived, known, missing=missing, beside=beside)
    # evaluated once, by the first that asks for it
    kept, counts = counted(judged.localCheckpoint(eager=False), asked, beside, skips=arrived.skips)
    bad_files = len(arrived.bad_files)
    beside_rows = [name for name in kept.columns if name.startswith("__")]
    accepted = kept.where(expression(f"({asked.fate()}) = 'accept'")).drop(*beside_rows)
    quality = quality_of(known, counts, where=where, bad_files=bad_files) if contract else None
    if quality and not beside.row_by_row:
        gate(known, quality, counts)
    skipped = {reason: counts[f"skip_{index}"] for index, reason in enumerate(arrived.skips)}
    rules = {one.rule: one.broken for one in quality.judgements if one.rule.islower()} if quality else {}
    unknown = {name: counts[name] for name in told_unknown(kept.columns)}
    return Checked(
        accepted,
        _rejected(kept, asked, noted(arrived.parts or [arrived.rows], known, F.col(REASONS)), beside.hidden),
        read=counts["read"] + bad_files,
        kept=counts["kept"],
        quarantined=counts["quarantined"] + bad_files,
        dropped=counts["dropped"],
        broken={name: count for name, count in {**rules, **skipped, **unknown}.items() if count},
        quality=quality,
    )


def _judge_all(arrived: Arrived, contract: Contract, *, missing: str, beside: Beside) -> DataFrame:
    """Judge the rows of a batch, those of each part by the types that they came in."""
    if not arrived.parts:
        return judge(arrived.rows, contract, missing=missing, beside=beside)
    kinds = {field.name.lower(): field for part in reversed(arrived.parts) for field in part.schema.fields}
    read = {name.lower() for rule in contract.rules for name in rule.reads} & kinds.keys()
    judged = []
    for number, part in enumerate(arrived.parts):
        # a rule may read what no contract declares and this part has not
        lacking = [kinds[name] for name in read - {name.lower() for name in part.columns}]
        whole = part.withColumns({one.name: F.lit(None).cast(one.dataType) for one in lacking}) if lacking else part
        judged.append(judge(whole, contract, missing=missing, beside=beside).withColumn(PART, F.lit(number)))
    return together(judged)


def is_judged_alone(contract: Contract | None) -> bool:
    """Whether each row tells by itself what becomes of it; else it takes the batch to tell."""
    return contract is None or not contract.of_others


def _with_received(rows: DataFrame) -> DataFrame:
    """The rows with what was received of each as one struct: it is made into text only where a row is put aside."""
    received = [name for name in rows.columns if name != SOURCE and not name.startswith("__")]
    # one field at least, since to_json does not take an empty struct
    whole = struct_of(received) if received else F.struct(F.lit(None).alias("nothing"))
    skip = {} if SKIP in rows.columns else {SKIP: F.lit(None).cast("string")}
    return rows.withColumns({AS_RECEIVED: whole, **skip})


def required(produced: DataFrame, faults: Mapping[str, Column], record: Sequence[str]) -> tuple[DataFrame, DataFrame]:
    """Split what a transform made: rows that have none of these faults; and the rest, as quarantine takes it.

    ``faults`` are conditions by their reason, such as ``NULL_KEY:id``, which begins with the code.
    """
    told = [F.when(is_there, F.lit(reason)) for reason, is_there in faults.items()]
    reasons = F.array_compact(F.array(*told, F.lit(None).cast("string")))
    good = produced.where(F.size(reasons) == 0)
    bad = produced.withColumn(REASONS, reasons).where(F.size(REASONS) > 0)
    null = F.lit(": NULL, and the write needs it")
    worded = F.transform(REASONS, lambda one: F.when(one.startswith("NULL_KEY:"), F.concat(one, null)).otherwise(one))
    message = F.concat(F.lit("after the transform: "), F.array_join(worded, "; "))
    columns = [col(name) for name in record]
    return good, _aside(
        bad, columns, code=F.substring_index(F.element_at(REASONS, 1), ":", 1), reasons=F.col(REASONS), message=message
    )


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


def judge(
    rows: DataFrame, contract: Contract | None, *, missing: str = "null", beside: Beside | None = None
) -> DataFrame:
    """Each row with its typed columns, what is wrong with it, and which of the rules it broke; nothing is evaluated.

    Of a stream too: so its plan is made once, and not with every batch.

    Raises:
        ColumnMissingError: a column that must be there is not.
        ConfigError: Spark does not understand a rule, or a column cannot have its type.
    """
    known, rows, beside = contract or Contract(), _with_received(rows), beside or Beside()
    asked = beside.asking(known, rows.columns)
    typed, faults = with_types(rows, known, missing)
    wrong = F.when(F.col(SKIP).isNull(), F.concat_ws(BETWEEN, F.col(CODE), *faults))
    flagged = with_broken(typed.withColumn(FAULTS, wrong), asked)
    # nothing is asked of the columns: what is put aside could not be read, and is kept as its text
    is_asked = bool(known.columns or known.rules or asked.stays or RECEIVED in rows.columns or known.unknown != "keep")
    columns = as_json(F.col(AS_RECEIVED)) if is_asked else F.lit(None).cast("string")
    as_received = {_RECORD: F.coalesce(F.col(RAW), columns)}
    if TEXT in rows.columns:
        has_columns = F.col(RAW).isNull() & F.col(TEXT).isNotNull()
        as_received = {_RECORD: F.coalesce(F.col(RAW), F.col(TEXT), columns), _PARSED: F.when(has_columns, columns)}
    as_received |= {name: F.col(name) for name in (RECEIVED, BYTES) if name in rows.columns}
    if is_judged_alone(known):
        # a row that is kept need not be carried as it was received, too
        aside = expression(f"({asked.fate()}) = 'quarantine'")
        as_received = {name: F.when(aside, value).alias(name) for name, value in as_received.items()}
    return flagged.withColumns(as_received).drop(RAW, TEXT, AS_RECEIVED)


def counted(
    judged: DataFrame, asked: Asked, beside: Beside, *, skips: Sequence[str] = (), is_kept: bool = True
) -> tuple[DataFrame, Mapping[str, Any]]:
    """The rows with what other rows say of them, and all that is counted of them.

    ``is_kept``: the rows are kept once they are evaluated, and to look at them again costs little. Then what would make
    the first look a slow one has another: what Spark does not compile, and which rules were broken, which few rows did.

    Raises:
        ConfigError: a rule fails on some row.
    """
    wanted, broken = _counted(asked, judged.columns, skips), _broken(asked)
    compiled, interpreted = _together(asked, compiled=True), _together(asked, compiled=False)
    with _told(asked):
        rows = compared(judged, asked, beside)
        seen = asked.computed(rows).withColumn(_ACCEPTED, expression(f"{asked.whole} AND ({asked.fate()}) = 'accept'"))
        if not is_kept:
            return rows, _sums(seen, [*wanted, *broken.values(), *compiled, *interpreted])
        counts = dict.fromkeys(broken, 0) | _sums(seen, [*wanted, *compiled])
        counts |= _sums(rows.where(asked.breaks_any), [*broken.values()]) if broken and counts["broken"] else {}
        counts |= _sums(seen, interpreted) if interpreted else {}
    return rows, counts


def _sums(rows: DataFrame, wanted: Sequence[str]) -> dict[str, Any]:
    return rows.agg(*map(expression, wanted)).collect()[0].asDict()


def _counted(asked: Asked, columns: Sequence[str], skips: Sequence[str]) -> list[str]:
    """What is counted of a batch, as SQL: fates, faults, and of some rules what they judged."""
    fate, contract = asked.fate(), asked.contract
    fates = {"kept": "accept", "quarantined": "quarantine", "dropped": "drop"}
    wanted = ["count(*) AS read", f"count_if({asked.sound}) AS whole", f"count_if({CODE} IS NOT NULL) AS unreadable"]
    wanted += [f"count_if(({fate}) = '{value}') AS {name}" for name, value in fates.items()]
    wanted += [f"count_if({SKIP} = {literal(reason)}) AS skip_{index}" for index, reason in enumerate(skips)]
    wanted += [f"{count} AS {quoted(name)}" for name, count in told_unknown(columns).items()]
    wanted += [
        # how often the text has the code
        f"coalesce(sum(CASE WHEN {FAULTS} <> '' THEN length(replace({FAULTS}, '{code}:', '{code}:+')) "
        f"- length({FAULTS}) ELSE 0 END), 0) AS {code}"
        for code in ("NULL_VALUE", "CAST")
    ]
    wanted += [f"count_if({asked.goes_on}) AS gone_on"] if contract.of_others else []
    wanted += [f"count_if({asked.breaks_any}) AS broken"] if contract.rules else []
    for index, rule in enumerate(contract.rules):
        if rule not in contract.of_all and (rule.only or asked.hides):
            of = asked.goes_on if rule in contract.of_others else asked.whole
            wanted.append(f"count_if({of}{asked.only(rule)}) AS judged_{index}")
    return wanted


def _broken(asked: Asked) -> dict[str, str]:
    """How many rows broke each rule that is asked of rows, as SQL, by what it is called."""
    rules = [index for index, rule in enumerate(asked.contract.rules) if rule not in asked.contract.of_all]
    return {f"broken_{index}": f"count_if({asked.breaks(index)}) AS broken_{index}" for index in rules}


def _together(asked: Asked, *, compiled: bool) -> list[str]:
    """What is asked of all rows together, as SQL; that which Spark compiles, or the rest."""
    found = [(index, rule) for index, rule in enumerate(asked.contract.rules) if rule in asked.of_all]
    return [
        one
        for index, rule in found
        if rule.asks.is_compiled is compiled  # type: ignore[union-attr]
        for one in asked.together(index, rule, _ACCEPTED)
    ]


@contextmanager
def _told(asked: Asked) -> Iterator[None]:
    """Say of which rule it is that it fails on some row."""
    try:
        yield
    except PySparkException as error:
        rule = failing(asked, error)
        # of some errors Spark does not show the expression
        rules = [rule] if rule else asked.contract.rules if is_of_values(error) else ()
        if rules:
            which = "', '".join(one.name for one in rules)
            few = f"rule '{which}' fails" if len(rules) == 1 else f"one of the rules '{which}' fails"
            shown = f"'{rules[0].check}': " if len(rules) == 1 else ""
            message = f"{few} on some row: {shown}{first_line(error)}"
            hint = "say what such a row means, with nullif(), try_divide(), try_cast() and the like"
            raise ConfigError(message, hint=hint) from error
        raise


def _evidence(columns: Sequence[str]) -> list[Column]:
    """What quarantine keeps of a row beside its record: the bytes that it came in, and its columns."""
    found = [F.col(_PARSED).alias("parsed")] if _PARSED in columns else []
    if RECEIVED in columns:
        return [F.col(RECEIVED).alias("received"), *found]
    if BYTES not in columns:
        return found
    nothing = [F.lit(None).alias(name) for name in ("headers", "timestamp", "timestamp_type")]
    value = F.struct(F.lit(None).alias("key"), F.col(BYTES).alias("value"), *nothing).cast(RECEIVED_TYPE)
    return [F.when(F.col(BYTES).isNotNull(), value).alias("received"), *found]


def _rejected(kept: DataFrame, asked: Asked, beside: Sequence[Column], hidden: Collection[str]) -> DataFrame:
    """The rows that are put aside, as quarantine takes them."""
    aside = kept.where(expression(f"({asked.fate()}) = 'quarantine'")).withColumn(REASONS, expression(asked.reasons()))
    columns = F.coalesce(_PARSED, _RECORD) if _PARSED in kept.columns else F.col(_RECORD)
    return aside.select(
        F.col(_RECORD).alias("record"),
        *_evidence(kept.columns),
        F.col(SOURCE).alias("source"),
        F.split(F.element_at(REASONS, 1), ":").getItem(0).alias("code"),
        F.col(REASONS).alias("reasons"),
        F.coalesce(F.col(MESSAGE), in_words(F.col(REASONS), columns, asked.contract, hidden)).alias("message"),
        *beside,
    )
