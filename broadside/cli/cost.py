"""``broadside cost``: what publishing a build costs, Region by Region, written directly and copied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from broadside.cli.builds import recorded
from broadside.cli.common import App, make_console, make_table, print_json
from broadside.cli.disks import digests_of, fits_on, open_build, open_disk_or_build, open_file
from broadside.cli.estimates import FILE, all_regions, demand_of, dollars, load_prices, saving_json, split_regions
from broadside.cost import Bill, Demand, Prices, RegionBill, RegionBlocks, Saving, Strategy, estimate, saving
from broadside.difference import compare, size
from broadside.upload import Draft
from chalicelib import policy
from chalicelib.errors import BadManifest
from chalicelib.index.records import Publication, PublicationState


@click.command(
    epilog="""\b
Examples:
  broadside cost daily/20261120
  broadside cost --plan disk.img
  broadside cost --plan disk.img --parent yesterday.img --regions us-east-1,eu-west-1
  broadside cost --plan build.yaml --parent daily/20261119 --prices our-prices.toml --json
"""
)
@click.argument("build", required=False)
@click.option("--plan", type=FILE, help="Instead of BUILD: a disk image, or the YAML or JSON of a manifest beside its image.")
@click.option("--parent", metavar="BUILD|FILE", help="With --plan: what the snapshots are chained to.")
@click.option("--regions", metavar="NAME,...", help="With --plan: where to publish; every Region of AWS unless given.")
@click.option("--skip-zeros", is_flag=True, help="With --plan: zero_blocks is skip, as a stream's policy may say.")
@click.option("--prices", "price_file", type=FILE, help="A price table of your own, in the form of the built-in one.")
@click.option("--json", "as_document", is_flag=True, help="One JSON document.")
@click.pass_obj
def cost(
    app: App,
    /,
    *,
    build: str | None,
    plan: Path | None,
    parent: str | None,
    regions: str | None,
    skip_zeros: bool,
    price_file: Path | None,
    as_document: bool,
) -> None:
    """Show what publishing BUILD costs, or what a plan would: calls, bytes and dollars by Region.

    The snapshots written into every Region stand beside the ones copied by EC2.  docs/cost.md explains the figures.
    """
    prices = load_prices(price_file)
    if build is not None and plan is None:
        if parent or regions or skip_zeros:
            raise click.UsageError("--parent, --regions and --skip-zeros go with --plan: a BUILD has its own.")
        name, demand = _published(app, build)
    elif plan is not None and build is None:
        where = all_regions() if regions is None else split_regions(regions)
        name, demand = str(plan), _planned(app, plan, parent, where, skip_zeros)
    else:
        raise click.UsageError("Give a BUILD, or --plan with a file.")
    comparison = Comparison.of(name, demand, prices)
    print_json(comparison.as_json()) if as_document else comparison.show()


def _planned(app: App, plan: Path, parent: str | None, regions: tuple[str, ...], skip_zeros: bool) -> Demand:
    image = open_file(_image_of(plan))
    below = open_disk_or_build(app, parent)[0] if parent else None
    chained = below is not None and fits_on(image, below)
    if below is not None and not chained:
        click.echo(f"{image.name} is smaller than {below.name}, so that its snapshots are not chained.", err=True)
    with digests_of(below if chained else None, image) as (before, after):
        difference = compare(before, after, blocks=image.blocks, skip_zeros=skip_zeros)
    return demand_of(difference, app, regions, chained=chained)


def _image_of(plan: Path) -> Path:
    """The image itself, or the one that a manifest's fields name, beside it.

    Raises:
        BadManifest: the manifest cannot be read, or names no image.
    """
    if plan.suffix not in (".yaml", ".yml", ".json"):
        return plan
    draft = Draft.read(plan)
    named = str(draft.ec2.get("image", next(iter(draft.paths), "")))  # as upload takes it: else the first file
    if named not in draft.paths:
        raise BadManifest(f"{plan} names no image: it needs files, and the image's path in ec2.")
    return draft.paths[named]


def _published(app: App, text: str) -> tuple[str, Demand]:
    """What was asked for by a build that the index knows, in the Regions that it was planned for."""
    record = recorded(app.index, text)
    disk = open_build(app, record)
    skips = policy.for_stream(record.id.stream).zero_blocks == "skip"
    with digests_of(None, disk) as (nothing, digests):
        full = compare(nothing, digests, blocks=disk.blocks, skip_zeros=skips).full
    regions = tuple(
        RegionBlocks(each.region, full, _written(each, full))
        for each in app.index.publications(record.id)
        if each.state is not PublicationState.SKIPPED
    )
    return str(record.id), Demand(disk.blocks, str(app.session.region_name), regions)


def _written(publication: Publication, full: int) -> int:
    """The blocks that went into the Region's snapshot; those of a first build where it is not sealed yet, or was copied."""
    return publication.blocks_written if publication.blocks and publication.parent else full


