"""``lakehouse new``: the files of a new job, made of a look at its source; nothing that is there is touched."""

from __future__ import annotations

import csv
import io
import json
import keyword
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from lakehouse.errors import ConfigError
from lakehouse.lake.frame import quoted
from lakehouse.runtime import suggest
from lakehouse.runtime.suggest import in_quotes, plain, scalar
from lakehouse.spec.appended import find_changing_jobs
from lakehouse.spec.base import JobName, TableName
from lakehouse.spec.document import nearest
from lakehouse.spec.project import Project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.runtime.sample import Sample, Seen
    from lakehouse.spec.env import Env

Mode = Literal["append", "scd1", "scd2"]

_COUNT = 3
"""Rows of a test that keep the contract."""

_SETTINGS = """spark:
  spark.sql.shuffle.partitions: 2            # few and small: this machine, and not a cluster
  spark.databricks.delta.snapshotPartitions: 2
"""
_ENDING = re.compile(r"\.[A-Za-z0-9_-]{1,20}")
_ODD = re.compile(r"[ ,;{}()\n\t=]")
_CONFIGURES_TESTS = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


@dataclass(frozen=True)
class Wanted:
    """What a new job is to be; ``source`` is the name that it gives to what it reads."""

    job: str
    source: str
    table: str
    mode: Mode = "append"
    keys: tuple[str, ...] = ()
    sequence_by: tuple[str, ...] = ()
    about: str = ""
    owner: str = ""


@dataclass(frozen=True)
class _Place:
    """How the job finds its folder, and a test its own: by a parameter; ``below`` is the folder under that."""

    parameter: str
    value: str | None
    below: str

    @property
    def path(self) -> str:
        return f"${{param:{self.parameter}}}" + (f"/{self.below}" if self.below else "")


def files(wanted: Wanted, sample: Sample, root: Path, env: Env | None) -> dict[str, str]:
    """The files of the job by their paths in the project, once they are known to be good.

    Args:
        wanted: what the job is to be.
        sample: a look at its source.
        root: the project's folder.
        env: the environment that the job is to run in; None where there is none, so that one is made.

    Raises:
        ConfigError: a column is not in the sample, or the files would not make a job.
    """
    _check_names(wanted)
    _held_against(wanted, sample)
    place, changed = _place(sample, root, env), _changed_by(wanted, sample, root)
    made = {
        f"conf/{wanted.job}.yaml": _conf(wanted, sample, place, root, as_it_is=bool(changed)),
        f"contracts/{wanted.source}.yaml": suggest.contract(sample),
        f"jobs/{wanted.job}.py": _code(wanted),
    }
    if test := _test(wanted, sample, place, as_it_is=bool(changed)):
        made[f"tests/jobs/test_{wanted.job}.py"] = test
    if env is None:
        made["conf/env/local.yaml"] = _env(sample, root)
        if not any((root / name).exists() for name in _CONFIGURES_TESTS):
            made["pytest.ini"] = "[pytest]\ntestpaths = tests\npythonpath = .\n"
    _check_files(made)
    with tempfile.TemporaryDirectory() as folder:
        written(made, Path(folder))
        Project(Path(folder)).job(wanted.job)
    return made


def _check_names(wanted: Wanted) -> None:
    """Hold the names that become those of files, functions and parameters against what such names may be.

    Raises:
        ConfigError: one is none.
    """
    kinds: tuple[tuple[str, str, Any], ...] = (
        ("the job", wanted.job, JobName),
        ("--name", wanted.source, JobName),  # of a file, too
        ("--table", wanted.table, TableName),
    )
    for what, name, kind in kinds:
        try:
            TypeAdapter(kind).validate_python(name, strict=True)
        except ValidationError:
            form = "schema.table, each" if what == "--table" else "a name"
            message = f"{what}: '{plain(name)[:60]}' is not {form} of lower case letters, digits and _"
            raise ConfigError(message) from None
        if keyword.iskeyword(name):
            message = f"{what}: '{name}' is a word of Python"
            raise ConfigError(message, hint="another name")


