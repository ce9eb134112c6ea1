"""SQL that configuration may hold: read as data, held against what it may call, and told apart by what it asks."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from lakehouse.spec.document import nearest
from lakehouse.spec.functions import AGGREGATES, CLOCK, INTERPRETED, NAMED, PATTERNS, SCALARS, SESSION
from lakehouse.spec.operators import AFTER_CONDITION, check_operators
from lakehouse.spec.pattern import why_refused
from lakehouse.spec.sql import SqlTextError, Token, print_tokens, read_tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

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
_TABLE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_COMPUTED = "__is_"
_MOST_TOKENS = 2_000
"""Each operator may be one level of a tree, and Spark calls itself for each level."""
_SPECIAL = re.compile(r"\s*(now|today|tomorrow|yesterday)(\s+\S+)?\s*", re.IGNORECASE)
"""Texts that Spark takes for a time when it makes one of them, whatever time the batch has."""
_MAKE_TEXT_WORDS = """
array_join btrim char chr concat concat_ws conv decode elt format_number format_string from_json from_utf8
get_json_object hex initcap json_extract lcase left lower lpad ltrim mask overlay pad parse_url regexp_extract
regexp_replace regexp_substr repeat replace reverse right rpad rtrim space split split_part string substr substring
substring_index to_char to_json to_varchar translate trim ucase unbase64 unhex upper url_decode url_encode
"""
_MAKE_TEXT = frozenset(_MAKE_TEXT_WORDS.split())
SESSION_WORDS = SESSION | {"current_time", "grouping__id", "localtime", "localtimestamp"}
"""Names, in backticks too, that Spark takes for a call where no column has them."""


@dataclass(frozen=True)
class Call:
    """A call among tokens: its name in lower case, its arguments, and from which token up to which it goes."""

    name: str
    arguments: tuple[tuple[Token, ...], ...]
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
        calls = [[token.word for token in read_tokens(part)] for part in self.parts[1::2]]
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
    return _of_a_row(condition)[1]


def row_condition(condition: str) -> str:
    """An SQL condition on one row, printed anew: the only form of it that Spark may see.

    Raises:
        ValueError: the text is not one SQL expression over the columns of a row.
    """
    return _of_a_row(condition)[0]


@cache
def _of_a_row(condition: str) -> tuple[str, set[str]]:
    tokens = tokens_of(condition)
    sql = print_tokens(tokens).text
    tree = parsed(sql)
    _refuse(tree, *_NEVER, _AGGREGATE)
    check_calls(tokens, SCALARS | CLOCK)
    _only_safe_patterns(tokens)
    _only_the_batchs_time(tokens)
    _only_written_texts(tree)
    return sql, _columns(tree)


def tokens_of(text: str) -> list[Token]:
    """The tokens of an expression.

    Raises:
        ValueError: it has none, or is no SQL that all read in one way.
    """
    try:
        tokens = read_tokens(text)
    except SqlTextError as error:
        message = f"not an SQL expression: {error} (at character {error.start + 1})"
        raise ValueError(message) from None
    if not tokens:
        message = "expected one SQL expression over the columns of a row"
        raise ValueError(message)
    if len(tokens) > _MOST_TOKENS:
        message = f"an expression has at most {_MOST_TOKENS:,} parts, found {len(tokens):,}"
        raise ValueError(message)
    if any(token.source == ";" for token in tokens):
        message = "expected one SQL expression over the columns of a row, found a semicolon"
        raise ValueError(message)
    check_operators(tokens)
    _check_structs(tokens)
    return tokens


def parsed(text: str) -> exp.Condition:
    """The tree of an SQL expression.

    Raises:
        ValueError: the text is not one SQL expression.
    """
    try:
        tree = _SPARK.parse_into(exp.Condition, print_tokens(tokens_of(text)).text)[0]
    except ParseError as error:
        first = error.errors[0]
        message = f"not an SQL expression: {first['description']} (at character {first['col']})"
        raise ValueError(message) from None
    except ValueError:
        raise
    except Exception:
        # the parser itself trips over some texts, such as map() of one value
        message = "not an SQL expression: a function in it has too few arguments, or it is nested too deep"
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
        message = _NEVER[-1][1]
        raise ValueError(message)
    tokens = tokens_of(text)
    alone = [call for call in calls(tokens, {"unique", "exists_in"}) if call.begin == 0]
    if alone:
        return _of_several(alone[0], " ".join(token.word or token.source for token in tokens[alone[0].end :]))
    written = tokens
    tokens, computed = _with_columns(written)
    try:
        sql = print_tokens(tokens).text
    except SqlTextError as error:
        message = f"{error}, or, of a pattern, matches(column, '…') as it is"
        raise ValueError(message) from None
    tree = parsed(sql)
    _refuse(tree, *_NEVER, _FILTER)
    check_calls(written, SCALARS | CLOCK | AGGREGATES | NAMED.keys())
    _only_safe_patterns(written)
    _only_the_batchs_time(tokens)
    _only_written_texts(tree)
    reads = frozenset(_columns(tree)) | frozenset(
        name for one in computed for argument in _values(one) for name in _columns(_value_of(argument))
    )
    if own := sorted(name for name in reads if name.startswith("__") and not name.startswith(_COMPUTED)):
        message = f"reads '{own[0]}': names that begin with two underscores are reserved"
        raise ValueError(message)
    reads = frozenset(name for name in reads if not name.startswith(_COMPUTED))
    found = calls(tokens, AGGREGATES)
    if found:
        return AggregateCheck(_parts(tokens, found), reads, computed)
    _refuse(tree, _AGGREGATE)
    return RowCheck(sql, reads, computed)


def _value_of(argument: str) -> exp.Condition:
    """The tree of what a named check is asked of, which is a value of one row, too."""
    _only_the_batchs_time(read_tokens(argument))
    tree = parsed(argument)
    _refuse(tree, *_NEVER, _FILTER, _AGGREGATE)
    _only_written_texts(tree)
    return tree


def named_alone(check: Check) -> str | None:
    """The named check that a rule asks and nothing else."""
    is_one = isinstance(check, RowCheck) and check.computed and check.sql.strip() == check.computed[-1].column
    return check.computed[-1].name if is_one and isinstance(check, RowCheck) else None


def asks_time(text: str) -> bool:
    """Whether what a condition says depends on when it is asked."""
    return _may_ask_time(text) and bool(_clocks(read_tokens(text)))


def at_time(sql: str, at: datetime) -> str:
    """An expression with a fixed time in the place of the current one; the session's zone is UTC."""
    if not _may_ask_time(sql):
        return sql
    tokens = read_tokens(sql)
    for begin, end, is_date in reversed(_clocks(tokens)):
        fixed = f"DATE'{at:%Y-%m-%d}'" if is_date else f"TIMESTAMP_LTZ'{at:%Y-%m-%d %H:%M:%S.%f}+00:00'"
        first, *others = read_tokens(fixed)
        tokens[begin:end] = [replace(first, gap=tokens[begin].gap), *others]
    return print_tokens(tokens).text


