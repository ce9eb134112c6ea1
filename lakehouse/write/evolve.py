"""The table and the rows are brought together before anything is committed: columns, types and layout."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType, TimestampNTZType

from lakehouse.errors import KeyMissingError, LayoutChangeError, SchemaDriftError, TypeChangeError, WriteError
from lakehouse.lake.frame import col, literal, quoted, sql_type
from lakehouse.lake.look import DEFAULT, GENERATED, IDENTITY, Look, fills_itself, look
from lakehouse.lake.statements import expression, run_sql
from lakehouse.lake.table import Commit, Layout, head
from lakehouse.lake.types import alike, brought, joined, parts, resolved, settled
from lakehouse.spec.query import log_expression
from lakehouse.write.definition import changed, check_definition, define
from lakehouse.write.holds import holds
from lakehouse.write.new_table import make, paths, statistics, storable
from lakehouse.write.refusal import refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.lake.table import Table
    from lakehouse.lake.types import Difference
    from lakehouse.spec.write import Write


@dataclass(frozen=True)
class Fit:
    """What the target is before the write, and what it becomes by it.

    ``found`` is None where the target is still to be made. ``after`` is its schema with the rows in it, and
    ``differences`` is in what they differ from it as it is. ``alterations`` are the statements that it needs before
    the write; each may be made again, and none changes a row.
    """

    found: Look | None
    after: StructType
    differences: tuple[Difference, ...] = ()
    alterations: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """What the writer must be told: that the table may grow, where it does. Types grow with the same commit."""
        return {"mergeSchema": "true"} if any(one.kind in ("new", "wider") for one in self.differences) else {}


def renamed(rows: DataFrame, spec: Write) -> DataFrame:
    """The produced rows with the names that the job gives instead of others.

    Raises:
        KeyMissingError: there is no such column.
        WriteError: a new name is that of another column.
    """
    if not spec.rename:
        return rows
    known = {name.lower(): name for name in rows.columns}
    if unknown := [name for name in spec.rename if name.lower() not in known]:
        message = f"{spec.table}: rename names {', '.join(unknown)}, which the rows do not have"
        raise KeyMissingError(f"{message} (they have {', '.join(rows.columns)})")
    new = {known[old.lower()]: name for old, name in spec.rename.items()}
    names = [new.get(name, name) for name in rows.columns]
    if twice := [name for name, times in Counter(map(str.lower, names)).items() if times > 1]:
        message = f"{spec.table}: after rename the rows would have two columns {twice[0]}"
        raise WriteError(message, hint="choose another name, or drop a column in transform()")
    return rows.toDF(*names)


def fits(batch: DataFrame, spec: Write, target: Table) -> Fit:
    """Hold the rows of a batch against the target before anything of it is committed.

    Raises:
        KeyMissingError, LayoutChangeError, SchemaDriftError, TypeChangeError, WriteError.
    """
    rows = batch.drop(*getattr(spec, "except_columns", ()))
    found = look(batch.sparkSession, target)
    holds(rows, spec, found)
    return _fit(rows, spec, target, found, spec)


def fitted(
    batch: DataFrame, spec: Write, target: Table, about: str, fit: Fit | None = None, *, of: Write | None = None
) -> tuple[DataFrame, Commit, dict[str, str]]:
    """The batch as the target has its columns, the target's newest commit, and what the writer needs to add columns.

    The target is made where it is not there yet, and altered where the job asks for another property or clustering.
    Columns whose names begin with two underscores are the engine's own and pass through.

    Args:
        batch: the rows to be written.
        spec: the write.
        target: the table.
        about: the table's comment, where it is made.
        fit: what was found when the batch was held against the target; without it the target is looked at here.
        of: the write as the job has it, where ``spec`` was made of it.

    Raises:
        KeyMissingError, LayoutChangeError, SchemaDriftError, TypeChangeError, WriteError.
    """
    spark = batch.sparkSession
    found = fit.found if fit else None
    if found is None or head(spark, target) != found.head:
        found = look(spark, target)
    holds(batch, spec, found)
    if found is None:
        make(storable(batch, spec), spec, target, about, define(of or spec))
        found = look(spark, target)
        if found is None:
            message = f"{target.name} was made, and is not there"
            raise WriteError(message)
    now = _fit(batch, spec, target, found, of or spec)
    with refused(target):
        for statement in now.alterations:
            run_sql(spark, statement)
    batch = storable(_brought(batch, now.after), spec)
    return batch, (head(spark, target) or found.head) if now.alterations else found.head, now.options


def grown(target: DataFrame, batch: DataFrame) -> DataFrame:
    """The table as it will be once it has the batch's new columns, fields and types."""
    have = {field.name.lower(): field for field in target.schema.fields}
    changed = {}
    for field in batch.schema.fields:
        old = have.get(field.name.lower())
        if old is None and not field.name.startswith("__"):
            changed[field.name] = F.lit(None).cast(field.dataType)
        elif old is not None and not alike(old.dataType, field.dataType):
            changed[field.name] = brought(col(old.name), old.dataType, field.dataType)
    return target.withColumns(changed) if changed else target


