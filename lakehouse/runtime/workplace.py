"""Everything that is known of a run before Spark starts."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lakehouse.errors import ConfigError, InvalidConfigError, TransformMismatchError
from lakehouse.lake.place import Lake
from lakehouse.lake.storage import local
from lakehouse.read.brokers import Brokers, brokers
from lakehouse.runtime.query import bound
from lakehouse.spec.document import nearest
from lakehouse.spec.job import Job
from lakehouse.spec.project import Project, check_parameters, read_any
from lakehouse.spec.reference import references, resolve
from lakehouse.spec.source import texts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lakehouse.read.feed import Span
    from lakehouse.spec.env import Env
    from lakehouse.spec.files import FilesSource
    from lakehouse.spec.query import Query


@dataclass(frozen=True)
class Workplace:
    """A job in its place: what it is, its code, where its lake is, and its references resolved."""

    project: Project
    job: Job
    env: Env
    lake: Lake
    transform: Callable[..., Any] | None
    settings: Mapping[str, str] = field(repr=False)
    folders: Mapping[str, str] = field(repr=False)
    brokers: Mapping[str, Brokers] = field(repr=False, default_factory=dict)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    span: Span | None = None
    """What of the incremental source is read again; None where it is what is new."""


def prepare(
    job: str,
    *,
    env: str | None = None,
    lake: str | None = None,
    params: Mapping[str, str] | None = None,
    transform: Callable[..., Any] | None = None,
    trigger: str | None = None,
    root: Path | None = None,
) -> Workplace:
    """Read a job and its environment, and check all that can be checked without Spark.

    ``transform`` stands in for the job's own code, as when that code is what is running; ``trigger`` for its trigger.

    Raises:
        ConfigError: anything that cannot be run as written.
    """
    project, name = (Project(root), job) if root else read_any(job)
    spec = project.job(name)
    place = project.env(env)
    query = None if transform else project.query(spec)
    known = _parameters(spec, place, params or {}, query)

    def resolved(text: str, where: str) -> str:
        return resolve(text, params=known, environ=os.environ, field=where)

    lake_root = _lake_root(project, place, lake, known)
    others = (_folder(project.root, resolved(text, "roots"), "roots") for text in place.roots)
    roots = [str(project.root), lake_root, *others]
    folders, servers = {}, {}
    for source_name, source in spec.sources.items():
        if source.kind == "files":
            where = f"sources.{source_name}.path"
            folder = _folder(project.root, _plain(resolved(source.path, where), where), where)
            folders[source_name] = _inside(folder, roots, f"{where}: {source.path}")
            if source.archive_to:
                archive = _archive(project.root, source_name, source, folder, resolved)
                folders[f"{source_name}.archive_to"] = _inside(archive, roots, f"sources.{source_name}.archive_to")
                _alone(project, spec, source, folder, {**place.params, **(params or {})})
        elif source.kind == "kafka":
            servers[source_name] = brokers(source, resolved, project.root, f"sources.{source_name}")
    code = bound(query, tuple(spec.sources), known) if query else transform or load_transform(project, name)
    if code is not None:
        check_parameters(spec, inspect.signature(code), where=name)
    settings = _settings(place, known)
    spec = _triggered(spec, trigger) if trigger else spec
    its = Lake(lake_root, place.catalog, place.single_writer)
    return Workplace(project, spec, place, its, code, settings, folders, servers)


def _archive(root: Path, name: str, source: FilesSource, folder: str, resolved: Callable[[str, str], str]) -> str:
    """Where files go that were read.

    Raises:
        ConfigError: they would be read again there, or cannot be moved.
    """
    where = f"sources.{name}.archive_to"
    text = str(source.archive_to)
    target = _folder(root, _plain(resolved(text, where), where), where)
    if local(target) is None or local(folder) is None:
        message = f"{where}: files are moved within this machine, from a folder to a folder"
        raise ConfigError(message)
    below = target.removeprefix(f"{folder}/")
    is_hidden = below != target and any(part.startswith(("_", ".")) for part in below.split("/"))
    if target == folder or folder.startswith(f"{target}/") or (below != target and not is_hidden):
        message = f"{where}: {text} is in the folder that is read, or around it: files would be read again there"
        raise ConfigError(message, hint="another folder, or one below it whose name begins with _")
    return target


def _alone(project: Project, job: Job, source: FilesSource, folder: str, given: Mapping[str, str]) -> None:
    """Hold the folder against those that other jobs read: what one of them moves away, the others may never see.

    Raises:
        ConfigError: another job reads some of the same files.
    """
    for name in project.jobs:
        if name == job.job:
            continue
        # one that cannot be run as written reads nothing
        with suppress(InvalidConfigError, TransformMismatchError):
            other = project.job(name)
            for source_name, its in other.sources.items():
                if its.kind == "files" and _may_meet(source.pattern, its.pattern):
                    place = _folder_of(project, its, {**other.params, **given})
                    if f"{place}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{place}/"):
                        message = f"archive_to: conf/{name}.yaml, sources.{source_name} reads the same files"
                        hint = "let one job read the folder, and the other one its table"
                        raise ConfigError(message, hint=hint)


def _folder_of(project: Project, source: FilesSource, params: Mapping[str, str]) -> str:
    """The folder of another job's source; its text where what it refers to is not known here."""
    with suppress(ConfigError):
        text = resolve(source.path, params=params, environ=os.environ, field="path")
        return _folder(project.root, text, "path")
    return source.path


