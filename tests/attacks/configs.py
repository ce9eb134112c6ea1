"""Hostile configurations, made by a seed: what each becomes is a job, or an error with its place, and nothing else.

``attack()`` is the whole of it; the suite runs a sample.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError, InvalidConfigError
from lakehouse.runtime.sample import Sample, Seen
from lakehouse.runtime.scaffold import Wanted, files, written
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.document import read_document
from lakehouse.spec.files import FilesSource
from lakehouse.spec.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
"""The repository, whose own confs are what is mutated."""

SECONDS = 10.0
"""Processor time that no configuration may take; the worst that is known takes one."""


@dataclass(frozen=True)
class Raw:
    """A piece of YAML as it is."""

    text: str


SCALARS: tuple[Any, ...] = (
    *(Raw(text) for text in ("~", ".inf", "-.nan", "1e999", "0x" + "f" * 300, "9" * 5000, "1:2:3", "2020-01-01", "=")),
    *(
        Raw(text)
        for text in ("!!python/name:os.system", "!x y", "&a [1]", "*a", "<<", "{<<: {a: 1}}", "? [a]", "|\n  x")
    ),
    *(
        Raw(text)
        for text in ('"\\U00110000"', '"\\ud800"', '"\\0"', '"\\x1b[2J"', "[" * 40, "- - -", "%YAML", "@", "`")
    ),
    *(Raw("[" * depth + "]" * depth) for depth in (5, 31, 33, 3000)),
    *(
        "",
        " ",
        "x" * 3000,
        "\u202e",
        "\ufeff",
        "😀",
        "ünï",
        "a\nb",
        "${env:HOME}",
        "${param:x}",
        "${",
        "${env:}",
        "$",
        "%s",
    ),
    *("../../x", "/etc/passwd", "file:///etc", "s3://b/x", "C:\\x", "a/" * 800, "conf/x.yaml", ".", "..", "~", "con"),
    *("'; DROP TABLE x; --", "x') OR 1=1", "map(1) = 1", "(" * 500, "reflect('java.lang.System', 'exit')", "1", "null"),
    *(
        "array<" * 300,
        "struct<" + "a:int," * 500,
        "decimal(99,99)",
        "long",
        "TIMESTAMP",
        "map<",
        "int not null not null",
    ),
    *(
        "(?P<a>(a+)+)",
        "(" * 300,
        "[",
        "(?P<a>x{99999999999})",
        "*?[a",
        "__x",
        "_source",
        "class",
        "bronze.x; y",
        "ops.runs",
    ),
    *(0, -1, 2**63, 1.5, True, False, None, [], {}, [[]], {"a": {}}, [None], ["a", "a"], {"": ""}, list(range(300))),
)
"""What stands in the place of a value."""

TEXTS = (
    lambda text, _: text[: len(text) // 2],
    lambda text, _: "\ufeff" + text,
    lambda text, _: text.encode("utf-16"),
    lambda text, _: text.encode("utf-32"),
    lambda text, _: text.encode() + b"\xff\xfe",
    lambda text, _: text.replace("  ", "\t"),
    lambda text, _: text.replace("\n", "\r"),
    lambda text, _: text + "\0",
    lambda text, _: text + text,
    lambda text, _: text + "---\n" + text,
    lambda text, _: "%YAML 1.1\n---\n" + text,
    lambda text, _: "\n".join(line for line in text.splitlines() for _ in range(2)),
    lambda text, _: text.replace(":", ""),
    lambda text, _: text + "x: " + "- " * 3000,
    lambda text, _: text + "".join(" " * depth + "a:\n" for depth in range(200)),
    lambda text, _: text + "a: &a [1]\nb: [*a, *a]\n",
    lambda text, rng: _flip(text, rng, 1),
    lambda text, rng: _flip(text, rng, 20),
    lambda text, rng: _shuffle(text, rng),
    lambda text, _: text + "#" + "x" * 300_000,
)
"""What becomes of a whole file."""


def _flip(text: str, rng: random.Random, times: int) -> str:
    characters = list(text)
    for _ in range(times):
        characters[rng.randrange(len(characters))] = chr(
            rng.choice([0, 9, 10, 32, 34, 58, 91, 123, 0x85, 0x2028, 0x1F600])
        )
    return "".join(characters)


def _shuffle(text: str, rng: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    rng.shuffle(lines)
    return "".join(lines)


def documents(seed: int, count: int) -> Iterator[dict[str, bytes]]:
    """Files of hostile projects, by their paths: each is a real one in which some parts are others."""
    rng = random.Random(seed)
    confs = sorted(path for path in (ROOT / "conf").glob("*.yaml"))
    for _ in range(count):
        conf = rng.choice(confs)
        made = {"conf/x.yaml": conf.read_text().replace(f"job: {conf.stem}", "job: x"), "conf/env/local.yaml": ENV}
        made |= {f"contracts/{path.name}": path.read_text() for path in (ROOT / "contracts").glob("*.yaml")}
        code = ROOT / "jobs" / f"{conf.stem}.py"
        if code.exists():
            made["jobs/x.py"] = code.read_text()
        target = rng.choices(sorted(made), [6 if name == "conf/x.yaml" else 1 for name in sorted(made)])[0]
        text: Any = made[target]
        if target.endswith(".py"):
            text = rng.choice(CODINGS) + text
        elif rng.random() < 0.25:
            text = rng.choice(TEXTS)(text, rng)
        else:
            text = _mutated(text, rng)
        yield {
            name: one if isinstance(one, bytes) else one.encode("utf-8", "surrogatepass")
            for name, one in {**made, target: text}.items()
        }


ENV = "lake: .lake\nparams: {landing: landing, kafka: '127.0.0.1:9'}\nspark: {spark.sql.shuffle.partitions: 2}\nroots: []\n"
CODINGS = (
    *(f"# coding: {name}\n" for name in ("rot13", "hex", "unknown", "utf-16", "undefined", "utf-7", "bz2", "latin-1")),
    *("\0", "(" * 3000, "x = " + "-" * 50_000 + "1\n", "\ufeff\ufeff", "x = '\ud800'\n", "if 1:\n" * 3, "async ", "\f"),
)


def _mutated(text: str, rng: random.Random) -> str:
    """The document with some of its parts in other words."""
    scratch = Path(os.environ.get("TMPDIR", "/tmp")) / f"attacks-{os.getpid()}.yaml"  # noqa: S108 -- read at once
    scratch.write_text(text)
    try:
        data = read_document(scratch, shown_as="x").data
    finally:
        scratch.unlink()
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        holder, key = rng.choice(list(_places(data)) or [({"x": 1}, "x")])
        act = rng.randrange(6)
        if act == 0 and isinstance(holder, dict):
            del holder[key]
        elif act == 1 and isinstance(holder, dict):
            holder[rng.choice([str(key) + "s", str(key)[:-1], str(key).upper(), "x" * 300, "\u202e", "", "true"])] = (
                holder[key]
            )
        elif act == 2:
            _, other = rng.choice(list(_places(data)) or [({}, "x")])
            holder[key] = [other, {str(other): other}]
        else:
            holder[key] = rng.choice(SCALARS)
    return _yaml(data)


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(data) if isinstance(data, dict) else range(len(data)):
        yield data, key
        if isinstance(data[key], dict | list):
            yield from _places(data[key])


def _yaml(data: Any) -> str:
    """The data as YAML in brackets, but for what is raw."""
    if isinstance(data, Raw):
        return data.text
    if isinstance(data, dict):
        return "{" + ",\n ".join(f"{json.dumps(str(key))}: {_yaml(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(map(_yaml, data)) + "]"
    return json.dumps(data, ensure_ascii=False)


def judge(made: dict[str, bytes], root: Path) -> str | None:
    """Load a project of these files; what was wrong with how that went."""
    for name, content in made.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    environ, modules, begin = dict(os.environ), set(sys.modules), time.process_time()
    wrong = _read(lambda: Project(root).job("x")) or _read(lambda: Project(root).env())
    if (spent := time.process_time() - begin) > SECONDS:
        wrong = f"took {spent:.1f} s"
    if dict(os.environ) != environ:
        wrong = "the environment was changed"
    if loaded := {name for name in set(sys.modules) - modules if name.startswith(("lakehouse_jobs", "jobs"))}:
        wrong = f"code was loaded: {loaded}"
    for name in made:
        (root / name).unlink()
    return wrong


def _read(read: Callable[[], object]) -> str | None:
    """What is wrong with how reading ends."""
    try:
        read()
    except InvalidConfigError as error:
        if any(problem.line < 1 or problem.column < 1 or not problem.file for problem in error.problems):
            return f"no place: {error}"
        return f"a control character is echoed: {error!r}" if "\x1b" in str(error) else None
    except ConfigError as error:
        return None if str(error) else "an error that says nothing"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None


NAMES = tuple(
    f"{before}{odd}{after}"
    for odd in (
        *(
            '");print("PWN");("',
            "');print('PWN');('",
            '"""',
            "'''",
            "\\",
            "\n",
            "\r",
            "\t",
            "\x00",
            "\x1b[31m",
            "\x7f",
            "\x85",
        ),
        *(
            "\u2028",
            "\u202e",
            "\ufeff",
            "😀",
            "\U000e0001",
            "${env:HOME}",
            "${param:x}",
            "${spark.sql.x}",
            "{{x}}",
            "%s",
            "#",
        ),
        *(
            ": ",
            "- ",
            "&a",
            "*a",
            "!!int",
            "`",
            "''",
            "|",
            ">",
            "[",
            "{",
            ",",
            "?",
            "@",
            "~",
            "/",
            "..",
            "; DROP TABLE x; --",
        ),
    )
    for before, after in (("", ""), ("a", ""), ("", "z"), ("a", "z"))
)
"""Names of files, folders and columns."""

