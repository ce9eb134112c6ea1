"""One column of a contract: its type, whether it may be NULL, and what it means."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from lakehouse.spec.base import Spec
from lakehouse.spec.column_type import known_type


def _column_in_short(value: object) -> object:
    """``bigint not null`` says the same as ``{type: bigint, nullable: false}``."""
    if not isinstance(value, str):
        return value
    text, required = re.subn(r"(?i)\s+not\s+null$", "", value.strip())
    return {"type": text, "nullable": not required}


class Column(Spec):
    """One column: its type, whether it may be NULL, and what it means."""

    type: Annotated[str, AfterValidator(known_type)]
    nullable: bool = True
    about: str = ""


ColumnOrShort = Annotated[Column, BeforeValidator(_column_in_short, json_schema_input_type=str | Column)]
"""A column, which a YAML writes out or says in one text."""
