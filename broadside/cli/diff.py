"""``broadside diff``: which blocks a new image shares with an old one, before it is uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from broadside.cli.common import App, make_console, plural, print_json
from broadside.cli.disks import Disk, digests_of, fits_on, open_disk_or_build
from broadside.cli.estimates import FILE, all_regions, demand_of, dollars, load_prices, saving_json, split_regions
from broadside.cost import Demand, Saving, saving
from broadside.difference import Difference, compare, picture, size
from chalicelib import policy
from chalicelib.index.records import BuildRecord, PublicationState
from chalicelib.snapshots.blocks import BLOCK_SIZE


@click.command(
    epilog="""\b
Examples:
  broadside diff yesterday.img disk.img
  broadside diff daily/20261119 disk.img
  broadside diff daily/20261119 disk.img --regions us-east-1,eu-west-1 --json
"""
)
@click.argument("old")
@click.argument("new")
@click.option("--regions", metavar="NAME,...", help="To estimate what is saved in; the OLD build's own unless given, or all.")
@click.option("--skip-zeros", is_flag=True, help="zero_blocks is skip; of an OLD build the stream's policy is known.")
@click.option("--prices", "price_file", type=FILE, help="A price table of your own, as for `broadside cost`.")
@click.option("--json", "as_document", is_flag=True, help="One JSON document.")
@click.pass_obj
def diff(
    app: App, /, *, old: str, new: str, regions: str | None, skip_zeros: bool, price_file: Path | None, as_document: bool
) -> None:
    """Tell which blocks of NEW have to be written on top of OLD, and what that saves.

    Each is a disk image, or a published build by its name.  The blocks of 512 KiB are compared by their digests, so that
    nothing of a published build is downloaded but those.
    """
    prices = load_prices(price_file)
    below, record = open_disk_or_build(app, old)
    above, _ = open_disk_or_build(app, new)
    where = _regions_of(app, record) if regions is None else split_regions(regions)
    skips = skip_zeros or (record is not None and policy.for_stream(record.id.stream).zero_blocks == "skip")
    with digests_of(below, above) as (before, after):
        difference = compare(before, after, blocks=above.blocks, skip_zeros=skips)
    chained = fits_on(above, below)
    demand = demand_of(difference, app, where, chained=chained)
    report = Report(below, above, difference, chained, demand, saving(demand, prices))
    print_json(report.as_json()) if as_document else report.show()


def _regions_of(app: App, record: BuildRecord | None) -> tuple[str, ...]:
    """Where a published build is, or is on its way to; everywhere for a file."""
    if record is None:
        return all_regions()
    found = [each.region for each in app.index.publications(record.id) if each.state is not PublicationState.SKIPPED]
    return tuple(found) or all_regions()


@dataclass(frozen=True)
class Report:
    """What differs between two disks, and what it is worth.  ``chained``: whether the new one can lie on top of the old."""

    old: Disk
    new: Disk
    difference: Difference
    chained: bool
    demand: Demand
    saving: Saving

    def show(self) -> None:
        console = make_console()
        for line in picture(self.difference):
            console.print(line)
        cell = size(self.difference.cell_blocks * BLOCK_SIZE)
        console.print(
            f"\nOne mark is {cell}:  ░▒▓█ written, from few of its blocks to all   · data that stays   blank: zeros\n"
        )
        for sentence in self._sentences():
            console.print(sentence)

    def _sentences(self) -> list[str]:
        found = self.difference
        if not self.chained:
            return [
                f"{self.new.name} is smaller than {self.old.name}, so that its snapshots are not chained: "
                f"it is written in full, {plural(found.full, 'block')}."
            ]
        told = [
            f"{found.written} of {found.new} blocks ({size(found.written_bytes)}) of {self.new.name} have to be written on "
            f"top of {self.old.name}: {found.share:.1%} of what a first build writes.",
            f"That is {found.written_data} of the {found.data} blocks that hold data ({found.data_share:.1%}), and "
            f"{found.written - found.written_data} of zeros.",
            f"In {plural(len(self.demand.regions), 'Region')} chaining saves about {dollars(self.saving.once)}, and "
            f"{dollars(self.saving.monthly)} for each month that it is kept.",
        ]
        if found.data_share > 0.5:
            told.append("Most of the data has moved: docs/builders.md says how to build so that it stays.")
        return told

    def as_json(self) -> dict[str, Any]:
        found = self.difference
        return {
            "old": self.old.name,
            "new": self.new.name,
            "chained": self.chained,
            "old_blocks": found.old,
            "new_blocks": found.new,
            "data_blocks": found.data,
            "written_blocks": found.written,
            "written_data_blocks": found.written_data,
            "written_bytes": found.written_bytes,
            "first_build_blocks": found.full,
            "share": round(found.share, 6),
            "map": {"blocks_per_cell": found.cell_blocks, "written": [cell.written for cell in found.cells]},
            "regions": [each.region for each in self.demand.regions],
            "saved_by_chaining": saving_json(self.saving),
        }
