"""``lakehouse new``: a job, its contract and its test, from a look at real data."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, Answer, answered
from lakehouse.cli.suggest import DELIMITER, FORMAT, around
from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from lakehouse.runtime.sample import Sample
    from lakehouse.runtime.scaffold import Mode, Wanted

_MODES = click.Choice(["append", "scd1", "scd2"])


@click.command(epilog=EXITS)
@click.argument("job", required=False)
@click.option("--from", "source", metavar="SOURCE", help="A file, a folder, or a table of the lake (schema.table).")
@click.option("--name", metavar="NAME", help="What the job calls its source, and the contract's file.")
@click.option("--table", metavar="TABLE", help="The target, as schema.table.")
@click.option("--mode", type=_MODES, help="How rows are written.")
@click.option("--keys", metavar="COLUMNS", help="What tells a row of the table, as a,b; of scd1 and scd2.")
@click.option("--sequence-by", metavar="COLUMNS", help="What orders the changes of a key; of scd1 and scd2.")
@click.option("--about", metavar="TEXT", help="What one row of the table is.")
@click.option("--owner", metavar="TEXT", help="Who answers for it.")
@FORMAT
@DELIMITER
@click.option("--dry-run", is_flag=True, help="Show the files, and write none.")
@ENV
@LAKE
@JSON
def new(job: str | None, *, as_json: bool, **asked: Any) -> NoReturn:
    """Make a new JOB from a look at its SOURCE: conf, contract, code and test; asks for what is not said.

    Nothing that is there is written over. In a folder that is no project yet, it becomes one.
    """

    def action() -> Answer:
        return _made(job, as_json=as_json, **asked)

    answered({"job": job, "status": "failed", "files": []}, action, as_json=as_json)


def _made(
    job: str | None,
    *,
    source: str | None,
    format: str | None,
    delimiter: str | None,
    env: str | None,
    lake: str | None,
    dry_run: bool,
    **asked: Any,
) -> Answer:
    from lakehouse.runtime.scaffold import files, written
    from lakehouse.runtime.suggest import look, plain
    from lakehouse.spec.project import Project

    source = source or _ask("What is read: a file, a folder, or a table")
    name = asked["name"] or _name_of(source)
    job = job or _ask("The job's name", f"bronze_{name}")
    where, settings = around(env, lake)
    click.echo(f"looking at {plain(source)}", err=True)
    sample = look(source, where, settings, format=format, delimiter=delimiter)  # type: ignore[arg-type]
    for one in sample.columns:
        click.echo(f"  {plain(one.name)}  {plain(one.type)}", err=True)
    wanted = _wanted(job, name, sample, **{key: value for key, value in asked.items() if key != "name"})
    _warn_of_keys(wanted, sample)
    try:
        project: Project | None = Project.around(Path.cwd())
    except ConfigError:
        project = None
    root = project.root if project else Path.cwd()
    place = project.env(env) if project and project.envs else None
    made = files(wanted, sample, root, place)
    if dry_run:
        for path, text in made.items():
            click.echo(f"--- {path}\n{text}")
    else:
        written(made, root)
        for path in made:
            click.echo(f"wrote {path}")
        click.echo(f"next: lakehouse check; pytest; lakehouse run {job}", err=True)
    return {"job": job, "status": "done", "dry_run": dry_run, "files": sorted(made)}, None


def _warn_of_keys(wanted: Wanted, sample: Sample) -> None:
    """Say where the keys and the sequence do not tell the rows of the sample apart."""
    known = {one.name for one in sample.columns}
    if not known.issuperset((*wanted.keys, *wanted.sequence_by)):
        return
    if groups := sample.ambiguous(wanted.keys, wanted.sequence_by):
        keys, sequence = ", ".join(wanted.keys), ", ".join(wanted.sequence_by)
        text = f"warning: {groups:,} keys ({keys}) have rows in the sample that differ and have the same {sequence}"
        click.echo(f"{text}: of each all but one would count as duplicates and be left out", err=True)


def _wanted(job: str, name: str, sample: Sample, **asked: Any) -> Wanted:
    """What the job is to be, as the command line says; asked for where it does not."""
    from lakehouse.runtime.scaffold import Wanted

    by_time = [one.name for one in sample.columns if one.type in ("timestamp", "date")]
    by_time.sort(key=lambda column: not re.search("updat|modif|chang", column.lower()))
    keys = sample.keys or [one.name for one in sample.columns if re.search("(^|_)id$", one.name.lower())]
    table = asked["table"] or _ask("The table that it writes", job.replace("_", ".", 1))
    mode = asked["mode"] or _ask("How: append, scd1 or scd2", "scd1" if keys and by_time else "append", kind=_MODES)
    ordered = mode != "append"
    return Wanted(
        job,
        name,
        table,
        cast("Mode", mode),
        _names(asked["keys"] or (_ask("Its keys, as a,b", ",".join(keys[:1]) or None) if ordered else "")),
        _names(asked["sequence_by"] or (_ask("Ordered by", ",".join(by_time[:1]) or None) if ordered else "")),
        asked["about"] or "",
        asked["owner"] or "",
    )


def _ask(what: str, default: str | None = None, *, kind: click.Choice[str] | None = None) -> str:
    """Ask on the terminal; stdout is the answer's alone."""
    try:
        return str(click.prompt(what, default=default, type=kind, err=True))
    except click.Abort:
        message = f"{what}?"
        raise ConfigError(message, hint="say it by an option: lakehouse new --help") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _name_of(source: str) -> str:
    """A name for a source, as a parameter of a function may be called."""
    name = re.sub(r"[^a-z0-9]+", "_", _stem(source).lower()).strip("_") or "rows"
    return name if name[0].isalpha() and not keyword.iskeyword(name) else f"rows_{name}"


def _stem(source: str) -> str:
    """What a source may be called: a table's or folder's name, or a file's folder."""
    place = Path(source)
    if place.is_file():
        return place.resolve().parent.name
    return place.name if place.exists() else source.rpartition(".")[2]