def _check_files(made: Mapping[str, str]) -> None:
    """Hold the files against what can be written, and their Python against what Python reads.

    Raises:
        ConfigError: a name that went into them is no text.
    """
    for path, text in made.items():
        try:
            text.encode()
            if path.endswith(".py"):
                compile(text, path, "exec", dont_inherit=True)
        except (UnicodeEncodeError, ValueError, SyntaxError) as error:
            message = f"{path} cannot be made: a name or folder holds what no such file can: {error.args[0]}"
            raise ConfigError(message, hint="rename the file, the folder or the column") from None


def written(made: Mapping[str, str], root: Path) -> None:
    """Write the files, all of them or none.

    Raises:
        ConfigError: one of them is there already.
    """
    if there := [name for name in made if (root / name).exists()]:
        message = f"{', '.join(there)}: there already, and nothing is written over"
        raise ConfigError(message, hint="another name for the job, or another --name for its source")
    for name, text in made.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with (root / name).open("x", encoding="utf-8") as file:
            file.write(text)


def _held_against(wanted: Wanted, sample: Sample) -> None:
    names = [one.name for one in sample.columns]
    for option, some in (("--keys", wanted.keys), ("--sequence-by", wanted.sequence_by)):
        for name in some:
            if name not in names:
                message = f"{option} {name}: the source has no such column{nearest(name, names)}"
                raise ConfigError(message)
        if wanted.mode != "append" and not some:
            message = f"{wanted.mode} needs {option}"
            raise ConfigError(message, hint=f"the columns are {', '.join(names)}")


def _changed_by(wanted: Wanted, sample: Sample, root: Path) -> str | None:
    """The job of the project that changes rows of the source, which then cannot be read as a stream.

    Raises:
        ConfigError: rows are to be appended, which takes a stream.
    """
    writers = find_changing_jobs(root / "conf", {sample.of}) if sample.source is None else iter(())
    where, _, mode = next(writers, (None, "", ""))
    if where and wanted.mode == "append":
        message = f"{sample.of} is written by {where} with mode: {mode}, which changes rows, and append takes new ones"
        raise ConfigError(message, hint="--mode scd1 or scd2, or --from what that job reads")
    return where


def _place(sample: Sample, root: Path, env: Env | None) -> _Place | None:
    """The folder of the source as the job names it; None for a table.

    Raises:
        ConfigError: it lies where no job of the environment may read.
    """
    if sample.source is None:
        return None
    folder = Path(sample.source.path)
    if found := re.search(r"\$\{|[*?\[\]{}\\]", str(folder)):
        message = f"the name of {plain(str(folder))} holds '{found.group()}', which a configuration takes for more"
        raise ConfigError(message, hint="rename the folder")
    if env is not None and not any("${" in text for text in (*env.roots, env.lake)):
        allowed = [root, *((root / text).resolve() for text in (*env.roots, env.lake))]
        if not any(folder.is_relative_to(one) for one in allowed):
            message = f"{folder} lies outside of the project, the lake and the environment's roots"
            raise ConfigError(message, hint="add its folder to roots: in conf/env/<name>.yaml")
    landing = str(env.params["landing"]) if env and "landing" in env.params else None
    if landing is None:
        return _Place("landing", _within(folder.parent, root), folder.name)
    zone = (root / landing).resolve()
    if "${" not in landing and folder.is_relative_to(zone):
        below = folder.relative_to(zone).as_posix()
        return _Place("landing", None, "" if below == "." else below)
    return _Place("folder", _within(folder, root), "")


def _within(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)


