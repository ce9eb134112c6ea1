"""One runner per job and lake: two on one checkpoint would each believe to be the only one."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakehouse.errors import LockedError
from lakehouse.lake.storage import local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.lake.place import Lake
    from lakehouse.lake.table import Table


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
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            message = f"{job} is being run by another runner: {file.read().strip() or 'unknown'}"
            raise LockedError(message, hint="wait for it to end; its lock ends with its process") from None
        file.truncate(0)
        file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
        file.flush()
        with _held_by_java(spark, folder / f"{job}.lock.java") as is_held:
            yield is_held


@contextmanager
def _held_by_java(spark: SparkSession | None, path: Path) -> Iterator[bool]:
    """Hold a lock by the Java of a session; whether there is one that can.

    On Spark Connect there is no Java at hand, and there are disks that take no such locks.
    """
    java = getattr(spark, "_jvm", None)
    if java is None:
        yield False
        return
    file = java.java.io.RandomAccessFile(str(path), "rw")
    try:
        try:
            lock, can = file.getChannel().tryLock(), True
        except Exception:
            # py4j's own, which is not there where Java is not
            lock, can = None, False
        if can and lock is None:
            message = f"{path.name} is held: the Python of an earlier runner has ended, and its Java has not"
            raise LockedError(message, hint="wait for it to end, or end it")
        yield can
    finally:
        file.close()


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
