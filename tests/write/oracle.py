"""What a target must hold, by mode: the set of all events that ever came, replayed from nothing in their order.

This is a second opinion: it shares no code with the library, uses nothing but Python's standard library, and is
written to be read and believed, not to be fast. Where the order cannot be told without the library's own hash it
raises, rather than agree with whatever the library does. ``docs/writes.md`` is what it follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

Key = tuple[Any, ...]
Values = tuple[tuple[str, Any], ...]
Place = tuple[Any, ...]
"""file, topic, partition, offset, position; None in what a source does not have."""


class UntellableError(Exception):
    """Only the library's hash could say which of two events comes last."""


@dataclass(frozen=True)
class Event:
    """A row as the job made it. ``sets`` are the columns that it tells of; None: all of them."""

    key: Key
    sequence: tuple[Any, ...]
    values: Values = ()
    kind: Literal["upsert", "delete", "truncate"] = "upsert"
    place: Place | None = None
    sets: frozenset[str] | None = None


@dataclass(frozen=True)
class Row:
    """The row of a key in scd1."""

    key: Key
    sequence: tuple[Any, ...]
    values: Values
    place: Place | None


@dataclass(frozen=True)
class Version:
    """What a key was from ``start`` until before ``end``; no ``end``: it still is."""

    key: Key
    start: tuple[Any, ...]
    end: tuple[Any, ...] | None
    values: Values
    place: Place | None


def append(events: Iterable[Event], identity: Callable[[Event], Hashable]) -> list[Event]:
    """Each record once; records of one identity are equal in what is compared."""
    return list({identity(event): event for event in events}.values())


def scd1(events: Iterable[Event], *, ignore_null: Collection[str] = ()) -> dict[Key, Row]:
    """One row per key: each column as the last event that set it since the key's last deletion."""
    rows: dict[Key, Row] = {}
    for event in in_order(events):
        if event.kind == "truncate":
            rows.clear()
        elif event.kind == "delete":
            rows.pop(event.key, None)
        else:
            before = dict(rows[event.key].values) if event.key in rows else {}
            told = _told(event, ignore_null)
            values = tuple((name, told.get(name, before.get(name))) for name, _ in event.values)
            rows[event.key] = Row(event.key, event.sequence, values, event.place)
    return rows


def _told(event: Event, ignore_null: Collection[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in event.values
        if (event.sets is None or name in event.sets) and not (value is None and name in ignore_null)
    }


def scd2(events: Iterable[Event], *, tracked: Collection[str]) -> list[Version]:
    """All versions of all keys: runs of events with equal tracked values, ended by the next version or a delete.

    A truncate is a delete of every key, at its own place in the order.
    """
    versions: list[Version] = []
    everything = set(events)
    truncates = [event for event in everything if event.kind == "truncate"]
    for own in _by_key(event for event in everything if event.kind != "truncate").values():
        # of a truncate and a delete in one place it does not matter which ends the key
        timeline = sorted([*in_order(own), *truncates], key=_order)
        of_sequence = {event.sequence: event for event in timeline}
        current: Version | None = None
        for event in of_sequence.values():
            if current and event.kind == "upsert" and _only(event.values, tracked) == _only(current.values, tracked):
                current = replace(current, values=event.values)
                continue
            if current:
                versions.append(replace(current, end=event.sequence))
            current = None
            if event.kind == "upsert":
                current = Version(event.key, event.sequence, None, event.values, event.place)
        if current:
            versions.append(current)
    return versions


def _only(values: Values, names: Collection[str]) -> Values:
    return tuple((name, value) for name, value in values if name in names)


def of_snapshots(events: Iterable[Event], *, on_absent: Literal["delete", "keep"]) -> list[Event]:
    """Snapshots as events: one for each key that a snapshot has, a delete for each that it lacks.

    The ``sequence`` of an event is its snapshot.
    """
    told: list[Event] = []
    everything = set(events)
    snapshots = {event.sequence for event in everything}
    for key, own in _by_key(everything).items():
        last = {event.sequence: event for event in in_order(own)}
        told += last.values()
        if on_absent == "delete":
            told += [Event(key, sequence, kind="delete") for sequence in snapshots - last.keys()]
    return told


def in_order(events: Iterable[Event]) -> list[Event]:
    """Each event once, in the order that decides.

    Raises:
        UntellableError: two different events of a key have the same place in it.
    """
    seen: dict[Any, Event] = {}
    for event in set(events):
        other = seen.setdefault((event.key, _order(event)), event)
        if other != event:
            raise UntellableError(f"{event} and {other}")
    return sorted(seen.values(), key=_order)


def _order(event: Event) -> tuple[Any, ...]:
    # NULL comes before every value; a delete after what is none
    place = tuple((part is not None, part) for part in event.place or ())
    return (event.sequence, place, event.kind != "upsert")


def _by_key(events: Iterable[Event]) -> dict[Key, list[Event]]:
    of_key: dict[Key, list[Event]] = defaultdict(list)
    for event in events:
        of_key[event.key].append(event)
    return of_key
