"""Rules as SQL over the rows of a batch: which of them each row breaks, as the bits of a few numbers.

A flag of its own for each rule would make every row that is kept wider, and the names of what it broke would be put
together for every row that broke nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import MapType, VariantType

from lakehouse.check.named import CHECKS
from lakehouse.errors import ConfigError, first_line
from lakehouse.lake.batch import CODE, SKIP, TOLD
from lakehouse.lake.frame import col, literal
from lakehouse.lake.statements import expression
from lakehouse.lake.types import parts
from lakehouse.spec.expression import RowCheck, at_time
from lakehouse.spec.functions import NAMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pyspark.sql import DataFrame

    from lakehouse.spec.contract import Contract
    from lakehouse.spec.expression import AggregateCheck, Computed
    from lakehouse.spec.rule import Rule

FAULTS, BETWEEN = "__wrong", "\x1f"
"""Beside a row that is judged: what is wrong with it before any rule is asked, as one text, and what stands between two
of them. Spark has compiled code for that, and none to leave NULLs out of an array. NULL of what is no row of data."""

_BROKEN, _BITS, _WORST = "__broken_", 60, "__worst"

_SHOWN = re.compile(r"^== SQL[^\n]*==\n(.*?)(?=^\s*\^|\Z)", re.MULTILINE | re.DOTALL)
"""Where Spark shows the expression that failed on a row; of a disk or a network that fails it shows none."""

_NAME = re.compile(r"[\w.`]+")


@dataclass(frozen=True)
class Asked:
    """The rules of a contract, and how they are asked.

    ``at`` is when; None: Spark's own time, which a stream fixes itself. ``of_events``: some rows are no more than the
    key of what is deleted. ``stays``: whatever is wrong with a row, it is where it is. ``hides``: rows tell which
    columns they tell, and one that tells none is a deletion. ``row_by_row``: the rows were chosen by hand, so that
    nothing is asked of all of them together, and a row that would end the run is put aside.
    """

    contract: Contract
    at: datetime | None = None
    of_events: bool = False
    stays: bool = False
    hides: bool = False
    row_by_row: bool = False

    @property
    def sound(self) -> str:
        """Which rows columns are asked of: those that could be read, are rows of data, and no events of the write."""
        is_event = f" AND {TOLD} IS NULL" if self.of_events else ""
        return f"({CODE} IS NULL AND {SKIP} IS NULL{is_event})"

    @property
    def whole(self) -> str:
        """Which rows rules are asked of: those that are sound, and more than a key."""
        return f"({self.sound} AND ({TOLD} IS NULL OR size({TOLD}) > 0))" if self.hides else self.sound

    def sql(self, text: str) -> str:
        """An expression as Spark takes it, whatever comments are in it."""
        return f"(\n{at_time(text, self.at) if self.at else text}\n)"

    def only(self, rule: Rule) -> str:
        """Of which rows a rule is, by its ``where`` and by what they tell."""
        read = {name.lower() for name in rule.reads} if self.hides else set()
        needed = [name for name in self.contract.columns if name.lower() in read]
        told = " AND ".join(f"array_contains({TOLD}, {literal(name)})" for name in needed)
        tells = f" AND ({TOLD} IS NULL OR {told})" if told else ""
        return tells + (f" AND {self.sql(rule.only.sql)}" if rule.only else "")

    def puts_aside(self, rule: Rule) -> bool:
        """Whether a row that breaks the rule is put aside."""
        return rule.on_fail == "quarantine" or (self.row_by_row and rule.on_fail == "fail")

    @property
    def of_all(self) -> Sequence[Rule]:
        """The rules that are asked of all rows together."""
        return () if self.row_by_row else self.contract.of_all

    def breaks(self, index: int) -> str:
        """Whether a row breaks the rule."""
        return f"({_BROKEN}{index // _BITS} & {_bit(index)}) <> 0"

    def breaks_one(self, rules: Iterable[Rule]) -> str:
        """Whether a row breaks one of the rules."""
        masks: dict[int, int] = {}
        wanted = {rule.name for rule in rules}
        for index, rule in enumerate(self.contract.rules):
            if rule.name in wanted:
                masks[index // _BITS] = masks.get(index // _BITS, 0) | 1 << index % _BITS
        return " OR ".join(f"({_BROKEN}{number} & {mask}L) <> 0" for number, mask in masks.items()) or "false"

    @property
    def numbers(self) -> list[str]:
        """The columns whose bits are the rules that a row breaks."""
        return [f"{_BROKEN}{number}" for number in range(-(-len(self.contract.rules) // _BITS))]

    @property
    def breaks_any(self) -> str:
        """Whether a row breaks any rule."""
        return f"{_WORST} <> 0 OR {self.breaks_one(rule for rule in self.contract.rules if _computed(rule))}"

    def fate(self, rules: Sequence[Rule] | None = None) -> str:
        """What becomes of a row by some of the rules; by all of them where none are named."""
        if self.stays:
            return "'accept'"
        rules = self.contract.rules if rules is None else rules
        aside = [rule for rule in rules if self.puts_aside(rule)]
        drop = [rule for rule in rules if rule.on_fail == "drop"]
        return (
            f"CASE WHEN {FAULTS} <> '' OR {self.breaks_one(aside)} THEN 'quarantine' "
            f"WHEN {SKIP} IS NOT NULL OR {self.breaks_one(drop)} THEN 'drop' ELSE 'accept' END"
        )

    @property
    def goes_on(self) -> str:
        """Which rows go on, as far as each tells by itself; those are held against others."""
        return f"{self.whole} AND ({self.fate(self.contract.of_rows)}) = 'accept'"

    def reasons(self) -> str:
        """Everything that is wrong with a row, for one that is put aside."""
        told = [
            f"CASE WHEN {self.breaks(index)} THEN 'RULE:{rule.name}' END"
            for index, rule in enumerate(self.contract.rules)
            if self.puts_aside(rule)
        ]
        before = f"CASE WHEN {FAULTS} = '' THEN array() ELSE split({FAULTS}, '\\u001f') END"
        return f"concat({before}, array_compact(array({', '.join([*told, 'CAST(NULL AS STRING)'])})))"

    def together(self, index: int, rule: Rule, accepted: str) -> list[str]:
        """What is asked of all rows together: whether the rule is broken, and the value of each of its aggregates."""
        asks: AggregateCheck = rule.asks  # type: ignore[assignment]
        which = f" FILTER (WHERE {accepted}{self.only(rule)})"
        parts = [f"{part}{which}" if number % 2 else part for number, part in enumerate(asks.parts)]
        values = [f"CAST({part} AS STRING) AS value_{index}_{number}" for number, part in enumerate(parts[1::2])]
        return [f"NOT {self.sql(''.join(parts))} AS broken_{index}", *values]

    def mark(self, rows: DataFrame, index: int, condition: str) -> DataFrame:
        """The rows with a rule noted as broken where a condition is true."""
        name = self.numbers[index // _BITS]
        bit = f"CASE WHEN {condition} THEN {_bit(index)} ELSE 0L END"
        return rows.withColumns({name: expression(f"{name} | {bit}"), _WORST: expression(f"greatest({_WORST}, {bit})")})

    def computed(self, rows: DataFrame, rules: Iterable[Rule] | None = None) -> DataFrame:
        """The rows with what the named checks of rules say, each as a column that the rules' SQL reads."""
        found = {
            one.column: one for rule in (self.contract.rules if rules is None else rules) for one in _computed(rule)
        }
        for one in found.values():
            takes = NAMED[one.name].takes
            arguments = [
                expression(self.sql(text)) if kind == "value" else int(text) if kind == "number" else text
                for kind, text in zip(takes, one.arguments, strict=True)
            ]
            rows = rows.withColumn(one.column, CHECKS[one.name](*arguments))
        return rows


