"""A job as one SELECT over its sources: read and judged before anything runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from lakehouse.errors import InvalidConfigError, Problem
from lakehouse.foreign import plain_line
from lakehouse.spec.document import MAX_BYTES, nearest
from lakehouse.spec.expression import arguments_of
from lakehouse.spec.functions import GENERATORS, OF_QUERIES, SESSION
from lakehouse.spec.sql import Printed, SqlTextError, Token, print_tokens, read_tokens

_SPARK = sqlglot.Dialect.get_or_raise("spark")

_FORMATS = {"avro", "binaryfile", "csv", "delta", "iceberg", "jdbc", "json", "orc", "parquet", "text", "xml"}
"""Before a dot they make what follows a path."""

_RUN_CODE = {"java_method", "reflect", "try_reflect", "transform_script"}
_REACH_OUT = {
    *("event_log", "http_request", "identifier", "list_secrets", "remote_query", "secret", "try_secret"),
    *("read_files", "read_kafka", "vector_search", "from_protobuf", "to_protobuf", "schema_of_avro"),
}
_WITHOUT_OPTIONS = {"from_avro": 2, "to_avro": 2, "from_xml": 2, "to_xml": 1, "schema_of_xml": 1}
"""How many arguments these have before their options, which name files and addresses that Spark then opens."""
_REMOTE = "ai_"
"""How the functions begin that ask a model somewhere."""
_CHANGING = {
    *("input_file_block_length", "input_file_block_start", "input_file_name", "monotonically_increasing_id", "rand"),
    *("randn", "random", "randstr", "shuffle", "spark_partition_id", "uniform", "uuid"),
}
_SYNTAX_WORDS = """
anti apply asc between by case cluster cross cube desc distinct distribute else end except exclude exists fetch filter
following for from full group having ilike include inner intersect interval join lateral left like limit minus natural
not nulls offset on or order outer over partition percent pivot preceding qualify range recursive regexp repeatable
right rlike rollup rows select semi sets sort tablesample then ties union unpivot using values when where window with
within all and any as in is some div escape decimal dec numeric varchar
"""
_SYNTAX = frozenset(_SYNTAX_WORDS.split())
"""Words before a parenthesis that call nothing."""
_BUILT_IN = ("builtin", "system.builtin")

_REFUSED: tuple[tuple[tuple[type[exp.Expr], ...], str], ...] = (
    ((exp.QueryTransform,), "TRANSFORM runs another program"),
    ((exp.Into, exp.DML, exp.DDL, exp.Command), "a job's SQL reads, and its YAML says what is written"),
    ((exp.Parameter, exp.SessionParameter), "a parameter is written :name"),
    ((exp.Version,), "a source is read at the version that is fixed for the batch"),
)

_NO_WINDOW = "w_ndow"
"""What the parser is given for ``window``: a name as long, so that all places stay."""

Place = tuple[int, int]


@dataclass(frozen=True)
class Query:
    """One SELECT, printed anew without comments, and where it has parameters.

    ``marks``: from which character of the text to which, and what each is called; ``parameters``: each with the line
    and column where it stands first in its file; ``names``: so each name and word, in lower case.
    """

    file: str
    text: str
    marks: tuple[tuple[int, int, str], ...] = ()
    parameters: Mapping[str, Place] = field(default_factory=dict)
    names: Mapping[str, Place] = field(default_factory=dict, repr=False)

    def place_of(self, name: str) -> str:
        """Where a name stands first, as ``file:line:column``; the file alone where it does not."""
        found = self.names.get(name.lower())
        return f"{self.file}:{found[0]}:{found[1]}" if found else self.file

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
    return judge_query(text, sources, shown_as=shown_as)


def judge_query(text: str, sources: Collection[str], *, shown_as: str) -> Query:
    """A text as the SQL of a job.

    Raises:
        InvalidConfigError: as ``read_query`` does.
    """

    def invalid(message: str, line: int = 1, column: int = 1) -> InvalidConfigError:
        return InvalidConfigError([Problem(shown_as, line, column, "", message)])

    try:
        tokens = read_tokens(text)
        found = _Found(shown_as, text, tuple(tokens), print_tokens(tokens), tuple(sources))
        with _silent():
            problems = sorted(set(found.problems()))
    except SqlTextError as error:
        raise invalid(str(error), *_place(text, error.start)) from None
    except ParseError as error:
        first = error.errors[0]
        raise invalid(f"not SQL: {first['description']}", first["line"] or 1, first["col"] or 1) from None
    except Exception as error:
        # the parser itself trips over some texts, such as map() of one value
        why = "a function has too few arguments" if isinstance(error, IndexError) else plain_line(error)
        raise invalid(f"not SQL: {why}") from None
    if problems:
        raise InvalidConfigError(problems)
    names = {(token.value or "").lower(): _place(text, token.start) for token in reversed(tokens)}
    return Query(shown_as, found.statement, found.marks, found.parameters, names)


def log_expression(text: str) -> str:
    """An expression that a table's log has for a column, printed anew: who writes to the table may have put it there.

    Raises:
        ValueError: it is more than a value, such as a query, or code of another kind.
    """
    tokens = read_tokens(text)
    if words := {token.word for token in tokens} & {"select", "table"}:
        message = f"{min(words)} is of a query"
        raise ValueError(message)
    for index in range(len(tokens) - 1):
        name = _called(tokens, index)
        if name in _RUN_CODE or _reaches_out(name) or _has_options(tokens, index):
            message = f"{name}() is no value"
            raise ValueError(message)
    return print_tokens(tokens).text


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
    printed: Printed
    sources: tuple[str, ...]

    @property
    def statement(self) -> str:
        """The text, printed anew, up to the semicolon that may end it."""
        starts = zip(self.printed.starts, self.tokens, strict=True)
        end = next((start for start, token in starts if token.source == ";"), len(self.printed.text))
        return self.printed.text[:end]

    @cached_property
    def tree(self) -> exp.Expr | None:
        """What the text means."""
        text = self.statement
        for token, after, start in zip(self.tokens, self.tokens[1:], self.printed.starts, strict=False):
            # after GROUP BY the parser takes the function, or a field of what it gives, for a WINDOW clause
            if token.word == "window" and after.source in ("(", "."):
                text = f"{text[:start]}{_NO_WINDOW}{text[start + len(_NO_WINDOW) :]}"
        return _SPARK.parse(text)[0]

    @cached_property
    def _marked(self) -> list[tuple[int, Token]]:
        """The names after a colon, each with where its colon is printed."""
        wanted = {str(node.this) for node in self.tree.find_all(exp.Placeholder) if node.this} if self.tree else set()
        starts = dict(zip((token.start for token in self.tokens), self.printed.starts, strict=True))
        return [
            (starts[colon.start], name)
            for colon, name in pairwise(self.tokens)
            if colon.source == ":" and not name.gap and name.word and name.source in wanted
        ]

    @property
    def marks(self) -> tuple[tuple[int, int, str], ...]:
        """Where parameters are printed, and what each is called."""
        return tuple((start, start + 1 + len(name.source), name.source) for start, name in self._marked)

    @property
    def parameters(self) -> dict[str, Place]:
        """Where each parameter stands first."""
        return {name.source: _place(self.text, name.start - 1) for _, name in reversed(self._marked)}

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong."""
        yield from self._of_the_text()
        yield from self._of_calls()
        yield from self._of_words()
        semicolon = next((one for one, token in enumerate(self.tokens) if token.source == ";"), None)
        if semicolon is not None and (rest := self.tokens[semicolon + 1 :]):
            yield self._problem(rest[0].start, "one statement is a job: there is another one")
        elif not isinstance(self.tree, exp.Query):
            yield self._problem(self.tokens[0].start if self.tokens else 0, "expected one SELECT over the sources")
        else:
            yield from self._of_the_tree(self.tree)
            yield from self._of_parameters(self.tree)
            yield from self._of_tables(self.tree)
            # a name that the tree has, too, is told once, as the tree tells it
            told = {name.lower() for table in self.tree.find_all(exp.Table) for name in [table.parts[0].name]}
            for problem in self._of_table_places():
                if not any(f"'{name}'" in problem.message.lower() for name in told):
                    yield problem

    def _of_the_text(self) -> Iterator[Problem]:
        for token in self.tokens:
            if "${" in token.source:
                at = token.start + token.source.index("${")
                yield self._problem(at, "no references in SQL: write :name, and its value under params:")
            # the parser takes it for a column
            if token.word == "table":
                yield self._problem(token.start, "TABLE x is a query: write SELECT * FROM x")
        for (first, dot), (_, name) in pairwise(pairwise(self.tokens)):
            # whatever the parser makes of it: Spark reads the path
            if dot.source == "." and (first.value or "").lower() in _FORMATS and re.search(r"[/:]", name.value or ""):
                yield self._problem(first.start, f"{first.value}.{name.value} is a path, not a source")

    def _of_calls(self) -> Iterator[Problem]:
        aliases, in_hint = self._aliases, False
        for index, token in enumerate(self.tokens):
            in_hint = token.source == "/*+" or (in_hint and token.source != "*/")
            name = _called(self.tokens, index)
            if why := _why_refused(name):
                yield self._problem(token.start, why)
            elif _has_options(self.tokens, index):
                message = f"{name}() takes no options here: they name files and addresses, which are no source"
                yield self._problem(token.start, message)
            elif not in_hint and token.start not in aliases and _is_call(self.tokens, index):
                yield from self._of_a_call(index, name)

    @cached_property
    def _aliases(self) -> set[int]:
        """Where names of tables and of WITH stand, after which columns are listed."""
        sources = dict(zip(self.printed.starts, (token.start for token in self.tokens), strict=True))
        found = self.tree.find_all(exp.TableAlias) if self.tree else ()
        named = (one.this for one in found if isinstance(one.this, exp.Identifier) and one.columns)
        return {sources[one.meta["start"]] for one in named if one.meta.get("start") in sources}

    def _of_a_call(self, index: int, name: str) -> Iterator[Problem]:
        """What is wrong with a call: only built-in functions are known to give the same for the same rows."""
        token, before = self.tokens[index], _qualifier(self.tokens, index)
        if before and before not in _BUILT_IN:
            yield self._problem(
                token.start, f"{before}.{name}() is of the catalog: a job's SQL calls built-in functions"
            )
        elif name not in OF_QUERIES:
            near = nearest(name, sorted(OF_QUERIES))
            message = f"{name}() is none of the functions that a job's SQL may call"
            yield self._problem(token.start, message + (near if "did you mean" in near else ""))

    def _of_words(self) -> Iterator[Problem]:
        """Names that are columns where there is one, and else what the session says."""
        starts = dict(zip((token.start for token in self.tokens), self.printed.starts, strict=True))
        names = {
            one.meta["start"]: one
            for one in (self.tree.find_all(exp.Identifier) if self.tree else ())
            if "start" in one.meta
        }
        for before, token, after in zip(self.tokens, self.tokens[1:], self.tokens[2:], strict=False):
            word = (token.value or "").lower() if token.kind in ("word", "name") else ""
            if _names_no_value(names.get(starts[token.start])):
                continue
            if word in SESSION and before.source != "." and before.word != "as" and after.source not in (".", "("):
                message = f"{token.source} is of the session where no column has the name: write it with its table"
                yield self._problem(token.start, message)

    def _of_the_tree(self, tree: exp.Expr) -> Iterator[Problem]:
        for kinds, message in _REFUSED:
            for node in tree.find_all(*kinds):
                yield self._problem(self._start(node), message)
        for node in tree.find_all(exp.Func):
            if why := _why_refused(name := _function(node)):
                yield self._problem(self._start(node, name), why)

        # words of syntax that are called, such as sets(a); of rows(a) the parser makes a name that it gives a column
        named = [_function(node) for node in tree.find_all(exp.Anonymous)]
        named += [one.this.name.lower() for one in tree.find_all(exp.Aliases) if isinstance(one.this, exp.Column)]
        for name in _SYNTAX.intersection(named) - OF_QUERIES:
            message = f"{name}() is none of the functions that a job's SQL may call"
            yield self._problem(self._start(tree, name), message)

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
            if (name := _function(other.this)) not in GENERATORS:
                yield self._problem(self._start(other, name), f"{name}() reads what is no source")
        read = {
            table.name.lower() for table in named if len(table.parts) == 1 and table.name.lower() not in _defined(table)
        }
        for table in named:
            yield from self._of_a_table(table)
        for name in self.sources:
            if name not in read:
                yield self._problem(0, f"the source '{name}' is never read: use it, or take it out of sources:")

    def _of_table_places(self) -> Iterator[Problem]:
        """What stands where Spark takes a name for a table, whatever the tree says: parsers pass over some of them."""
        known = {name.lower() for name in self.sources} | _named_by_with(self.tokens)
        for index in _table_places(self.tokens):
            token, after = self.tokens[index], self.tokens[index + 1] if index + 1 < len(self.tokens) else None
            name = (token.value or "").lower() if token.kind in ("word", "name") else ""
            makes_rows = after is not None and after.source == "(" and name in GENERATORS
            opens = token.source == "(" or token.word in ("lateral", "values") or makes_rows
            if not opens and (name not in known or token.word == "stream"):
                yield self._problem(token.start, f"no source '{token.source}'{nearest(name, [*self.sources])}")

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
            return next((token.start for token in self.tokens if (token.value or "").lower() == text), 0)
        starts = (one.meta["start"] for one in node.find_all(exp.Identifier) if "start" in one.meta)
        return self.printed.source_of(min(starts, default=0))

    def _problem(self, at: int, message: str) -> Problem:
        return Problem(self.file, *_place(self.text, at), "", message)