def _fit(batch: DataFrame, spec: Write, target: Table, found: Look | None, of: Write) -> Fit:
    """What the rows make of the table; ``of`` is the write as the job has it.

    Raises:
        DefinitionChangeError, LayoutChangeError, SchemaDriftError, TypeChangeError, WriteError: it cannot be made.
    """
    rows = StructType([field for field in batch.schema.fields if not field.name.startswith("__")])
    rows = StructType([StructField(one.name, one.dataType) for one in rows.fields])
    if found is None:
        after = settled(rows)
        return Fit(None, after if isinstance(after, StructType) else rows)
    check_definition(found.properties, of, target)
    same_layout(found.layout, spec, target)
    after, differences = joined(found.schema, rows)
    _may_differ(differences, spec, target)
    _keys_stay(differences, spec, target)
    _numbers_itself(rows, spec, target, found)
    alterations = _alterations(found, after, differences, spec, target, changed(found.properties, of))
    return Fit(found, after, tuple(differences), tuple(alterations))


def _may_differ(differences: Sequence[Difference], spec: Write, target: Table) -> None:
    """Hold what is new in the rows against ``evolve``, and what they lack against what the table must have."""
    new = [one.path for one in differences if one.kind == "new"]
    if new and spec.evolve == "strict":
        message = f"{target.name} has no column {', '.join(new)}"
        hint = "say evolve: add_columns to let the table grow, or leave them out in transform()"
        raise SchemaDriftError(message, hint=hint)
    wrong = [one for one in differences if one.kind == "clash" or (one.kind == "wider" and spec.evolve != "widen")]
    if wrong:
        told = "; ".join(
            f"{one.path} is {_kind(one.table)} in the table and {_kind(one.rows)} in the rows" for one in wrong
        )
        would_do = all(one.kind == "wider" for one in wrong)
        hint = (
            "say evolve: widen to let the type grow, or cast in transform()"
            if would_do
            else "cast in transform(), or rebuild the table with --full-refresh"
        )
        raise TypeChangeError(f"{target.name}: {told}", hint=hint)
    must = [one.table for one in differences if one.kind == "lacks" and isinstance(one.table, StructField)]
    for one, path in zip(must, [one.path for one in differences if one.kind == "lacks"], strict=True):
        if not one.nullable and not fills_itself(one):
            message = f"{target.name}: {path} may not be NULL, and the rows do not have it"
            raise SchemaDriftError(message, hint="make the column in transform(), or drop NOT NULL from the table")


def _keys_stay(differences: Sequence[Difference], spec: Write, target: Table) -> None:
    """Hold what is new in the rows against the columns that tell them apart: the table's rows have no value for it.

    Raises:
        TypeChangeError: a field is new in a key, a sequence or an identity.
    """
    compared = (getattr(spec, field, ()) for field in ("keys", "sequence_by", "identity"))
    names = tuple(f"{name}." for value in compared if not isinstance(value, str) for name in value)
    for one in differences:
        if one.kind == "new" and one.path.lower().startswith(tuple(map(str.lower, names))):
            message = f"{target.name}: {one.path} is new, in a column by which rows are told apart"
            raise TypeChangeError(message, hint="name the fields of it that tell a row, or rebuild with --full-refresh")


def _kind(kind: StructField | DataType | None) -> str:
    return kind.simpleString() if kind else ""


def _numbers_itself(rows: StructType, spec: Write, target: Table, found: Look) -> None:
    """Hold the rows against columns that the table counts up by itself."""
    given = {name.lower() for name in rows.names}
    for field in found.schema.fields:
        if IDENTITY not in field.metadata:
            continue
        if field.name.lower() in given and not field.metadata.get("delta.identity.allowExplicitInsert"):
            message = f"{target.name} counts {field.name} up by itself and takes no value for it"
            raise WriteError(message, hint="leave the column out in transform()")
        if field.name.lower() not in given and hasattr(spec, "keys"):
            message = f"{target.name} counts {field.name} up by itself: a row would have a new number with each change"
            raise WriteError(message, hint="make the column in transform(), or write to a table without it")


def same_layout(have: Layout, spec: Write, target: Table) -> None:
    """Hold the table's layout against the job's; another clustering is no matter, for a table can be altered to it.

    Raises:
        LayoutChangeError: they differ.
    """
    partitions = [tuple(map(str.lower, names)) for names in (have.partition_by, spec.partition_by)]
    if partitions[0] != partitions[1] or (have.partition_by and spec.cluster_by):
        message = f"{target.name} is {_told(have)}, the job says {_told(Layout(spec.partition_by, spec.cluster_by))}"
        raise LayoutChangeError(message, hint="rebuild the table with --full-refresh, or take the change back")


