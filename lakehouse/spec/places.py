"""Folders that a configuration names: made absolute, held inside of the roots, and kept away from code and tables."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_PATTERN = re.compile(r"[*?\[\]{}\\]")

_CODE = frozenset(
    {
        *("conf", "jobs", "contracts", "notebooks", "tests", "scripts", "benchmarks", "docs", "lakehouse"),
        *("src", "lib", "bin", "include", "env", "venv", "site-packages", "node_modules", "__pycache__", "dags"),
        *(".git", ".github", ".ci", ".venv", ".idea", ".vscode", ".databricks"),
    }
)
"""Folders of a project that hold code or configuration, as far as their names tell."""

_TOOLS = frozenset(
    {
        *(".git", ".github", ".gitlab", ".svn", ".hg", ".ci", ".venv", ".idea", ".vscode", ".databricks", ".terraform"),
        *(".env", ".envrc", ".ssh", ".aws", ".azure", ".gcp", ".gnupg", ".kube", ".docker", ".config", ".secrets"),
    }
)
"""Folders and files of tools, which may hold secrets: no source, wherever in the project they are."""

_OURS = frozenset({"ops", "quarantine"})
"""Schemas of a lake that this library writes itself."""


def absolute(base: Path, text: str, where: str) -> str:
    """The folder that a configuration names as an absolute path, its ``..`` and links followed; a URI as it is.

    What a reference stood for may be secret, so that messages say where it stands and not what it is.

    Raises:
        ConfigError: it is no path.
    """
    if not text:
        message = f"{where}: is empty"
        raise ConfigError(message)
    if text.lower().startswith("file:"):
        text = _of_file_uri(text, where)
    elif _URI.match(text):
        if ".." in text.split("/"):
            message = f"{where}: the path of a URI may not hold '..'"
            raise ConfigError(message)
        return text.rstrip("/")
    try:
        place = (base / text).resolve()
        place.exists()  # a name that is too long for any file system is none
    except (OSError, RuntimeError, ValueError):
        message = f"{where}: is not a path"
        raise ConfigError(message) from None
    return str(place)


def _of_file_uri(text: str, where: str) -> str:
    """The path of a ``file:`` URI, which is held to the same rules as one that is written as a path."""
    rest = text[len("file:") :]
    if not rest.startswith("/") or (rest.startswith("//") and not rest.startswith("///")):
        message = f"{where}: write a folder of this machine as a path, or as file:///path"
        raise ConfigError(message)
    return "/" + rest.lstrip("/")


def plain(text: str, where: str) -> str:
    """The text, once Spark will not take it for a pattern, which could lead anywhere.

    Raises:
        ConfigError: it holds a character of a pattern.
    """
    if found := _PATTERN.search(text):
        message = f"{where}: a folder, without '{found.group()}'"
        raise ConfigError(message, hint="pattern: says which of its files are read")
    return text


def is_local(folder: str) -> bool:
    """Whether it is a folder of this machine."""
    return _URI.match(folder) is None


def is_within(folder: str, root: str) -> bool:
    """Whether a folder is a root or lies in it; on this machine by what the file system says, too.

    Names that differ in case or in their Unicode form only are one folder to some file systems.
    """
    if not (is_local(folder) and is_local(root)):
        return f"{folder}/".startswith(root.rstrip("/") + "/")
    parts, wanted = _parts(folder), _parts(root)
    return parts[: len(wanted)] == wanted or any(_is_same(one, root) for one in (folder, *map(str, _above(folder))))


def _parts(folder: str) -> list[str]:
    return [unicodedata.normalize("NFKC", part).casefold() for part in Path(folder).parts]


def _above(folder: str) -> Iterator[Path]:
    yield from Path(folder).parents


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.stat(one), os.stat(other))  # noqa: PTH116 -- one call for each
    except (OSError, ValueError):
        return False


def meet(one: str, other: str) -> bool:
    """Whether one of two folders is the other one or lies in it."""
    return is_within(one, other) or is_within(other, one)


@dataclass(frozen=True)
class Places:
    """The folders of a project in its environment, and what may be done in them.

    ``roots`` are those of the environment: folders beyond the project and the lake that may be read. ``schemas`` are
    the folders of the lake in which jobs of the project read or write tables.
    """

    project: str
    lake: str
    roots: tuple[str, ...] = ()
    schemas: frozenset[str] = frozenset()

    def check_lake(self) -> None:
        """Hold the lake against the project, whose files its tables would lie among.

        Raises:
            ConfigError: it is the project's folder or around it, or a folder of code or configuration.
        """
        if not is_local(self.lake):
            return
        if is_within(self.project, self.lake):
            message = "lake: it is the project's folder or lies around it: tables would be written among code"
            raise ConfigError(message, hint="a folder of its own, such as .lake")
        if why := self._is_code(self.lake, hidden=False):
            message = f"lake: {why}"
            raise ConfigError(message, hint="a folder of its own, such as .lake")

    def check_read(self, folder: str, shown: str) -> None:
        """Hold a folder that is read against the roots.

        Raises:
            ConfigError: it lies in none of them, or in a tool's folder of the project, such as .git.
        """
        if not any(is_within(folder, root) for root in (self.project, self.lake, *self.roots)):
            message = f"{shown} lies outside of the project, the lake and the environment's roots"
            raise ConfigError(message, hint="add its folder to roots: in conf/env/<name>.yaml")
        if self._is_of_tools(folder):
            message = f"{shown} lies in a tool's folder of the project, which may hold secrets"
            raise ConfigError(message, hint="another folder, or one that roots: in conf/env/<name>.yaml names")

    def check_move(self, folder: str, where: str) -> None:
        """Hold a folder that files are moved out of or into against what must never change that way.

        Raises:
            ConfigError: code, configuration or tables are in it or around it.
        """
        if not is_local(folder):
            return
        hint = "a folder for data alone, such as landing/done, or one beside it"
        why = None
        if is_within(self.project, folder):
            why = "it is the project's folder or lies around it"
        elif is_local(self.lake) and is_within(self.lake, folder):
            why = "the lake is in it"
        elif is_local(self.lake) and is_within(folder, self.lake):
            why = self._is_of_tables(folder)
        else:
            why = self._is_code(folder, hidden=True)
        if why:
            message = f"{where}: {why}: files are moved from data to data alone"
            raise ConfigError(message, hint=hint)

    def may_be_linked(self, target: str) -> bool:
        """Whether a link that came with the data may lead there: into a root of the environment, which is for data.

        Never into the lake, and of the project only where a root names what is there.
        """
        if is_local(self.lake) and is_within(target, self.lake):
            return False
        if any(is_within(self.project, root) for root in self.roots) and is_within(target, self.project):
            return False
        return not self._is_code(target, hidden=True) and any(is_within(target, root) for root in self.roots)

    def _is_of_tools(self, folder: str) -> bool:
        """Whether it lies in a folder of the project that a tool keeps, and that nothing opens to it."""
        if not is_local(folder) or any(is_within(folder, root) for root in self._data):
            return False
        return not _TOOLS.isdisjoint(self._below_project(folder))

    def _below_project(self, folder: str) -> list[str]:
        parts, project = _parts(folder), _parts(self.project)
        return parts[len(project) :] if parts[: len(project)] == project else []

    @property
    def _data(self) -> list[str]:
        """What holds data though it lies in the project, but for what is the project itself or around it."""
        return [root for root in (self.lake, *self.roots) if is_local(root) and not is_within(self.project, root)]

    def _is_code(self, folder: str, *, hidden: bool) -> str | None:
        """Why a folder may hold code, if it may."""
        below = self._below_project(folder)
        if below and below[0] in _CODE:
            return f"{below[0]}/ of the project is for code or configuration"
        if hidden and below and below[0].startswith("."):
            return f"{below[0]}/ of the project is for tools"
        if any(is_within(folder, one) for one in self._loaded()):
            return "Python loads modules from there"
        existing = (Path(self.project) / name for name in sorted(_CODE))
        if any(_is_same(str(one), str(place)) for place in existing for one in (folder, *_above(folder))):
            return "it is a folder of the project for code or configuration, by another name"
        return None

    def _loaded(self) -> Iterable[str]:
        """Where Python looks for modules, but for what the project lies in."""
        for text in {*sys.path, sys.prefix, str(Path(__file__).parents[1])}:
            place = os.path.realpath(text or ".")
            if not is_within(self.project, place):
                yield place

    def _is_of_tables(self, folder: str) -> str | None:
        """Why a folder in the lake may hold tables, checkpoints or the ledger, if it may."""
        if is_within(self.lake, folder):
            return "it is the lake"
        first = _parts(folder)[len(_parts(self.lake))]
        if first.startswith(("_", ".")) or first in _OURS | self.schemas or self._has_tables(first):
            return f"{first}/ of the lake is for tables and what belongs to them"
        return None

    def _has_tables(self, first: str) -> bool:
        place = Path(self.lake) / first
        return any(place.glob("_delta_log")) or any(place.glob("*/_delta_log"))
