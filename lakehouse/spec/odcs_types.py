"""Types of the Open Data Contract Standard as Spark's, and what a file says in this library's own words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lakehouse.spec.column_type import known_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from lakehouse.spec.document import Location

    Refuse = Callable[[Location, str], None]

OURS: dict[str, Any] = {"ignore": True}
"""What a file says of a promise that is not to be judged here."""

_BY_NAME = {
    **dict.fromkeys(("varchar", "char", "nvarchar", "nchar", "text", "string", "character varying", "uuid"), "string"),
    **dict.fromkeys(("int", "integer", "int4"), "int"),
    **dict.fromkeys(("bigint", "long", "int8", "bigserial"), "bigint"),
    **dict.fromkeys(("smallint", "short", "int2"), "smallint"),
    **dict.fromkeys(("tinyint", "byte"), "tinyint"),
    **dict.fromkeys(("double", "double precision", "float8", "float64"), "double"),
    **dict.fromkeys(("float", "real", "float4"), "float"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("binary", "varbinary", "bytea", "blob"), "binary"),
    **dict.fromkeys(("timestamp_ntz", "timestamp without time zone"), "timestamp_ntz"),
    **dict.fromkeys(
        ("timestamp", "timestamptz", "timestamp_ltz", "timestamp_tz", "timestamp with time zone"), "timestamp"
    ),
    "date": "date",
}
_DECIMALS = ("decimal", "numeric", "number", "dec")
_INTEGERS = ("tinyint", "smallint", "int", "bigint", "decimal")
_FITS = {
    "string": ("string", "binary"),
    "integer": _INTEGERS,
    "number": (*_INTEGERS, "float", "double"),
    "date": ("date",),
    "timestamp": ("timestamp", "timestamp_ntz"),
    "time": ("string",),
    "boolean": ("boolean",),
    "object": ("struct",),
    "array": ("array",),
    "map": ("map",),
    "vector": ("array",),
}
"""The types in which values of a logical type can lie; where another is said, they are text there."""

_BY_LOGIC = {
    "string": "string",
    "integer": "bigint",
    "number": "double",
    "date": "date",
    "boolean": "boolean",
    "timestamp": "timestamp",
}
_BY_FORMAT = {
    "i8": "tinyint",
    "i16": "smallint",
    "i32": "int",
    "i64": "bigint",
    "i128": "decimal(38,0)",
    "u8": "smallint",
    "u16": "int",
    "u32": "bigint",
    "u64": "decimal(20,0)",
    "u128": "decimal(38,0)",
    "f32": "float",
    "f64": "double",
}


def ours(thing: dict[str, Any]) -> dict[str, Any]:
    """What a part of the file says in its ``customProperties`` under ``lakehouse``."""
    for one in thing.get("customProperties") or ():
        if one.get("property") == "lakehouse":
            return OURS if one["value"] == "ignore" else one["value"] if isinstance(one["value"], dict) else {}
    return {}


def type_of(one: dict[str, Any], at: Location, refuse: Refuse) -> str | None:
    """The type of a property: as it lies there, where that is a form of what it means, else by what it means."""
    logical, physical = one.get("logicalType"), _by_name(str(one.get("physicalType") or ""))
    if physical and (not logical or physical.partition("<")[0].partition("(")[0] in _FITS[logical]):
        return physical
    found = _by_logic(one, at, refuse) if logical else None
    if found is None:
        said = ", ".join(f"{key}: {one[key]}" for key in ("logicalType", "physicalType") if one.get(key))
        key = "physicalType" if one.get("physicalType") else "name"
        refuse((*at, key), f"no type is known by {said or 'nothing'}: give a physicalType that Spark has")
    return found


def _by_name(name: str) -> str | None:
    text = " ".join(name.lower().split())
    found = None if "<" in text else re.fullmatch(r"([^(]*?) ?(?:\((.*)\))?", text)
    kind, arguments = found.groups() if found else (text, None)
    if kind in _DECIMALS and arguments:
        digits = arguments.split(",")
        kind = f"decimal({digits[0]},{digits[1] if len(digits) > 1 else 0})"
    try:
        return _BY_NAME.get(kind) or known_type(kind)
    except ValueError:
        return None


def _by_logic(one: dict[str, Any], at: Location, refuse: Refuse) -> str | None:
    logical = one["logicalType"]
    form = (one.get("logicalTypeOptions") or {}).get("format")
    if logical in ("integer", "number"):
        return _BY_FORMAT.get(str(form), _BY_LOGIC[logical])
    if logical == "array" and one.get("items"):
        inner = type_of(one["items"], (*at, "items"), refuse)
        return inner and f"array<{inner}>"
    if logical == "map":
        parts = [type_of(one["map"][key], (*at, "map", key), refuse) for key in ("key", "value")]
        return f"map<{parts[0]},{parts[1]}>" if all(parts) else None
    if logical == "object" and one.get("properties"):
        return _struct(one["properties"], (*at, "properties"), refuse)
    return _BY_LOGIC.get(logical)


def _struct(properties: list[dict[str, Any]], at: Location, refuse: Refuse) -> str | None:
    fields: list[str] = []
    for index, one in enumerate(properties):
        name, kind = str(one.get("physicalName") or one["name"]), type_of(one, (*at, index), refuse)
        if kind is None:
            return None
        quoted = name if re.fullmatch(r"[A-Za-z_]\w*", name) else "`" + name.replace("`", "``") + "`"
        fields.append(f"{quoted}:{kind}")
    return f"struct<{','.join(fields)}>"
