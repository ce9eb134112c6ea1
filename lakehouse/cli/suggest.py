"""``lakehouse contract suggest``: a first contract of what data holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, Answer, answered
from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from lakehouse.lake.place import Lake

FORMAT = click.option("--format", metavar="FORMAT", help="How the files are written; told by their ending.")
DELIMITER = click.option("--delimiter", metavar="TEXT", help="The delimiter of CSV; told by the header.")


@click.command(epilog=EXITS)
@click.argument("source")
@FORMAT
@DELIMITER
@click.option("--rows", type=click.IntRange(1, 10_000_000), default=100_000, show_default=True, help="Rows to look at.")
@click.option("--to", metavar="FILE", help="Write it there, and not to stdout; nothing is written over.")
@ENV
@LAKE
@JSON
def suggest(
    source: str,
    *,
    rows: int,
    to: str | None,
    env: str | None,
    lake: str | None,
    as_json: bool,
    **written: Any,
) -> NoReturn:
    """Write a first contract for SOURCE: a file, a folder, or a table of the lake (schema.table).

    It is made of a sample, and accepts all of that: the narrowest type that has every value exactly, what was never
    NULL, which columns may be keys or personal data. No value of what may be personal is in it.
    """
    from lakehouse.runtime.suggest import contract as text_of
    from lakehouse.runtime.suggest import look

    def action() -> Answer:
        if to and Path(to).exists():
            message = f"--to {to}: there already, and nothing is written over"
            raise ConfigError(message)
        place, settings = around(env, lake)
        sample = look(source, place, settings, rows=rows, **written)
        text = text_of(sample)
        if to:
            Path(to).parent.mkdir(parents=True, exist_ok=True)
            Path(to).write_text(text, encoding="utf-8")
        elif not as_json:
            click.echo(text, nl=False)
        columns = {one.name: one.type for one in sample.columns}
        return {"source": source, "status": "done", "rows": sample.rows, "columns": columns, "contract": text}, None

    answered({"source": source, "status": "failed"}, action, as_json=as_json)


def around(env: str | None, lake: str | None) -> tuple[Lake | None, dict[str, str]]:
    """The lake and the settings of the project around here; none where there is no project and none is asked for."""
    from lakehouse.runtime.workplace import surroundings
    from lakehouse.spec.project import Project

    try:
        project = Project.around(Path.cwd())
    except ConfigError:
        if env or lake:
            raise
        return None, {}
    if not env and not lake and not project.envs:
        return None, {}
    return surroundings(project, env, lake)