def _place(text: str, at: int) -> Place:
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


_ENDS_FROM_WORDS = """
cluster distribute except group having intersect limit minus offset order qualify select sort union view where window
with
"""
_ENDS_FROM = frozenset(_ENDS_FROM_WORDS.split())
"""Words after which a comma is not followed by a table; after LATERAL VIEW names of columns follow."""
_FROM_OF_FUNCTIONS = frozenset({"extract", "trim", "substring", "substr", "overlay", "position"})


def _table_places(tokens: Sequence[Token]) -> list[int]:
    """Which tokens stand where a table does: after FROM, JOIN, the commas between them, and parentheses there."""
    # of each open parenthesis the word before it, and what a comma in it is followed by
    opened: list[tuple[str, str]] = [("", "")]
    places: list[int] = []
    for index, token in enumerate(tokens[:-1]):
        function, follows = opened[-1]
        before = tokens[index - 1].word if index else ""
        if token.source in ("(", "["):
            is_table = places[-1:] == [index] and follows != "row"
            opened.append((before, "table" if is_table else ""))
            if is_table and tokens[index + 1].word not in ("select", "with", "from", "values"):
                places.append(index + 1)
        elif token.source in (")", "]"):
            del opened[max(len(opened) - 1, 1) :]
        elif follows_now := _follows(token.word, before, function):
            opened[-1] = (function, "" if follows_now == "none" else follows_now)
            places += [index + 1] if follows_now == "table" else []
        elif token.source == "," and follows:
            places.append(index + 1)
    return places