def _conf(wanted: Wanted, sample: Sample, place: _Place | None, root: Path, *, as_it_is: bool) -> str:
    lines = ["# yaml-language-server: $schema=schema.json"] if (root / "conf/schema.json").exists() else []
    lines += [f"job: {wanted.job}", f"about: {scalar(_about(wanted))}"]
    lines += [f"owner: {scalar(wanted.owner)}"] if wanted.owner else []
    if place and place.value is not None:
        lines.append(f"params: {{{place.parameter}: {scalar(place.value)}}}")
    lines += ["sources:", f"  {wanted.source}:"]
    if place:
        lines += ["    kind: files", f"    path: {in_quotes(place.path)}"]
        lines += _files(sample)
    else:
        lines += ["    kind: table", f"    table: {sample.of}"] + ([] if as_it_is else ["    stream: true"])
    contract = f"contract: contracts/{wanted.source}.yaml"
    lines += [] if as_it_is else [f"    {contract}"]
    lines += ["write:", f"  table: {wanted.table}", f"  mode: {wanted.mode}"]
    # what is read as it is is judged once it is transformed
    lines += [f"  {contract}"] if as_it_is else []
    if wanted.mode == "append":
        lines += ["  identity: source             # each record once, by its place in its file"] if place else []
    else:
        lines += [f"  keys: {_listed(wanted.keys)}", f"  sequence_by: {_listed(wanted.sequence_by)}"]
    if _is_odd(sample):
        lines.append("  column_mapping: name         # a column's name holds what Delta refuses otherwise")
    lines.append("  evolve: add_columns          # a column of a new name becomes one here, too")
    return "\n".join(lines) + "\n"


def _is_odd(sample: Sample) -> bool:
    """Whether Delta refuses a column's name unless it is mapped."""
    return any(_ODD.search(one.name) for one in sample.columns)


def _files(sample: Sample) -> list[str]:
    """What a source says of its files beyond where they are."""
    source, lines = sample.source, []
    if source is None:
        return []
    ending = PurePosixPath(_unpacked(sample.of)).suffix
    if sample.of != source.path and _ENDING.fullmatch(ending):
        lines.append(f"    pattern: {in_quotes(f'*{ending}*')}")
    if source.format:
        lines.append(f"    format: {source.format}")
    if source.csv.delimiter != ",":
        lines.append(f"    csv: {{delimiter: {in_quotes(source.csv.delimiter)}}}")
    return lines


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(in_quotes(name) if ',' in name else scalar(name) for name in names)}]"


def _about(wanted: Wanted) -> str:
    meant = {
        "append": "Every row",
        "scd1": "One row per key, in its latest state,",
        "scd2": "Every version of each key",
    }
    return wanted.about or f"{meant[wanted.mode]} of {wanted.source}."


def _code(wanted: Wanted) -> str:
    rows, keeps = wanted.source, wanted.mode == "append"
    told = "As they came, each with the place that it came from." if keeps else "As they came, but for where from."
    about = plain(_about(wanted)).replace("\\", "/").replace('"', "'")
    return f'''"""{about}"""

from __future__ import annotations

from pyspark.sql import DataFrame

import lakehouse


def transform({rows}: DataFrame) -> DataFrame:
    """{told}"""
    return {rows}{"" if keeps else '.drop("_source")'}


if __name__ == "__main__":
    lakehouse.submit(transform)
'''


def _env(sample: Sample, root: Path) -> str:
    lines = "# This machine: the lake is a folder of the project.\nlake: .lake\n"
    folder = Path(sample.source.path) if sample.source else root
    if not folder.is_relative_to(root):
        lines += f"roots: [{in_quotes(str(folder.parent))}]   # what may be read beyond the project\n"
    return lines + _SETTINGS


