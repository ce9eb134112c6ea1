"""What a job's own code raised: where, in its own file, and what of its words may be shown.

Such a message is made by the job's author, most often with a value of a row in it. So the parts that stand in the code
itself are shown, and what was put between them is masked.
"""

from __future__ import annotations

import ast
import linecache
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.foreign import ABOUT_CODE, MASK, ask, first_line, mask, show_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAME = re.compile(r'^\s*File "([^"\n]+)", line (\d+)', re.MULTILINE)
_RAISED = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?::[ ](?P<said>.*))?$", re.MULTILINE)
_CALL_SITE = re.compile(r"^(.+\.py):(\d+)$")
_GAP = re.compile(r"%\(?\w*\)?[-+ #0-9.]*[a-zA-Z%]|\{[^{}]*\}")
_ABOUT_CODE = {kind.__name__ for kind in ABOUT_CODE}


def describe(error: BaseException, file: Path, root: Path) -> tuple[str, str]:
    """Where in the job's code an exception comes from, as ``jobs/x.py:16``, and its type and words.

    Args:
        error: what was raised, by the code itself or by Spark while it ran what the code made.
        file: the job's Python file.
        root: the project, by which its files are named.
    """
    place = next((at for at in _places(error, file.parent) if at), None)
    shown, line = place if place else (str(file), None)
    path = Path(shown)
    name = str(path.relative_to(root)) if path.is_relative_to(root) else path.name
    show_file(name)
    return f"{name}:{line}" if line else name, _words(error, file)


def _places(error: BaseException, folder: Path) -> Iterator[tuple[str, int] | None]:
    """The innermost line below a folder that an exception names, in each of the ways that it may."""
    frames = [(frame.filename, frame.lineno or 1) for frame in traceback.extract_tb(error.__traceback__)]
    yield _last(frames, folder)
    yield _last([(path, int(line)) for path, line in _FRAME.findall(str(error))], folder)
    yield _last([(found[1], int(found[2])) for found in map(_CALL_SITE.match, _call_sites(error)) if found], folder)


def _last(frames: list[tuple[str, int]], folder: Path) -> tuple[str, int] | None:
    own = [(path, line) for path, line in frames if Path(path).is_relative_to(folder)]
    return own[-1] if own else None


def _call_sites(error: BaseException) -> Iterator[str]:
    """Where the code made what failed, as Spark noted it; of SQL it notes none."""
    contexts = ask(error, "getQueryContext")
    for context in contexts if isinstance(contexts, list) else ():
        yield from str(ask(context, "callSite") or "").splitlines()


def _words(error: BaseException, file: Path) -> str:
    if frames := list(_FRAME.finditer(str(error))):
        # of a function that ran in a worker, all is one text
        raised = _RAISED.search(str(error), frames[-1].end())
        kind, said = (raised["type"], raised["said"] or "") if raised else (type(error).__name__, "")
    elif hasattr(error, "getCondition") or hasattr(error, "exit_code"):
        return f"{type(error).__name__}: {first_line(error)}"
    else:
        kind, said = type(error).__name__, str(error).strip()
    if said and (kind not in _ABOUT_CODE or _is_raised_by_the_job(error, file.parent)):
        said = _of_the_code(said, file)
    return mask(f"{kind}: {said}"[:500] if said else kind)


def _is_raised_by_the_job(error: BaseException, folder: Path) -> bool:
    """Whether the words of an exception are the job's own: its innermost line below a folder is a ``raise``."""
    places = [one for one in _places(error, folder) if one]
    return any(_is_raise(Path(path), line) for path, line in places)


def _is_raise(file: Path, line: int) -> bool:
    try:
        tree = _read_tree(file)
    except (SyntaxError, ValueError):
        return True
    raises = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return any(node.lineno <= line <= (node.end_lineno or line) for node in raises)


def _read_tree(file: Path) -> ast.Module:
    """The code of a file, or of a notebook's cell, which Python keeps by a name that looks like one.

    Raises:
        ValueError: there is none.
        SyntaxError: it is no Python.
    """
    linecache.checkcache(str(file))
    if lines := linecache.getlines(str(file)):
        return ast.parse("".join(lines))
    raise ValueError(str(file))


def _of_the_code(said: str, file: Path) -> str:
    """A message with those of its parts that stand in the code; none of it where they do not."""
    for parts in sorted(_texts(file), key=lambda parts: len("".join(parts)), reverse=True):
        if found := re.fullmatch("(.*?)".join(map(re.escape, parts)), said, re.DOTALL):
            return MASK.join(parts) if found.groups() else said
    return MASK


def _texts(file: Path) -> Iterator[list[str]]:
    """The texts of a Python file that say something, each as its parts between what is put into it."""
    try:
        tree = _read_tree(file)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        parts = []
        if isinstance(node, ast.JoinedStr):
            parts = [""]
            for one in node.values:
                if isinstance(one, ast.Constant):
                    parts[-1] += str(one.value)
                else:
                    parts.append("")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = _GAP.split(node.value)
        if re.search(r"\w{2}", "".join(parts)):
            yield parts
