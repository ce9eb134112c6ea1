"""Contracts of the Open Data Contract Standard (v3), read as they are: what one promises of a table is a contract.

What cannot be judged here is a problem at its line, and never passed over: unless the file says of it, in its
``customProperties``, ``{property: lakehouse, value: ignore}``. What promises nothing of the data (prices, support,
servers, tags, roles …) is no matter of a contract on rows.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lakehouse.errors import ExtraMissingError, InvalidConfigError, Problem
from lakehouse.spec.contract import Contract
from lakehouse.spec.document import nearest
from lakehouse.spec.odcs_quality import Told, named_rule, options_as_rules, quality_as_rules
from lakehouse.spec.odcs_types import OURS, ours, type_of
from lakehouse.spec.rule import Rule

if TYPE_CHECKING:
    from lakehouse.spec.document import Document, Location

_FRESHNESS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "hr": "hours", "d": "days"}
_EXTRA = "pip install 'lakehouse[odcs]'"


@dataclass
class _Reading:
    """One reading of a file: what was found wrong, and the rules so far, each with its place."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    rules: list[tuple[Location, Rule]] = field(default_factory=list)

    def refuse(self, at: Location, message: str, *, at_key: bool = False) -> None:
        self.problems.append(self.document.problem(at, message, at_key=at_key))

    def take(self, told: Told) -> None:
        """Take up what became of a promise: rules, or why there can be none."""
        for at, rule in told.rules:
            try:
                self.rules.append((at, Rule.model_validate({**rule, "name": self._free(str(rule["name"]))})))
            except ValidationError as error:
                self.refuse(at, f"{error.errors()[0]['msg'].removeprefix('Value error, ')}: {rule['check']}")
        for at, message in told.refused:
            self.refuse(at, message)

    def _free(self, name: str) -> str:
        taken = {rule.name for _, rule in self.rules}
        return next(one for one in chain([name], (f"{name}_{n}" for n in count(2))) if one not in taken)


def is_odcs(data: Any) -> bool:
    """Whether a file says that it is a contract of the standard."""
    return isinstance(data, dict) and (data.get("kind") == "DataContract" or "apiVersion" in data)


def contract_of(document: Document, part: str = "") -> Contract:
    """The contract that the file has of a table: its only one, or the one that is named.

    Raises:
        InvalidConfigError: it breaks the standard, or promises what cannot be judged; every problem with its line.
        ExtraMissingError: the models and the schema of the standard are not installed.
    """
    _validate(document)
    reading = _Reading(document)
    at = _object(document, part)
    thing = document.data["schema"][at[1]]
    made = {
        **_facts(document, thing),
        **ours(thing),
        "columns": _columns(reading, thing, at),
        "key": [_name(one) for one in _in_order(thing)],
        "freshness": _freshness(reading, thing),
    }
    reading.take(quality_as_rules(thing, at, table=_names(thing)))
    for index, _ in enumerate(thing.get("relationships") or ()):
        _refuse_relationship(reading, thing["relationships"][index], (*at, "relationships", index))
    if reading.problems:
        raise InvalidConfigError(reading.problems)
    return _made(reading, thing, at, made)


def _made(reading: _Reading, thing: dict[str, Any], at: Location, made: dict[str, Any]) -> Contract:
    places: dict[str, Location] = {
        _name(one): (*at, "properties", index) for index, one in enumerate(thing.get("properties") or ())
    }
    rules = [rule.model_dump(exclude_unset=True) for _, rule in reading.rules]
    try:
        return Contract.model_validate({**made, "rules": rules})
    except ValidationError as errors:
        for error in errors.errors():
            loc = error["loc"]
            place = places.get(str(loc[1]), at) if loc[:1] == ("columns",) and len(loc) > 1 else at
            reading.refuse(place, error["msg"].removeprefix("Value error, "))
    raise InvalidConfigError(reading.problems)


def _validate(document: Document) -> None:
    """Hold the file against the standard's schema, and against its models: each sees what the other lets pass."""
    schema, model = standard()
    version = document.data.get("apiVersion")
    if not str(version).startswith("v3"):
        message = f"'{version}' is not read: expected v3.0.0 to {schema['properties']['apiVersion']['enum'][0]}"
        raise InvalidConfigError([document.problem(("apiVersion",), message)])
    problems = [
        problem for error in _told_once(faults(document.data, schema)) for problem in _told(document, schema, error)
    ]
    if not problems:
        try:
            model.model_validate(document.data)
        except ValidationError as invalid:
            problems = [document.problem(one["loc"], one["msg"]) for one in invalid.errors()]
    if problems:
        raise InvalidConfigError(sorted(set(problems)))


