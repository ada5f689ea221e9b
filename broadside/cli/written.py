"""What was written for a build, and what chaining saved, from its publications."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from broadside.cli.common import plural
from broadside.cli.estimates import dollars, saving_json
from broadside.cost import Demand, Prices, RegionBlocks, Saving, saving
from broadside.difference import size
from chalicelib import policy
from chalicelib.index.records import Method, Publication
from chalicelib.names import BuildId
from chalicelib.snapshots.blocks import BLOCK_SIZE


@dataclass(frozen=True)
class Written:
    """Blocks in the snapshots of some Regions together: those that were written, of those that the disks have.

    ``saving`` is None where nothing is chained, or where the index alone does not tell: blocks of zeros that a first build
    would have left out are not counted there.
    """

    regions: int
    blocks: int
    of: int
    saving: Saving | None

    @property
    def sentence(self) -> str:
        counted = (
            f"{self.blocks} of {self.of} blocks were written ({size(self.blocks * BLOCK_SIZE)}, {self.blocks / self.of:.1%}) "
            f"in {plural(self.regions, 'Region')}"
        )
        if self.saving is None:
            return f"{counted}."
        return f"{counted}; chaining saved about {dollars(self.saving.once)}, and {dollars(self.saving.monthly)} a month."

    def as_json(self) -> dict[str, Any]:
        return {
            "regions": self.regions,
            "blocks": self.blocks,
            "of_blocks": self.of,
            "bytes": self.blocks * BLOCK_SIZE,
            "saved_by_chaining": saving_json(self.saving) if self.saving else None,
        }


def written(build: BuildId, publications: Iterable[Publication], home: str) -> Written | None:
    """The sum over the Regions whose snapshots were written and sealed; None if there is none."""
    sealed = [each for each in publications if each.method is Method.WRITE and each.blocks]
    if not sealed:
        return None
    regions = tuple(RegionBlocks(each.region, each.blocks, each.blocks_written) for each in sealed)
    chained = any(each.parent for each in sealed) and policy.for_stream(build.stream).zero_blocks == "write"
    return Written(
        regions=len(sealed),
        blocks=sum(each.blocks_written for each in sealed),
        of=sum(each.blocks for each in sealed),
        saving=saving(Demand(sealed[0].blocks, home, regions), Prices.builtin()) if chained else None,
    )