def _told(one: Layout) -> str:
    if one.partition_by:
        return f"partitioned by {', '.join(one.partition_by)}"
    return f"clustered by {', '.join(one.cluster_by)}" if one.cluster_by else "not laid out by any column"


def _alterations(
    found: Look,
    after: StructType,
    differences: Sequence[Difference],
    spec: Write,
    target: Table,
    definition: Mapping[str, str],
) -> Iterator[str]:
    """The statements that the table needs before the write, in their order."""
    properties = dict(definition)
    # only once a type does grow: there are readers that know nothing of it
    enabled = found.properties.get("delta.enableTypeWidening", "").lower() == "true"
    if not enabled and any(one.kind == "wider" for one in differences):
        properties["delta.enableTypeWidening"] = "true"
    if spec.column_mapping == "name" and not found.is_mapped:
        properties["delta.columnMapping.mode"] = "name"
    if "timestampNtz" not in found.features and any(isinstance(kind, TimestampNTZType) for _, kind in parts(after)):
        properties["delta.feature.timestampNtz"] = "supported"
    if properties:
        yield _property_statement(target, properties)
    clusters = paths(after, spec.cluster_by)
    if [".".join(path).lower() for path in clusters] == [name.lower() for name in found.layout.cluster_by]:
        return
    for path in clusters:
        yield from _added(found, after, path, target)
    # what the write itself will add is not there yet
    now = joined(found.schema, _of_paths(after, clusters))[0]
    if more := statistics(now, clusters, (), found.properties):
        yield _property_statement(target, more)
    told = ", ".join(".".join(map(quoted, path)) for path in clusters)
    yield f"ALTER TABLE {target.sql} CLUSTER BY {f'({told})' if told else 'NONE'}"


def _of_paths(schema: StructType, paths: Sequence[tuple[str, ...]]) -> StructType:
    """No more of a schema than leads to these columns."""
    wanted = {path[:1] for path in paths}
    fields = []
    for field in schema.fields:
        if (field.name,) in wanted:
            below = [path[1:] for path in paths if path[0] == field.name and len(path) > 1]
            inner = field.dataType
            fields.append(StructField(field.name, _of_paths(inner, below) if isinstance(inner, StructType) else inner))
    return StructType(fields)


def _property_statement(target: Table, properties: Mapping[str, str]) -> str:
    told = ", ".join(f"{literal(name)} = {literal(value)}" for name, value in properties.items())
    return f"ALTER TABLE {target.sql} SET TBLPROPERTIES ({told})"


def _added(found: Look, after: StructType, path: tuple[str, ...], target: Table) -> Iterator[str]:
    """The statement that adds a column which the table is to be clustered by and does not have yet."""
    for depth in range(1, len(path) + 1):
        if resolved(found.schema, ".".join(path[:depth])) is None:
            kind = resolved(after, ".".join(path[:depth]))
            if kind:
                yield (
                    f"ALTER TABLE {target.sql} ADD COLUMNS "
                    f"({'.'.join(map(quoted, path[:depth]))} {sql_type(settled(kind[1]))})"
                )
            return


def _expression_of_log(field: StructField, name: str) -> Column:
    """Build the value that the table's log has for a column.

    Raises:
        WriteError: it is more than a value.
    """
    text = field.metadata[name]
    try:
        return expression(log_expression(text))
    except ValueError as error:
        message = f"the table's log has {text!r} for column {field.name}: {error}"
        raise WriteError(
            message, hint="ALTER TABLE … ALTER COLUMN … DROP DEFAULT, or give the column a value"
        ) from None


def _brought(batch: DataFrame, after: StructType) -> DataFrame:
    """The batch with the columns of the table, by its spelling, order and types; then new ones, then the engine's own.

    A column that the batch lacks is what the table says for it, else NULL. One that the table counts up is left out.
    """
    fields = [field for field in batch.schema.fields if not field.name.startswith("__")]
    if alike(StructType(fields), after) and batch.schema.fields[: len(fields)] == fields:
        return batch
    given = {field.name.lower(): field for field in fields}
    columns, computed = [], {}
    for field in after.fields:
        have = given.get(field.name.lower())
        if have is not None:
            columns.append(brought(col(have.name), have.dataType, field.dataType).alias(field.name))
        elif GENERATED in field.metadata:
            computed[field.name] = _expression_of_log(field, GENERATED).cast(field.dataType)
        elif IDENTITY not in field.metadata:
            value = _expression_of_log(field, DEFAULT) if DEFAULT in field.metadata else F.lit(None)
            columns.append(value.cast(field.dataType).alias(field.name))
    columns += [col(name) for name in batch.columns if name.startswith("__")]
    batch = batch.select(columns)
    if not computed:
        return batch
    order = [field.name for field in after.fields if field.name in {*batch.columns, *computed}]
    own = [name for name in batch.columns if name.startswith("__")]
    return batch.withColumns(computed).select([col(name) for name in (*order, *own)])