@dataclass(frozen=True)
class Comparison:
    """One build's bills: written everywhere, and copied; and what chaining saves of the first."""

    name: str
    demand: Demand
    direct: Bill
    copy: Bill
    saving: Saving

    @classmethod
    def of(cls, name: str, demand: Demand, prices: Prices) -> Comparison:
        direct, copied = (estimate(demand, strategy, prices) for strategy in (Strategy.DIRECT, Strategy.COPY))
        return cls(name, demand, direct, copied, saving(demand, prices))

    def show(self) -> None:
        console = make_console()
        console.print(f"{self.name}: {self.demand.image_blocks} blocks of 512 KiB, sent from {self.demand.home}.\n")
        console.print(make_table(_COLUMNS, [*self._region_rows(), *self._total_rows()]))
        console.print()
        console.print(make_table(["CALLS", "DIRECT", "COPY"], self._call_rows()))
        console.print()
        console.print(self.verdict)

    def _region_rows(self) -> list[list[str]]:
        both = zip(self.direct.regions, self.copy.regions, strict=True)
        return [[direct.region, *_cells(direct), *_cells(copied)] for direct, copied in both]

    def _total_rows(self) -> list[list[str]]:
        work = [cell for bill in (self.direct, self.copy) for cell in ("", "", dollars(bill.work), "")]
        return [["functions, steps", *work], ["TOTAL", *_cells(self.direct), *_cells(self.copy)]]

    def _call_rows(self) -> list[list[str]]:
        direct, copied = self.direct.calls, self.copy.calls
        return [[action, str(direct.get(action, 0)), str(copied.get(action, 0))] for action in {**direct, **copied}]

    @property
    def verdict(self) -> str:
        """In words: what the two cost, and what chaining saves."""
        costs = (
            f"Written directly it costs {dollars(self.direct.once)}, and {dollars(self.direct.monthly)} for each month that "
            f"it is kept; copied {dollars(self.copy.once)} and {dollars(self.copy.monthly)}."
        )
        if not self.saving.blocks:
            return f"{costs}\nChaining saves nothing: this is a first build, or every block has changed."
        written, full = (sum(getattr(each, count) for each in self.demand.regions) for count in ("written", "full"))
        return (
            f"{costs}\nChaining writes {written / full:.1%} of the blocks of a first build and saves "
            f"{dollars(self.saving.once)}, and {dollars(self.saving.monthly)} a month."
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "build": self.name,
            "home": self.demand.home,
            "blocks": self.demand.image_blocks,
            "direct": _bill_json(self.direct),
            "copy": _bill_json(self.copy),
            "saved_by_chaining": saving_json(self.saving),
        }


_COLUMNS = ["REGION", *(column for bill in ("DIRECT", "COPY") for column in (f"{bill}: SENT", "STORED", "ONCE", "MONTHLY"))]


def _cells(bill: Bill | RegionBill) -> list[str]:
    return [size(bill.sent), size(bill.stored), dollars(bill.once), dollars(bill.monthly)]


def _bill_json(bill: Bill) -> dict[str, Any]:
    return {
        **_part_json(bill),
        "work_dollars": round(bill.work, 6),
        "regions": [{"region": each.region, **_part_json(each)} for each in bill.regions],
    }


def _part_json(part: Bill | RegionBill) -> dict[str, Any]:
    """Whole numbers of bytes, dollars to a millionth."""
    return {
        "calls": dict(part.calls),
        "sent_bytes": part.sent,
        "stored_bytes": part.stored,
        "once_dollars": round(part.once, 6),
        "monthly_dollars": round(part.monthly, 6),
    }
