"""The table and the rows are brought together before anything is committed: columns, types, names and layout."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DateType,
    MapType,
    NullType,
    NumericType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    UserDefinedType,
    VariantType,
)

from lakehouse.errors import (
    ConstraintError,
    KeyMissingError,
    LayoutChangeError,
    SchemaDriftError,
    TypeChangeError,
    WriteError,
    first_line,
)
from lakehouse.lake.frame import col, literal, quoted, sql_type
from lakehouse.lake.look import Look, look
from lakehouse.lake.table import Commit, Layout, create, head
from lakehouse.lake.types import alike, brought, joined, parts, resolved, settled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.lake.table import Table
    from lakehouse.lake.types import Difference
    from lakehouse.spec.write import Write

_ODD = frozenset(" ,;{}()\n\t=")
_OF_THE_FEED = frozenset({"_change_type", "_commit_version", "_commit_timestamp"})
_WITH_STATISTICS = (NumericType, StringType, DateType, TimestampType, TimestampNTZType)
"""Types of which Delta keeps the least and the greatest value of each file, and by which it clusters."""
_HELD = (
    *_WITH_STATISTICS,
    BooleanType, BinaryType, VariantType, StructType, ArrayType, MapType, NullType, UserDefinedType,
)  # fmt: skip
_WITHOUT_ORDER = (MapType, VariantType)
_MOST_CLUSTERED = 4
_MOST_WITH_STATISTICS = 32
_GENERATED, _DEFAULT, _IDENTITY = "delta.generationExpression", "CURRENT_DEFAULT", "delta.identity.start"
_REFUSALS = {
    "DELTA_NOT_NULL_CONSTRAINT_VIOLATED": ConstraintError,
    "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES": ConstraintError,
    "DELTA_EXCEED_CHAR_VARCHAR_LIMIT": ConstraintError,
    "DELTA_CONSTRAINT_DATA_TYPE_MISMATCH": TypeChangeError,
    "DELTA_GENERATED_COLUMNS_DATA_TYPE_MISMATCH": TypeChangeError,
    "DELTA_CANNOT_MODIFY_APPEND_ONLY": WriteError,
    # MERGE writes no struct whose fields may be NULL into one in which they may not
    "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION": TypeChangeError,
}


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
    return _fit(rows, spec, target, found)


def fitted(
    batch: DataFrame, spec: Write, target: Table, about: str, fit: Fit | None = None
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

    Raises:
        KeyMissingError, LayoutChangeError, SchemaDriftError, TypeChangeError, WriteError.
    """
    spark = batch.sparkSession
    found = fit.found if fit else None
    if found is None or head(spark, target) != found.head:
        found = look(spark, target)
    holds(batch, spec, found)
    if found is None:
        _make(_settled(batch, spec), spec, target, about)
        found = look(spark, target)
        if found is None:
            message = f"{target.name} was made, and is not there"
            raise WriteError(message)
    now = _fit(batch, spec, target, found)
    with refused(target):
        for statement in now.alterations:
            spark.sql(statement)
    batch = _settled(_brought(batch, now.after), spec)
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


