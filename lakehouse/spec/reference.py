"""References such as ``${env:NAME}``: written in the place of a value that is secret, or belongs to one place only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from lakehouse.errors import UndefinedReferenceError
from lakehouse.foreign import keep_secret
from lakehouse.spec.document import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\{(?P<kind>env|param):(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")


def references(text: str, kind: str) -> set[str]:
    """The names that a text refers to as ``${kind:NAME}``."""
    return {found["name"] for found in _REFERENCE.finditer(text) if found["kind"] == kind}


def well_formed(text: str) -> str:
    """The text, once every ``${`` in it begins a reference.

    Raises:
        ValueError: one does not.
    """
    rest = _REFERENCE.sub("", text)
    if "${" in rest:
        message = f"'{rest[rest.index('${') :][:40]}' is not a reference: write ${{env:NAME}} or ${{param:NAME}}"
        raise ValueError(message)
    return text


def _of_env_only(text: str) -> str:
    if names := references(well_formed(text), "param"):
        message = f"a parameter cannot refer to another one (${{param:{min(names)}}}), only to ${{env:NAME}}"
        raise ValueError(message)
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(well_formed)]
"""Text that may hold ``${env:NAME}`` and ``${param:NAME}``."""

ParameterText = Annotated[str, AfterValidator(_of_env_only)]
"""A parameter's value, which may hold ``${env:NAME}``."""


def resolve(text: str, *, params: Mapping[str, str], environ: Mapping[str, str], field: str) -> str:
    """The text with every reference replaced by its value; what the environment gave is masked in every message.

    A parameter's value may itself hold ``${env:NAME}``, and nothing else.

    Raises:
        UndefinedReferenceError: nothing defines it. The message names the reference and the field, never a value.
    """

    def value(found: re.Match[str]) -> str:
        kind, name = found["kind"], found["name"]
        if kind == "env" and name in environ:
            keep_secret(environ[name], found.group())
            return environ[name]
        if kind == "param" and name in params:
            return resolve(params[name], params={}, environ=environ, field=f"params.{name}")
        if kind == "env":
            mend = f"export {name}=… before the run"
        else:
            mend = f"give --param {name}=…, or a value under params:{nearest(name, sorted(params))}"
        message = f"{field}: {found.group()} is not defined"
        raise UndefinedReferenceError(message, hint=mend)

    try:
        return _REFERENCE.sub(value, well_formed(text))
    except ValueError as error:
        message = f"{field}: {error}"
        raise UndefinedReferenceError(message) from None