def _may_ask_time(text: str) -> bool:
    # most expressions do not, and need not be read for it
    lowered = text.lower()
    return any(name in lowered for name in CLOCK)


def _clocks(tokens: Sequence[Token]) -> list[tuple[int, int, bool]]:
    """Which tokens ask for the time, and whether for the day alone."""
    found = []
    for index, token in enumerate(tokens):
        called = [one.source for one in tokens[index + 1 : index + 3]] == ["(", ")"]
        bare = token.word in ("current_date", "current_timestamp")
        if token.word in CLOCK and not _follows_dot(tokens, index) and (called or bare):
            found.append((index, index + 3 if called else index + 1, "date" in token.word))
    return found


def calls(tokens: Sequence[Token], names: Collection[str]) -> list[Call]:
    """The calls of these names that are in no other one of them."""
    found = []
    index = 0
    while index < len(tokens) - 1:
        name = _called(tokens, index)
        if name in names and not _follows_dot(tokens, index):
            close, arguments = arguments_of(tokens, index + 1)
            found.append(Call(name, arguments, index, close + 1))
            index = close
        index += 1
    return found


def _called(tokens: Sequence[Token], index: int) -> str:
    """The name in lower case that a token has before a parenthesis; nothing where it has none."""
    token = tokens[index]
    is_name = token.kind in ("word", "name") and index + 1 < len(tokens) and tokens[index + 1].source == "("
    return (token.value or "").lower() if is_name else ""


