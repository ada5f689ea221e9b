"""The figures that were measured, as JSON files beside this module; the report is made from them alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: What the report calls the publishers, in its order.
LABELS = {"direct": "Broadside, direct", "copy": "Broadside, copy", "awspub": "awspub"}

FOLDER = Path(__file__).with_name("results")


def save(name: str, figures: dict[str, Any]) -> None:
    """Keep the figures of one benchmark, in the place of those of its last run."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(_rounded(figures), indent=2)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def load(name: str) -> dict[str, Any] | None:
    """The figures of a benchmark's last run; None if there is none."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _rounded(value: Any) -> Any:
    """Figures with four digits that count: the others are noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
