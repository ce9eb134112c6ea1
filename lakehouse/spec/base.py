"""The one base of every spec, and the few text forms that specs share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


class Spec(BaseModel):
    """A frozen value read from configuration: an unknown key is an error at every depth."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class FieldError(ValueError):
    """A value that is wrong because of another one: ``at`` is its place in the model that says so."""

    def __init__(self, message: str, *at: str | int) -> None:
        super().__init__(message)
        self.at = at


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


JobName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
"""Also a Python module's name, a folder's and a table's: lower case, digits and underscores."""

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$", max_length=200)]
"""``schema.table``; the catalog, if any, belongs to the environment."""

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=255)]

ColumnNames = Annotated[tuple[ColumnName, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | list[str])]
"""One name, or a list of them."""

Files = Annotated[int, Field(gt=0, le=2**31 - 1)]
"""A number of files, as large as Spark takes it."""

Bytes = Annotated[int, Field(gt=0, le=2**63 - 1)]
"""A number of bytes, as large as Spark takes it."""
