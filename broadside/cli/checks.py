"""What the demonstration looks at in the end: each check answers what it saw, or raises what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broadside import proof
from broadside.cli.common import Stack, client, open_index, plural
from broadside.disk import MIB
from broadside.proof import NotProven
from chalicelib.index.records import Publication, PublicationState
from chalicelib.names import BuildId
from chalicelib.snapshots.blocks import block_count

if TYPE_CHECKING:  # slow to import, and here only for the annotation
    from boto3.session import Session

    from chalicelib.index.table import Index

#: More blocks than this are not read back over all Regions: it would take minutes.
MOST_BLOCKS = 5000
#: Regions that are looked at in the same moment.
WORKERS = 8


@dataclass(frozen=True)
class Published:
    """A build in a cloud, the image it was made from, and the keyring (binary) that its readers hold."""

    session: Session
    stack: Stack
    build: BuildId
    image: Path
    keyring: Path

    @property
    def index(self) -> Index:
        return open_index(self.stack, self.session)

    def public(self) -> list[Publication]:
        """The publications that the index calls public, by Region.

        Raises:
            NotProven: there is none.
        """
        public = [each for each in self.index.publications(self.build) if each.state is PublicationState.PUBLIC]
        if not public:
            raise NotProven("No Region is public.")
        return public

    def query(self, *filters: str) -> list[dict[str, Any]]:
        """What a real reader finds of the build in the query files."""
        return proof.query(self.stack.public_url, self.keyring, *filters, f"version_name={self.build.serial}")

    def named(self) -> dict[str, str]:
        """The AMIs that the query file names, by Region."""
        return {item["crsn"]: item["id"] for item in self.query("datatype=image-ids")}


def images(published: Published) -> str:
    """Every Region that the account can use has its AMI, available and public by EC2's own word."""
    enabled = {region["RegionName"] for region in client(published.session, "ec2").describe_regions()["Regions"]}
    public = published.public()
    if missing := sorted(enabled - {each.region for each in public}):
        raise NotProven(f"Not public in {', '.join(missing)}.")
    _everywhere(lambda each: proof.is_public(client(published.session, "ec2", each.region), each.image_id), public)
    return f"available and public in all of {plural(len(public), 'Region')}, says EC2"


def query_file(published: Published) -> str:
    """A real reader verifies the query file, and finds exactly the public AMIs."""
    named = published.named()
    if named != {each.region: each.image_id for each in published.public()}:
        raise NotProven("The query file does not name exactly the AMIs that are public.")
    return f"sstream-query verifies it, and finds exactly these {plural(len(named), 'AMI')}"


def signatures(published: Published) -> str:
    """gpgv accepts the index and all that it names."""
    accepted = proof.verify_signatures(published.stack.public_url, published.keyring)
    return f"gpgv accepts index.sjson, index.json and {plural(len(accepted) - 2, 'products file')}"


def download(published: Published) -> str:
    """The image can be downloaded, and is the one that the signed file names."""
    found = published.query("datatype=image-downloads", "ftype=disk1.img")
    if not found:
        raise NotProven("The query file names no image to download.")
    size = proof.download(published.stack.public_url, found[0])
    return f"{size // MIB} MiB with the size and SHA-256 that the signed file says"


def snapshots(published: Published) -> str:
    """What is behind the AMIs equals the image, byte for byte."""
    public = published.public()
    sample = public[: regions_to_read(len(public), block_count(published.image.stat().st_size))]
    counts = _everywhere(
        lambda each: proof.equals_image(client(published.session, "ebs", each.region), each.snapshot_id, published.image),
        sample,
    )
    which = f"all {len(sample)}" if len(sample) == len(public) else f"{', '.join(each.region for each in sample)}"
    return f"{which} equal the image byte for byte ({counts[0]} blocks each)"


def regions_to_read(regions: int, blocks: int) -> int:
    """How many Regions' snapshots are read back: all while that is quick, two at the least."""
    return min(regions, max(2, MOST_BLOCKS // blocks))


def _everywhere(look: Callable[[Publication], Any], publications: list[Publication]) -> list[Any]:
    """Look at several Regions at once; the first thing that is wrong is raised."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        return list(pool.map(look, publications))
