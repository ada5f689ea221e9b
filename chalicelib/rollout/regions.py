"""Which Regions a build goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chalicelib import aws, policy
from chalicelib.index.records import BuildRecord, BuildState, Method, Publication, PublicationState
from chalicelib.index.table import Index

#: OptInStatus of a Region that exists for everybody or that the account has enabled (DescribeRegions).
ENABLED = frozenset({"opt-in-not-required", "opted-in"})


def discover(ec2: aws.Client) -> dict[str, PublicationState]:
    """Every Region of the partition: planned where the account can use it, skipped where it has not opted in."""
    regions = ec2.describe_regions(AllRegions=True)["Regions"]
    return first_states(regions)


def first_states(regions: Iterable[Mapping[str, Any]]) -> dict[str, PublicationState]:
    """The first state of the publication in each of DescribeRegions' Regions."""
    return {
        str(region["RegionName"]): (PublicationState.PLANNED if region["OptInStatus"] in ENABLED else PublicationState.SKIPPED)
        for region in regions
    }


def unfinished(publications: Iterable[Publication]) -> list[str]:
    """The Regions that still have something to do: all that are not public, nor staged while they are held."""
    return sorted(each.region for each in publications if each.state not in _DONE and not _is_held(each))


_DONE = frozenset({PublicationState.SKIPPED, PublicationState.PUBLIC, PublicationState.WITHDRAWN})


def _is_held(publication: Publication) -> bool:
    return publication.state is PublicationState.STAGED and not publication.released_at


def plan(index: Index, ec2: aws.Client, record: BuildRecord) -> tuple[list[str], bool]:
    """Record where the build goes, and whether it goes public at once.

    Returns:
        the Regions that have something to do, and whether the build's files are to be downloadable (now by its stream's
        policy, or before by a person's release).
    """
    index.plan(record.id, discover(ec2))
    if policy.for_stream(record.id.stream).release == "at-once" and record.state is not BuildState.WITHDRAWN:
        record = index.set_build(record.id, released_by=f"the policy of the stream {record.id.stream}")
        for publication in index.publications(record.id):
            index.open_region(record.id, publication.region)
    if record.state in (BuildState.RECORDED, BuildState.FAILED):
        record = index.set_build(record.id, state=BuildState.PUBLISHING, reason="")
    return unfinished(index.publications(record.id)), bool(record.released_at)


def ways(
    regions: Iterable[str], home: str, publications: Iterable[Publication], record: BuildRecord
) -> tuple[list[str], list[str]]:
    """How each of ``regions`` comes to its AMI: those that are written into, and those that copy home's.

    A Region goes on the way that it has begun, also after its stream's strategy was changed.
    """
    direct = policy.for_stream(record.id.stream).strategy == "direct"
    begun = {each.region: each.method for each in publications}
    copied = [
        region
        for region in regions
        if region != home and (begun.get(region) or (Method.WRITE if direct else Method.COPY)) is Method.COPY
    ]
    return [region for region in regions if region not in copied], copied
