"""A contender in a process of its own: it is told what to write where, and says what it took.

``python -m contest.worker CONTENDER SCRATCH``. A line of JSON comes, a line of JSON goes; what libraries print goes to
stderr.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from contest.gauge import Taken, taken

Request = dict[str, Any]
Step = tuple[Callable[[], object], Callable[[], object]]
"""What comes before, untimed, and what is measured."""


def nothing() -> None:
    """No preparation."""


class Contender:
    """What can be asked of a contender; the session, where there is one, is started at once."""

    def __init__(self, name: str, scratch: Path) -> None:
        """Start."""
        self.name, self.pids = name, [os.getpid()]
        self.spark: Any = None
        if name != "deltalake":
            from contest.session import jvm, session

            self.spark = session(name, scratch)
            self.pids.append(jvm(self.spark))
            self.spark.range(10).selectExpr("sum(id)").collect()

    def steps(self, request: Request) -> Iterable[Step]:
        """The writes that a request comes to, each with its preparation."""
        kind, table, batches = request["kind"], request["table"], request["batches"]
        again = request["again"]
        if self.name == "ours_run":
            yield from self._runs(Path(table), batches, again=again, series=request["series"])
            return
        form = self._form(kind, table)
        for number, batch in enumerate(batches):
            for _ in range(2 if again else 1):
                yield nothing, partial(form, number, batch)

    def _form(self, kind: str, table: str) -> Callable[[int, str], object]:
        if self.name == "deltalake":
            from contest import deltars

            return lambda _, batch: deltars.FORMS[kind](table, batch)
        read = self.spark.read.parquet
        if self.name == "koheesio":
            from contest import koheesios

            name = koheesios.named(self.spark, table)
            return lambda _, batch: koheesios.FORMS[kind](name, read(batch))
        if self.name == "ours_write":
            from contest import ours

            stream = uuid.uuid4().hex
            return lambda number, batch: ours.written(kind, table, read(batch), ours.identity(number, stream=stream))
        from contest import merges

        return lambda _, batch: merges.FORMS[kind](self.spark, table, read(batch), tuned=self.name == "tuned")

    def _runs(self, root: Path, batches: list[str], *, again: bool, series: bool) -> Iterable[Step]:
        from contest import ours

        for batch in batches:
            prepare = partial(ours.arrive, self.spark, root, batch) if series else nothing
            yield prepare, partial(ours.run, self.spark, root)
            if again:
                yield partial(ours.forget, root), partial(ours.run, self.spark, root)

    def write(self, request: Request) -> list[Taken]:
        """Do it."""
        found = []
        if self.spark is not None:
            self.spark._jvm.System.gc()
        gc.collect()
        for prepare, work in self.steps(request):
            prepare()
            found.append(taken(work, self.pids))
        return found

    def make(self, request: Request) -> None:
        """Only this library: a table as it makes one, with the rows of the base."""
        from contest import folder, ours

        empty = Path(request["empty"])
        ours.empty(self.spark, request["kind"], empty, request["batch"])
        folder.adopt(empty, Path(request["data"]), Path(request["table"]))
        # a commit of Delta's own, which leaves the checksum file that every commit leaves
        self.spark.sql(f"ALTER TABLE delta.`{request['table']}` SET TBLPROPERTIES ('benchmark' = 'writes')")

    def lake(self, request: Request) -> None:
        """Only this library: a project and its lake."""
        from contest import ours

        ours.lake(self.spark, request["kind"], Path(request["root"]), Path(request["table"]), request["batches"])

    def answer(self, request: Request) -> dict[str, Any]:
        """What a request gave, or how it failed."""
        try:
            if request["do"] == "write":
                return {"taken": [asdict(one) for one in self.write(request)]}
            {"make": self.make, "lake": self.lake}[request["do"]](request)
        except Exception as error:
            import traceback

            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"}
        return {}


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    contender = Contender(sys.argv[1], Path(sys.argv[2]))
    print(json.dumps({"pids": contender.pids}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(contender.answer(json.loads(line))), file=answers, flush=True)
    if contender.spark is not None:
        contender.spark.stop()


if __name__ == "__main__":
    main()
