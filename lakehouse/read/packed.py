"""The bytes of a file of this machine, unpacked by its ending, and the encoding of its text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import re
import time
import zlib
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import zstandard

from lakehouse.lake.faults import known
from lakehouse.lake.storage import plain_path
from lakehouse.read.layout.layout import exceed
from lakehouse.read.scan import Unreadable
from lakehouse.spec.limits import FileLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lakehouse.spec.files import Encoding

PACKED = (".gz", ".bz2", ".zst")
"""What Spark unpacks, too."""

BROKEN = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading a file may raise for what it holds."""

_CHUNK = 1 << 20
_LOOK = 1 << 16
_SMALL = 16 << 20
"""Packed bytes of a file that is unpacked once to see how large it becomes: a bomb is small."""

_ANY = 1 << 62
"""Bytes of a file that is not packed: it has as many as it has."""

_FRAMES = 1 << 10
"""Packed bytes that are unpacked at once: of Zstandard they may become some ten thousand times as many."""

DEFAULTS = FileLimits()
"""What a file may cost where its source says nothing else."""

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # before those of UTF-16, which they begin with
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_KNOWN = ("utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "iso8859-15", "cp1252")


def packing(path: str) -> str:
    """The ending by which a file is packed, in lower case; empty where it is not."""
    ending = PurePosixPath(path).suffix.lower()
    return ending if ending in PACKED else ""


def opened(path: str) -> BinaryIO:
    """The unpacked bytes of a file of this machine."""
    place = Path(plain_path(path, encoded=False))
    kind = packing(path)
    if kind == ".gz":
        return cast("BinaryIO", gzip.open(place))
    if kind == ".bz2":
        return cast("BinaryIO", bz2.open(place))
    if kind == ".zst":
        return io.BufferedReader(_Frames(place))
    return place.open("rb")


class _Frames(io.RawIOBase):
    """The unpacked bytes of Zstandard's frames: the library's own reader ends without a word where one is cut."""

    def __init__(self, place: Path) -> None:
        """From the beginning of the file."""
        self._file, self._ready, self._at = place.open("rb"), b"", 0
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """And the file below."""
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Some of the bytes; none where there are no more."""
        while self._at == len(self._ready) and (packed := self._file.read(_FRAMES)):
            self._ready, self._at = self._unpacked(packed), 0
        left = len(self._ready) - self._at
        if not left and self._frame and not self._frame.eof:
            message = "the last frame is cut"
            raise EOFError(message)
        count = min(len(buffer), left)
        buffer[:count] = self._ready[self._at : self._at + count]
        self._at += count
        return count

    def _unpacked(self, packed: bytes) -> bytes:
        ready = b""
        while packed:
            if self._frame is None or self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            ready += self._frame.decompress(packed)
            packed = self._frame.unused_data if self._frame.eof else b""
        return ready


def chunks(path: str, limits: FileLimits = DEFAULTS, most: int | None = None) -> Iterator[bytes]:
    """The unpacked bytes of a file of this machine, some at a time, and at most so many.

    Raises:
        Unreadable: it cannot be unpacked, or goes beyond a limit.
        LakehouseError: the storage does not let it be read: this is no fault of the file.
    """
    try:
        yield from bounded(opened(path), limits, size_of(path), most)
    except BROKEN as error:
        raise _broken(error) from error


def size_of(path: str) -> int:
    """The bytes of a file of this machine as it lies there; 0 where it is gone."""
    place = Path(plain_path(path, encoded=False))
    return place.stat().st_size if place.exists() else 0


def _broken(error: Exception) -> Exception:
    """What it means that a file cannot be read: most often it is the file, but it may be the disk or a right."""
    return known(error) or Unreadable(f"it cannot be unpacked: {error}")


def measure(path: str, limits: FileLimits, separator: str | None = None) -> None:
    """Unpack a small file once, and keep nothing of it, for Spark asks nobody how large a text or a line of it becomes.

    Raises:
        Unreadable: it cannot be unpacked, or goes beyond a limit.
    """
    if size_of(path) <= _SMALL:
        _check_lengths(chunks(path, limits), separator, limits)


def check_lines(path: str, limits: FileLimits, separator: str | None = None) -> None:
    """Look for a line that is longer than a record may be: Spark makes room for it several times, and Java may end.

    Reads a few bytes of each part of the file; all of it only where a part has no end of a line.

    Args:
        path: a text of this machine that is not packed, in UTF-8.
        limits: how long a record may be.
        separator: what lines end with; None for any of LF, CR and both.

    Raises:
        Unreadable: there is such a line.
    """
    size, part = size_of(path), max(1, limits.record_bytes // 2)
    if size <= limits.record_bytes:
        return
    with opened(path) as file:
        for start in range(0, size - part + 1, part):
            file.seek(start)
            if not _has_end(file, part, separator):
                file.seek(0)
                _check_lengths(iter(partial(file.read, _CHUNK), b""), separator, limits)
                return


def _has_end(file: BinaryIO, size: int, separator: str | None) -> bool:
    """Whether one of the next bytes ends a line."""
    while size > 0 and (chunk := file.read(min(size, _LOOK))):
        if any(end in chunk for end in _ends(separator)):
            return True
        size -= len(chunk)
    return False


def _check_lengths(data: Iterable[bytes], separator: str | None, limits: FileLimits) -> None:
    """Measure the lines of a text.

    Raises:
        Unreadable: one is longer than a record may be.
    """
    ends, most = _ends(separator), limits.record_bytes
    kept, run, rest = len(ends[0]) - 1, 0, b""
    # no line that lies within one piece is too long
    for piece in (chunk[at : at + most] for chunk in data for at in range(0, len(chunk), most)):
        text = rest + piece
        found = [at for end in ends if (at := text.find(end)) >= 0]
        if run + min(found, default=len(text) - kept) > most:
            exceed("record_bytes", f"it has a line of more than {most:,} bytes")
        line = len(text) - max(text.rfind(end) + len(end) for end in ends) if found else run + len(text)
        # an end of several characters may lie across two pieces
        rest = text[len(text) - min(kept, line) :]
        run = line - len(rest)


def _ends(separator: str | None) -> tuple[bytes, ...]:
    return (separator.encode(),) if separator else (b"\n", b"\r")


def bounded(file: IO[bytes], limits: FileLimits, size: int, most: int | None = None) -> Iterator[bytes]:
    """What is read of a file of so many bytes, some at a time, as far as the limits go; closes it.

    Raises:
        Unreadable: there is more, or it takes too long.
    """
    read, most = 0, limits.unpacked_of(size) if most is None else most
    end = time.monotonic() + limits.seconds_of(size)
    with file:
        while chunk := file.read(_CHUNK):
            read += len(chunk)
            if read > most:
                exceed("ratio and limits.unpacked_bytes", f"it unpacks to more than {most:,} bytes")
            if time.monotonic() > end:
                exceed("seconds", f"it takes more than {limits.seconds_of(size):,.0f} seconds")
            yield chunk


def encoding_of(path: str, declared: Encoding, *, is_xml: bool = False) -> str:
    """Python's name for the encoding of a text: what its first bytes say, else what XML declares, else the source.

    Raises:
        Unreadable: it cannot be unpacked, or its encoding cannot be told.
    """
    head = _head(path)
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    if declared == "UTF-16":
        message = "it has no byte order mark: say UTF-16LE or UTF-16BE"
        raise Unreadable(message, "FILE_ENCODING")
    if is_xml and (found := _DECLARED.match(head)):
        return _known(found[1].decode())
    if declared == "UTF-8" and (head[1:4:2] == b"\0\0" or head[0:3:2] == b"\0\0"):
        message = "it looks like UTF-16 without a byte order mark: say UTF-16LE or UTF-16BE"
        raise Unreadable(message, "FILE_ENCODING")
    return codecs.lookup(declared).name


def _head(path: str) -> bytes:
    try:
        with opened(path) as file:
            return file.read(1024)
    except BROKEN as error:
        raise _broken(error) from error


def _known(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except LookupError:
        found = ""
    if found not in _KNOWN:
        message = f"it declares the encoding {name}, which is not one of {', '.join(_KNOWN)}"
        raise Unreadable(message, "FILE_ENCODING")
    return found


def texts(path: str, encoding: str, limits: FileLimits = DEFAULTS, *, errors: str = "strict") -> Iterator[str]:
    """The text of a file of this machine, some at a time; ``errors`` as Python's decoders take it.

    Raises:
        Unreadable: it cannot be unpacked, goes beyond a limit, or is not of the encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    done = 0
    try:
        for chunk in chunks(path, limits, None if packing(path) else _ANY):
            yield decoder.decode(chunk)
            done += len(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeError as error:
        at = done + error.start if isinstance(error, UnicodeDecodeError) else done
        message = f"it is not {encoding}: near byte {at:,}: {getattr(error, 'reason', error)}"
        raise Unreadable(message, "FILE_ENCODING") from None
