"""Real servers, started by the first test that asks for one and ended with the session."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from scripts.streams import Connect, Kafka, Postgres, Registry, Server

QUIET = {"log_level": 2}
"""For clients of confluent-kafka: a broker that is down on purpose is not news."""


def needed(part: type[Server]) -> None:
    """Skip where a part cannot be had, and say why; where LAKEHOUSE_REQUIRE_STREAMS is 1, fail."""
    if lack := part.lacks():
        if os.environ.get("LAKEHOUSE_REQUIRE_STREAMS") == "1":
            pytest.fail(lack)
        pytest.skip(reason=f"needs a real {part.__name__}: {lack}")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker; never skipped, for it needs nothing but what Spark needs."""
    with Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A schema registry."""
    needed(Registry)
    with Registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A data base whose changes can be captured."""
    needed(Postgres)
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
    server.wipe()


@pytest.fixture(scope="session")
def connect(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[Connect]:
    """Kafka Connect with Debezium, writing to the broker of the session."""
    needed(Connect)
    with Connect(tmp_path_factory.mktemp("connect"), kafka=kafka) as server:
        yield server


@pytest.fixture
def topic(kafka: Kafka, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Make a topic of a new name: ``topic(partitions=3, config={"retention.ms": "1000"})``."""
    kafka.resume()
    kafka.start()  # a test that failed may have left it down
    admin = AdminClient({"bootstrap.servers": kafka.servers, **QUIET})

    def make(partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = f"{re.sub(r'[^a-zA-Z0-9]+', '-', request.node.name)[:60]}-{uuid4().hex[:8]}"
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        admin.create_topics([new])[name].result(30)
        return name

    return make


Allow = Callable[..., None]


@pytest.fixture(scope="session")
def allow() -> Allow:
    """Let a user of a broker do something: ``allow(kafka, "alice", "READ", "TOPIC", "orders")``."""

    def to(kafka: Kafka, user: str, operation: str, kind: str, name: str) -> None:
        right = ResourceType[kind], name, ResourcePatternType.LITERAL, f"User:{user}", "*"
        binding = AclBinding(*right, AclOperation[operation], AclPermissionType.ALLOW)
        admin = AdminClient({"bootstrap.servers": kafka.servers, **QUIET})
        admin.create_acls([binding])[binding].result(30)

    return to


Produce = Callable[..., list[tuple[int, int]]]


@pytest.fixture
def produce(kafka: Kafka) -> Produce:
    """Send messages and return where each came to lie: ``[(partition, offset), …]`` in the order that they were given.

    A message is a value, or the arguments of `confluent_kafka.Producer.produce`: ``{"key": …, "value": …}``.
    """

    def send(topic: str, messages: Iterable[Any], **config: Any) -> list[tuple[int, int]]:
        sent: dict[int, tuple[int, int]] = {}
        size = {"message.max.bytes": 32 << 20, "queue.buffering.max.messages": 1_000_000}
        producer = Producer({"bootstrap.servers": kafka.servers, "linger.ms": 1, **QUIET, **size, **config})

        def delivered(number: int) -> Callable[[Any, Message], None]:
            def note(error: Any, message: Message) -> None:
                if error is None:
                    sent[number] = (message.partition(), message.offset())

            return note

        count = 0
        for count, message in enumerate(messages, 1):
            fields = message if isinstance(message, Mapping) else {"value": message}
            producer.produce(topic, on_delivery=delivered(count), **fields)
            producer.poll(0)
        producer.flush(60)
        assert len(sent) == count, f"{count - len(sent)} of {count} messages did not reach {topic}"
        return [sent[number] for number in range(1, count + 1)]

    return send
