"""References such as ``${env:NAME}``: what configuration says instead of a value that belongs to a place or is secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lakehouse.errors import UndefinedReferenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\{(?P<kind>[^:}]*):?(?P<name>[^}]*)\}")


def resolve(text: str, *, params: Mapping[str, str], environ: Mapping[str, str], field: str) -> str:
    """The text with every reference replaced by its value.

    A parameter's value may itself hold ``${env:NAME}``, and nothing else.

    Raises:
        UndefinedReferenceError: nothing defines it. The message names the reference and the field, never a value.
    """

    def value(match: re.Match[str]) -> str:
        kind, name = match["kind"], match["name"]
        if kind == "env" and name in environ:
            return environ[name]
        if kind == "param" and name in params:
            return resolve(params[name], params={}, environ=environ, field=f"params.{name}")
        mend = {"env": f"export {name}=… before the run", "param": f"give --param {name}=…, or a value under params:"}
        message = f"{field}: {match.group()} is not defined"
        raise UndefinedReferenceError(message, hint=mend.get(kind, "a reference is ${env:NAME} or ${param:NAME}"))

    return _REFERENCE.sub(value, text)
