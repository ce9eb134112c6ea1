"""Where rows go, and what becomes of the rows that are there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lakehouse.spec.base import ColumnName, ColumnNames, FieldError, Spec, TableName


class _Write(Spec):
    """What every mode shares."""

    table: TableName
    partition_by: ColumnNames = ()
    cluster_by: ColumnNames = ()
    evolve: Annotated[
        Literal["strict", "add_columns"],
        Field(description="What a column that the table lacks does: end the run, or become a column."),
    ] = "strict"
    comments: Annotated[dict[ColumnName, str], Field(description="What each column means; kept in the table.")] = {}

    @model_validator(mode="after")
    def _one_layout(self) -> _Write:
        if self.partition_by and self.cluster_by:
            message = "give partition_by or cluster_by: Delta lays a table out by one of them"
            raise FieldError(message, "cluster_by")
        return self

    @model_validator(mode="after")
    def _not_of_the_library(self) -> _Write:
        if self.table == "ops.runs" or self.table.startswith("quarantine."):
            message = f"'{self.table}' is a table that this library keeps itself"
            raise FieldError(message, "table")
        return self


class AppendWrite(_Write):
    """Every row is added."""

    mode: Literal["append"]


class OverwriteWrite(_Write):
    """The table becomes what the job made; a partition that did not change is not written again."""

    mode: Literal["overwrite"]


class Scd1Write(_Write):
    """One row per key, the one with the highest ``sequence_by``; equal sequences are told apart by the row's hash."""

    mode: Literal["scd1"]
    keys: Annotated[ColumnNames, Field(min_length=1)]
    sequence_by: Annotated[ColumnNames, Field(min_length=1)]


Write = Annotated[AppendWrite | OverwriteWrite | Scd1Write, Field(discriminator="mode")]
