"""What is written into what: the workloads, and who takes part in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["upsert", "insert", "cdc", "scd2"]
COLUMNS = (
    "id",
    "updated_at",
    "customer_id",
    "status",
    "amount",
    "quantity",
    "price",
    "country",
    "email",
    "note",
    "created_on",
    "active",
)
"""Of every table and batch: the key, the sequence, ten others."""

TRACKED = COLUMNS[2:]
SPARK = ("naive", "tuned", "koheesio", "ours_write", "ours_run")
CONTENDERS = ("naive", "tuned", "koheesio", "deltalake", "ours_write", "ours_run")
ABOUT = {
    "naive": "DeltaTable.merge as the documentation has it, on a table without deletion vectors",
    "tuned": "MERGE with deletion vectors and a key range written by hand",
    "koheesio": "koheesio's DeltaTableWriter and SCD2DeltaTableWriter, on a table without deletion vectors",
    "deltalake": "delta-rs, its merge from Arrow; what it cannot do alone is done by DuckDB or Arrow before",
    "ours_write": "this library's write() alone",
    "ours_run": "this library's lakehouse.run() of a job, in a session that is warm",
}
MICRO = 100
"""How many micro-batches there are, of a thousand rows each."""


@dataclass(frozen=True)
class Workload:
    """One measurement.

    ``base`` is the table before, ``batch`` the folder of the rows to be written (for ``series``: of the folders).
    ``again`` writes the batch twice and measures the second time as well; ``series`` writes many batches one after the
    other into the same table.
    """

    name: str
    about: str
    kind: Kind
    base: str
    batch: str
    rows: int
    contenders: tuple[str, ...] = CONTENDERS
    again: bool = False
    series: int = 0
    repeat: int = 0

    @property
    def oracle(self) -> str:
        """Which of the folds gives the table that must come out."""
        return "series" if self.series else self.kind


def workloads(rows: int, *, quick: bool) -> list[Workload]:
    """All of them; ``quick`` leaves out the 10 %, and whoever is in no target of a workload."""
    ours = ("ours_write", "ours_run")
    found = []
    for layout in ("scattered", "clustered"):
        for percent, share in (("0.1", 1000), ("1", 100), ("10", 10)):
            if quick and percent == "10":
                continue
            everyone = CONTENDERS
            if quick and percent == "0.1":
                everyone = ("naive", "tuned", *ours) if layout == "clustered" else ("naive", "ours_write")
            found.append(
                Workload(
                    f"{layout}_{percent}",
                    f"upsert of {percent} % ({rows // share:,} rows, 80 % updates), {layout}",
                    "upsert",
                    layout,
                    f"{layout}_{share}",
                    rows,
                    everyone,
                )
            )
    hundredth = f"{rows // 100:,} rows"
    found += [
        Workload(
            "insert_half",
            f"insert-only, {hundredth}, half of them there already",
            "insert",
            "scattered",
            "insert",
            rows,
            ("naive", "deltalake", "ours_write") if quick else CONTENDERS,
        ),
        Workload(
            "cdc",
            f"change events, {hundredth}: two for each key, in disorder, a fifth deletes, a tenth older than the table",
            "cdc",
            "scattered",
            "cdc",
            rows,
            ("naive", "tuned", "ours_write") if quick else CONTENDERS,
        ),
        Workload(
            "scd2_one",
            f"history, {hundredth}: one change for each key, half no-ops",
            "scd2",
            "history",
            "scd2_one",
            rows,
            ("naive", "koheesio", "ours_write") if quick else ("naive", "tuned", "koheesio", *ours),
        ),
        Workload(
            "scd2_many",
            f"history, {hundredth}: up to three changes for each key, half no-ops, some late (no peer can)",
            "scd2",
            "history",
            "scd2_many",
            rows,
            ("ours_write",) if quick else ours,
        ),
        Workload(
            "replay",
            f"the same batch again ({hundredth}, scattered)",
            "upsert",
            "scattered",
            "scattered_100",
            rows,
            ("ours_write",) if quick else CONTENDERS,
            again=True,
        ),
        Workload(
            "unchanged",
            f"{hundredth}, scattered, all of them as the table has them",
            "upsert",
            "scattered",
            "unchanged",
            rows,
            ("naive", "ours_write") if quick else CONTENDERS,
        ),
        Workload(
            "micro",
            f"{MICRO} batches of 1,000 rows one after the other, clustered",
            "upsert",
            "clustered",
            "micro",
            rows,
            ("ours_write",) if quick else ("naive", "tuned", "koheesio", "deltalake", *ours),
            series=MICRO,
            repeat=1,
        ),
    ]
    for size in sizes(rows)[quick:]:
        found.append(
            Workload(
                f"growth_{size}",
                f"10,000 rows into {size:,}, clustered",
                "upsert",
                "clustered",
                "growth",
                size,
                ("naive", "ours_write") if quick else ("naive", "tuned", "deltalake", "ours_write"),
            )
        )
    return found


def sizes(rows: int) -> list[int]:
    """The tables' sizes of the growth."""
    return [rows // 10, rows * 3 // 10, rows, rows * 3]
