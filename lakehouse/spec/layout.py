"""Where the folders of a job are, in an environment: what `lakehouse check` and a run both ask before Spark starts."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError, InvalidConfigError, Problem, TransformMismatchError, UndefinedReferenceError
from lakehouse.spec.document import Document, read_document
from lakehouse.spec.places import Places, absolute, is_local, meet, plain
from lakehouse.spec.reference import resolve
from lakehouse.spec.review import Review, review

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lakehouse.spec.env import Env
    from lakehouse.spec.files import FilesSource
    from lakehouse.spec.job import Job
    from lakehouse.spec.project import Project


def lake_root(project: Project, env: Env, lake: str | None, params: Mapping[str, str]) -> str:
    """The lake's root: that of the command line, else of the environment."""
    if lake is not None:
        return absolute(Path.cwd(), lake, "--lake")
    return absolute(project.root, resolve(env.lake, params=params, environ=os.environ, field="lake"), "lake")


def folders_of(
    project: Project,
    job: Job,
    name: str,
    places: Places,
    resolved: Callable[[str, str], str],
    given: Mapping[str, str],
) -> dict[str, str]:
    """The folder of a source of files, and the one that its files are moved to.

    Raises:
        ConfigError: one of them is not where it may be.
    """
    source = job.sources[name]
    if source.kind != "files":
        return {}
    where = f"sources.{name}.path"
    folder = absolute(project.root, plain(resolved(source.path, where), where), where)
    places.check_read(folder, f"{where}: {source.path}")
    if not source.archive_to:
        return {name: folder}
    others = _other_jobs(project, job)
    archive = _archive(replace(places, schemas=_schemas([job, *others])), name, source, folder, resolved)
    _check_alone(project, others, source, (folder, archive), given)
    return {name: folder, f"{name}.archive_to": archive}


def review_jobs(project: Project, env: str | None, given: Mapping[str, str]) -> dict[str, Review]:
    """Hold the jobs of a project against each other and against an environment; those that cannot be read, not at all.

    Where there is no such environment, jobs are held against each other alone.
    """
    jobs = {}
    for name in project.jobs:
        with suppress(ConfigError):
            jobs[name] = project.job(name)
    place, lake = None, None
    with suppress(ConfigError):
        place = project.env(env)
        lake = lake_root(project, place, None, {**place.params, **given})
    params, elsewhere = _params(project, place if env else None, given)

    def holds(table: str) -> bool | None:
        if lake is None or not is_local(lake) or (place and place.catalog):
            return None
        return Path(lake, *table.split("."), "_delta_log").is_dir()

    found = review(project, jobs, params=params, elsewhere=elsewhere, holds=holds)
    for name, job in jobs.items():
        if place and lake:
            document = read_document(project.root / "conf" / f"{name}.yaml", shown_as=f"conf/{name}.yaml")
            found[name].problems.extend(_misplaced(project, job, place, lake, given, document))
    return found


def _params(
    project: Project, place: Env | None, given: Mapping[str, str]
) -> tuple[set[str] | None, dict[str, list[str]]]:
    """The parameters that are defined here, and those of other environments with their names; all are here without one.

    None where they are not known, as an environment cannot be read.
    """
    readable: dict[str, Env] = {}
    for name in project.envs:
        with suppress(ConfigError):
            readable[name] = project.env(name)
    elsewhere: dict[str, list[str]] = {}
    for name, one in readable.items():
        for param in one.params:
            elsewhere.setdefault(param, []).append(name)
    if place:
        return {*given, *place.params}, elsewhere
    return ({*given, *elsewhere}, {}) if len(readable) == len(project.envs) else (None, {})