def arguments_of(tokens: Sequence[Token], opening: int) -> tuple[int, tuple[tuple[Token, ...], ...]]:
    """Which token closes the parenthesis, and what stands between its commas.

    Raises:
        ValueError: it does not close.
    """
    depth, begin, arguments = 0, opening + 1, []
    for index in range(opening, len(tokens)):
        mark = tokens[index].source if tokens[index].kind == "mark" else ""
        depth += mark in ("(", "[")
        depth -= mark in (")", "]")
        if depth == 0 or (depth == 1 and mark == ","):
            arguments.append(tuple(tokens[begin:index]))
            begin = index + 1
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
        columns = tuple(print_tokens(one).text for one in call.arguments)
        if not columns:
            message = "unique(…) needs a column"
            raise ValueError(message)
        return UniqueCheck(columns, frozenset(_path(one)[0] for one in columns), bool(rest))
    half, odd = divmod(len(call.arguments), 2)
    if odd or not half:
        message = "expected exists_in(column, schema.table.column), or first all columns and then what each stands in"
        raise ValueError(message)
    texts = [print_tokens(one).text for one in call.arguments]
    columns, there = tuple(texts[:half]), [_path(one) for one in texts[half:]]
    tables = {".".join(path[:-1]) for path in there}
    if len(tables) > 1 or not _TABLE.fullmatch(min(tables)):
        message = f"'{texts[half]}' is not a column of one table: expected schema.table.column"
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


def _with_columns(tokens: Sequence[Token]) -> tuple[list[Token], tuple[Computed, ...]]:
    """The tokens with a column in the place of each named check, and these columns, inner ones first."""
    found: list[Computed] = []
    result = list(tokens)
    for call in reversed(calls(tokens, NAMED)):
        takes = NAMED[call.name].takes
        if len(call.arguments) != len(takes):
            message = f"{call.name}() takes {', '.join(takes)}, found {len(call.arguments)} arguments"
            raise ValueError(message)
        arguments = []
        for kind, argument in zip(takes, call.arguments, strict=True):
            if kind == "value":
                inner_tokens, inner = _with_columns(argument)
                found[:0] = [one for one in inner if one not in found]
                arguments.append(print_tokens(inner_tokens).text)
            else:
                arguments.append(_literal(argument, kind, call.name))
        key = zlib.crc32("\0".join((call.name, *arguments)).encode())
        one = Computed(f"{_COMPUTED}{key:08x}", call.name, tuple(arguments))
        found += [] if one in found else [one]
        first = tokens[call.begin]
        result[call.begin : call.end] = [Token("word", one.column, one.column, first.start, first.gap)]
    return result, tuple(found)


def _values(computed: Computed) -> Iterator[str]:
    """The arguments of a named check that are expressions."""
    takes = NAMED[computed.name].takes
    return (argument for kind, argument in zip(takes, computed.arguments, strict=True) if kind == "value")


