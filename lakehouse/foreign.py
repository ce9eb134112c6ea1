"""What may be shown of text that is not ours: the one funnel of every foreign exception, message and path.

Spark, Java, servers, libraries and a job's own code say in their messages what they were working on: a value of a row,
or a secret that a reference stood for. So ``first_line`` and ``innermost`` make text of ours out of their words, and
``mask`` is what every ``LakehouseError`` passes its text through. ``docs/decisions/0034`` says why values are never
shown, also where no column is classified.
"""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = "***"

_secrets: dict[str, str] = {}
"""By each form in which a value may be written: the reference that it is shown as."""

_names: set[str] = set()
"""Names of this project, which files of ours bear: no secrets, also where a reference stands for one."""

_files: set[str] = set()
"""Files of this project that messages name as places, such as ``jobs/x.py:16``: no secrets, nor a part of them."""

_places: dict[str, tuple[re.Pattern[str], tuple[str, ...]]] = {}
"""Parts of paths that hold personal data: patterns of one part of a path, each with those of its groups that do."""

_PART = re.compile(r"(?:(?<=[/\\[])|\A(?!\[)(?=\S*[.=]|[^\n'\":]+\.\w+\Z))[^/\n'\"\]]+")
"""A part of a path as it stands in a text, with what may follow it there; a text may begin with a relative path."""

_NEXT = re.compile(r"(, )(?=[^,=]+=)")
"""Between two values of a partition, as Delta lists them in brackets."""

_SHORT, _TOKEN = 4, 6
"""A value of fewer characters is masked in quotes alone, or as a word alone: as a part of words it means nothing."""

_OPENS = re.compile(r"(?i)(?:password|passwd|pwd|token|secret|key)\s*=\s*[\"']?([^,;&\s\"']+)")
"""In a value of several parts, one that opens a door, which is masked however short it is."""

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\uffff]"
)
"""What moves a terminal's cursor, ends a line for some programs, turns the order of letters, or shows nothing."""

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|'.*|\".*", re.DOTALL)
_LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*'")
_PATH = re.compile(r"/|[A-Za-z]:\\|[a-z][a-z0-9+.-]*:/")
_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]")
_STREAM = re.compile(r"\A[\w.: ]*\[STREAM_FAILED\] Query [^\[]*\[[^\]]*\] terminated with exception: ")
"""What Spark writes before the words of what ended a stream."""

UNSAID = "what it says is not shown: it may hold a value"

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")

ABOUT_CODE = (OSError, ImportError, NameError, AttributeError, TypeError, SyntaxError, NotImplementedError)
"""Exceptions of Python that speak of code or of files, and of no value."""

_ABOUT_NAMES = ("AnalysisException", "ParseException")
"""Those of Spark that are raised before a row is read: they speak of names, types and the text of the query."""

_HOLDS_VALUES = re.compile(
    r".*WITH_VALUES|.*CHAR_VARCHAR_LIMIT.*|DELTA_REPLACE_WHERE.*|.*CONSTRAINT_VIOLAT.*|DELTA_FAILED_CAST_PARTITION_VALUE"
)
_HOLDS_NAMES = re.compile(
    r"(UNRESOLVED|TABLE|PATH|FAILED_READ_FILE|CANNOT_READ|CANNOT_MERGE_SCHEMAS|UNABLE|COLUMN|AMBIGUOUS|KAFKA|PARQUET"
    r"|UNSUPPORTED|MISSING|PARSE|WRONG_NUM|DATATYPE_MISMATCH|DELTA|FILE|FAILED_TO_LOAD|NO_SUCH|SCHEMA|STATE_STORE)[_.A-Z0-9]*"
)
"""Conditions that are known by their text alone, and whose words are names, types and paths."""

_SHOWN = re.compile(
    r"(?i).*(type|types|config|conf|func|function|functionName|parameter|argName|arg_name|attr_name|columnName|fieldName"
    r"|tableName|objectName|path|suggestion|alternative|alternatives|unit|operation|className|optionName)"
)
"""Parameters of Spark's messages that are names, types, functions or settings."""


def keep_secret(value: str, shown: str) -> None:
    """Show a value as this from now on, in whatever text of this process and however it is written there."""
    parts = [part for part in re.split(r"[,;\s]+", value) if len(part) >= _SHORT]
    for one in (value, value.strip(), *parts, *_OPENS.findall(value)):
        for form in () if one in _names else _forms(one):
            _secrets[form] = shown


