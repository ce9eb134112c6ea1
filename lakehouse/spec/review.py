"""Jobs of a project held against each other and against an environment: what no file shows by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakehouse.spec.document import nearest, read_document
from lakehouse.spec.reference import references
from lakehouse.spec.roles import misfits
from lakehouse.spec.source import fields_of
from lakehouse.spec.write import Scd1Write, Scd2Write

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from lakehouse.errors import Problem
    from lakehouse.spec.document import Document, Location
    from lakehouse.spec.job import Job
    from lakehouse.spec.project import Project

_SHARED = ("append", "scd1", "scd2")
"""Modes in which several jobs may write one table: what each adds leaves the rows of the others as they are."""


@dataclass(frozen=True)
class Review:
    """What was found in one job: problems, and what may be right where others write to the lake, too."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def review(
    project: Project,
    jobs: Mapping[str, Job],
    *,
    params: Collection[str] | None,
    elsewhere: Mapping[str, Sequence[str]],
    holds: Callable[[str], bool | None],
) -> dict[str, Review]:
    """Look at every job beside the others.

    Args:
        project: where their files are.
        jobs: every job of the project that can be read, by its name.
        params: the parameters that the environment or the command line defines; None where it cannot be read.
        elsewhere: the parameters that other environments define, each with their names.
        holds: whether the lake has a table; None where that cannot be known here.
    """
    found = {}
    for name, job in jobs.items():
        document = read_document(project.root / "conf" / f"{name}.yaml", shown_as=f"conf/{name}.yaml")
        one = found[name] = Review()
        if params is not None:
            _look_for_params(one, job, document, params, elsewhere)
        one.problems.extend(_shared(job, document, [other for other in jobs.values() if other is not job]))
        if not project.code(name) and not project.query(job):
            one.problems.extend(_deletions_written_as_rows(job, document))
            one.problems.extend(_types_of_the_source(job, document))
        _look_for_tables(one, job, document, sorted({other.write.table for other in jobs.values()}), holds)
    return found


def _look_for_params(
    found: Review, job: Job, document: Document, params: Collection[str], elsewhere: Mapping[str, Sequence[str]]
) -> None:
    """Look for parameters that neither the job nor the environment defines.

    A run may be given each of them: one is a problem only where it is called almost as one that is defined.
    """
    known = {*job.params, *params}
    for name, source in job.sources.items():
        for at, text in fields_of(source):
            for param in sorted(references(text, "param") - known):
                message = f"${{param:{param}}} is not defined"
                others = elsewhere.get(param)
                near = "" if others else nearest(param, sorted(known))
                is_near = near.startswith("; did you mean")
                by = f"; given by --param, or by another environment ({', '.join(others)})" if others else ""
                one = document.problem(
                    ("sources", name, *at), message + (near if is_near else by or "; given by --param")
                )
                (found.problems if is_near else found.warnings).append(one)


def _deletions_written_as_rows(job: Job, document: Document) -> Iterator[Problem]:
    """Sources whose deletions, which are rows of the key's column alone, nothing tells from other rows."""
    write = job.write
    if not isinstance(write, Scd1Write | Scd2Write) or "tombstone" in (write.apply_as_deletes or "").lower():
        return
    for name, source in job.sources.items():
        if source.kind == "kafka" and source.key_column and not source.debezium:
            message = (
                "a message without a value would write NULL over the other columns of its key's row: "
                "say apply_as_deletes: _kafka.tombstone in write"
            )
            yield document.problem(("sources", name, "key_column"), message)


def _types_of_the_source(job: Job, document: Document) -> Iterator[Problem]:
    """Columns that are written as they came, and whose types cannot be what the write names them for."""
    contract = job.stream[1].contract if job.is_incremental and not job.windows else None
    if contract is None:
        return
    renamed = {old.lower(): new.lower() for old, new in job.write.rename.items()}
    anew = job.write.contract.types if job.write.contract else {}
    came = {renamed.get(name, name): kind for name, kind in contract.types.items()}
    for at, why in misfits(job.write, {name: kind for name, kind in came.items() if name not in anew}):
        yield document.problem(("write", at), why)


def _shared(job: Job, document: Document, others: Sequence[Job]) -> Iterator[Problem]:
    """Other jobs that write the same table in a way that the two cannot share."""
    for other in others:
        if other.write.table != job.write.table:
            continue
        if job.write.mode != other.write.mode:
            why = f"by {other.write.mode}, and this one by {job.write.mode}"
        elif job.write.mode == "overwrite":
            if getattr(job.write, "replace_where", None) and getattr(other.write, "replace_where", None):
                continue
            why = "by overwrite, too: each run would remove what the other one made"
        elif job.write.mode not in _SHARED:
            why = f"by {job.write.mode}, too: each would delete what the other one's source does not hold"
        elif _identity(job) != _identity(other):
            why = "with other keys or another sequence_by: a row would be another one to each"
        else:
            continue
        yield document.problem(("write", "table"), f"conf/{other.job}.yaml writes {job.write.table} {why}")


def _identity(job: Job) -> tuple[object, object]:
    """What makes a row of the table the same one."""
    return getattr(job.write, "keys", None), getattr(job.write, "sequence_by", None)


def _look_for_tables(
    found: Review, job: Job, document: Document, written: list[str], holds: Callable[[str], bool | None]
) -> None:
    """Look for tables that are read and that nobody writes: most often a misspelt name.

    Others may write to the lake, too: a table that is there is right, and one that is not is a problem only where it is
    called almost as one that a job of the project writes.
    """
    read: list[tuple[Location, str]] = [
        (("sources", name, "table"), source.table) for name, source in job.sources.items() if source.kind == "table"
    ]
    read += [(at, table) for at, contract in job.contracts.items() for table in contract.references]
    for at, table in read:
        is_there = table in written or holds(table)
        if is_there:
            continue
        near = nearest(table, written)
        is_near = near.startswith("; did you mean")
        message = f"no job of the project writes {table}"
        if is_there is False:
            message += ", and the lake has no such table"
        one = document.problem(at, message + (near if is_near else ""))
        (found.problems if is_near and is_there is False else found.warnings).append(one)
