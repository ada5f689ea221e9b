"""docs/performance.md, made of the results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from string import Template
from typing import Any

from benchmarks import results

TEMPLATE = Path(__file__).with_name("performance.template.md")
DOCS = Path(__file__).resolve().parent.parent / "docs"
#: What was asked of the whole: the shares and ratios that the report holds its figures against.
SOONER, GROWTH, OF_THE_LIMIT, DAILY = 15, 0.25, 0.70, 0.06


def write() -> None:
    """Write the page and the plot from the results that are there."""
    from benchmarks import plots  # noqa: PLC0415 - matplotlib is not everybody's

    runs = _load("publication").get("runs", [])
    model = _load("model")
    real = [run for name in results.LABELS for run in runs if run["scale"] == 1 and run["publisher"] == name]
    most = max((run["regions"] for run in real), default=0)
    plots.draw([run for run in real if run["regions"] == most], model["regions"], DOCS / "performance.svg")
    parts = _writing(_load("writing")) | _publications(runs) | _model(model) | _daily(_load("daily"))
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(parts)
    (DOCS / "performance.md").write_text(text, encoding="utf-8")


def _load(name: str) -> dict[str, Any]:
    found = results.load(name)
    if found is None:
        raise SystemExit(f"There are no results of {name!r} yet: run python -m benchmarks {name} first.")
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def held(holds: bool) -> str:
    return "holds" if holds else "**does not hold**"


# -------------------------------------------------------------------------------------------------------------- the writer


def _writing(figures: dict[str, Any]) -> dict[str, str]:
    several = figures["regions"]
    rows = [_contestant("SHA-256 alone, one thread", figures["sha256"])]
    for number in (1, several):
        regions = "one Region" if number == 1 else f"{number} Regions"
        rows += [
            _contestant(f"bare connections, {regions}", figures[f"bare_{number}"]),
            _contestant(f"**Broadside's writer, {regions}**", figures[f"writer_{number}"]),
            _contestant(f"the same through botocore, {regions}", figures[f"botocore_{number}"]),
        ]
    ratios = {number: figures[f"writer_{number}"] for number in (1, several)}
    verdicts = [
        f"{held(min(each['of_the_limit'], each['of_the_limit_by_core']) >= OF_THE_LIMIT)} for {number} "
        f"Region{'s' if number > 1 else ''} ({each['of_the_limit']:.0%}; {each['of_the_limit_by_core']:.0%} by core)"
        for number, each in ratios.items()
    ]
    return {
        "writer_table": table(["", "calls/s", "calls/s and core", "of the limit", "by core"], rows),
        "writer_verdict": f"At least {OF_THE_LIMIT:.0%} of the bare limit {', '.join(verdicts)}.",
        "writer_blocks": str(figures["blocks"]),
        "writer_runs": str(figures["runs"]),
        "writer_regions": str(several),
    }


def _contestant(name: str, rate: dict[str, float]) -> list[str]:
    cells = [name, f"{rate['per_second']:,.0f}", f"{rate['per_core_second']:,.0f}"]
    shares = [rate.get(key) for key in ("of_the_limit", "of_the_limit_by_core")]
    return [*cells, *("" if share is None else f"{share:.2f}" for share in shares)]


# -------------------------------------------------------------------------------------------------------------- publications


def _publications(runs: list[dict[str, Any]]) -> dict[str, str]:
    real = [run for run in runs if run["scale"] == 1]
    scaled = [run for run in runs if run["scale"] != 1]
    return {
        "real_table": _runs(real),
        "scaled_table": _runs(scaled),
        "phases": table(["", *PHASES], [_phases(run) for run in real]),
        "real_verdict": _sooner(real),
        "scaled_verdict": _sooner(scaled),
    }


PHASES = {
    "PutSnapshotBlock": "blocks written",
    "CompleteSnapshot": "completed",
    "ImportSnapshot": "import asked for",
    "CopySnapshot": "snapshot copies asked for",
    "CopyImage": "image copies asked for",
    "RegisterImage": "registered",
    "ModifyImageAttribute": "public",
}


def _runs(runs: list[dict[str, Any]]) -> str:
    rows = [
        [
            results.LABELS[run["publisher"]],
            run["regions"],
            f"{run['scale']:g}",
            f"{run['seconds']:,.0f}",
            sum(run["calls"].values()),
        ]
        for run in sorted(runs, key=lambda run: (run["regions"], list(results.LABELS).index(run["publisher"])))
    ]
    return table(["", "Regions", "time scale", "seconds until public in the last", "calls"], rows)


def _phases(run: dict[str, Any]) -> list[str]:
    spans = [run["phases"].get(action) for action in PHASES]
    return [results.LABELS[run["publisher"]], *(f"{span[0]:.0f}-{span[1]:.0f}" if span else "" for span in spans)]


def _sooner(runs: list[dict[str, Any]]) -> str:
    """How much sooner than awspub, for each number of Regions to which both were measured."""
    found: dict[tuple[int, float], dict[str, float]] = {}
    for run in runs:
        found.setdefault((run["regions"], run["scale"]), {})[run["publisher"]] = run["seconds"]
    lines = []
    for (regions, _), seconds in sorted(found.items()):
        if {"direct", "awspub"} <= seconds.keys():
            ratio = seconds["awspub"] / seconds["direct"]
            lines.append(f"To {regions} Regions direct is **{ratio:.1f} times** sooner than awspub.")
    return " ".join(lines)


# -------------------------------------------------------------------------------------------------------------- the model


def _model(model: dict[str, Any]) -> dict[str, str]:
    rows = model["regions"]
    growth = rows[-1]["direct"] / rows[0]["direct"] - 1
    ratios = [row["awspub"] / row["direct"] for row in rows]
    return {
        "model_regions": table(
            ["Regions", "direct", "copy", "awspub", "awspub / direct"], [_row(row, "regions") for row in rows]
        ),
        "model_verdict": (
            f"At least {SOONER} times sooner than awspub {held(min(ratios) >= SOONER)} for 40 Regions "
            f"({ratios[-1]:.1f}; {ratios[0]:.1f} for 5); growing by less than a quarter from 5 to 40 Regions "
            f"{held(growth < GROWTH)} ({growth:.0%})."
        ),
        "model_variants": table(
            ["direct publication of 8 GiB", "5 Regions", "40 Regions", "growth", "awspub / direct, 40 Regions"],
            [_variant(name, each) for name, each in model["variants"].items()],
        ),
        "model_sizes": table(
            ["GiB", "direct", "copy", "awspub", "awspub / direct"], [_row(row, "gib") for row in model["sizes"]]
        ),
        "model_builds": table(
            [
                "builds at once",
                "direct: first",
                "last",
                "copy: last",
                "awspub: last",
                "highest PutSnapshotBlock/s",
                "private by a quota of 5",
            ],
            [_builds(row) for row in model["builds"]],
        ),
        "model_daily": table(
            ["Regions", "first build", "daily, 5 % changed"],
            [[row["regions"], f"{row['first']:.0f}", f"{row['daily']:.0f}"] for row in model["daily"]],
        ),
        "model_sensitivity": table(
            ["40 Regions", "direct", "awspub", "awspub / direct"],
            [
                [name, f"{each['direct']:.0f}", f"{each['awspub']:.0f}", f"{each['awspub'] / each['direct']:.1f}"]
                for name, each in model["sensitivity"].items()
            ],
        ),
        "validation": table(
            ["", "Regions", "time scale", "measured", "modelled", "modelled / measured"],
            [_validated(run) for run in model["validation"]],
        ),
        "validation_median": f"{_median_ratio(model['validation']):.2f}",
    }


def _median_ratio(validation: list[dict[str, Any]]) -> float:
    return float(median(run["modelled"] / run["seconds"] for run in validation if run["scale"] == 1))


def _row(row: dict[str, Any], key: str) -> list[Any]:
    seconds = [f"{row[name]:,.0f}" for name in ("direct", "copy", "awspub")]
    return [row[key], *seconds, f"{row['awspub'] / row['direct']:.1f}"]


def _variant(name: str, rows: list[dict[str, Any]]) -> list[str]:
    first, last = rows[0]["direct"], rows[-1]["direct"]
    return [name, f"{first:.0f}", f"{last:.0f}", f"{last / first - 1:.0%}", f"{rows[-1]['awspub'] / last:.1f}"]


def _builds(row: dict[str, Any]) -> list[str]:
    lasts = [f"{row[name]['last']:,.0f}" for name in ("direct", "copy", "awspub")]
    rate, private = f"{row['puts_per_second']:,.0f}", f"{row['private_by_quota_of_5']} of {row['amis']} AMIs"
    return [row["builds"], f"{row['direct']['first']:,.0f}", *lasts, rate, private]


def _validated(run: dict[str, Any]) -> list[Any]:
    ratio = run["modelled"] / run["seconds"]
    told = [results.LABELS[run["publisher"]], run["regions"], f"{run['scale']:g}"]
    return [*told, f"{run['seconds']:,.0f}", f"{run['modelled']:,.0f}", f"{ratio:.2f}"]


# -------------------------------------------------------------------------------------------------------------- the daily


def _daily(figures: dict[str, Any]) -> dict[str, str]:
    share = figures["daily"]["blocks_a_region"] / figures["first"]["blocks_a_region"]
    rows = [
        [
            name,
            figures[name]["blocks_a_region"],
            f"{figures[name]['bytes_a_region'] / 2**20:.0f} MiB",
            f"{figures[name]['seconds'] / figures['scale']:.0f}",
            "yes" if figures[name]["reads_back_equal"] else "**no**",
        ]
        for name in ("first", "daily")
    ]
    dollars = [
        [name, f"{each['puts']:,}", f"{each['sent'] / 2**30:,.1f}", f"{each['once']:.2f}", f"{each['monthly']:.2f}"]
        for name, each in figures["dollars"].items()
    ]
    return {
        "daily_table": table(["build", "blocks a Region", "bytes a Region", "seconds", "reads back equal everywhere"], rows),
        "daily_dollars": table(
            ["8 GiB to 34 Regions", "PutSnapshotBlock", "GiB sent", "dollars once", "dollars a month"], dollars
        ),
        "daily_verdict": (
            f"{figures['changed'] / figures['blocks']:.0%} of the blocks changed, {share:.1%} were written in each of "
            f"{figures['regions']} Regions: at most {DAILY:.0%} {held(share <= DAILY)}."
        ),
        "daily_scale": f"{figures['scale']:g}",
    }
