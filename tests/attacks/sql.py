"""Texts of SQL made by a seed, as people and attackers write them, held against Spark's own parser.

Each text that this library takes is printed anew, and only that is run. Of each it is asked here: does Spark read the
printed text as the one that was written, does it read the tree that was judged, and does it find in it nothing that
was not judged: no other column, no other call, no subquery, no other table.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from sqlglot import exp

from lakehouse.errors import InvalidConfigError
from lakehouse.spec.expression import columns_of, parsed, row_condition
from lakehouse.spec.functions import CLOCK, SCALARS
from lakehouse.spec.query import judge_query
from lakehouse.spec.sql import canonical

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_COLUMNS = ("a", "b", "c", "d", "xs", "`a b`", "s.x", "s.`y z`", "xs[0]", "m['k']", "`user`", "größe", "`a``b`")
_VALUES = (
    *("1", "0", "2.5", ".5", "1e3", "1L", "2S", "3Y", "1.5D", "2BD", "1.5F", "-1", "- 1", "null", "true", "false"),
    *("'x'", '"x"', "'it''s'", r"'it\'s'", "'a%'", "r'a'", "X'AB'", "date'2020-01-01'", "DATE '2020-01-01'"),
    *("timestamp '2020-01-01 00:00:00'", "interval 1 day", "interval '1' day", "interval 2 hours", "''", "'--'"),
    *("'/*'", "'*/'", r"'\\'", r"'a\\'", r"'\n'", "'{x}'", "'$'", "';'", "'`'", "'\"'", '"\'"', "'é'", r"'\u0041'"),
    *("now()", "current_date", "current_timestamp()"),
)
_BINARY = (
    *("+", "-", "*", "/", "%", "div", "||", "&", "|", "^", "=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>"),
    *("and", "or", "AND", "OR", "and", "or", "is distinct from", "is not distinct from", "like", "not like", "ilike"),
)
_PREFIX = ("not ", "NOT ", "!", "-", "+", "~", "- ")
_SUFFIX = (
    *(
        " is null",
        " is not null",
        " is true",
        " is not false",
        "::int",
        "::string",
        " is unknown",
        " like 'x' escape '/'",
    ),
    *(" rlike 'x+'", " rlike r'x+'", " between 1 and 2", " not between 1 and 2 and c", " in (1, 2)", " not in ('x')"),
    *(" like any ('x', 'y')", " + interval 1 day", " collate UNICODE"),
)
_PLAIN_SUFFIX = (
    *(" is null", " is not null", " is true", " like 'x' escape '/'", " between 1 and 2", " not between 1 and 2 and c"),
    *("::int", " in (1, 2)", " not in (1)", " + interval 1 day", " not like 'x'", " rlike 'x'"),
)
_PLAIN_CALLS = ("case when {} then 1 else b end", "upper({})", "cast({} as int)", "exists(xs, x -> {})", "({})")
_CALLS = (
    *("upper({})", "coalesce({}, {})", "abs({})", "concat({}, {})", "if({}, {}, {})", "exists(xs, x -> x > {})"),
    *("filter(xs, x -> {} is null)", "aggregate(xs, 0, (acc, x) -> acc + x)", "cast({} as int)", "({})", "(({}))"),
    *("case when {} then {} else {} end", "case {} when {} then {} end", "try_cast({} as date)", "struct({}, {})"),
    *("extract(year from {})", "substring({}, 1, 2)", "cast({} as decimal(10,2))", "cast({} as array<struct<x:int>>)"),
    *("array({}, {})[0]", "trim({})", "trim(both 'x' from {})", "length({})", "({}, {})", "named_struct('x', {}).x"),
)
_PIECES = (
    *(
        "--",
        "-- x\n",
        "--\\\n",
        "-- x \\\n",
        "--\r",
        "-- \r\n",
        "/*",
        "*/",
        "/* x */",
        "/* /* */",
        "/* /* */ */",
        "/*/",
    ),
    *("/*+ x */", "/* /*+ */", "/*+", " /**/ ", "\n", "\r", "\t", "\x0b", "\x0c", "\u00a0", "\u2028", "\ufeff", "\x00"),
    *("'", '"', "`", "''", '""', "``", "\\", "\\'", "'x' 'y'", "'x''y'", "r'", 'R"x"', "X'", "x 'AB'", "b'1'", "N'x'"),
    *(
        "${x}",
        "${env:HOME}",
        "$",
        "{",
        "}",
        "{{x}}",
        "{% x %}",
        "?",
        ":p",
        "@x",
        "#",
        ";",
        "; select 1",
        "|>",
        ">>",
        "<<",
    ),
    *(
        "->",
        "=>",
        "::",
        ":",
        ".",
        "..",
        ",",
        "(",
        ")",
        "[",
        "]",
        "!",
        "!<",
        "!>",
        "~",
        "^",
        "1a",
        "1.",
        "1..2",
        "a.1",
        "1e",
        "0x1",
    ),
    *(" user ", " current_user", " session_user", " table ", " (select 1)", " over ()", " filter (where a)", " uuid()"),
    *(" or reflect('java.lang.System','setProperty','p','1') is null", " union all select 1", " `reflect`('a','b')"),
    *(" identifier('a')", " exists (select 1)", " in (select 1)", " any (select 1)", " as x", " a:b", " a://b", "e'x'"),
    *(
        "\\u0027",
        "\\\n",
        "ſ",
        "\u212a",
        "İ",
        "$$x$$",
        "/* '*/",
        "'/*",
        "--'",
        "'--",
        "*/*",
        "-- */",
        "/* -- */",
        " div ",
    ),
)
_SELECTS = (
    "SELECT {e} AS v FROM orders",
    "SELECT * FROM orders WHERE {e}",
    "SELECT /*+ BROADCAST(o) */ o.* FROM orders AS o WHERE {e}",
    "WITH t AS (SELECT * FROM orders) SELECT {e} AS v FROM t",
    "SELECT a, count(*) AS n FROM orders GROUP BY a HAVING {e}",
    "SELECT * FROM orders WHERE EXISTS (SELECT 1 FROM orders AS other WHERE {e})",
    "SELECT * FROM orders JOIN orders AS b ON {e} ORDER BY a LIMIT 3",
    "SELECT * FROM orders LATERAL VIEW explode(xs) t AS n WHERE {e}",
    "SELECT a FROM orders UNION ALL SELECT {e} FROM orders;",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY b) AS n, {e} AS v FROM orders",
)
_TABLES = (
    *(
        " UNION ALL SELECT value FROM text.`/etc/passwd`",
        " , text.`/etc/passwd`",
        " JOIN delta.`/x`",
        " , silver.secret",
    ),
    *(
        " UNION ALL SELECT * FROM b",
        " , LATERAL (SELECT * FROM b)",
        " , read_files('/x')",
        " UNION TABLE b",
        ", VALUES (1) t",
    ),
    *(
        " , reflect('a','b') AS z",
        " MINUS SELECT * FROM b",
        " WHERE a IN (SELECT * FROM b)",
        " , range(3)",
        " , (b)",
        ", `b`",
    ),
)
_TYPED = ("ParseException", "IllegalArgumentException", "ArithmeticException")
_ASKING = {"ScalarSubquery", "Exists", "InSubquery", "ListQuery", "UnresolvedWindowExpression", "WindowExpression"}
_ASKING |= {"ArraySubquery", "FunctionTableSubqueryArgumentExpression", "Parameter", "NamedParameter", "PosParameter"}


@dataclass
class Played:
    """What became of the texts: how many of each fate, and each text that one of the two saw otherwise, with why."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)


