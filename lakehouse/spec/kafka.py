"""Kafka: which records are read, how they are decoded, and how the brokers are reached."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lakehouse.spec.base import ColumnName, FieldError, Spec
from lakehouse.spec.contract import ContractOrFile
from lakehouse.spec.document import nearest
from lakehouse.spec.pattern import why_refused
from lakehouse.spec.reference import Text

_CONSUMER = (
    *("fetch.min.bytes", "fetch.max.bytes", "fetch.max.wait.ms", "max.partition.fetch.bytes", "max.poll.records"),
    *("request.timeout.ms", "default.api.timeout.ms", "connections.max.idle.ms", "metadata.max.age.ms"),
    *("reconnect.backoff.ms", "reconnect.backoff.max.ms", "retry.backoff.ms", "retry.backoff.max.ms"),
    *("receive.buffer.bytes", "send.buffer.bytes", "socket.connection.setup.timeout.ms", "check.crcs"),
    *("client.id", "client.rack", "client.dns.lookup"),
)
"""What a consumer may be told: how it fetches, never what it loads, where it begins or which records it sees."""


def _consumer_setting(name: str) -> str:
    if name not in _CONSUMER:
        message = f"'{name}' cannot be set{nearest(name, list(_CONSUMER))}: it is unknown, or would change what is read"
        raise ValueError(message)
    return name


def _topic(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in (".", ".."):
        message = f"'{name}' is not a topic's name: letters, digits, '.', '_' and '-'"
        raise ValueError(message)
    return name


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        message = f"not a regular expression: {error}"
        raise ValueError(message) from None
    if why := why_refused(text):
        raise ValueError(why)
    return text


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Topic = Annotated[str, AfterValidator(_topic)]


def _as_time(value: object) -> object:
    """Text as a time, since YAML knows those with a zone and without."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        message = f"expected a time such as 2026-11-01T00:00:00Z, found '{value}'"
        raise ValueError(message) from None


def _with_zone(value: datetime) -> datetime:
    if value.tzinfo is None:
        message = f"{value.isoformat()} has no time zone: write {value.isoformat()}Z for UTC"
        raise ValueError(message)
    return value


class AtTime(Spec):
    """The first record of each partition that Kafka stamped at a time or later."""

    timestamp: Annotated[datetime, BeforeValidator(_as_time, json_schema_input_type=str), AfterValidator(_with_zone)]


def _by_partition(value: object) -> object:
    """YAML's keys may be numbers, and are text in JSON."""
    if isinstance(value, dict):
        return {int(key) if isinstance(key, str) and key.isdigit() else key: offset for key, offset in value.items()}
    return value


Partition = Annotated[int, Field(ge=0)]
Offset = Annotated[int, Field(ge=0)]


class AtOffsets(Spec):
    """Offsets by topic and partition; a partition that is not named is read from its beginning, or to its end."""

    offsets: dict[Topic, Annotated[dict[Partition, Offset], BeforeValidator(_by_partition)]]


Position = Literal["earliest", "latest"] | AtTime | AtOffsets


class Json(Spec):
    """One JSON object a message, whose fields and types the contract declares: a value of another type is rejected."""

    format: Literal["json"]


class Avro(Spec):
    """Avro: after the five bytes of a schema registry's wire format, or by one schema for all messages.

    ``registry`` is the address of a registry with Confluent's API; ``schema_file`` (.avsc, within the project) is for
    messages that are plain Avro.
    """

    format: Literal["avro"]
    registry: Text | None = None
    schema_file: Annotated[str | None, Field(min_length=1)] = None

    @model_validator(mode="after")
    def _one_schema(self) -> Avro:
        if (self.registry is None) == (self.schema_file is None):
            message = "give registry or schema_file: a message of Avro does not say its schema itself"
            raise FieldError(message, "schema_file" if self.schema_file else "format")
        return self


