"""A schema registry that answers wrongly, slowly or without end: what it costs, and which messages it is the fault of."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lakehouse.errors import AccessDeniedError, SourceNotFoundError, SourceUnavailableError
from lakehouse.read.payload import registry
from lakehouse.read.payload.avro_schema import Unusable, resolved

GOOD = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(registry, "_PATIENCE", 0.5)
    monkeypatch.setattr(registry, "_PAUSES", (0.01, 0.01))


def referring(*places: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "schema": json.dumps(GOOD),
        "references": [{"name": n, "subject": n, "version": v} for n, v in places],
        **more,
    }


def in_a_circle(server) -> None:
    server.replies["/schemas/ids/2"] = referring(("a", 1))
    server.replies["/subjects/a/versions/1"] = referring(("b", 1))
    server.replies["/subjects/b/versions/1"] = referring(("a", 1))


def on_and_on(server) -> None:
    """Each refers to the next one."""
    server.replies["/schemas/ids/2"] = referring(("c0", 1))
    for number in range(1000):
        server.replies[f"/subjects/c{number}/versions/1"] = referring((f"c{number + 1}", 1))


def wide(server) -> None:
    server.replies["/schemas/ids/2"] = referring(*((f"w{number}", 1) for number in range(1000)))
    for number in range(1000):
        server.replies[f"/subjects/w{number}/versions/1"] = referring()


def endless(server) -> None:
    """An answer of 300 MB, a piece at a time."""

    def send(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            for _ in range(300):
                request.wfile.write(b'{"schema": "' + b" " * 2**20)
        except OSError:
            server.asked.append("hung up")

    server.replies["/schemas/ids/2"] = send


def drip(server) -> None:
    """A byte now and then, each before a client would think that nothing comes; the headers, too."""

    def send(request: Any) -> None:
        try:
            for piece in [b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 100]:
                request.wfile.write(piece)
                request.wfile.flush()
                time.sleep(0.1)
        except OSError:
            return

    server.replies["/schemas/ids/2"] = send


def answered(body: bytes, status: int = 200, **headers: str) -> Any:
    def put(server) -> None:
        server.replies["/schemas/ids/2"] = lambda request: server.send(request, body, status, **headers)

    return put


BAD = {
    "in a circle": in_a_circle,
    "deeper than": on_and_on,
    "more than 200": wide,
    "larger than": endless,
    "timed out": drip,
    "a redirect, which is not followed": answered(b"", 302, Location="http://127.0.0.1:1/elsewhere"),
    "no schema": answered(b"<html>Welcome</html>"),
    "and no schema": answered(json.dumps({"schema": {"type": "string"}}).encode()),
    "HTTP 200, and": answered(b"[" * 100_000),
    "HTTP 500": answered(b'{"error_code": 50001}', 500),
    "HTTP 403": answered(b"", 403),
    "id 3": answered(json.dumps({"id": 3, "schema": json.dumps(GOOD)}).encode()),
    "references are none": answered(json.dumps({"schema": "{}", "references": "abc"}).encode()),
    "are none": answered(json.dumps({"schema": "{}", "references": [{"subject": "a", "version": "1"}]}).encode()),
    "HTTP 200": answered(b"\x1f\x8b" + b"\0" * 50, **{"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("why", BAD)
def test_what_is_wrong_with_one_id_is_the_fault_of_that_id_and_has_an_end(fake_registry, why) -> None:
    fake_registry.schemas[1] = GOOD
    fake_registry.replies["/schemas/types"] = ["AVRO", "JSON"]
    BAD[why](fake_registry)
    begin = time.monotonic()
    found = registry.by_id(fake_registry.url, [2, 1])
    assert time.monotonic() - begin < 5
    assert len(fake_registry.asked) < 210
    assert (found[1].fault, found[1].texts) == ("", (json.dumps(GOOD),))
    assert why in found[2].fault
    assert found[2].texts == ()
    # it is asked for again, for it may be well by then
    fake_registry.replies.clear()
    fake_registry.schemas[2] = GOOD
    assert registry.by_id(fake_registry.url, [2])[2].texts == (json.dumps(GOOD),)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answered(b"", 503), SourceUnavailableError),
        (answered(b"", 401), AccessDeniedError),
        (answered(b"<html/>"), SourceNotFoundError),
        (answered(b"", 307, Location="/"), SourceNotFoundError),
        (drip, SourceUnavailableError),
    ],
    ids=["503", "401", "html", "redirect", "drip"],
)
def test_what_is_wrong_with_the_registry_ends_the_run_and_puts_nothing_aside(fake_registry, answer, error) -> None:
    answer(fake_registry)
    fake_registry.replies["/schemas/types"] = fake_registry.replies["/schemas/ids/2"]
    with pytest.raises(error) as caught:
        registry.by_id(fake_registry.url, [2])
    assert caught.value.hint


@pytest.mark.parametrize(("status", "error"), [(401, AccessDeniedError), (500, SourceUnavailableError)])
def test_an_id_that_is_known_from_before_does_not_make_a_registry_well(fake_registry, status, error) -> None:
    fake_registry.schemas[1] = GOOD
    assert registry.by_id(fake_registry.url, [1])[1].fault == ""
    answered(b"", status)(fake_registry)
    fake_registry.replies["/schemas/types"] = fake_registry.replies["/schemas/ids/2"]
    with pytest.raises(error):
        registry.by_id(fake_registry.url, [1, 2])


def test_a_registry_that_goes_down_between_two_ids_ends_the_run(fake_registry) -> None:
    fake_registry.schemas[1] = GOOD
    answered(b"", 503)(fake_registry)
    fake_registry.replies["/schemas/types"] = fake_registry.replies["/schemas/ids/2"]
    with pytest.raises(SourceUnavailableError):
        registry.by_id(fake_registry.url, [1, 2])


def test_an_id_alone_is_at_fault_where_the_registry_answers_to_something_else(fake_registry) -> None:
    answered(b"", 500)(fake_registry)
    fake_registry.replies["/schemas/types"] = ["AVRO", "JSON"]
    assert registry.by_id(fake_registry.url, [2])[2].fault == "the registry's answer: HTTP 500"


def test_ids_that_somebody_made_up_do_not_keep_the_registry_busy(fake_registry) -> None:
    fake_registry.schemas[7] = GOOD
    found = registry.by_id(fake_registry.url, [7, *range(1_000_000, 1_005_000), 2**31, 2**32 - 1])
    assert list(found) == [7]
    assert len(fake_registry.asked) == 1001


def test_the_newest_schema_of_a_topic_is_left_out_where_the_answer_is_none(fake_registry) -> None:
    fake_registry.replies["/subjects/t-value/versions/latest"] = {"id": 5, "schema": json.dumps(GOOD)}
    for name, number in {"a": "x", "b": -1, "c": 2**40, "d": None}.items():
        fake_registry.replies[f"/subjects/{name}-value/versions/latest"] = {"id": number, "schema": json.dumps(GOOD)}
    assert list(registry.newest(fake_registry.url, [*"abcd", "t", "none"])) == [5]


def test_a_schema_that_is_small_as_text_and_large_in_full_cannot_be_used() -> None:
    def doubling(depth: int) -> str:
        inner: Any = "long"
        for number in range(depth):
            fields = [{"name": "a", "type": inner}, {"name": "b", "type": f"R{number - 1}" if number else "long"}]
            inner = {"type": "record", "name": f"R{number}", "fields": fields}
        return json.dumps(inner)

    assert resolved("AVRO", (doubling(5),))["name"] == "R4"
    for text, why in {
        doubling(40): "types in full",
        "[" * 5000: "nested too deep|no schema",
        json.dumps({"type": "array", "items": "long"}).join(
            ['{"type":"array","items":' * 400, "}" * 400]
        ): "nested too deep|no schema",
        json.dumps({**GOOD, "fields": [{"name": f"f{n}", "type": "long"} for n in range(20_000)]}): "types in full",
    }.items():
        with pytest.raises(Unusable, match=why):
            resolved("AVRO", (text,))
