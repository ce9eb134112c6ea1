"""A job: what is read, and where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from lakehouse.spec.base import FieldError, JobName, Spec
from lakehouse.spec.event_time import Duration
from lakehouse.spec.expression import ReferenceCheck, UniqueCheck, asks_time
from lakehouse.spec.failures import Breaker, Retry
from lakehouse.spec.files import FilesSource
from lakehouse.spec.kafka import KafkaSource
from lakehouse.spec.reference import ParameterText
from lakehouse.spec.source import Source, TableSource
from lakehouse.spec.write import Write

if TYPE_CHECKING:
    from lakehouse.spec.contract import Contract

SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

Trigger = Annotated[
    str,
    StringConstraints(
        pattern=r"^(available_now|as_fast_as_possible|[1-9][0-9]{0,5} (millisecond|second|minute|hour)s?)$"
    ),
]
"""When a batch is begun: what is there now and no more, back to back, or at an interval such as ``10 seconds``."""


class Job(Spec):
    """One job: ``conf/<job>.yaml``, and ``jobs/<job>.py`` where it has logic of its own.

    The names of the sources are the parameters of ``transform()``.
    """

    job: JobName
    about: Annotated[str, Field(description="What one row of the target is; becomes the table's comment.")]
    owner: str = ""
    params: Annotated[
        dict[str, ParameterText], Field(description="Values for ${param:NAME}; --param NAME=VALUE overrides.")
    ] = {}
    trigger: Annotated[
        Trigger, Field(description="available_now ends when nothing is left; the others run until they are stopped.")
    ] = "available_now"
    sla: Annotated[
        Duration | None,
        Field(description="How long a run may take, such as 30 minutes; ops.quality has those that took longer."),
    ] = None
    retry: Annotated[Retry, Field(description="Of what may succeed with nothing changed by hand.")] = Retry()
    breaker: Annotated[Breaker, Field(description="When the job is held until `lakehouse resume`.")] = Breaker()
    sources: Annotated[dict[SourceName, Source], Field(min_length=1)]
    write: Write

    @model_validator(mode="after")
    def _at_most_one_stream(self) -> Job:
        streams = [name for name, source in self.sources.items() if source.stream]
        if len(streams) > 1:
            message = f"at most one source can be incremental, found {', '.join(streams)}: read the others as tables"
            raise FieldError(message, "sources", streams[1])
        return self

    @model_validator(mode="after")
    def _contracts_judge_what_arrives(self) -> Job:
        for name, source in self.statics.items():
            if source.contract:
                message = "a contract belongs to the incremental source: this one is joined as it is"
                raise FieldError(message, "sources", name, "contract")
        return self

    @model_validator(mode="after")
    def _the_mode_fits_the_sources(self) -> Job:
        if self.write.mode == "append" and not self.is_incremental:
            message = "append needs an incremental source: without one every run would add all rows again"
            raise FieldError(message, "write", "mode")
        if self.write.mode == "overwrite" and self.is_incremental:
            message = "overwrite needs all there is: an incremental source brings what is new, a batch at a time"
            raise FieldError(message, "write", "mode")
        return self

    @model_validator(mode="after")
    def _the_trigger_fits_the_sources(self) -> Job:
        if self.trigger != "available_now" and not self.is_incremental:
            message = "without an incremental source there is nothing to wait for: leave it out"
            raise FieldError(message, "trigger")
        if self.sla and self.trigger != "available_now":
            message = f"{self.trigger} never ends: freshness in write.contract says how old its table may be"
            raise FieldError(message, "sla")
        for name, source in self.sources.items():
            if isinstance(source, FilesSource) and source.ready_by and self.trigger != "available_now":
                message = "markers are looked for when a run begins: its trigger is available_now"
                raise FieldError(message, "sources", name, "ready_by")
            if (
                isinstance(source, KafkaSource)
                and source.ending_offsets != "latest"
                and self.trigger != "available_now"
            ):
                message = f"{self.trigger} never ends, and sources.{name}.ending_offsets says where it does"
                raise FieldError(message, "trigger")
        return self

    @model_validator(mode="after")
    def _the_mode_fits_the_state(self) -> Job:
        mode = self.write.mode
        if self.windows and mode not in ("append", "scd1"):
            message = "windows are appended (each once, when its time is over) or kept by scd1 (each as it is so far)"
            raise FieldError(message, "write", "mode")
        if self.is_stateful and mode == "snapshot":
            message = "a snapshot is whole: what dedupe or the watermark left out of it would be deleted"
            raise FieldError(message, "write", "mode")
        return self

    @model_validator(mode="after")
    def _rules_look_where_they_can(self) -> Job:
        for at, contract in self.contracts.items():
            for index, rule in enumerate(contract.rules):
                asks = rule.asks
                if isinstance(asks, UniqueCheck) and asks.in_table:
                    self._one_row_of_a_record((*at, "rules", index, "check"))
                if isinstance(asks, ReferenceCheck) and asks.table == self.write.table:
                    message = f"{asks.table} is the table that is written: a row of this very batch is not there yet"
                    raise FieldError(message, *at, "rules", index, "check")
        return self

    def _one_row_of_a_record(self, at: tuple[str | int, ...]) -> None:
        """A row of the table can be another one only where each record has one row there, and the batch comes to it."""
        if at[0] != "write":
            message = "'over table' is for the rows that are written: say it in write.contract"
            raise FieldError(message, *at)
        if self.write.mode not in ("append", "scd1"):
            message = f"'over table' is for append and scd1: {self.write.mode} keeps a record in several rows, or anew"
            raise FieldError(message, *at)

    @property
    def contracts(self) -> dict[tuple[str, ...], Contract]:
        """Every contract of the job, by where it stands."""
        found: dict[tuple[str, ...], Contract | None] = {
            ("sources", name, "contract"): source.contract for name, source in self.sources.items()
        }
        found["write", "contract"] = self.write.contract
        return {at: contract for at, contract in found.items() if contract}

    @property
    def asks_time(self) -> bool:
        """Whether a rule asks what time it is."""
        rules = [rule for contract in self.contracts.values() for rule in contract.rules]
        return any(asks_time(text) for rule in rules for text in (rule.check, rule.where) if text)

    @property
    def references(self) -> list[str]:
        """The tables that rules look into, each at a version fixed for the batch."""
        return sorted({table for contract in self.contracts.values() for table in contract.references})

    @property
    def reads_as_it_is(self) -> frozenset[str]:
        """The tables that are read at a version fixed for the batch: static sources, and those that rules look into."""
        return frozenset([*(one.table for one in self.statics.values()), *self.references])

    @property
    def is_stateful(self) -> bool:
        """Whether something of a batch is held for those that follow."""
        return any(isinstance(source, TableSource) and source.is_stateful for source in self.sources.values())

    @property
    def windows(self) -> bool:
        """Whether ``transform`` is given windows, and not the rows that came."""
        return any(isinstance(source, TableSource) and source.window for source in self.sources.values())

    @property
    def output_mode(self) -> Literal["append", "update"]:
        """When a window is handed on: once its time is over, or with every batch that changed it."""
        return "update" if self.windows and self.write.mode == "scd1" else "append"

    @property
    def is_incremental(self) -> bool:
        """Whether one of the sources is read incrementally."""
        return any(source.stream for source in self.sources.values())

    @property
    def stream(self) -> tuple[str, FilesSource | KafkaSource | TableSource]:
        """The incremental source and its name; only for a job that has one."""
        return next((name, source) for name, source in self.sources.items() if source.stream)

    @property
    def statics(self) -> dict[str, TableSource]:
        """The sources read as they are, at a version fixed for the batch."""
        return {
            name: source
            for name, source in self.sources.items()
            if isinstance(source, TableSource) and not source.stream
        }
