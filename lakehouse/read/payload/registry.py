"""A schema registry with Confluent's interface: which schema an id stands for. No Spark.

What an id stands for never changes, so a process asks for each id once. An id that is not known is asked for in every
batch: it may be known later.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from lakehouse.errors import AccessDeniedError, ConfigError, SourceNotFoundError, SourceUnavailableError
from lakehouse.spec.kafka import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PATIENCE = 10.0
"""Seconds that the registry has for an answer."""

_PAUSES = (0.2, 1.0)
"""Seconds before it is asked again, where it did not answer or failed."""

_NO_SUCH = (40401, 40402, 40403)
"""The error codes for a subject, a version, or an id that is not there; any other 404 is not a registry's."""

_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Registered:
    """A schema: its language, and its text, after the texts of what it refers to, in the order that they are needed."""

    language: str
    texts: tuple[str, ...]


_known: dict[tuple[str, int], Registered] = {}


def by_id(registry: str, ids: Iterable[int]) -> dict[int, Registered]:
    """The schemas of ids; those that the registry does not know are left out.

    Raises:
        SourceUnavailableError: the registry does not answer; nothing is known of the ids then.
        AccessDeniedError: it does not let us.
        SourceNotFoundError: what answers is no schema registry.
    """
    wanted = sorted(number for number in set(ids) if number <= _LARGEST)
    unseen = [number for number in wanted if (registry, number) not in _known]
    if unseen:
        with _client(registry) as client:
            for number in unseen:
                if (answer := _ask(client, f"/schemas/ids/{number}")) is not None:
                    _known[registry, number] = _registered(client, answer)
    return {number: _known[registry, number] for number in wanted if (registry, number) in _known}


def newest(registry: str, topics: Iterable[str]) -> dict[int, Registered]:
    """The schemas that the values of topics have now, by their ids: those of the subjects ``<topic>-value``.

    Raises:
        SourceUnavailableError: see ``by_id``, as for the others.
    """
    with _client(registry) as client:
        answers = [_ask(client, f"/subjects/{quote(topic, safe='')}-value/versions/latest") for topic in topics]
        return {int(answer["id"]): _registered(client, answer) for answer in answers if answer is not None}


def _registered(client: httpx.Client, answer: dict[str, Any]) -> Registered:
    """What an answer says, with what it refers to; a reference to what is not there is left for the schema to miss."""
    texts: dict[tuple[str, int] | None, str] = {}

    def add(place: tuple[str, int] | None, told: dict[str, Any]) -> None:
        for one in told.get("references") or ():
            there = (one["subject"], one["version"])
            if there not in texts:
                found = _ask(client, f"/subjects/{quote(there[0], safe='')}/versions/{there[1]}")
                if found is not None:
                    add(there, found)
        texts[place] = told["schema"]

    add(None, answer)
    return Registered(answer.get("schemaType") or "AVRO", tuple(texts.values()))


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
    """An answer of the registry; None where it says that there is no such thing."""
    # what is before the host may be a password
    where = f"{client.base_url.scheme}://{client.base_url.netloc.decode()}{client.base_url.path}"
    failure = ""
    for pause in (0.0, *_PAUSES):
        time.sleep(pause)
        try:
            answer = client.get(path)
        except httpx.RequestError as error:
            failure = str(error) or type(error).__name__
        else:
            if answer.status_code < 500 and answer.status_code != 429:
                return _told(answer, where)
            failure = f"HTTP {answer.status_code}"
    message = f"the schema registry at {where} cannot be asked: {failure}"
    raise SourceUnavailableError(message, hint="look whether it runs and can be reached; the run can be repeated")


def _told(answer: httpx.Response, where: str) -> dict[str, Any] | None:
    if answer.status_code in (401, 403):
        message = f"the schema registry at {where} does not let us: HTTP {answer.status_code}"
        raise AccessDeniedError(message, hint="the user needs to read schemas and subjects; see registry:")
    try:
        told = answer.json()
    except ValueError:
        told = None
    if isinstance(told, dict):
        if answer.status_code == 200 and "schema" in told:
            return told
        if answer.status_code == 404 and told.get("error_code") in _NO_SUCH:
            return None
    message = f"what answers at {where} is no schema registry: HTTP {answer.status_code}"
    raise SourceNotFoundError(message, hint="look at registry: it is the address before /schemas and /subjects")