def play(spark: SparkSession, count: int, seed: int) -> Played:
    """Make so many texts and hold each against Spark's parser; the same seed makes the same."""
    logging.getLogger("sqlglot").disabled = True
    draw = random.Random(seed)
    parser = spark._jsparkSession.sessionState().sqlParser()
    played = Played()
    for number in range(count):
        text = mutated(draw, expression(draw))
        if number % 5 == 1:
            text = expression(draw, 4, plain=True)
            _hold(played, "precedence", text, lambda text=text: _of_precedence(parser, text))
        elif number % 5:
            _hold(played, "condition", text, lambda text=text: _of_condition(parser, text))
        else:
            text = mutated(draw, select(draw), 0.5)
            _hold(played, "query", text, lambda text=text: _of_query(parser, text))
    return played


def expression(draw: random.Random, depth: int = 3, *, plain: bool = False) -> str:
    """An expression as people write it: few parentheses, so that precedence decides."""
    kind = draw.random() if depth else 0
    if plain:
        return _of_operators(draw, depth)
    if kind < 0.3:
        return draw.choice(_COLUMNS) if draw.random() < 0.5 else draw.choice(_VALUES)
    if kind < 0.65:
        glue = draw.choice((" ", " ", "")) if draw.random() < 0.9 else "\n"
        operator = draw.choice(_BINARY)
        glue = glue or (" " if operator[0].isalpha() else "")
        return f"{expression(draw, depth - 1)}{glue}{operator}{glue}{expression(draw, depth - 1)}"
    if kind < 0.75:
        return draw.choice(_PREFIX) + expression(draw, depth - 1)
    if kind < 0.85:
        return expression(draw, depth - 1) + draw.choice(_SUFFIX)
    shape = draw.choice(_CALLS)
    return re.sub(r"\{\}", lambda _: expression(draw, depth - 1), shape)