def _test(wanted: Wanted, sample: Sample, place: _Place | None, *, as_it_is: bool) -> str | None:
    """A test with rows that are made up: what was seen may be personal, and is no part of a repository.

    None where nobody here knows how to write a file of that kind.
    """
    rows = [[_value(one, number) for one in sample.columns] for number in range(1, _COUNT + 1)]
    names, kind = [one.name for one in sample.columns], _kind(sample)
    if kind in ("csv", "json"):
        bad = next((index for index, one in enumerate(sample.columns) if one.type != "string"), None)
        if bad is not None:
            rows.append(["x" if index == bad else value for index, value in enumerate(rows[0])])
        ending = PurePosixPath(_unpacked(sample.file)).suffix.lower()
        name = f"{_below(place)}sample{ending if _ENDINGS.get(ending) == kind else f'.{kind}'}"
        land = f"lake.land({in_quotes(name)}, ROWS)"
        return _test_file(wanted, place, _as_text(names, rows, kind, sample), land, len(rows))
    if kind not in ("parquet", "table"):
        return None
    values = ",\n    ".join(f"({', '.join(map(_sql, sample.columns, row))})" for row in rows)
    text = f"SELECT * FROM VALUES\n    {values}\nAS t({', '.join(map(quoted, names))})\n"  # noqa: S608 -- a test's
    land = f"lake.spark.sql(ROWS).write.parquet(str(lake.landing / {in_quotes(f'{_below(place)}sample')}))"
    if kind == "table":
        mapped = '.option("delta.columnMapping.mode", "name")' if _is_odd(sample) else ""
        table = sample.of.replace(".", "/")
        land = f'lake.spark.sql(ROWS).write.format("delta"){mapped}.save(str(lake.folder / "{table}"))'
    # of what is read as it is nothing is counted but what is written
    return _test_file(wanted, place, text, land, None if as_it_is else _COUNT)


_ENDINGS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}


def _kind(sample: Sample) -> str | None:
    """What the source is, as a test can make one; None where it cannot."""
    if sample.source is None:
        return "table"
    return sample.source.format or _ENDINGS.get(PurePosixPath(_unpacked(sample.file)).suffix.lower())


def _unpacked(name: str) -> str:
    return name[: -len(".gz")] if name.lower().endswith(".gz") else name


def _test_file(wanted: Wanted, place: _Place | None, rows: str, land: str, read: int | None) -> str:
    """A test that lands some rows, of which all but what is more than so many keep the contract."""
    counts = f"(rows.read, rows.accepted, rows.quarantined) == ({read}, {_COUNT}, {(read or 0) - _COUNT})"
    counts = f"rows.inserted == {_COUNT}" if read is None else counts
    read = read or _COUNT
    given = ', params={"folder": str(lake.landing)}' if place and place.parameter == "folder" else ""
    what = "and_the_other_is_kept_aside" if read > _COUNT else "into_the_table"
    return f'''"""The job {wanted.job}: what becomes of rows such as those that come. These are made up."""

from __future__ import annotations

ROWS = {_literal(rows)}


def test_rows_that_keep_the_contract_come_{"in_" if read > _COUNT else ""}{what}(lake):
    {land}

    rows = lake.run("{wanted.job}"{given}).rows

    assert {counts}
    assert len(lake.rows("{wanted.table}")) == {_COUNT}
'''


def _below(place: _Place | None) -> str:
    return f"{place.below}/" if place and place.below else ""


def _value(one: Seen, number: int) -> str:
    """A value of the column, as text, that no other row of the test has where there are enough."""
    kind = one.type.partition("(")[0]
    if kind == "decimal":
        scale = int(one.type.rstrip(")").rpartition(",")[2])
        return f"{number}.{'0' * scale}" if scale else str(number)
    made = {"boolean": "true", "date": f"2026-01-0{number}", "string": f"x{number}", "binary": f"x{number}"}
    made |= dict.fromkeys(("timestamp", "timestamp_ntz"), f"2026-01-0{number} 00:00:00")
    return made.get(kind, str(number))


def _as_text(names: Sequence[str], rows: Sequence[Sequence[str]], kind: str, sample: Sample) -> str:
    if kind == "json":
        return "".join(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
    text = io.StringIO()
    mark = sample.source.csv.delimiter if sample.source else ","
    writer = csv.writer(text, delimiter=mark, lineterminator="\n")
    writer.writerows([names, *rows])
    return text.getvalue()


def _sql(one: Seen, value: str) -> str:
    return f"CAST({'NULL' if '<' in one.type else repr(value)} AS {one.type})"


def _literal(text: str) -> str:
    """A text as Python, on lines of its own where that can be read."""
    if (
        "\\" in text
        or '"""' in text
        or text.endswith('"')
        or not all(one.isprintable() or one in "\n\t" for one in text)
    ):
        return repr(text)
    return f'"""\\\n{text}"""'
