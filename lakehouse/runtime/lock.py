"""One runner per job and lake: two on one checkpoint would each believe to be the only one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from lakehouse.errors import LockedError
from lakehouse.lake.storage import local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.lake.place import Lake
    from lakehouse.lake.table import Table

JAVA_ENDS_WITHIN = 20.0
"""Seconds for which the Java of a runner whose Python was killed is waited for: it sees that by itself, and ends."""


@contextmanager
def held(lake: Lake, job: str, spark: SparkSession | None = None) -> Iterator[bool]:
    """Hold the job's lock while the block runs; the system lets go of it when the process ends, however it ends.

    Only runners on one machine see each other so; a lake elsewhere is not locked. What it yields says whether this
    runner is the only one for sure: Java, which commits, may outlive its Python, so it has to hold a lock of its own.

    Raises:
        LockedError: another runner holds it; the message says who.
    """
    folder = local(f"{lake.root}/_checkpoints")
    if folder is None:
        yield False
        return
    with (folder / f"{job}.lock").open("a+", encoding="utf-8") as file:
        file.seek(0)
        other = file.read().strip() or "unknown"
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{job} is being run by another runner: {other}"
            raise LockedError(message, hint="wait for it to end; its lock ends with its process") from None
        with _held_by_java(spark, folder / f"{job}.lock.java", other) as by_java:
            file.truncate(0)
            file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
            file.flush()
            yield by_java


@contextmanager
def _held_by_java(spark: SparkSession | None, path: Path, other: str) -> Iterator[bool]:
    """Hold a lock by the Java of the session, and say whether it does; by Python where none is at hand (Spark Connect).

    Both are locks of POSIX, and each sees the other. A disk that takes no such locks is no failure.
    """
    java = getattr(spark, "_jvm", None)
    until = time.monotonic() + JAVA_ENDS_WITHIN
    with _java_file(java, path) if java else path.open("a") as file:
        while True:
            is_held, is_free = (_try_java if java else _try_python)(file)
            if is_free or time.monotonic() > until:
                break
            time.sleep(0.1)
        if not is_free:
            message = f"the Python of an earlier runner has ended, and its Java has not: {other}"
            raise LockedError(message, hint="wait for it to end, or end it")
        yield is_held and bool(java)


@contextmanager
def _java_file(java: Any, path: Path) -> Iterator[Any]:
    file = java.java.io.RandomAccessFile(str(path), "rw")
    try:
        yield file
    finally:
        file.close()


def _try_java(file: Any) -> tuple[bool, bool]:
    """Whether the lock is held now, and whether it was free."""
    # where there is no Java, this is not there either
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

    try:
        is_held = file.getChannel().tryLock() is not None
    except Py4JJavaError as error:
        # this very Java may hold it, for a Python that is gone
        return False, "OverlappingFileLock" not in str(error.java_exception)
    return is_held, is_held


def _try_python(file: IO[str]) -> tuple[bool, bool]:
    """Whether the lock is held now, and whether it was free."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False, error.errno not in (errno.EACCES, errno.EAGAIN)
    return True, True


@contextmanager
def leased(target: Table, *, patience: float = 600) -> Iterator[None]:
    """Hold a table from the look at it to the commit, waiting for another writer of this library to be done with it.

    Writers on other machines, and those that are not of this library, are seen only when the commit is read back.

    Raises:
        LockedError: it was not to be had for so many seconds.
    """
    place = local(target.path)
    if place is None:
        yield
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience
    with (place.parent / f".{place.name}.lease").open("a", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    message = f"another writer has held {target.name} for {patience:g} s"
                    raise LockedError(message, hint="wait for it to end; its lease ends with its process") from None
                time.sleep(0.05)
        yield