def _of_operators(draw: random.Random, depth: int) -> str:
    """An expression that both parsers print in one way, but for where they put parentheses."""
    kind = draw.random() if depth else 0
    if kind < 0.2:
        return draw.choice(("a", "b", "c", "s.x", "1", "2.5", "'x'", "xs[0]", "-1", "null", "true"))
    if kind < 0.7:
        return f"{_of_operators(draw, depth - 1)} {draw.choice(_BINARY)} {_of_operators(draw, depth - 1)}"
    if kind < 0.8:
        return draw.choice(("not ", "!", "-", "~")) + _of_operators(draw, depth - 1)
    if kind < 0.92:
        return _of_operators(draw, depth - 1) + draw.choice(_PLAIN_SUFFIX)
    return draw.choice(_PLAIN_CALLS).replace("{}", _of_operators(draw, depth - 1))


def select(draw: random.Random) -> str:
    """A query over the source ``orders``, one in three with what it may not read."""
    text = draw.choice(_SELECTS).replace("{e}", expression(draw, 2))
    return text + draw.choice(_TABLES) if draw.random() < 0.3 else text


def mutated(draw: random.Random, text: str, often: float = 0.6) -> str:
    """The text with some pieces put in, characters left out, doubled or exchanged; some texts as they are."""
    while text and draw.random() < often:
        at = draw.randrange(len(text) + 1)
        kind = draw.random()
        if kind < 0.6:
            text = text[:at] + draw.choice(_PIECES) + text[at:]
        elif kind < 0.75:
            text = text[:at] + text[at + 1 :]
        elif kind < 0.9:
            other = draw.randrange(len(text) + 1)
            text = text[:at] + text[min(at, other) : max(at, other)] + text[at:]
        else:
            text += draw.choice(_PIECES) + expression(draw, 1)
    return text


def _hold(played: Played, kind: str, text: str, judge: Any) -> None:
    try:
        fate, why = judge()
    except (ValueError, InvalidConfigError):
        fate, why = "refused", ""
    except Exception as error:
        fate, why = "fault", f"{type(error).__name__}: {str(error)[:200]}"
    played.counts[f"{kind} {fate}"] += 1
    if fate == "fault":
        played.faults.append((text, why))


def _of_condition(parser: Any, text: str) -> tuple[str, str]:
    sql, reads = row_condition(text), columns_of(text)
    if canonical(sql) != sql:
        return "fault", f"printed twice it is another text: {sql!r} {canonical(sql)!r}"
    found = _tree(parser.parseExpression, sql)
    if isinstance(found, str):
        return ("refused by Spark", "") if found in _TYPED else ("fault", f"Spark ends in {found}: {sql!r}")
    written = _tree(parser.parseExpression, text)
    if not isinstance(written, str) and _alike(written) != _alike(found):
        return "fault", f"printed {sql!r}, Spark reads {found.toString()}, written {written.toString()}"
    if why := _beyond(found, reads):
        return "fault", f"{why}: {sql!r}"
    return "taken" + (" only anew" if isinstance(written, str) else ""), ""


def _of_precedence(parser: Any, text: str) -> tuple[str, str]:
    """Whether Spark reads the tree that was judged."""
    sql = row_condition(text)
    found, judged = _tree(parser.parseExpression, sql), parenthesised(parsed(sql))
    if isinstance(found, str):
        return ("refused by Spark", "") if found in _TYPED else ("fault", f"Spark ends in {found}: {sql!r}")
    meant = _tree(parser.parseExpression, judged)
    if isinstance(meant, str) or _alike(meant) != _alike(found):
        return "fault", f"judged {judged!r}, Spark reads {found.toString()}"
    return "taken", ""


