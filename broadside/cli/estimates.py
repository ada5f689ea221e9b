"""What `cost` and `diff` share: prices, Regions, what a build asks for, and dollars in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from broadside.cli.common import App
from broadside.cost import BadPrices, Demand, Prices, RegionBlocks, Saving
from broadside.cost.prices import REGION_PATTERN
from broadside.difference import Difference

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def load_prices(path: Path | None) -> Prices:
    """The user's price table, or the one that comes with Broadside.

    Raises:
        BadPrices: it cannot be read or used.
    """
    if path is None:
        return Prices.builtin()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrices(f"{path} cannot be read as text: {error}.") from error
    return Prices.parse(text, str(path))


def split_regions(text: str) -> tuple[str, ...]:
    """The Regions of an option: their names with commas between.

    Raises:
        click.BadParameter: one is no Region's name.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if not re.fullmatch(REGION_PATTERN, name):
            raise click.BadParameter(f"{name!r} is no Region: give names like us-east-1,eu-west-1.", param_hint="--regions")
    return names


def all_regions() -> tuple[str, ...]:
    """Every Region that boto3 knows of AWS proper: not those of China, nor of governments."""
    from boto3.session import Session  # noqa: PLC0415 - slow to import

    return tuple(sorted(Session().get_available_regions("ec2")))


def demand_of(difference: Difference, app: App, regions: tuple[str, ...], *, chained: bool) -> Demand:
    """What a build asks for whose snapshots have the same parent in all Regions, or none.

    It is sent from the Region that the command line names, or from us-east-1, or else from the first one.
    """
    home = next((name for name in (app.region, "us-east-1") if name in regions), regions[0])
    written = difference.written if chained else difference.full
    return Demand(difference.new, home, tuple(RegionBlocks(region, difference.full, written) for region in regions))


def dollars(amount: float) -> str:
    """``$12.35``, ``$3.930``, ``-$0.002``, ``<$0.001``."""
    if 0 < amount < 0.001:
        return "<$0.001"
    return f"{'-' if amount < 0 else ''}${abs(amount):.{2 if abs(amount) >= 10 else 3}f}"


def saving_json(saving: Saving) -> dict[str, Any]:
    """For programs: whole numbers of blocks and bytes, dollars to a millionth."""
    return {
        "blocks": saving.blocks,
        "sent_bytes": saving.sent,
        "stored_bytes": saving.stored,
        "once_dollars": round(saving.once, 6),
        "monthly_dollars": round(saving.monthly, 6),
    }