PATHS = (
    *(
        "jobs",
        "./jobs",
        "jobs/",
        "jobs//x",
        "a/../jobs",
        "JOBS",
        "jobs/deep/er",
        "conf",
        "conf/env",
        "contracts",
        "tests",
    ),
    *(
        ".",
        "./",
        "..",
        "../..",
        "/",
        "//",
        "/etc",
        "/proc/self/cwd",
        "/dev/stdin",
        "~",
        "~/x",
        "$HOME",
        "%2e%2e",
        "..%2fx",
    ),
    *(
        "file:jobs",
        "file:/etc",
        "file:///etc/../etc",
        "FILE:///etc",
        "file://localhost/etc",
        "jar:file:/x!/y",
        "http://x/y",
    ),
    *(
        "lake",
        "lake/x",
        "lake/_checkpoints/x",
        "lake/ops/runs",
        "lake/bronze",
        ".git",
        ".venv/lib",
        "link",
        "link/x",
        "loop",
    ),
    *(
        "up",
        "up/x",
        "x" * 300,
        "x/" * 2000,
        "a\0b",
        "\udcff",
        "{a,b}",
        "*",
        "[j]obs",
        "jo?s",
        "con",
        "nul:",
        "a\\..\\b",
    ),
)
"""Folders that a conf may name; ``link`` leads to jobs, ``up`` out of the project, ``loop`` to itself."""