def show_names(names: Iterable[str]) -> None:
    """Take these for no secrets, whatever a reference stands for: messages say them, as of ``conf/env/local.yaml``."""
    _names.update(names)


def show_file(name: str) -> None:
    """Say this file of the project as it is called wherever a message names a line of it."""
    _files.add(name)


def hide_places(columns: Iterable[str], patterns: Iterable[str] = ()) -> None:
    """Mask what paths say of these columns: in folders such as ``email=…``, and as groups of patterns of file names."""
    names = {name.lower() for name in columns}
    for name in names:
        _places[name] = re.compile(rf"(?i){re.escape(name)}(?:=|%3D)(?P<value>.+)"), ("value",)
    for text in patterns:
        pattern = re.compile(text)
        _places[text] = pattern, tuple(one for one in pattern.groupindex if one.lower() in names)


def forget() -> None:
    """Forget every secret, name and place: for tests, which share a process."""
    _names.clear()
    _files.clear()
    _secrets.clear()
    _places.clear()


def mask(text: str) -> str:
    """The text without what a reference stood for, without what paths say of people, and printable."""
    # a file in whose name a secret stands is one of ours; a secret in which a name of a file stands is a secret
    files = [name for name in _files if not any(name in form for form in _secrets)]
    if not files:
        return printable(mask_places(_without_secrets(text)))
    lines = re.compile(rf"((?<![\w/.-])(?:{'|'.join(map(re.escape, files))}):\d+(?:(?=:)|\b))")
    parts = lines.split(text)
    parts[::2] = map(mask_places, map(_without_secrets, parts[::2]))
    return printable("".join(parts))


def _without_secrets(text: str) -> str:
    # the longest first: one may be a part of another
    for form in sorted(_secrets, key=len, reverse=True):
        text = _without(text, form, _secrets[form])
    return text


def mask_places(text: str) -> str:
    """The text without what the paths in it say of personal columns."""
    return _PART.sub(_mask_part, text) if _places else text


def printable(text: str) -> str:
    """The text with escapes, as Python writes them, in the place of what does not print; its lines stay."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def first_line(error: BaseException) -> str:
    """What an exception says, in one line and without values; the stack that Spark puts below it is left out."""
    condition = ask(error, "getCondition")
    line = _line(str(error))
    if isinstance(condition, str):
        said = _of_condition(error, condition, line)
    elif hasattr(error, "exit_code") or isinstance(error, ABOUT_CODE):
        said = line
    else:
        said = _of_text(line)
    return mask(said)[:500]


def plain_line(error: BaseException) -> str:
    """What an exception says of the configuration, which holds no row: its first line, or its type's name."""
    return mask(_line(str(error)) or type(error).__name__)[:500]


