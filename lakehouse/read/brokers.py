"""The brokers of a Kafka source: how to reach them, and what they say of topics and offsets. No Spark."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import AccessDeniedError, ConfigError, SourceNotFoundError, SourceUnavailableError
from lakehouse.foreign import keep_secret
from lakehouse.spec.document import nearest
from lakehouse.spec.kafka import Avro, is_loopback

if TYPE_CHECKING:
    from lakehouse.spec.kafka import KafkaSource, Security

_PATIENCE = 15.0
"""Seconds that brokers have to answer a question about metadata."""

_DEFAULT_LARGEST = 1_048_588

RIGHTS = "the user needs READ and DESCRIBE of the topics, and READ of the group"

_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


@dataclass(frozen=True)
class Topic:
    """A topic: its own id, which is another one once it was deleted and made again, and how many partitions it has."""

    id: str
    partitions: int


Range = tuple[int, int]
"""The first offset that is there, and the one after the last."""


@dataclass(frozen=True)
class Brokers:
    """Where the brokers are, and the settings of a client: for Spark's (Java) and for librdkafka's.

    ``registry`` is the schema registry's address, ``schema`` the one schema of plain Avro, as JSON.
    """

    servers: str
    java: Mapping[str, str] = field(default_factory=dict, repr=False)
    librdkafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    registry: str | None = None
    schema: str | None = None

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask the brokers.

        Raises:
            SourceUnavailableError: they do not answer; AccessDeniedError: they do not let us.
        """
        kafka = client()
        settings = {"bootstrap.servers": self.servers, "log_level": 0, **self.librdkafka}
        try:
            return question(kafka.admin.AdminClient(settings, logger=_quiet()))
        except kafka.KafkaException as error:
            raise _typed(error.args[0], self.servers) from None

    def topics(self, source: KafkaSource) -> dict[str, Topic]:
        """The topics that the source reads.

        Raises:
            SourceNotFoundError: one that it names, or any that fits its pattern, is not there; or the one of dead
                letters.
        """

        def ask(admin: Any) -> dict[str, Topic]:
            there = admin.list_topics(timeout=_PATIENCE).topics
            for name in set(source.topics) - there.keys():
                # that a topic is not listed may be for want of rights
                error = admin.list_topics(name, timeout=_PATIENCE).topics[name].error
                if error and error.code() == client().KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise client().KafkaException(error)
            wanted = _wanted(source, sorted(there))
            told = admin.describe_topics(client().TopicCollection(wanted), request_timeout=_PATIENCE)
            return {
                name: Topic(str(found.topic_id), len(found.partitions))
                for name, found in ((name, future.result()) for name, future in told.items())
            }

        answer: dict[str, Topic] = self._ask(ask)
        return answer

    def ranges(self, topics: Mapping[str, Topic]) -> dict[str, dict[int, Range]]:
        """The offsets of every partition: the first that is there, and the one after the last that is committed."""

        def ask(admin: Any) -> dict[str, dict[int, Range]]:
            kafka = client()
            places = [
                kafka.TopicPartition(name, number)
                for name, topic in topics.items()
                for number in range(topic.partitions)
            ]
            found: dict[str, dict[int, list[int]]] = {name: {} for name in topics}
            for spec in (kafka.admin.OffsetSpec.earliest(), kafka.admin.OffsetSpec.latest()):
                asked = admin.list_offsets(
                    dict.fromkeys(places, spec),
                    isolation_level=kafka.IsolationLevel.READ_COMMITTED,
                    request_timeout=_PATIENCE,
                )
                for place, future in asked.items():
                    found[place.topic].setdefault(place.partition, []).append(future.result().offset)
            return {name: {at: (low, high) for at, (low, high) in parts.items()} for name, parts in found.items()}

        answer: dict[str, dict[int, Range]] = self._ask(ask)
        return answer

    def largest_message(self, topic: str) -> int:
        """How many bytes a message of a topic may have; Kafka's own default where the brokers do not say."""
        kafka = client()
        resource = kafka.admin.ConfigResource(kafka.admin.ConfigResource.Type.TOPIC, topic)

        def ask(admin: Any) -> int:
            (told,) = admin.describe_configs([resource], request_timeout=_PATIENCE).values()
            return int(told.result()["max.message.bytes"].value)

        try:
            return int(self._ask(ask))
        except (AccessDeniedError, LookupError, ValueError):
            return _DEFAULT_LARGEST

    def made_at(self, places: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], float]:
        """When the first record at or after an offset of a topic's partition was made, in seconds since 1970."""
        kafka = client()
        found: dict[tuple[str, int], float] = {}
        settings = {"bootstrap.servers": self.servers, "group.id": "lakehouse-status", "log_level": 0}
        consumer = kafka.Consumer({**settings, **self.librdkafka}, logger=_quiet())
        try:
            consumer.assign([kafka.TopicPartition(*place, offset) for place, offset in places.items()])
            until = time.monotonic() + _PATIENCE / 3
            while len(found) < len(places) and time.monotonic() < until:
                record = consumer.poll(0.2)
                if record is not None and record.error() is None:
                    found.setdefault((record.topic(), record.partition()), record.timestamp()[1] / 1000)
        finally:
            consumer.close()
        return found