def with_broken(typed: DataFrame, asked: Asked) -> DataFrame:
    """Rows with the numbers of which each bit is a rule that the row breaks; nothing is evaluated.

    Raises:
        ConfigError: Spark does not understand a rule.
    """
    rules = asked.contract.rules
    if not rules:
        return typed
    alone = [(index, rule) for index, rule in enumerate(rules) if isinstance(rule.asks, RowCheck)]
    _known_to_spark(typed, asked)
    # each rule is a text of its own, which Spark shows where it fails
    broken = {
        index: f"{asked.whole}{asked.only(rule)} AND NOT {asked.sql(rule.asks.sql)}"
        for index, rule in alone
        if isinstance(rule.asks, RowCheck)
    }
    flags = {index: expression(f"CASE WHEN {one} THEN {_bit(index)} ELSE 0L END") for index, one in broken.items()}
    none = F.lit(0).cast("bigint")
    numbers = [
        reduce(Column.bitwiseOR, [flags[index] for index in flags if index // _BITS == number], none).alias(name)
        for number, name in enumerate(asked.numbers)
    ]
    # Flags stand twice: Spark makes a method of its own of what does, and Java compiles none of many rules. Not those
    # of named checks: what is used twice Spark computes beforehand, and so where a rule is not asked, too
    worst = F.greatest(none, none, *[flags[index] for index, rule in alone if not _computed(rule)]).alias(_WORST)
    columns = [col(name) for name in typed.columns]
    return asked.computed(typed, [rule for _, rule in alone]).select(*columns, *numbers, worst)


def _computed(rule: Rule) -> list[Computed]:
    """The named checks that a rule asks."""
    return [one for check in (rule.asks, rule.only) for one in getattr(check, "computed", ())]


def _known_to_spark(typed: DataFrame, asked: Asked) -> None:
    """Hold every rule against what Spark understands, all at once; one by one only to find out which it is.

    Raises:
        ConfigError: Spark does not understand one, or it is no condition.
    """
    rules = asked.contract.rules
    if not _faults(typed, asked, rules):
        return
    for rule in rules:
        if fault := _faults(typed, asked, [rule]):
            message = f"rule '{rule.name}': {fault}"
            raise ConfigError(message)


def _faults(typed: DataFrame, asked: Asked, rules: Sequence[Rule]) -> str | None:
    """Why Spark does not take rules as conditions."""
    asks = [(rule, check) for rule in rules for check in (rule.asks, rule.only) if isinstance(check, RowCheck)]
    of_all = [rule for rule in rules if hasattr(rule.asks, "parts")]
    shown = rules[0].check
    try:
        rows = asked.computed(typed, rules)
        texts = [expression(asked.sql(check.sql)).alias(f"__{index}") for index, (_, check) in enumerate(asks)]
        kinds = [*rows.select(F.lit(1), *texts).schema.fields[1:]]
        together = [asked.together(index, rule, "true")[0] for index, rule in enumerate(of_all)]
        kinds += [*rows.select(*map(expression, together)).schema.fields] if together else []
        keys = [column for rule in rules for column in getattr(rule.asks, "columns", ())]
        compared = rows.select(F.lit(1), *map(expression, keys)).schema.fields[1:]
    except PySparkException as error:
        return f"Spark does not understand '{shown}': {first_line(error)}"
    for text, field in zip(keys, compared, strict=True):
        if any(isinstance(one, MapType | VariantType) for _, one in parts(field.dataType, text)):
            return f"'{shown}' compares {text}, a {field.dataType.simpleString()}, which cannot be compared"
    odd = next((one.dataType.simpleString() for one in kinds if one.dataType.simpleString() != "boolean"), None)
    return f"'{shown}' is {odd}, not true or false" if odd else None


def failing(asked: Asked, error: Exception) -> Rule | None:
    """The rule that an error of Spark's is about: Spark shows the expression that failed, as it was written."""
    shown = "\n".join(_SHOWN.findall(str(error)))
    found: list[tuple[int, int]] = []
    for index, rule in enumerate(asked.contract.rules):
        texts = [getattr(check, "sql", "") for check in (rule.asks, rule.only)]
        texts += getattr(rule.asks, "parts", ())[1::2]
        texts += [text for one in _computed(rule) for text in one.arguments]
        # a name alone cannot fail, and is part of what else may
        timed = {asked.sql(text)[2:-2] for text in texts if text and not _NAME.fullmatch(text)}
        found += [(len(text), -index) for text in timed if text in shown]
    # the longest, as one rule may be a part of another
    return asked.contract.rules[-max(found)[1]] if found else None


def _bit(index: int) -> str:
    return f"{1 << index % _BITS}L"
