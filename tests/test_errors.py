"""The tree of errors, as its drawing says."""

from __future__ import annotations

import inspect
import re

import pytest

from lakehouse import errors
from lakehouse.errors import InvalidConfigError, LakehouseError, Problem

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, LakehouseError)]


def drawn() -> dict[str, str]:
    """Each class of the drawing, and the one above it."""
    above = {}
    group = "LakehouseError"
    for line in errors.__doc__.splitlines():
        if not line.startswith(("├", "│", "└")):
            continue
        names = re.findall(r"\w+Error\b", line.split("  ", 1)[0] if line[0] != "│" else line)
        for name in names:
            above[name] = group if line.startswith("│") else "LakehouseError"
        if not line.startswith("│"):
            group = names[0]
    return above


def test_the_drawing_names_every_error_under_its_parent_and_no_other():
    real = {one.__name__: one.__bases__[0].__name__ for one in CLASSES if one is not LakehouseError}
    assert drawn() == real


def test_the_drawing_tells_the_exit_code_of_each_branch():
    for name, code in re.findall(r"(?m)^[├└]── (\w+) +exit (\d)", errors.__doc__):
        assert getattr(errors, name).exit_code == int(code)


def test_the_drawing_marks_what_is_retryable():
    marked = {re.findall(r"\w+Error", line)[0] for line in errors.__doc__.splitlines() if line.endswith("retryable")}
    assert marked == {one.__name__ for one in CLASSES if one.retryable}


def test_every_error_has_a_code_of_its_own():
    codes = [one.code for one in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z_]+", code) and "code" in vars(one) for code, one in zip(codes, CLASSES, strict=True))


@pytest.mark.parametrize("one", CLASSES, ids=lambda one: one.__name__)
def test_every_error_says_what_it_means_and_how_a_program_ends_by_it(one):
    assert one.__doc__
    assert one.exit_code in {1, 2, 3, 4, 5}


def test_an_error_shows_its_hint_on_a_line_of_its_own():
    error = LakehouseError("it broke", hint="mend it")
    assert (str(error), error.message, error.hint) == ("it broke\n  hint: mend it", "it broke", "mend it")
    assert str(LakehouseError("it broke")) == "it broke"


def test_problems_are_shown_by_file_and_line_as_an_editor_links_them():
    error = InvalidConfigError([Problem("b.yaml", 1, 1, "", "two"), Problem("a.yaml", 10, 2, "x.y", "three")])
    assert str(error) == "a.yaml:10:2: x.y: three\nb.yaml:1:1: two"
