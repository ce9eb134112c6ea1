"""Parts of a file by their place, from wherever it lies."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from lakehouse.lake.storage import check_access, local
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from pyspark.sql import SparkSession


class Content(Protocol):
    """The bytes of one file."""

    size: int
    near: bool
    """Whether a part costs no more than its bytes: of an object store each one is a request."""

    def part(self, start: int, length: int) -> bytes:
        """So many bytes from there.

        Raises:
            Unreadable: they are not all within the file.
        """


class _Local:
    """Of a file of this machine, or of a mount."""

    near = True

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)

    def part(self, start: int, length: int) -> bytes:
        _within(start, length, self.size)
        self._file.seek(start)
        return self._file.read(length)


class _OfHadoop:
    """Of a file that Spark reaches, by Spark's own Java."""

    near = False

    def __init__(self, java: Any, stream: Any, size: int) -> None:
        self._java, self._stream, self.size = java, stream, size

    def part(self, start: int, length: int) -> bytes:
        _within(start, length, self.size)
        self._stream.seek(start)
        return bytes(self._java.org.apache.commons.io.IOUtils.toByteArray(self._stream, length))


@contextmanager
def open_content(spark: SparkSession, path: str) -> Iterator[Content | None]:
    """Open a file for parts of it; None where this machine cannot reach it (Spark Connect and an object store).

    Raises:
        FileNotFoundError: it is gone, also where that shows only while it is read.
        LakehouseError: the storage does not let it be read.
    """
    place = local(path)
    java = getattr(spark, "_jvm", None)
    if place is not None:
        check_access(path)
        with place.open("rb") as file:
            yield _Local(file)
    elif java is None:
        yield None
    else:
        with _gone_as_python_says_it(path):
            location = java.org.apache.hadoop.fs.Path(path)
            system = location.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())
            stream = system.open(location)
            try:
                yield _OfHadoop(java, stream, system.getFileStatus(location).getLen())
            finally:
                stream.close()


@contextmanager
def _gone_as_python_says_it(path: str) -> Iterator[None]:
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

    try:
        yield
    except Py4JJavaError as error:
        if error.java_exception.getClass().getSimpleName() in ("FileNotFoundException", "NoSuchFileException"):
            raise FileNotFoundError(errno.ENOENT, "it is gone", path) from error
        raise


def _within(start: int, length: int, size: int) -> None:
    if start < 0 or length < 0 or start + length > size:
        message = f"it names {length:,} bytes at {start:,}, and has {size:,}"
        raise Unreadable(message)