@contextmanager
def refused(target: Table) -> Iterator[None]:
    """Tell in this library's words why Delta did not commit: nothing of such a commit is in the table.

    Raises:
        ConstraintError: a row breaks a rule that the table has of its own.
        TypeChangeError, WriteError: the table does not let itself be changed so.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        for condition, kind in _REFUSALS.items():
            if f"[{condition}]" in text:
                told = " ".join(text.split(f"[{condition}]", 1)[1].split("\n\tat ")[0].split())
                message = f"{target.name}: {told[:500] or first_line(error)}"
                hint = "the table has this rule of its own: mend the rows in transform(), or drop the rule"
                raise kind(message, hint=hint) from error
        raise


# --- what the rows must be, whatever the table ---


def holds(batch: DataFrame, spec: Write, found: Look | None = None) -> None:
    """Hold the batch against the columns that the job names, and against what a table can have.

    Raises:
        KeyMissingError: a column is not there.
        WriteError: two columns have one name, or a name or type that Delta does not take where it stands.
    """
    fields = [field for field in batch.schema.fields if not field.name.startswith("__")]
    schema = StructType(fields)
    _names_hold(schema, spec, found)
    for path, kind in parts(schema):
        if not isinstance(kind, _HELD) or (isinstance(kind, StructType) and not kind.fields):
            message = f"{spec.table}: Delta holds no {kind.simpleString()}, and {path} is one"
            raise WriteError(message, hint="cast it, or leave it out, in transform()")
    own = [field for field in found.schema.fields if _fills_itself(field)] if found else []
    given = {field.name.lower() for field in fields}
    whole = StructType([*fields, *[field for field in own if field.name.lower() not in given]])
    for field in ("keys", "sequence_by"):
        for name, kind in _named(whole, spec, field):
            if any(isinstance(one, _WITHOUT_ORDER) for _, one in parts(kind, name)):
                message = f"{spec.table}: {field} names {name}, a {kind.simpleString()}, which cannot be compared"
                raise WriteError(message, hint="make a column of what tells the rows apart in transform()")
    _layout_holds(whole, spec)


def _names_hold(schema: StructType, spec: Write, found: Look | None) -> None:
    """Hold the names at every depth against each other and against Delta's."""
    for path, kind in [("", schema), *parts(schema)]:
        names = Counter(name.lower() for name in kind.names) if isinstance(kind, StructType) else Counter[str]()
        if twice := [name for name, times in names.items() if times > 1]:
            message = f"{spec.table}: {path or 'the rows'} have two columns {twice[0]}"
            raise WriteError(message, hint="drop or rename one in transform()")
    mapped = spec.column_mapping == "name" or (found is not None and found.is_mapped)
    if not mapped and (odd := [name for name in _names(schema) if _ODD.intersection(name)]):
        message = (
            f"{spec.table}: Delta takes no blank, line break or ,;{{}}()= in a name, and a column is named {odd[0]!r}"
        )
        raise WriteError(message, hint="give it another name by rename, or say column_mapping: name")
    reserved = _OF_THE_FEED if spec.mode != "append" or (found is not None and found.has_change_feed) else frozenset()
    for name in schema.names:
        if name.lower() in reserved or (name.lower() == "_metadata" and spec.mode != "append"):
            message = f"{spec.table}: {name} is a name that Delta uses itself"
            raise WriteError(message, hint="give the column another name by rename")


def _names(schema: StructType) -> Iterator[str]:
    """The names of all fields, at every depth."""
    for _, kind in [("", schema), *parts(schema)]:
        yield from kind.names if isinstance(kind, StructType) else ()


def _named(schema: StructType, spec: Write, field: str) -> list[tuple[str, DataType]]:
    """The columns that a field of the job names, with their types."""
    found = {name: resolved(schema, name) for name in getattr(spec, field, ())}
    if missing := [name for name, one in found.items() if one is None]:
        there = ", ".join(schema.names)
        message = f"{spec.table}: {field} names {', '.join(missing)}, which the rows do not have (they have {there})"
        raise KeyMissingError(message)
    return [(name, one[1]) for name, one in found.items() if one]