def _literal(tokens: Sequence[Token], kind: str, name: str) -> str:
    """What a literal says; of a text as it stands there, as nobody wants to write a backslash twice.

    Raises:
        ValueError: it is none of the kind.
    """
    token = tokens[0] if len(tokens) == 1 else None
    if token and kind == "number" and re.fullmatch(r"[0-9]{1,9}", token.source):
        return token.source
    if token and kind == "text" and token.kind == "text":
        return as_written(token)
    shown = " ".join(token.source for token in tokens)
    message = f"{name}() takes a {'whole number' if kind == 'number' else 'text in quotes'} here, found {shown}"
    raise ValueError(message)


def as_written(token: Token) -> str:
    """A text with its backslashes, of which only one before a quote is not of the text itself."""
    quote = token.source[-1]
    if token.source[0] in "rR":
        return token.source[2:-1]
    return token.source[1:-1].replace(quote * 2, quote).replace(f"\\{quote}", quote)


def _parts(tokens: Sequence[Token], found: Sequence[Call]) -> tuple[str, ...]:
    """The text before, within and after each aggregate.

    Raises:
        ValueError: an aggregate is in another, or a column in none.
    """
    parts, at = [], 0
    outside: list[Token] = []
    for index, call in enumerate(found):
        inner = print_tokens(tokens[call.begin : call.end]).text
        if any(calls(argument, AGGREGATES) for argument in call.arguments):
            message = f"an aggregate within another: {inner}"
            raise ValueError(message)
        before = tokens[at : call.begin]
        parts += [f"{print_tokens(before).text} " if before else "", inner]
        name = f"__aggregate_{index}"
        outside += [*before, Token("word", name, name, tokens[call.begin].start, " ")]
        at = call.end
    outside += tokens[at:]
    tree = parsed(print_tokens(outside).text)
    if loose := sorted(name for name in _columns(tree) if not name.startswith("__aggregate_")):
        message = f"reads '{loose[0]}' outside of its aggregates: all rows together have no one value of it"
        raise ValueError(message)
    return (*parts, f" {print_tokens(tokens[at:]).text}" if tokens[at:] else "")


def _only_the_batchs_time(tokens: Sequence[Token]) -> None:
    """Refuse texts that are a time of their own.

    Raises:
        ValueError: there is one.
    """
    for token in tokens:
        if token.kind == "text" and token.value and _SPECIAL.fullmatch(token.value):
            message = (
                f"'{token.value}' is a time that changes while the batch is run again: write now() or current_date()"
            )
            raise ValueError(message)


_TAKE_TIME = (exp.TsOrDsToDate, exp.StrToTime, exp.StrToUnix, exp.TimeStrToTime)
_TIMES = {exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPLTZ, exp.DType.TIMESTAMPNTZ}


def _only_written_texts(tree: exp.Expr) -> None:
    """Refuse texts that are computed of no column: one that becomes ``now`` is a time, which nobody sees in the SQL.

    Raises:
        ValueError: there is one.
    """
    for node in tree.find_all(exp.Func, exp.DPipe, exp.HexString):
        around = _made_of(node)
        while around is not None and around.find_ancestor(exp.Lambda):
            around = around.find_ancestor(exp.Lambda)
            around = around.parent if around else None
        if around is not None and not _depends(around):
            message = f"{node.sql('spark')} is a text that is computed of no column: write the text itself"
            raise ValueError(message)


def _made_of(node: exp.Expr) -> exp.Expr | None:
    """What a text is made of that may become a time; None where nothing makes one."""
    if isinstance(node, exp.HexString):
        return node.parent if isinstance(node.parent, exp.Cast) else None
    is_time = isinstance(node, _TAKE_TIME) or (isinstance(node, exp.Cast) and node.to.this in _TIMES)
    taken = node.this if is_time else None
    while isinstance(taken, exp.Cast | exp.Paren):
        taken = taken.this
    makes_text = isinstance(taken, exp.Bracket | exp.Func) and any(one.is_string for one in taken.find_all(exp.Literal))
    if makes_text:
        return taken
    if isinstance(node, exp.Upper | exp.Lower) and node.this.is_string:
        # in whatever case a text is a time of its own, it was refused as it is written
        return None
    name = node.name if isinstance(node, exp.Anonymous) else getattr(node, "sql_name", lambda: "")()
    return node if isinstance(node, exp.DPipe) or name.lower() in _MAKE_TEXT else None


