"""A project on disk: which jobs there are, and each read into its spec before Spark starts."""

from __future__ import annotations

import ast
import os
import symtable
import tokenize
from dataclasses import dataclass
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from lakehouse.errors import (
    ConfigError,
    InvalidConfigError,
    JobNotFoundError,
    Problem,
    TransformMismatchError,
)
from lakehouse.foreign import plain_line, show_names
from lakehouse.spec import odcs
from lakehouse.spec.appended import changed_sources
from lakehouse.spec.contract import Contract
from lakehouse.spec.document import Document, Location, nearest, read_document, shorten, validate
from lakehouse.spec.env import Env
from lakehouse.spec.job import Job
from lakehouse.spec.query import Query, read_query


@dataclass(frozen=True)
class Project:
    """A folder that holds ``conf/``, and usually ``jobs/``."""

    root: Path

    def __post_init__(self) -> None:
        """Links are followed, so that what lies in the project can be told."""
        object.__setattr__(self, "root", self.root.resolve())

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
        return _names(self.root / "conf")

    @property
    def envs(self) -> list[str]:
        """The names of all environments, sorted."""
        return _names(self.root / "conf" / "env")

    def code(self, job: str) -> Path | None:
        """The Python file of a job, if it has one."""
        path = self.root / "jobs" / f"{job}.py"
        return path if path.is_file() else None

    def query(self, job: Job) -> Query | None:
        """The SQL of a job, read and held against its sources; None where it has none.

        Raises:
            InvalidConfigError: it is not one SELECT over them, or there is Python as well.
        """
        path = self.root / "jobs" / f"{job.job}.sql"
        if not path.is_file():
            return None
        if code := self.code(job.job):
            message = f"the job has {self._shown(code)}, too: its logic is one of them"
            raise InvalidConfigError([Problem(self._shown(path), 1, 1, "", message)])
        return read_query(path, job.sources, shown_as=self._shown(path))

    def job(self, name: str) -> Job:
        """The job, read and checked against its own code; nothing of it is run.

        Raises:
            JobNotFoundError: no such file; the message names the nearest job.
            InvalidConfigError: every problem of its files, each with its line.
            TransformMismatchError: ``transform()`` does not take the sources.
        """
        folder = self.root / "conf"
        if name not in self.jobs:
            message = f"no job '{name}' in {folder}{nearest(name, self.jobs)}"
            raise JobNotFoundError(message, hint="a job is a file conf/NAME.yaml")
        path = folder / f"{name}.yaml"
        document = read_document(path, shown_as=self._shown(path))
        problems = self._read_contracts(document)
        if isinstance(said := _below(document.data, ("job",)), str) and said != name:
            message = f"'{shorten(said)}' in a file named {path.name}: the two must be the same"
            problems.append(document.problem(("job",), message))
        try:
            job = validate(Job, document)
        except InvalidConfigError as error:
            raise InvalidConfigError(problems + error.problems) from None
        problems += changed_sources(document, folder)
        for at, contract in job.contracts.items():
            if isinstance(_below(document.data, at), dict):
                problems += _unknown_columns(contract, document, at)
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
        folder = self.root / "conf" / "env"
        names = _names(folder)
        show_names(names)
        if name not in names:
            message = f"no environment '{name}' in {folder}{nearest(name, names)}"
            raise ConfigError(message, hint="--env NAME or LAKEHOUSE_ENV picks conf/env/NAME.yaml")
        path = folder / f"{name}.yaml"
        return validate(Env, read_document(path, shown_as=self._shown(path)))

    def _read_contracts(self, document: Document) -> list[Problem]:
        """Put what its file says in the place of each ``contract: FILE``; the problems, told by that file's lines."""
        sources = _below(document.data, ("sources",))
        places: list[Location] = [("sources", name) for name in (sources if isinstance(sources, dict) else {})]
        problems: list[Problem] = []
        for place in [*places, ("write",)]:
            holder = _below(document.data, place)
            if isinstance(holder, dict) and isinstance(holder.get("contract"), str):
                try:
                    holder["contract"] = self._contract(document, (*place, "contract"), holder["contract"])
                except InvalidConfigError as error:
                    problems += error.problems
                    holder["contract"] = None
        return problems

    def _contract(self, referring: Document, at: Location, file: str) -> Contract:
        file, _, part = file.partition("#")
        try:
            path = (self.root / file).resolve()
            there = path.is_file()
        except (OSError, RuntimeError, ValueError):  # a link to itself, too long, or a character that no path has
            raise InvalidConfigError([referring.problem(at, "is not a path")]) from None
        if not path.is_relative_to(self.root):
            raise InvalidConfigError([referring.problem(at, "leads out of the project")])
        if not there:
            near = nearest(path.name, _names(path.parent, ""))
            raise InvalidConfigError([referring.problem(at, f"there is no file {self._shown(path)}{near}")])
        return self.contract(path, part)

    def contract(self, path: Path, part: str = "") -> Contract:
        """The contract that a file holds: one of ours, or of a table of the Open Data Contract Standard.

        Raises:
            InvalidConfigError: every problem of it, each with its line.
            ExtraMissingError: it is of the standard, which needs the extra ``odcs``.
        """
        document = read_document(path, shown_as=self._shown(path))
        if odcs.is_odcs(document.data):
            contract = odcs.contract_of(document, part)
        elif part:
            message = f"'#{part}' names a table of an Open Data Contract, and this is a contract of one table"
            raise InvalidConfigError([document.problem((), message)])
        else:
            contract = validate(Contract, document)
        if problems := _unknown_columns(contract, document, ()):
            raise InvalidConfigError(problems)
        return contract

    def _check_transform(self, job: Job) -> None:
        if self.query(job):
            return
        path = self.code(job.job)
        signature = None if path is None else _signature(path, self._shown(path))
        check_parameters(job, signature, where=self._shown(path) if path else f"conf/{job.job}.yaml")

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def _names(folder: Path, suffix: str = ".yaml") -> list[str]:
    return sorted(path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}") if path.is_file())


