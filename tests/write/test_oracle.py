"""The oracle of the write modes is right: by its own laws, and where a person can check it by eye."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.write.oracle import Event, Key, UntellableError, Values, Version, append, of_snapshots, scd1, scd2

checked = settings(max_examples=50, deadline=None, derandomize=True, database=None)
BOTH = ("a", "b")


def event(key: str, at: int, *values: Any, kind: Any = "upsert", place: int | None = None, sets: Any = None) -> Event:
    pairs = tuple(zip(BOTH, values or (None, None), strict=True))
    where = None if place is None else (None, "t", 0, place, None)
    return Event((key,), (at,), pairs, kind, where, None if sets is None else frozenset(sets))


@st.composite
def histories(draw: st.DrawFn, *, masks: bool = False, truncates: bool = False) -> list[Event]:
    """Up to 14 events of three keys, each with a place of its own."""
    kinds = ["upsert", "upsert", "upsert", "delete", *(["truncate"] if truncates else [])]
    value = st.sampled_from([None, "", "x", "y"])
    sets = st.sampled_from([None, (), "a", "b", BOTH] if masks else [None])
    row = st.tuples(st.sampled_from("klm"), st.integers(0, 5), value, value, st.sampled_from(kinds), sets)
    rows = draw(st.lists(row, max_size=14))
    return [
        event(key, at, a, b, kind=kind, place=place, sets=names)
        for place, (key, at, a, b, kind, names) in enumerate(rows)
    ]


def shuffled(events: list[Event], seed: int) -> list[Event]:
    chance = random.Random(seed)
    more = [*events, *chance.choices(events, k=5)] if events else []
    return chance.sample(more, len(more))


def as_of(versions: list[Version], at: int) -> dict[Key, Values]:
    found = [one for one in versions if one.start <= (at,) and (one.end is None or (at,) < one.end)]
    assert len({one.key for one in found}) == len(found), "two versions of a key at one time"
    return {one.key: one.values for one in found}


@checked
@given(histories(masks=True, truncates=True), st.integers())
def test_no_order_and_no_duplicate_makes_a_difference(events: list[Event], seed: int) -> None:
    other = shuffled(events, seed)
    assert scd1(events, ignore_null="a") == scd1(other, ignore_null="a")
    whole = [replace(one, kind="upsert", sets=None) for one in events]
    again = shuffled(whole, seed)
    assert set(scd2(whole, tracked="a")) == set(scd2(again, tracked="a"))
    assert set(of_snapshots(whole, on_absent="delete")) == set(of_snapshots(again, on_absent="delete"))
    assert set(append(events, lambda one: one.place)) == set(append(other, lambda one: one.place)) == set(events)


@checked
@given(histories())
def test_in_scd1_the_last_event_of_a_key_is_its_row(events: list[Event]) -> None:
    last: dict[Key, Event] = {}
    for one in sorted(events, key=lambda one: (one.sequence, one.place)):
        last[one.key] = one
    rows = scd1(events)
    assert {key: (row.sequence, row.values, row.place) for key, row in rows.items()} == {
        key: (one.sequence, one.values, one.place) for key, one in last.items() if one.kind == "upsert"
    }


@checked
@given(histories(masks=True, truncates=True))
def test_what_came_before_the_last_deletion_of_a_key_says_nothing(events: list[Event]) -> None:
    rows = scd1(events, ignore_null=BOTH)
    for ending in (one for one in events if one.kind != "upsert"):
        later = [
            one
            for one in events
            if (one.sequence, one.place) >= (ending.sequence, ending.place)
            or (ending.kind == "delete" and (one.key != ending.key or one.kind == "truncate"))
        ]
        assert scd1(later, ignore_null=BOTH) == rows


@checked
@given(histories(masks=True, truncates=True))
def test_a_truncate_is_a_delete_of_every_key(events: list[Event]) -> None:
    keys = {one.key for one in events}
    spelled = [
        replace(one, kind="delete", key=key) if one.kind == "truncate" else one
        for one in events
        for key in (keys if one.kind == "truncate" else {one.key})
    ]
    assert scd1(spelled) == scd1(events)


@checked
@given(histories(masks=True))
def test_an_update_of_two_columns_is_two_updates_of_one(events: list[Event]) -> None:
    split: list[Event] = []
    for one in events:
        named = set(BOTH) if one.sets is None else one.sets
        for half, name in enumerate(BOTH):
            place = (None, "t", 0, 2 * one.place[3] + half, None) if one.place else None
            split.append(replace(one, sets=frozenset({name} & named), place=place))
    assert {key: (row.sequence, row.values) for key, row in scd1(split).items()} == {
        key: (row.sequence, row.values) for key, row in scd1(events).items()
    }


@checked
@given(histories())
def test_a_null_that_says_nothing_is_as_a_column_that_is_not_named(events: list[Event]) -> None:
    named = [replace(one, sets=frozenset(name for name, value in one.values if value is not None)) for one in events]
    assert scd1(events, ignore_null=BOTH) == scd1(named)


@checked
@given(histories())
def test_the_versions_at_any_time_are_the_rows_of_that_time(events: list[Event]) -> None:
    versions = scd2(events, tracked=BOTH)
    for at in range(-1, 7):
        rows = scd1([one for one in events if one.sequence <= (at,)])
        assert as_of(versions, at) == {key: row.values for key, row in rows.items()}


@checked
@given(histories())
def test_versions_are_half_open_do_not_overlap_and_are_as_few_as_can_be(events: list[Event]) -> None:
    versions = scd2(events, tracked="a")
    for key in {one.key for one in versions}:
        own = sorted((one for one in versions if one.key == key), key=lambda one: one.start)
        for one, following in pairwise(own):
            assert one.end is not None
            assert one.start < one.end <= following.start
            assert one.end < following.start or one.values[0] != following.values[0]


@checked
@given(histories())
def test_what_is_not_tracked_makes_no_version_and_is_the_last_of_its_run(events: list[Event]) -> None:
    some, every = scd2(events, tracked="a"), scd2(events, tracked=BOTH)
    assert {(one.key, one.start, one.values[0]) for one in some} <= {
        (one.key, one.start, one.values[0]) for one in every
    }
    now = {key: row.values for key, row in scd1(events).items()}
    assert {one.key: one.values for one in some if one.end is None} == now


@checked
@given(histories())
def test_snapshots_are_each_the_whole_table(events: list[Event]) -> None:
    rows = [replace(one, kind="upsert") for one in events]
    whole = of_snapshots(rows, on_absent="delete")
    versions = scd2(whole, tracked=BOTH)
    for at in {one.sequence[0] for one in rows}:
        there = {row.key: row.values for row in scd1([one for one in rows if one.sequence == (at,)]).values()}
        assert as_of(versions, at) == there
    newest = max((one.sequence for one in rows), default=None)
    assert scd1(whole) == scd1([one for one in rows if one.sequence == newest])
    kept = of_snapshots(rows, on_absent="keep")
    assert scd1(kept).keys() == {one.key for one in rows}
    assert scd1(kept) == scd1(rows)


def test_a_history_that_can_be_read() -> None:
    events = [
        event("k", 5, "A", 1),
        event("k", 7, "B", 1),
        event("k", 6, "B", 2),
        event("k", 9, "A", 1),
        event("k", 10, kind="delete"),
        event("k", 11, kind="delete"),
        event("k", 12, "A", 1),
        event("k", 12, kind="delete", place=None),
        event("k", 13, "A", 3),
        event("k", 14, "A", 4),
        event("other", 1, kind="delete"),
    ]
    assert [
        (one.start[0], one.end and one.end[0], *dict(one.values).values()) for one in scd2(events, tracked="a")
    ] == [
        (5, 6, "A", 1),
        (6, 9, "B", 1),
        (9, 10, "A", 1),
        (13, None, "A", 4),
    ]
    assert [(row.sequence, row.values) for row in scd1(events).values()] == [((14,), (("a", "A"), ("b", 4)))]


def test_partial_updates_that_can_be_read() -> None:
    events = [
        event("k", 1, "old", "old"),
        event("k", 2, kind="delete"),
        event("k", 3, "x", None, sets="a"),
        event("k", 5, "y", "late", sets="b"),
        event("k", 4, None, "early"),
        event("m", 1, "gone", "gone"),
        event("", 2, kind="truncate"),
    ]
    assert {key[0]: row.values for key, row in scd1(events).items()} == {"k": (("a", None), ("b", "late"))}
    assert scd1(events, ignore_null="a")["k",].values == (("a", "x"), ("b", "late"))
    assert scd1([event("m", 0, "first", None), *events]).keys() == {("k",)}


def test_a_key_that_no_snapshot_after_it_has_is_gone_and_may_come_again() -> None:
    rows = [
        event("k", 1, "A", 1),
        event("m", 1, "M", 1),
        event("m", 2, "M", 1),
        event("k", 3, "A", 1),
        event("m", 3, "M", 1),
    ]
    whole = of_snapshots(rows, on_absent="delete")
    found = sorted((one.key[0], one.start[0], one.end and one.end[0]) for one in scd2(whole, tracked=BOTH))
    assert found == [("k", 1, 2), ("k", 3, None), ("m", 1, None)]
    kept = of_snapshots(rows, on_absent="keep")
    assert len(scd2(kept, tracked=BOTH)) == 2


def test_places_decide_where_sequences_do_not_and_else_it_cannot_be_told() -> None:
    tie = [event("k", 1, "A", 1, place=9), event("k", 1, "B", 1, place=10), event("k", 1, "C", 1)]
    assert scd1(tie)["k",].values[0] == ("a", "B")
    assert scd1([event("k", 1, "A", 1), event("k", 1, "A", 1), event("k", 1, kind="delete")]) == {}
    assert scd1([event("k", 1, "A", 1, place=1), event("k", 1, kind="delete", place=0)]) != {}
    with pytest.raises(UntellableError):
        scd1([event("k", 1, "A", 1), event("k", 1, "B", 1)])
