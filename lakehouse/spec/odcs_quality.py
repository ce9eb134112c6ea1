"""What a contract of the standard promises of values and rows, as rules; or why nobody can judge it here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.spec.odcs_types import OURS, ours
from lakehouse.spec.rule import Rule
from lakehouse.spec.sql import SqlTextError, print_tokens, quote_name, read_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.spec.document import Location
    from lakehouse.spec.sql import Token

_OPERATORS = {
    "mustBe": "=",
    "mustNotBe": "<>",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
    "mustBeBetween": "between",
    "mustNotBeBetween": "not between",
}
FORMATS = {
    "email": r"^[^@\s]++@[^@\s.]++(?:\.[^@\s.]++)++$",
    "uuid": r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
    "uri": r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$",
    "hostname": r"^(?!-)[A-Za-z0-9-]{1,63}+(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}+(?<!-))*+$",
    "ipv4": r"^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$",
    "byte": r"^(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
"""Patterns of what the standard names as formats of texts."""

_NO_PROMISE = ("password", "binary")
"""Formats that say how a value is to be shown, or nothing of its text."""

_SIZES = re.compile("[iuf](8|16|32|64|128)")
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_UNSIGNED = {"u8": 2**8, "u16": 2**16, "u32": 2**32, "u64": 2**64}
_DIMENSIONS = {"conformity": "accuracy", "coverage": "completeness", "uniqueness": "consistency"}
_SEVERITIES = ("info", "warning", "error", "critical")
_HARMLESS = ("info", "warning", "warn", "minor", "low")


@dataclass
class Told:
    """What became of a promise: rules as data, and what nobody can judge, each with its place."""

    rules: list[tuple[Location, dict[str, Any]]] = field(default_factory=list)
    refused: list[tuple[Location, str]] = field(default_factory=list)


def named_rule(*parts: str) -> str:
    """The name of a rule, made of what it is about."""
    text = re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")
    return text if text[:1].isalpha() else f"rule_{text}"


def sql_name(*path: str) -> str:
    """A column, or a field of one, as SQL."""
    return ".".join(map(_quoted, path))


def _quoted(name: str) -> str:
    try:
        if re.fullmatch(r"[A-Za-z_]\w*", name) and isinstance(sqlglot.parse_one(name, dialect="spark"), exp.Column):
            return name
    except SqlglotError:
        pass
    return quote_name(name)


def sql_value(value: Any, kind: str = "string") -> str:
    """A value as SQL writes one of that type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return format(value, "f").rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    # a rule may hold no ${…}
    text = str(value).replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\u0024{")
    prefix = f"{kind} " if kind in ("date", "timestamp", "timestamp_ntz") else ""
    return f"{prefix}'{text}'"


def options_as_rules(one: dict[str, Any], at: Location, *, path: Sequence[str], kind: str) -> Told:
    """What a property promises of its values: required fields, enums, bounds, patterns; those of its fields, too."""
    told, name = Told(), sql_name(*path)
    if ours(one) == OURS:
        return told
    promised: dict[str, tuple[Location, Any]] = {
        option: ((*at, "logicalTypeOptions", option), value)
        for option, value in (one.get("logicalTypeOptions") or {}).items()
    }
    promised |= {option: ((*at, option), one[option]) for option in ("unique", "enum") if one.get(option)}
    length = re.fullmatch(r"(?i)n?(?:var)?char ?\( ?(\d+) ?\)", str(one.get("physicalType") or ""))
    if length and "maxLength" not in promised:
        promised["maxLength"] = ((*at, "physicalType"), length[1])
    for option, (place, value) in promised.items():
        try:
            check = _check(name, option, value, kind)
        except ValueError as error:
            told.refused.append((place, str(error)))
            continue
        if check:
            told.rules.append((place, {"name": named_rule(*path, _WORDS.get(option, option)), "check": check}))
    for index, inner in enumerate(one.get("properties") or ()):
        _of_field(told, inner, (*at, "properties", index), path)
    told.refused += _within(one, at)
    return told


def _of_field(told: Told, one: dict[str, Any], at: Location, path: Sequence[str]) -> None:
    below = [*path, str(one.get("physicalName") or one["name"])]
    if one.get("required"):
        check = f"{sql_name(*path)} is null or {sql_name(*below)} is not null"
        told.rules.append((at, {"name": named_rule(*below, "required"), "check": check}))
    more = options_as_rules(one, at, path=below, kind=one.get("logicalType", "string"))
    told.rules += more.rules
    told.refused += more.refused
    if one.get("quality"):
        told.refused.append(((*at, "quality"), "quality of a field cannot be judged here: say it of the column"))


def _within(one: dict[str, Any], at: Location) -> list[tuple[Location, str]]:
    """Promises about the elements of an array or map, which nobody judges."""
    parts: dict[Location, Any] = {("items",): one.get("items")}
    parts |= {("map", key): value for key, value in (one.get("map") or {}).items()}
    promises = ("required", "unique", "enum", "quality", "logicalTypeOptions")
    return [
        ((*at, *where, promise), "what is promised of elements cannot be judged here")
        for where, part in parts.items()
        for promise in promises
        if part and part.get(promise) and ours(part) != OURS
    ]


_WORDS = {"unique": "is_unique", "enum": "is_known"}
_CHECKS = {
    "unique": "unique({name})",
    "minLength": "length({name}) >= {value}",
    "maxLength": "length({name}) <= {value}",
    "minItems": "size({name}) >= {value}",
    "maxItems": "size({name}) <= {value}",
    "uniqueItems": "size(array_distinct({name})) = size({name})",
    "multipleOf": "cast({name} as decimal(38,10)) % {value} = 0",
    "minimum": "{name} >= {value}",
    "exclusiveMinimum": "{name} > {value}",
    "maximum": "{name} <= {value}",
    "exclusiveMaximum": "{name} < {value}",
}
_NOTHING = (("timezone", None), ("defaultTimezone", None), ("minProperties", 0), ("uniqueItems", False))
"""Options that promise nothing of a value that has its type; of any value, or of this one."""


def _check(name: str, option: str, value: Any, kind: str) -> str:
    """What a value must keep by one option, as SQL; nothing where that is nothing.

    Raises:
        ValueError: nobody can judge it here.
    """
    if (option, value) in _NOTHING or (option, None) in _NOTHING:
        return ""
    if option in _CHECKS:
        is_size = option.endswith(("Length", "Items"))
        return _CHECKS[option].format(name=name, value=value if is_size else sql_value(value, kind))
    if option == "enum":
        listed = ", ".join(sql_value(one["value"], kind) for one in value if one["value"] is not None)
        return f"{name} in ({listed})"
    if option == "pattern":
        return f"{name} rlike {sql_value(value)}"
    if option == "required":
        there = " and ".join(f"{name}.{sql_name(inner)} is not null" for inner in value)
        return f"{name} is null or ({there})"
    if option == "format":
        return _format(name, str(value), kind)
    message = f"{option} cannot be judged here"
    raise ValueError(message)


def _format(name: str, value: str, kind: str) -> str:
    if value in _UNSIGNED and kind != "string":
        return f"{name} between 0 and {_UNSIGNED[value] - 1}"
    if kind.startswith(("date", "timestamp")) or _SIZES.fullmatch(value) or value in _NO_PROMISE:
        return ""
    if value in FORMATS:
        return f"{name} rlike {sql_value(FORMATS[value])}"
    message = f"the format '{value}' cannot be judged here: say it by a pattern"
    raise ValueError(message)


def quality_as_rules(one: dict[str, Any], at: Location, *, table: set[str], column: str | None = None) -> Told:
    """The quality that a table or a column promises, as rules."""
    told = Told()
    for index, item in enumerate(one.get("quality") or ()):
        place, own = (*at, "quality", index), ours(item)
        if own == OURS or item.get("type") == "text":
            continue
        if own:
            told.rules.append((place, {"name": named_rule(str(item.get("name", "rule"))), **own}))
            continue
        try:
            told.rules.append((place, _rule(item, table, column)))
        except ValueError as error:
            told.refused.append((place, str(error)))
    return told


def _rule(item: dict[str, Any], table: set[str], column: str | None) -> dict[str, Any]:
    """One promise as a rule.

    Raises:
        ValueError: nobody can judge it here.
    """
    if item.get("type") == "custom":
        engine = item.get("engine")
        if engine == "lakehouse" and isinstance(item.get("implementation"), dict):
            return {"name": named_rule(str(item.get("name", "rule"))), **item["implementation"]}
        message = f"a rule of {engine} cannot be judged here: write it as sql, or let it be ignored"
        raise ValueError(message)
    what, good, measured = _query(item, table, column) if item.get("type") == "sql" else _metric(item, column)
    facts = {
        "name": named_rule(str(item.get("name") or f"{column or 'rows'}_{what}")),
        "about": str(item.get("description") or ""),
        "dimension": _DIMENSIONS.get(str(item.get("dimension")), item.get("dimension")),
        "severity": severity if (severity := str(item.get("severity", "")).lower()) in _SEVERITIES else None,
    }
    # what a rule has no place for yet is for people alone
    facts = {key: value for key, value in facts.items() if value and key in Rule.model_fields}
    harmless = str(item.get("severity", "")).lower() in _HARMLESS
    if good is not None and _none_may(item):
        return {**facts, "check": good, "on_fail": "warn" if harmless else "quarantine"}
    return {**facts, "check": _compared(item, measured), "on_fail": "warn" if harmless else "fail"}


def _none_may(item: dict[str, Any]) -> bool:
    """Whether no row at all may be bad."""
    rows = item.get("unit", "rows") != "percent"
    return item.get("mustBe") == 0 or item.get("mustBeLessOrEqualTo") == 0 or (rows and item.get("mustBeLessThan") == 1)


def _compared(item: dict[str, Any], measured: str) -> str:
    """What is measured, held against what it must be."""
    operator = next(name for name in _OPERATORS if name in item)
    value = item[operator]
    if item.get("unit") == "percent":
        if measured == "count(*)":
            message = "rowCount in percent means nothing"
            raise ValueError(message)
        measured = f"100 * ({measured}) / greatest(count(*), 1)"
    if isinstance(value, list):
        return f"{measured} {_OPERATORS[operator]} {sql_value(value[0])} and {sql_value(value[1])}"
    return f"{measured} {_OPERATORS[operator]} {sql_value(value)}"


def _metric(item: dict[str, Any], column: str | None) -> tuple[str, str | None, str]:
    """A metric of the standard's library: its name, what a good row keeps, and how the bad ones are counted."""
    metric, arguments = str(item.get("metric") or item.get("rule")), item.get("arguments") or {}
    if metric == "rowCount":
        return "count", None, "count(*)"
    if metric == "duplicateValues":
        columns = [sql_name(one) for one in arguments.get("properties") or ([column] if column else [])]
        if not columns:
            message = "duplicateValues of a table needs arguments.properties"
            raise ValueError(message)
        listed = ", ".join(columns)
        return "is_unique", f"unique({listed})", f"count(*) - count(distinct {listed})"
    if column is None:
        message = f"{metric} is of a column, and this is a table"
        raise ValueError(message)
    name = sql_name(column)
    if metric == "nullValues":
        return "is_there", (good := f"{name} is not null"), f"count_if(not ({good}))"
    if metric == "missingValues":
        markers = [sql_value(one) for one in arguments.get("missingValues") or () if one is not None]
        good = f"{name} is not null" + (f" and {name} not in ({', '.join(markers)})" if markers else "")
        return "is_there", good, f"count_if(not ({good}))"
    if metric == "invalidValues" and ("validValues" in arguments or "pattern" in arguments):
        valid = [sql_value(one) for one in arguments.get("validValues") or () if one is not None]
        parts = [f"{name} in ({', '.join(valid)})"] if valid else []
        parts += [f"{name} rlike {sql_value(arguments['pattern'])}"] if "pattern" in arguments else []
        return "is_valid", (good := " and ".join(parts)), f"count_if(not ({good}))"
    message = f"{metric} cannot be judged here" + (
        ": it needs arguments.validValues or pattern" if metric == "invalidValues" else ""
    )
    raise ValueError(message)


_PLACEHOLDER = re.compile(r"\$?\{ *(\w+) *\}")
_NOT_A_QUERY = "a query that is not one aggregate of the table itself cannot be judged here"


def _query(item: dict[str, Any], table: set[str], column: str | None) -> tuple[str, str | None, str]:
    """An SQL query that measures the table: what it selects, with its condition."""
    names = {**dict.fromkeys(("table", "object", "schema"), "this_table"), "column": column, "property": column}
    query = _PLACEHOLDER.sub(lambda found: sql_name(str(names.get(found[1]) or found[0])), str(item["query"]))
    try:
        tokens = read_tokens(query)
        trees = sqlglot.parse(print_tokens(tokens).text, dialect="spark")
    except SqlTextError as error:
        message = f"not SQL: {error}"
        raise ValueError(message) from None
    except SqlglotError as error:
        message = f"not SQL: {str(error).splitlines()[0]}"
        raise ValueError(message) from None
    except Exception:
        # the parser itself trips over some texts, such as map() of one value
        message = "not SQL: a function in it has too few arguments, or it is nested too deep"
        raise ValueError(message) from None
    tree = trees[0] if len(trees) == 1 else None
    simple = isinstance(tree, exp.Select) and len(tree.expressions) == 1
    if not isinstance(tree, exp.Select) or not simple or _is_more(tree, {"this_table", *table}):
        raise ValueError(_NOT_A_QUERY)
    measured, condition = _parts_of(tokens)
    if condition is None:
        return "query", None, measured
    if measured.lower().replace(" ", "") == "count(*)":
        return "query", f"not ({condition})", f"count_if({condition})"
    return "query", None, f"{measured} filter (where {condition})"


def _parts_of(tokens: Sequence[Token]) -> tuple[str, str | None]:
    """What a query of one SELECT selects, without its alias, and its condition: as they were written, not as parsed.

    Raises:
        ValueError: it has no FROM.
    """
    depth = 0
    at: dict[str, int] = {}
    for index, token in enumerate(tokens):
        depth += (token.source in ("(", "[")) - (token.source in (")", "]"))
        is_distinct_from = index and tokens[index - 1].word == "distinct"
        if depth == 0 and token.word in ("as", "from", "where") and not is_distinct_from:
            at.setdefault(token.word, index)
    if "from" not in at:
        raise ValueError(_NOT_A_QUERY)
    selected = list(tokens[1 : min(at["from"], at.get("as", at["from"]))])
    if len(selected) > 1 and selected[-1].kind in ("word", "name") and selected[-2].source == ")":
        selected.pop()
    end = -1 if tokens[-1].source == ";" else len(tokens)
    condition = print_tokens(tokens[at["where"] + 1 : end]).text if "where" in at else None
    return print_tokens(selected).text, condition


def _is_more(tree: exp.Select, known: set[str]) -> bool:
    """Whether a query does more than to measure the table: others, groups, windows, queries within."""
    parts = {name for name, value in tree.args.items() if value} - {"expressions", "from", "from_", "where", "kind"}
    tables = {one.name for one in tree.find_all(exp.Table)}
    inner = len(list(tree.find_all(exp.Select, exp.Window))) > 1
    return bool(parts) or inner or not tree.expressions[0].find(exp.AggFunc) or not tables <= known
