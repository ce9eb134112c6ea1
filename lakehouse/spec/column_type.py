"""The types that a column may be declared with: Spark's names, scalars and what is made of them."""

from __future__ import annotations

import re

from lakehouse.spec.document import nearest

_SIMPLE = (
    *("boolean", "tinyint", "smallint", "int", "bigint", "float", "double"),
    *("string", "binary", "date", "timestamp", "timestamp_ntz"),
)
_MOST_LEVELS, _LONGEST = 200, 20_000
_NESTED = ("array<…>", "map<…, …>", "struct<name: …>")
_DECIMAL = re.compile(r"decimal *\( *([0-9]{1,3}) *, *([0-9]{1,3}) *\)")
_FIELD = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*|`(?:[^`]|``)+`) *(?::| ) *(?P<type>.+)", re.DOTALL)


def known_type(text: str) -> str:
    """The type as Spark writes it.

    Raises:
        ValueError: there is no such type; the message names the nearest.
    """
    if text.count("<") > _MOST_LEVELS or len(text) > _LONGEST:
        message = f"a type has at most {_MOST_LEVELS} '<' and {_LONGEST:,} characters"
        raise ValueError(message)
    name = text.strip()
    kind, found, rest = name.partition("<")
    if found and rest.endswith(">"):
        return _nested(kind.strip().lower(), rest[:-1], text)
    name = name.lower()
    if name in _SIMPLE:
        return name
    if not (decimal := _DECIMAL.fullmatch(name)):
        message = f"unknown type '{text}'{nearest(name, [*_SIMPLE, 'decimal(p,s)', *_NESTED])}"
        raise ValueError(message)
    precision, scale = map(int, decimal.groups())
    if not (scale <= precision and 1 <= precision <= 38):
        message = f"expected decimal(p,s) with s <= p <= 38, found '{text}'"
        raise ValueError(message)
    return f"decimal({precision},{scale})"


def _nested(kind: str, inner: str, text: str) -> str:
    parts = _split(inner)
    if kind == "array" and len(parts) == 1:
        return f"array<{known_type(parts[0])}>"
    if kind == "map" and len(parts) == 2:
        return f"map<{known_type(parts[0])},{known_type(parts[1])}>"
    if kind == "struct" and parts:
        return f"struct<{','.join(map(_field, parts))}>"
    message = f"unknown type '{text}': expected array<T>, map<K, V> or struct<name: T, …>"
    raise ValueError(message)


def _field(text: str) -> str:
    found = _FIELD.fullmatch(text.strip())
    if not found:
        message = f"'{text.strip()}' is not a field: expected name: type"
        raise ValueError(message)
    return f"{found['name']}:{known_type(found['type'])}"


def _split(text: str) -> list[str]:
    """The text cut at its commas, but for those within brackets or backquotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == "`"
        depth += 0 if quoted else (character in "<(") - (character in ">)")
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts if text.strip() else []
