"""What a piece of work takes of the machine, by what Linux says of the processes that do it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock and of the processors; bytes read and written, from caches as well; the greatest memory."""

    seconds: float
    cpu: float
    read: int
    written: int
    peak: int


def taken(work: Callable[[], object], pids: Sequence[int]) -> Taken:
    """Do the work, and say what it took."""
    for pid in pids:
        # 5 sets the peak to what is resident now
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    before = [(*_io(pid), _cpu(pid)) for pid in pids]
    begin = time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    after = [(*_io(pid), _cpu(pid)) for pid in pids]
    read, written, ticks = (sum(new[at] - old[at] for new, old in zip(after, before, strict=True)) for at in range(3))
    return Taken(seconds, ticks / os.sysconf("SC_CLK_TCK"), read, written, sum(_peak(pid) for pid in pids))


def _io(pid: int) -> tuple[int, int]:
    known = _fields(f"/proc/{pid}/io")
    return int(known["rchar"]), int(known["wchar"])


def _cpu(pid: int) -> int:
    # after the name, which may hold anything: user and system ticks are the 14th and 15th field
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _peak(pid: int) -> int:
    return int(_fields(f"/proc/{pid}/status")["VmHWM"].split()[0]) * 1024


def _fields(path: str) -> dict[str, str]:
    lines = (line.partition(":") for line in Path(path).read_text(encoding="utf-8").splitlines())
    return {name: value.strip() for name, _, value in lines}
