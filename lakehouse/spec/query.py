"""A job as one SELECT over its sources: read and judged before anything runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError

from lakehouse.errors import InvalidConfigError, Problem, first_line
from lakehouse.spec.document import MAX_BYTES, nearest

_SPARK = sqlglot.Dialect.get_or_raise("spark")

_FORMATS = {"avro", "binaryfile", "csv", "delta", "iceberg", "jdbc", "json", "orc", "parquet", "text", "xml"}
"""Before a dot they make what follows a path."""

_RUN_CODE = {"java_method", "reflect", "try_reflect", "transform_script"}
_REACH_OUT = {
    *("event_log", "http_request", "identifier", "list_secrets", "remote_query", "secret", "try_secret"),
    *("read_files", "read_kafka", "vector_search"),
}
_REMOTE = "ai_"
"""How the functions begin that ask a model somewhere."""
_CHANGING = {
    *("input_file_block_length", "input_file_block_start", "input_file_name", "monotonically_increasing_id", "rand"),
    *("randn", "random", "randstr", "shuffle", "spark_partition_id", "uniform", "uuid"),
}
_OF_THE_SESSION = {
    *("current_catalog", "current_database", "current_schema", "current_user", "session_user", "user", "version"),
}
_GENERATORS = {
    *("explode", "explode_outer", "inline", "inline_outer", "posexplode", "posexplode_outer"),
    *("json_tuple", "range", "stack", "variant_explode", "variant_explode_outer"),
}
"""What makes rows of a value, and reads nothing from anywhere."""

_REFUSED: tuple[tuple[tuple[type[exp.Expr], ...], str], ...] = (
    ((exp.QueryTransform,), "TRANSFORM runs another program"),
    ((exp.Into, exp.DML, exp.DDL, exp.Command), "a job's SQL reads, and its YAML says what is written"),
    ((exp.Parameter, exp.SessionParameter), "a parameter is written :name"),
    ((exp.Version,), "a source is read at the version that is fixed for the batch"),
)

Place = tuple[int, int]


@dataclass(frozen=True)
class Query:
    """One SELECT, and where it has parameters: from which character to which, and what each is called."""

    file: str
    text: str
    marks: tuple[tuple[int, int, str], ...] = ()

    @property
    def parameters(self) -> dict[str, Place]:
        """The parameters, each with the line and column where it stands first."""
        return {name: _place(self.text, start) for start, _, name in reversed(self.marks)}

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with an SQL expression in the place of each parameter."""
        text, end = "", 0
        for start, after, name in self.marks:
            text, end = f"{text}{self.text[end:start]}{values[name]}", after
        return text + self.text[end:]


