"""A project on disk: which jobs there are, and each read into its spec before Spark starts."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError, InvalidConfigError, JobNotFoundError, Problem, TransformMismatchError
from lakehouse.spec.contract import Contract, columns_of
from lakehouse.spec.document import Document, Location, nearest, read_document, validate
from lakehouse.spec.env import Env
from lakehouse.spec.job import Job

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Project:
    """A folder that holds ``conf/``, and usually ``jobs/``."""

    root: Path

    @classmethod
    def around(cls, start: Path) -> Project:
        """The project that a file or folder belongs to: the nearest folder upwards that holds ``conf/``.

        Raises:
            ConfigError: there is none.
        """
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / "conf").is_dir():
                return cls(folder)
        message = f"no project around {start}: no folder upwards of it holds conf/"
        raise ConfigError(message, hint="run inside of a project, or name a job by its YAML file")

    @property
    def jobs(self) -> list[str]:
        """The names of all jobs, sorted."""
        return sorted(path.stem for path in (self.root / "conf").glob("*.yaml"))

    def code(self, job: str) -> Path | None:
        """The Python file of a job, if it has one."""
        path = self.root / "jobs" / f"{job}.py"
        return path if path.is_file() else None

    def job(self, name: str) -> Job:
        """The job, read and checked against its own code; nothing of it is run.

        Raises:
            JobNotFoundError: no such file; the message names the nearest job.
            InvalidConfigError: every problem of its files, each with its line.
            TransformMismatchError: ``transform()`` does not take the sources.
        """
        path = self.root / "conf" / f"{name}.yaml"
        if not path.is_file():
            message = f"no job '{name}' in {self.root / 'conf'}{nearest(name, self.jobs)}"
            raise JobNotFoundError(message)
        document = self._with_contracts(read_document(path, shown_as=self._shown(path)))
        job = validate(Job, document)
        problems = []
        if job.job != name:
            problems.append(
                document.problem(("job",), f"'{job.job}' in a file named {path.name}: the two must be the same")
            )
        for source, spec in job.sources.items():
            if isinstance(document.data["sources"][source].get("contract"), dict) and spec.contract:
                problems += _unknown_columns(spec.contract, document, ("sources", source, "contract"))
        if problems:
            raise InvalidConfigError(problems)
        self._check_transform(job)
        return job

    def env(self, name: str | None = None) -> Env:
        """The environment: by name, else by ``LAKEHOUSE_ENV``, else ``local``.

        Raises:
            ConfigError: no such file; InvalidConfigError: its problems.
        """
        name = name or os.environ.get("LAKEHOUSE_ENV") or "local"
        path = self.root / "conf" / "env" / f"{name}.yaml"
        if not path.is_file():
            names = sorted(found.stem for found in path.parent.glob("*.yaml"))
            message = f"no environment '{name}' in {path.parent}{nearest(name, names)}"
            raise ConfigError(message, hint="--env NAME or LAKEHOUSE_ENV picks conf/env/NAME.yaml")
        return validate(Env, read_document(path, shown_as=self._shown(path)))

    def _with_contracts(self, document: Document) -> Document:
        """The document with each ``contract: FILE`` replaced by what that file says, problems told by its own lines."""
        sources = document.data.get("sources") if isinstance(document.data, dict) else None
        problems: list[Problem] = []
        for name, source in (sources if isinstance(sources, dict) else {}).items():
            if isinstance(source, dict) and isinstance(source.get("contract"), str):
                path = (self.root / source["contract"]).resolve()
                if not path.is_relative_to(self.root):
                    problems.append(document.problem(("sources", name, "contract"), "leads out of the project"))
                    source["contract"] = None
                    continue
                try:
                    source["contract"] = self._contract(path)
                except InvalidConfigError as error:
                    problems += error.problems
                    source["contract"] = None
        if problems:
            raise InvalidConfigError(problems)
        return document

    def _contract(self, path: Path) -> Contract:
        document = read_document(path, shown_as=self._shown(path))
        contract = validate(Contract, document)
        if problems := _unknown_columns(contract, document, ()):
            raise InvalidConfigError(problems)
        return contract

    def _check_transform(self, job: Job) -> None:
        path = self.code(job.job)
        parameters = None if path is None else _transform_parameters(path, self._shown(path))
        check_parameters(job, parameters, where=self._shown(path) if path else f"conf/{job.job}.yaml")

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def check_parameters(job: Job, parameters: Sequence[str] | None, *, where: str) -> None:
    """Hold the parameters of ``transform()`` (None: there is no code) against the job's sources.

    Raises:
        TransformMismatchError: the names differ, or several sources meet without code.
    """
    sources = list(job.sources)
    if parameters is None:
        if len(sources) > 1:
            message = f"{where}: {len(sources)} sources ({', '.join(sources)}) and no transform to bring them together"
            raise TransformMismatchError(
                message, hint=f"write jobs/{job.job}.py with def transform({', '.join(sources)})"
            )
        return
    if sorted(parameters) != sorted(sources):
        message = f"{where}: transform({', '.join(parameters)}) does not match the sources ({', '.join(sources)})"
        strange = [f"'{name}'{nearest(name, sources)}" for name in parameters if name not in sources]
        raise TransformMismatchError(message, hint="; ".join(strange) or f"def transform({', '.join(sources)})")


def _transform_parameters(path: Path, shown_as: str) -> list[str] | None:
    """The parameters of ``transform`` as its file says, without running the file; None where it defines none."""
    try:
        tree = ast.parse(path.read_text("utf-8"), filename=shown_as)
    except (SyntaxError, UnicodeDecodeError) as error:
        line, column = (error.lineno or 1, error.offset or 1) if isinstance(error, SyntaxError) else (1, 1)
        raise InvalidConfigError([Problem(shown_as, line, column, "", f"not Python: {error}")]) from None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "transform":
            return [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return None


def _unknown_columns(contract: Contract, document: Document, at: Location) -> list[Problem]:
    """Rules over a column that their contract does not declare: most often a misspelt name."""
    declared = {column.lower() for column in contract.columns}
    return [
        document.problem(
            (*at, "rules", index, "check"),
            f"rule '{rule.name}' reads '{column}', which the contract does not declare{nearest(column, [*contract.columns])}",
        )
        for index, rule in enumerate(contract.rules)
        for column in sorted(columns_of(rule.check))
        if column.lower() not in declared
    ]


def read_any(value: str) -> tuple[Project, str]:
    """What ``JOB`` on a command line means: a job's name in the project around here, or its YAML or Python file."""
    path = Path(value)
    if path.suffix in (".yaml", ".yml", ".py"):
        if not path.is_file():
            message = f"no such file: {value}"
            raise JobNotFoundError(message)
        return Project.around(path), path.stem
    return Project.around(Path.cwd()), value


def schema() -> dict[str, Any]:
    """The JSON Schema of a job's YAML, by which an editor completes and checks it."""
    return Job.model_json_schema()