def innermost(stack: str) -> str:
    """The innermost cause that a Java stack names, which says what is wrong, without values; else its first line."""
    lines = [line.strip() for line in stack.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return without_values("".join(causes[-1:] or lines[:1]))[:300]


def without_values(line: str) -> str:
    """A line of which nothing is known but itself, without values."""
    return mask(_of_text(line))


def end_of_condition(line: str) -> int | None:
    """Where the condition of Spark's in a line ends; None where it has none."""
    found = _CONDITION.search(line)
    return found.end() if found else None


def unknown_name(error: BaseException) -> str:
    """The name that Spark does not know, where that is what an exception says; else nothing."""
    parameters = ask(error, "getMessageParameters")
    named = str(parameters.get("objectName", "")) if isinstance(parameters, dict) else ""
    names: list[str] = re.findall(r"`((?:[^`]|``)+)`", named)
    return names[-1] if names else ""


def without_literals(sql: str) -> str:
    """A part of a query without its texts, which may be values of a row or of a parameter."""
    return _LITERAL.sub(f"'{MASK}'", sql)


def _line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    # py4j says first what was called, then what went wrong
    is_call = len(lines) > 1 and lines[0].startswith("An error occurred while calling")
    return (lines[1] if is_call else "".join(lines[:1])).removeprefix(": ").strip()


def _of_condition(error: BaseException, condition: str, line: str) -> str:
    """What Spark says, with those parameters of its message that are no values."""
    parameters = ask(error, "getMessageParameters")
    known: dict[str, str] = parameters if isinstance(parameters, dict) else {}
    is_of_names = any(kind.__name__ in _ABOUT_NAMES for kind in type(error).__mro__)
    if is_of_names and not _HOLDS_VALUES.fullmatch(condition):
        # a place is one in the text that Spark was given, which is not the user's
        line = re.sub(r"(\s*SQLSTATE: \w+)?;? \(?line \d+,? pos(ition)? \d+\)?;?$|\s*SQLSTATE: \w+;?$", "", line)
        return _with_names(line, known.get("proposal", ""))
    if not known or f"[{condition}]" not in line:
        return _unsaid_of(condition)
    line = re.sub(r"\s*SQLSTATE: \w+.*", "", line)
    for name, value in sorted(known.items(), key=lambda one: len(str(one[1])), reverse=True):
        if value and not _SHOWN.fullmatch(name):
            line, times = _word(str(value)).subn(MASK, line)
            # cut short, on two lines, or written in another way
            if not times or (len(str(value)) >= _SHORT and str(value) in line):
                return _unsaid_of(condition)
    return line + _context(error)


def _context(error: BaseException) -> str:
    """Which part of a query it was, where Spark knows."""
    found = ask(error, "getQueryContext")
    for one in found if isinstance(found, list) else ():
        text = ask(one, "fragment")
        if isinstance(text, str) and " " in text and "\n" not in text.strip() and len(text) < 200:
            return f" (in {without_literals(text.strip())})"
    return ""


def _of_text(line: str) -> str:
    """What a text says of which nothing is known but itself."""
    line = _STREAM.sub("", line)
    found = _CONDITION.search(line)
    if found and not (_HOLDS_NAMES.fullmatch(found[1]) and not _HOLDS_VALUES.fullmatch(found[1])):
        return line[: found.start()] + _unsaid_of(found[1])
    return _with_names(line) if found else _hide_quoted(line)


def _unsaid_of(condition: str) -> str:
    return f"[{condition}] {UNSAID}"


def _hide_quoted(text: str) -> str:
    """A text without what stands in quotes there, but for paths."""

    def one(found: re.Match[str]) -> str:
        return found[0] if _PATH.match(found[0][1:]) else MASK

    return _QUOTED.sub(one, text)


def _with_names(line: str, proposals: str = "") -> str:
    """A message without the names that Spark proposes and that are none: a file without a header gives its values."""
    for name in re.findall(r"`((?:[^`]|``)+)`", proposals):
        if not _NAME.fullmatch(name):
            line = line.replace(f"`{name}`", MASK)
    return line


def ask(error: object, method: str) -> object:
    """What an exception of Spark's answers; None where it is none, or where Java is gone."""
    try:
        return getattr(error, method)()
    except Exception:
        # An error is being told already, whose own words are taken where this has none: an answer that fails, as it
        # may in any way of a Java that has ended, must not take the place of what went wrong.
        return None


def _word(value: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if re.match(r"\w", value) else ""
    after = r"(?!\w)" if re.match(r"\w", value[-1]) else ""
    return re.compile(f"{before}{re.escape(value)}{after}")


def _forms(value: str) -> Iterator[str]:
    """The ways in which a value is written into messages."""
    data = value.encode(errors="surrogateescape")
    if not value:
        return
    yield from (value, repr(value)[1:-1], json.dumps(value)[1:-1], html.escape(value), value.replace("'", "''"))
    if len(value) >= _SHORT:
        yield from (quote(data), quote(data, safe=""), quote_plus(data), data.hex())
        yield base64.b64encode(data).decode().rstrip("=")


def _without(text: str, form: str, shown: str) -> str:
    if len(form) < _SHORT:
        return re.sub(rf"(?<=['\"`]){re.escape(form)}(?=['\"`])", lambda _: shown, text)
    if len(form) < _TOKEN:
        return re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", lambda _: shown, text)
    text = re.sub(f"(?i){re.escape(form)}", lambda _: shown, text)
    # cut short, as Spark and others do with what is long
    half = max(_TOKEN, len(form) // 2)
    begin = text.find(form[:half])
    while begin >= 0:
        end = begin + half
        while end < len(text) and end - begin < len(form) and text[end] == form[end - begin]:
            end += 1
        if text[end : end + 1] in ("", ".", "…", "'", '"'):
            text = text[:begin] + shown + text[end:]
        begin = text.find(form[:half], begin + 1)
    return text


def _mask_part(part: re.Match[str]) -> str:
    """One part of a path without the groups of those patterns that it matches."""
    return "".join(_mask_groups(one) for one in _NEXT.split(part[0]))


def _mask_groups(text: str) -> str:
    for pattern, groups in _places.values():
        if found := pattern.match(text):
            for begin, end in sorted((found.span(group) for group in groups if found[group]), reverse=True):
                text = text[:begin] + MASK + text[end:]
    return text