def check_parameters(job: Job, signature: Signature | None, *, where: str) -> None:
    """Hold ``transform()`` (None: there is no code) against the job's sources, each of which it gets by name.

    Raises:
        TransformMismatchError: it cannot be called with them, or several sources meet without code.
    """
    sources = list(job.sources)
    wanted = f"def transform({', '.join(sources)})"
    if signature is None:
        if len(sources) > 1:
            message = f"{where}: {len(sources)} sources ({', '.join(sources)}) and no transform to bring them together"
            raise TransformMismatchError(message, hint=f"write jobs/{job.job}.py with {wanted}, or jobs/{job.job}.sql")
        return
    try:
        signature.bind(**dict.fromkeys(sources))
    except TypeError as error:
        taken = ", ".join(signature.parameters)
        message = f"{where}: transform({taken}) does not match the sources ({', '.join(sources)}): {error}"
        strange = [f"'{name}'{nearest(name, sources)}" for name in signature.parameters if name not in sources]
        raise TransformMismatchError(message, hint="; ".join(strange) or wanted) from None


def _signature(path: Path, shown_as: str) -> Signature:
    """What ``transform`` takes, as its file says, without running the file."""

    def invalid(message: str, line: int = 1, column: int = 1) -> InvalidConfigError:
        return InvalidConfigError([Problem(shown_as, line, column, "", message)])

    try:
        with tokenize.open(path) as file:
            source = file.read()
        compile(source, shown_as, "exec", dont_inherit=True)  # shows what a parser alone lets pass
        tree, names = ast.parse(source, shown_as), symtable.symtable(source, shown_as, "exec")
    except SyntaxError as error:
        raise invalid(f"not Python: {error.msg}", error.lineno or 1, error.offset or 1) from None
    except (OSError, ValueError, LookupError, RecursionError, MemoryError) as error:
        raise invalid(f"not Python: {plain_line(error) if str(error) else 'nested too deep'}") from None
    for node in reversed(tree.body):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "transform":
            raise invalid("transform() is called, not awaited: write def", node.lineno, node.col_offset + 1)
        if isinstance(node, ast.FunctionDef) and node.name == "transform":
            return Signature(_parameters(node.args))
    made = [one for one in names.get_symbols() if one.get_name() == "transform"]
    if made and (made[0].is_assigned() or made[0].is_imported()):  # what it takes is known once the file is imported
        return Signature([Parameter("sources", Parameter.VAR_KEYWORD)])
    message = f"{shown_as}: there is no transform()"
    raise TransformMismatchError(message, hint="a job that has no logic of its own needs no Python file")


def _parameters(arguments: ast.arguments) -> list[Parameter]:
    def one(argument: ast.arg, kind: Any, default: object = None) -> Parameter:
        return Parameter(argument.arg, kind, default=Parameter.empty if default is None else default)

    ordered: list[tuple[ast.arg, Any]]
    ordered = [(argument, Parameter.POSITIONAL_ONLY) for argument in arguments.posonlyargs]
    ordered += [(argument, Parameter.POSITIONAL_OR_KEYWORD) for argument in arguments.args]
    defaults = [None] * (len(ordered) - len(arguments.defaults)) + arguments.defaults
    parameters = [one(argument, kind, default) for (argument, kind), default in zip(ordered, defaults, strict=True)]
    if arguments.vararg:
        parameters.append(one(arguments.vararg, Parameter.VAR_POSITIONAL))
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    parameters += [one(argument, Parameter.KEYWORD_ONLY, default) for argument, default in named]
    if arguments.kwarg:
        parameters.append(one(arguments.kwarg, Parameter.VAR_KEYWORD))
    return parameters


def _below(data: Any, at: Location) -> Any:
    """What a document has there; None where it has nothing."""
    for part in at:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _unknown_columns(contract: Contract, document: Document, at: Location) -> list[Problem]:
    """Rules over a column that their contract does not declare: most often a misspelt name."""
    declared = {column.lower() for column in contract.columns}
    return [
        document.problem(
            (*at, "rules", index, field),
            f"rule '{rule.name}' reads '{column}', which is not declared{nearest(column, [*contract.columns])}",
        )
        for index, rule in enumerate(contract.rules)
        for field, asked in (("check", rule.asks), ("where", rule.only))
        for column in sorted(asked.reads if asked else ())
        if column.lower() not in declared
    ]


def read_any(value: str) -> tuple[Project, str]:
    """What ``JOB`` on a command line means: a job's name in the project around here, or its YAML, Python or SQL file.

    Raises:
        JobNotFoundError: there is no such file, or it is no job's.
        ConfigError: there is no project.
    """
    path = Path(value)
    if path.suffix not in (".yaml", ".py", ".sql"):
        return Project.around(Path.cwd()), value
    if not path.is_file():
        message = f"no such file: {value}"
        raise JobNotFoundError(message)
    project = Project.around(path)
    if path.suffix == ".yaml" and path.resolve().parent != project.root / "conf":
        message = f"{value} is not a job: the jobs of {project.root} are in its conf/"
        raise JobNotFoundError(message)
    return project, path.stem
