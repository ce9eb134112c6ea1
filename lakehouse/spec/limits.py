"""What one file may cost: a small file must not be able to hold a job, however it is made."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lakehouse.spec.base import Bytes, Spec

_MIB = 1 << 20
_FREE = 16 * _MIB
"""Bytes that any file may unpack to, however small it is."""

_PER_SECOND = 1 << 20
"""Bytes of a second: a file that is larger has more time."""

Count = Annotated[int, Field(gt=0, le=2**63 - 1)]


class FileLimits(Spec):
    """What one file may cost before it is refused as a file, ``FILE_LIMIT``; no file of real data comes near."""

    unpacked_bytes: Annotated[Bytes, Field(description="What a packed file, a zip, or pages unpack to.")] = 4096 * _MIB
    ratio: Annotated[
        Count,
        Field(
            description="Unpacked bytes for each byte of the file, where it, or one page of a Parquet, has more than"
            " 16 MiB, or 64 MiB."
        ),
    ] = 250
    batch_bytes: Annotated[
        Bytes, Field(description="What the files of a batch unpack to together beyond the ratio of each.")
    ] = 256 * _MIB
    workbook_bytes: Annotated[Bytes, Field(description="What a workbook unpacks to.")] = 256 * _MIB
    record_bytes: Annotated[
        Bytes, Field(description="Bytes of a line of text, an element of XML, or a fixed of Avro.")
    ] = 64 * _MIB
    records: Annotated[
        Count, Field(description="Records of a binary file; one with more may have 1,000 for each of its bytes.")
    ] = 1_000_000
    columns: Annotated[Count, Field(description="Columns of a file; of a binary one with its nested fields.")] = 5_000
    depth: Annotated[Count, Field(description="Levels of fields within fields of a binary file.")] = 100
    members: Annotated[Count, Field(description="Files of a zip.")] = 10_000
    seconds: Annotated[
        Count, Field(description="Time for a file that Python unpacks; and one second for each MiB that it has.")
    ] = 600

    def unpacked_of(self, size: int) -> int:
        """Bytes that a file of so many bytes may unpack to."""
        return min(self.unpacked_bytes, max(_FREE, self.ratio * size))

    def records_of(self, size: int) -> int:
        """Records that a binary file of so many bytes may hold."""
        return max(self.records, 1_000 * size)

    def seconds_of(self, size: int) -> float:
        """Seconds that the work on a file of so many bytes may take."""
        return self.seconds + size / _PER_SECOND
