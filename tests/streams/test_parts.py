"""The servers that tests run against do what tests rely on."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pg8000.dbapi
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from lakehouse.errors import SetupError
from lakehouse.runtime import ivy, jars
from scripts import streams
from scripts.streams import LOCK, Kafka, Server, _wait, debezium

ROOT = Path(__file__).resolve().parents[2]


class Sleeper(Server):
    """A server that does nothing, at once."""

    address = "here"

    def command(self):
        return ("sleep", "60")

    def answers(self):
        return Path(f"/proc/{self.pid}/cmdline").read_bytes().startswith(b"sleep")


def messages(servers: str, topic: str, count: int, **config: str) -> list[Message]:
    """The first messages of a topic of one partition; fewer where there are fewer in 20 seconds."""
    own = {"group.id": "nobody", "enable.auto.commit": False, "log_level": 2}
    consumer = Consumer({"bootstrap.servers": servers, **own, **config})
    found, limit = [], time.monotonic() + 20
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while len(found) < count and time.monotonic() < limit:
            # a tombstone has length 0, and so it is false
            if (message := consumer.poll(0.2)) is not None and message.error() is None:
                found.append(message)
    finally:
        consumer.close()
    return found


def test_a_server_is_found_again_by_its_folder_and_ends_once(tmp_path):
    first = Sleeper(tmp_path).start()
    again = Sleeper(tmp_path).start()
    assert (again.pid, again.port) == (first.pid, first.port)
    again.stop()
    assert not first.running
    first.kill()


def test_a_server_that_is_paused_goes_on(tmp_path):
    with Sleeper(tmp_path) as server:
        state = Path(f"/proc/{server.pid}/stat")
        server.pause()
        assert _wait(lambda: " T " in state.read_text(), 5)
        server.resume()
        assert _wait(lambda: " T " not in state.read_text(), 5)
        server.pause()
    assert not server.running


def test_a_server_in_a_block_ends_with_its_python_even_if_that_is_killed(tmp_path):
    (tmp_path / "killed.py").write_text(
        "import os, pathlib, signal, sys\n"
        "from tests.streams.test_parts import Sleeper\n"
        "with Sleeper(pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = (sys.executable, tmp_path / "killed.py", tmp_path)
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "pid").exists()
    assert _wait(lambda: not Sleeper(tmp_path).running, 5)


def test_a_server_that_does_not_start_says_what_it_wrote(tmp_path, monkeypatch):
    monkeypatch.setattr(Sleeper, "command", lambda _: ("sh", "-c", "echo no such luck; exit 3"))
    monkeypatch.setattr(Sleeper, "answers", lambda _: False)
    with pytest.raises(SetupError, match="no such luck"):
        Sleeper(tmp_path).start()


def test_a_port_that_is_taken_is_said_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(SetupError, match="taken by another process"):
        Sleeper(tmp_path, other.getsockname()[1]).start()


def test_a_server_that_cannot_be_had_says_why(monkeypatch):
    def fetch():
        raise SetupError("no such thing", hint="get one")

    monkeypatch.setattr(Sleeper, "fetch", fetch)
    assert Sleeper.lacks() == "Sleeper cannot be had here: no such thing\n  hint: get one"


def test_up_starts_once_and_down_ends_all(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "PLACE", tmp_path)
    monkeypatch.setattr(
        streams, "MADE", {name: lambda name=name: Sleeper(tmp_path / name) for name in ("kafka", "registry")}
    )

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(streams.main, arguments)
        assert done.exit_code == 0, done.output
        return done.output

    assert call("up").count("started") == 2
    state = json.loads((tmp_path / "state.json").read_text())
    assert call("up").count(": here runs") == 2
    assert json.loads((tmp_path / "state.json").read_text()) == state
    assert state["kafka"] == {"address": "here", "pid": Sleeper(tmp_path / "kafka").pid}
    assert f"runs as process {state['registry']['pid']}" in call("status")
    call("down")
    assert call("status").count("is down") == 2
    call("down", "--wipe")
    assert (call("status"), (tmp_path / "kafka").exists()) == ("", False)


def test_the_lock_names_every_file_once_and_ivy_is_asked_for_an_archive_as_one():
    files = [jar for section in jars.parse(LOCK.read_text()).values() for jar in section]
    assert len({jar.file for jar in files}) == len(files)
    [archive] = [jar for jar in files if jar.ext != "jar"]
    assert archive.file == "apicurio-registry-app-3.0.9-all.tar.gz"
    [artifact] = ET.fromstring(ivy.module([archive, files[0]])).iter("artifact")  # noqa: S314 our own text
    assert artifact.attrib == {
        "name": "apicurio-registry-app",
        "type": "jar",
        "ext": "tar.gz",
        "{http://ant.apache.org/ivy/maven}classifier": "all",
    }


def test_a_broker_gives_what_it_took(kafka, topic, produce):
    name = topic()
    assert produce(name, [{"key": "a", "value": "1", "headers": {"h": b"x"}}, {"key": "a", "value": None}, "2"]) == [
        (0, 0),
        (0, 1),
        (0, 2),
    ]
    first, tombstone, last = messages(kafka.servers, name, 3)
    assert (first.key(), first.value(), first.headers()) == (b"a", b"1", [("h", b"x")])
    assert (tombstone.key(), tombstone.value(), last.value()) == (b"a", None, b"2")


def test_a_broker_takes_a_message_of_ten_mebibytes(kafka, topic, produce):
    name = topic()
    produce(name, [bytes(10 << 20)])
    assert [len(message.value()) for message in messages(kafka.servers, name, 1)] == [10 << 20]


def test_a_broker_that_is_killed_starts_again_with_its_data(kafka, topic, produce):
    name = topic()
    produce(name, ["before"])
    kafka.kill()
    assert not kafka.answers()
    kafka.start()
    produce(name, ["after"])
    assert [message.value() for message in messages(kafka.servers, name, 2)] == [b"before", b"after"]


def test_retention_passes_offsets_within_seconds(kafka, topic, produce):
    name = topic(config={"retention.ms": "1", "segment.ms": "1"})
    produce(name, ["gone"])
    consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": "nobody"})
    assert _wait(lambda: consumer.get_watermark_offsets(TopicPartition(name, 0)) == (1, 1), 15)
    consumer.close()


@pytest.fixture
def guarded(tmp_path) -> Iterator[Kafka]:
    with Kafka(tmp_path, users={"alice": "wonder", "bob": "builder"}, tls=True) as server:
        yield server


def test_a_user_may_do_what_an_acl_allows_and_nothing_else(guarded, allow):
    admin = AdminClient({"bootstrap.servers": guarded.servers})
    admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
    allow(guarded, "alice", "READ", "TOPIC", "t")
    producer = Producer({"bootstrap.servers": guarded.servers})
    producer.produce("t", "secret")
    assert producer.flush(30) == 0

    def asked(user: str, word: str, mechanism: str = "SCRAM-SHA-512") -> bytes | str:
        login = {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": word}
        how = {"security.protocol": "SASL_SSL", "ssl.ca.location": str(guarded.certificate), "log_level": 2, **login}
        told = AdminClient({"bootstrap.servers": guarded.secure_servers, **how}).list_topics("t", timeout=30)
        if refused := told.topics["t"].error:
            return refused.name()
        [message] = messages(guarded.secure_servers, "t", 1, **how)
        return message.value()

    assert asked("alice", "wonder", "PLAIN") == asked("alice", "wonder") == b"secret"
    assert asked("bob", "builder") == "TOPIC_AUTHORIZATION_FAILED"


def test_a_registry_gives_a_schema_by_its_id_also_after_a_kill(registry):
    schema = {"schema": json.dumps({"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]})}
    number = registry.client.post("/subjects/orders-value/versions", json=schema).raise_for_status().json()["id"]
    registry.kill()
    registry.start()
    assert registry.client.get(f"/schemas/ids/{number}").json()["schema"] == schema["schema"]


def test_a_data_base_keeps_a_table_over_a_kill(postgres):
    def sql(text: str) -> list:
        connection = pg8000.dbapi.connect(**postgres.parameters)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(text)
        found = cursor.fetchall() if cursor.description else []
        connection.close()
        return found

    sql("create table kept as select 1 as id")
    postgres.kill()
    postgres.start()
    assert (sql("select id from kept"), sql("show wal_level")) == (([1],), (["logical"],))


def test_connect_captures_what_happens_to_a_row_also_after_a_kill(kafka, postgres, connect):
    connection = pg8000.dbapi.connect(**postgres.parameters)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("create table orders (id int primary key, amount numeric(10, 2))")
    cursor.execute("insert into orders values (1, 1.50)")
    connect.add("orders", debezium(postgres, "shop", "public.orders"))
    assert [json.loads(message.value())["op"] for message in messages(kafka.servers, "shop.public.orders", 1)] == ["r"]
    # one that is killed before it has noted how far it is begins anew, and never tells of what was deleted meanwhile
    # what is there may be of other tests' connectors, and before the first one there is nothing
    noted = connect.folder / "offsets"
    is_noted = re.compile(rb'"server":"shop"}.*"lsn"', re.DOTALL)
    assert _wait(lambda: noted.exists() and bool(is_noted.search(noted.read_bytes())), 20)
    connect.kill()
    cursor.execute("insert into orders values (2, 2.50)")
    cursor.execute("update orders set amount = 3.10 where id = 1")
    cursor.execute("delete from orders where id = 1")
    connection.close()
    connect.start()
    *events, tombstone = messages(kafka.servers, "shop.public.orders", 5)
    values = [json.loads(message.value()) for message in events]
    assert [(value["op"], (value["after"] or {}).get("amount")) for value in values] == [
        ("r", "1.50"),
        ("c", "2.50"),
        ("u", "3.10"),
        ("d", None),
    ]
    assert (json.loads(tombstone.key()), tombstone.value()) == ({"id": 1}, None)
    connect.remove("orders")
