"""Rules: SQL conditions that rows must keep, parsed before anything runs."""

from __future__ import annotations

from typing import Annotated, Literal

import sqlglot
from pydantic import AfterValidator, Field
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, SqlglotError

from lakehouse.spec.base import Spec

_SPARK = sqlglot.Dialect.get_or_raise("spark")
_REFUSED: tuple[tuple[tuple[type[exp.Expr], ...], str], ...] = (
    ((exp.Query,), "a rule sees one row: no subqueries"),
    ((exp.AggFunc, exp.Window, exp.UDTF), "a rule sees one row: no aggregates, windows or generators"),
    ((exp.Parameter, exp.Placeholder), "a rule holds no parameters or references"),
)
_RUN_CODE = {"java_method", "reflect", "try_reflect"}


def columns_of(check: str) -> set[str]:
    """The names that an SQL expression reads.

    Raises:
        ValueError: the text is not one SQL expression over the columns of a row.
    """
    tree = parsed(check)
    for kinds, message in _REFUSED:
        if tree.find(*kinds):
            raise ValueError(message)
    if forbidden := {node.name.lower() for node in tree.find_all(exp.Anonymous)} & _RUN_CODE:
        message = f"{min(forbidden)}() runs code, and a rule is data"
        raise ValueError(message)
    # the root of a.b.c is its first part: a column, or (for a plain struct access) the struct itself
    return {column.parts[0].name for column in tree.find_all(exp.Column)}


def parsed(check: str) -> exp.Condition:
    """The tree of an SQL expression.

    Raises:
        ValueError: the text is not one SQL expression.
    """
    try:
        # the tokens are looked at first, as the parser passes over a semicolon at the end
        several = any(token.token_type == TokenType.SEMICOLON for token in _SPARK.tokenize(check))
        tree = None if several else _SPARK.parse_into(exp.Condition, check)[0]
    except ParseError as error:
        first = error.errors[0]
        message = f"not an SQL expression: {first['description']} (at character {first['col']})"
        raise ValueError(message) from None
    except (SqlglotError, RecursionError) as error:
        message = f"not an SQL expression: {str(error).splitlines()[0]}"
        raise ValueError(message) from None
    if not isinstance(tree, exp.Condition):
        message = "expected one SQL expression over the columns of a row"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports no TypeError
    return tree


def _parses(check: str) -> str:
    columns_of(check)
    return check


class Rule(Spec):
    """An SQL condition that every row must not make false; NULL passes, as in a CHECK of SQL.

    ``on_fail`` says what becomes of a row that breaks it: kept aside as received (``quarantine``), left out and
    counted (``drop``), kept and counted (``warn``), or the end of the run before anything is written (``fail``).
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    check: Annotated[str, Field(max_length=4000), AfterValidator(_parses)]
    on_fail: Literal["quarantine", "drop", "fail", "warn"] = "quarantine"
    about: str = ""
