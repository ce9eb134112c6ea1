"""A workbook held against itself: its rows and cells in order, each once, and no more of them than are sensible."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING
from xml.parsers import expat

from lakehouse.read.layout.archive import check_archive
from lakehouse.read.layout.layout import contradict, exceed
from lakehouse.read.packed import BROKEN
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from lakehouse.spec.limits import FileLimits

_CHUNK = 1 << 20
_NAMES = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_ROWS, _COLUMNS = 1 << 20, 1 << 14
"""What a sheet can have; a cell beyond has no place."""

_ELEMENTS, _OF_A_BYTE, _OF_STYLES = 2_000_000, 40, 500_000
"""Elements of a workbook of any size, for each of its bytes where it is large, and of all that is no sheet or text."""

_HEAD = 64
_BLANK = b" \t\r\n\0\xef\xbb\xbf\xff\xfe"
_LARGE = ("xl/worksheets/", "xl/sharedstrings")

_PARENTS = {"row": "sheetData", "c": "row", "v": "c", "is": "c", "f": "c"}
"""What stands where: a row within a row would come out of order, and be lost."""

_SHEET = re.compile(rb"<(?:[\w.-]+:)?sheet[\s/>]")
_PLACE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


def check_parts(file: BinaryIO, limits: FileLimits) -> int:
    """Check that a workbook is one zip, not too large, and of a sensible number of elements; how many sheets it names.

    Raises:
        Unreadable: it is not.
    """
    size = file.seek(0, 2)
    most = min(limits.workbook_bytes, limits.unpacked_of(size))
    try:
        with zipfile.ZipFile(file) as archive:
            if (unpacked := sum(member.file_size for member in archive.infolist())) > most:
                exceed("workbook_bytes", f"it unpacks to {unpacked:,} bytes; at most {most:,} of it are read")
            check_archive(archive, size, limits)
            sheets = _sheets(archive)
            counts = {name: _elements(archive, name) for name in archive.namelist()}
    except (zipfile.BadZipFile, *BROKEN) as error:
        message = f"it is no workbook: {error}"
        raise Unreadable(message) from None
    many = sum(counts.values())
    beside = sum(count for name, count in counts.items() if not name.lower().startswith(_LARGE))
    if many > max(_ELEMENTS, _OF_A_BYTE * size) or beside > _OF_STYLES:
        exceed("workbook_bytes", f"it has {many:,} elements, {beside:,} of them of styles and the like")
    return sheets


def _sheets(archive: zipfile.ZipFile) -> int:
    """How many sheets a workbook names; one that has no part is passed over by the reader, and the next one is read."""
    names = [name for name in archive.namelist() if re.fullmatch(r"xl/workbook\d*\.xml", name)]
    return sum(len(_SHEET.findall(archive.read(name))) for name in names)


def _elements(archive: zipfile.ZipFile, name: str) -> int:
    """Count the elements of a part, beginning and end; 0 of one that is no XML.

    Raises:
        Unreadable: it has a <!DOCTYPE>, which no workbook has.
    """
    found, before = 0, b""
    with archive.open(name) as part:
        for chunk in iter(lambda: part.read(_CHUNK), b""):
            if not before and not chunk.lstrip(_BLANK).startswith(b"<"):
                return 0
            found += chunk.count(b"<")
            if b"<!DOCTYPE" in (before + chunk).replace(b"\0", b""):
                contradict(f"{name} has a <!DOCTYPE>")
            before = chunk[-_HEAD:]
    return found


def check_sheet(file: BinaryIO, part: str) -> bool:
    """Check the rows and cells of a sheet; whether there are formulas in it.

    Raises:
        Unreadable: a row or a cell comes twice, out of order or has no place, or is of no sheet that is read.
    """
    sheet = _Sheet(max(_ELEMENTS, _OF_A_BYTE * file.seek(0, 2)) * 4)
    try:
        with zipfile.ZipFile(file) as archive, archive.open(part) as data:
            for chunk in iter(lambda: data.read(_CHUNK), b""):
                sheet.parser.Parse(chunk, False)  # noqa: FBT003 -- Python's own
            sheet.parser.Parse(b"", True)  # noqa: FBT003
    except (expat.ExpatError, zipfile.BadZipFile, KeyError, *BROKEN) as error:
        message = f"its sheet cannot be read: {error}"
        raise Unreadable(message) from None
    return sheet.has_formulas


class _Sheet:
    """The rows and cells of a sheet, as they come."""

    def __init__(self, most: int) -> None:
        self.has_formulas = False
        self._most, self._places = most, 0
        self._open: list[str] = []
        self._row = self._column = self._values = 0
        self._is_shared, self._text = False, ""
        # a name of another namespace looks like a row, and is none to the reader
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = _no_entities

    def _begin(self, name: str, attributes: Mapping[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        if not self._open and local != "sheetData":
            return
        if local in _PARENTS and (space != _NAMES or self._open[-1] != _PARENTS[local]):
            contradict(f"its sheet has a <{local}> where none belongs")
        self._open.append(local)
        if local == "row":
            self._begin_row(attributes)
        elif local == "c":
            self._begin_cell(attributes)
        elif local == "f":
            self.has_formulas = True
        elif local in ("v", "is"):
            self._begin_value(local)

    def _begin_row(self, attributes: Mapping[str, str]) -> None:
        number = _whole(attributes.get("r"), self._row + 1)
        if not self._row < number <= _ROWS:
            contradict(f"its row {number:,} comes after row {self._row:,}, of at most {_ROWS:,}")
        self._count(number - self._row)
        self._row, self._column = number, 0

    def _begin_cell(self, attributes: Mapping[str, str]) -> None:
        place = attributes.get("r")
        column = self._column + 1
        if place is not None:
            found = _PLACE.fullmatch(place)
            if not found or int(found[2]) != self._row:
                contradict(f"its row {self._row:,} has a cell at {place[:20]}")
            column = _number_of(found[1])
        if not self._column < column <= _COLUMNS:
            contradict(f"its row {self._row:,} has a cell in column {column:,} after one in column {self._column:,}")
        self._count(column - self._column)
        self._column, self._values = column, 0
        self._is_shared = attributes.get("t") == "s"

    def _begin_value(self, local: str) -> None:
        self._values += 1
        if self._values > 1:
            contradict(f"a cell of its row {self._row:,} has two values")
        if local == "v" and self._is_shared:
            self._text = ""
            self.parser.CharacterDataHandler = self._add

    def _add(self, text: str) -> None:
        self._text += text

    def _end(self, _: str) -> None:
        if not self._open:
            return
        if self._open.pop() == "v" and self.parser.CharacterDataHandler:
            self.parser.CharacterDataHandler = None
            if not self._text.strip().isdecimal():
                contradict(f"a cell of its row {self._row:,} has the text number {self._text[:20]!r}")

    def _count(self, places: int) -> None:
        """Count the places of a sheet that are gone through: also those between rows and cells that are there."""
        self._places += places
        if self._places > self._most:
            exceed("workbook_bytes", f"its sheet reaches over more than {self._most:,} cells, nearly all of them blank")


def _whole(text: str | None, missing: int) -> int:
    if text is None:
        return missing
    if not re.fullmatch(r"[0-9]{1,10}", text):
        contradict(f"its sheet has a row {text[:20]!r}")
    return int(text)


def _number_of(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _no_entities(name: str, *_: object) -> None:
    contradict(f"its sheet has an entity of its own, &{name};")
