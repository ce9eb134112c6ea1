"""What rows must look like: columns with types, and rules over a row."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from lakehouse.spec.base import ColumnName, FieldError, Spec
from lakehouse.spec.column import ColumnOrShort
from lakehouse.spec.expression import AggregateCheck, ReferenceCheck, RowCheck, UniqueCheck
from lakehouse.spec.rule import Percent, Rule


class Contract(Spec):
    """The columns that a source must have, and the rules that its rows must keep.

    A column that the contract does not name passes as it is: whether a table may grow is the ``evolve`` of its write.
    """

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
    def _rule_names_are_unique(self) -> Contract:
        names = [rule.name for rule in self.rules]
        for index, name in enumerate(names):
            if name in names[:index]:
                message = f"two rules are named '{name}'"
                raise FieldError(message, "rules", index, "name")
        return self

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
