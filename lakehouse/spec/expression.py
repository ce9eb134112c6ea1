"""SQL that configuration may hold: read as data, held against what it may call, and told apart by what it asks."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, SqlglotError

from lakehouse.spec.document import nearest
from lakehouse.spec.functions import AGGREGATES, CLOCK, INTERPRETED, NAMED, PATTERNS, SCALARS
from lakehouse.spec.pattern import why_refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from sqlglot import Token

_SPARK = sqlglot.Dialect.get_or_raise("spark")
_NEVER: tuple[tuple[tuple[type[exp.Expr], ...], str], ...] = (
    ((exp.Query,), "a rule sees one row: no subqueries"),
    ((exp.Window, exp.UDTF), "a rule sees one row: no aggregates, windows or generators"),
    ((exp.Parameter, exp.Placeholder), "a rule holds no parameters or references"),
)
_AGGREGATE = (exp.AggFunc,), "a rule sees one row: no aggregates, windows or generators"
_FILTER = (exp.Filter,), "say which rows an aggregate is of by where:"
_RUN_CODE = {"java_method", "reflect", "try_reflect"}
_SYNTAX_WORDS = """
all and any as between by case dec decimal distinct div else escape from ilike in interval is like not numeric on or
over regexp rlike some then varchar when where within xor
"""
_SYNTAX = frozenset(_SYNTAX_WORDS.split())
"""Words before a parenthesis that call nothing."""
_WORD = re.compile(r"[^\W\d]\w*")
_TABLE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_COMPUTED = "__is_"
_STRINGS = (TokenType.STRING, TokenType.RAW_STRING)
_QUOTED = (*_STRINGS, TokenType.IDENTIFIER)
_AFTER_CONDITION = (
    *(TokenType.AND, TokenType.OR, TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.COMMA),
    *(TokenType.THEN, TokenType.WHEN, TokenType.ELSE, TokenType.END, TokenType.ALIAS),
)
_SPECIAL = re.compile(r"\s*(now|today|tomorrow|yesterday)(\s+\S+)?\s*", re.IGNORECASE)
"""Texts that Spark takes for a time when it makes one of them, whatever time the batch has."""
_OF_THE_SESSION = {
    *("current_catalog", "current_database", "current_schema", "current_time", "current_user", "grouping__id"),
    *("localtime", "localtimestamp", "session_user"),
}
"""Words that Spark takes for a call where no column has the name."""


@dataclass(frozen=True)
class Call:
    """A call in a text: its name in lower case, its arguments as they stand there, and from where to where it goes."""

    name: str
    arguments: tuple[str, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Computed:
    """A named check that an expression asks: in its place the expression reads a column of this name."""

    column: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class RowCheck:
    """A condition on one row, as Spark takes it; ``computed`` are the columns that it needs first, in their order."""

    sql: str
    reads: frozenset[str]
    computed: tuple[Computed, ...] = ()


@dataclass(frozen=True)
class AggregateCheck:
    """A condition on all rows together; every other part of it, from the second, is a call of an aggregate."""

    parts: tuple[str, ...]
    reads: frozenset[str]
    computed: tuple[Computed, ...] = ()

    @property
    def is_compiled(self) -> bool:
        """Whether Spark compiles it: beside one that it interprets it compiles none, and DISTINCT copies all rows."""
        calls = [[token.text.lower() for token in _tokens(part)] for part in self.parts[1::2]]
        return not any(words[0] in INTERPRETED or "distinct" in words for words in calls)


@dataclass(frozen=True)
class UniqueCheck:
    """No two rows are the same in these columns; ``in_table``: nor is a row that the table holds."""

    columns: tuple[str, ...]
    reads: frozenset[str]
    in_table: bool = False


@dataclass(frozen=True)
class ReferenceCheck:
    """What a row has in these columns stands in those of a table."""

    columns: tuple[str, ...]
    reads: frozenset[str]
    table: str
    references: tuple[str, ...]


Check = RowCheck | AggregateCheck | UniqueCheck | ReferenceCheck
"""What a rule asks, told apart by its expression."""


def columns_of(condition: str) -> set[str]:
    """The names that an SQL condition on one row reads.

    Raises:
        ValueError: the text is not one SQL expression over the columns of a row.
    """
    tree = parsed(condition)
    _refuse(tree, *_NEVER, _AGGREGATE)
    _only_known(condition, SCALARS | CLOCK)
    _only_safe_patterns(condition)
    return _columns(tree)


def parsed(text: str) -> exp.Condition:
    """The tree of an SQL expression.

    Raises:
        ValueError: the text is not one SQL expression.
    """
    try:
        # the tokens are looked at first, as the parser passes over a semicolon at the end
        several = any(token.token_type == TokenType.SEMICOLON for token in _SPARK.tokenize(text))
        tree = None if several else _SPARK.parse_into(exp.Condition, text)[0]
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


@cache
def understood(text: str) -> Check:
    """What a rule asks.

    Raises:
        ValueError: it is no SQL expression, or calls what a rule may not.
    """
    if "${" in text:
        # in a text, too, Spark would put the environment's value there
        message = _NEVER[-1][1]
        raise ValueError(message)
    tokens = _tokens(text)
    alone = [call for call in calls(text, {"unique", "exists_in"}) if call.begin == tokens[0].start]
    if alone:
        return _of_several(alone[0], " ".join(text[alone[0].end :].split()).lower())
    sql, computed = _with_columns(text)
    tree = parsed(sql)
    _refuse(tree, *_NEVER, _FILTER)
    _only_known(text, SCALARS | CLOCK | AGGREGATES | NAMED.keys())
    _only_safe_patterns(text)
    _only_the_batchs_time(sql)
    reads = frozenset(_columns(tree)) | frozenset(
        name for one in computed for argument in _values(one) for name in _columns(parsed(argument))
    )
    if own := sorted(name for name in reads if name.startswith("__") and not name.startswith(_COMPUTED)):
        message = f"reads '{own[0]}': names that begin with two underscores are reserved"
        raise ValueError(message)
    reads = frozenset(name for name in reads if not name.startswith(_COMPUTED))
    found = calls(sql, AGGREGATES)
    if found:
        return AggregateCheck(_parts(sql, found), reads, computed)
    _refuse(tree, _AGGREGATE)
    return RowCheck(sql, reads, computed)


def named_alone(check: Check) -> str | None:
    """The named check that a rule asks and nothing else."""
    is_one = isinstance(check, RowCheck) and check.computed and check.sql.strip() == check.computed[-1].column
    return check.computed[-1].name if is_one and isinstance(check, RowCheck) else None


def asks_time(text: str) -> bool:
    """Whether what a condition says depends on when it is asked."""
    return bool(_clocks(text))


def at_time(sql: str, at: datetime) -> str:
    """An expression with a fixed time in the place of the current one; the session's zone is UTC."""
    for begin, end, is_date in reversed(_clocks(sql)):
        fixed = f"DATE'{at:%Y-%m-%d}'" if is_date else f"TIMESTAMP_LTZ'{at:%Y-%m-%d %H:%M:%S.%f}+00:00'"
        sql = sql[:begin] + fixed + sql[end:]
    return sql