def _told_once(errors: list[Any]) -> list[Any]:
    """The errors but those that follow from others: what is wrong within makes all that is around it strange."""
    strange = [error for error in errors if error.validator == "unevaluatedProperties"]
    others = [error for error in errors if error not in strange]

    def holds(one: Any, other: Any) -> bool:
        return bool(other.absolute_path != one.absolute_path and _begins(other.absolute_path, one.absolute_path))

    kept = [
        error
        for error in strange
        if not any(_begins(other.absolute_path, error.absolute_path) for other in others)
        and not any(holds(error, other) for other in strange)
    ]
    return [*others, *kept]


def _begins(path: Any, with_: Any) -> bool:
    return list(path)[: len(with_)] == list(with_)


def faults(data: Any, schema: dict[str, Any]) -> list[Any]:
    """What is wrong with a file by the schema."""
    from jsonschema import Draft201909Validator

    return list(Draft201909Validator(schema).iter_errors(data))


def standard() -> tuple[dict[str, Any], Any]:
    """The standard's schema, and its model.

    Raises:
        ExtraMissingError: they are not installed.
    """
    try:
        import jsonschema  # noqa: F401
        from open_data_contract_standard import model
    except ImportError as error:
        message = f"the Open Data Contract Standard needs {error.name}, which is not installed"
        raise ExtraMissingError(message, hint=_EXTRA) from None
    described: Any = model.OpenDataContractStandard
    # by its own function it is read in a way that Python warns of
    schema = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))
    for part in schema["$defs"].values():
        for case in part.get("allOf", ()):
            _only_if_said(case.get("if", {}))
    return schema, described


def _only_if_said(condition: dict[str, Any]) -> None:
    """Let a condition on a key be true only where the key is there.

    As it was published (3.2.0), a property with no logicalType is held to be a map, a vector and all the others.
    """
    for one in [condition, *condition.get("anyOf", ())]:
        if "properties" in one:
            one.setdefault("required", sorted(one["properties"]))


def _told(document: Document, schema: dict[str, Any], error: Any) -> list[Problem]:
    """What an error of the schema means, where it is."""
    place = tuple(error.absolute_path)
    if error.validator in ("unevaluatedProperties", "additionalProperties"):
        known = sorted(_keys(schema))
        strange = re.findall(r"'([^']*)'", error.message.partition("(")[2])
        return [document.problem((*place, name), f"unknown key{_near(name, known)}", at_key=True) for name in strange]
    alternatives = [one for one in error.context or () if one.validator == "required"]
    if error.validator == "oneOf" and alternatives:
        names = [one.validator_value[0] for one in alternatives]
        return [document.problem(place, f"expected one of {', '.join(names)}")]
    if error.validator == "required":
        return [document.problem(place, error.message.replace(" is a required property", " is missing"))]
    return [document.problem(place, error.message if len(error.message) < 300 else f"{error.message[:299]}…")]


def _keys(schema: Any) -> set[str]:
    """Every name that the schema has for a key."""
    if isinstance(schema, list):
        return set().union(*map(_keys, schema))
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties")
    return {*(own if isinstance(own, dict) else ()), *set().union(*map(_keys, schema.values()))}


def _near(name: str, known: list[str]) -> str:
    told = nearest(name, known)
    return told if "did you" in told else ""


def _object(document: Document, part: str) -> Location:
    """Where the table stands that is asked for."""
    things = document.data.get("schema") or []
    found = [index for index, one in enumerate(things) if not part or part in _names(one)]
    if len(found) == 1:
        return ("schema", found[0])
    names = [str(one["name"]) for one in things]
    if not things:
        message = "there is no table in it"
    elif part:
        message = f"there is no table '{part}'{nearest(part, names)}"
    else:
        message = f"there are several tables ({', '.join(names)}): name one, as FILE#{names[0]}"
    raise InvalidConfigError([document.problem(("schema",), message)])


