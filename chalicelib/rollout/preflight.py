"""What stands in the way of a release: looked at before it begins, by reading alone.

The core, :func:`obstacles`, is without I/O; :class:`Inspector` looks at one Region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from chalicelib import aws
from chalicelib.errors import CloudError, CloudRefused
from chalicelib.images.attributes import tags_of
from chalicelib.index.records import BuildRecord, BuildState, Publication, PublicationState
from chalicelib.index.table import utc_now
from chalicelib.names import TAG_DIGEST

#: Regions at once.
AT_ONCE = 16

#: The quota of public AMIs, by its code at Service Quotas, and what a new account has.
QUOTA, QUOTA_DEFAULT = "L-0E3CBAB9", 5

#: Standard parameters in a Region (Systems Manager quotas).
PARAMETERS = 10_000


@dataclass(frozen=True)
class Obstacle:
    """One thing in the way: where (a Region, a build, or both; empty for everywhere), what, and what to do about it."""

    build: str
    region: str
    what: str
    advice: str


@dataclass(frozen=True)
class RegionFacts:
    """What a Region says of itself, and of our AMIs (as DescribeImages shows them, by id)."""

    region: str
    images: Mapping[str, Mapping[str, Any]]
    public_images: int
    public_quota: int
    images_blocked: str
    snapshots_blocked: str
    parameters: int = 0
    trouble: str = ""
    #: When it was asked, ISO 8601.
    at: str = ""


@dataclass(frozen=True)
class Candidate:
    """A build that is to go out, and its publications."""

    record: BuildRecord
    publications: tuple[Publication, ...]
    #: How many SSM parameters it wants in a Region.
    parameters: int = 0

    def within(self, regions: Iterable[str]) -> list[Publication]:
        wanted = set(regions)
        return [each for each in self.publications if each.region in wanted]


def obstacles(
    candidates: Iterable[Candidate], regions: Iterable[str], facts: Mapping[str, RegionFacts], title: str
) -> list[Obstacle]:
    """Everything in the way of letting the builds out in ``regions``.

    Args:
        facts: by Region.
        title: of the release that asks, which does not stand in its own way.
    """
    found: list[Obstacle] = []
    builds, wanted = list(candidates), list(regions)
    for candidate in builds:
        found += _of_build(candidate, title)
        for publication in candidate.within(wanted):
            found += _of_publication(publication, facts.get(publication.region), candidate.record)
        missing = sorted(set(wanted) - {each.region for each in candidate.publications})
        found += [
            Obstacle(
                str(candidate.record.id), region, "it was never planned there", "retry the build, which plans its Regions"
            )
            for region in missing
        ]
    for region in wanted:
        if region in facts:
            going = [
                each for candidate in builds for each in candidate.within([region]) if each.state is PublicationState.STAGED
            ]
            found += _of_region(facts[region], len(going), sum(candidate.parameters for candidate in builds))
    return found


def _of_build(candidate: Candidate, title: str) -> list[Obstacle]:
    record = candidate.record
    name = str(record.id)
    if record.state in (BuildState.RECORDED, BuildState.REFUSED, BuildState.WITHDRAWN):
        return [
            Obstacle(
                name, "", f"it is {record.state}: {record.reason or 'not published yet'}", "wait for it, or upload another"
            )
        ]
    if record.claimed_by not in ("", title):
        return [Obstacle(name, "", f"the {record.claimed_by} is under way", "wait for its end, or abort it")]
    return []


def _of_publication(publication: Publication, facts: RegionFacts | None, record: BuildRecord) -> list[Obstacle]:
    build, region = str(publication.build), publication.region

    def obstacle(what: str, advice: str) -> list[Obstacle]:
        return [Obstacle(build, region, what, advice)]

    if publication.state is PublicationState.PUBLIC:
        return []
    if publication.state is PublicationState.SKIPPED:
        return obstacle(
            "the account has not enabled the Region", "enable it and retry the build, or leave it out of the waves"
        )
    if publication.state is not PublicationState.STAGED:
        what = f"it is {publication.state}: {publication.reason or 'not verified yet'}"
        return obstacle(what, "see `broadside status`, then `broadside retry`")
    image = facts.images.get(publication.image_id) if facts and not facts.trouble else {}
    if image is None:
        return obstacle(f"the AMI {publication.image_id} is gone", "retry the build, which makes it anew")
    return [
        Obstacle(build, region, what, "mend it in EC2, or retry the build")
        for what in _wrong_with(image, record, facts.at if facts else "")
    ]


def _wrong_with(image: Mapping[str, Any], record: BuildRecord, at: str) -> list[str]:
    if not image:  # the Region did not answer, which is said once
        return []
    name, wrong = image.get("ImageId"), []
    if image.get("State") != "available":
        wrong.append(f"the AMI {name} is {image.get('State')}")
    if tags_of(image).get(TAG_DIGEST) != record.digest:
        wrong.append(f"the AMI {name} has lost its tags")
    if str(image.get("DeprecationTime", "9")) < max(at, record.updated):
        wrong.append(f"the AMI {name} is deprecated since {image['DeprecationTime']}")
    return wrong


def _of_region(facts: RegionFacts, going: int, parameters: int) -> list[Obstacle]:
    region = facts.region
    if facts.trouble:
        return [Obstacle("", region, facts.trouble, "see whether the Region is up, and what your role may do there")]
    found = []
    if going and facts.images_blocked != "unblocked":
        advice = "call DisableImageBlockPublicAccess, and wait ten minutes"
        found.append(Obstacle("", region, f"public images are blocked ({facts.images_blocked})", advice))
    if going and facts.snapshots_blocked != "unblocked":
        what = f"public snapshots are blocked ({facts.snapshots_blocked})"
        found.append(Obstacle("", region, what, "call DisableSnapshotBlockPublicAccess"))
    needed = facts.public_images + going
    if going and needed > facts.public_quota:
        what = f"the quota of public AMIs is {facts.public_quota}, {facts.public_images} are used and {going} more are needed"
        found.append(Obstacle("", region, what, quota_request(region, needed)))
    if parameters and facts.parameters + parameters > PARAMETERS:
        what = f"there are {facts.parameters:,} SSM parameters, and {PARAMETERS:,} is the most"
        found.append(Obstacle("", region, what, "delete some, or ask for advanced parameters"))
    return found


def quota_request(region: str, needed: int) -> str:
    """The request to file for more public AMIs."""
    return (
        f"aws service-quotas request-service-quota-increase --region {region} --service-code ec2 --quota-code {QUOTA} "
        f"--desired-value {needed}"
    )


@dataclass(frozen=True)
class Inspector:
    """Looks at Regions.

    Args:
        client: makes a client of a service in a Region.
    """

    client: Callable[[str, str], aws.Client]
    count_parameters: bool = False

    def look(self, wanted: Mapping[str, list[str]]) -> dict[str, RegionFacts]:
        """The facts of Regions, by the ids of our AMIs that matter in each."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(wanted, pool.map(lambda region: self._region(region, wanted[region]), wanted), strict=True))

    def _region(self, region: str, image_ids: list[str]) -> RegionFacts:
        try:
            return self._ask(region, image_ids)
        except CloudError as error:
            return RegionFacts(region, {}, 0, 0, "", "", trouble=str(error))

    def _ask(self, region: str, image_ids: list[str]) -> RegionFacts:
        ec2 = self.client("ec2", region)
        ids = [{"Name": "image-id", "Values": sorted(image_ids)}]
        ours = {"Owners": ["self"], "IncludeDeprecated": True, "IncludeDisabled": True}
        images = list(ec2.pages("describe_images", "Images", Filters=ids, **ours)) if image_ids else []
        public = [{"Name": "is-public", "Values": ["true"]}]
        return RegionFacts(
            region,
            {image["ImageId"]: image for image in images},
            sum(1 for _ in ec2.pages("describe_images", "Images", Filters=public, **ours)),
            self._quota(region),
            str(ec2.get_image_block_public_access_state()["ImageBlockPublicAccessState"]),
            str(ec2.get_snapshot_block_public_access_state()["State"]),
            self._parameters(region) if self.count_parameters else 0,
            at=utc_now(),
        )

    def _quota(self, region: str) -> int:
        quotas = self.client("service-quotas", region)
        try:
            return int(quotas.get_service_quota(ServiceCode="ec2", QuotaCode=QUOTA)["Quota"]["Value"])
        except CloudRefused as error:
            if error.code == "NoSuchResourceException":  # nobody has ever asked for more here
                return QUOTA_DEFAULT
            raise

    def _parameters(self, region: str) -> int:
        return sum(1 for _ in self.client("ssm", region).pages("describe_parameters", "Parameters"))


def images_of(candidates: Iterable[Candidate], regions: Iterable[str]) -> dict[str, list[str]]:
    """By Region, the AMIs that are to go public."""
    found: dict[str, list[str]] = {region: [] for region in regions}
    for candidate in candidates:
        for publication in candidate.within(found):
            if publication.image_id:
                found[publication.region].append(publication.image_id)
    return found
