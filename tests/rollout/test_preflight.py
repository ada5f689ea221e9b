"""Promises about what is looked at before a release begins: each thing in the way, and nothing for a good build."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.errors import CloudBusy
from chalicelib.index.records import BuildRecord, BuildState, Publication, PublicationState
from chalicelib.names import TAG_DIGEST
from chalicelib.rollout import preflight
from chalicelib.rollout.preflight import Candidate, Inspector, Obstacle, RegionFacts
from tests.index.values import BUILD, record

HERE, THERE = "us-east-1", "eu-west-1"
TITLE = "release 24.04.1"
P = PublicationState
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DIGEST = record().digest


def held(**changes: Any) -> BuildRecord:
    return replace(record(), state=BuildState.STAGED, **changes)


def publication(region: str = HERE, state: PublicationState = P.STAGED, **facts: Any) -> Publication:
    return Publication(BUILD, region, "2026-11-20T09:00:00Z", state, image_id=f"ami-{region}", **facts)


def image(region: str = HERE, **changes: Any) -> dict[str, Any]:
    tags = [{"Key": TAG_DIGEST, "Value": DIGEST}]
    return {"ImageId": f"ami-{region}", "State": "available", "Tags": tags} | changes


def facts(region: str = HERE, *images: dict[str, Any], **changes: Any) -> RegionFacts:
    shown = {each["ImageId"]: each for each in images or (image(region),)}
    return replace(RegionFacts(region, shown, 0, 5, "unblocked", "unblocked"), **changes)


def look(
    *regions: RegionFacts,
    publications: tuple[Publication, ...] = (publication(),),
    build: BuildRecord | None = None,
    wanted: tuple[str, ...] = (HERE,),
    parameters: int = 0,
) -> list[Obstacle]:
    known = {each.region: each for each in regions or (facts(),)}
    return preflight.obstacles([Candidate(build or held(), publications, parameters)], wanted, known, TITLE)


def only(found: list[Obstacle]) -> Obstacle:
    (obstacle,) = found
    return obstacle


@pytest.mark.parametrize("state", [P.STAGED, P.PUBLIC])
def test_nothing_is_in_the_way_of_a_good_build(state: PublicationState) -> None:
    """Verified in all Regions, with an AMI that is as it was left; or public there already."""
    both = (publication(HERE, state), publication(THERE, state))
    assert look(facts(HERE), facts(THERE), publications=both, wanted=(HERE, THERE), parameters=2) == []


def test_regions_that_are_in_no_wave_do_not_matter() -> None:
    """However they are."""
    assert look(publications=(publication(), publication(THERE, P.FAILED, reason="It broke."))) == []


@pytest.mark.parametrize("state", [BuildState.RECORDED, BuildState.REFUSED, BuildState.WITHDRAWN])
def test_a_build_that_cannot_go_out_is_said_once(state: BuildState) -> None:
    """With its reason, if it has one."""
    found = only(look(build=held(reason="It does not boot.") if state is BuildState.STAGED else replace(held(), state=state)))
    assert (found.build, found.region) == (str(BUILD), "")
    assert found.what == f"it is {state}: not published yet"
    assert "does not boot" in only(look(build=replace(held(reason="It does not boot."), state=state))).what


def test_the_claim_of_another_rollout_is_in_the_way() -> None:
    """The own one is not."""
    found = only(look(build=held(claimed_by="withdrawal oops")))
    assert (found.build, found.what) == (str(BUILD), "the withdrawal oops is under way")
    assert look(build=held(claimed_by=TITLE)) == []


def test_a_region_that_was_never_planned_is_in_the_way() -> None:
    """Nothing was made there."""
    found = only(look(facts(), facts(THERE), wanted=(HERE, THERE)))
    assert (found.build, found.region, found.what) == (str(BUILD), THERE, "it was never planned there")
    assert "retry" in found.advice


@pytest.mark.parametrize("state", [P.PLANNED, P.WRITING, P.REGISTERED])
def test_an_ami_that_is_not_verified_yet_is_in_the_way(state: PublicationState) -> None:
    """It may still fail."""
    found = only(look(publications=(publication(HERE, state),)))
    assert (found.region, found.what) == (HERE, f"it is {state}: not verified yet")


def test_a_region_that_failed_is_in_the_way_with_its_reason() -> None:
    """And how to go on."""
    found = only(look(publications=(publication(HERE, P.FAILED, reason="The snapshot broke."),)))
    assert found.what == "it is failed: The snapshot broke."
    assert "broadside retry" in found.advice


def test_a_region_that_the_account_has_not_enabled_is_in_the_way() -> None:
    """If a wave wants it."""
    found = only(look(publications=(publication(HERE, P.SKIPPED),)))
    assert "not enabled" in found.what
    assert "leave it out of the waves" in found.advice


def test_an_ami_that_is_gone_is_in_the_way() -> None:
    """Deregistered by somebody since."""
    assert only(look(facts(HERE, image(THERE)))).what == f"the AMI ami-{HERE} is gone"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"State": "disabled"}, "is disabled"),
        ({"State": "pending"}, "is pending"),
        ({"Tags": []}, "has lost its tags"),
        ({"Tags": [{"Key": TAG_DIGEST, "Value": "cd" * 32}]}, "has lost its tags"),
        ({"DeprecationTime": "2026-11-19T09:00:00.000Z"}, "is deprecated since 2026-11-19"),
    ],
)
def test_an_ami_that_somebody_changed_is_in_the_way(changes: dict[str, Any], what: str) -> None:
    """It is said which, and what is wrong with it."""
    found = only(look(facts(HERE, image(**changes))))
    assert (found.build, found.region) == (str(BUILD), HERE)
    assert f"ami-{HERE} {what}" in found.what


def test_everything_wrong_with_an_ami_is_said() -> None:
    """So that it is mended in one go."""
    assert len(look(facts(HERE, image(State="disabled", Tags=[])))) == 2


def test_an_ami_that_will_be_deprecated_one_day_is_fine() -> None:
    """Every public one is."""
    assert look(facts(HERE, image(DeprecationTime="2028-11-19T09:00:00.000Z"))) == []


@pytest.mark.parametrize("state", ["block-new-sharing", "block-all-sharing"])
def test_blocked_public_access_is_in_the_way(state: str) -> None:
    """Of images and of snapshots, each with the call that ends it."""
    images = only(look(facts(images_blocked=state)))
    assert (images.region, state in images.what, "DisableImageBlockPublicAccess" in images.advice) == (HERE, True, True)
    snapshots = only(look(facts(snapshots_blocked=state)))
    assert (snapshots.region, state in snapshots.what) == (HERE, True)
    assert "DisableSnapshotBlockPublicAccess" in snapshots.advice


def test_a_quota_that_is_used_up_is_in_the_way_with_its_numbers() -> None:
    """And with the request to file, for as many as are needed."""
    found = only(look(facts(public_images=5)))
    assert found.what == "the quota of public AMIs is 5, 5 are used and 1 more are needed"
    assert found.advice == (
        "aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 "
        "--quota-code L-0E3CBAB9 --desired-value 6"
    )
    assert look(facts(public_images=4)) == []


def test_all_builds_of_a_release_count_for_the_quota() -> None:
    """Two go where one is free."""
    other = replace(BUILD, product="com.example.cloud:server:24.04:arm64")
    second = Candidate(replace(held(), id=other), (replace(publication(), build=other),))
    found = only(
        preflight.obstacles([Candidate(held(), (publication(),)), second], [HERE], {HERE: facts(public_images=4)}, TITLE)
    )
    assert found.what == "the quota of public AMIs is 5, 4 are used and 2 more are needed"
    assert "--desired-value 6" in found.advice


def test_where_nothing_goes_public_neither_quota_nor_blocks_matter() -> None:
    """What is public already needs no more."""
    full = facts(public_images=9, images_blocked="block-new-sharing", snapshots_blocked="block-all-sharing")
    assert look(full, publications=(publication(HERE, P.PUBLIC),)) == []


def test_too_many_parameters_are_in_the_way() -> None:
    """Where the stream has any."""
    found = only(look(facts(parameters=9_999), parameters=2))
    assert found.what == "there are 9,999 SSM parameters, and 10,000 is the most"
    assert look(facts(parameters=9_998), parameters=2) == []
    assert look(facts(parameters=10_000)) == []


def test_a_region_that_does_not_answer_is_said_once() -> None:
    """And nothing is said of AMIs that were not seen."""
    found = only(look(RegionFacts(HERE, {}, 0, 0, "", "", trouble="us-east-1: no answer."), parameters=2))
    assert (found.build, found.region, found.what) == ("", HERE, "us-east-1: no answer.")


@dataclass
class Cloud:
    """What all Regions show; those that are ``dark`` do not answer."""

    images: list[dict[str, Any]] = field(default_factory=list)
    dark: frozenset[str] = frozenset()
    asked: list[tuple[str, str]] = field(default_factory=list)

    def client(self, service: str, region: str) -> Any:
        self.asked.append((service, region))
        return Client(self, region)


@dataclass
class Client:
    cloud: Cloud
    region: str

    def pages(self, action: str, _key: str, **call: Any) -> Iterator[dict[str, Any]]:
        if self.region in self.cloud.dark:
            raise CloudBusy(f"{self.region}: no answer.")
        if action == "describe_parameters":
            return iter([{}, {}, {}])
        assert (call["Owners"], call["IncludeDeprecated"], call["IncludeDisabled"]) == (["self"], True, True)
        (wanted,) = call["Filters"]
        if wanted["Name"] == "is-public":
            return (each for each in self.cloud.images if each.get("Public"))
        return (each for each in self.cloud.images if each["ImageId"] in wanted["Values"])

    def get_image_block_public_access_state(self) -> dict[str, str]:
        return {"ImageBlockPublicAccessState": "unblocked"}

    def get_snapshot_block_public_access_state(self) -> dict[str, str]:
        return {"State": "block-all-sharing"}

    def get_service_quota(self, **call: str) -> dict[str, Any]:
        assert call == {"ServiceCode": "ec2", "QuotaCode": "L-0E3CBAB9"}
        return {"Quota": {"Value": 5.0}}


def test_a_region_is_looked_at_by_reading_alone() -> None:
    """Our AMIs by their ids, all public ones by their number, also those that are deprecated or disabled."""
    mine, other = image(HERE), image(THERE, Public=True)
    cloud = Cloud([mine, other])
    found = Inspector(cloud.client, count_parameters=True).look({HERE: [mine["ImageId"]]})
    seen = replace(found.pop(HERE), at="")
    assert (seen, found) == (RegionFacts(HERE, {mine["ImageId"]: mine}, 1, 5, "unblocked", "block-all-sharing", 3), {})


def test_parameters_are_counted_only_where_there_are_any() -> None:
    """That takes a while; nor are AMIs looked for where there are none."""
    cloud = Cloud([image()])
    found = Inspector(cloud.client).look({HERE: []})
    assert (found[HERE].images, found[HERE].parameters) == ({}, 0)
    assert "ssm" not in {service for service, _ in cloud.asked}


def test_one_region_that_does_not_answer_does_not_hide_the_others() -> None:
    """Its trouble stands where its facts would."""
    found = Inspector(Cloud([image()], frozenset({THERE})).client).look({HERE: [], THERE: ["ami-1"]})
    assert (found[HERE].trouble, found[THERE].trouble) == ("", f"{THERE}: no answer.")


def test_the_amis_that_matter_are_those_of_the_wanted_regions() -> None:
    """Every wanted Region is looked at, also one without an AMI."""
    both = Candidate(held(), (publication(), publication(THERE), replace(publication("ap-south-1"), image_id="")))
    assert preflight.images_of([both], [HERE, "ap-south-1"]) == {HERE: [f"ami-{HERE}"], "ap-south-1": []}
