"""SQL that people write: read into tokens by the rules that every lexer shares, and printed anew for Spark.

Two lexers that differ in one comment see two statements, and only one of them was judged. So the text of a rule, of a
condition or of a job's query never reaches Spark: what reaches it is printed here from the tokens that were judged,
without comments, with every text and name quoted by the one function for it. What lexers read differently is refused.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEEPEST = 100
"""Parentheses, brackets and CASE within each other: parsers call themselves for each."""
MOST_PREFIXES = 8
"""NOT, ``-``, ``~`` and the like after one another, for the same reason."""

Kind = Literal["word", "name", "text", "bytes", "number", "mark"]

_GAP = re.compile(r"[ \t\r\n]+")
_LINE_COMMENT = re.compile(r"--[^\r\n]*")
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"\d+[LSY]|(?:\d+(?:\.\d+)?|\.\d+)(?:E[+-]?\d+)?(?:BD|[DF])?", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"`((?:[^`]|``)+)`")
_RAW = re.compile(r"""'[^']*'|"[^"]*\"""")
_TEXT = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*\"""", re.DOTALL)
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_MARK = re.compile(r"<=>|\|\||->|=>|::|<=|>=|<>|!=|==|[()\[\],.+\-*/%=<>&|^~!:;?]")
_IN_HINT = frozenset("(),")
_TIGHT = frozenset("()[],.:")
"""Marks that no other character makes a longer one of."""

_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "%": "\\%", "_": "\\_"}
_UNSAFE = re.compile(r"[\\'$\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")

_BEFORE_TEXT_WORDS = """
all and any as between both by case date div else escape from having ilike in interval is leading like limit not on or
placing regexp rlike select separator some then timestamp timestamp_ltz timestamp_ntz trailing using values when where
"""
_BEFORE_TEXT = frozenset(_BEFORE_TEXT_WORDS.split())
"""Words after which a text may stand; any other before it may be a type, which one lexer knows and another does not."""
_PREFIXES = frozenset({"not", "!", "-", "+", "~"})


class SqlTextError(ValueError):
    """A text is not SQL that all lexers read in one way; ``start`` is where it is not."""

    def __init__(self, message: str, start: int) -> None:
        super().__init__(message)
        self.start = start


@dataclass(frozen=True, slots=True)
class Token:
    """A token: what it says, how it was written and where, and the white space before it as it is printed.

    A ``name`` is an identifier in backticks. ``value`` is None of a text whose backslashes Spark would take away.
    """

    kind: Kind
    value: str | None
    source: str
    start: int
    gap: str = ""

    @property
    def word(self) -> str:
        """A word in lower case; nothing of all other tokens, so that no quoted name is taken for a word."""
        return self.source.lower() if self.kind == "word" else ""

    @property
    def sql(self) -> str:
        """The token printed anew.

        Raises:
            SqlTextError: Spark would read another text than the one that was written.
        """
        if self.value is None:
            message = f"Spark takes the backslashes of {self.source} away: write r{self.source}, or each of them twice"
            raise SqlTextError(message, self.start)
        if self.kind == "text":
            return quote_text(self.value)
        if self.kind == "name":
            return quote_name(self.value)
        return f"X'{self.value}'" if self.kind == "bytes" else self.value


@dataclass(frozen=True)
class Printed:
    """SQL printed anew, and where each of its tokens stood in the source."""

    text: str
    starts: tuple[int, ...]
    sources: tuple[int, ...]

    def source_of(self, at: int) -> int:
        """Where in the source a place of the text comes from."""
        index = bisect_right(self.starts, at) - 1
        return self.sources[index] + at - self.starts[index] if index >= 0 else at


def quote_text(text: str) -> str:
    """A text as an SQL string that every lexer reads as this very text; ``$`` never begins a reference of Spark's."""

    def escape(found: re.Match[str]) -> str:
        char = found[0]
        return f"\\{char}" if char in "\\'" else f"\\u{ord(char):04x}"

    return f"'{_UNSAFE.sub(escape, text)}'"