def _may_meet(pattern: str, other: str) -> bool:
    """Whether the name of a file may match both, as far as their beginnings and ends tell."""
    begins, ends = ([re.split(r"[*?\[\]]", text)[at] for text in (pattern, other)] for at in (0, -1))
    return (begins[0].startswith(begins[1]) or begins[1].startswith(begins[0])) and (
        ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])
    )


def _triggered(job: Job, trigger: str) -> Job:
    """The job with another trigger than its own."""
    try:
        return Job.model_validate({**dict(job), "trigger": trigger})
    except ValidationError as error:
        message = f"--trigger {trigger}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        raise ConfigError(message, hint="available_now, as_fast_as_possible, or such as '10 seconds'") from None


def _settings(env: Env, params: Mapping[str, str]) -> dict[str, str]:
    """Spark's settings of the environment, as Spark takes them."""
    return {
        key: resolve(value, params=params, environ=os.environ, field=f"spark.{key}")
        if isinstance(value, str)
        else str(value).lower()
        for key, value in env.spark.items()
    }


def _parameters(job: Job, env: Env, given: Mapping[str, str], query: Query | None) -> dict[str, str]:
    """The value of every parameter: as given, else as the environment says, else as the job does."""
    known = {**job.params, **env.params}
    texts = [text for source in job.sources.values() for text in texts_of(source)]
    texts += [env.lake, *env.roots, *(value for value in env.spark.values() if isinstance(value, str))]
    named = {name for text in texts for name in references(text, "param")}
    names = sorted({*known, *named, *(query.parameters if query else ())})
    for name in given:
        if name not in names:
            message = f"--param {name}: job {job.job} has no such parameter{nearest(name, names)}"
            raise ConfigError(message)
    return {**known, **given}


def lake_of(env: str | None = None, lake: str | None = None) -> Lake:
    """The lake of the project around here.

    Raises:
        ConfigError: there is no project, or no such environment.
    """
    project = Project.around(Path.cwd())
    place = project.env(env)
    return _lake(project, place, lake, place.params)


def surroundings(project: Project, env: str | None = None, lake: str | None = None) -> tuple[Lake, dict[str, str]]:
    """The lake of a project and the settings of its environment, for what is no job's.

    Raises:
        ConfigError: there is no such environment, or it refers to what nothing defines.
    """
    place = project.env(env)
    return _lake(project, place, lake, place.params), _settings(place, place.params)


def _lake(project: Project, env: Env, lake: str | None, params: Mapping[str, str]) -> Lake:
    return Lake(_lake_root(project, env, lake, params), env.catalog, env.single_writer)


def _lake_root(project: Project, env: Env, lake: str | None, params: Mapping[str, str]) -> str:
    if lake is not None:
        return _folder(Path.cwd(), lake, "--lake")
    return _folder(project.root, resolve(env.lake, params=params, environ=os.environ, field="lake"), "lake")


def load_transform(project: Project, name: str) -> Callable[..., Any] | None:
    """The ``transform`` of a job's Python file, if it has one.

    Raises:
        ConfigError: the file cannot be imported.
    """
    path = project.code(name)
    if path is None:
        return None
    spec = importlib.util.spec_from_file_location(f"lakehouse_jobs.{name}", path)
    if spec is None or spec.loader is None:
        message = f"{path} cannot be imported"
        raise ConfigError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        message = f"{path} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(message) from error
    transform: Callable[..., Any] | None = getattr(module, "transform", None)
    if not callable(transform):
        message = f"{path}: transform is {type(transform).__name__}, not a function"
        raise TransformMismatchError(message)
    return transform


_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def _folder(base: Path, text: str, where: str) -> str:
    """A path of the configuration as an absolute one, its ``..`` and links followed; a URI as it is.

    What a reference stood for may be secret, so that messages say where it stands and not what it is.
    """
    if not text:
        message = f"{where}: is empty"
        raise ConfigError(message)
    if _URI.match(text):
        if ".." in text.split("/"):
            message = f"{where}: the path of a URI may not hold '..'"
            raise ConfigError(message)
        return text.rstrip("/")
    try:
        return str((base / text).resolve())
    except (OSError, RuntimeError, ValueError):  # a link to itself, or a character that no path has
        message = f"{where}: is not a path"
        raise ConfigError(message) from None


def _plain(text: str, where: str) -> str:
    """The text, once Spark will not take it for a pattern, which could lead anywhere."""
    if found := re.search(r"[*?\[\]{}\\]", text):
        message = f"{where}: a folder, without '{found.group()}'"
        raise ConfigError(message, hint="pattern: says which of its files are read")
    return text


def _inside(folder: str, roots: list[str], shown: str) -> str:
    if not any(folder == root or folder.startswith(root.rstrip("/") + "/") for root in roots):
        message = f"{shown} lies outside of the project, the lake and the environment's roots"
        raise ConfigError(message, hint="add its folder to roots: in conf/env/<name>.yaml")
    return folder
