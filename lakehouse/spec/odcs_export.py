"""A contract of ours as one of the Open Data Contract Standard: in its words, where it has any.

What it has no words for stands in ``customProperties`` under ``lakehouse``, so that to read it gives the same contract.
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import sqlglot
from ruamel.yaml import YAML
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.errors import ConfigError
from lakehouse.spec.odcs import faults, standard

if TYPE_CHECKING:
    from lakehouse.spec.column import Column
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.rule import Rule

_VERSION = "v3.1.0"
_LOGICAL = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), "integer"),
    **dict.fromkeys(("decimal", "float", "double"), "number"),
    **dict.fromkeys(("timestamp", "timestamp_ntz"), "timestamp"),
    "string": "string",
    "boolean": "boolean",
    "date": "date",
    "array": "array",
    "struct": "object",
}
_SAID = ("type", "nullable", "about", "classification")


def exported(contract: Contract, name: str) -> str:
    """The contract as YAML of the standard.

    Args:
        contract: ours.
        name: what it is called where it does not say it.

    Raises:
        ConfigError: the standard has no place for it.
        ExtraMissingError: its schema is not installed.
    """
    table = contract.name or name
    data = {
        "apiVersion": _VERSION,
        "kind": "DataContract",
        "id": table,
        "name": table,
        "version": contract.version or "0.0.0",
        "status": "active",
        "team": {"name": contract.owner} if contract.owner else None,
        "schema": [_table(contract, table)],
        "slaProperties": _agreed(contract, table),
    }
    data = {key: value for key, value in data.items() if value}
    schema, _ = standard()
    if wrong := faults(data, schema):
        message = f"{table}: the standard has no place for {wrong[0].json_path}: {wrong[0].message}"
        raise ConfigError(message)
    text = StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(data, text)
    return text.getvalue()


def _table(contract: Contract, table: str) -> dict[str, Any]:
    keys = [name.lower() for name in contract.key]
    own = contract.model_dump(mode="json", exclude_unset=True, include={"unknown", "missing", "min_score"})
    made = {
        "name": table,
        "logicalType": "object",
        "description": contract.about,
        "properties": [_property(name, column, keys) for name, column in contract.columns.items()],
        "quality": [_quality(rule) for rule in contract.rules],
        "customProperties": [{"property": "lakehouse", "value": own}] if own else None,
    }
    return {key: value for key, value in made.items() if value}


def _property(name: str, column: Column, keys: list[str]) -> dict[str, Any]:
    kind = column.type.partition("<")[0].partition("(")[0]
    own = column.model_dump(mode="json", exclude_unset=True, exclude=set(_SAID))
    made = {
        "name": name,
        "logicalType": _LOGICAL.get(kind),
        "physicalType": column.type,
        "description": column.about,
        "required": not column.nullable or None,
        "primaryKey": name.lower() in keys or None,
        "primaryKeyPosition": keys.index(name.lower()) + 1 if name.lower() in keys else None,
        "classification": column.classification,
        "customProperties": [{"property": "lakehouse", "value": own}] if own else None,
    }
    return {key: value for key, value in made.items() if value is not None and value != ""}


def _quality(rule: Rule) -> dict[str, Any]:
    """A rule as a query where any engine can ask it, else as one of ours."""
    own = rule.model_dump(mode="json", exclude_unset=True)
    made: dict[str, Any] = {
        "name": rule.name,
        "description": rule.about,
        **{fact: own.get(fact) for fact in ("severity", "dimension")},
    }
    if _is_plain(rule.check) and not own.get("where"):
        query = f"SELECT count(*) FROM ${{table}} WHERE NOT ({rule.check})"  # noqa: S608 -- for others to run
        made |= {"type": "sql", "query": query, "mustBe": 0}
        made |= {"customProperties": [{"property": "lakehouse", "value": own}]}
    else:
        made |= {"type": "custom", "engine": "lakehouse", "implementation": own}
    return {key: value for key, value in made.items() if value is not None and value != ""}


def _is_plain(check: str) -> bool:
    """Whether a check is SQL over one row, in functions that SQL has."""
    try:
        tree = sqlglot.parse_one(check, dialect="spark")
    except SqlglotError:
        return False
    return not tree.find(exp.Anonymous, exp.AggFunc)


def _agreed(contract: Contract, table: str) -> list[dict[str, Any]]:
    if contract.freshness is None:
        return []
    value, unit = contract.freshness.within.split()
    element = f"{table}.{contract.freshness.column}"
    return [{"property": "freshness", "value": int(value), "unit": unit, "element": element}]
