"""Links in the folder of a source: followed where they lead to data of its own, else a verdict on each file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from lakehouse.errors import FileLinkError
from lakehouse.lake.batch import BadFile
from lakehouse.lake.storage import local
from lakehouse.read.scan import glob_escaped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.lake.storage import FileEntry
    from lakehouse.spec.places import Places

LINK = "FILE_LINK"
"""The code of a file that is reached by a link which may not be followed."""

BROKEN = "FILE_LINK_BROKEN"
"""The code of a link that leads nowhere, or to itself."""

NAME = "FILE_NAME_ENCODING"
"""The code of a file, or of a folder, whose name Java cannot read: Spark leaves it out without a word."""

_MOST_LINKS = 100
"""Links to folders that a pattern leaves out: each makes it longer by the length of its name."""

_PLAIN = re.compile(r"[A-Za-z0-9_.=@ +~-]*")
"""Names whose characters are themselves in a pattern of Hadoop's, or are so once escaped."""


@dataclass(frozen=True)
class Links:
    """The folder of a source, the names that are read of it, and where a link in it may lead.

    Whoever delivers files may make links, and must not choose what is read: they may lead to the folder's own hidden
    files and to the environment's roots, never to the project, the lake or anywhere else.
    """

    folder: str
    pattern: str
    places: Places | None = None

    def sort_out(self, files: Sequence[FileEntry]) -> tuple[list[FileEntry], tuple[BadFile, ...]]:
        """The files that may be read, and the links that may not be followed, each once."""
        if local(self.folder) is None:
            return list(files), ()
        real = cache(os.path.realpath)
        good: list[FileEntry] = []
        bad: dict[str, BadFile] = {}
        for file in files:
            found = self._judge(Path(file.path), real(str(Path(file.path).parent)))
            if found is None:
                good.append(file)
            else:
                bad.setdefault(found.file, found)
        return good, tuple(bad.values())

    def _judge(self, path: Path, parent: str) -> BadFile | None:
        """What is wrong with the way to a file; ``parent`` is the real path of its folder."""
        folder = os.path.realpath(self.folder)
        expected = Path(folder) / path.relative_to(self.folder)
        is_plain = parent == str(expected.parent)
        if is_plain and not path.is_symlink():
            return None
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(folder):
            if self.places and self.places.may_be_linked(str(target)):
                return None
            return BadFile(str(path), LINK, "a link leads out of the folder, to where no link may lead")
        below = target.relative_to(folder)
        if is_plain and (_is_hidden(below) or not PurePath(below.name).match(self.pattern)):
            return None
        return BadFile(str(path), LINK, "a link leads to what is read already")

    def never_followed(self, *, charset: str = "utf-8") -> Iterator[BadFile]:
        """What Spark does not see, or must not: links to folders, to nothing, to themselves; names that are no text.

        ``charset`` is that of the names that Java reads.
        """
        if local(self.folder) is None:
            return
        for path in _links(Path(self.folder), charset):
            if not _is_text(path.name, charset):
                name = os.fsencode(path).decode("utf-8", "backslashreplace")
                yield BadFile(name, NAME, f"its name is not {charset.upper()}, and Java sees no file of such a name")
            elif path.is_dir():
                yield BadFile(str(path), LINK, "a link to a folder: none is followed, as it may lead anywhere")
            elif not path.exists() and PurePath(path.name).match(self.pattern):
                yield BadFile(str(path), BROKEN, "a link that leads nowhere, or to itself")

    def spark_paths(self, folders: Sequence[str]) -> str:
        """A pattern for Spark of these folders of the source, without what links to folders in them lead to.

        Spark follows every such link, also in circles and out of the folder, and cannot be told otherwise.

        Raises:
            FileLinkError: the name of a link cannot be left out by a pattern.
        """
        if local(self.folder) is None:
            return glob_escaped(self.folder)
        closed = [path for path in _links(Path(self.folder)) if path.is_dir()]
        if len(closed) > _MOST_LINKS:
            message = f"{self.folder} holds {len(closed):,} links to folders, and at most {_MOST_LINKS} can be left out"
            raise FileLinkError(message, hint="remove them, and name the folders by sources of their own")
        if list(folders) == [self.folder] and not closed:
            return glob_escaped(self.folder)
        root = Path(self.folder)
        below = [one for folder in folders for one in _without(Path(folder).relative_to(root), closed, root)]
        # a pattern of nothing: a path that is not there would be an error
        return f"{glob_escaped(self.folder)}/{{{','.join(below or ['[_]/[_]'])}}}"


def _is_hidden(below: PurePath) -> bool:
    return any(part.startswith(("_", ".")) for part in below.parts)


def names_charset(spark: SparkSession) -> str:
    """The charset of the names of files that Spark sees: that of the locale in which its Java was started."""
    try:
        java = spark._jvm
    except (AttributeError, PySparkException):
        # a session of Connect is on a machine of somebody else's
        return "utf-8"
    found = str(java.java.lang.System.getProperty("sun.jnu.encoding")) if java else "utf-8"
    return found.lower() if found.lower() in ("utf-8", "iso-8859-1", "iso-8859-15", "windows-1252") else "ascii"


def _is_text(name: str, charset: str) -> bool:
    try:
        os.fsencode(name).decode(charset)
    except UnicodeDecodeError:
        return False
    return True


def _links(folder: Path, charset: str = "") -> Iterator[Path]:
    """The links below a folder that are not hidden, and in no hidden folder; and what has a name of another charset."""
    with os.scandir(folder) as found:
        for entry in sorted(found, key=lambda entry: entry.name):
            if entry.name.startswith(("_", ".")):
                continue
            if entry.is_symlink() or (charset and not _is_text(entry.name, charset)):
                yield Path(entry.path)
            elif entry.is_dir():
                yield from _links(Path(entry.path), charset)


def _without(folder: PurePath, closed: Sequence[Path], root: Path) -> Iterator[str]:
    """Patterns, relative to the root, of what is in a folder but for these links."""
    inside = [path.relative_to(root) for path in closed if path.is_relative_to(root / folder)]
    if not inside:
        yield _escaped(str(folder))
        return
    heads = {path.parts[len(folder.parts)] for path in inside}
    prefix = "" if folder == PurePath() else f"{_escaped(str(folder))}/"
    for pattern in _other_names(heads, first=True):
        yield prefix + pattern
    for head in sorted(heads):
        if root / folder / head not in closed:
            yield from _without(folder / head, closed, root)


def _other_names(names: Collection[str], *, first: bool) -> Iterator[str]:
    """Patterns of all names but these, and but for hidden ones: by the first character that is another one."""
    for name in names:
        if not _PLAIN.fullmatch(name):
            message = f"a link to a folder is called {name!r}, which no pattern of Spark's can leave out"
            raise FileLinkError(message, hint="remove the link")
    rests: dict[str, set[str]] = {}
    for name in names:
        if name:
            rests.setdefault(name[0], set()).add(name[1:])
    # escaped, as - and ] mean something in there; letters and digits would mean something if they were
    other = "".join(one if one.isalnum() else f"\\{one}" for one in sorted({*rests, *("_." if first else "")}))
    yield f"[^{other}]*" if other else "?*"
    if not first and "" not in names:
        yield ""
    for start, rest in sorted(rests.items()):
        for pattern in _other_names(rest, first=False):
            yield (start if start.isalnum() else f"\\{start}") + pattern


def _escaped(path: str) -> str:
    return glob_escaped(path).replace(",", "\\,")
