"""The plots of docs/performance.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "broadside", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}
mpl.rcParams |= {"axes.spines.right": False, "font.family": "sans-serif"}

from matplotlib import pyplot as plt  # noqa: E402 - only after the backend is chosen
from matplotlib.axes import Axes  # noqa: E402

from benchmarks.results import LABELS  # noqa: E402

COLOURS = {"direct": "#0b6e4f", "copy": "#c98a1b", "awspub": "#8a8a8a"}


def draw(measured: list[dict[str, Any]], modelled: list[dict[str, Any]], path: Path) -> None:
    """What was measured in real minutes on the left, what is modelled for 5 to 40 Regions on the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), gridspec_kw={"width_ratios": [1, 1.4]}, layout="constrained")
    _bars(left, measured)
    _lines(right, modelled)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=130)
    plt.close(figure)


def _bars(axes: Axes, measured: list[dict[str, Any]]) -> None:
    for place, run in enumerate(measured):
        minutes = run["seconds"] / 60
        axes.barh(place, minutes, color=COLOURS[run["publisher"]], height=0.6)
        axes.text(minutes, place, f" {minutes:.1f}", va="center")
    axes.set_yticks(range(len(measured)), [LABELS[run["publisher"]] for run in measured])
    axes.invert_yaxis()
    axes.set_xlabel("minutes until public in the last Region")
    axes.set_xlim(right=1.15 * max((run["seconds"] / 60 for run in measured), default=1))
    regions = measured[0]["regions"] if measured else 0
    axes.set_title(f"Measured: 8 MiB to {regions} Regions, real minutes", loc="left", fontsize=9)


def _lines(axes: Axes, modelled: list[dict[str, Any]]) -> None:
    numbers = [row["regions"] for row in modelled]
    for name, colour in COLOURS.items():
        minutes = [row[name] / 60 for row in modelled]
        axes.plot(numbers, minutes, color=colour, marker="o", linewidth=2, label=LABELS[name])
        axes.annotate(f"{minutes[-1]:.1f}", (numbers[-1], minutes[-1]), xytext=(6, -3), textcoords="offset points")
    axes.set_xticks(numbers)
    axes.set_xlabel("Regions")
    axes.set_ylabel("minutes")
    axes.set_ylim(0, 48)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0.0, 0.45))
    axes.set_title("Modelled: 8 GiB with 2 GiB of data", loc="left", fontsize=9)
