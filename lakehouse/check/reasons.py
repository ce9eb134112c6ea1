"""Why a row is put aside, for people: each reason with what it means, and with the values that it is about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.check.personal import personal
from lakehouse.foreign import MASK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pyspark.sql import Column

    from lakehouse.spec.contract import Contract

_LONGEST, _MOST = 60, 3
"""Characters of a value that a message shows, and columns of a rule whose values it shows."""


def in_words(reasons: Column, record: Column, contract: Contract, hidden: Collection[str]) -> Column:
    """The reasons of a row as one text, such as ``CAST:qty: no int: qty = 'abc'``.

    Args:
        reasons: the reasons, ``CODE:name`` each.
        record: the row's columns as JSON, as received; of what is none, no value is shown.
        contract: what judged the row.
        hidden: columns whose values are masked beside those that the contract classifies.
    """
    known = {reason: {"says": says, "reads": list(reads)} for reason, says, reads in _meanings(contract)}
    # one literal, however many columns there are
    meant = F.from_json(F.lit(json.dumps(known)), "map<string, struct<says: string, reads: array<string>>>")
    secret = sorted({*personal(contract), *(name.lower() for name in hidden)})
    values = F.transform_values(
        F.from_json(record, "map<string, string>"), lambda name, value: _shown(name, value, secret)
    )

    def word(reason: Column) -> Column:
        meaning = meant[reason]
        told = F.transform(meaning["reads"], lambda name: F.concat(name, F.lit(" = "), _value(values, name)))
        about = F.when((F.size(told) > 0) & values.isNotNull(), F.array_join(told, ", "))
        # NULLs are left out
        return F.concat_ws(": ", reason, meaning["says"], about)

    return F.array_join(F.transform(reasons, word), "; ")


def _shown(name: Column, value: Column, secret: Sequence[str]) -> Column:
    end = F.when(F.length(value) > _LONGEST, "…'").otherwise("'")
    quoted = F.concat(F.lit("'"), F.left(value, F.lit(_LONGEST)), end)
    return F.when(F.lower(name).isin(secret), F.lit(MASK)).otherwise(quoted) if secret else quoted


def _value(values: Column, name: Column) -> Column:
    """A value by its column's name, whose case may be another one in the source."""
    named = F.map_filter(values, lambda key, _: F.lower(key) == F.lower(name))
    return F.coalesce(F.get(F.map_values(named), F.lit(0)), F.lit("NULL"))


def _meanings(contract: Contract) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Each reason that the contract may give, what it means, and the columns that it is about."""
    for name, column in contract.columns.items():
        how = f", written as {' or '.join(column.formats)}" if column.formats else ""
        yield f"CAST:{name}", f"no {column.type}{how}", [name]
        yield f"NULL_VALUE:{name}", "NULL, which nullable: false does not allow", [name]
    for rule in contract.rules:
        reads = sorted(rule.reads)
        only = f" where {rule.where}" if rule.where else ""
        yield f"RULE:{rule.name}", f"not {rule.check}{only}", reads if len(reads) <= _MOST else []
