"""The faults, each by its name, and in which modes it is tried: what is done to a job, and how that must end."""

from __future__ import annotations

import shlex
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lakehouse.certify.failing import Failpoint
from lakehouse.runtime.mend import own_java
from tests.faults.arena import MODES, Arena, NotConvergedError
from tests.faults.records import Record

RUN = ["run", "x", "--json"]
_LOG, _NAME = "_delta_log/", "[0-9]{20}\\.json$"
TARGET, QUARANTINE, LEDGER = "/silver/t/", "/quarantine/silver_t/", "/ops/runs/"
CHECKPOINT = "/_checkpoints/x/"
FILE = "[^._/][^/]*\\.parquet$"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")

Ends = Literal["killed", "failed", "done", "either"]


@dataclass(frozen=True)
class Fault:
    """What goes wrong in a run, and how that run must end; then it is run again, and the lake is judged.

    ``does`` is a scenario of its own, which runs and judges by itself.
    """

    name: str
    failpoints: tuple[Failpoint, ...] = ()
    ends: Ends = "killed"
    commands: tuple[Sequence[str], ...] = (RUN,)
    modes: tuple[str, ...] = MODES
    is_told: bool = True
    does: Callable[[Arena], None] | None = None
    needs: Path | None = None

    def play(self, arena: Arena) -> None:
        """Try it.

        Raises:
            NotConvergedError: the lake does not end as it must, or the fault did not happen.
        """
        arena.reset()
        if self.does:
            self.does(arena)
            return
        commands = [[word.format(target=arena.target) for word in command] for command in self.commands]
        ended = arena.process(commands, *self.failpoints)
        is_good = {
            "killed": ended.is_killed,
            "failed": 0 < ended.code < 128,
            "done": ended.code == 0,
            "either": not ended.is_killed,
        }
        if not is_good[self.ends]:
            raise NotConvergedError(f"it was to end {self.ends}, and ended with {ended.code}: {ended.told[-2000:]}")
        if self.ends == "failed" and self.is_told and not arena.failures():
            raise NotConvergedError("the run failed, and the ledger does not say so")
        arena.settle()


def _kill(name: str, operation: str, moment: str, pattern: str, **more: object) -> Fault:
    action = "torn" if operation == "write" else "kill"
    return Fault(f"kill {name}", (Failpoint(operation, moment, action, pattern),), **more)  # type: ignore[arg-type]


def _error(
    name: str, action: str, operation: str, moment: str, pattern: str, ends: Ends = "failed", **more: object
) -> Fault:
    hit = "1" if moment == "after" or action == "fail" else "1+"
    return Fault(name, (Failpoint(operation, moment, action, pattern, hit),), ends, **more)  # type: ignore[arg-type]


FILES = tuple(mode for mode in MODES if mode != "kafka")
DIRTY = tuple(mode for mode in MODES if mode != "snapshot")
"""Modes whose input has bad records."""

KILLS = (
    _kill("after the offset log", "rename", "after", f"{CHECKPOINT}offsets/1$"),
    _kill("after the list of files", "rename", "after", f"{CHECKPOINT}sources/0/1$", modes=FILES),
    _kill("in the read", "open", "before", "/landing/day2.csv$", modes=FILES),
    _kill("in a data file", "close", "before", f"{TARGET}{FILE}"),
    _kill("before the commit", "rename", "before", f"{TARGET}{_LOG}{_NAME}"),
    _kill("in the commit's temporary file", "write", "before", f"{TARGET}{_LOG}\\.[0-9]{{20}}\\.json\\..*tmp$"),
    _kill("after the commit", "rename", "after", f"{TARGET}{_LOG}{_NAME}"),
    _kill("before Spark's commit log", "rename", "before", f"{CHECKPOINT}commits/1$"),
    _kill("after Spark's commit log", "rename", "after", f"{CHECKPOINT}commits/1$"),
    _kill("before the quarantine's commit", "rename", "before", f"{QUARANTINE}{_LOG}{_NAME}", modes=DIRTY),
    _kill("between quarantine and target", "rename", "after", f"{QUARANTINE}{_LOG}{_NAME}", modes=DIRTY),
    _kill("in the ledger's file", "close", "before", f"{LEDGER}{FILE}"),
    _kill("before the ledger's commit", "rename", "before", f"{LEDGER}{_LOG}{_NAME}"),
    _kill("after the ledger's commit", "rename", "after", f"{LEDGER}{_LOG}{_NAME}"),
    _kill("before the checkpoint notes the ledger", "rename", "before", f"{CHECKPOINT}recorded$"),
    _kill(
        # under a name of its own until it is whole
        "in a checkpoint of Delta's", "close", "before", f"{TARGET}{_LOG}\\.?[0-9]{{20}}\\.checkpoint[^/]*$",
        commands=(["sql", "ALTER TABLE delta.`{target}` SET TBLPROPERTIES ('delta.checkpointInterval' = '1')"], RUN),
    ),
    _kill("in optimize", "rename", "before", f"{TARGET}{_LOG}0*3\\.json$|{TARGET}{_LOG}0*4\\.json$",
          commands=(RUN, ["sql", "OPTIMIZE delta.`{target}`"])),
    _kill("in vacuum", "delete", "before", f"{TARGET}.*parquet$",
          commands=(RUN, ["sql", "OPTIMIZE delta.`{target}`"], ["sql", "VACUUM delta.`{target}` RETAIN 0 HOURS"])),
)  # fmt: skip

