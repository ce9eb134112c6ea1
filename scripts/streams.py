"""Real servers for tests, the demo and benchmarks: Kafka, a schema registry, PostgreSQL, Kafka Connect with Debezium.

Each is one process that listens on loopback alone and keeps its data, its log and its ports in a folder of its own, so
that it can be killed, paused and started again as the same server. ``with Kafka(folder) as kafka:`` ends with the block
and with the Python process, however that ends; ``Kafka(folder).start()`` outlives both. What they run is fetched once,
verified by ``streams.lock``, and kept in the Python environment; PostgreSQL is the system's own. Linux only.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import click
import httpx

from lakehouse.errors import SetupError
from lakehouse.runtime import ivy, jars, java, mend

PLACE = Path(__file__).resolve().parent.parent / ".streams"
LOCK = Path(__file__).with_name("streams.lock")
# Below the ports that systems give to outgoing connections: there, a client that waits for a killed server could be
# given its port, or connect to itself.
PORTS = range(20_000, 32_000)

Command = Sequence[str | Path]


@dataclass(eq=False)
class Server(ABC):
    """A process with a folder: started, ended, killed, paused, and found again by whoever knows the folder.

    Attributes:
        folder: what there is of it, made where it is missing; its output is in ``log``. The same folder is the same
            server.
        port: where it listens; 0 is a free one, which it keeps.
        settings: its own settings, over those that are made here.
    """

    folder: Path
    port: int = 0
    _: KW_ONLY
    settings: Mapping[str, str] = field(default_factory=dict)

    sections: ClassVar[tuple[str, ...]] = ()
    heap: ClassVar[str] = "384m"
    patience: ClassVar[float] = 60  # seconds until it must answer: a busy machine takes its time
    ends_by: ClassVar[signal.Signals] = signal.SIGTERM

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self._port("port", self.port)
        self.home = self.folder
        self._tied = False

    @classmethod
    def lacks(cls) -> str:
        """Why it cannot be had on this machine; empty where it can. Fetches what it runs."""
        try:
            cls.fetch()
        except SetupError as error:
            return f"{cls.__name__} cannot be had here: {error}"
        return ""

    @classmethod
    def fetch(cls) -> list[Path]:
        """What it runs, brought where it is missing."""
        return [path for section in cls.sections for path in fetched(section)]

    @property
    @abstractmethod
    def address(self) -> str:
        """What a client of it is told."""

    @abstractmethod
    def command(self) -> Command:
        """What is run; whatever that needs in the folder is there afterwards."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does what it is for; asked while it starts."""

    @property
    def running(self) -> bool:
        """Whether it runs, whoever started it."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """Its process. An id alone does not name one for good: with the time of its start it does."""
        with suppress(FileNotFoundError, ValueError):
            pid, born = (self.folder / "pid").read_text().split()
            if _born(int(pid)) == born:
                return int(pid)
        return None

    def start(self) -> Self:
        """Start it and wait until it answers; does nothing where it runs.

        Raises:
            SetupError: it ended, or did not answer in time; with the last that it wrote.
        """
        if self.running:
            return self
        command, log = self.command(), self.folder / "log"
        if not _free(self.port):
            raise SetupError(f"port {self.port} of {self.folder} is taken by another process")
        if self._tied:
            command = ("setpriv", "--pdeathsig", "KILL", *command)
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, cwd=self.home, stdin=out, stdout=out, stderr=out, start_new_session=True, **self._user()
            )
        (self.folder / "pid").write_text(f"{process.pid} {_born(process.pid)}")
        _wait(lambda: process.poll() is not None or self.answers(), self.patience)
        started = process.poll() is None and self.answers()
        process.returncode = process.returncode or 0  # its id stands for it: this would complain of what outlives it
        if not started:
            self.kill()
            said = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise SetupError(f"{type(self).__name__} did not start; the end of {log}:\n{said}")
        return self

    def stop(self) -> None:
        """End it as its makers meant."""
        self.resume()
        if not self._end(self.ends_by, [self.pid]):
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL, self._processes())

    def pause(self) -> None:
        """Stop it where it is: its connections stay, and nothing answers."""
        _signal(signal.SIGSTOP, self._processes())

    def resume(self) -> None:
        """Let it go on."""
        _signal(signal.SIGCONT, self._processes())

    def wipe(self) -> None:
        """End it and remove all that it kept."""
        self.kill()
        shutil.rmtree(self.home)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start it, and let it end with this thread: so it is for the main one."""
        self._tied = True
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _port(self, name: str, wanted: int = 0) -> int:
        kept = self.folder / name
        port = wanted or (int(kept.read_text()) if kept.exists() else _free_port())
        kept.write_text(str(port))
        return port

    def _user(self) -> dict[str, Any]:
        """As whom it runs, in the words of Popen; as oneself where nothing is said."""
        return {}

    def _processes(self) -> list[int | None]:
        """It and those that it started."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [self.pid, *map(int, children.read_text().split() if children.exists() else ())]

    def _end(self, sent: signal.Signals, pids: Iterable[int | None]) -> bool:
        lives = {pid: born for pid in pids if pid and (born := _born(pid))}
        _signal(sent, lives)
        ended = _wait(lambda: not any(_born(pid) == born for pid, born in lives.items()), seconds=30)
        for pid in lives:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return ended

    def _java(self, *arguments: str | Path) -> Command:
        """Java with one compiler: a third less to start, and a million messages cost no more with it."""
        log = ("defaultLogLevel=warn", "showDateTime=true", "dateTimeFormat=HH:mm:ss.SSS")
        options = (f"-Xmx{self.heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Duser.home={self.folder}")
        return (_java(), *options, *(f"-Dorg.slf4j.simpleLogger.{setting}" for setting in log), *arguments)

    def _properties(self, name: str, text: str) -> Path:
        """A file of Java's properties, in which the last word counts. It may hold passwords, and so it is one's own."""
        path = self.folder / name
        path.touch(0o600)
        path.write_text("\n".join((text, *(f"{key}={value}" for key, value in self.settings.items()), "")))
        return path


@dataclass(eq=False)
class Kafka(Server):
    """A broker that is its own controller.

    Topics are made on purpose only. Retention is looked at every second, so that a test can see offsets pass away.

    Attributes:
        users: passwords by name. With them there is a second listener, ``secure_servers``, for SASL (PLAIN and
            SCRAM-SHA-512), on which a user may do what an ACL allows and nothing else; on the first one anybody may do
            all. They are made with the folder.
        tls: the second listener speaks TLS; ``certificate`` is what its clients are to trust.
    """

    users: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    tls: bool = field(default=False, kw_only=True)
    sections = ("kafka",)

    @property
    def servers(self) -> str:
        """``bootstrap.servers`` of the listener that asks nothing."""
        return f"127.0.0.1:{self.port}"

    address = servers

    @property
    def secure_servers(self) -> str:
        """``bootstrap.servers`` of the listener for users."""
        return f"127.0.0.1:{self._port('secure_port')}"

    @property
    def certificate(self) -> Path:
        """The broker's certificate, as PEM."""
        return self.folder / "certificate.pem"

    def command(self) -> Command:
        """Format the folder where it is new."""
        path, properties = _path(self.fetch()), self._properties("server.properties", self._config())
        if not (self.folder / "data" / "meta.properties").exists():
            cluster = urlsafe_b64encode(os.urandom(16)).decode().strip("=")
            users = (f"--add-scram=SCRAM-SHA-512=[name={name},password={word}]" for name, word in self.users.items())
            tool = self._java("-cp", path, "kafka.tools.StorageTool")
            _run(*tool, "format", f"--cluster-id={cluster}", "--config", properties, *users)
        return self._java("-cp", path, "kafka.Kafka", properties)

    def answers(self) -> bool:
        """Whether the broker is among those that its metadata names: before that, no topic can be made."""
        request = struct.pack(">hhihi", 3, 1, 1, -1, 0)  # Metadata, version 1, of no topic
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            size_id_brokers = connection.makefile("rb").read(12)
            return len(size_id_brokers) == 12 and struct.unpack(">iii", size_id_brokers)[2] == 1
        return False

    def _config(self) -> str:
        controller = f"127.0.0.1:{self._port('controller_port')}"
        listeners, protocols, more = f"PLAIN://{self.servers},CONTROLLER://{controller}", "", ""
        if self.users:
            listeners += f",SECURE://{self.secure_servers}"
            protocols = ",SECURE:" + ("SASL_SSL" if self.tls else "SASL_PLAINTEXT")
            more = self._security()
        # A broker that was killed is not let in again before its old session has passed: 9 s if nothing is said.
        return f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners={listeners}
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
log.dirs={self.folder / "data"}
auto.create.topics.enable=false
message.max.bytes={32 << 20}
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
log.initial.task.delay.ms=500
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
log.cleaner.backoff.ms=1000
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
{more}"""

    def _security(self) -> str:
        logins = " ".join(f'user_{name}="{word}"' for name, word in self.users.items())
        modules, listener = "org.apache.kafka.common.security", "listener.name.secure"
        keys = (f"{listener}.ssl.keystore.{key}={value}" for key, value in self._keys().items()) if self.tls else ()
        certified = "\n".join(keys)
        return f"""{certified}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
{listener}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required {logins};
{listener}.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;"""

    def _keys(self) -> dict[str, object]:
        """A key of its own, and a certificate that says so."""
        store, password = self.folder / "keys.p12", "of no use without the file"
        tool = (*self._java("-m", "java.base/sun.security.tools.keytool.Main"), "-alias", "kafka", "-keystore", store)
        if not self.certificate.exists():
            names = ("-dname", "CN=localhost", "-ext", "SAN=ip:127.0.0.1,dns:localhost", "-validity", "3650")
            _run(*tool, "-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12", "-storepass", password, *names)
            _run(*tool, "-exportcert", "-rfc", "-storepass", password, "-file", self.certificate)
        return {"type": "PKCS12", "location": store, "password": password}


@dataclass(eq=False)
class _Web(Server):
    """A server that speaks HTTP."""

    @cached_property
    def client(self) -> httpx.Client:
        """A client of its address: past any proxy, and with no connection that outlives the server."""
        return httpx.Client(base_url=self.address, trust_env=False, timeout=30, headers={"Connection": "close"})


@dataclass(eq=False)
class Registry(_Web):
    """Apicurio, which speaks as Confluent's schema registry does. Its schemas stay in the folder."""

    sections = ("registry",)

    @property
    def url(self) -> str:
        """The base of Confluent's interface."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    address = url

    @classmethod
    def fetch(cls) -> list[Path]:
        """Bring the archive and unpack it."""
        [archive] = super().fetch()
        unpacked = archive.with_name(archive.name.removesuffix(".tar.gz"))
        if not unpacked.exists():
            with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
                whole = Path(scratch, "whole")
                whole.mkdir()
                _run("tar", "-xzf", archive, "--no-same-owner", "-C", whole)
                whole.rename(unpacked)
        return sorted(unpacked.glob("*-runner.jar"))

    def command(self) -> Command:
        """Its data is a file of a data base that it brings along."""
        own = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": str(self.port),
            "apicurio.datasource.url": f"jdbc:h2:file:{self.folder / 'data'};WRITE_DELAY=0",
            "apicurio.datasource.jdbc.initial-size": "2",
            "apicurio.datasource.jdbc.min-size": "2",
        }
        settings = (f"-D{key}={value}" for key, value in {**own, **self.settings}.items())
        return self._java(*settings, "-jar", *self.fetch())

    def answers(self) -> bool:
        """Whether it tells its subjects."""
        with suppress(httpx.TransportError):
            return self.client.get("/subjects").is_success
        return False


@dataclass(eq=False)
class Postgres(Server):
    """PostgreSQL of the system, ready for logical replication. It refuses root, and then runs as ``postgres``."""

    ends_by = signal.SIGINT

    def __post_init__(self) -> None:
        super().__post_init__()
        self.home = self._place()

    @property
    def parameters(self) -> dict[str, Any]:
        """What a driver's ``connect`` takes."""
        word = (self.home / "password").read_text()
        return {"host": "127.0.0.1", "port": self.port, "user": "postgres", "password": word, "database": "postgres"}

    @property
    def dsn(self) -> str:
        """The same as one address."""
        return "postgresql://{user}:{password}@{host}:{port}/{database}".format_map(self.parameters)

    address = dsn

    @classmethod
    def fetch(cls) -> list[Path]:
        """The folder of its programs: the newest that Debian's packages installed, or the one on the PATH."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        found += [Path(shutil.which("initdb") or "").resolve()] if not found else []
        if not found[-1].is_file():
            raise SetupError("PostgreSQL is not installed", hint="apt-get install postgresql")
        return [found[-1].parent]

    def command(self) -> Command:
        """Make the cluster where the folder is new."""
        [programs] = self.fetch()
        if not (self.home / "data" / "PG_VERSION").exists():
            password = self.home / "password"
            password.touch(0o600)
            password.write_text(secrets.token_hex(16))
            self._give(password)
            how = ("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
            files = ("-D", self.home / "data", f"--pwfile={password}")
            _run(programs / "initdb", *how, *files, cwd=self.home, **self._user())
        own = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "wal_level": "logical",
            "fsync": "off",  # a process that is killed loses nothing by it; only a machine that falls does
            "timezone": "UTC",
        }
        settings = (f"--{key}={value}" for key, value in {**own, **self.settings}.items())
        return (programs / "postgres", "-D", self.home / "data", *settings)

    def answers(self) -> bool:
        """Whether it takes connections."""
        ready = (self.fetch()[0] / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}")
        return subprocess.run(ready, check=False).returncode == 0

    def _user(self) -> dict[str, Any]:
        return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}

    def _give(self, path: Path) -> None:
        if user := self._user().get("user"):
            shutil.chown(path, user)

    def _place(self) -> Path:
        """The folder of the cluster: below its own, or, where ``postgres`` could not get there, one that it can."""
        link = self.folder / "cluster"
        if not link.exists():
            link.unlink(missing_ok=True)
            if not self._user() or all(parent.stat().st_mode & 0o001 for parent in link.parents):
                link.mkdir(0o700)
            else:
                link.symlink_to(tempfile.mkdtemp(prefix="lakehouse-postgres-", dir="/tmp"))
            self._give(link)
        return link.resolve()


@dataclass(eq=False)
class Connect(_Web):
    """Kafka Connect, standalone, with Debezium's connector for PostgreSQL; values are JSON.

    Attributes:
        kafka: the broker that it writes to.
        schemas: whether each value carries its schema beside its payload.
    """

    kafka: Kafka = field(kw_only=True)
    schemas: bool = field(default=False, kw_only=True)
    sections = ("kafka", "connect")

    @property
    def url(self) -> str:
        """Where connectors are managed."""
        return f"http://127.0.0.1:{self.port}"

    address = url

    @classmethod
    def fetch(cls) -> list[Path]:
        """Its own jars; the connector's are brought beside them."""
        fetched("debezium")
        return super().fetch()

    def command(self) -> Command:
        """A standalone worker forgets its connectors, so those that were added are named to it again."""
        plugin = self.folder / "plugins" / "debezium-postgres"
        shutil.rmtree(plugin, ignore_errors=True)
        plugin.mkdir(parents=True)
        for jar in fetched("debezium"):
            (plugin / jar.name).symlink_to(jar)
        text = f"""
bootstrap.servers={self.kafka.servers}
listeners={self.url}
plugin.path={plugin.parent}
plugin.discovery=service_load
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable={str(self.schemas).lower()}
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable={str(self.schemas).lower()}
offset.storage.file.filename={self.folder / "offsets"}
offset.flush.interval.ms=1000
producer.max.request.size={32 << 20}"""
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        return self._java("-cp", _path(self.fetch()), main, self._properties("worker.properties", text), *self._added())

    def answers(self) -> bool:
        """Whether it and all its connectors run."""
        with suppress(httpx.TransportError):
            return self.client.get("/connectors").is_success and all(self._runs(path.stem) for path in self._added())
        return False

    def stop(self) -> None:
        """Let the connectors note how far they are, then end it: left to itself, its web server now and then hangs."""
        self.resume()
        names = [path.stem for path in self._added() if self.running]
        with suppress(httpx.TransportError):
            for name in names:
                self.client.put(f"/connectors/{name}/stop")
            _wait(lambda: all(len(self._states(name)) == 1 for name in names), 10)
        self.kill()

    def add(self, name: str, config: Mapping[str, str]) -> None:
        """Add a connector, or change it, and wait until it runs.

        Raises:
            SetupError: it was refused, or it failed.
        """
        config = {"topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "1", **config}
        answer = self.client.put(f"/connectors/{name}/config", json=config)
        if not answer.is_success:
            raise SetupError(f"connector {name} was refused: {answer.text}")
        kept = self.folder / "connectors" / f"{name}.json"
        kept.parent.mkdir(0o700, exist_ok=True)
        kept.write_text(json.dumps({"name": name, "config": config}))
        _wait(lambda: self._runs(name) or "FAILED" in self._states(name), self.patience)
        if not self._runs(name):
            said = self.client.get(f"/connectors/{name}/status").text
            raise SetupError(f"connector {name} does not run: {said}")

    def remove(self, name: str) -> None:
        """Take a connector away; its slot and its publication in the data base stay."""
        self.client.delete(f"/connectors/{name}").raise_for_status()
        (self.folder / "connectors" / f"{name}.json").unlink()

    def _added(self) -> list[Path]:
        return sorted((self.folder / "connectors").glob("*.json"))

    def _runs(self, name: str) -> bool:
        states = self._states(name)
        return len(states) > 1 and set(states) == {"RUNNING"}

    def _states(self, name: str) -> list[str]:
        """Those of a connector and of its tasks; none where it is not known yet."""
        answer = self.client.get(f"/connectors/{name}/status")
        status = answer.json() if answer.is_success else {"connector": {}, "tasks": []}
        return [part.get("state", "") for part in (status["connector"], *status["tasks"])]


def debezium(postgres: Postgres, prefix: str, *tables: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The connector that captures tables: what happens in ``public.orders`` goes to ``<prefix>.public.orders``.

    Args:
        postgres: where the tables are.
        prefix: of the topics, and the name of slot and publication: small letters, digits and underscores.
        tables: each with its schema.
        more: settings over these.
    """
    to = postgres.parameters
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": to["host"],
        "database.port": str(to["port"]),
        "database.user": to["user"],
        "database.password": to["password"],
        "database.dbname": to["database"],
        "topic.prefix": prefix,
        "slot.name": prefix,
        "publication.name": prefix,
        "publication.autocreate.mode": "filtered",
        "table.include.list": ",".join(tables),
        "decimal.handling.mode": "string",
        **(more or {}),
    }


@cache
def fetched(section: str) -> list[Path]:
    """The verified files of a section of the lock; those that are missing are downloaded.

    Raises:
        SetupError: there is no Java, or a file could not be had.
    """
    needed, folder = jars.parse(LOCK.read_text(encoding="utf-8"))[section], jars.home() / "streams" / section
    if wrong := tuple(jars.unfit(needed, folder)):
        ivy.fetch(wrong, folder, java=_java(), spark=mend.spark_folder())
    return [folder / jar.file for jar in needed]


@cache
def _java() -> Path:
    return java.find(mend.own_java()).program


def _path(files: Iterable[Path]) -> str:
    return os.pathsep.join(map(str, files))


def _born(pid: int) -> str | None:
    """When a process began, by the kernel's count; None where it is not there, or has ended with all its threads."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return None
    return None if state in "ZX" and threads <= 1 else rest[18]


def _signal(sent: signal.Signals, pids: Iterable[int | None]) -> None:
    for pid in filter(None, pids):
        with suppress(ProcessLookupError):
            os.kill(pid, sent)


def _wait(until: Callable[[], bool], seconds: float) -> bool:
    """Whether it came to be so in time."""
    limit = time.monotonic() + seconds
    while not until():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def _run(*command: str | Path, **options: Any) -> None:
    """Run something that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SetupError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stdout}{done.stderr}")


def _free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _free_port() -> int:
    """One of many, at random, so that two who look at the same time do not find the same."""
    return next(port for port in secrets.SystemRandom().sample(PORTS, 1000) if _free(port))


MADE: Mapping[str, Callable[[], Server]] = {
    "kafka": lambda: Kafka(PLACE / "kafka"),
    "registry": lambda: Registry(PLACE / "registry"),
    "postgres": lambda: Postgres(PLACE / "postgres"),
    "connect": lambda: Connect(PLACE / "connect", kafka=Kafka(PLACE / "kafka")),
}


@click.group()
def main() -> None:
    """Real servers on this machine, on loopback, with their data under .streams."""


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(list(MADE)))
def up(names: tuple[str, ...]) -> None:
    """Start them, or those that are named; Connect brings Kafka along."""
    wanted = {*(names or MADE), *(("kafka",) if "connect" in names else ())}
    for name in (name for name in MADE if name in wanted):
        begin, server = time.monotonic(), MADE[name]()
        was = server.running
        try:
            server.start()
        except SetupError as error:
            raise click.ClickException(str(error)) from error
        finally:
            _write_state()
        click.echo(f"{name}: {server.address} " + ("runs" if was else f"started in {time.monotonic() - begin:.1f} s"))


@main.command()
@click.option("--wipe", is_flag=True, help="Remove what they kept, too.")
def down(*, wipe: bool) -> None:
    """End all of them."""
    for name, server in reversed(_there().items()):
        server.stop()
        if wipe:
            server.wipe()
        click.echo(f"{name}: {'wiped' if wipe else 'ended'}")
    _write_state()


@main.command()
def status() -> None:
    """Which of them run, and where."""
    for name, server in _there().items():
        click.echo(f"{name}: {server.address} " + (f"runs as process {server.pid}" if server.running else "is down"))


def _there() -> dict[str, Server]:
    return {name: made() for name, made in MADE.items() if (PLACE / name).exists()}


def _write_state() -> None:
    """For programs: what runs, and where. It holds a password, and so it is one's own."""
    running = {name: server for name, server in _there().items() if server.running}
    state = {name: {"pid": server.pid, "address": server.address} for name, server in running.items()}
    PLACE.mkdir(exist_ok=True)
    (PLACE / "state.json").touch(0o600)
    (PLACE / "state.json").write_text(json.dumps(state, indent=2) + "\n")


if __name__ == "__main__":
    main()
