"""A zip held against itself: the directory at its end, the heads of its files, and every byte from first to last."""

from __future__ import annotations

import struct
from collections import Counter
from typing import IO, TYPE_CHECKING

from lakehouse.read.layout.layout import contradict, exceed

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Sequence

    from lakehouse.spec.limits import FileLimits

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_END = struct.Struct("<4sHHHHIIH")
_END_64, _LOCATOR_64 = 56, 20
_DESCRIBED = 8
"""The bit that says that sizes follow behind the file, in one of four lengths."""

_DESCRIPTIONS = (12, 16, 20, 24)
_IN_64_BITS = 0xFFFFFFFF


def check_archive(archive: zipfile.ZipFile, size: int, limits: FileLimits) -> None:
    """Check that a zip is one zip, and holds what its directory says and nothing else.

    A zip behind another one is read as the last of them alone; a head may name another file than the directory does.

    Raises:
        Unreadable: it contradicts itself, or has more files than are read.
    """
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    if len(members) > limits.members:
        exceed("members", f"the zip holds {len(members):,} files; at most {limits.members:,} are read")
    if twice := [name for name, times in Counter(one.filename for one in members).items() if times > 1]:
        contradict(f"it has two files called {twice[0]}")
    file = archive.fp
    if file is None:
        contradict("it is closed")
    directory = archive.start_dir
    _check_end(_part(file, max(size - _END.size - 0xFFFF, 0), _END.size + 0xFFFF), size, directory, members)
    at = 0
    for member in members:
        if member.header_offset != at:
            contradict(f"it has {abs(member.header_offset - at):,} bytes at {at:,} that its directory does not tell of")
        end = _check_member(_part(file, at, _LOCAL.size + 0xFFFF), member)
        at = _behind(file, end, member, members, directory)
    if at != directory:
        contradict(f"it has {abs(directory - at):,} bytes at {at:,} that its directory does not tell of")


def _part(file: IO[bytes], start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _check_end(tail: bytes, size: int, directory: int, members: Sequence[zipfile.ZipInfo]) -> None:
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        contradict("it has no end of a directory")
    _, _, _, here, count, length, _, comment = _END.unpack_from(tail, at)
    end = size - len(tail) + at
    if end + _END.size + comment != size:
        contradict("it has bytes behind its end")
    is_large = 0xFFFF in (here, count) or length == _IN_64_BITS
    # some writers put a record of 64 bits in between that nobody needs
    ends = (directory + length, directory + length + _END_64 + _LOCATOR_64)
    if not is_large and (count != len(members) or end not in ends):
        contradict(f"its directory has {len(members):,} files, and says {count:,}")


def _check_member(head: bytes, member: zipfile.ZipInfo) -> int:
    """Check the head of a file against the directory; where the file ends, counted from the start of the zip."""
    if len(head) < _LOCAL.size:
        contradict(f"the head of {member.orig_filename} is cut")
    mark, _, flags, way, _, _, check, packed, size, name, extra = _LOCAL.unpack_from(head)
    named = head[_LOCAL.size : _LOCAL.size + name].decode("utf-8" if flags & 0x800 else "cp437", "replace")
    if mark != b"PK\x03\x04" or way != member.compress_type or named != member.orig_filename:
        contradict(f"the head of {member.orig_filename} says another name or another way of packing")
    is_later = flags & _DESCRIBED or _IN_64_BITS in (packed, size)
    if not is_later and (check, packed, size) != (member.CRC, member.compress_size, member.file_size):
        contradict(f"the head of {member.orig_filename} says other sizes than the directory")
    return int(member.header_offset + _LOCAL.size + name + extra + member.compress_size)


def _behind(
    file: IO[bytes], end: int, member: zipfile.ZipInfo, members: Sequence[zipfile.ZipInfo], directory: int
) -> int:
    """Where the next file must begin: behind a description of this one, where there is one."""
    starts = {one.header_offset for one in members} | {directory}
    if end in starts or not member.flag_bits & _DESCRIBED:
        return end
    for length in _DESCRIPTIONS:
        if end + length in starts:
            description = _part(file, end, length)
            sizes = description[4:] if description[:4] == b"PK\x07\x08" and length in (16, 24) else description
            check = struct.unpack("<I", sizes[:4])[0]
            if check == member.CRC:
                return end + length
    return end