def client() -> Any:
    """The Python client, which only a Kafka source needs.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import confluent_kafka
        import confluent_kafka.admin
    except ImportError as error:
        message = "a Kafka source needs the package confluent-kafka"
        raise ConfigError(message, hint="pip install 'lakehouse[kafka]'") from error
    return confluent_kafka


def brokers(source: KafkaSource, resolved: Callable[[str, str], str], root: Path, where: str) -> Brokers:
    """The brokers of a source, its references resolved.

    Args:
        source: the source.
        resolved: gives a text of the configuration, and the field that it is of, with its references replaced.
        root: the project, in which files that the source names lie.
        where: the source's place in the configuration.

    Raises:
        ConfigError: an address is none, a file is not there, or the way there is open to everybody.
    """
    servers = resolved(source.bootstrap_servers, f"{where}.bootstrap_servers")
    for server in servers.split(","):
        if not re.fullmatch(r"\s*(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}\s*", server):
            message = f"{where}.bootstrap_servers: {source.bootstrap_servers}: expected host:port, or several"
            raise ConfigError(message)
    open_to_all = source.security is None or source.security.protocol == "SASL_PLAINTEXT"
    if open_to_all and not source.allow_plaintext and not is_loopback(servers):
        message = f"{where}: {servers} would be reached without TLS"
        raise ConfigError(message, hint="say security: {protocol: SASL_SSL, …}, or allow_plaintext: true")
    java, librdkafka = _secured(source.security, resolved, root, f"{where}.security")
    java |= {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in source.consumer.items()
    }
    registry = schema = None
    if isinstance(source.value, Avro):
        if source.value.registry:
            registry = resolved(source.value.registry, f"{where}.value.registry").rstrip("/")
        if source.value.schema_file:
            schema = _file(root, source.value.schema_file, f"{where}.value.schema_file").read_text(encoding="utf-8")
    return Brokers(servers.replace(" ", ""), java, librdkafka, registry, schema)


def _secured(
    security: Security | None, resolved: Callable[[str, str], str], root: Path, where: str
) -> tuple[dict[str, str], dict[str, str]]:
    """A client's settings for the security: Java's and librdkafka's."""
    if security is None:
        return {}, {}
    java: dict[str, str] = {"security.protocol": security.protocol}
    librdkafka = dict(java)
    if security.mechanism:
        name = resolved(security.username or "", f"{where}.username")
        password = resolved(security.password or "", f"{where}.password")
        keep_secret(password, security.password or "")
        java |= {
            "sasl.mechanism": security.mechanism,
            "sasl.jaas.config": f"{_MODULES[security.mechanism]} required "
            f"username={_jaas(name)} password={_jaas(password)};",
        }
        librdkafka |= {"sasl.mechanism": security.mechanism, "sasl.username": name, "sasl.password": password}
    if security.ca:
        path = str(_file(root, security.ca, f"{where}.ca"))
        java |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": path}
        librdkafka["ssl.ca.location"] = path
    if security.certificate:
        path = str(_file(root, security.certificate, f"{where}.certificate"))
        java |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": path}
        librdkafka |= {"ssl.certificate.location": path, "ssl.key.location": path}
    return java, librdkafka


def _jaas(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _file(root: Path, name: str, where: str) -> Path:
    message = f"{where}: there is no file {name} in the project"
    try:
        path = (root / name).resolve()
        if path.is_relative_to(root) and path.is_file():
            return path
    except (OSError, RuntimeError, ValueError):  # a link to itself, too long, or a character that no path has
        pass
    raise ConfigError(message)


def _wanted(source: KafkaSource, there: Sequence[str]) -> list[str]:
    if source.dead_letter_topic and source.dead_letter_topic not in there:
        message = f"there is no topic '{source.dead_letter_topic}' for dead letters"
        raise SourceNotFoundError(message, hint="make it: a message that cannot be sent on would end the run")
    if source.topic_pattern is not None:
        found = [name for name in there if re.fullmatch(source.topic_pattern, name)]
        if not found:
            message = f"no topic fits {source.topic_pattern}"
            raise SourceNotFoundError(message, hint=f"there are {', '.join(there[:20]) or 'none'}")
        return found
    for name in source.topics:
        if name not in there:
            message = f"there is no topic '{name}'{nearest(name, list(there))}"
            raise SourceNotFoundError(message, hint="make it, or look at topics: and bootstrap_servers:")
    return list(source.topics)


def _typed(error: Any, servers: str) -> Exception:
    kafka = client()
    denied = (
        kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED,
        kafka.KafkaError.GROUP_AUTHORIZATION_FAILED,
        kafka.KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        kafka.KafkaError.SASL_AUTHENTICATION_FAILED,
        kafka.KafkaError._AUTHENTICATION,
    )
    if error.code() in denied:
        message = f"the brokers at {servers} do not let us: {error.str()}"
        return AccessDeniedError(message, hint=RIGHTS)
    message = f"the brokers at {servers} cannot be asked: {error.str()}"
    return SourceUnavailableError(message, hint="look whether they run and can be reached; the run can be repeated")


def _quiet() -> Any:
    """A logger for the client, which would write to stderr by itself."""
    import logging

    logger = logging.getLogger("lakehouse.kafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