class DelimitedText(Spec):
    """One line of delimited text a message, its columns those of the contract in their order."""

    format: Literal["csv"]
    delimiter: Annotated[str, Field(min_length=1, max_length=4)] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    escape: Annotated[str, Field(min_length=1, max_length=1)] = '"'


class PlainText(Spec):
    """The message as text, in the column ``value``."""

    format: Literal["text"]


class Binary(Spec):
    """The message as it is, in the column ``value``."""

    format: Literal["binary"]


def _format_in_short(value: object) -> object:
    """``json`` says the same as ``{format: json}``."""
    return {"format": value} if isinstance(value, str) else value


Payload = Annotated[Json | Avro | DelimitedText | PlainText | Binary, Field(discriminator="format")]


class Debezium(Spec):
    """The messages are row changes as Debezium's connectors write them.

    ``flat`` are those that went through ExtractNewRecordState. ``types`` says of columns what a message without a
    schema block does not: the connector's name of the type, such as ``io.debezium.time.MicroTimestamp``, with
    ``decimals`` for all numbers of the database that are exact.
    """

    flat: Annotated[bool, Field(description="The row itself, without an envelope (ExtractNewRecordState).")] = False
    decimals: Annotated[
        Literal["base64", "string", "double"],
        Field(description="The connector's decimal.handling.mode: precise is base64. A schema block says it itself."),
    ] = "string"
    types: Annotated[
        dict[ColumnName, str], Field(description="The connector's names of types, where messages have no schema block.")
    ] = {}
    order: Annotated[
        Literal["log", "offset"],
        Field(
            description="What _change.sequence is made of: the place in the database's log, or Kafka's offset, which "
            "is right as long as all changes of a key are in one partition."
        ),
    ] = "log"
    unavailable: Annotated[
        str, Field(min_length=1, description="What stands for a value that was not changed and is not told (TOAST).")
    ] = "__debezium_unavailable_value"


class Security(Spec):
    """How the brokers know us, and we them. A name and a password are references, such as ``${env:KAFKA_PASSWORD}``."""

    protocol: Literal["SASL_SSL", "SSL", "SASL_PLAINTEXT"]
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: Text | None = None
    password: Text | None = None
    ca: Annotated[str | None, Field(description="Certificates that are trusted (PEM), else those of Java.")] = None
    certificate: Annotated[str | None, Field(description="Our own certificate and key (PEM), for mutual TLS.")] = None

    @model_validator(mode="after")
    def _whole(self) -> Security:
        for name in ("mechanism", "username", "password"):
            if self.protocol.startswith("SASL") != (getattr(self, name) is not None):
                verb = "needs" if self.protocol.startswith("SASL") else "has no"
                message = f"{self.protocol} {verb} {name}"
                raise FieldError(message, name if verb == "has no" else "protocol")
        if self.password is not None and "${" not in self.password:
            message = "a password is a reference, such as ${env:KAFKA_PASSWORD}: a conf is read by many"
            raise FieldError(message, "password")
        return self


class KeyColumn(Spec):
    """The column that a record's key is, where the key is a plain value: text, a value of JSON, a number, or Avro's.

    A message without a value is then the deletion of its key: a row of that column alone, with ``_kafka.tombstone``.
    """

    name: ColumnName
    format: Annotated[
        Literal["text", "json", "number", "avro"],
        Field(
            description="text; json (text in quotes, a number, true); number (big-endian, of 4 or 8 bytes); avro (of "
            "the value's registry)."
        ),
    ] = "text"


def _key_in_short(value: object) -> object:
    """``id`` says the same as ``{name: id}``."""
    return {"name": value} if isinstance(value, str) else value


