"""A schema registry with Confluent's interface: which schema an id stands for. No Spark.

What an id stands for never changes, so a process asks for each id once. An id that is not known is asked for in every
batch: it may be known later.

What a registry answers is bounded, for an id is five bytes that anybody may send: in bytes, in time, and in the other
schemas that one refers to. What goes wrong with one id while the registry is well is the fault of that id, and puts
its own messages aside; what goes wrong with the registry ends the run.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from lakehouse.errors import AccessDeniedError, ConfigError, LakehouseError, SourceNotFoundError, SourceUnavailableError
from lakehouse.spec.kafka import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PATIENCE = 10.0
"""Seconds that the registry has for a whole answer."""

_PAUSES = (0.2, 1.0)
"""Seconds before it is asked again, where it did not answer or failed."""

_NO_SUCH = (40401, 40402, 40403)
"""The error codes for a subject, a version, or an id that is not there; any other 404 is not a registry's."""

_LARGEST = 2**31 - 1

_MOST_BYTES = 4 * 2**20
"""Of an answer: schemas are of some kilobytes, and registries keep none beyond a megabyte."""

_MOST_REFERENCES = 200
"""Other schemas that one needs."""

_DEEPEST = 30
"""References within references."""

_MOST_UNKNOWN = 1000
"""Ids of a batch that the registry does not know; those beyond are not asked for."""


@dataclass(frozen=True)
class Registered:
    """A schema: its language, and its text, after the texts of what it refers to, in the order that they are needed.

    ``fault``: why it cannot be used, where the registry's answers say so; there is no text then.
    """

    language: str
    texts: tuple[str, ...]
    fault: str = ""


class _FaultyAnswer(Exception):  # noqa: N818 -- a verdict on one id, never seen by users
    """What is answered of one id can be no schema; ``otherwise``: what it means if the registry is not well."""

    def __init__(self, why: str, otherwise: LakehouseError | None = None) -> None:
        super().__init__(why)
        self.otherwise = otherwise


_known: dict[tuple[str, int], Registered] = {}


def by_id(registry: str, ids: Iterable[int]) -> dict[int, Registered]:
    """The schemas of ids; those that the registry does not know are left out.

    Raises:
        SourceUnavailableError: the registry does not answer; nothing is known of the ids then.
        AccessDeniedError: it does not let us.
        SourceNotFoundError: what answers is no schema registry.
    """
    # small ones first: a registry counts them up, and an id that somebody made up is large
    wanted = sorted(number for number in set(ids) if number <= _LARGEST)
    found = {number: _known[registry, number] for number in wanted if (registry, number) in _known}
    if len(found) == len(wanted):
        return found
    unknown, has_answered = 0, False
    with _client(registry) as client:
        for number in wanted:
            if number in found or unknown >= _MOST_UNKNOWN:
                continue
            try:
                answer = _ask(client, f"/schemas/ids/{number}")
                if answer is None:
                    unknown += 1
                else:
                    found[number] = _known[registry, number] = _registered(client, answer, number)
                has_answered = True
            except _FaultyAnswer as fault:
                if fault.otherwise is not None and not _is_well(client, fault, has_answered=has_answered):
                    raise fault.otherwise from None
                found[number] = Registered("AVRO", (), f"the registry's answer: {fault}")
    return found


def newest(registry: str, topics: Iterable[str]) -> dict[int, Registered]:
    """The schemas that the values of topics have now, by their ids: those of the subjects ``<topic>-value``.

    One that cannot be used is left out.

    Raises:
        SourceUnavailableError: see ``by_id``, as for the others.
    """
    found: dict[int, Registered] = {}
    with _client(registry) as client:
        for topic in topics:
            try:
                answer = _ask(client, f"/subjects/{quote(topic, safe='')}-value/versions/latest")
                number = answer.get("id") if answer else None
                if answer is not None and isinstance(number, int) and 0 <= number <= _LARGEST:
                    found[number] = _registered(client, answer, number)
            except _FaultyAnswer as fault:
                if fault.otherwise is not None and not found:
                    raise fault.otherwise from None
    return found


def _is_well(client: httpx.Client, fault: _FaultyAnswer, *, has_answered: bool) -> bool:
    """Whether the registry answers as one to something else, now: what it answered before says nothing of an outage.

    Rights are another matter: it has them for us where ``has_answered`` of another id in this very call.
    """
    if isinstance(fault.otherwise, AccessDeniedError):
        return has_answered
    try:
        status, body = _fetch(client, "/schemas/types")
    except (_FaultyAnswer, httpx.RequestError):
        return False
    return status == 200 and isinstance(_parse(body), list)


def _registered(client: httpx.Client, answer: Mapping[str, Any], number: int) -> Registered:
    """What an answer says, with what it refers to; a reference to what is not there is left for the schema to miss.

    Raises:
        _FaultyAnswer: it is of another id, or refers to itself or to too much.
    """
    if answer.get("id", number) != number:
        message = f"it is of the id {str(answer['id'])[:20]}"
        raise _FaultyAnswer(message)
    whole = _Whole(client, time.monotonic() + 3 * _PATIENCE)
    whole.add(None, answer, ())
    return Registered(str(answer.get("schemaType") or "AVRO"), tuple(whole.texts.values()))