def hostile_names(root: Path, names: tuple[str, ...] = NAMES) -> Iterator[str]:
    """What is wrong with what `lakehouse new` makes of the names."""
    for at, name in enumerate(names):
        for where in ("folder", "file", "column"):
            folder = f"/data/{name}" if where == "folder" else "/data/orders"
            file = f"{folder}/{name}" if where == "file" else f"{folder}/a.csv"
            try:
                source = FilesSource(kind="files", path=folder, format="csv")
                seen = (Seen(name if where == "column" else "id", "int", 9),)
                made = files(Wanted("a", "o", "b.a"), Sample(file, "1", 1, 0, seen, source, file), root / "new", None)
                written(made, root / f"{at}{where}")
                Project(root / f"{at}{where}").job("a")
                for path, text in made.items():
                    if path.endswith(".py") and "print(" in "".join(_code_of(text)):
                        yield f"{where} {name!r}: code in {path}"
            except (ConfigError, ValueError):
                continue
            except BaseException as error:
                yield f"{where} {name!r}: {type(error).__name__}: {error}"


def _code_of(text: str) -> Iterator[str]:
    """The tokens of Python but for its texts and comments."""
    import io
    import tokenize

    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.STRING, tokenize.COMMENT):
            yield token.string


def hostile_paths(root: Path, paths: tuple[str, ...] = PATHS) -> Iterator[str]:
    """What is wrong with what becomes of the paths as source, archive, contract and lake."""
    for name in ("conf/env", "jobs", "landing/o", "lake/bronze/t/_delta_log", ".git"):
        (root / name).mkdir(parents=True)
    for name, target in (("link", "jobs"), ("up", ".."), ("loop", "loop")):
        (root / name).symlink_to(target)
    base = {"job": "x", "about": "a", "write": {"table": "bronze.t", "mode": "append"}}
    for path, where in product(paths, ("path", "archive_to", "contract", "lake")):
        source = {"kind": "files", "path": "landing/o", **({} if where == "lake" else {where: path})}
        (root / "conf/x.yaml").write_bytes(_bytes(json.dumps({**base, "sources": {"o": source}})))
        (root / "conf/env/local.yaml").write_bytes(_bytes(json.dumps({"lake": path if where == "lake" else "lake"})))
        if found := _placed(root, where):
            yield f"{where}: {path[:60]!r}: {found}"


def _placed(root: Path, where: str) -> str | None:
    """What is wrong with where the project's folders are."""
    try:
        work = prepare("x", root=root)
    except ConfigError:
        return None
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:100]}"
    place = Path(work.lake.root if where == "lake" else work.folders.get(f"o.{where}") or work.folders["o"])
    if where != "lake" and not place.is_relative_to(root):
        return f"leads out, to {place}"
    closed = [root / name for name in ("jobs", "conf", ".git")]
    is_among_code = root.is_relative_to(place) or any(place.is_relative_to(one) for one in closed)
    return f"is among code, {place}" if where in ("archive_to", "lake") and is_among_code else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def attack(root: Path, *, seed: int = 16, count: int = 2000) -> list[str]:
    """Everything that went wrong; an empty folder is given for it."""
    beside = root / "beside"
    beside.mkdir()
    wrong = []
    for number, made in enumerate(documents(seed, count)):
        if found := judge(made, root / "project"):
            wrong.append(f"document {number} of seed {seed}: {found}")
    with suppress(FileNotFoundError):
        wrong += [f"beside: {path}" for path in beside.iterdir()]
    wrong += hostile_names(root / "names")
    wrong += hostile_paths(root / "paths")
    return wrong
