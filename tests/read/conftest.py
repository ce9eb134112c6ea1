"""What the tests of the read share: files in a folder, and what became of their records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from lakehouse.lake.storage import list_files
from lakehouse.read.files import read_files
from lakehouse.spec.files import FilesSource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Found:
    """What a folder brought: the rows, per file (by its name) the good values and the bad records, and the bad files."""

    frame: DataFrame
    good: dict[str, list[dict[str, Any]]]
    bad: dict[str, list[tuple[str, str | None]]]
    files: dict[str, str]
    messages: dict[str, str]


@pytest.fixture
def read(spark: SparkSession, tmp_path: Path) -> Callable[..., Found]:
    """Put files into a new folder and read it: ``read({"a.csv": "id\\n1\\n"}, csv=...)``; NULL values are left out."""

    def run(files: dict[str, str | bytes], **options: Any) -> Found:
        folder = tmp_path / f"landing{len(list(tmp_path.iterdir()))}"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        source = FilesSource(kind="files", path=str(folder), **options)
        arrived = read_files(spark, list_files(spark, str(folder), "*"), source, run_id="r", now=NOW)
        good: dict[str, list[dict[str, Any]]] = {}
        bad: dict[str, list[tuple[str, str | None]]] = {}
        rows = sorted(arrived.rows.collect(), key=lambda row: (row["_source"].file, row["_source"].position))
        ordinals: dict[str, list[int]] = {}
        for row in rows:
            name = str(Path(row["_source"].file).relative_to(folder))
            ordinals.setdefault(name, []).append(row["_source"].position)
            if row["__code"]:
                bad.setdefault(name, []).append((row["__code"], row["__raw"]))
            else:
                assert row["__raw"] is row["__message"] is None
                values = {key: value for key, value in row.asDict().items() if not key.startswith("_") or key[1] == "c"}
                good.setdefault(name, []).append({key: value for key, value in values.items() if value is not None})
        # every record has its own ordinal, from 1 and without a gap
        assert all(found == list(range(1, len(found) + 1)) for found in ordinals.values())
        broken = {str(Path(file.file).relative_to(folder)): file for file in arrived.bad_files}
        assert len(broken) == len(arrived.bad_files)
        codes = {name: file.code for name, file in broken.items()}
        return Found(arrived.rows, good, bad, codes, {name: file.message for name, file in broken.items()})

    return run


Reply = Callable[[BaseHTTPRequestHandler], None]


class FakeRegistry:
    """A server that answers as a schema registry does, or as it is told to.

    ``schemas`` are those that it has by their ids; ``replies`` by path: a body, or a function that is given the
    request. ``asked`` are the paths that it was asked for.
    """

    def __init__(self) -> None:
        """Begin to answer."""
        self.schemas: dict[int, Any] = {}
        self.replies: dict[str, Any] = {}
        self.asked: list[str] = []
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.asked.append(request.path)
        reply = self.replies.get(request.path)
        if callable(reply):
            reply(request)
            return
        if reply is None and request.path.startswith("/schemas/ids/"):
            schema = self.schemas.get(int(request.path.rpartition("/")[2]))
            reply = {"schema": json.dumps(schema)} if schema else None
        status = 200 if reply else 404
        body = json.dumps(reply or {"error_code": 40403, "message": "Schema not found"}).encode()
        self.send(request, body, status)

    @staticmethod
    def send(request: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
        """Send a body as it is."""
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def fake_registry() -> Iterator[FakeRegistry]:
    """A registry of its own for each test, since what was once asked of one is known."""
    server = FakeRegistry()
    yield server
    server.close()