def _clocks(sql: str) -> list[tuple[int, int, bool]]:
    """Where an expression asks for the time, and whether for the day alone."""
    tokens, found = _tokens(sql), []
    for index, token in enumerate(tokens):
        name, after = token.text.lower(), [one.token_type for one in tokens[index + 1 : index + 3]]
        called = after == [TokenType.L_PAREN, TokenType.R_PAREN]
        is_field = index > 0 and tokens[index - 1].token_type == TokenType.DOT
        bare = token.token_type in (TokenType.CURRENT_DATE, TokenType.CURRENT_TIMESTAMP)
        if name in CLOCK and not is_field and (called or bare):
            last = tokens[index + 2] if called else token
            found.append((token.start, last.end + 1, "date" in name))
    return found


def calls(text: str, names: Collection[str]) -> list[Call]:
    """The calls of these names that are in no other one of them."""
    tokens, found = _tokens(text), []
    index = 0
    while index < len(tokens) - 1:
        token = tokens[index]
        is_call = tokens[index + 1].token_type == TokenType.L_PAREN and token.token_type not in _STRINGS
        if is_call and token.text.lower() in names and not _follows_dot(tokens, index):
            close, arguments = _arguments(text, tokens, index + 1)
            found.append(Call(token.text.lower(), arguments, token.start, tokens[close].end + 1))
            index = close
        index += 1
    return found


def _arguments(text: str, tokens: Sequence[Token], opening: int) -> tuple[int, tuple[str, ...]]:
    """Where the parenthesis closes, and the texts between its commas.

    Raises:
        ValueError: it does not close.
    """
    depth, begin, arguments = 0, tokens[opening].end + 1, []
    for index in range(opening, len(tokens)):
        kind = tokens[index].token_type
        depth += kind in (TokenType.L_PAREN, TokenType.L_BRACKET)
        depth -= kind in (TokenType.R_PAREN, TokenType.R_BRACKET)
        if depth == 0 or (depth == 1 and kind == TokenType.COMMA):
            arguments.append(text[begin : tokens[index].start].strip())
            begin = tokens[index].end + 1
        if depth == 0:
            return index, tuple(arguments) if any(arguments) else ()
    message = "not an SQL expression: Expecting )"
    raise ValueError(message)


