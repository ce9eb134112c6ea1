"""The footer of a Parquet file: rows and values by row group and column, and where their bytes are.

https://parquet.apache.org/docs/file-format/ and parquet.thrift have the numbers of the fields.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.read.layout.compact import TRUE, Compact
from lakehouse.read.layout.layout import Layout, Leaf, check_columns, check_records, contradict, exceed
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.read.layout.content import Content
    from lakehouse.spec.limits import FileLimits

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
"""The end of a file whose footer is encrypted."""

_TAIL = 8
_REPEATED = 2
_NANOS = 3
_TIMESTAMP = 8
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_MOST_FOOTER = 256 << 20
_WALKED = 16 << 20
"""Bytes of a file whose pages are looked at one by one: a bomb is small, and the pages of a large file are many."""

_FREE_PAGE = 64 << 20
"""Bytes that any page may unpack to: most writers end one at 1 MiB, and some have one for all values of a row group."""


@dataclass
class _Element:
    """One element of the schema, which is a tree written from the root down."""

    name: str = ""
    repetition: int = 0
    children: int | None = None
    nanos: str = ""


@dataclass
class _Chunk:
    """The values of one column in one row group."""

    values: int = -1
    packed: int = -1
    start: int = -1
    elsewhere: bool = False
    is_encrypted: bool = False


@dataclass
class _Group:
    rows: int = -1
    chunks: list[_Chunk] = field(default_factory=list)


@dataclass
class _Footer:
    rows: int = -1
    elements: list[_Element] = field(default_factory=list)
    groups: list[_Group] = field(default_factory=list)


@dataclass(frozen=True)
class _Column:
    """One leaf of the schema: the column at the top that it is of, and the elements above it that repeat in a row."""

    top: str
    repeated: tuple[int, ...]
    nanos: str


def read_layout(content: Content, limits: FileLimits) -> Layout | None:
    """Read what the footer says, and check that it agrees with itself and with the length of the file.

    None where it, or a column, is encrypted: who has the keys can look at it, and that is Spark.

    Raises:
        Unreadable: it does not, it is none, or the file goes beyond a limit.
    """
    found = _read_footer(content)
    if found is None:
        return None
    footer, start = found
    check_columns(len(footer.elements), limits)
    columns = list(_columns(footer.elements, limits))
    check_records(footer.rows, content.size, limits)
    if (total := sum(group.rows for group in footer.groups)) != footer.rows:
        contradict(f"the footer says {footer.rows:,} rows, and its row groups {total:,}")
    for number, group in enumerate(footer.groups):
        _check_group(number, group, columns)
    chunks = [chunk for group in footer.groups for chunk in group.chunks]
    _check_places(chunks, start)
    if content.near and content.size <= _WALKED:
        _check_pages(content, chunks, limits)
    return Layout(footer.rows, _leaves(columns, footer.groups))


def _read_footer(content: Content) -> tuple[_Footer, int] | None:
    """Read the footer, and where it begins; None where something is encrypted."""
    if content.size >= _TAIL and content.part(content.size - len(_MAGIC), len(_MAGIC)) == _ENCRYPTED:
        return None
    packed, start = _bytes_of_footer(content)
    footer, data = _Footer(), Compact(packed)
    for number, kind in data.fields():
        if number == 2:
            footer.elements = [_element(data) for _ in range(data.items()[0])]
        elif number == 3:
            footer.rows = data.integer()
        elif number == 4:
            footer.groups = [_group(data) for _ in range(data.items()[0])]
        else:
            data.skip(kind)
    if any(chunk.is_encrypted for group in footer.groups for chunk in group.chunks):
        return None
    if footer.rows < 0 or not footer.elements:
        message = "its footer says no rows or no columns"
        raise Unreadable(message)
    return footer, start


def _bytes_of_footer(content: Content) -> tuple[bytes, int]:
    if content.size < _TAIL + len(_MAGIC):
        message = "it is no Parquet file: it is too short"
        raise Unreadable(message)
    tail = content.part(content.size - _TAIL, _TAIL)
    (length,) = struct.unpack("<I", tail[:4])
    start = content.size - _TAIL - length
    if tail[4:] != _MAGIC or content.part(0, 4) != _MAGIC or start < len(_MAGIC):
        message = "it is no Parquet file: it does not begin and end as one"
        raise Unreadable(message)
    if length > _MOST_FOOTER:
        exceed("columns", f"its footer has {length:,} bytes; at most {_MOST_FOOTER:,} are read")
    return content.part(start, length), start


def _element(data: Compact) -> _Element:
    element = _Element()
    for number, kind in data.fields():
        if number == 3:
            element.repetition = data.integer()
        elif number == 4:
            element.name = data.binary().decode("utf-8", "replace")
        elif number == 5:
            element.children = data.integer()
        elif number == 10:
            element.nanos = _nanos(data)
        else:
            data.skip(kind)
    return element


def _nanos(data: Compact) -> str:
    """Read a logical type: ``utc`` or ``local`` where it is a timestamp in nanoseconds."""
    found = ""
    for number, kind in data.fields():
        if number != _TIMESTAMP:
            data.skip(kind)
            continue
        utc, nanos = False, False
        for part, inner in data.fields():
            if part == 1:
                utc = inner == TRUE
            elif part == 2:
                for unit, of_unit in data.fields():
                    nanos = unit == _NANOS
                    data.skip(of_unit)
            else:
                data.skip(inner)
        found = ("utc" if utc else "local") if nanos else ""
    return found


def _group(data: Compact) -> _Group:
    group = _Group()
    for number, kind in data.fields():
        if number == 1:
            group.chunks = [_chunk(data) for _ in range(data.items()[0])]
        elif number == 3:
            group.rows = data.integer()
        else:
            data.skip(kind)
    return group


def _chunk(data: Compact) -> _Chunk:
    chunk = _Chunk()
    for number, kind in data.fields():
        if number == 1:
            chunk.elsewhere = bool(data.binary())
        elif number == 3:
            _fill(chunk, data)
        else:
            # by which key, and what is said of it, encrypted
            chunk.is_encrypted |= number in (8, 9)
            data.skip(kind)
    return chunk


def _fill(chunk: _Chunk, data: Compact) -> None:
    first, dictionary = -1, -1
    for number, kind in data.fields():
        if number == 5:
            chunk.values = data.integer()
        elif number == 7:
            chunk.packed = data.integer()
        elif number == 9:
            first = data.integer()
        elif number == 11:
            dictionary = data.integer()
        else:
            data.skip(kind)
    # some writers say 0 where there is none
    chunk.start = dictionary if 0 < dictionary < first else first


def _columns(elements: Sequence[_Element], limits: FileLimits) -> Iterator[_Column]:
    """The leaves of the schema, in order.

    Raises:
        Unreadable: the tree is none, or goes too deep.
    """
    # of every open element: how many children are still to come, the column at the top, what repeats
    open_elements: list[tuple[int, str, tuple[int, ...]]] = [(elements[0].children or 0, "", ())]
    for index, element in enumerate(elements[1:]):
        while open_elements and open_elements[-1][0] == 0:
            open_elements.pop()
        if not open_elements:
            contradict("its schema has an element of no parent")
        left, top, repeated = open_elements.pop()
        open_elements.append((left - 1, top, repeated))
        top = top or element.name
        repeated = (*repeated, index) if element.repetition == _REPEATED else repeated
        if element.children is None:
            yield _Column(top.lower(), repeated, element.nanos)
            continue
        open_elements.append((element.children, top, repeated))
        if len(open_elements) - 1 > limits.depth:
            exceed("depth", f"it has fields within fields to a depth of more than {limits.depth:,}")
    if any(left for left, _, _ in open_elements):
        contradict("its schema says more elements than it has")


def _check_group(number: int, group: _Group, columns: Sequence[_Column]) -> None:
    if group.rows < 0:
        contradict(f"row group {number} has {group.rows:,} rows")
    if len(group.chunks) != len(columns):
        contradict(f"row group {number} has {len(group.chunks):,} columns, and the schema {len(columns):,}")
    counts: dict[tuple[int, ...], int] = {(): group.rows}
    for column, chunk in zip(columns, group.chunks, strict=True):
        # values that repeat together are as many in each of their columns
        wanted = counts.setdefault(column.repeated, chunk.values)
        if chunk.values != wanted or chunk.values < group.rows:
            contradict(f"row group {number} has {group.rows:,} rows, and {chunk.values:,} values of {column.top}")


def _check_places(chunks: Sequence[_Chunk], end: int) -> None:
    """Check that every chunk has bytes of its own within the file.

    Spark passes over a row group that would begin behind the end of the file, without a word.
    """
    before = len(_MAGIC)
    if any(chunk.elsewhere for chunk in chunks):
        contradict("its values are said to be in another file")
    for chunk in sorted((one for one in chunks if one.values), key=lambda one: (one.start, one.packed)):
        if chunk.packed < 0 or chunk.start < before or chunk.start + chunk.packed > end:
            contradict(
                f"the footer says values of {chunk.packed:,} bytes at {chunk.start:,}, where there are none:"
                f" the file is cut, or they are of two columns"
            )
        before = chunk.start + chunk.packed


def _check_pages(content: Content, chunks: Sequence[_Chunk], limits: FileLimits) -> None:
    """Check what the pages say, one by one: Java takes the memory that a page asks for before it looks at it.

    It holds one page of each column at a time. So the size of the file says what one page may be, and nothing of all of
    them: a column that is the same in millions of rows takes some kilobytes.
    """
    unpacked, most = 0, limits.unpacked_bytes
    most_of_page = min(most, max(_FREE_PAGE, limits.unpacked_of(content.size)))
    for chunk in (one for one in chunks if one.values):
        data = Compact(content.part(chunk.start, chunk.packed))
        values, dictionary, in_dictionary = 0, 0, 0
        while data.at < len(data.data) and values < chunk.values:
            page = _page(data)
            if page.unpacked > most_of_page:
                told = f"a page of it unpacks to {page.unpacked:,} bytes; at most {most_of_page:,} are read"
                exceed("ratio and limits.unpacked_bytes", told)
            values += page.values if page.kind in (_DATA, _DATA_V2) else 0
            if page.kind == _DICTIONARY:
                dictionary, in_dictionary = page.unpacked, page.values
            unpacked += page.unpacked
        # every value of a dictionary may come again and again
        unpacked += dictionary * chunk.values // max(in_dictionary, 1) // _OFTEN
        if unpacked > most:
            exceed("unpacked_bytes", f"its pages unpack to some {unpacked:,} bytes; at most {most:,} are read")
        if values != chunk.values:
            contradict(f"the footer says {chunk.values:,} values, and their pages {values:,}")


_OFTEN = 16
"""How much cheaper a value is that comes again: text that is often the same is no bomb."""


@dataclass
class _Page:
    kind: int = -1
    unpacked: int = -1
    packed: int = -1
    values: int = 0


def _page(data: Compact) -> _Page:
    """Read the head of a page, and pass over what is in it.

    Raises:
        Unreadable: it has less than nothing of something, or more than there is.
    """
    page = _Page()
    for number, kind in data.fields():
        if number == 1:
            page.kind = data.integer()
        elif number == 2:
            page.unpacked = data.integer()
        elif number == 3:
            page.packed = data.integer()
        elif number in (5, 7, 8):
            page.values = _count(data)
        else:
            data.skip(kind)
    if min(page.kind, page.unpacked, page.packed, page.values) < 0 or page.packed > len(data.data) - data.at:
        contradict("a page says a size or a number of values that cannot be")
    data.at += page.packed
    return page


def _count(data: Compact) -> int:
    values = 0
    for number, kind in data.fields():
        if number == 1:
            values = data.integer()
        else:
            data.skip(kind)
    return values


def _leaves(columns: Sequence[_Column], groups: Sequence[_Group]) -> dict[str, tuple[Leaf, ...]]:
    found: dict[str, list[Leaf]] = {}
    seen: set[tuple[int, ...]] = {()}
    for index, column in enumerate(columns):
        # of values that repeat together one column tells how many they are
        values = None if column.repeated in seen else sum(group.chunks[index].values for group in groups)
        seen.add(column.repeated)
        found.setdefault(column.top, []).append(Leaf(values, column.nanos))
    return {name: tuple(leaves) for name, leaves in found.items()}