def _tree(parse: Any, text: str) -> Any:
    """What Spark's parser makes of a text, or the name of what it raises."""
    try:
        return parse(text)
    except Py4JJavaError as error:
        return str(error.java_exception.getClass().getSimpleName())
    except Exception as error:
        return type(error).__name__


def _nodes(tree: Any) -> list[dict[str, Any]]:
    return [one for one in json.loads(tree.toJSON()) if isinstance(one, dict)]


def _parts(node: dict[str, Any]) -> list[str]:
    return str(node.get("nameParts", ""))[1:-1].split(", ")


def _beyond(tree: Any, reads: set[str]) -> str:
    """What Spark finds in a condition that was not judged."""
    nodes = [(one["class"].rsplit(".", 1)[-1], one) for one in _nodes(tree)]
    if asking := {name for name, _ in nodes} & _ASKING:
        return f"Spark finds {asking}"
    called = {_parts(one)[-1].lower() for name, one in nodes if name == "UnresolvedFunction"}
    if strange := called - SCALARS - CLOCK - {"!", "between", "ilike", "like", "rlike", "not"}:
        return f"Spark calls {strange}"
    names = {"UnresolvedAttribute", "UnresolvedNamedLambdaVariable"}
    read = [str(one["nameParts"])[1:-1] for name, one in nodes if name in names]
    own = {"current_date", "current_timestamp"}
    own |= set(re.findall(r"lambda '([^,()]+)(?=(?:, lambda '[^,()]+)*, false\))", str(tree.toString())))
    if any(name == "Alias" for name, _ in nodes[:1]):
        return "Spark finds a name for the condition"
    known = reads | own
    if strange := [one for one in read if one not in known and not any(one.startswith(f"{name}, ") for name in known)]:
        return f"Spark reads {strange}, judged were {reads}"
    return ""


def parenthesised(tree: exp.Expr) -> str:
    """A tree as SQL in which no precedence decides."""
    kinds = (exp.Binary, exp.Unary, exp.Between, exp.In, exp.Is, exp.Cast, exp.Case)

    def wrap(node: exp.Expr) -> exp.Expr:
        inner = isinstance(node.parent, exp.Paren) or isinstance(node, exp.Paren | exp.Dot | exp.Interval | exp.Literal)
        within = node.find_ancestor(exp.Interval, exp.DataType)
        if inner or within or not isinstance(node, kinds) or isinstance(node, exp.Escape | exp.Collate):
            return node
        if isinstance(node, exp.And | exp.Or) and isinstance(node.parent, type(node)):
            return node
        if isinstance(node, exp.Like | exp.ILike) and isinstance(node.parent, exp.Escape):
            return node
        return exp.Paren(this=node.copy())

    copy = tree.copy()
    for node in reversed(list(copy.walk())):
        new = wrap(node)
        if new is not node:
            if node is copy:
                copy = new
            else:
                node.replace(new)
    return copy.sql("spark")


def _of_query(parser: Any, text: str) -> tuple[str, str]:
    query = judge_query(text, ["orders"], shown_as="x.sql")
    sql = query.filled(dict.fromkeys(query.parameters, "CAST(X'41' AS STRING)"))
    found = _tree(parser.parsePlan, sql)
    if isinstance(found, str):
        return ("refused by Spark", "") if found in _TYPED else ("fault", f"Spark ends in {found}: {sql!r}")
    shown = _shown(found)
    written = "" if query.parameters else _tree(parser.parsePlan, text.strip().removesuffix(";"))
    if not isinstance(written, str) and _shown(written) != shown:
        return "fault", f"printed {sql!r}, Spark reads {shown}, written {_shown(written)}"
    names = set(re.findall(r"UnresolvedRelation \[([^\]]*)\]", shown)) - {"t"}
    if {name.lower() for name in names} - {"orders"}:
        return "fault", f"Spark reads {names}: {sql!r}"
    if bad := re.findall(r"'reflect|ScriptTransformation|TableValuedFunction \[(?!range|explode)[^\]]*", shown):
        return "fault", f"Spark finds {bad}: {sql!r}"
    return "taken", ""


def _alike(tree: Any) -> str:
    """A tree as text, without what says the same in two ways."""
    return re.sub(r"#\d+", "", str(tree.toString())).lower().replace("not isnull(", "isnotnull(")


def _shown(plan: Any) -> str:
    """A plan as text, without the numbers that Spark counts up."""
    return re.sub(r"#\d+", "", str(plan.treeString()))