def _of_several(call: Call, rest: str) -> UniqueCheck | ReferenceCheck:
    """A check that looks at other rows than the one."""
    if rest and (call.name, rest) != ("unique", "over table"):
        message = f"{call.name}(…) is a rule of its own: nothing may stand beside it"
        raise ValueError(message + (" but 'over table'" if call.name == "unique" else ""))
    if call.name == "unique":
        columns = call.arguments
        if not columns:
            message = "unique(…) needs a column"
            raise ValueError(message)
        return UniqueCheck(columns, frozenset(_path(one)[0] for one in columns), bool(rest))
    half, odd = divmod(len(call.arguments), 2)
    if odd or not half:
        message = "expected exists_in(column, schema.table.column), or first all columns and then what each stands in"
        raise ValueError(message)
    columns, there = call.arguments[:half], [_path(one) for one in call.arguments[half:]]
    tables = {".".join(path[:-1]) for path in there}
    if len(tables) > 1 or not _TABLE.fullmatch(min(tables)):
        message = f"'{call.arguments[half]}' is not a column of one table: expected schema.table.column"
        raise ValueError(message)
    reads = frozenset(_path(one)[0] for one in columns)
    return ReferenceCheck(columns, reads, tables.pop(), tuple(path[-1] for path in there))


def _path(text: str) -> list[str]:
    """The parts of a column's name.

    Raises:
        ValueError: it is something else.
    """
    tree = parsed(text)
    if not isinstance(tree, exp.Column) or isinstance(tree.this, exp.Star):
        message = f"expected a column's name, found '{text}'"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports no TypeError
    return [part.name for part in tree.parts]


def _with_columns(text: str) -> tuple[str, tuple[Computed, ...]]:
    """The text with a column in the place of each named check, and these columns, inner ones first."""
    found: list[Computed] = []
    for call in reversed(calls(text, NAMED)):
        takes = NAMED[call.name].takes
        if len(call.arguments) != len(takes):
            message = f"{call.name}() takes {', '.join(takes)}, found {len(call.arguments)} arguments"
            raise ValueError(message)
        arguments = []
        for kind, argument in zip(takes, call.arguments, strict=True):
            if kind == "value":
                argument, inner = _with_columns(argument)
                found[:0] = [one for one in inner if one not in found]
            else:
                argument = _literal(argument, kind, call.name)
            arguments.append(argument)
        key = zlib.crc32("\0".join((call.name, *arguments)).encode())
        one = Computed(f"{_COMPUTED}{key:08x}", call.name, tuple(arguments))
        found += [] if one in found else [one]
        text = text[: call.begin] + one.column + text[call.end :]
    return text, tuple(found)


def _values(computed: Computed) -> Iterator[str]:
    """The arguments of a named check that are expressions."""
    takes = NAMED[computed.name].takes
    return (argument for kind, argument in zip(takes, computed.arguments, strict=True) if kind == "value")


def _literal(text: str, kind: str, name: str) -> str:
    """What a literal says; of a text as it stands there, as nobody wants to write a backslash twice.

    Raises:
        ValueError: it is none of the kind.
    """
    tokens = _tokens(text)
    if kind == "number" and re.fullmatch(r"\d{1,9}", text):
        return text
    if kind == "text" and len(tokens) == 1 and tokens[0].token_type in _STRINGS:
        inner = text[text.index(text[-1]) + 1 : -1]
        return inner if text[0] in "rR" else inner.replace("''", "'").replace("\\'", "'")
    message = f"{name}() takes a {'whole number' if kind == 'number' else 'text in quotes'} here, found {text}"
    raise ValueError(message)


def _parts(sql: str, found: Sequence[Call]) -> tuple[str, ...]:
    """The text before, within and after each aggregate.

    Raises:
        ValueError: an aggregate is in another, or a column in none.
    """
    parts, outside, at = [], "", 0
    for index, call in enumerate(found):
        inner = sql[call.begin : call.end]
        if any(calls(argument, AGGREGATES) for argument in call.arguments):
            message = f"an aggregate within another: {inner}"
            raise ValueError(message)
        parts += [sql[at : call.begin], inner]
        outside += f"{sql[at : call.begin]}__aggregate_{index}"
        at = call.end
    outside += sql[at:]
    tree = parsed(outside)
    if loose := sorted(name for name in _columns(tree) if not name.startswith("__aggregate_")):
        message = f"reads '{loose[0]}' outside of its aggregates: all rows together have no one value of it"
        raise ValueError(message)
    return (*parts, sql[at:])