def _follows(word: str, before: str, function: str) -> str:
    """What a comma is followed by after a word: a table, a row of VALUES, none of them; nothing if that stays."""
    if word in ("from", "join"):
        return "" if function in _FROM_OF_FUNCTIONS or before == "distinct" else "table"
    if word == "values":
        return "row"
    return "none" if word in _ENDS_FROM else ""


def _named_by_with(tokens: Sequence[Token]) -> set[str]:
    """The names that may be those of a WITH."""
    names = set()
    for index, token in enumerate(tokens[1:-1], start=1):
        if token.word == "as" and tokens[index + 1].source == "(":
            back = index - 1
            while tokens[index - 1].source == ")" and back and tokens[back].source != "(":
                back -= 1
            named = tokens[back - 1] if tokens[index - 1].source == ")" else tokens[back]
            names.add((named.value or "").lower())
    return names


def _why_refused(name: str) -> str | None:
    """Why a job may not call a function of this name."""
    if name in _RUN_CODE:
        return f"{name}() runs code of another kind"
    if name in _CHANGING:
        return f"{name}() gives another value each time it is run"
    if name in SESSION or name == "version":
        return f"{name}() is of the session, not of the sources"
    if _reaches_out(name):
        return f"{name}() reads what is no source"
    return None


def _reaches_out(name: str) -> bool:
    return name in _REACH_OUT or name.startswith(_REMOTE)


