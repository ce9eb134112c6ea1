"""Workbooks: each row of a sheet as a JSON object, every cell as the text that says its value exactly."""

from __future__ import annotations

import importlib
import json
import warnings
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError
from lakehouse.read.layout.layout import contradict
from lakehouse.read.layout.workbook import check_parts, check_sheet
from lakehouse.read.scan import Unreadable, usable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from lakehouse.spec.files import ExcelOptions
    from lakehouse.spec.limits import FileLimits

_EXACT = 10**15
"""Excel knows 15 digits of a number."""


def objects(file: BinaryIO, options: ExcelOptions, limits: FileLimits) -> Iterator[str]:
    """The rows of the sheet, each as one JSON object on one line; a cell that is blank is not in it, nor a blank row.

    Raises:
        Unreadable: it is no workbook, contradicts itself, goes beyond a limit, lacks the sheet or its header, or a
            formula in it was never computed.
        ConfigError: the library that reads workbooks is not installed.
    """
    try:
        library = importlib.import_module("openpyxl")
    except ImportError:
        message = "Excel files are read by openpyxl, which is not installed"
        raise ConfigError(message, hint="pip install 'lakehouse[excel]'") from None
    try:
        named = check_parts(file, limits)
        with warnings.catch_warnings():
            # of styles and other things that are of no value
            warnings.simplefilter("ignore")
            book = library.load_workbook(file, read_only=True, data_only=True)
            if named and named != len(book.sheetnames):
                contradict(f"it names {named:,} sheets, and has {len(book.sheetnames):,}")
            sheet = _sheet(book, options)
            has_formulas = check_sheet(file, _part_of(sheet))
            written = library.load_workbook(file, read_only=True) if has_formulas else None
            yield from _rows(sheet, _sheet(written, options) if written else None, options)
    except (Unreadable, GeneratorExit):
        raise
    except Exception as error:
        # whatever the library says of it: the bytes are all that it was given
        message = f"it is no workbook that can be read: {type(error).__name__}: {error}"
        raise Unreadable(message) from error


def _part_of(sheet: Any) -> str:
    """Name the part of the zip that a sheet is in."""
    part = getattr(sheet, "_worksheet_path", None)
    if not isinstance(part, str):
        message = "its first sheet has no rows: it is a chart"
        raise Unreadable(message)
    return part


def _sheet(book: Any, options: ExcelOptions) -> Any:
    names = [sheet.title for sheet in book.worksheets]
    if not names or (options.sheet and options.sheet not in names):
        message = f"there is no sheet '{options.sheet}' (there are {', '.join(names)})" if names else "it has no sheet"
        raise Unreadable(message)
    sheet = book[options.sheet or names[0]]
    # what a file says of its own size may be wrong
    sheet.reset_dimensions()
    return sheet


def _rows(sheet: Any, written: Any, options: ExcelOptions) -> Iterator[str]:
    names: list[str] = []
    formulas = written.iter_rows(min_row=options.header_row) if written else None
    for number, cells in enumerate(sheet.iter_rows(min_row=options.header_row), options.header_row):
        _computed(cells, next(formulas) if formulas else ())
        texts = [_text(cell) for cell in cells]
        while texts and texts[-1] is None:
            texts.pop()
        if not names:
            names = _names(texts, number)
            continue
        names += _unnamed(names, len(texts), number)
        row = {name: text for name, text in zip(names, texts, strict=False) if text is not None}
        if row:
            yield json.dumps(row, ensure_ascii=False)
    if not names:
        message = f"it has no row {options.header_row}"
        raise Unreadable(message, "FILE_HEADER")


def _names(texts: Sequence[str | None], number: int) -> list[str]:
    names = [(text or "").strip() or f"_c{index}" for index, text in enumerate(texts)]
    twice = [name for name, times in Counter(name.lower() for name in names).items() if times > 1]
    if twice or not names:
        told = f"names '{twice[0]}' twice" if twice else "names no column"
        message = f"row {number} {told}"
        raise Unreadable(message, "FILE_HEADER")
    usable(names)
    return names


def _unnamed(names: Sequence[str], count: int, row: int) -> list[str]:
    """Names for the cells of a row that are right of the header."""
    found = [f"_c{index}" for index in range(len(names), count)]
    if taken := sorted({name.lower() for name in names}.intersection(found)):
        message = f"row {row} goes beyond the header, which has a column {taken[0]} already"
        raise Unreadable(message, "FILE_HEADER")
    return found


def _computed(cells: Sequence[Any], formulas: Sequence[Any]) -> None:
    for cell, formula in zip(cells, formulas, strict=False):
        # one whose result is no text at all is there as that
        if cell.value is None and cell.data_type != "str" and formula.data_type == "f":
            message = f"{formula.coordinate} is a formula that was never computed: open and save it in Excel"
            raise Unreadable(message)


def _text(cell: Any) -> str | None:
    """What a cell says: a whole number without a point, a date and a time as ISO 8601 writes them."""
    value = cell.value
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else format(Decimal(repr(value)), "f")
    if isinstance(value, datetime):
        is_day = value.time() == value.time().min and "h" not in str(cell.number_format).lower()
        return value.date().isoformat() if is_day else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date) or hasattr(value, "isoformat") else str(value)
