"""YAML as plain data, with the line and column of every part of it."""

from __future__ import annotations

import copy
import difflib
import re
import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.tokens import (
    AliasToken,
    AnchorToken,
    BlockEndToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
    TagToken,
)

from lakehouse.errors import InvalidConfigError, Problem
from lakehouse.foreign import plain_line

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.spec.base import Spec

MAX_BYTES = 256 * 1024
"""A job is some thirty lines: a file beyond this is something else."""

MAX_DEPTH = 32
"""A job nests some six deep."""

MAX_TOKENS = 60_000
"""A contract of 10,000 columns: what has more takes minutes to be looked at."""

_SHOWN = 60
"""Characters of a value that a message shows."""

_MOST_PROBLEMS = 100
"""Nobody reads more at once."""

_OPENING = (BlockMappingStartToken, BlockSequenceStartToken, FlowMappingStartToken, FlowSequenceStartToken)
_CLOSING = (BlockEndToken, FlowMappingEndToken, FlowSequenceEndToken)
_TEXT = "tag:yaml.org,2002:str"
_NOT_TEXT = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float")}

_EXPECTED = {
    "string_type": "expected text (quote it if it is meant as text)",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "dict_type": "expected a mapping (name: value)",
    "model_type": "expected a mapping (name: value)",
    "model_attributes_type": "expected a mapping (name: value)",
    "tuple_type": "expected a list",
    "too_short": "expected at least one",
    "missing": "is missing",
}

Location = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass(frozen=True)
class Document:
    """One YAML file: its data, and where each part of it stands (line and column, from 1)."""

    file: str
    data: Any
    keys: dict[Location, Place] = field(default_factory=dict)
    values: dict[Location, Place] = field(default_factory=dict)

    def problem(self, location: Location, message: str, *, at_key: bool = False) -> Problem:
        """A problem at that part of the file, or at the nearest part around it that is there."""
        places = self.keys if at_key else self.values
        place = location
        while place and place not in places:
            place = place[:-1]
        line, column = places.get(place, (1, 1))
        return Problem(self.file, line, column, self._field(location), message)

    def _field(self, location: Location) -> str:
        """The dotted path; a rule by its name and not its number."""
        names: list[str] = []
        data = self.data
        for part in location:
            data = _child(data, part)
            name = data.get("name") if names[-1:] == ["rules"] and isinstance(data, dict) else None
            names.append(shorten(name) if isinstance(name, str) and name else str(part))
        return ".".join(names)


def read_document(path: Path, *, shown_as: str) -> Document:
    """Read one YAML file as data.

    Raises:
        InvalidConfigError: it cannot be read, is too large, is not YAML, or uses tags, anchors or a key twice.
    """
    reader = _Reader(shown_as)
    data = reader.data(reader.tree(reader.text(path)), ())
    if reader.problems:
        raise InvalidConfigError(reader.problems)
    return Document(shown_as, data, reader.keys, reader.values)


