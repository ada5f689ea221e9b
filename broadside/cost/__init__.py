"""What publishing a build costs: from counts of blocks to calls, bytes and dollars, by Region, for each strategy.

::

    demand = Demand(image_blocks=16_384, home="us-east-1", regions=(RegionBlocks("us-east-1", full=16_384, written=820), ...))
    bill = estimate(demand, Strategy.DIRECT, Prices.builtin())

``docs/cost.md`` explains the figures.
"""

from __future__ import annotations

from broadside.cost.estimate import (
    Bill,
    Demand,
    RegionBill,
    RegionBlocks,
    Saving,
    Strategy,
    estimate,
    mutating_calls,
    saving,
    unchained,
)
from broadside.cost.prices import BadPrices, Prices

__all__ = [
    "BadPrices",
    "Bill",
    "Demand",
    "Prices",
    "RegionBill",
    "RegionBlocks",
    "Saving",
    "Strategy",
    "estimate",
    "mutating_calls",
    "saving",
    "unchained",
]