@dataclass
class _Whole:
    """The texts of a schema and of all that it refers to, each after what it refers to itself."""

    client: httpx.Client
    until: float
    asked: set[tuple[str, int]] = field(default_factory=set)
    texts: dict[tuple[str, int] | None, str] = field(default_factory=dict)

    def add(self, place: tuple[str, int] | None, told: Mapping[str, Any], above: tuple[tuple[str, int], ...]) -> None:
        """Add a schema. ``above``: those on the way to it."""
        for there in _references(told):
            if there in above:
                message = f"its references go in a circle, by {there[0][:80]} version {there[1]}"
                raise _FaultyAnswer(message)
            if there in self.asked:
                continue
            self._check_bounds(above)
            self.asked.add(there)
            found = _ask(self.client, f"/subjects/{quote(there[0], safe='')}/versions/{there[1]}")
            if found is not None:
                self.add(there, found, (*above, there))
        self.texts[place] = told["schema"]

    def _check_bounds(self, above: tuple[tuple[str, int], ...]) -> None:
        if len(self.asked) >= _MOST_REFERENCES or len(above) >= _DEEPEST:
            message = f"it refers to more than {_MOST_REFERENCES} schemas, or deeper than {_DEEPEST}"
            raise _FaultyAnswer(message)
        if time.monotonic() > self.until:
            message = f"what it refers to took more than {3 * _PATIENCE:g} s"
            raise _FaultyAnswer(message)


def _references(told: Mapping[str, Any]) -> list[tuple[str, int]]:
    found = told.get("references") or []
    try:
        places = [(one["subject"], one["version"]) for one in found]
    except (TypeError, LookupError):
        places = [("", -1)]
    if not all(isinstance(subject, str) and isinstance(version, int) and version > 0 for subject, version in places):
        message = "its references are none"
        raise _FaultyAnswer(message)
    return places


@contextmanager
def _client(registry: str) -> Iterator[httpx.Client]:
    """A client of the registry; the environment's proxies are not for this machine itself."""
    try:
        url = httpx.URL(registry)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        message = "the registry's address is not http(s)://host:port/path"
        raise ConfigError(message)
    proxied = not is_loopback(f"{url.host}:{url.port}")
    with httpx.Client(base_url=url, timeout=_PATIENCE, trust_env=proxied) as client:
        yield client


def _ask(client: httpx.Client, path: str) -> dict[str, Any] | None:
    """An answer of the registry; None where it says that there is no such thing.

    Raises:
        _FaultyAnswer: it is no answer of a registry, or there is none.
    """
    where, failure = _address(client), ""
    for pause in (0.0, *_PAUSES):
        time.sleep(pause)
        try:
            status, body = _fetch(client, path)
        except httpx.RequestError as error:
            failure = str(error) or type(error).__name__
        else:
            if status < 500 and status != 429:
                return _judged(status, body, where)
            failure = f"HTTP {status}"
    message = f"the schema registry at {where} cannot be asked: {failure}"
    hint = "look whether it runs and can be reached; the run can be repeated"
    raise _FaultyAnswer(failure, SourceUnavailableError(message, hint=hint))


def _address(client: httpx.Client) -> str:
    """Where the registry is; what is before the host may be a password."""
    return f"{client.base_url.scheme}://{client.base_url.netloc.decode()}{client.base_url.path}"


def _fetch(client: httpx.Client, path: str) -> tuple[int, bytes]:
    """The status and the body of an answer. A redirect is not followed: it is no answer.

    Raises:
        _FaultyAnswer: it is too large.
        httpx.RequestError: there is none, or it is not whole in time.
    """
    done: Future[tuple[int, bytes]] = Future()

    def fetch() -> None:
        try:
            done.set_result(_read(client, path))
        except Exception as error:
            done.set_exception(error)

    # the client's own time-outs are of each piece, and a piece may be a byte
    Thread(target=fetch, daemon=True).start()
    try:
        return done.result(_PATIENCE)
    except FutureTimeoutError:
        message = f"timed out: no whole answer in {_PATIENCE:g} s"
        raise httpx.ReadTimeout(message) from None


def _read(client: httpx.Client, path: str) -> tuple[int, bytes]:
    parts, size = [], 0
    with client.stream("GET", path, headers={"Accept-Encoding": "identity"}) as answer:
        # as it came, so that nothing small unpacks to something large
        for part in answer.iter_raw():
            parts.append(part)
            size += len(part)
            if size > _MOST_BYTES:
                message = f"it is larger than {_MOST_BYTES:,} bytes"
                raise _FaultyAnswer(message)
        return answer.status_code, b"".join(parts)


def _parse(body: bytes) -> Any:
    """What a body says as JSON; None where it is none, or nested without reason."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _judged(status: int, body: bytes, where: str) -> dict[str, Any] | None:
    if status in (401, 403):
        message = f"the schema registry at {where} does not let us: HTTP {status}"
        denied = AccessDeniedError(message, hint="the user needs to read schemas and subjects; see registry:")
        raise _FaultyAnswer(f"HTTP {status}", denied)
    told = _parse(body)
    if isinstance(told, dict):
        if status == 200 and isinstance(told.get("schema"), str):
            return told
        if status == 404 and told.get("error_code") in _NO_SUCH:
            return None
    moved = ", a redirect, which is not followed" if 300 <= status < 400 else ""
    message = f"what answers at {where} is no schema registry: HTTP {status}{moved}"
    hint = "look at registry: it is the address before /schemas and /subjects"
    raise _FaultyAnswer(f"HTTP {status}{moved}, and no schema", SourceNotFoundError(message, hint=hint))
