"""What rows must look like: columns with types, and rules over a row."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import sqlglot
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from sqlglot import exp

from lakehouse.spec.base import ColumnName, Spec

_TYPE = re.compile(
    r"boolean|tinyint|smallint|int|bigint|float|double|string|binary|date|timestamp|timestamp_ntz"
    r"|decimal\((?P<precision>\d{1,2}),(?P<scale>\d{1,2})\)"
)
_TYPE_NAMES = "boolean, tinyint, smallint, int, bigint, float, double, decimal(p,s), string, binary, date, timestamp or timestamp_ntz"


def _known_type(text: str) -> str:
    found = _TYPE.fullmatch("".join(text.lower().split()))
    if not found:
        message = f"expected a type ({_TYPE_NAMES}), found '{text}'"
        raise ValueError(message)
    if found["precision"] and not 0 <= int(found["scale"]) <= int(found["precision"]) <= 38:
        message = f"expected decimal(p,s) with s <= p <= 38, found '{text}'"
        raise ValueError(message)
    return found.group()


def _column_in_short(value: object) -> object:
    """``bigint not null`` says the same as ``{type: bigint, nullable: false}``."""
    if not isinstance(value, str):
        return value
    text, required = re.subn(r"(?i)\s+not\s+null$", "", value.strip())
    return {"type": text, "nullable": not required}


class Column(Spec):
    """One column: its type, whether it may be NULL, and what it means."""

    type: Annotated[str, AfterValidator(_known_type)]
    nullable: bool = True
    about: str = ""


def columns_of(check: str) -> set[str]:
    """The names that an SQL expression reads.

    Raises:
        ValueError: the text is not one SQL expression over the columns of a row.
    """
    try:
        statements = sqlglot.parse(check, dialect="spark")
    except sqlglot.errors.SqlglotError as error:
        first = error.errors[0] if getattr(error, "errors", None) else {"description": str(error), "col": 1}
        message = f"not an SQL expression: {first['description']} (at character {first['col']})"
        raise ValueError(message) from None
    tree = statements[0] if len(statements) == 1 else None
    if tree is None or isinstance(tree, (exp.Query, exp.DDL, exp.DML, exp.Command, exp.Block)):
        message = "expected one SQL expression over the columns of a row"
        raise ValueError(message)
    if tree.find(exp.Query):
        message = "a rule sees one row: no subqueries"
        raise ValueError(message)
    called = {node.name.lower() for node in tree.find_all(exp.Anonymous)}
    if forbidden := called & {"java_method", "reflect", "try_reflect"}:
        message = f"{sorted(forbidden)[0]}() runs code, and a rule is data"
        raise ValueError(message)
    # the root of a.b.c is its first part: a column, or (for a plain struct access) the struct itself
    return {column.parts[0].name for column in tree.find_all(exp.Column)}


def _parses(check: str) -> str:
    columns_of(check)
    return check


class Rule(Spec):
    """An SQL condition that every row must not make false; NULL passes, as in a CHECK of SQL.

    ``on_fail`` says what becomes of a row that breaks it: kept aside as received (``quarantine``), left out and
    counted (``drop``), kept and counted (``warn``), or the end of the run before anything is written (``fail``).
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    check: Annotated[str, AfterValidator(_parses)]
    on_fail: Literal["quarantine", "drop", "fail", "warn"] = "quarantine"
    about: str = ""


class Contract(Spec):
    """The columns that a source must have, and the rules that its rows must keep.

    A column that the contract does not name passes as it is: whether a table may grow is the ``evolve`` of its write.
    """

    columns: dict[
        ColumnName, Annotated[Column, BeforeValidator(_column_in_short, json_schema_input_type=str | Column)]
    ] = {}
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _rule_names_are_unique(self) -> Contract:
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            message = f"two rules are named '{twice[0]}'"
            raise ValueError(message)
        return self
