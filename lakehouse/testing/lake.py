"""A lake in a folder, with what a test does to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError
from lakehouse.lake.place import Lake
from lakehouse.lake.table import head, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.runtime.result import RunResult


@dataclass(frozen=True)
class LocalLake:
    """A lake of a test's own: put tables and files in, run jobs of a project, look at what came out.

    ``project`` is the folder that holds ``conf/`` and ``jobs/``; the jobs run in ``folder`` whatever their environment
    says. Files of a landing zone go below ``landing``, which a job reaches by ``${param:landing}``.
    """

    spark: SparkSession
    folder: Path
    project: Path

    @property
    def landing(self) -> Path:
        """Where ``land`` puts files."""
        return self.folder / "landing"

    def land(self, name: str, content: str | bytes) -> Path:
        """Write a file of the landing zone, such as ``orders/day1.csv``."""
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def put(self, table: str, schema: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Append rows to a table (``schema.table``), which is made where it is not there."""
        frame = self.spark.createDataFrame(list(rows), schema)
        frame.coalesce(1).write.format("delta").mode("append").option("mergeSchema", "true").save(self._path(table))

    def run(
        self,
        job: str,
        *,
        params: Mapping[str, str] | None = None,
        transform: Callable[..., DataFrame] | None = None,
        full_refresh: bool = False,
    ) -> RunResult:
        """Run a job of the project in this lake; whatever its trigger says, it ends when nothing is left.

        Raises:
            LakehouseError: as the job's run would.
        """
        from lakehouse.runtime.runner import execute
        from lakehouse.runtime.workplace import prepare

        work = prepare(
            job,
            lake=str(self.folder),
            params=self._wanted(job, params),
            transform=transform,
            trigger="available_now",
            root=self.project,
        )
        result = execute(work, spark=self.spark, full_refresh=full_refresh)
        if result.error:
            raise result.error
        return result

    def transform(self, job: str, *, params: Mapping[str, str] | None = None) -> Callable[..., DataFrame]:
        """What a job makes of frames, to be called with one for each source; the same for Python and for SQL.

        Raises:
            ConfigError: the job cannot be run as written, or has no logic of its own.
        """
        from lakehouse.runtime.workplace import prepare

        code = prepare(job, lake=str(self.folder), params=self._wanted(job, params), root=self.project).transform
        if code is None:
            message = f"{job} has no logic of its own: neither jobs/{job}.py nor jobs/{job}.sql"
            raise ConfigError(message)
        return code

    def frame(self, table: str) -> DataFrame:
        """A table as it is now."""
        return read_table(self.spark, Lake(str(self.folder)).table(table))

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The rows of a table, sorted; all columns, or these in this order."""
        frame = self.frame(table)
        chosen = frame.select(*columns) if columns else frame
        return sorted((tuple(row) for row in chosen.collect()), key=repr)

    def version(self, table: str) -> int | None:
        """The table's newest version; None where there is no such table."""
        newest = head(self.spark, Lake(str(self.folder)).table(table))
        return newest.version if newest else None

    def _path(self, table: str) -> str:
        return Lake(str(self.folder)).table(table).path

    def _wanted(self, job: str, given: Mapping[str, str] | None) -> dict[str, str]:
        asked = {"landing": str(self.landing), **(given or {})}
        return {name: value for name, value in asked.items() if name in {*self._parameters(job), *(given or {})}}

    def _parameters(self, job: str) -> set[str]:
        from lakehouse.spec.project import Project

        project = Project(self.project)
        return {*project.env().params, *project.job(job).params}
