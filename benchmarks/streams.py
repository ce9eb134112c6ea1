"""How fresh a table is that a Kafka topic is written into, and how much it takes: our jobs beside the bare stream.

The producer, the stream and the poller are processes of their own; an event says in its payload when it was made. Its
latency ends where a poller sees the first Delta version that holds it. Ends stdout with one line of JSON:
{"targets": [{"name", "value", "target", "met"}]}.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from streaming.arena import LAST, STARTED, WARM_UP, Place, ended, polled

from scripts.streams import Kafka


def steady(place: Place, contender: str, rate: int, seconds: int, number: int) -> dict[str, float]:
    """Latencies under a steady rate, after a warm-up; milliseconds, and versions a second."""
    topic = f"steady-{contender}-{rate}-{number}"
    place.topic(topic)
    process, table = place.stream(contender, topic, "as_fast_as_possible")
    with polled(table) as seen:
        producer = place.produce(topic, rate, 3600)
        while len(seen.versions) < STARTED and process.poll() is None:
            time.sleep(0.1)
        time.sleep(WARM_UP)
        begin = time.time()
        time.sleep(seconds)
        producer.kill()
        producer.wait()
        time.sleep(LAST)
        ended(process)
        latencies = seen.latencies(begin, begin + seconds)
        versions = sum(begin <= at < begin + seconds for at in seen.versions.values())
    cut = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [float("nan")] * 99
    return {
        "rows": len(latencies),
        "p50": round(cut[49] * 1000),
        "p99": round(cut[98] * 1000),
        "max": round(max(latencies, default=float("nan")) * 1000),
        "batches": round(versions / seconds, 2),
    }


def most(place: Place, contender: str, messages: int, number: int) -> float:
    """Messages a second of a pile-up: from the first commit that holds rows to the last."""
    topic = f"most-{number}"
    if contender == "bare":
        place.topic(topic)
        place.produce(topic, 0, messages).wait()
    process, table = place.stream(contender, topic, "available_now")
    begin = time.time()
    with polled(table) as seen:
        process.wait()
    counts = {}
    for version, at in seen.versions.items():
        lines = (table / "_delta_log" / f"{version:020d}.json").read_text().splitlines()
        added = [json.loads(line)["add"] for line in lines if line.startswith('{"add"')]
        counts[at] = sum(json.loads(one["stats"])["numRecords"] for one in added)
    times = sorted(at for at, count in counts.items() if count)
    after_first = sum(counts[at] for at in times[1:])
    print(f"  {contender}: {sum(counts.values()):,} in {time.time() - begin:.1f} s", file=sys.stderr)
    return after_first / (times[-1] - times[0])


@click.command()
@click.option("--rate", "rates", type=int, multiple=True, default=(1000, 10_000), help="Messages a second.")
@click.option("--seconds", default=60, help="How long each is measured, after a warm-up.")
@click.option("--messages", default=2_000_000, help="Of the pile-up; 0 leaves it out.")
@click.option("--contender", "contenders", multiple=True, default=("bare", "append", "scd1"))
@click.option("--rounds", default=1, help="How often each is measured, in turn.")
@click.option("--keep", is_flag=True, help="Leave the folder there.")
def main(
    rates: Sequence[int],
    seconds: int,
    messages: int,
    contenders: Sequence[str],
    rounds: int,
    *,
    keep: bool,
) -> None:
    """Measure, and say which targets are met."""
    folder = Path(tempfile.mkdtemp(prefix="streams-"))
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    rate_of: dict[str, list[float]] = {}
    try:
        with Kafka(folder / "kafka") as kafka:
            place = Place(folder, kafka)
            for number in range(rounds):
                for rate in rates:
                    for contender in contenders:
                        if contender == "scd1" and rate != min(rates):
                            continue
                        score = steady(place, contender, rate, seconds, number)
                        found.setdefault(f"{rate}/s", {}).setdefault(contender, []).append(score)
                        print(f"{rate:>6}/s {contender:<7} {score}", file=sys.stderr, flush=True)
                for contender in contenders if messages else ():
                    if contender != "scd1":
                        rate_of.setdefault(contender, []).append(most(place, contender, messages, number))
                        print(f"most     {contender:<7} {rate_of[contender][-1]:,.0f}/s", file=sys.stderr, flush=True)
    finally:
        if keep:
            print(folder, file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"latency": found, "most": rate_of, "targets": targets(found, rate_of)}))


def targets(
    found: dict[str, dict[str, list[dict[str, float]]]], rate_of: dict[str, list[float]]
) -> list[dict[str, object]]:
    """The ratios that count, of the medians of the rounds."""

    def ratio(rate: str, one: str, other: str, figure: str) -> float:
        pairs = zip(found[rate][one], found[rate][other], strict=True)
        return statistics.median(first[figure] / second[figure] for first, second in pairs)

    reached: list[tuple[str, float, float]] = []
    for rate, scores in found.items():
        if {"bare", "append"} <= scores.keys():
            for figure in ("p50", "p99"):
                name = f"append at {rate}: {figure} against the bare stream"
                reached.append((name, ratio(rate, "append", "bare", figure), 1.2))
        if {"append", "scd1"} <= scores.keys():
            reached.append((f"scd1 at {rate}: p99 against append", ratio(rate, "scd1", "append", "p99"), 3.0))
    shown: list[dict[str, object]] = [
        {"name": name, "value": round(value, 2), "target": most, "met": value <= most} for name, value, most in reached
    ]
    if {"bare", "append"} <= rate_of.keys():
        pairs = zip(rate_of["append"], rate_of["bare"], strict=True)
        value, least = statistics.median(ours / bare for ours, bare in pairs), 0.9
        name = "throughput against the bare stream"
        shown.append({"name": name, "value": round(value, 2), "target": least, "met": value >= least})
    return shown


if __name__ == "__main__":
    main()