def _misplaced(
    project: Project, job: Job, env: Env, lake: str, given: Mapping[str, str], document: Document
) -> Iterator[Problem]:
    """Folders of a job that may not be read, or moved to; one that refers to what is not known here is not judged."""
    known = {**job.params, **env.params, **given}

    def resolved(text: str, where: str) -> str:
        return resolve(text, params=known, environ=os.environ, field=where)

    for name, source in job.sources.items():
        if source.kind == "files":
            try:
                roots = tuple(absolute(project.root, resolved(text, "roots"), "roots") for text in env.roots)
                folders_of(
                    project, job, name, Places(str(project.root), lake, roots), resolved, {**env.params, **given}
                )
            except UndefinedReferenceError:
                continue
            except ConfigError as error:
                field = "archive_to" if "archive_to" in error.message else "path"
                yield document.problem(
                    ("sources", name, field), error.message.removeprefix(f"sources.{name}.{field}: ")
                )


def _archive(places: Places, name: str, source: FilesSource, folder: str, resolved: Callable[[str, str], str]) -> str:
    """Where files go that were read.

    Raises:
        ConfigError: they would be read again there, cannot be moved, or would lie among code, configuration or tables.
    """
    where = f"sources.{name}.archive_to"
    text = str(source.archive_to)
    target = absolute(Path(places.project), plain(resolved(text, where), where), where)
    if not (is_local(target) and is_local(folder)):
        message = f"{where}: files are moved within this machine, from a folder to a folder"
        raise ConfigError(message)
    below = Path(target).relative_to(folder).parts if Path(target).is_relative_to(folder) else ()
    is_hidden = any(part.startswith(("_", ".")) for part in below)
    if meet(folder, target) and not is_hidden:
        message = f"{where}: {text} is in the folder that is read, or around it: files would be read again there"
        raise ConfigError(message, hint="another folder, or one below it whose name begins with _")
    places.check_read(target, f"{where}: {text}")
    places.check_move(folder, f"sources.{name}.path: {source.path}")
    places.check_move(target, f"{where}: {text}")
    return target


def _other_jobs(project: Project, job: Job) -> list[Job]:
    """The other jobs of the project; one that cannot be run as written reads and writes nothing."""
    found = []
    for name in project.jobs:
        if name != job.job:
            with suppress(InvalidConfigError, TransformMismatchError):
                found.append(project.job(name))
    return found


def _schemas(jobs: Sequence[Job]) -> frozenset[str]:
    """The schemas of all tables that jobs read or write."""
    tables = [job.write.table for job in jobs]
    tables += [source.table for job in jobs for source in job.sources.values() if source.kind == "table"]
    return frozenset(table.partition(".")[0] for table in tables)


def _check_alone(
    project: Project, others: Sequence[Job], source: FilesSource, moved: tuple[str, str], given: Mapping[str, str]
) -> None:
    """Hold the folder and its archive against what other jobs read.

    What one job moves away, the others may never see; and what it moves to where they read, they take for theirs.

    Raises:
        ConfigError: another job reads some of the same files, or reads in the archive.
    """
    folder, archive = moved
    for other in others:
        for name, its in other.sources.items():
            if its.kind != "files":
                continue
            place = _folder_of(project, its, {**other.params, **given})
            if meet(place, archive):
                message = f"archive_to: conf/{other.job}.yaml, sources.{name} reads in that folder"
                raise ConfigError(message, hint="a folder that no job reads")
            if _may_meet(source.pattern, its.pattern) and meet(place, folder):
                message = f"archive_to: conf/{other.job}.yaml, sources.{name} reads the same files"
                raise ConfigError(message, hint="let one job read the folder, and the other one its table")


def _folder_of(project: Project, source: FilesSource, params: Mapping[str, str]) -> str:
    """The folder of another job's source; its text where what it refers to is not known here."""
    with suppress(ConfigError):
        text = resolve(source.path, params=params, environ=os.environ, field="path")
        return absolute(project.root, text, "path")
    return source.path


def _may_meet(pattern: str, other: str) -> bool:
    """Whether the name of a file may match both, as far as their beginnings and ends tell."""
    begins, ends = ([re.split(r"[*?\[\]]", text)[at] for text in (pattern, other)] for at in (0, -1))
    return (begins[0].startswith(begins[1]) or begins[1].startswith(begins[0])) and (
        ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])
    )
