"""One picture of all workloads: ``python -m contest.plot RESULTS.json PICTURE.png``, in the peers' environment."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {
    "naive": "#9a9a9a",
    "tuned": "#5f5f5f",
    "koheesio": "#d9a441",
    "deltalake": "#b5533c",
    "ours_write": "#1f6fb2",
    "ours_run": "#79b4e0",
}


def draw(results: dict[str, Any], picture: Path) -> None:
    """A panel for each workload; a bar is the median of the rounds, its line goes from the least to the greatest."""
    found = results["workloads"]
    across = 4
    down = -(-len(found) // across)
    figure, panels = plt.subplots(down, across, figsize=(16, 2.4 * down), squeeze=False)
    for panel in panels.flat[len(found) :]:
        panel.axis("off")
    for panel, (name, workload) in zip(panels.flat, found.items(), strict=False):
        right = {who: score for who, score in workload["scores"].items() if score["status"] == "ok"}
        wrong = [who for who in workload["scores"] if who not in right]
        names = [*wrong[::-1], *list(right)[::-1]]
        for place, who in enumerate(names):
            if who in wrong:
                panel.text(0, place, f" {workload['scores'][who]['status'].split(':')[0]}", va="center", fontsize=7)
                continue
            seconds = right[who]["seconds"]
            middle = statistics.median(seconds)
            panel.barh(place, middle, color=COLOURS[who])
            panel.plot([min(seconds), max(seconds)], [place, place], color="black", linewidth=1)
            panel.text(max(seconds), place, f" {middle:.2f}", va="center", fontsize=7)
        panel.set_yticks(range(len(names)), names, fontsize=7)
        panel.set_title(name, fontsize=9, loc="left")
        panel.tick_params(axis="x", labelsize=7)
        panel.margins(x=0.15)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"Seconds, {results['rows']:,} rows of 12 columns, {results['machine']}", fontsize=10, x=0.01, ha="left"
    )
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
