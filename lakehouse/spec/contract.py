"""What rows must look like: columns with types, and rules over a row."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from lakehouse.spec.base import ColumnName, ColumnNames, FieldError, Spec
from lakehouse.spec.column import ColumnOrShort
from lakehouse.spec.document import nearest
from lakehouse.spec.event_time import Duration, seconds
from lakehouse.spec.expression import AggregateCheck, ReferenceCheck, RowCheck, UniqueCheck
from lakehouse.spec.roles import misfit
from lakehouse.spec.rule import Percent, Rule


class Freshness(Spec):
    """How old the newest row may be."""

    column: Annotated[ColumnName, Field(description="When a row happened.")]
    within: Annotated[Duration, Field(description="How long ago that may be at the most, such as 24 hours.")]


class Contract(Spec):
    """The columns that a source must have, and the rules that its rows must keep.

    ``unknown`` is what becomes of a column that the contract does not name: it passes as it is (``keep``: whether the
    table may grow is the ``evolve`` of its write), is left out (``ignore``), is kept as JSON in ``_rescued`` together
    with what did not fit its type (``rescue``), or rows that have a value in it are put aside (``refuse``).
    """

    name: str = ""
    version: str = ""
    owner: str = ""
    about: str = ""
    unknown: Literal["keep", "ignore", "rescue", "refuse"] = "keep"
    missing: Annotated[
        Literal["refuse", "allow"],
        Field(
            description="A file without a column that is not null, or with none that is declared, and a record with no "
            "declared field: put into quarantine, or their columns are NULL."
        ),
    ] = "refuse"
    key: Annotated[ColumnNames, Field(description="What tells one row from another.")] = ()
    freshness: Freshness | None = None
    columns: dict[ColumnName, ColumnOrShort] = {}
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = ()
    min_score: Annotated[
        Percent | None,
        Field(description="A lower share of what is judged (rows times rules) that is right ends the run."),
    ] = None

    @model_validator(mode="after")
    def _column_names_are_unique(self) -> Contract:
        seen: dict[str, str] = {}
        for name in self.columns:
            if (other := seen.setdefault(name.lower(), name)) != name:
                message = f"'{other}' and '{name}' are one column: their case makes no difference"
                raise FieldError(message, "columns", name)
        return self

    @model_validator(mode="after")
    def _an_alias_is_of_one_column(self) -> Contract:
        seen = {name.lower(): name for name in self.columns}
        for name, column in self.columns.items():
            for index, alias in enumerate(column.aliases):
                if alias.lower() == "_source" or alias.startswith("__"):
                    message = f"'{alias}' is reserved"
                    raise FieldError(message, "columns", name, "aliases", index)
                if (other := seen.setdefault(alias.lower(), alias)) != alias or seen[alias.lower()] in self.columns:
                    message = f"'{alias}' is '{other}' already: a name is that of one column, whatever its case"
                    raise FieldError(message, "columns", name, "aliases", index)
                seen[alias.lower()] = f"an alias of {name}"
        return self

    @property
    def names(self) -> dict[str, str]:
        """The names under which columns come, in lower case, each with the column that is declared."""
        aliases = {alias.lower(): name for name, column in self.columns.items() for alias in column.aliases}
        return {**aliases, **{name.lower(): name for name in self.columns}}

    @model_validator(mode="after")
    def _unknown_columns_can_be_told(self) -> Contract:
        if self.unknown != "keep" and not self.columns:
            message = "no columns are declared, so every one would be unknown"
            raise FieldError(message, "unknown")
        for name in self.columns:
            if self.unknown == "rescue" and name.lower() == "_rescued":
                message = f"'{name}' is the column of what is rescued"
                raise FieldError(message, "columns", name)
        return self

    @model_validator(mode="after")
    def _facts_name_declared_columns(self) -> Contract:
        declared = {name.lower(): column for name, column in self.columns.items()}
        told: list[tuple[str, tuple[str | int, ...]]] = [(name, ("key", index)) for index, name in enumerate(self.key)]
        told += [(self.freshness.column, ("freshness", "column"))] if self.freshness else []
        for name, at in told:
            if name.lower() not in declared:
                message = f"'{name}' is not declared{nearest(name, [*self.columns])}"
                raise FieldError(message, *at)
            if why := misfit(name, declared[name.lower()].type, "compared" if at[0] == "key" else "freshness"):
                raise FieldError(why, *at)
            if at[0] == "key" and declared[name.lower()].nullable:
                message = f"'{name}' may be NULL, and a key tells rows from each other: declare it not null"
                raise FieldError(message, *at)
        return self

    @model_validator(mode="after")
    def _rules_compare_what_can_be_compared(self) -> Contract:
        for index, rule in enumerate(self.rules):
            for text in rule.asks.columns if isinstance(rule.asks, UniqueCheck | ReferenceCheck) else ():
                name = text.strip("`").replace("``", "`")
                if why := misfit(name, self.types.get(name.lower(), ""), "compared"):
                    raise FieldError(why, "rules", index, "check")
        return self

    @property
    def types(self) -> dict[str, str]:
        """The declared types by the names of their columns, in lower case."""
        return {name.lower(): column.type for name, column in self.columns.items()}

    @property
    def personal(self) -> tuple[str, ...]:
        """The columns whose values are masked where people look."""
        return tuple(name for name, column in self.columns.items() if column.is_personal)

    @model_validator(mode="after")
    def _rule_names_are_unique(self) -> Contract:
        names = [rule.name for rule in self.rules]
        for index, name in enumerate(names):
            if name in names[:index]:
                message = f"two rules are named '{name}'"
                raise FieldError(message, "rules", index, "name")
            if name == "freshness" and self.freshness:
                message = "'freshness' is the rule that freshness: makes: give this one another name"
                raise FieldError(message, "rules", index, "name")
        return self

    @property
    def with_freshness(self) -> Contract:
        """The same with its ``freshness`` as a rule; of a table as a whole, as a batch may be of any time."""
        if self.freshness is None:
            return self
        column, within = self.freshness.column.replace("`", "``"), seconds(self.freshness.within)
        check = f"max(`{column}`) >= current_timestamp() - interval {within} seconds"
        return self.model_copy(update={"rules": (*self.rules, Rule(name="freshness", check=check, on_fail="fail"))})

    @property
    def of_rows(self) -> tuple[Rule, ...]:
        """The rules that one row tells by itself."""
        return tuple(rule for rule in self.rules if isinstance(rule.asks, RowCheck))

    @property
    def of_all(self) -> tuple[Rule, ...]:
        """The rules over all rows together."""
        return tuple(rule for rule in self.rules if isinstance(rule.asks, AggregateCheck))

    @property
    def of_others(self) -> tuple[Rule, ...]:
        """The rules that look at other rows, of the batch or of a table."""
        return tuple(rule for rule in self.rules if isinstance(rule.asks, UniqueCheck | ReferenceCheck))

    @property
    def references(self) -> list[str]:
        """The tables that rules look into."""
        return sorted({rule.asks.table for rule in self.rules if isinstance(rule.asks, ReferenceCheck)})

    @property
    def fingerprint(self) -> str:
        """Which contract it is: ``name@version`` where it says so, else the beginning of a hash of all that it says."""
        said = self.model_dump(mode="json")
        # what is said by saying nothing came later than contracts that are known by their hash
        if self.missing == "refuse":
            del said["missing"]
        for column in said["columns"].values():
            if not column["aliases"]:
                del column["aliases"]
        name, version = said.get("name"), said.get("version")
        if name and version:
            return f"{name}@{version}"
        return "sha256:" + hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _not_a_file(value: object) -> object:
    if isinstance(value, str):
        message = f"the contract in {value} has not been read: a Project reads it with the job"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports no TypeError
    return value


ContractOrFile = Annotated[Contract | None, BeforeValidator(_not_a_file, json_schema_input_type=str | Contract | None)]
"""A contract, which a YAML writes out or names by its file."""
