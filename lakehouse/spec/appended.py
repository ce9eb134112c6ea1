"""Tables that are read as streams (``stream: true``), held against how the jobs of the project write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError, Problem
from lakehouse.spec.document import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lakehouse.spec.document import Document

_MODES = ("overwrite", "scd1", "scd2", "snapshot")
"""Modes that change or remove rows: a stream of the table ends with the first of them that is changed."""


def changed_sources(document: Document, folder: Path) -> list[Problem]:
    """The sources of a job that are read as streams and that a job of the project writes by more than appends.

    Args:
        document: the job's conf; what is wrong with its form is passed over.
        folder: where the confs of the project are.
    """
    found = document.data.get("sources") if isinstance(document.data, dict) else None
    streams = {
        name: source["table"]
        for name, source in (found.items() if isinstance(found, dict) else ())
        if isinstance(source, dict) and source.get("stream") is True and isinstance(source.get("table"), str)
    }
    if not streams:
        return []
    problems = []
    for where, table, mode in find_changing_jobs(folder, set(streams.values())):
        for name in (name for name, read in streams.items() if read == table):
            message = (
                f"{table} is written by {where} with mode: {mode}, which changes rows, and a stream takes appends "
                "alone: read the table as it is (leave out stream: true), or stream what that job reads"
            )
            problems.append(document.problem(("sources", name, "stream"), message))
    return problems


def find_changing_jobs(folder: Path, tables: set[str]) -> Iterator[tuple[str, str, str]]:
    """The jobs that write a table by more than appends: where that is said, the table and the mode."""
    for path in sorted(folder.glob("*.yaml")):
        try:
            # most confs need not be parsed for it
            if not any(table in path.read_text(encoding="utf-8") for table in tables):
                continue
            document = read_document(path, shown_as=f"{folder.name}/{path.name}")
        except (OSError, UnicodeDecodeError, ConfigError):
            # told where that job is checked
            continue
        write = document.data.get("write") if isinstance(document.data, dict) else None
        if isinstance(write, dict) and write.get("table") in tables and write.get("mode") in _MODES:
            line = document.problem(("write", "mode"), "").line
            yield f"{document.file}:{line}", str(write["table"]), str(write["mode"])
