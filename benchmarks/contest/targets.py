"""What was to be reached, and whether it was."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contest.arena import Score

if TYPE_CHECKING:
    from contest.workloads import Workload

Scores = Mapping[str, Mapping[str, Score]]
"""By workload, then by contender."""


@dataclass(frozen=True)
class Target:
    """A figure, and what it shall be at the least or at the most; None where there is no score to make it of."""

    name: str
    value: float | None
    target: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        if self.value is None:
            return False
        return self.value >= self.target if self.at_least else self.value <= self.target

    def shown(self) -> dict[str, object]:
        """As the last line of stdout has it."""
        value = None if self.value is None else round(self.value, 3)
        return {"name": self.name, "value": value, "target": self.target, "met": self.met}


RATIOS = (
    ("scattered_1", "naive", 5.0),
    ("scattered_1", "koheesio", 5.0),
    ("scattered_1", "tuned", 1.5),
    ("scattered_1", "deltalake", 1.0),
    ("clustered_1", "naive", 1.4),
    ("clustered_0.1", "naive", 3.0),
    ("scd2_one", "naive", 1.5),
    ("scd2_one", "koheesio", 1.5),
)
"""Workload, peer, and how many times as long as ours the peer shall take at the least."""


def p50(score: Score | None) -> float | None:
    """The median of the rounds; None where there is no score."""
    return statistics.median(score.seconds) if score and score.counts else None


def targets(scores: Scores, chosen: Sequence[Workload], names: Sequence[str]) -> list[Target]:
    """All that these workloads and contenders can say something about."""
    known = {one.name for one in chosen}
    found = []
    for workload, peer, least in RATIOS:
        if workload in known and {peer, "ours_write"} <= set(names):
            value = _ratio(_of(scores, workload, peer), _of(scores, workload, "ours_write"))
            found.append(Target(f"{workload}: time of {peer} / ours", value, least, at_least=True))
    if "ours_write" in names:
        if "replay" in known:
            found += _replay(scores["replay"].get("ours_write"))
        if "unchanged" in known:
            found += _unchanged(scores["unchanged"], names)
        found += _growth(scores, chosen)
        if "micro" in known:
            found.append(Target("micro: last ten batches / first ten", slope(scores["micro"].get("ours_write")), 1.2))
        if "ours_run" in names:
            found += _run(scores, chosen)
    return found


def _growth(scores: Scores, chosen: Sequence[Workload]) -> list[Target]:
    sizes = {one.rows: one.name for one in chosen if one.name.startswith("growth_")}
    times = {size: _of(scores, name, "ours_write") for size, name in sizes.items()}
    return [Target("growth of time with the table, exponent", exponent(times), 0.2)] if len(times) > 1 else []


def exponent(times: Mapping[int, float | None]) -> float | None:
    """The slope of the line through the logarithms."""
    if any(value is None for value in times.values()):
        return None
    points = [(math.log(size), math.log(value)) for size, value in times.items() if value]
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def slope(score: Score | None) -> float | None:
    """The last ten batches of a series against its first ten, the median of the rounds."""
    if not score or not score.counts:
        return None
    return statistics.median(sum(one[-10:]) / sum(one[:10]) for one in score.series)


def _replay(score: Score | None) -> list[Target]:
    value = commits = None
    if score and score.counts:
        value = statistics.median(score.seconds) / statistics.median(score.first)
        commits = float(score.footprint["commits"] - 1)
    return [Target("replay: time / that of the first run", value, 0.25), Target("replay: commits", commits, 0)]


def _unchanged(scores: Mapping[str, Score], names: Sequence[str]) -> list[Target]:
    ours = scores.get("ours_write")
    files = None
    if ours and ours.counts:
        files = float(sum(ours.footprint[name] for name in ("files_added", "files_removed", "vectors")))
    found = [Target("unchanged: files written or removed", files, 0)]
    if "naive" in names:
        found.append(Target("unchanged: time / that of naive", _ratio(p50(ours), p50(scores.get("naive"))), 0.3))
    return found


def _run(scores: Scores, chosen: Sequence[Workload]) -> list[Target]:
    shares = []
    for one in chosen:
        if one.again or one.series or not {"ours_run", "ours_write"} <= set(one.contenders):
            continue
        run, alone = _of(scores, one.name, "ours_run"), _of(scores, one.name, "ours_write")
        if run is None or alone is None:
            return [Target("run path: worst time / (1.1 write calls + 1.5 s)", None, 1.0)]
        shares.append(run / (1.1 * alone + 1.5))
    return [Target("run path: worst time / (1.1 write calls + 1.5 s)", max(shares), 1.0)] if shares else []


def _of(scores: Scores, workload: str, name: str) -> float | None:
    return p50(scores[workload].get(name))


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one / other
