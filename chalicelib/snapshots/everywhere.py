"""Beginning a build's snapshots in all Regions at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from chalicelib.errors import CloudError
from chalicelib.index.records import BuildRecord, Method, PublicationState
from chalicelib.index.table import Index
from chalicelib.snapshots.blocks import Shard
from chalicelib.snapshots.digests import Receipts
from chalicelib.snapshots.lifecycle import Snapshots
from chalicelib.snapshots.shards import unwritten

#: Regions at once.
AT_ONCE = 16


def start(
    index: Index, record: BuildRecord, written: Collection[str], copied: Collection[str], at: Callable[[str], Snapshots]
) -> dict[str, CloudError]:
    """Start the build's snapshot in every Region that is ``written``; note that the others are ``copied``.

    A Region in which that fails is in nobody's way: it tries again by itself, in its own part of the publication.

    Args:
        at: makes the snapshots' room of a Region.

    Returns:
        the Regions in which it failed, and why.

    Raises:
        CloudBusy, CloudRefused: it failed in all of them.
    """
    for region in copied:
        index.advance(record.id, region, PublicationState.PLANNED, method=Method.COPY)
    lineages = index.lineages(record.id.product)

    def begin(region: str) -> CloudError | None:
        try:
            at(region).start(record, lineages.get(region))
        except CloudError as error:
            return error
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcome = zip(written, pool.map(begin, written), strict=True)
    troubles = {region: error for region, error in outcome if error is not None}
    if troubles and len(troubles) == len(written):
        raise next(iter(troubles.values()))
    return troubles


def left_to_write(index: Index, record: BuildRecord, receipts: Receipts) -> list[Shard]:
    """The shards that are still to be read and written: none where every snapshot has its AMI or is complete."""
    publications = index.publications(record.id)
    if not any(each.state is PublicationState.WRITING for each in publications):
        return []
    return unwritten(record, publications, receipts.read())
