"""Faults are tried one after the other, those of a mode in one arena."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from scripts.streams import Kafka
from tests.faults.arena import Arena
from tests.faults.faults import PAIRS, Fault

QUIET = {"log_level": 2}


@contextlib.contextmanager
def arena(folder: Path, mode: str, seed: int, read: Callable[..., Any]) -> Iterator[Arena]:
    """The arena of a mode, with a broker of its own where it needs one."""
    made = Arena(folder / mode, mode, seed, read)
    made.folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        stack.callback(made.close)
        if mode == "kafka":
            made.broker = stack.enter_context(Kafka(folder / "broker"))
        made.build(_topic(made.broker) if made.broker else None)
        yield made


def _topic(broker: Kafka) -> Callable[[Sequence[str]], str]:
    """Make a topic of one partition; what it gives sends lines to it."""
    admin = AdminClient({"bootstrap.servers": broker.servers, **QUIET})
    admin.create_topics([NewTopic("events", num_partitions=1, replication_factor=1)])["events"].result(30)

    def produce(lines: Sequence[str]) -> str:
        producer = Producer({"bootstrap.servers": broker.servers, **QUIET})
        for line in lines:
            producer.produce("events", line.encode())
        if producer.flush(30):
            raise TimeoutError("messages were not delivered")
        return "events"

    return produce


def tried(fault: Fault, place: Arena) -> Exception | None:
    """Why a fault does not end in the table that nothing had happened to; None where it does."""
    try:
        fault.play(place)
    except Exception as error:
        return error
    return None


def play(
    names: Sequence[str], seed: int, folder: Path, read: Callable[..., Any]
) -> Iterator[tuple[str, float, Exception | None]]:
    """Try pairs by their names, in a random order; what each took, and why it did not converge."""
    chance = random.Random(seed)
    order = chance.sample(names, len(names))
    modes = dict.fromkeys(PAIRS[name][1] for name in order)
    for mode in modes:
        own = [PAIRS[name][0] for name in order if PAIRS[name][1] == mode]
        possible = [fault for fault in own if not fault.needs or fault.needs.exists()]
        for fault in own:
            if fault not in possible:
                print(f"skipped {mode}: {fault.name}: there is no {fault.needs}")
        with arena(folder, mode, seed, read) as place:
            for fault in possible:
                began = time.monotonic()
                wrong = tried(fault, place)
                yield f"{mode}: {fault.name}", time.monotonic() - began, wrong
