"""Everything that is known of a run before Spark starts."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lakehouse.check.personal import hide_places_of
from lakehouse.errors import ConfigError, TransformMismatchError
from lakehouse.lake.place import Lake
from lakehouse.read.brokers import Brokers, brokers
from lakehouse.runtime.code_errors import describe
from lakehouse.runtime.query import bound
from lakehouse.spec.document import nearest
from lakehouse.spec.job import Job
from lakehouse.spec.layout import folders_of, lake_root
from lakehouse.spec.places import Places, absolute
from lakehouse.spec.project import Project, check_parameters, read_any
from lakehouse.spec.reference import references, resolve
from lakehouse.spec.source import texts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lakehouse.read.feed import Span
    from lakehouse.spec.env import Env
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
    places: Places | None = field(repr=False, default=None)
    """What may be read."""
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
    hide_places_of(spec)
    query = None if transform else project.query(spec)
    known = _parameters(spec, place, params or {}, query)

    def resolved(text: str, where: str) -> str:
        return resolve(text, params=known, environ=os.environ, field=where)

    root_of_lake = lake_root(project, place, lake, known)
    roots = tuple(absolute(project.root, resolved(text, "roots"), "roots") for text in place.roots)
    places = Places(str(project.root), root_of_lake, roots)
    places.check_lake()
    folders: dict[str, str] = {}
    servers: dict[str, Brokers] = {}
    for source_name, source in spec.sources.items():
        if source.kind == "files":
            folders |= folders_of(project, spec, source_name, places, resolved, {**place.params, **(params or {})})
        elif source.kind == "kafka":
            servers[source_name] = brokers(source, resolved, project.root, f"sources.{source_name}")
    code = bound(query, tuple(spec.sources), known) if query else transform or load_transform(project, name)
    if code is not None:
        check_parameters(spec, inspect.signature(code), where=name)
    settings = _settings(place, known)
    spec = _triggered(spec, trigger) if trigger else spec
    its = Lake(root_of_lake, place.catalog, place.single_writer)
    return Workplace(project, spec, place, its, code, settings, folders, servers, places=places)


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
    return Lake(lake_root(project, env, lake, params), env.catalog, env.single_writer)


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
        place, words = describe(error, path, project.root)
        message = f"{place}: it cannot be imported: {words}"
        raise ConfigError(message) from error
    transform: Callable[..., Any] | None = getattr(module, "transform", None)
    if not callable(transform):
        message = f"{path}: transform is {type(transform).__name__}, not a function"
        raise TransformMismatchError(message)
    return transform