def quote_name(name: str) -> str:
    """An identifier as SQL, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def canonical(text: str) -> str:
    """The text printed anew, with its lines and, but for white space and quotes, its columns.

    Raises:
        SqlTextError: lexers differ on it.
    """
    return print_tokens(read_tokens(text)).text


def print_tokens(tokens: Sequence[Token]) -> Printed:
    """Print tokens; without the white space before the first one.

    Raises:
        SqlTextError: Spark would read another text than one of them says.
    """
    text, starts, before = "", [], None
    for token in tokens:
        gap = token.gap if before else ""
        if before and not gap and _must_part(before, token):
            gap = " "
        starts.append(len(text) + len(gap))
        text += gap + token.sql
        before = token
    return Printed(text, tuple(starts), tuple(token.start for token in tokens))


def _must_part(one: Token, other: Token) -> bool:
    """Whether something must stand between two tokens, as together they could be another one."""
    if one.word in _BEFORE_TEXT and other.kind == "text":
        return False
    marks = one.kind == "mark", other.kind == "mark"
    if any(marks) and not all(marks):
        return False
    return not any(marks) or (one.source not in _TIGHT and other.source not in _TIGHT)


def read_tokens(text: str) -> list[Token]:
    """The tokens of a text without its comments.

    Raises:
        SqlTextError: it holds what lexers read differently, or is nested too deep.
    """
    tokens = list(_Reader(text).tokens())
    for one, other in pairwise(tokens):
        _check_pair(one, other)
    _check_depth(tokens)
    return tokens


@dataclass
class _Reader:
    """Where reading is in a text."""

    text: str
    at: int = 0
    gap: str = ""
    before: Token | None = None
    in_hint: bool = False

    def tokens(self) -> Iterator[Token]:
        while self.at < len(self.text):
            if self._skip():
                continue
            token = self._token()
            self.at, self.gap, self.before = self.at + len(token.source), "", token
            yield token
        if self.in_hint:
            raise self._error("a hint that does not end")

    def _skip(self) -> bool:
        """Pass over white space or a comment; lines stay lines."""
        if self.in_hint and self.text.startswith(("--", "/*"), self.at):
            raise self._error("a comment within a hint")
        if found := _GAP.match(self.text, self.at):
            self.gap += found[0].replace("\t", " ").replace("\r\n", "\n").replace("\r", "\n")
        elif found := _LINE_COMMENT.match(self.text, self.at):
            if found[0].endswith("\\"):
                # Spark goes on with the comment on the next line
                self.at = found.end() - 1
                raise self._error("a line may not end with a backslash")
            self.gap += " " * len(found[0])
        elif self.text.startswith("/*", self.at) and not self.text.startswith("/*+", self.at):
            self._skip_comment()
            return True
        else:
            return False
        self.at = found.end()
        return True

    def _skip_comment(self) -> None:
        end = self.text.find("*/", self.at + 2)
        if end < 0:
            raise self._error("a comment that does not end")
        within = self.text.find("/*", self.at + 2, end)
        if within >= 0:
            self.at = within
            raise self._error("a comment within a comment: not everybody ends them at the same place")
        self.gap += re.sub(r"[^\n]", " ", self.text[self.at : end + 2])
        self.at = end + 2

    def _token(self) -> Token:
        if self.in_hint or self.text.startswith("/*+", self.at):
            return self._of_hint()
        for read in (self._prefixed, self._word, self._number, self._name, self._string):
            if token := read():
                return token
        if self.text.startswith("|>", self.at):
            raise self._error("no |> here: write SELECT … FROM …")
        if found := _MARK.match(self.text, self.at):
            return self._made("mark", found[0], found[0])
        char = self.text[self.at]
        if char == "@":
            raise self._error("a parameter is written :name")
        if self.text.startswith("${", self.at):
            raise self._error("no parameters or references in SQL")
        shown = repr(char) if char.isprintable() else f"the character U+{ord(char):04X}"
        raise self._error(f"{shown} is not a part of SQL here")

    def _of_hint(self) -> Token:
        """A token of a hint, which is names, numbers, parentheses and commas right after SELECT."""
        if self.text.startswith("/*+", self.at):
            if self.in_hint or not self.before or self.before.word != "select":
                raise self._error("a hint stands right after SELECT")
            self.in_hint = True
            return self._made("mark", "/*+", "/*+")
        if self.text.startswith("*/", self.at):
            self.in_hint = False
            return self._made("mark", "*/", "*/")
        token = self._word() or self._number() or self._name()
        if token is None and self.text[self.at] in _IN_HINT:
            token = self._made("mark", self.text[self.at], self.text[self.at])
        if token is None:
            raise self._error("a hint holds names, numbers, parentheses and commas")
        return token

    def _prefixed(self) -> Token | None:
        """``r'…'`` or ``X'…'``."""
        letter = self.text[self.at].lower()
        if letter not in "rx" or self.text[self.at + 1 : self.at + 2] not in ("'", '"'):
            return None
        found = _RAW.match(self.text, self.at + 1)
        if found is None:
            raise self._error("a text that does not end")
        source, inner = self.text[self.at] + found[0], found[0][1:-1]
        if letter == "r":
            return self._made("text", inner, source)
        if not _HEX.fullmatch(inner):
            raise self._error("X'…' holds pairs of hexadecimal digits")
        return self._made("bytes", inner.upper(), source)

    def _word(self) -> Token | None:
        found = _WORD.match(self.text, self.at)
        if found is None:
            return None
        # lexers differ on letters that are not ASCII, and some of these are the capitals of one that is
        return self._made("word" if found[0].isascii() else "name", found[0], found[0])

    def _number(self) -> Token | None:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            return None
        after = self.text[found.end() : found.end() + 1]
        if after == "." or after == "_" or after.isalnum():
            raise self._error(f"{found[0]}{after}… is no number: write a name in backticks, and 1.0 for 1.")
        value = f"0{found[0]}" if found[0].startswith(".") else found[0]
        return self._made("number", value, found[0])

    def _name(self) -> Token | None:
        if self.text[self.at] != "`":
            return None
        found = _NAME.match(self.text, self.at)
        if found is None:
            raise self._error("a name in backticks that does not end, or is empty")
        return self._made("name", found[1].replace("``", "`"), found[0])

    def _string(self) -> Token | None:
        if self.text[self.at] not in "'\"":
            return None
        found = _TEXT.match(self.text, self.at)
        if found is None:
            raise self._error("a text that does not end")
        return self._made("text", _unescape(found[0]), found[0])

    def _made(self, kind: Kind, value: str | None, source: str) -> Token:
        return Token(kind, value, source, self.at, self.gap)

    def _error(self, message: str) -> SqlTextError:
        return SqlTextError(message, self.at)


def _unescape(source: str) -> str | None:
    """What a quoted text says to Spark; None where Spark would take a backslash away."""
    fits = True

    def read(found: re.Match[str]) -> str:
        nonlocal fits
        escape = found[1]
        if escape is None:
            return source[0]
        if len(escape) > 1 and not 0xD800 <= (code := int(escape[1:], 16)) <= 0xDFFF:
            return chr(code)
        fits = fits and escape in _ESCAPED
        return _ESCAPED.get(escape, "")

    text = re.sub(rf"\\(u[0-9A-Fa-f]{{4}}|.)|{source[0]}{source[0]}", read, source[1:-1], flags=re.DOTALL)
    return text if fits else None


def _check_pair(one: Token, other: Token) -> None:
    """Refuse two tokens that lexers take together in different ways."""
    joined = not other.gap and one.start + len(one.source) == other.start
    if other.kind in ("text", "bytes") and one.kind in ("text", "bytes", "name", "number"):
        raise SqlTextError("a text right after another value: write concat(…), or a comma", other.start)
    if other.kind == "text" and one.kind == "word" and one.word not in _BEFORE_TEXT:
        raise SqlTextError(f"{one.source} before a text is not known here", one.start)
    if one.kind in ("text", "bytes") and other.kind in ("word", "name", "number") and joined:
        raise SqlTextError("a text and a word without a space in between", other.start)
    if one.value == "." and other.kind == "number":
        raise SqlTextError("a name that begins with a digit is written in backticks", other.start)
    if one.kind in ("word", "name") and other.kind == "number" and joined:
        raise SqlTextError("a name that begins with a digit is written in backticks", other.start)


def _check_depth(tokens: Sequence[Token]) -> None:
    """Refuse what is nested deeper than parsers are sure to read, and parentheses that do not match."""
    opened: list[tuple[str, int]] = []
    prefixes = 0
    for token in tokens:
        said = token.word or (token.source if token.kind == "mark" else "")
        prefixes = prefixes + 1 if said in _PREFIXES else 0
        if said in ("(", "[", "case"):
            opened.append((said, token.start))
        elif said in (")", "]", "end"):
            _close(opened, said, token.start)
        if len(opened) > DEEPEST or prefixes > MOST_PREFIXES:
            message = f"nested deeper than {DEEPEST if len(opened) > DEEPEST else MOST_PREFIXES}"
            raise SqlTextError(message, token.start)
    if missing := [one for one in opened if one[0] != "case"]:
        message = f"'{missing[-1][0]}' is never closed"
        raise SqlTextError(message, missing[-1][1])


def _close(opened: list[tuple[str, int]], said: str, at: int) -> None:
    # a CASE or an END that is missing is for the parser to find: they may be names, too
    if said == "end":
        del opened[len(opened) - (bool(opened) and opened[-1][0] == "case") :]
        return
    while opened and opened[-1][0] == "case":
        opened.pop()
    if not opened or opened.pop()[0] + said not in ("()", "[]"):
        message = f"'{said}' closes nothing"
        raise SqlTextError(message, at)
