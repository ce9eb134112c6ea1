"""The command line: ``lakehouse run | plan | check | status | doctor | show | quarantine | maintain``."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lakehouse.errors import ConfigError, LakehouseError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lakehouse.runtime.maintain import Cared
    from lakehouse.runtime.workplace import Workplace

_EXITS = """\b
Exit codes:
  0  done
  1  failed
  2  configuration: a job, an environment or a command line that cannot be run as written
  3  quality gate: a rule with on_fail: fail was broken, and nothing was written
  4  locked by another runner
"""

_env = click.option("--env", metavar="NAME", help="Use conf/env/NAME.yaml; else LAKEHOUSE_ENV, else local.")
_lake = click.option("--lake", metavar="DIR", help="The lake's root, in the place of the environment's.")
_param = click.option(
    "--param", "params", metavar="NAME=VALUE", multiple=True, help="A value for ${param:NAME}; may be given again."
)
_refresh = click.option(
    "--full-refresh", is_flag=True, help="Rebuild the target from the start, and swap it in at the end."
)
_trigger = click.option(
    "--trigger", metavar="WHEN", help="available_now, as_fast_as_possible or '10 seconds', in the place of the job's."
)
_json = click.option("--json", "as_json", is_flag=True, help="End stdout with the result as one line of JSON.")


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (_json, _trigger, _refresh, _param, _lake, _env):
        command = option(command)
    return command


@click.group(epilog=_EXITS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="lakehouse")
def cli() -> None:
    """Lakehouse jobs on Spark and Delta: a short YAML and, where there is logic, one pure function.

    JOB is a job's name in the project around here (the nearest folder upwards that holds conf/), or its YAML file.
    """


@cli.command(epilog=_EXITS)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@_run_options
def run(jobs: tuple[str, ...], **options: Any) -> NoReturn:
    """Run JOB, as ``spark-submit jobs/JOB.py`` does: to its end, or until SIGTERM where its trigger has none.

    Several JOBs run side by side in one process; one that fails does not stop the others.
    """
    _run(jobs, None, **options)


def submitted(file: str, transform: Callable[..., Any]) -> NoReturn:
    """Run the job of a Python file that is running, with the options of its command line."""

    @click.command(help=f"Run the job {Path(file).stem}, to its end or until SIGTERM.", epilog=_EXITS)
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
        works = [_workplace(job, transform=transform, **where) for job in jobs]
        from lakehouse.runtime.progress import Progress
        from lakehouse.runtime.runner import side_by_side
        from lakehouse.runtime.stop import told_by_signals

        with told_by_signals() as stop:
            results = side_by_side(works, full_refresh=full_refresh, stop=stop, progress=Progress)
    except Exception as failure:
        error = failure if isinstance(failure, LakehouseError) else LakehouseError(first_line(failure))
        results = [not_begun(Path(jobs[0]).stem, error)]
    _end([(result.as_json(), result.error) for result in results], as_json=as_json)


def _end(answers: Sequence[tuple[dict[str, Any], LakehouseError | None]], *, as_json: bool) -> NoReturn:
    """Say how it went, and end with the exit code of the worst error."""
    from lakehouse.runtime.result import told

    for answer, error in answers:
        if error:
            click.echo(f"{error.code}: {error}", err=True)
        if as_json:
            click.echo(json.dumps({**answer, "error": told(error)}, default=str))
    sys.stdout.flush()
    raise SystemExit(max(error.exit_code if error else 0 for _, error in answers))


def _workplace(
    job: str,
    *,
    env: str | None,
    lake: str | None,
    params: tuple[str, ...],
    trigger: str | None = None,
    transform: Callable[..., Any] | None = None,
) -> Workplace:
    from lakehouse.runtime.workplace import prepare

    given = dict(map(_pair, params))
    return prepare(job, env=env, lake=lake, params=given, trigger=trigger, transform=transform)


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        message = f"--param {text}: expected NAME=VALUE"
        raise ConfigError(message)
    return name, value


@cli.command()
@click.argument("job")
@_env
@_lake
@_param
@click.option("--explain-write", is_flag=True, help="Read the next batch, and say how it would be committed and why.")
def plan(job: str, env: str | None, lake: str | None, params: tuple[str, ...], *, explain_write: bool) -> None:
    """Say what a run of JOB would read, create and change. Reads nothing big, writes nothing."""
    work = _workplace(job, env=env, lake=lake, params=params)
    from lakehouse.runtime.plan import planned

    for line in planned(work, explain_write=explain_write):
        click.echo(line)


@cli.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@_env
def check(jobs: tuple[str, ...], env: str | None) -> None:
    """Validate JOBs (all of the project, where none is named) and environments, without Spark."""
    from lakehouse.spec.project import Project, read_any

    found = [read_any(job) for job in jobs]
    projects = {project.root: project for project, _ in found}
    if not found:
        here = Project.around(Path.cwd())
        found, projects = [(here, name) for name in here.jobs], {here.root: here}
    failed = False
    for project, name in found:
        failed |= not _checked(name, partial(project.job, name))
    for project in projects.values():
        for name in [env] if env else project.envs:
            failed |= not _checked(f"env/{name}", partial(project.env, name))
    if failed:
        raise SystemExit(ConfigError.exit_code)


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


@cli.command()
@click.option("--fix", "mend", is_flag=True, help="Fetch what is missing and write Spark's defaults.")
@_lake
def doctor(*, mend: bool, lake: str | None) -> None:
    """Say what this machine has of what a run needs, what is missing, and the mend."""
    from lakehouse.runtime.doctor import examine, fix

    if mend:
        fix(say=click.echo)
    findings = examine(lake=Path(lake) if lake else None)
    for finding in findings:
        click.echo(f"{'ok ' if finding.ok else 'BAD'} {finding.name}: {finding.detail}")
        if not finding.ok:
            click.echo(f"    mend: {finding.mend}")
    raise SystemExit(0 if all(finding.ok for finding in findings) else 1)


@cli.command()
@click.argument("table")
@_env
@_lake
def show(table: str, env: str | None, lake: str | None) -> None:
    """Show TABLE (schema.table): its columns, its version, and the last runs that wrote it."""
    from lakehouse.runtime.show import shown
    from lakehouse.runtime.workplace import lake_of

    for line in shown(table, lake_of(env, lake)):
        click.echo(line)


@cli.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@_env
@_lake
@_param
@_json
def status(jobs: tuple[str, ...], *, as_json: bool, **where: Any) -> None:
    """Say of JOBs that read incrementally (all, where none is named): who runs them, and how far they are behind."""
    from lakehouse.runtime.status import status as found
    from lakehouse.runtime.status import told
    from lakehouse.spec.project import Project

    names = jobs or Project.around(Path.cwd()).jobs
    works = [_workplace(job, **where) for job in names]
    for work in works:
        if work.job.is_incremental:
            one = found(work)
            for line in [json.dumps(one.as_json())] if as_json else told(one):
                click.echo(line)


@cli.command(epilog=_EXITS)
@click.argument("names", nargs=-1, metavar="[JOB|TABLE]...")
@_env
@_lake
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--retain", metavar="TIME", help="Keep files that left a table for so long; '7 days' where not said.")
@click.option("--allow-short", is_flag=True, help="Allow less than 7 days, while no job of the lake is running.")
@_json
def maintain(
    names: tuple[str, ...],
    *,
    env: str | None,
    lake: str | None,
    dry_run: bool,
    retain: str | None,
    allow_short: bool,
    as_json: bool,
) -> NoReturn:
    """Look after the tables of JOBs (all of the project, where none is named), or after a TABLE (schema.table).

    Forgets old events, purges deleted rows, brings small files together and removes files that nobody needs, each where
    it pays. It runs beside the jobs: no row that readers see changes.
    """
    from lakehouse.runtime.maintain import maintain, plan
    from lakehouse.runtime.progress import cared_for

    def say(cared: Cared) -> None:
        for line in cared_for(cared):
            click.echo(line)

    error: LakehouseError | None = None
    answer: dict[str, Any] = {"status": "failed", "dry_run": dry_run, "tables": []}
    try:
        asked = plan(retain=retain, allow_short=allow_short, dry_run=dry_run)
        report = maintain(names, asked, env=env, lake=lake, say=say)
        answer, error = report.as_json(), report.error
    except Exception as failure:
        error = failure if isinstance(failure, LakehouseError) else LakehouseError(first_line(failure))
    _end([(answer, error)], as_json=as_json)


@cli.group()
def quarantine() -> None:
    """What was put aside of a table (schema.table): look at it, and bring it in after a fix."""


@quarantine.command("show")
@click.argument("table")
@_env
@_lake
def show_quarantine(table: str, env: str | None, lake: str | None) -> None:
    """Show how many rows broke what, with examples."""
    from lakehouse.runtime.show import quarantined
    from lakehouse.runtime.workplace import lake_of

    for line in quarantined(table, lake_of(env, lake)):
        click.echo(line)


@quarantine.command(epilog=_EXITS)
@click.argument("table")
@click.option("--where", metavar="SQL", help="Only these: a condition on the columns of the quarantine.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@_env
@_lake
@_param
@_json
def requeue(
    table: str,
    *,
    where: str | None,
    dry_run: bool,
    env: str | None,
    lake: str | None,
    params: tuple[str, ...],
    as_json: bool,
) -> NoReturn:
    """Bring in what was put aside of TABLE, after a fix.

    Each row goes through the job that met it once, at the place in the order that it came with: nothing newer is
    overwritten. What is still wrong is put aside again. What was interrupted is settled first.
    """
    from lakehouse.runtime.progress import Progress, requeued
    from lakehouse.runtime.requeue import requeue as run_again
    from lakehouse.runtime.requeue import writers

    error: LakehouseError | None = None
    answer: dict[str, Any] = {"table": table, "status": "failed", "dry_run": dry_run, "runs": []}
    try:
        works = writers(table, env=env, lake=lake, params=dict(map(_pair, params)))
        report = run_again(works, where=where, dry_run=dry_run, progress=Progress)
        for line in requeued(report):
            click.echo(line)
        answer, error = report.as_json(), report.error
    except Exception as failure:
        error = failure if isinstance(failure, LakehouseError) else LakehouseError(first_line(failure))
    _end([(answer, error)], as_json=as_json)


def main() -> NoReturn:
    """The entry point: errors of this library end in one message and their exit code."""
    try:
        cli(standalone_mode=True)
    except LakehouseError as error:
        click.echo(f"{error.code}: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(0)
