"""XML: each element of one name as a JSON object, with its attributes and children as text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from xml.parsers import expat

from lakehouse.read.layout.layout import exceed
from lakehouse.read.packed import DEFAULTS, texts
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lakehouse.spec.files import XmlOptions
    from lakehouse.spec.limits import FileLimits

_DEEPEST = 100
_TEXT, _ATTRIBUTE = "_VALUE", "_"
"""Spark's own names: of the text beside children or attributes, and before the name of an attribute."""


@dataclass
class _Element:
    """An element while it is open: its attributes and children by name, and its text."""

    parts: dict[str, list[Any]] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)

    def value(self) -> Any:
        """Its text alone, where it has no parts; else an object, in which what comes several times is an array."""
        text = "".join(self.text)
        if not self.parts:
            return text
        if text.strip():
            self.parts.setdefault(_TEXT, []).append(text)
        return {name: found[0] if len(found) == 1 else found for name, found in self.parts.items()}


def objects(path: str, encoding: str, options: XmlOptions, limits: FileLimits = DEFAULTS) -> Iterator[str]:
    """The records of a file of this machine, each as one JSON object on one line.

    Raises:
        Unreadable: it is not well-formed, goes too deep, has a record that is too long, or says of itself what is
            in it: by entities, by defaults, or by another file.
    """
    rows, given = _Rows(options.row_tag), 0
    try:
        for text in texts(path, encoding, limits):
            data = text.encode()
            rows.parser.Parse(data, False)  # noqa: FBT003 -- Python's own
            given += len(data)
            if given - rows.reached > limits.record_bytes:
                exceed("record_bytes", f"a record has more than {limits.record_bytes:,} bytes")
            yield from rows.taken()
        rows.parser.Parse(b"", True)  # noqa: FBT003 -- Python's own
        yield from rows.taken()
    except expat.ExpatError as error:
        message = f"it is not well-formed: {error}"
        raise Unreadable(message) from None


class _Rows:
    """What the parser tells of a file, put together to records."""

    def __init__(self, tag: str) -> None:
        """Of the elements of this name, but for those within another of it."""
        self._tag = tag
        self._open: list[_Element] = []
        self._done: list[str] = []
        self._depth = self._begun = 0
        # what a file declares of its encoding is no longer so
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        # one that is declared can be a bomb or another file, and one that is not would be left out without a word
        self.parser.EntityDeclHandler = _refused
        self.parser.SkippedEntityHandler = _refused
        # within an attribute one is left out even without that, where they might be declared in another file
        self.parser.NotStandaloneHandler = _not_alone
        self.parser.AttlistDeclHandler = _without_defaults

    @property
    def reached(self) -> int:
        """The byte up to which nothing is kept any more."""
        return self._begun if self._open else max(self.parser.CurrentByteIndex, 0)

    def taken(self) -> Iterator[str]:
        """The records that are complete."""
        yield from self._done
        self._done.clear()

    def _begin(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            message = f"it has elements within elements to a depth of more than {_DEEPEST}"
            raise Unreadable(message)
        if not self._open:
            self._begun = self.parser.CurrentByteIndex
        if self._open or name == self._tag:
            self._open.append(_Element({_ATTRIBUTE + key: [value] for key, value in attributes.items()}))

    def _end(self, name: str) -> None:
        self._depth -= 1
        if not self._open:
            return
        value = self._open.pop().value()
        if self._open:
            self._open[-1].parts.setdefault(name, []).append(value)
        else:
            row = value if isinstance(value, dict) else {_TEXT: value} if value.strip() else {}
            self._done.append(json.dumps(row, ensure_ascii=False))

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].text.append(text)


def _not_alone() -> NoReturn:
    message = "its <!DOCTYPE> names another file, without which nobody knows what is in it"
    raise Unreadable(message)


def _without_defaults(element: str, attribute: str, *_: Any) -> NoReturn:
    message = f"it declares the attribute {attribute} of <{element}>, which may add what is in no record"
    raise Unreadable(message)


def _refused(name: str, *_: Any) -> NoReturn:
    message = f"it has an entity of its own, &{name};"
    raise Unreadable(message)