ERRORS = (
    _error("disk full in the data", "full", "create", "before", f"{TARGET}{FILE}"),
    _error("disk full in the commit", "full", "create", "before", f"{TARGET}{_LOG}\\.[0-9]{{20}}\\.json"),
    _error("disk full in the quarantine", "full", "create", "before", f"{QUARANTINE}{FILE}", modes=DIRTY),
    _error("disk full in the offset log", "full", "create", "before", f"{CHECKPOINT}offsets/"),
    _error("disk full in Spark's commit log", "full", "create", "before", f"{CHECKPOINT}commits/"),
    _error("disk full in the ledger", "full", "create", "before", f"{LEDGER}{FILE}", is_told=False),
    _error("no permission for the data", "denied", "create", "before", f"{TARGET}{FILE}"),
    _error("no permission for the commit", "denied", "rename", "before", f"{TARGET}{_LOG}{_NAME}"),
    _error("no permission for the offset log", "denied", "create", "before", f"{CHECKPOINT}offsets/"),
    _error("the commit fails once", "fail", "rename", "before", f"{TARGET}{_LOG}{_NAME}", "either"),
    _error("the acknowledgement of the commit is lost", "fail", "rename", "after", f"{TARGET}{_LOG}{_NAME}", "either"),
    _error("the acknowledgement of the quarantine is lost", "fail", "rename", "after", f"{QUARANTINE}{_LOG}{_NAME}",
           "either", modes=DIRTY),
    _error("the acknowledgement of the offset log is lost", "fail", "rename", "after", f"{CHECKPOINT}offsets/1$", "either"),
    _error("the acknowledgement of Spark's commit log is lost", "fail", "rename", "after", f"{CHECKPOINT}commits/1$",
           "either"),
    _error("the acknowledgement of the ledger is lost", "fail", "rename", "after", f"{LEDGER}{_LOG}{_NAME}", "either"),
    _error("a listing of the log fails", "fail", "list", "before", f"{TARGET}_delta_log$", "either"),
    _error("storage hangs", "delay:1500", "rename", "before", f"{TARGET}{_LOG}{_NAME}|{CHECKPOINT}", "done"),
    Fault("a task fails and is tried again", (Failpoint("create", "after", "fail", f"{TARGET}{FILE}"),), "done",
          ([*RUN, "--env", "retries"],)),
)  # fmt: skip


def _grows(arena: Arena) -> None:
    """A file is appended to once its batch is begun: it is read whole, or that run fails and the next reads it so."""
    path = arena.landing / "day2.csv"
    last = max(one.place[1] for one in arena.produced if one.place[0] == path.name)
    late = Record((path.name, last + 1), "grown", "1", "v9")
    begun = arena.begin([RUN], Failpoint("open", "before", "delay:500", "/landing/day2.csv$", "1+"))
    while not (arena.lake / "_checkpoints/x/offsets/1").exists():
        time.sleep(0.01)
        if begun.poll() is not None:
            raise NotConvergedError("the run ended before it read")
    with path.open("a") as file:
        file.write(late.line + "\n")
    arena.ended(begun)
    arena.produced.append(late)
    arena.settle()


def _two_runners(arena: Arena) -> None:
    """Two runners at once: one of them works, the other is refused."""
    slow = Failpoint("rename", "before", "delay:2000", f"{TARGET}{_LOG}{_NAME}", "1+")
    ended = [arena.ended(one) for one in [arena.begin([RUN], slow) for _ in range(2)]]
    codes = sorted(one.code for one in ended)
    if codes not in ([0, 4], [0, 0]):
        raise NotConvergedError(f"two runners ended with {codes}: {ended[0].told[-800:]} {ended[1].told[-800:]}")
    arena.settle()


