"""``broadside images``: the AMIs that the index knows, for people and for shells."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.text import Text

from broadside.cli.common import App, ExitCode, make_console, make_table, print_json
from broadside.cli.progress import STYLES
from chalicelib.index.records import BuildRecord, Publication, PublicationState

if TYPE_CHECKING:  # slow to import, and here only for the annotation
    from chalicelib.index.table import Index


@dataclass(frozen=True)
class Image:
    """One AMI and the build it holds; the fields are the keys of the JSON."""

    product: str
    stream: str
    serial: str
    release: str
    version: str
    arch: str
    region: str
    state: str
    image_id: str
    snapshot_id: str

    @classmethod
    def of(cls, record: BuildRecord, publication: Publication) -> Image:
        return cls(
            product=record.id.product,
            stream=record.id.stream,
            serial=record.id.serial,
            release=record.manifest["release"],
            version=record.manifest["version"],
            arch=record.manifest["arch"],
            region=publication.region,
            state=str(publication.state),
            image_id=publication.image_id,
            snapshot_id=publication.snapshot_id,
        )


def find(index: Index, *, wanted: dict[str, str], regions: Collection[str] = (), private: bool) -> list[Image]:
    """The AMIs whose fields equal all of ``wanted``, in any of ``regions`` or everywhere.

    The newest serial comes first within product and stream; then they are ordered by Region.

    Raises:
        CloudError: the index could not be read.
    """
    streams = [wanted["stream"]] if "stream" in wanted else index.streams()
    found: list[tuple[BuildRecord, Publication]] = []
    for stream in streams:
        found.extend(_join(*index.stream(stream)))
    found.sort(key=lambda pair: pair[1].region)
    found.sort(key=lambda pair: pair[0].id.sort_key[2], reverse=True)
    found.sort(key=lambda pair: pair[0].id.sort_key[:2])
    images = (Image.of(record, publication) for record, publication in found)
    return [
        image
        for image in images
        if (image.state == PublicationState.PUBLIC or (private and image.image_id))
        and (not regions or image.region in regions)
        and all(getattr(image, name) == value for name, value in wanted.items())
    ]


def _join(records: Iterable[BuildRecord], publications: Iterable[Publication]) -> Iterator[tuple[BuildRecord, Publication]]:
    by_id = {record.id: record for record in records}
    return ((by_id[each.build], each) for each in publications if each.build in by_id)


@click.command(
    epilog="""\b
Examples:
  broadside images --region eu-west-1 --arch amd64
  broadside images --stream daily --release noble --json
  aws ec2 run-instances --image-id "$(broadside images --serial 20261120 --region us-east-1 --format ids)"
"""
)
@click.option("--product", help="Like com.example.cloud:server:24.04:amd64.")
@click.option("--region", "regions", metavar="NAME", multiple=True, help="Only AMIs in this Region; may be given again.")
@click.option("--arch", help="Like amd64 or arm64.")
@click.option("--serial", help="Like 20261120.")
@click.option("--stream", help="Like daily or released.")
@click.option("--release", help="Like noble.")
@click.option("--all", "private", is_flag=True, help="Also AMIs that are not public (yet).")
@click.option("--format", "form", type=click.Choice(["table", "ids", "json"]), default="table", show_default=True)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.pass_obj
def images(app: App, /, form: str, private: bool, regions: tuple[str, ...], **wanted: str | None) -> None:
    """Find AMIs.  The exit code is 1 when there are none."""
    said = {name: value for name, value in wanted.items() if value is not None}
    found = find(app.index, wanted=said, regions=regions, private=private)
    if form == "json":
        print_json([vars(image) for image in found])
    elif form == "ids":
        for image in found:
            click.echo(image.image_id)
    elif found:
        make_console().print(_table(found))
    else:
        click.echo("No AMI matches." if private else "No public AMI matches; --all looks at private ones too.", err=True)
    raise click.exceptions.Exit(ExitCode.OK if found else ExitCode.FAILED)


def _table(found: list[Image]) -> object:
    rows = [
        (
            each.product,
            each.stream,
            each.serial,
            each.region,
            each.image_id,
            Text(each.state, STYLES[PublicationState(each.state)]),
        )
        for each in found
    ]
    return make_table(["PRODUCT", "STREAM", "SERIAL", "REGION", "AMI", "STATE"], rows)
