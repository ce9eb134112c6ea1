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

from lakehouse.errors import ConfigError
from lakehouse.lake.place import Lake
from lakehouse.spec.project import Project, check_parameters, read_any
from lakehouse.spec.reference import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lakehouse.spec.env import Env
    from lakehouse.spec.job import Job


@dataclass(frozen=True)
class Workplace:
    """A job in its place: what it is, its code, where its lake is, and its references resolved."""

    project: Project
    job: Job
    env: Env
    lake: Lake
    transform: Callable[..., Any] | None
    settings: Mapping[str, str]
    folders: Mapping[str, str]
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


def prepare(
    job: str,
    *,
    env: str | None = None,
    lake: str | None = None,
    params: Mapping[str, str] | None = None,
    transform: Callable[..., Any] | None = None,
    root: Path | None = None,
) -> Workplace:
    """Read a job and its environment, and check all that can be checked without Spark.

    ``transform`` stands in for the job's own code, as when that code is what is running.

    Raises:
        ConfigError: anything that cannot be run as written.
    """
    project, name = (Project(root), job) if root else read_any(job)
    spec = project.job(name)
    place = project.env(env)
    known = {**place.params, **spec.params, **(params or {})}
    strange = sorted(set(params or {}) - set(place.params) - set(spec.params))
    if strange:
        message = f"--param {strange[0]}: job {name} has no such parameter (it has {', '.join(sorted(known - (params or {}).keys())) or 'none'})"
        raise ConfigError(message)

    def resolved(text: str, where: str) -> str:
        return resolve(text, params=known, environ=os.environ, field=where)

    lake_root = _folder(
        project.root,
        lake if lake is not None else resolved(place.lake, "lake"),
        base=Path.cwd() if lake is not None else project.root,
    )
    roots = [str(project.root), lake_root, *(_folder(project.root, resolved(text, "roots")) for text in place.roots)]
    folders = {}
    for source_name, source in spec.sources.items():
        if source.kind == "files":
            where = f"sources.{source_name}.path"
            folders[source_name] = _inside(_folder(project.root, resolved(source.path, where)), roots, where)
    if transform is None:
        transform = load_transform(project, name)
    else:
        check_parameters(
            spec, list(inspect.signature(transform).parameters), where=str(inspect.getsourcefile(transform) or name)
        )
    settings = {
        key: resolved(value, f"spark.{key}") if isinstance(value, str) else str(value).lower()
        for key, value in place.spark.items()
    }
    return Workplace(project, spec, place, Lake(lake_root, place.catalog), transform, settings, folders)


def load_transform(project: Project, name: str) -> Callable[..., Any] | None:
    """The ``transform`` of a job's Python file, if it has one.

    Raises:
        ConfigError: the file cannot be imported.
    """
    path = project.code(name)
    if path is None:
        return None
    spec = importlib.util.spec_from_file_location(f"lakehouse_jobs.{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        message = f"{path} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(message) from error
    return getattr(module, "transform", None)


def _folder(root: Path, text: str, *, base: Path | None = None) -> str:
    """A path of the configuration as an absolute one, its ``..`` and links followed; a URI as it is."""
    if "://" in text:
        if any(part == ".." for part in text.split("/")):
            message = f"{text}: a path may not hold '..'"
            raise ConfigError(message)
        return text.rstrip("/")
    return str(((base or root) / text).resolve())


def _inside(folder: str, roots: list[str], where: str) -> str:
    if not any(folder == root or folder.startswith(root.rstrip("/") + "/") for root in roots):
        message = f"{where}: {folder} lies outside of what this environment may read ({', '.join(roots)})"
        raise ConfigError(message, hint="add its folder to roots: in conf/env/<name>.yaml")
    return folder