def _clock(shift: str) -> Callable[[Arena], None]:
    def play(arena: Arena) -> None:
        java = arena.folder / "java" / "bin" / "java"
        java.parent.mkdir(parents=True, exist_ok=True)
        # for Java alone: without it a thread of Java's cannot wait, with it Python cannot for another process
        real = shlex.quote(str(own_java() / "bin" / "java"))
        java.write_text(f'#!/bin/sh\nexport FAKETIME_DONT_FAKE_MONOTONIC=1\nexec {real} "$@"\n')
        java.chmod(0o755)
        environ = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": shift, "JAVA_HOME": str(java.parents[1])}
        ended = arena.process([RUN], environ=environ)
        if ended.code:
            raise NotConvergedError(ended.told[-2000:])
        arena.settle()

    return play


def _four_processes(arena: Arena) -> None:
    """Two jobs write the table while it is optimized and vacuumed, each from a process of its own."""
    other = (
        (arena.folder / "conf/x.yaml").read_text().replace("job: x", "job: y").replace("path: landing", "path: other")
    )
    (arena.folder / "conf/y.yaml").write_text(other)
    (arena.folder / "other").mkdir(exist_ok=True)
    for path in arena.landing.iterdir():
        shutil.copy2(path, arena.folder / "other" / f"y-{path.name}")
    optimize, vacuum = f"OPTIMIZE delta.`{arena.target}`", f"VACUUM delta.`{arena.target}` RETAIN 1 HOURS"
    begun = [
        arena.begin([RUN]),
        arena.begin([["run", "y", "--json"]]),
        arena.begin([["sql", optimize]] * 6),
        arena.begin([["sql", vacuum]] * 6),
    ]
    ended = [arena.ended(one) for one in begun]
    if any(one.code not in (0, 1) for one in ended):
        raise NotConvergedError(str([(one.code, one.told[-500:]) for one in ended]))
    if ended[0].code or ended[1].code:
        raise NotConvergedError(f"a writer failed: {ended[0].told[-1500:]} {ended[1].told[-1500:]}")
    arena.produced += [
        Record((f"y-{one.place[0]}", one.place[1]), one.key, one.sequence, one.value, one.op) for one in arena.produced
    ]
    arena.settle(["run", "y", "--json"])


def _broker(how: str) -> Callable[[Arena], None]:
    """The broker goes away while the job is at work, and comes back while it runs or before the next run."""

    def play(arena: Arena) -> None:
        begun = arena.begin([RUN], Failpoint("rename", "before", "delay:1500", f"{TARGET}{_LOG}{_NAME}", "1+"))
        while not list((arena.lake / "_checkpoints/x/offsets").glob("1")) and begun.poll() is None:
            time.sleep(0.05)
        getattr(arena.broker, how)()
        back = arena.broker.resume if how == "pause" else arena.broker.start
        threading.Timer(8, back).start()
        arena.ended(begun)
        time.sleep(9)
        arena.settle()

    return play


def _restore(moment: Literal["before", "after"]) -> Callable[[Arena], None]:
    """An undo is killed at the commit that restores the target: the next run does the rest of it, and all once more."""

    def play(arena: Arena) -> None:
        ran = arena.steadily([RUN]).answers[-1]
        kill = Failpoint("rename", moment, "kill", f"{TARGET}{_LOG}{_NAME}")
        ended = arena.process([["undo", ran["run_id"]]], kill)
        if not ended.is_killed:
            raise NotConvergedError(f"the undo was to be killed, and ended with {ended.code}: {ended.told[-2000:]}")
        arena.settle()
        if ran["run_id"] not in arena.undone():
            raise NotConvergedError("the ledger does not tell of the undo")

    return play


SCENARIOS = (
    Fault("kill before the restore of an undo", does=_restore("before")),
    Fault("kill after the restore of an undo", does=_restore("after")),
    Fault("a file grows while it is read", does=_grows, modes=tuple(mode for mode in FILES if mode != "snapshot")),
    Fault("two runners on one checkpoint", does=_two_runners),
    Fault("the clock is two hours ahead", does=_clock("+2h"), needs=FAKETIME),
    Fault("the clock is two hours behind", does=_clock("-2h"), needs=FAKETIME),
    Fault("two writers, optimize and vacuum in four processes", does=_four_processes, modes=("append", "scd1", "scd2")),
    Fault("the broker is killed and started", does=_broker("kill"), modes=("kafka",)),
    Fault("the broker is paused", does=_broker("pause"), modes=("kafka",)),
    Fault("the broker is stopped and started", does=_broker("stop"), modes=("kafka",)),
)

FAULTS = (*KILLS, *ERRORS, *SCENARIOS)
PAIRS = {f"{mode}: {fault.name}": (fault, mode) for fault in FAULTS for mode in fault.modes}
"""Every fault in every mode in which it can be, by the name by which it can be tried alone."""