def _layout_holds(schema: StructType, spec: Write) -> None:
    """Hold the columns of the layout against what Delta lays a table out by."""
    whole = {name.lower() for name in schema.names}
    for name, kind in _named(schema, spec, "partition_by"):
        if name.lower() not in whole or isinstance(kind, StructType | ArrayType | MapType | VariantType):
            what = "a field of one" if name.lower() not in whole else f"a {kind.simpleString()}"
            message = (
                f"{spec.table}: partition_by names {name}: Delta partitions by whole simple columns, not by {what}"
            )
            raise WriteError(message, hint="make a column of it in transform(), or say cluster_by")
    if len(whole) == len(spec.partition_by):
        message = f"{spec.table}: partition_by names every column, and Delta keeps none of them in the files"
        raise WriteError(message, hint="leave one out")
    if len(spec.cluster_by) > _MOST_CLUSTERED:
        message = f"{spec.table}: cluster_by names {len(spec.cluster_by)} columns, and Delta takes {_MOST_CLUSTERED}"
        raise WriteError(message, hint="keep those that are asked for most")
    for name, kind in _named(schema, spec, "cluster_by"):
        if not isinstance(kind, (*_WITH_STATISTICS, NullType)):
            message = f"{spec.table}: cluster_by names {name}, and Delta does not cluster by {kind.simpleString()}"
            raise WriteError(message, hint="choose a number, a text or a time")


# --- a new table ---


def _make(batch: DataFrame, spec: Write, target: Table, about: str) -> None:
    """Make the target, empty."""
    schema = StructType([field for field in batch.schema.fields if not field.name.startswith("__")])
    properties = {
        "lakehouse.mode": spec.mode,
        "delta.enableDeletionVectors": "true",
        "delta.checkpointInterval": "50",
    }
    if spec.mode != "append":
        properties["delta.enableChangeDataFeed"] = "true"
    if spec.column_mapping == "name":
        properties["delta.columnMapping.mode"] = "name"
    partitions = [".".join(path) for path in _paths(schema, spec.partition_by)]
    clusters = _paths(schema, spec.cluster_by)
    compared = _paths(schema, [*getattr(spec, "keys", ()), *getattr(spec, "sequence_by", ())])
    properties |= _statistics(schema, [*clusters, *compared], partitions, {})
    create(
        batch.sparkSession,
        target,
        schema,
        about=about,
        comments=spec.comments,
        partition_by=partitions,
        cluster_by=[".".join(path) for path in clusters],
        properties=properties,
    )


