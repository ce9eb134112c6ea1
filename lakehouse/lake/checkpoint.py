"""What a streaming checkpoint says: whose it is, and what each batch read."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from lakehouse.errors import CheckpointError
from lakehouse.lake.storage import list_files, local, plain_path, read_lines, write_text

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Checkpoint:
    """The folder in which Structured Streaming keeps a job's progress.

    Spark's own files there are read, never written: ``metadata`` (the checkpoint's id), ``offsets/N`` (what batch N
    reads) and ``sources/0`` (which files); their form has been the same since Spark 2.
    """

    path: str
    of: str = ""
    """What its id begins with, where batches of another kind than the job's own are to be known by it."""

    def id(self, spark: SparkSession) -> str | None:
        """The checkpoint's own id, new with every new checkpoint; None before the first run.

        Raises:
            CheckpointError: the file that holds it is damaged.
        """
        lines = read_lines(spark, f"{self.path}/metadata")
        if lines is None:
            return None
        try:
            return f"{self.of}{json.loads(lines[0])['id']}"
        except (ValueError, LookupError):
            message = f"{self.path}/metadata is damaged"
            raise CheckpointError(message, hint="`lakehouse recover` makes the checkpoint anew") from None

    def claim(self, spark: SparkSession, owner: dict[str, str]) -> None:
        """Make the checkpoint the owner's, or hold the owner against the one it has.

        Raises:
            CheckpointError: it belongs to another job, source or target.
        """
        lines = read_lines(spark, f"{self.path}/owner.json")
        if not self.id(spark):
            # no query has begun it: whatever an earlier run was refused for may have been corrected since
            write_text(spark, f"{self.path}/owner.json", json.dumps(owner))
            return
        if lines is None:
            message = f"{self.path} is a checkpoint that this library did not make"
            raise CheckpointError(message, hint="move it away; the job then reads its source from the start")
        found = json.loads(lines[0])
        different = [
            f"{key} is {found.get(key)}, not {value}" for key, value in owner.items() if found.get(key) != value
        ]
        if different:
            message = f"{self.path} belongs to another job or source: {'; '.join(different)}"
            hint = "undo the change, or rebuild the target from the start with --full-refresh"
            raise CheckpointError(message, hint=hint)

    def owner(self, spark: SparkSession) -> dict[str, str]:
        """Whose it is; empty before it is anybody's."""
        lines = read_lines(spark, f"{self.path}/owner.json")
        return dict(json.loads(lines[0])) if lines else {}

    def wrote(self, spark: SparkSession) -> bool:
        """Whether a batch of this checkpoint ever made a commit to the target."""
        return read_lines(spark, f"{self.path}/wrote") is not None

    def has_written(self, spark: SparkSession) -> None:
        """Note that a batch made a commit to the target."""
        write_text(spark, f"{self.path}/wrote", "the target has a commit of this checkpoint")

    def mark(self, spark: SparkSession) -> dict[str, Any]:
        """The mark of the target's commit that was the job's newest after its last run; empty where none is known."""
        lines = read_lines(spark, f"{self.path}/reached.json")
        # one that is torn is none: it is no more than a second look
        with suppress(ValueError, LookupError):
            return dict(json.loads(lines[0])) if lines else {}
        return {}

    def has_reached(self, spark: SparkSession, mark: dict[str, Any]) -> None:
        """Note the mark of the job's newest commit."""
        write_text(spark, f"{self.path}/reached.json", json.dumps(mark))

    def recorded(self, spark: SparkSession) -> int:
        """The newest batch that the ledger was told of; -1 where it never was."""
        lines = read_lines(spark, f"{self.path}/recorded")
        return int(lines[0]) if lines else -1

    def has_recorded(self, spark: SparkSession, batch: int) -> None:
        """Note that the ledger was told of all batches up to this one."""
        write_text(spark, f"{self.path}/recorded", str(batch))

    def archived(self, spark: SparkSession) -> int:
        """The newest batch whose files were moved away; -1 where none were."""
        lines = read_lines(spark, f"{self.path}/archived")
        return int(lines[0]) if lines else -1

    def has_archived(self, spark: SparkSession, batch: int) -> None:
        """Note that the files of all batches up to this one were moved away."""
        write_text(spark, f"{self.path}/archived", str(batch))

    def grown(self, spark: SparkSession) -> dict[str, int]:
        """Files that were read, and not as Spark noted them or not noted by it: path to the time that was read."""
        lines = read_lines(spark, f"{self.path}/grown.json")
        return dict(json.loads(lines[0])) if lines else {}

    def has_grown(self, spark: SparkSession, files: dict[str, int]) -> None:
        """Note such files, beside those that were noted before."""
        write_text(spark, f"{self.path}/grown.json", json.dumps({**self.grown(spark), **files}))

    def digests(self, spark: SparkSession) -> dict[str, str]:
        """What files held when they were read: path to digest, for files of this machine."""
        lines = read_lines(spark, f"{self.path}/digests") or []
        found: dict[str, str] = {}
        for line in lines:
            found.update(json.loads(line))
        return found

    def has_digests(self, spark: SparkSession, batch: int, digests: dict[str, str]) -> None:
        """Note what the files of a batch held, in a file of its own: what that costs follows the batch."""
        if digests:
            write_text(spark, f"{self.path}/digests/{batch:012}", json.dumps(digests))

    def topics(self, spark: SparkSession) -> dict[str, str]:
        """The topics that are read, each with its own id; none where they were never noted."""
        lines = read_lines(spark, f"{self.path}/topics.json")
        return dict(json.loads(lines[0])) if lines else {}

    def has_topics(self, spark: SparkSession, topics: dict[str, str]) -> None:
        """Note the ids of the topics."""
        write_text(spark, f"{self.path}/topics.json", json.dumps(topics))

    def offset(self, spark: SparkSession, batch: int) -> dict[str, Any]:
        """Where the batch ends in its source; empty where nothing is known."""
        lines = read_lines(spark, f"{self.path}/offsets/{batch}") or []
        return dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}

    def watermark(self, spark: SparkSession, batch: int) -> int:
        """The watermark in ms since 1970 that Spark noted for a batch before it ran it; 0 before the first."""
        lines = read_lines(spark, f"{self.path}/offsets/{batch}") or []
        return int(json.loads(lines[1])["batchWatermarkMs"]) if len(lines) > 1 else 0

    def begun_at(self, spark: SparkSession, batch: int) -> datetime | None:
        """When Spark first began a batch, which it takes for the time in every attempt; None where nothing is known."""
        lines = read_lines(spark, f"{self.path}/offsets/{batch}") or []
        found = json.loads(lines[1]).get("batchTimestampMs") if len(lines) > 1 else None
        return datetime.fromtimestamp(found / 1000, UTC) if found else None

    def is_read_once(self, spark: SparkSession, batch: int) -> bool:
        """Whether the batch reads its source up to one place, also where its plan names the source several times."""
        return len(set((read_lines(spark, f"{self.path}/offsets/{batch}") or [])[2:])) <= 1

    def last_offset(self, spark: SparkSession) -> dict[str, Any]:
        """Where the newest batch ends in its source; empty before the first."""
        newest = self._newest(spark, "offsets")
        return {} if newest is None else self.offset(spark, newest)

    def committed_offset(self, spark: SparkSession) -> dict[str, Any]:
        """Where the newest batch ends that was done with; empty before the first."""
        newest = self._newest(spark, "commits")
        return {} if newest is None else self.offset(spark, newest)

    def move(self, spark: SparkSession, batch: int, offset: dict[str, Any]) -> None:
        """Let a batch end elsewhere in its source; one that is not there yet is begun, as the one before it was."""
        own = f"{self.path}/offsets/{batch}"
        lines = read_lines(spark, own) or read_lines(spark, f"{self.path}/offsets/{batch - 1}") or []
        text = json.dumps(offset, separators=(",", ":"))
        place = local(f"{self.path}/offsets/.{batch}.crc")
        if place is not None:
            # the sums of what was there; Hadoop asks for none
            place.unlink(missing_ok=True)
        write_text(spark, own, "\n".join([*lines[:2], *(text for _ in lines[2:])]))

    def newest_done(self, spark: SparkSession) -> int | None:
        """The newest batch that was done with; None before the first."""
        return self._newest(spark, "commits")

    def pending(self, spark: SparkSession) -> int | None:
        """The batch that was begun and not ended, which the next query runs again; None where there is none."""
        begun, ended = self._newest(spark, "offsets"), self._newest(spark, "commits")
        return begun if begun is not None and begun != ended else None

    def _newest(self, spark: SparkSession, folder: str) -> int | None:
        if self.id(spark) is None:
            return None
        try:
            files = list_files(spark, f"{self.path}/{folder}", "*")
        except FileNotFoundError:
            return None
        numbers = [PurePath(file.path).name for file in files]
        return max((int(number) for number in numbers if number.isdigit()), default=None)

    def files(self, spark: SparkSession) -> dict[str, tuple[int, int]]:
        """Every file that was ever taken up: path to (modification time in ms, number of its log entry)."""
        lines = read_lines(spark, f"{self.path}/sources/0") or []
        found = (json.loads(line) for line in lines if line.startswith("{"))
        return {plain_path(entry["path"], encoded=True): (entry["timestamp"], entry["batchId"]) for entry in found}

    def files_of(self, spark: SparkSession, batch: int) -> dict[str, int]:
        """The files of one batch, also those that Spark passes over: path to modification time in ms."""
        end = self.offset(spark, batch).get("logOffset", -1)
        start = self.offset(spark, batch - 1).get("logOffset", -1) if batch else -1
        return {path: modified for path, (modified, entry) in self.files(spark).items() if start < entry <= end}