def _called(tokens: Sequence[Token], index: int) -> str:
    """The name in lower case of what is called there, also after a dot; nothing where nothing is."""
    is_call = index + 1 < len(tokens) and tokens[index + 1].source == "("
    return (tokens[index].value or "").lower() if is_call else ""


def _is_call(tokens: Sequence[Token], index: int) -> bool:
    token = tokens[index]
    is_name = token.kind == "name" or (token.kind == "word" and token.word not in _SYNTAX)
    after_dot = bool(index) and tokens[index - 1].source == "."
    return (is_name or (after_dot and token.kind == "word")) and bool(_called(tokens, index))


def _qualifier(tokens: Sequence[Token], index: int) -> str:
    """What stands before a name and its dot, in lower case."""
    parts: list[str] = []
    while index > 1 and tokens[index - 1].source == ".":
        index -= 2
        parts.insert(0, (tokens[index].value or "").lower())
    return ".".join(parts)


def _has_options(tokens: Sequence[Token], index: int) -> bool:
    """Whether a call there has an argument that may name a file or an address."""
    most = _WITHOUT_OPTIONS.get(_called(tokens, index))
    return most is not None and len(arguments_of(tokens, index + 1)[1]) > most


def _names_no_value(name: exp.Expr | None) -> bool:
    """Whether a name stands where Spark looks for a column alone, or gives a name to something."""
    around = name.parent if name else None
    if isinstance(around, exp.Join | exp.TableAlias | exp.Alias | exp.Aliases | exp.ColumnDef):
        return True
    if isinstance(around, exp.Column):
        unpivot = around.find_ancestor(exp.Pivot) if isinstance(around.parent, exp.In) else None
        is_listed = isinstance(unpivot, exp.Pivot) and bool(unpivot.args.get("unpivot")) and around.arg_key != "this"
        return isinstance(around.parent, exp.Star) or is_listed
    above = around
    while name and above is not None:
        if isinstance(above, exp.Lambda) and name.name.lower() in {one.name.lower() for one in above.expressions}:
            return not isinstance(around, exp.PropertyEQ)
        above = above.parent
    return False


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