def _paths(schema: StructType, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Columns, or fields of them, as the schema spells them."""
    return [found[0] for name in names if (found := resolved(schema, name))]


def _settled(batch: DataFrame, spec: Write) -> DataFrame:
    """The batch as Delta can hold it: what has no type as text, and no empty text to partition by.

    Delta makes a NULL of an empty partition value; were it not one before, the row would differ from itself.
    """
    partitions = {name.lower() for name in spec.partition_by}

    def is_held(field: StructField) -> bool:
        empty = isinstance(field.dataType, StringType) and field.name.lower() in partitions
        return field.name.startswith("__") or not (
            empty or any(isinstance(one, NullType) for _, one in parts(field.dataType, "it"))
        )

    if all(map(is_held, batch.schema.fields)):
        return batch

    def as_held(field: StructField) -> Column:
        value = col(field.name)
        if field.name.startswith("__"):
            return value
        value = brought(value, field.dataType, settled(field.dataType))
        if isinstance(field.dataType, StringType) and field.name.lower() in partitions:
            value = F.when(value != "", value)
        return value.alias(field.name)

    return batch.select([as_held(field) for field in batch.schema.fields])


def _statistics(
    schema: StructType, wanted: Sequence[tuple[str, ...]], partitions: Sequence[str], properties: Mapping[str, str]
) -> dict[str, str]:
    """The property that makes Delta keep statistics of these columns, where it would not by itself.

    It keeps them of the first 32 columns, and clusters by no column without.
    """
    apart = {name.lower() for name in partitions}
    leaves = [leaf for leaf in _leaves(schema) if leaf[0][0].lower() not in apart]
    name, most = "delta.dataSkippingStatsColumns", properties.get("delta.dataSkippingNumIndexedCols")
    first = [path for path, _ in leaves][: int(most) if most and int(most) >= 0 else len(leaves) if most else 32]
    able = {path for path, kind in leaves if isinstance(kind, _WITH_STATISTICS)}
    wanted = [path for path in dict.fromkeys(wanted) if path in able]
    if properties.get(name):
        told = properties[name]
        new = [text for path in wanted if (text := ".".join(map(quoted, path))) not in told.replace("``", "")]
        return {name: ", ".join([told, *new])} if new else {}
    if all(path in first for path in wanted):
        return {}
    chosen = dict.fromkeys([*wanted, *[path for path in first if path in able]])
    return {name: ", ".join(".".join(map(quoted, path)) for path in list(chosen)[:_MOST_WITH_STATISTICS])}


def _leaves(schema: StructType, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], DataType]]:
    """The columns, and the fields of those that are structs, in their order."""
    for field in schema.fields:
        if isinstance(field.dataType, StructType):
            yield from _leaves(field.dataType, (*above, field.name))
        else:
            yield (*above, field.name), field.dataType


# --- a table that is there ---


def _fit(batch: DataFrame, spec: Write, target: Table, found: Look | None) -> Fit:
    """What the rows make of the table.

    Raises:
        LayoutChangeError, SchemaDriftError, TypeChangeError, WriteError: it cannot be made.
    """
    rows = StructType([field for field in batch.schema.fields if not field.name.startswith("__")])
    rows = StructType([StructField(one.name, one.dataType) for one in rows.fields])
    if found is None:
        after = settled(rows)
        return Fit(None, after if isinstance(after, StructType) else rows)
    same_layout(found.layout, spec, target)
    after, differences = joined(found.schema, rows)
    _may_differ(differences, spec, target)
    _numbers_itself(rows, spec, target, found)
    return Fit(found, after, tuple(differences), tuple(_alterations(found, after, differences, spec, target)))


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
        if not one.nullable and not _fills_itself(one):
            message = f"{target.name}: {path} may not be NULL, and the rows do not have it"
            raise SchemaDriftError(message, hint="make the column in transform(), or drop NOT NULL from the table")


def _kind(kind: StructField | DataType | None) -> str:
    return kind.simpleString() if kind else ""


def _fills_itself(field: StructField) -> bool:
    """Whether the table has a value for the column where the rows have none."""
    return any(name in field.metadata for name in (_GENERATED, _DEFAULT, _IDENTITY))


def _numbers_itself(rows: StructType, spec: Write, target: Table, found: Look) -> None:
    """Hold the rows against columns that the table counts up by itself."""
    given = {name.lower() for name in rows.names}
    for field in found.schema.fields:
        if _IDENTITY not in field.metadata:
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
    found: Look, after: StructType, differences: Sequence[Difference], spec: Write, target: Table
) -> Iterator[str]:
    """The statements that the table needs before the write, in their order."""
    properties = {}
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
    clusters = _paths(after, spec.cluster_by)
    if [".".join(path).lower() for path in clusters] == [name.lower() for name in found.layout.cluster_by]:
        return
    for path in clusters:
        yield from _added(found, after, path, target)
    # what the write itself will add is not there yet
    now = joined(found.schema, _of_paths(after, clusters))[0]
    if statistics := _statistics(now, clusters, (), found.properties):
        yield _property_statement(target, statistics)
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
        elif _GENERATED in field.metadata:
            computed[field.name] = F.expr(field.metadata[_GENERATED]).cast(field.dataType)
        elif _IDENTITY not in field.metadata:
            value = F.expr(field.metadata[_DEFAULT]) if _DEFAULT in field.metadata else F.lit(None)
            columns.append(value.cast(field.dataType).alias(field.name))
    columns += [col(name) for name in batch.columns if name.startswith("__")]
    batch = batch.select(columns)
    if not computed:
        return batch
    order = [field.name for field in after.fields if field.name in {*batch.columns, *computed}]
    own = [name for name in batch.columns if name.startswith("__")]
    return batch.withColumns(computed).select([col(name) for name in (*order, *own)])