class _Reader:
    """One reading of a file: what stands where, and what is wrong with it as YAML."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Location, Place] = {}
        self.values: dict[Location, Place] = {(): (1, 1)}
        self.problems: list[Problem] = []
        self.yaml = YAML(typ="safe", pure=True)

    def text(self, path: Path) -> str:
        """The file's text, without a byte order mark."""
        try:
            with path.open("rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise self._end(f"cannot be read: {error.strerror}") from None
        if len(raw) > MAX_BYTES:
            raise self._end(f"is too large: a configuration file has at most {MAX_BYTES:,} bytes")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise self._end(f"not UTF-8: the byte 0x{raw[error.start]:02x}", (line, 1)) from None

    def tree(self, text: str) -> Node | None:
        """The file's one document, none of whose parts is used twice."""
        self.at: Place = (1, 1)
        try:
            self._refuse_what_is_not_plain(text)
            tree: Node | None = self.yaml.compose(text)
        except MarkedYAMLError as error:
            advice = ": indent by spaces" if "'\\t'" in str(error.problem) else ""
            raise self._end(f"not YAML: {error.problem}{advice}", _place(error.problem_mark)) from None
        except ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._end(f"not YAML: the character U+{ord(text[error.position]):04X}", (line, 1)) from None
        except (ValueError, OverflowError):  # of an escape such as \\U00110000
            raise self._end("not YAML: an escape or a number after this that stands for nothing", self.at) from None
        except RecursionError:
            raise self._end("nested too deep", self.at) from None
        return tree

    def _refuse_what_is_not_plain(self, text: str) -> None:
        depth = 0
        for number, token in enumerate(self.yaml.scan(text)):
            self.at = _place(token.start_mark)
            if number > MAX_TOKENS:
                raise self._end(f"is too large: more than {MAX_TOKENS:,} names, values and marks", self.at)
            depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
            if isinstance(token, AnchorToken | AliasToken | TagToken):
                message = "anchors, aliases and tags are not accepted: write the value out"
                raise self._end(message, _place(token.start_mark))
            if depth > MAX_DEPTH:
                raise self._end(f"nested more than {MAX_DEPTH} deep", _place(token.start_mark))

    def data(self, node: Node | None, at: Location) -> Any:
        """The node as plain Python, the places of its parts noted on the way."""
        if isinstance(node, MappingNode):
            return self._mapping(node, at)
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.values[*at, index] = _place(item.start_mark)
            return [self.data(item, (*at, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, at) if isinstance(node, ScalarNode) else None

    def _mapping(self, node: MappingNode, at: Location) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, value in node.value:
            name, place = key.value, _place(key.start_mark)
            if key.tag == _TEXT and not self._is_text(name, place, at):
                continue
            if key.tag != _TEXT:
                self._note(place, at, "a key must be text: quote it if it is meant as text")
            elif name in data:
                self._note(place, (*at, name), f"found twice, first in line {self.keys[*at, name][0]}")
            else:
                self.keys[*at, name] = place
                is_empty = value.start_mark.index == value.end_mark.index  # and then it begins where the next key does
                self.values[*at, name] = place if is_empty else _place(value.start_mark)
                data[name] = self.data(value, (*at, name))
        return data

    def _scalar(self, node: ScalarNode, at: Location) -> Any:
        if node.tag not in _NOT_TEXT:
            # a date stays the text that it is
            return node.value if self._is_text(node.value, _place(node.start_mark), at) else None
        try:
            return self.yaml.constructor.construct_object(node)
        except ValueError:
            self._note(_place(node.start_mark), at, "not a number that can be read")
            return None

    def _is_text(self, text: str, place: Place, at: Location) -> bool:
        """Whether it is text: one half of a character, which only an escape can write, is none."""
        half = next((one for one in text if "\ud800" <= one <= "\udfff"), None)
        if half:
            self._note(place, at, f"holds one half of a character (U+{ord(half):04X}): no file can hold that")
        return half is None

    def _note(self, place: Place, at: Location, message: str) -> None:
        self.problems.append(Problem(self.file, *place, ".".join(map(str, at)), message))

    def _end(self, message: str, place: Place = (1, 1)) -> InvalidConfigError:
        return InvalidConfigError([Problem(self.file, *place, "", message)])


def _place(mark: StreamMark | None) -> Place:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


S = TypeVar("S", bound="Spec")


def validate(model: type[S], document: Document) -> S:
    """The document as a spec.

    Raises:
        InvalidConfigError: with every problem at once, each with its line and the nearest valid name.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as errors:
        found = [*errors.errors(), *_behind_choices(model, document, errors.errors())]
        problems = [_problem(model, document, error) for error in found[:_MOST_PROBLEMS]]
        if len(found) > _MOST_PROBLEMS:
            problems.append(document.problem((), f"and {len(found) - _MOST_PROBLEMS:,} more"))
        raise InvalidConfigError(problems) from None
    except (RecursionError, UnicodeError, OverflowError, MemoryError) as error:
        # a value that a check of it stumbles over
        raise InvalidConfigError([document.problem((), f"cannot be checked: {plain_line(error)}")]) from None


def _behind_choices(model: type[Spec], document: Document, errors: Any) -> list[Any]:
    """What else is wrong where a ``kind`` or ``mode`` is misspelt, as if it were the nearest one that there is.

    Pydantic looks no further there, and what it would find is found by nobody until that is mended.
    """
    data, places = copy.deepcopy(document.data), []
    for error in errors:
        if error["type"] == "union_tag_invalid":
            context = error["ctx"]
            names = context["expected_tags"].replace("'", "").split(", ")
            near = nearest(str(context["tag"]), names)
            holder = _value(data, _resolve(model, document, error["loc"])[0])
            if "did you mean" in near and isinstance(holder, dict):
                holder[context["discriminator"].strip("'")] = near.split("'")[1]
                places.append(error["loc"])
    if not places:
        return []
    try:
        model.model_validate(data)
    except ValidationError as more:
        return [error for error in more.errors() if any(error["loc"][: len(place)] == place for place in places)]
    return []


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
        message = f"unknown value {_shown(context['tag'])}{nearest(context['tag'], names)}"
        return document.problem((*location, tag), message)
    if kind == "value_error":
        location = (*location, *getattr(context["error"], "at", ()))
    at_key = error["loc"][-1:] == ("[key]",)
    value = location[-1] if at_key else _value(document.data, location)
    return document.problem(location, _told(error, value), at_key=at_key)


def _told(error: Any, value: Any) -> str:
    """What was expected in the place of a value."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        names = context["expected"].replace(" or ", ", ").replace("'", "").replace("True", "true").split(", ")
        return f"unknown value {_shown(value)}{nearest(str(value), names)}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} does not match {context['pattern']}"
    return _EXPECTED.get(kind) or error["msg"][:1].lower() + error["msg"][1:]


def _shown(value: Any) -> str:
    """A value as a message shows it: on one line, and not at any length."""
    return f"'{shorten('true' if value is True else 'false' if value is False else str(value))}'"


def shorten(text: str) -> str:
    """A text on one line, without what a terminal would obey, and not at any length."""
    text = "".join(one if one.isprintable() else "\ufffd" for one in " ".join(text.split()))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


_OTHER_WORDS = {
    **dict.fromkeys(("long", "int64", "integer64", "bigserial", "uint32"), "bigint"),
    **dict.fromkeys(("integer", "int32", "serial", "uint16"), "int"),
    **dict.fromkeys(("short", "int16"), "smallint"),
    **dict.fromkeys(("byte", "int8"), "tinyint"),
    **dict.fromkeys(("text", "varchar", "char", "str", "object", "nvarchar", "uuid", "json", "clob"), "string"),
    **dict.fromkeys(("float64", "double precision"), "double"),
    **dict.fromkeys(("float32", "real"), "float"),
    **dict.fromkeys(("number", "numeric", "dec", "money"), "decimal(p,s)"),
    **dict.fromkeys(
        ("datetime", "datetime2", "timestamptz", "timestamp_ltz", "timestamp_tz", "timestamp with time zone"),
        "timestamp",
    ),
    **dict.fromkeys(("bool", "bit"), "boolean"),
    **dict.fromkeys(("bytes", "bytea", "blob", "varbinary"), "binary"),
    **dict.fromkeys(("list", "repeated"), "array<…>"),
    **dict.fromkeys(("record", "row"), "struct<name: …>"),
    **dict.fromkeys(("latin1", "latin-1", "iso8859-1", "iso_8859_1", "l1"), "ISO-8859-1"),
    **dict.fromkeys(("cp1252", "ansi", "windows1252"), "windows-1252"),
    **dict.fromkeys(("utf8", "ascii", "us-ascii", "utf-8-sig"), "UTF-8"),
    **dict.fromkeys(("utf16", "ucs-2"), "UTF-16"),
    **dict.fromkeys(("jsonl", "ndjson"), "json"),
    **dict.fromkeys(("xlsx", "xls"), "excel"),
    **dict.fromkeys(("tsv", "psv"), "csv"),
    **dict.fromkeys(("upsert", "merge"), "scd1"),
    **dict.fromkeys(("delta",), "table"),
    **dict.fromkeys(("pk", "primary_key", "key_columns"), "keys"),
    **dict.fromkeys(("order_by", "sequence", "version_by"), "sequence_by"),
}
"""What other systems call a value or a key."""


def nearest(name: str, valid: list[str]) -> str:
    """A tail for a message: the valid names, the nearest one first; case makes no difference, words of others do."""
    word = re.split(r"[(<]", name.strip().lower())[0].strip() or name.lower()
    lowered = {one.lower(): one for one in reversed(valid)}
    other = _OTHER_WORDS.get(word)
    close = difflib.get_close_matches(name.lower()[:200], list(lowered), n=1, cutoff=0.6)
    found = lowered.get(word) or (other if other in valid else lowered[close[0]] if close else None)
    return f"; did you mean '{found}'?" if found else f"; expected one of {', '.join(valid)}" if valid else ""


def _value(data: Any, location: Location) -> Any:
    for part in location:
        data = _child(data, part)
    return data


def _resolve(model: type[BaseModel], document: Document, loc: Location) -> tuple[Location, list[str]]:
    """Where in the file an error is, and the names that were valid there.

    Pydantic's location also holds the tags of unions and marks such as ``[key]``, which the file does not.
    """
    data, kinds = document.data, _members(model)
    place: Location = ()
    valid: list[str] = []
    for part in loc:
        tagged = [kind for kind in kinds if part in _tags(kind)]
        if tagged and len(kinds) > 1:
            kinds = tagged
        elif part != "[key]" or (isinstance(data, dict) and part in data):
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