def _depends(tree: exp.Expr) -> bool:
    """Whether a value depends on the rows, or on the time of the batch."""
    if tree.find(exp.Column, exp.AggFunc, exp.CurrentDate, exp.CurrentTimestamp):
        return True
    return any(one.name.lower() in CLOCK for one in tree.find_all(exp.Anonymous))


def check_calls(tokens: Sequence[Token], known: Collection[str]) -> None:
    """Hold all that is called against what may be called, and that nothing else is read than columns.

    Raises:
        ValueError: something else is called.
    """
    for index, token in enumerate(tokens):
        name = _called(tokens, index)
        if not name or token.word in _SYNTAX:
            continue
        if name in _RUN_CODE:
            message = f"{name}() runs code, and a rule is data"
            raise ValueError(message)
        if name not in known or _follows_dot(tokens, index):
            near = nearest(name, sorted(known)) if name not in known else ""
            message = f"{name}() is none of the functions that a rule may call"
            raise ValueError(message + (near if "did you mean" in near else ""))
    if any(token.word == "table" and not _follows_dot(tokens, index) for index, token in enumerate(tokens)):
        message = "TABLE x is a query: a rule sees one row (a column of this name is written in backticks)"
        raise ValueError(message)
    # many have a column called user: whether this one is known only where the row is
    if words := (SESSION_WORDS - {"user"}) & {token.word for token in tokens}:
        message = f"{min(words)} is of the session, not of a row"
        raise ValueError(message)


def _check_structs(tokens: Sequence[Token]) -> None:
    """Refuse what one parser takes for the name of a field, and the other for a comparison.

    Raises:
        ValueError: there is one.
    """
    for call in _every_call(tokens, {"struct"}):
        if any(token.source in ("=", ":") for argument in call.arguments for token in _outermost(argument)):
            message = "struct(a = b) is read in two ways: put the comparison into parentheses"
            raise ValueError(message)


def _outermost(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens that are in no parenthesis."""
    depth = 0
    for token in tokens:
        depth += (token.source in ("(", "[")) - (token.source in (")", "]"))
        if depth == 0:
            yield token


def _only_safe_patterns(tokens: Sequence[Token]) -> None:
    """Hold each regular expression against what may be asked.

    Raises:
        ValueError: it is no literal, Spark would read another one, or it may take for ever.
    """
    asked = [
        (_operand(tokens, index + 1), "rlike")
        for index, token in enumerate(tokens)
        if token.word in ("rlike", "regexp")
    ]
    for call in _every_call(tokens, PATTERNS):
        asked += [(call.arguments[place], call.name) for place in PATTERNS[call.name] if place < len(call.arguments)]
    for literal, name in asked:
        if len(literal) != 1 or literal[0].kind != "text":
            message = f"a pattern is a text in quotes, found {print_tokens(literal).text}"
            raise ValueError(message)
        pattern = as_written(literal[0]) if name == "matches" else literal[0].value
        if pattern is None:
            print_tokens(literal)
        elif why := why_refused(pattern):
            raise ValueError(why)


def _operand(tokens: Sequence[Token], begin: int) -> tuple[Token, ...]:
    """What stands on the right of RLIKE: Spark takes all that follows, up to the end of the condition."""
    end = begin
    while end < len(tokens) and (tokens[end].word or tokens[end].source) not in AFTER_CONDITION:
        end += 1
    return tuple(tokens[begin:end])


def _every_call(tokens: Sequence[Token], names: Collection[str]) -> Iterator[Call]:
    for call in calls(tokens, names):
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
    return index > 0 and tokens[index - 1].source == "."
