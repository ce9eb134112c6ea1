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

    from lakehouse.lake.place import Lake
    from lakehouse.lake.table import Table


@contextmanager
def held(lake: Lake, job: str) -> Iterator[None]:
    """Hold the job's lock while the block runs; the system lets go of it when the process ends, however it ends.

    Only runners on one machine see each other so; a lake elsewhere is not locked.

    Raises:
        LockedError: another runner holds it; the message says who.
    """
    folder = local(f"{lake.root}/_checkpoints")
    if folder is None:
        yield
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
        yield


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
