"""Where rows go, and what becomes of the rows that are there; docs/writes.md says what each mode means."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from lakehouse.spec.base import ColumnName, ColumnNames, FieldError, Spec, TableName
from lakehouse.spec.contract import ContractOrFile
from lakehouse.spec.expression import row_condition
from lakehouse.spec.roles import misfits

SqlCondition = Annotated[str, StringConstraints(min_length=1, max_length=10_000), AfterValidator(row_condition)]
"""A condition in Spark SQL on the rows that ``transform`` made, printed anew from what was judged."""

Retention = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5} (hour|hours|day|days)$")]
"""How long, as ``30 days`` or ``12 hours``."""


def _time(text: str) -> timedelta:
    number, unit = text.split()
    return timedelta(hours=int(number)) if unit.startswith("hour") else timedelta(days=int(number))


class _Write(Spec):
    """What every mode shares."""

    table: TableName
    partition_by: ColumnNames = ()
    cluster_by: ColumnNames = ()
    evolve: Annotated[
        Literal["strict", "add_columns", "widen"],
        Field(
            description="What a column that the table lacks does: end the run, or become a column; widen: types, too."
        ),
    ] = "strict"
    column_mapping: Annotated[
        Literal["none", "name"],
        Field(description="name: the table may have column names that Delta refuses otherwise."),
    ] = "none"
    rename: Annotated[dict[ColumnName, ColumnName], Field(description="Other names for columns of the rows.")] = {}
    comments: Annotated[dict[ColumnName, str], Field(description="What each column means; kept in the table.")] = {}
    contract: Annotated[ContractOrFile, Field(description="What the rows that transform() made must be.")] = None
    quarantine_retention: Annotated[
        Retention | None,
        Field(description="How long a row stays in quarantine once it is dealt with; for ever where not said."),
    ] = None

    @property
    def quarantine_kept(self) -> timedelta | None:
        """``quarantine_retention`` as a time."""
        return _time(self.quarantine_retention) if self.quarantine_retention else None

    @model_validator(mode="after")
    def _one_layout(self) -> _Write:
        if self.partition_by and self.cluster_by:
            message = "give partition_by or cluster_by: Delta lays a table out by one of them"
            raise FieldError(message, "cluster_by")
        return self

    @model_validator(mode="after")
    def _types_fit_their_roles(self) -> _Write:
        for field, why in misfits(self, self.contract.types if self.contract else {}):
            raise FieldError(why, field)
        return self

    @model_validator(mode="after")
    def _not_of_the_library(self) -> _Write:
        if self.table in ("ops.runs", "ops.quality") or self.table.startswith("quarantine."):
            message = f"'{self.table}' is a table that this library keeps itself"
            raise FieldError(message, "table")
        return self


class AppendWrite(_Write):
    """Every row is added; with ``identity``, each record once."""

    mode: Literal["append"]
    identity: Annotated[
        Literal["source"] | ColumnNames,
        Field(description="What makes a record the same one: source (its place in file or topic), or these columns."),
    ] = ()


class OverwriteWrite(_Write):
    """The table, or the part that ``replace_where`` names, becomes what the job made."""

    mode: Literal["overwrite"]
    replace_where: SqlCondition | None = None


class _Keyed(_Write):
    """A table whose rows have keys."""

    keys: Annotated[ColumnNames, Field(min_length=1)]
    except_columns: Annotated[ColumnNames, Field(description="Columns that the table does not keep.")] = ()
    tombstone_retention: Annotated[
        Retention, Field(description="How long a deletion, or an event that shows in no version, is remembered.")
    ] = "30 days"
    strategy: Annotated[
        Literal["auto", "replace_on", "merge"], Field(description="How commits are made, where it can be chosen.")
    ] = "auto"

    @property
    def remembered(self) -> timedelta:
        """``tombstone_retention`` as a time."""
        return _time(self.tombstone_retention)


class _Versions(Spec):
    """How versions are made and what their columns are called."""

    track_history: Annotated[ColumnNames, Field(description="The columns whose change makes a version.")] = ()
    track_history_except: Annotated[ColumnNames, Field(description="All columns but these make a version.")] = ()
    valid_from: ColumnName = "valid_from"
    valid_to: ColumnName = "valid_to"
    is_current: ColumnName = "is_current"
    open_end: Annotated[str | None, Field(description="The valid_to of an open version; NULL where not said.")] = None

    @model_validator(mode="after")
    def _one_list(self) -> _Versions:
        if self.track_history and self.track_history_except:
            message = "give track_history or track_history_except"
            raise FieldError(message, "track_history_except")
        return self


class Scd1Write(_Keyed):
    """One row per key, the one that comes last by ``sequence_by``, whatever order the rows come in."""

    mode: Literal["scd1"]
    sequence_by: Annotated[ColumnNames, Field(min_length=1)]
    apply_as_deletes: SqlCondition | None = None
    apply_as_truncates: SqlCondition | None = None
    ignore_null_updates: Annotated[
        bool | ColumnNames, Field(description="A NULL leaves the column as it is: in all columns, or in these.")
    ] = False
    update_columns: Annotated[
        ColumnName | None, Field(description="The column or field (array of text) that lists what each event sets.")
    ] = None

    @model_validator(mode="after")
    def _keeps_what_it_compares(self) -> Scd1Write:
        dropped = {name.lower() for name in self.except_columns}
        for name in (*self.keys, *self.sequence_by):
            if name.lower() in dropped:
                message = f"the table must keep '{name}': without it an older event cannot be told"
                raise FieldError(message, "except_columns")
        return self


class Scd2Write(_Keyed, _Versions):
    """Every version of each key, from when to when it was so, whatever order the rows come in."""

    mode: Literal["scd2"]
    sequence_by: Annotated[ColumnNames, Field(min_length=1)]
    apply_as_deletes: SqlCondition | None = None
    apply_as_truncates: SqlCondition | None = None

    @model_validator(mode="after")
    def _keeps_its_keys(self) -> Scd2Write:
        dropped = {name.lower() for name in self.except_columns}
        for name in self.keys:
            if name.lower() in dropped:
                message = f"the table must keep '{name}': it is a key"
                raise FieldError(message, "except_columns")
        return self


class SnapshotWrite(_Keyed, _Versions):
    """Each snapshot is the whole table: what it lacks is deleted."""

    mode: Literal["snapshot"]
    snapshot_as: Literal["scd1", "scd2"]
    snapshot_by: Annotated[
        Literal["file", "folder"] | ColumnName,
        Field(description="What rows are one snapshot, and its sequence: file, folder, or a column."),
    ]
    on_absent: Literal["delete", "keep"] = "delete"
    max_delete_fraction: Annotated[
        float, Field(ge=0, le=1, description="More of the keys that are there may not be deleted by one batch.")
    ] = 0.5


Write = Annotated[AppendWrite | OverwriteWrite | Scd1Write | Scd2Write | SnapshotWrite, Field(discriminator="mode")]