class KafkaSource(Spec):
    """Records of Kafka topics, each once, in batches."""

    kind: Literal["kafka"]
    bootstrap_servers: Annotated[Text, Field(description="host:port, several with commas between.")]
    topics: Annotated[tuple[Topic, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | list[str])] = ()
    topic_pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    starting_offsets: Annotated[Position, Field(description="Where a new checkpoint begins.")] = "earliest"
    ending_offsets: Annotated[
        Literal["latest"] | AtTime | AtOffsets,
        Field(description="Where the source ends: records at and after it are not of this job."),
    ] = "latest"
    max_records: Annotated[
        int, Field(gt=0, le=2**31 - 1, description="Records in a batch: what a pile-up is cut into.")
    ] = 200_000
    value: Annotated[Payload, BeforeValidator(_format_in_short, json_schema_input_type=str | Payload)]
    key: Annotated[Literal["binary", "text"], Field(description="How the record's key is kept, in _kafka.key.")] = (
        "binary"
    )
    key_column: Annotated[KeyColumn, BeforeValidator(_key_in_short, json_schema_input_type=str | KeyColumn)] | None = (
        None
    )
    debezium: Debezium | None = None
    unknown_fields: Annotated[
        Literal["quarantine", "ignore"],
        Field(
            description="What a field that the contract does not declare does: its message is put aside, or nothing."
        ),
    ] = "quarantine"
    rescue: Annotated[
        ColumnName | None, Field(description="A column (map of text) for fields that the contract does not declare.")
    ] = None
    dead_letter_topic: Annotated[
        Topic | None, Field(description="Messages that are put aside go to this topic as well.")
    ] = None
    security: Security | None = None
    allow_plaintext: Annotated[
        bool, Field(description="Whether the brokers may be reached without TLS elsewhere than on this machine.")
    ] = False
    consumer: dict[Annotated[str, AfterValidator(_consumer_setting)], str | int | bool] = {}
    contract: ContractOrFile = None
    stream: Annotated[Literal[True], Field(description="Kafka is always read incrementally.")] = True

    @model_validator(mode="after")
    def _some_topics(self) -> KafkaSource:
        if bool(self.topics) == (self.topic_pattern is not None):
            message = "give topics or topic_pattern"
            raise FieldError(message, "topic_pattern" if self.topics else "kind")
        return self

    @model_validator(mode="after")
    def _no_circle(self) -> KafkaSource:
        own = self.dead_letter_topic
        if own and (own in self.topics or (self.topic_pattern and re.fullmatch(self.topic_pattern, own))):
            message = f"'{own}' is a topic that this source reads: what it puts aside would come again for ever"
            raise FieldError(message, "dead_letter_topic")
        return self

    @model_validator(mode="after")
    def _key_is_declared(self) -> KafkaSource:
        declared = list(self.contract.columns) if self.contract else []
        if self.key_column and self.key_column.name not in declared:
            name = self.key_column.name
            message = f"'{name}' is not declared by the contract{nearest(name, declared)}: nothing says its type"
            raise FieldError(message, "key_column")
        if self.key_column and self.key_column.format == "avro" and not getattr(self.value, "registry", None):
            message = "a key of avro is read by the registry of the value, which has none"
            raise FieldError(message, "key_column")
        return self

    @model_validator(mode="after")
    def _schema_where_needed(self) -> KafkaSource:
        declared = self.contract is not None and bool(self.contract.columns)
        if self.value.format in ("json", "csv") and not declared:
            message = f"{self.value.format} needs a contract with columns: what it does not declare cannot be judged"
            raise FieldError(message, "value")
        if self.debezium and self.value.format not in ("json", "avro"):
            message = "Debezium writes json or avro"
            raise FieldError(message, "value")
        strange = {"rescue", "unknown_fields"} & self.model_fields_set
        if strange and self.contract and self.contract.unknown != "keep":
            message = f"the contract says what becomes of them (unknown: {self.contract.unknown}): say it once"
            raise FieldError(message, min(strange))
        if self.rescue and self.value.format != "json":
            message = "rescue is for json: other formats have no fields that nobody declared"
            raise FieldError(message, "rescue")
        return self


def is_loopback(servers: str) -> bool:
    """Whether every one of ``host:port,host:port`` is this machine."""
    return all(_is_here(server.rpartition(":")[0].strip("[] ")) for server in servers.split(","))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