def read_query(path: Path, sources: Collection[str], *, shown_as: str) -> Query:
    """The SQL of a job.

    Raises:
        InvalidConfigError: it is not one SELECT over the sources, each of which it reads; every problem with its line.
    """

    def invalid(message: str, line: int = 1, column: int = 1) -> InvalidConfigError:
        return InvalidConfigError([Problem(shown_as, line, column, "", message)])

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise invalid(f"cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid(f"not UTF-8: the byte 0x{raw[error.start]:02x}", raw.count(b"\n", 0, error.start) + 1) from None
    if len(raw) > MAX_BYTES:
        raise invalid(f"is too large: the SQL of a job has at most {MAX_BYTES:,} bytes")
    try:
        with _silent():
            found = _Found(shown_as, text, tuple(_SPARK.tokenize(text)), tuple(sources))
            problems = sorted(set(found.problems()))
    except ParseError as error:
        first = error.errors[0]
        raise invalid(f"not SQL: {first['description']}", first["line"] or 1, first["col"] or 1) from None
    except Exception as error:
        # the parser itself trips over some texts, such as map() of one value
        raise invalid(f"not SQL: {first_line(error)}") from None
    if problems:
        raise InvalidConfigError(problems)
    return Query(shown_as, found.statement, found.marks)


@contextmanager
def _silent() -> Iterator[None]:
    """Without the parser's own words on what it does not know, which is refused here."""
    log = logging.getLogger("sqlglot")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


@dataclass(frozen=True)
class _Found:
    """What a text holds, and what is wrong with it."""

    file: str
    text: str
    tokens: tuple[Token, ...]
    sources: tuple[str, ...]

    @property
    def statement(self) -> str:
        """The text up to the semicolon that may end it."""
        end = next((token.start for token in self.tokens if token.token_type == TokenType.SEMICOLON), len(self.text))
        return self.text[:end]

    @cached_property
    def tree(self) -> exp.Expr | None:
        """What the text means."""
        return _SPARK.parse(self.statement)[0]

    @cached_property
    def marks(self) -> tuple[tuple[int, int, str], ...]:
        """The names after a colon."""
        wanted = {str(node.this) for node in self.tree.find_all(exp.Placeholder) if node.this} if self.tree else set()
        return tuple(
            (colon.start, name.end + 1, name.text)
            for colon, name in pairwise(self.tokens)
            if colon.token_type == TokenType.COLON and name.start == colon.end + 1 and name.text in wanted
        )

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong."""
        yield from self._of_the_text()
        semicolon = next(
            (one for one, token in enumerate(self.tokens) if token.token_type == TokenType.SEMICOLON), None
        )
        if semicolon is not None and (rest := self.tokens[semicolon + 1 :]):
            yield self._problem(rest[0].start, "one statement is a job: there is another one")
        elif not isinstance(self.tree, exp.Query):
            yield self._problem(self.tokens[0].start if self.tokens else 0, "expected one SELECT over the sources")
        else:
            yield from self._of_the_tree(self.tree)
            yield from self._of_parameters(self.tree)
            yield from self._of_tables(self.tree)

    def _of_the_text(self) -> Iterator[Problem]:
        # Spark would put in a value, and go on with a comment on the next line
        for found in re.finditer(r"\$\{", self.text):
            yield self._problem(found.start(), "no references in SQL: write :name, and its value under params:")
        for found in re.finditer(r"\\\r?\n", self.text):
            yield self._problem(found.start(), "a line may not end with a backslash")
        for token in self.tokens:
            # the parser takes it for a column
            if token.token_type == TokenType.TABLE:
                yield self._problem(token.start, "TABLE x is a query: write SELECT * FROM x")

    def _of_the_tree(self, tree: exp.Expr) -> Iterator[Problem]:
        for kinds, message in _REFUSED:
            for node in tree.find_all(*kinds):
                yield self._problem(self._start(node), message)
        for node in tree.find_all(exp.Func):
            name = _function(node)
            if name in _RUN_CODE:
                yield self._problem(self._start(node, name), f"{name}() runs code of another kind")
            if name in _CHANGING:
                yield self._problem(self._start(node, name), f"{name}() gives another value each time it is run")
            if name in _OF_THE_SESSION:
                yield self._problem(self._start(node, name), f"{name}() is of the session, not of the sources")
            if name in _REACH_OUT or name.startswith(_REMOTE):
                yield self._problem(self._start(node, name), f"{name}() reads what is no source")

    def _of_parameters(self, tree: exp.Expr) -> Iterator[Problem]:
        for node in tree.find_all(exp.Placeholder):
            if not node.this:
                yield self._problem(self._start(node, "?"), "a parameter has a name: write :name")
            elif str(node.this).upper() in exp.DType.__members__:
                yield self._problem(
                    self._start(node, ":"), f"a type is called {node.this}: give the parameter another name"
                )

    def _of_tables(self, tree: exp.Expr) -> Iterator[Problem]:
        tables = [table for table in tree.find_all(exp.Table) if not table.find_ancestor(exp.Hint)]
        named = [table for table in tables if isinstance(table.this, exp.Identifier | exp.Dot)]
        others: list[exp.Table | exp.Lateral]
        others = [table for table in tables if not isinstance(table.this, exp.Identifier | exp.Dot)]
        others += [one for one in tree.find_all(exp.Lateral) if not isinstance(one.this, exp.Query | exp.Subquery)]
        for other in others:
            if (name := _function(other.this)) not in _GENERATORS:
                yield self._problem(self._start(other, name), f"{name}() reads what is no source")
        read = {
            table.name.lower() for table in named if len(table.parts) == 1 and table.name.lower() not in _defined(table)
        }
        for table in named:
            yield from self._of_a_table(table)
        for name in self.sources:
            if name not in read:
                yield self._problem(0, f"the source '{name}' is never read: use it, or take it out of sources:")

    def _of_a_table(self, table: exp.Table) -> Iterator[Problem]:
        first, *others = (part.name for part in table.parts)
        if others:
            kind = "a path" if first.lower() in _FORMATS else "a table of the catalog"
            shown = ".".join((first, *others))
            message = f"{shown} is {kind}, not a source: name its table under sources: in the job's YAML"
            yield self._problem(self._start(table), message)
        elif first.lower() not in {*self.sources, *_defined(table)}:
            yield self._problem(self._start(table), f"no source '{first}'{nearest(first.lower(), [*self.sources])}")

    def _start(self, node: exp.Expr, text: str = "") -> int:
        """Where a part of the tree stands: as its first name does, else as the first token of that text."""
        if text:
            return next((token.start for token in self.tokens if token.text.lower() == text), 0)
        return min((one.meta["start"] for one in node.find_all(exp.Identifier) if "start" in one.meta), default=0)

    def _problem(self, at: int, message: str) -> Problem:
        return Problem(self.file, *_place(self.text, at), "", message)


def _place(text: str, at: int) -> Place:
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def _function(node: exp.Expr) -> str:
    """What a function is called."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower()
    return (node.sql_name() if isinstance(node, exp.Func) else node.key).lower()


def _defined(table: exp.Expr) -> set[str]:
    """The names that WITH has defined where a table is read; one of them sees those before it, and no source has it."""
    names: set[str] = set()
    below, node = table, table.parent
    while node is not None:
        found = node.args.get("with_")
        if isinstance(found, exp.With) and below is not found:
            names |= {cte.alias.lower() for cte in found.expressions}
        if isinstance(node, exp.With):
            own = next(number for number, cte in enumerate(node.expressions) if cte is below)
            seen = own + 1 if node.args.get("recursive") else own
            names |= {cte.alias.lower() for cte in node.expressions[:seen]}
        below, node = node, node.parent
    return names
