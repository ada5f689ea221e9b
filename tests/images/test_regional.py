"""Promises about one AMI in one Region, where EC2 shows things late or somebody else was faster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto import mock_aws

from chalicelib.errors import CloudRefused
from chalicelib.images.regional import Progress, RegionalImage
from chalicelib.index.records import BuildRecord, Method, PublicationState
from chalicelib.index.table import Index
from tests.examples import manifest
from tests.index.values import BUILD, Clock, empty_index, record

HOME, AWAY = "us-east-1", "eu-west-1"
PLANNED, REGISTERED, STAGED = PublicationState.PLANNED, PublicationState.REGISTERED, PublicationState.STAGED
FAILED = PublicationState.FAILED


@dataclass
class Ec2:
    """Shows ``images`` and remembers what it was asked to do."""

    region: str
    images: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def describe_images(self, ImageIds: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        return {"Images": [image for image in self.images if image["ImageId"] in ImageIds]}

    def pages(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        return iter(self.images)

    def copy_image(self, **call: Any) -> dict[str, str]:
        self.tokens.append(call["ClientToken"])
        return {"ImageId": f"ami-{call['ClientToken'][-1]}"}

    def __getattr__(self, action: str) -> Any:
        return lambda **_: self.changed.append(action)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The build, planned for two Regions, of which one copies the other's AMI."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        made = empty_index(Clock())
        made.record_build(build())
        made.plan(BUILD, {HOME: PLANNED, AWAY: PLANNED})
        made.advance(BUILD, AWAY, PLANNED, method=Method.COPY)
        yield made


def build() -> BuildRecord:
    return record(manifest=manifest())


def at(index: Index, ec2: Ec2) -> RegionalImage:
    return RegionalImage(index, ec2, build(), HOME, zeros_skipped=False)  # type: ignore[arg-type]  # a stand-in with the calls that are made


def image(name: str, state: str, made: str) -> dict[str, Any]:
    return {"ImageId": name, "State": state, "CreationDate": made}


def test_what_fails_after_home_was_staged_does_not_stop_the_copies(index: Index) -> None:
    """The quota of public images at home is home's own trouble: its AMI can be copied all the same."""
    index.advance(BUILD, HOME, REGISTERED, image_id="ami-home")
    index.advance(BUILD, HOME, STAGED)
    index.advance(BUILD, HOME, FAILED, reason="The quota is used up.")
    ec2 = Ec2(AWAY)
    assert at(index, ec2).register() is Progress.REGISTERED
    assert len(ec2.tokens) == 1


def test_a_home_that_failed_before_it_was_staged_leaves_nothing_to_copy(index: Index) -> None:
    """The copies say so, instead of waiting for what never comes."""
    index.advance(BUILD, HOME, FAILED, reason="The snapshot broke.")
    with pytest.raises(CloudRefused, match="there is nothing to copy"):
        at(index, Ec2(AWAY)).register()


def test_a_dead_ami_that_is_still_shown_does_not_hide_its_successor(index: Index) -> None:
    """A run that died after the second copy finds that one, and makes no third."""
    index.advance(BUILD, AWAY, PLANNED, image_id="", attempt=1)
    ec2 = Ec2(AWAY, [image("ami-dead", "failed", "2026-11-20"), image("ami-new", "pending", "2026-11-21")])
    assert at(index, ec2).register() is Progress.REGISTERED
    assert index.publication(BUILD, AWAY).image_id == "ami-new"
    assert (ec2.tokens, ec2.changed) == ([], [])


def test_an_ami_that_failed_is_copied_anew_under_another_token(index: Index) -> None:
    """The failed one is cleared away first; its token would only bring it back."""
    index.advance(BUILD, HOME, REGISTERED, image_id="ami-home")
    index.advance(BUILD, HOME, STAGED)
    index.advance(BUILD, AWAY, REGISTERED, image_id="ami-dead")
    ec2 = Ec2(AWAY, [image("ami-dead", "failed", "2026-11-20")])
    assert at(index, ec2).register() is Progress.REGISTERED
    assert ec2.changed == ["deregister_image"]
    assert [token[-2:] for token in ec2.tokens] == ["-1"]


def test_a_staged_ami_that_somebody_replaced_is_recorded_and_verified_again(index: Index) -> None:
    """The index forgets the AMI that is gone, and the new one begins where every AMI begins."""
    index.advance(BUILD, AWAY, REGISTERED, image_id="ami-gone")
    index.advance(BUILD, AWAY, STAGED)
    index.now.time = index.now.time.replace(hour=12)  # type: ignore[attr-defined]  # long after it should have been visible
    ec2 = Ec2(AWAY, [image("ami-new", "available", "2026-11-21")])
    at(index, ec2).register()
    publication = index.publication(BUILD, AWAY)
    assert (publication.image_id, publication.state) == ("ami-new", REGISTERED)