def _names(thing: dict[str, Any]) -> set[str]:
    return {str(thing[key]) for key in ("name", "physicalName") if thing.get(key)}


def _name(one: dict[str, Any]) -> str:
    return str(one.get("physicalName") or one["name"])


def _facts(document: Document, thing: dict[str, Any]) -> dict[str, str]:
    data = document.data
    team = data.get("team")
    members = team if isinstance(team, list) else []
    owner = next((one["username"] for one in members if "owner" in str(one.get("role", "")).lower()), "")
    named = str((team.get("name") or "") if isinstance(team, dict) else "")
    purpose = (data.get("description") or {}).get("purpose")
    return {
        "name": str(thing["name"]),
        "version": str(data["version"]),
        "owner": named or owner,
        "about": str(thing.get("description") or purpose or ""),
    }


def _columns(reading: _Reading, thing: dict[str, Any], at: Location) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for index, one in enumerate(thing.get("properties") or ()):
        place = (*at, "properties", index)
        name = _name(one)
        kind = type_of(one, place, reading.refuse)
        if name in columns:
            reading.refuse((*place, "name"), f"'{name}' stands twice")
        if kind is None:
            continue
        columns[name] = _column(one, kind)
        reading.take(options_as_rules(one, place, path=[name], kind=kind))
        reading.take(quality_as_rules(one, place, table=_names(thing), column=name))
        for other, relationship in enumerate(one.get("relationships") or ()):
            _refuse_relationship(reading, relationship, (*place, "relationships", other))
    return columns


def _column(one: dict[str, Any], kind: str) -> dict[str, Any]:
    column = {
        "type": kind,
        "nullable": not (one.get("required") or one.get("primaryKey")),
        "about": one.get("description") or "",
        "classification": one.get("classification"),
    }
    options = one.get("logicalTypeOptions") or {}
    if kind.startswith(("date", "timestamp")) and one.get("logicalType") in ("date", "timestamp"):
        column |= {"formats": options["format"]} if options.get("format") else {}
        zone = options.get("defaultTimezone", "Etc/UTC")
        column |= {"time_zone": zone} if kind == "timestamp" and zone not in ("Etc/UTC", "UTC") else {}
    return {**{name: value for name, value in column.items() if value not in (None, "")}, **ours(one)}


def _in_order(thing: dict[str, Any]) -> list[dict[str, Any]]:
    """The properties of the primary key."""
    keys = [one for one in thing.get("properties") or () if one.get("primaryKey")]
    return sorted(keys, key=lambda one: one.get("primaryKeyPosition", -1))


def _freshness(reading: _Reading, thing: dict[str, Any]) -> dict[str, str] | None:
    """How old the newest row may be, of the agreements that the file makes; the others are about the service."""
    spelled = {str(one["name"]): _name(one) for one in thing.get("properties") or ()}
    for index, one in enumerate(reading.document.data.get("slaProperties") or ()):
        table, _, column = str(one.get("element") or "").rpartition(".")
        if one["property"] != "freshness" or ours(one) == OURS or (table and table not in _names(thing)):
            continue
        unit = str(one.get("unit") or "").strip().lower()
        unit = _FRESHNESS.get(unit, unit)
        if not column or not isinstance(one["value"], int) or not re.fullmatch("(second|minute|hour|day)s?", unit):
            message = "expected a whole value, a unit (seconds to days) and the element (table.column) of a time"
            reading.refuse(("slaProperties", index), message)
            continue
        return {"column": spelled.get(column, column), "within": f"{one['value']} {unit}"}
    return None


def _refuse_relationship(reading: _Reading, one: dict[str, Any], at: Location) -> None:
    """A foreign key can be looked up where it says schema, table and column of the lake."""
    to, own = one.get("to"), str(one.get("from") or "").rpartition(".")[2]
    if ours(one) == OURS:
        return
    column = own or _name(_value(reading.document.data, at[:-2]))
    if isinstance(to, str) and to.count(".") == 2 and "/" not in to:
        rule = {"name": named_rule(column, "is_known"), "check": f"exists_in({column}, {to})"}
        reading.take(Told(rules=[(at, rule)]))
        return
    reading.refuse(at, f"'{to}' cannot be looked up: expected schema.table.column of the lake")


def _value(data: Any, at: Location) -> Any:
    for part in at:
        data = data[part]
    return data
