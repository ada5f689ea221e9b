"""One Region's failure is that Region's alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from broadside.local.cloud import LocalCloud
from chalicelib.index.records import BuildState, PublicationState
from tests.e2e.site import Site, image, public
from tests.keys import Key

#: The Regions of the small cloud; the last one is not opted in.
HOME, THROTTLED, BROKEN, CLOSED = "us-east-1", "eu-west-1", "ap-southeast-2", "me-south-1"
QUIET = {
    "home": HOME,
    "time_scale": 100,
    "regions": [*({"name": name} for name in (HOME, THROTTLED, BROKEN)), {"name": CLOSED, "opt_in": "not-opted-in"}],
}
TROUBLE = {
    "throttles": [{"service": "ec2", "region": THROTTLED, "bucket": 1, "refill": 2}],
    "faults": [{"service": "ec2", "action": "RegisterImage", "region": BROKEN, "code": "InvalidRequest", "status": 400}],
}


@pytest.fixture(scope="module")
def site(builder: Key, signer: Key) -> Iterator[Site]:
    """A deployment of its own, since its Regions are put into trouble."""
    with LocalCloud(QUIET) as cloud:
        yield Site(cloud, builder, signer)


@pytest.fixture
def trouble(site: Site) -> Iterator[None]:
    """One Region throttles, one fails for good."""
    site.cloud.set_behaviour(**TROUBLE)
    yield
    site.cloud.set_behaviour()


@pytest.mark.usefixtures("trouble")
def test_the_other_regions_are_public_and_a_retry_completes_the_failed_one(site: Site, keyring: Path) -> None:
    """The throttled Region comes through, the broken one says why, the closed one is skipped; then it is back."""
    build = site.upload(image(3, seed=4))
    record = site.wait_for(build, BuildState.PUBLIC)
    regions = site.regions(build)
    assert public(regions) == {HOME, THROTTLED}
    assert regions[CLOSED].state is PublicationState.SKIPPED
    assert regions[BROKEN].state is PublicationState.FAILED
    assert "InvalidRequest" in regions[BROKEN].reason
    assert BROKEN in record.reason
    assert set(site.wait_named(build, {HOME, THROTTLED}, keyring)) == {HOME, THROTTLED}
    before = {region: each.image_id for region, each in regions.items()}

    site.cloud.set_behaviour()
    site.session.client("stepfunctions").start_execution(
        stateMachineArn=site.stack.publish_state_machine,
        name=build.execution_name(record.digest, attempt=1),
        input=json.dumps({"build": str(build), "digest": record.digest, "files": ["disk.img"]}),
    )
    site.wait_named(build, {HOME, THROTTLED, BROKEN}, keyring)
    after = site.regions(build)
    assert public(after) == {HOME, THROTTLED, BROKEN}
    assert {region: after[region].image_id for region in (HOME, THROTTLED)} == {
        region: before[region] for region in (HOME, THROTTLED)
    }


def test_a_region_that_is_opened_later_is_filled_by_a_retry(site: Site, keyring: Path) -> None:
    """What was skipped is planned as soon as the account has opted in."""
    build = site.upload(image(2, seed=5))
    record = site.wait_for(build, BuildState.PUBLIC)
    assert site.regions(build)[CLOSED].state is PublicationState.SKIPPED
    opened = [*QUIET["regions"][:3], {"name": CLOSED, "opt_in": "opted-in"}]  # type: ignore[index]  # a list, see above
    site.cloud.set_behaviour(regions=opened)
    try:
        site.session.client("stepfunctions").start_execution(
            stateMachineArn=site.stack.publish_state_machine,
            name=build.execution_name(record.digest, attempt=1),
            input=json.dumps({"build": str(build), "digest": record.digest, "files": ["disk.img"]}),
        )
        site.wait_named(build, {HOME, THROTTLED, BROKEN, CLOSED}, keyring)
    finally:
        site.cloud.set_behaviour()


def test_a_region_that_blocks_public_images_says_what_to_do(site: Site) -> None:
    """The AMI is there and private; the reason names the setting."""
    site.cloud.set_behaviour(block_public_access=[BROKEN])
    try:
        build = site.upload(image(2, seed=6))
        site.wait_for(build, BuildState.PUBLIC)
        failed = site.regions(build)[BROKEN]
        assert failed.state is PublicationState.FAILED
        assert "DisableImageBlockPublicAccess" in failed.reason
        assert [ami["Public"] for ami in site.images(build, BROKEN)] == [False]
    finally:
        site.cloud.set_behaviour()


def test_a_region_whose_quota_of_public_images_is_used_up_says_so(site: Site) -> None:
    """The quota's code stands in the reason, so that the request can be filed at once."""
    site.cloud.set_behaviour(public_images_quota=0)
    try:
        build = site.upload(image(2, seed=7))
        record = site.wait_for(build, BuildState.FAILED)
        assert "Regions failed" in record.reason
        assert all("L-0E3CBAB9" in each.reason for region, each in site.regions(build).items() if region != CLOSED)
    finally:
        site.cloud.set_behaviour()
