"""YAML as plain data, with the line and column of every part of it."""

from __future__ import annotations

import difflib
import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.tokens import AliasToken, AnchorToken, TagToken

from lakehouse.errors import InvalidConfigError, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.spec.base import Spec

MAX_BYTES = 256 * 1024
"""A job is some thirty lines: a file beyond this is something else."""

_EXPECTED = {
    "string_type": "expected text (quote it if it is meant as text)",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "dict_type": "expected a mapping (name: value)",
    "model_type": "expected a mapping (name: value)",
    "model_attributes_type": "expected a mapping (name: value)",
    "tuple_type": "expected a list",
    "missing": "is missing",
}

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """One YAML file: its data, and where each part of it stands (line and column, from 1)."""

    file: str
    data: Any
    keys: dict[Location, tuple[int, int]] = field(default_factory=dict)
    values: dict[Location, tuple[int, int]] = field(default_factory=dict)

    def problem(self, location: Location, message: str, *, at_key: bool = False) -> Problem:
        """A problem at that part of the file, or at the nearest part around it that is there."""
        places = self.keys if at_key else self.values
        place = location
        while place and place not in places:
            place = place[:-1]
        line, column = places.get(place, (1, 1))
        return Problem(self.file, line, column, ".".join(str(part) for part in location), message)


def read_document(path: Path, *, shown_as: str) -> Document:
    """Read one YAML file as data.

    Raises:
        InvalidConfigError: it cannot be read, is too large, is not YAML, or uses tags, anchors or a key twice.
    """

    def refuse(message: str, line: int = 1, column: int = 1) -> InvalidConfigError:
        return InvalidConfigError([Problem(shown_as, line, column, "", message)])

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise refuse(f"{len(raw):,} bytes; a configuration file has at most {MAX_BYTES:,}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(f"not UTF-8 (byte {error.start})") from None
    yaml = YAML(typ="rt", pure=True)
    try:
        for token in yaml.scan(text):
            if isinstance(token, AnchorToken | AliasToken | TagToken):
                mark = token.start_mark
                raise refuse(
                    "anchors, aliases and tags are not accepted: write the value out", mark.line + 1, mark.column + 1
                )
        tree = yaml.load(text)
    except DuplicateKeyError as error:
        mark = error.problem_mark
        raise refuse(str(error.problem).split(" with value")[0], mark.line + 1, mark.column + 1) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise refuse(f"not YAML: {error.problem}", mark.line + 1, mark.column + 1) from None
    except (YAMLError, RecursionError) as error:
        raise refuse(f"not YAML: {str(error).splitlines()[0]}") from None
    document = Document(shown_as, None, {}, {(): (1, 1)})
    return Document(shown_as, _plain(tree, (), document), document.keys, document.values)


def _plain(node: Any, at: Location, document: Document) -> Any:
    """The node as plain Python, its positions noted on the way."""
    if isinstance(node, CommentedMap):
        for key in node:
            document.keys[*at, key] = _mark(node.lc.key(key))
            document.values[*at, key] = _mark(node.lc.value(key))
        return {key: _plain(value, (*at, key), document) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            document.values[*at, index] = _mark(node.lc.item(index))
        return [_plain(value, (*at, index), document) for index, value in enumerate(node)]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _mark(position: tuple[int, int]) -> tuple[int, int]:
    return position[0] + 1, position[1] + 1


S = TypeVar("S", bound="Spec")


def validate(model: type[S], document: Document) -> S:
    """The document as a spec.

    Raises:
        InvalidConfigError: with every problem at once, each with its line and the nearest valid name.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as errors:
        problems = [_problem(model, document, error) for error in errors.errors()]
        raise InvalidConfigError(problems) from None


def _problem(model: type[Spec], document: Document, error: Any) -> Problem:
    location, valid = _resolve(model, document, error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return document.problem(location, f"unknown key{nearest(str(location[-1]), valid)}", at_key=True)
    if kind == "union_tag_not_found":
        tag = context["discriminator"].strip("'")
        tags = [value for member in _at(model, location) for value in _tags(member)]
        return document.problem((*location, tag), f"is missing; expected one of {', '.join(tags)}")
    if kind == "union_tag_invalid":
        tag = context["discriminator"].strip("'")
        names = context["expected_tags"].replace("'", "").split(", ")
        return document.problem((*location, tag), f"unknown value '{context['tag']}'{nearest(context['tag'], names)}")
    if kind == "literal_error":
        names = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        value = _value(document.data, location)
        return document.problem(location, f"unknown value '{value}'{nearest(str(value), names)}")
    if kind == "value_error":
        return document.problem(location, str(context["error"]))
    if kind == "string_pattern_mismatch":
        value = _value(document.data, location)
        return document.problem(
            location, f"'{value}' does not match {context['pattern']}", at_key=error["loc"][-1] == "[key]"
        )
    return document.problem(location, _EXPECTED.get(kind) or error["msg"][:1].lower() + error["msg"][1:])


def nearest(name: str, valid: list[str]) -> str:
    """A tail for a message: the valid names, the nearest one first."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else f"; expected one of {', '.join(valid)}" if valid else ""


def _value(data: Any, location: Location) -> Any:
    for part in location:
        if isinstance(data, dict) and part not in data:
            return part
        data = data[part]
    return data


def _resolve(model: type[BaseModel], document: Document, loc: Location) -> tuple[Location, list[str]]:
    """Where in the file an error is, and the names that were valid there.

    Pydantic's location also holds the tags of unions and marks such as ``[key]``, which the file does not.
    """
    data, place, kinds = document.data, (), _members(model)
    valid: list[str] = []
    for part in loc:
        tagged = [kind for kind in kinds if part in _tags(kind)]
        if tagged and len(kinds) > 1:
            kinds = tagged
        elif part != "[key]":
            valid = [name for kind in kinds if _is_spec(kind) for name in kind.model_fields]
            place = (*place, part)
            kinds = _inside(kinds, part)
            data = _child(data, part)
    return place, valid


def _at(model: type[BaseModel], place: Location) -> list[Any]:
    kinds = _members(model)
    for part in place:
        kinds = _inside(kinds, part)
    return kinds


def _child(data: Any, part: str | int) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _members(kind: Any) -> list[Any]:
    """The kinds that an annotation may stand for: the members of a union, or itself."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(kind) for member in _members(part)]
    return [kind]


def _is_spec(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _tags(kind: Any) -> tuple[Any, ...]:
    """The values of a spec's ``kind`` or ``mode``, by which a union tells its members apart."""
    if not _is_spec(kind):
        return ()
    return tuple(
        value
        for name in ("kind", "mode")
        if name in kind.model_fields
        for value in typing.get_args(kind.model_fields[name].annotation)
    )


def _inside(kinds: list[Any], part: str | int) -> list[Any]:
    """The kinds of what lies under ``part``."""
    for kind in kinds:
        if _is_spec(kind) and part in kind.model_fields:
            return _members(kind.model_fields[str(part)].annotation)
        if typing.get_origin(kind) in (dict, tuple, list):
            arguments = typing.get_args(kind)
            return _members(arguments[1] if typing.get_origin(kind) is dict else arguments[0])
    return []
