"""Schemas of Avro: with every type in full where it is used, with a newer version's unions, and as Spark is given them.

No Spark. A schema is what its JSON says, but every type is a dict, or a list if it is a union: no name refers to
another place, so that whoever reads it can look at a field alone. All other attributes, such as ``connect.name``, stay.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container

Node = Any
"""A schema, or a type in it."""

MARK = "9B1D1F4E7A3C4C55A6E80B7F3D92C10F"
"""What is put behind a message, hexadecimal."""

MOST_DIGITS = 38
"""Of a decimal in Spark."""

_END = {"name": "end", "type": {"type": "fixed", "name": "Mark", "namespace": "framed", "size": len(MARK) // 2}}
_PRIMITIVE = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_PARTS = {"array": "items", "map": "values"}
_COUNTS = ("type", "symbols", "size", "logicalType", "precision", "scale")
_MOST_TYPES, _DEEPEST = 10_000, 100
_DIGITS_OF_LONG, _BYTES_OF_LONG = 18, 8


class Unusable(Exception):  # noqa: N818 -- a verdict on one schema, never seen by users
    """No message can be read by the schema."""


@lru_cache(maxsize=1024)
def resolved(language: str, texts: tuple[str, ...]) -> Node:
    """A schema with every type in full where it is used.

    Args:
        language: what it is written in, as registries say it: AVRO, or it cannot be used.
        texts: the schema's text, after those of the schemas that it refers to.

    Raises:
        Unusable: it is none, or Spark has no such type.
    """
    if language != "AVRO":
        raise Unusable(f"it is of {language}")
    names: dict[str, Node] = {}
    try:
        schema = [_expanded(json.loads(text), names, "") for text in texts][-1]
        count, depth = _size(schema, {})
    except RecursionError:
        raise Unusable("it is nested too deep") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"it is no schema of Avro ({type(error).__name__}: {str(error)[:200]})") from None
    if depth > _DEEPEST:
        raise Unusable("it is nested too deep")
    if count > _MOST_TYPES:
        raise Unusable(f"it has {count:,} types in full, and no more than {_MOST_TYPES:,} are read")
    return schema


def _size(node: Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many types a schema has in full, and how deep they are.

    A few lines that use each other twice have as many as there are atoms.
    """
    if id(node) not in known:
        inner = node if isinstance(node, list) else [one["type"] for one in node.get("fields", ())]
        if not isinstance(node, list):
            inner = [*inner, *(node[part] for part in _PARTS.values() if isinstance(node.get(part), dict | list))]
        sizes = [_size(one, known) for one in inner]
        known[id(node)] = 1 + sum(count for count, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
    return known[id(node)]


def _expanded(node: Node, names: dict[str, Node], space: str) -> Node:
    """A type in full. ``names``: those that are defined by now; None where the definition has not come to its end."""
    if isinstance(node, list):
        return [_expanded(one, names, space) for one in node]
    node = {"type": node} if isinstance(node, str) else node
    kind = node["type"]
    if isinstance(kind, list | dict):
        return _expanded(kind, names, space)
    if kind in ("record", "enum", "fixed"):
        return _defined(node, names, space)
    if part := _PARTS.get(kind):
        return {**node, part: _expanded(node[part], names, space)}
    return node if kind in _PRIMITIVE else _known(kind, names, space)


def _defined(node: Node, names: dict[str, Node], space: str) -> Node:
    above, _, name = node["name"].rpartition(".")
    space = above or node.get("namespace", space)
    names[f"{space}.{name}"] = None
    whole = {**node, "name": name, "namespace": space}
    if node["type"] == "fixed":
        whole["size"] = int(node["size"])
    if node["type"] == "record":
        whole["fields"] = [{**field, "type": _expanded(field["type"], names, space)} for field in node["fields"]]
        if len({field["name"].lower() for field in whole["fields"]}) < len(whole["fields"]):
            raise Unusable(f"two fields of {name} differ in nothing but the case of their names")
    names[f"{space}.{name}"] = whole
    return whole


def _known(name: str, names: dict[str, Node], space: str) -> Node:
    """A type by its name: that of the space that it is used in, else that of none."""
    near, far = f"{space}.{name}", name if "." in name else f".{name}"
    full = near if "." not in name and near in names else far
    if full not in names:
        raise Unusable(f"the type {name} is not defined")
    if names[full] is None:
        raise Unusable(f"{name} holds itself, and Spark has no such type")
    return names[full]


def completed(node: Node, newest: Node, apart: Container[str] = ()) -> Node:
    """A type with the other types of the newest version where it became a union, at every depth.

    No field is added, and no default of the newest is given to a message of another version: what a message holds would
    depend on which others are in its batch.

    Args:
        node: the type.
        newest: the same type in the newest version.
        apart: fields, in lower case, that stay as they are; of a record, not of what is in it.
    """
    own, theirs = branches(node), branches(newest)
    if len(own) == 1 < len(theirs) and (same := _same(own[0], theirs)) is not None:
        return [{"type": "null"}, *(_filled(own[0], same, apart) if one is same else one for one in theirs)]
    filled = [_filled(one, _same(one, theirs) or one, apart) for one in (node if isinstance(node, list) else [node])]
    return filled if isinstance(node, list) else filled[0]


def branches(node: Node) -> list[Node]:
    """The types that a value may have, if it is not null."""
    return [one for one in (node if isinstance(node, list) else [node]) if one["type"] != "null"]


def _same(node: Node, others: list[Node]) -> Node | None:
    """Which of a union's types is this one: by its name too, but where it is the only one of its kind."""
    alike = [one for one in others if one["type"] == node["type"]]
    named = [one for one in alike if one.get("name") == node.get("name")]
    return named[0] if named else alike[0] if len(alike) == 1 else None


def _filled(node: Node, same: Node, apart: Container[str]) -> Node:
    if part := _PARTS.get(node["type"]):
        return {**node, part: completed(node[part], same[part])}
    if node["type"] != "record":
        return node
    theirs = {field["name"].lower(): field["type"] for field in same["fields"] if field["name"].lower() not in apart}
    fields = [
        {**field, "type": completed(field["type"], theirs.get(field["name"].lower(), field["type"]))}
        for field in node["fields"]
    ]
    return {**node, "fields": fields}


def framed(node: Node | None, *, wide: bool = True) -> str:
    """A schema as Spark is given it, a record of ``value`` and ``end``, which is the mark; or of the mark alone.

    ``wide``: with digits more than a decimal has, where Spark would look at the last 64 bits of a value and no others.
    """
    value = [] if node is None else [{"name": "value", "type": _told(node, "value", wide=wide)}]
    return json.dumps({"type": "record", "name": "Framed", "namespace": "framed", "fields": [*value, _END]})


def _told(node: Node, path: str, *, wide: bool) -> Node:
    """A type without what is of no account to its bytes; every name in a space of its own, as it may stand twice."""
    if isinstance(node, list):
        return [_told(one, path, wide=wide) for one in node]
    told = {key: node[key] for key in _COUNTS if key in node}
    if node["type"] in ("record", "enum", "fixed"):
        told |= {"name": node["name"], "namespace": path}
    if part := _PARTS.get(node["type"]):
        told[part] = _told(node[part], f"{path}.{part}", wide=wide)
    if node["type"] == "record":
        told["fields"] = []
        for field in node["fields"]:
            below = _told(field["type"], f"{path}.{node['name']}.{field['name']}", wide=wide)
            told["fields"].append({key: field[key] for key in ("name", "default") if key in field} | {"type": below})
    if node.get("logicalType") == "decimal" and isinstance(node.get("precision"), int):
        told["precision"] = _digits(node, wide=wide)
    return told


def _digits(node: Node, *, wide: bool) -> int:
    """How many digits of a decimal Spark is told; Kafka Connect says 64 where it does not know."""
    digits, size = int(node["precision"]), int(node["size"]) if node["type"] == "fixed" else 2 * _BYTES_OF_LONG + 1
    if not wide or digits > _DIGITS_OF_LONG or size <= _BYTES_OF_LONG:
        return min(digits, MOST_DIGITS)
    return min(len(str(2 ** (8 * size - 1) - 1)) - 1, MOST_DIGITS)
