"""Produce order events at a steady rate, each with the time at which it was made.

python -m streaming.produce SERVERS TOPIC RATE SECONDS [KEYS]; a rate of 0 is as fast as can be, SECONDS then a count.
"""

from __future__ import annotations

import random
import sys
import time

from confluent_kafka import Producer

STATUSES = ("new", "paid", "packed", "sent", "returned")


def message(number: int, keys: int, chance: random.Random) -> bytes:
    """One event of some 150 bytes."""
    status = STATUSES[number % 5]
    amount = f"{chance.randrange(100, 100_000) / 100:.2f}"
    order = chance.randrange(keys)
    made = time.time_ns() // 1000
    return (
        f'{{"event_id":{number},"order_id":{order},"status":"{status}","amount":{amount},'
        f'"customer":"customer-{order % 5000}","made_us":{made}}}'
    ).encode()


def main() -> None:
    """Print how many were produced, and how long it took."""
    servers, topic, rate, seconds, *rest = sys.argv[1:]
    keys = int(rest[0]) if rest else 100_000
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 2, "queue.buffering.max.messages": 1_000_000})
    chance, begin, number = random.Random(7), time.perf_counter(), 0  # noqa: S311 -- of a benchmark
    total = int(seconds) if rate == "0" else int(float(rate) * float(seconds))
    while number < total:
        due = total if rate == "0" else min(total, int((time.perf_counter() - begin) * float(rate)) + 1)
        while number < due:
            try:
                producer.produce(topic, message(number, keys, chance))
                number += 1
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
        if rate != "0":
            time.sleep(0.002)
    producer.flush()
    print(number, round(time.perf_counter() - begin, 3))


if __name__ == "__main__":
    main()