def _only_the_batchs_time(sql: str) -> None:
    """Refuse texts that are a time of their own.

    Raises:
        ValueError: there is one.
    """
    said = ""
    for token in _tokens(sql):
        # texts that stand together are one
        said = said + token.text if token.token_type in _STRINGS else ""
        if said and _SPECIAL.fullmatch(said):
            message = f"'{said}' is a time that changes while the batch is run again: write now() or current_date()"
            raise ValueError(message)


def _only_known(text: str, known: Collection[str]) -> None:
    """Hold all that is called against what may be called, and that nothing else is read than columns.

    Raises:
        ValueError: something else is called.
    """
    tokens = _tokens(text)
    for index, token in enumerate(tokens[:-1]):
        name = token.text.lower()
        if tokens[index + 1].token_type != TokenType.L_PAREN or token.token_type in _STRINGS:
            continue
        is_quoted = token.token_type == TokenType.IDENTIFIER
        if not (is_quoted or _WORD.fullmatch(name)) or (name in _SYNTAX and not is_quoted):
            continue
        if name in _RUN_CODE:
            message = f"{name}() runs code, and a rule is data"
            raise ValueError(message)
        if name not in known or _follows_dot(tokens, index):
            near = nearest(name, sorted(known)) if name not in known else ""
            message = f"{name}() is none of the functions that a rule may call"
            raise ValueError(message + (near if "did you mean" in near else ""))
    if any(
        token.token_type == TokenType.TABLE and not _follows_dot(tokens, index) for index, token in enumerate(tokens)
    ):
        message = "TABLE x is a query: a rule sees one row (a column of this name is written in backticks)"
        raise ValueError(message)
    if words := _OF_THE_SESSION & {token.text.lower() for token in tokens if token.token_type not in _QUOTED}:
        message = f"{min(words)} is of the session, not of a row"
        raise ValueError(message)


def _only_safe_patterns(text: str) -> None:
    """Hold each regular expression against what may be asked.

    Raises:
        ValueError: it is no literal, Spark would read another one, or it may take for ever.
    """
    tokens = _tokens(text)
    asked = [
        (tokens[index + 1], _operand(text, tokens, index + 1))
        for index, token in enumerate(tokens[:-1])
        if token.token_type == TokenType.RLIKE
    ]
    for call in _every_call(text, PATTERNS):
        for argument in (call.arguments[place] for place in PATTERNS[call.name] if place < len(call.arguments)):
            asked.append((_tokens(argument)[0], f"r{argument}" if call.name == "matches" else argument))
    for token, literal in asked:
        is_raw = literal[:1] in "rR"
        if token.token_type not in _STRINGS or len(_tokens(literal)) > 1:
            message = f"a pattern is a text in quotes, found {literal}"
            raise ValueError(message)
        inner = literal[literal.index(literal[-1]) + 1 : -1]
        if not is_raw and re.search(r"(?<!\\)(\\\\)*\\(?![\\'\"])", inner):
            message = f"Spark takes the backslashes of {literal} away: write matches(column, {literal}), or r{literal}"
            raise ValueError(message)
        if why := why_refused(inner if is_raw else inner.replace("\\\\", "\\")):
            raise ValueError(why)


def _operand(text: str, tokens: Sequence[Token], begin: int) -> str:
    """What stands on the right of RLIKE: Spark takes all that follows, up to the end of the condition."""
    end = begin
    while end + 1 < len(tokens) and tokens[end + 1].token_type not in _AFTER_CONDITION:
        end += 1
    return text[tokens[begin].start : tokens[end].end + 1]


def _every_call(text: str, names: Collection[str]) -> Iterator[Call]:
    for call in calls(text, names):
        yield call
        for argument in call.arguments:
            yield from _every_call(argument, names)


def _refuse(tree: exp.Expr, *refused: tuple[tuple[type[exp.Expr], ...], str]) -> None:
    for kinds, message in refused:
        if tree.find(*kinds):
            raise ValueError(message)


def _columns(tree: exp.Expr) -> set[str]:
    # the root of a.b.c is its first part: a column, or (for a plain struct access) the struct itself
    return {column.parts[0].name for column in tree.find_all(exp.Column) if not isinstance(column.this, exp.Star)}


def _follows_dot(tokens: Sequence[Token], index: int) -> bool:
    return index > 0 and tokens[index - 1].token_type == TokenType.DOT


def _tokens(text: str) -> list[Token]:
    """The tokens of a text.

    Raises:
        ValueError: it has none, or is no SQL.
    """
    try:
        tokens: list[Token] = _SPARK.tokenize(text)
    except SqlglotError as error:
        message = f"not an SQL expression: {str(error).splitlines()[0]}"
        raise ValueError(message) from None
    if not tokens:
        message = "expected one SQL expression over the columns of a row"
        raise ValueError(message)
    return tokens
