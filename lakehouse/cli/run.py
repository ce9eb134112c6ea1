"""``lakehouse run | plan | check``, and the command line of a job's own file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, PARAM, end, parameters, workplace
from lakehouse.errors import ConfigError, InvalidConfigError
from lakehouse.foreign import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lakehouse.spec.project import Project

_REFRESH = click.option(
    "--full-refresh", is_flag=True, help="Rebuild the target from the start, and swap it in at the end."
)
_TRIGGER = click.option(
    "--trigger", metavar="WHEN", help="available_now, as_fast_as_possible or '10 seconds', in the place of the job's."
)


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (JSON, _TRIGGER, _REFRESH, PARAM, LAKE, ENV):
        command = option(command)
    return command


@click.command(epilog=EXITS)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@_run_options
def run(jobs: tuple[str, ...], **options: Any) -> NoReturn:
    """Run JOB, as ``spark-submit jobs/JOB.py`` does: to its end, or until SIGTERM where its trigger has none.

    Several JOBs run side by side in one process; one that fails does not stop the others.
    """
    _run(jobs, None, **options)


def submitted(file: str, transform: Callable[..., Any]) -> NoReturn:
    """Run the job of a Python file that is running, with the options of its command line."""

    @click.command(help=f"Run the job {Path(file).stem}, to its end or until SIGTERM.", epilog=EXITS)
    @_run_options
    def command(**options: Any) -> NoReturn:
        _run((file,), transform, **options)

    command()
    raise SystemExit(0)


def _run(
    jobs: tuple[str, ...],
    transform: Callable[..., Any] | None,
    *,
    full_refresh: bool,
    as_json: bool,
    **where: Any,
) -> NoReturn:
    from lakehouse.runtime.result import not_begun

    try:
        works = [workplace(job, transform=transform, **where) for job in jobs]
        from lakehouse.runtime.progress import Progress
        from lakehouse.runtime.runner import side_by_side
        from lakehouse.runtime.stop import told_by_signals

        with told_by_signals() as stop:
            results = side_by_side(works, full_refresh=full_refresh, stop=stop, progress=Progress)
    except Exception as failure:
        from lakehouse.lake.faults import typed

        error = typed(failure)
        results = [not_begun(Path(jobs[0]).stem, error)]
    end([(result.as_json(), result.error) for result in results], as_json=as_json)


@click.command()
@click.argument("job")
@ENV
@LAKE
@PARAM
@click.option("--explain-write", is_flag=True, help="Read the next batch, and say how it would be committed and why.")
def plan(job: str, env: str | None, lake: str | None, params: tuple[str, ...], *, explain_write: bool) -> None:
    """Say what a run of JOB would read, create and change. Reads nothing big, writes nothing."""
    work = workplace(job, env=env, lake=lake, params=params)
    from lakehouse.runtime.plan import planned

    for line in planned(work, explain_write=explain_write):
        click.echo(mask(line))


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@ENV
@PARAM
def check(jobs: tuple[str, ...], env: str | None, params: tuple[str, ...]) -> None:
    """Validate JOBs (all of the project, where none is named) and environments, without Spark.

    Jobs are held against each other and the environment as well: parameters that nothing defines, folders that may not
    be read or moved to, tables that two jobs cannot share. Tables that nobody writes are warned of.
    """
    from lakehouse.spec.project import Project, read_any

    found = [read_any(job) for job in jobs]
    projects = {project.root: project for project, _ in found}
    if not found:
        here = Project.around(Path.cwd())
        found, projects = [(here, name) for name in here.jobs], {here.root: here}
    failed = False
    for project in projects.values():
        names = [name for its, name in found if its.root == project.root]
        failed |= not _all_checked(project, names, env, parameters(params))
        for name in [env] if env else project.envs:
            failed |= not _checked(f"env/{name}", partial(project.env, name))
    if failed:
        raise SystemExit(ConfigError.exit_code)


def _all_checked(project: Project, names: Sequence[str], env: str | None, params: Mapping[str, str]) -> bool:
    """Read jobs, alone and beside each other, and say how each is."""
    from lakehouse.spec.layout import review_jobs

    reviews = review_jobs(project, env, params)

    def read(name: str) -> None:
        project.job(name)
        one = reviews.get(name)
        for warning in one.warnings if one else ():
            click.echo(f"warning: {warning}", err=True)
        if one and one.problems:
            raise InvalidConfigError(one.problems)

    # every one is read, also after one that is wrong
    good = [_checked(name, partial(read, name)) for name in names]
    return all(good)


def _checked(name: str, read: Callable[[], object]) -> bool:
    """Read a file, and say how it is."""
    try:
        read()
    except ConfigError as error:
        click.echo(f"BAD {name}")
        click.echo(f"{error.code}: {error}", err=True)
        return False
    click.echo(f"ok  {name}")
    return True
