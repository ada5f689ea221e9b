"""Promises about letting the world have an AMI and taking it back, where each step may come twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from moto import mock_aws

from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.images.sharing import Sharing
from chalicelib.index.records import BuildRecord, PublicationState
from chalicelib.index.table import Index
from chalicelib.index.transitions import PRIVATE
from chalicelib.names import TAG_DIGEST, BuildId
from chalicelib.policy import StreamPolicy
from tests.examples import manifest
from tests.images.test_parameters import Ssm
from tests.index.values import BUILD, Clock, empty_index, record

HERE = "eu-west-1"
P = PublicationState
WITH_PARAMETER = StreamPolicy(parameter="/images/{serial}")
OWN, CURRENT = "/images/20261120", "/images/current"


def build(one: BuildId = BUILD) -> BuildRecord:
    return record(one, manifest=manifest(build=one))


@dataclass
class Ec2:
    """One AMI and its snapshot; remembers every change."""

    image: dict[str, Any] | None = field(
        default_factory=lambda: {
            "ImageId": "ami-1",
            "State": "available",
            "Public": False,
            "Tags": [{"Key": TAG_DIGEST, "Value": build().digest}],
            "RootDeviceName": "/dev/sda1",
            "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "snap-1"}}],
        }
    )
    region: str = HERE
    blocked: str = "unblocked"
    snapshot_open: bool = False
    stubborn: bool = False
    refuse: dict[str, CloudRefused] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    deprecated: list[datetime] = field(default_factory=list)

    def describe_images(self, ImageIds: list[str], ExecutableUsers: tuple[str, ...] = (), **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's names
        shown = self.image is not None and self.image["ImageId"] in ImageIds
        if ExecutableUsers and not (self.image or {}).get("Public"):
            shown = False
        return {"Images": [dict(self.image or {})] if shown else []}

    def get_image_block_public_access_state(self) -> dict[str, str]:
        return {"ImageBlockPublicAccessState": self.blocked}

    def describe_snapshot_attribute(self, **_: Any) -> dict[str, Any]:
        return {"CreateVolumePermissions": [{"Group": "all"}] if self.snapshot_open else []}

    def modify_image_attribute(self, OperationType: str, **_: Any) -> None:  # noqa: N803 - boto3's name
        self._change("modify_image_attribute", OperationType)
        assert self.image is not None
        self.image["Public"] = OperationType == "add" or self.stubborn

    def modify_snapshot_attribute(self, OperationType: str, **_: Any) -> None:  # noqa: N803 - boto3's name
        self._change("modify_snapshot_attribute", OperationType)
        self.snapshot_open = OperationType == "add"

    def enable_image_deregistration_protection(self, **_: Any) -> None:
        self._change("protect", "")
        assert self.image is not None
        self.image["DeregistrationProtection"] = "enabled-without-cooldown"

    def enable_image_deprecation(self, DeprecateAt: datetime, **_: Any) -> None:  # noqa: N803 - boto3's name
        self._change("deprecate", "")
        assert self.image is not None
        self.deprecated.append(DeprecateAt)
        self.image["DeprecationTime"] = DeprecateAt.strftime("%Y-%m-%dT%H:%M:00.000Z")

    def _change(self, action: str, how: str) -> None:
        if action in self.refuse:
            raise self.refuse[action]
        self.changed.append(f"{action} {how}".strip())


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """A build whose AMI is staged in one Region, and whose turn has come."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        made = empty_index(Clock())
        stage(made, BUILD, "ami-1")
        yield made


def stage(index: Index, one: BuildId, image_id: str) -> None:
    index.record_build(build(one))
    index.plan(one, {HERE: P.PLANNED})
    index.open_region(one, HERE)
    index.advance(one, HERE, P.STAGED, image_id=image_id)


def publish(index: Index, serial: str, image_id: str) -> None:
    one = replace(BUILD, serial=serial)
    stage(index, one, image_id)
    index.advance(one, HERE, P.PUBLIC)


def at(index: Index, ec2: Ec2, ssm: Ssm | None = None, policy: StreamPolicy | None = None) -> Sharing:
    return Sharing(index, ec2, ssm or Ssm(), build(), policy or StreamPolicy())  # type: ignore[arg-type]  # stand-ins with the calls that are made


def test_an_ami_is_opened_with_its_snapshot_once(index: Index) -> None:
    """The second time everything is there, and nothing is called; then it can be confirmed."""
    ec2 = Ec2()
    at(index, ec2).open()
    assert ec2.changed == ["modify_image_attribute add", "modify_snapshot_attribute add"]
    at(index, ec2).open()
    assert len(ec2.changed) == 2
    at(index, ec2).confirm()
    assert index.publication(BUILD, HERE).state is P.PUBLIC


def test_an_ami_that_is_being_made_anew_is_not_made_public(index: Index) -> None:
    """A release that comes between waits until the AMI is verified."""
    index.advance(BUILD, HERE, P.REGISTERED, image_id="ami-1", attempt=1)
    ec2 = Ec2()
    with pytest.raises(CloudBusy, match="has to be verified"):
        at(index, ec2).open()
    assert ec2.changed == []


def test_an_ami_that_was_taken_back_is_not_made_public(index: Index) -> None:
    """A writer that is late finds that its turn is over."""
    index.take_back(BUILD, HERE, P.STAGED, "why")
    ec2 = Ec2()
    with pytest.raises(CloudRefused, match="was taken back"):
        at(index, ec2).open()
    assert ec2.changed == []


def test_an_ami_without_our_tags_is_not_made_public(index: Index) -> None:
    """Somebody may have put another in its place."""
    ec2 = Ec2()
    assert ec2.image is not None
    ec2.image["Tags"] = []
    with pytest.raises(CloudRefused, match="does not carry this build's tags"):
        at(index, ec2).open()
    assert ec2.changed == []


@pytest.mark.parametrize("state", [None, "pending"])
def test_an_ami_that_is_not_available_is_waited_for(index: Index, state: str | None) -> None:
    """EC2 shows things late."""
    ec2 = Ec2()
    ec2.image = None if state is None or ec2.image is None else ec2.image | {"State": state}
    with pytest.raises(CloudBusy, match="ami-1 is not available"):
        at(index, ec2).open()


def test_a_region_that_blocks_public_images_says_what_to_do(index: Index) -> None:
    """Before anything is called."""
    ec2 = Ec2(blocked="block-new-sharing")
    with pytest.raises(CloudRefused, match="DisableImageBlockPublicAccess"):
        at(index, ec2).open()
    assert ec2.changed == []


@pytest.mark.parametrize(
    ("action", "advice"), [("modify_image_attribute", "L-0E3CBAB9"), ("modify_snapshot_attribute", "DisableSnapshotBlock")]
)
def test_a_refusal_says_what_to_do_about_it(index: Index, action: str, advice: str) -> None:
    """But for a missing permission, which says so itself."""
    with pytest.raises(CloudRefused, match=advice) as caught:
        at(index, Ec2(refuse={action: CloudRefused("Too many.", code="ResourceLimitExceeded")})).open()
    assert caught.value.code == "ResourceLimitExceeded"
    with pytest.raises(CloudRefused, match=r"^Not allowed\.$"):
        at(index, Ec2(refuse={action: CloudRefused("Not allowed.", code="UnauthorizedOperation")})).open()


def test_what_its_policy_wants_is_set_once(index: Index) -> None:
    """Protection, and the day of its deprecation, counted from the Region's own turn."""
    ec2, policy = Ec2(), StreamPolicy(protect=True, deprecate_days=30)
    for _ in range(2):
        at(index, ec2, policy=policy).open()
    assert ec2.changed[2:] == ["protect", "deprecate"]
    released = datetime.fromisoformat(index.publication(BUILD, HERE).released_at)
    assert [(each - released).days for each in ec2.deprecated] == [30]


def test_what_is_not_shown_to_everybody_is_not_public_yet(index: Index) -> None:
    """Nor is it in the index."""
    with pytest.raises(CloudBusy, match="not shown as public yet"):
        at(index, Ec2()).confirm()
    assert index.publication(BUILD, HERE).state is P.STAGED


def test_a_parameter_that_does_not_hold_the_ami_keeps_it_from_being_public(index: Index) -> None:
    """SSM may refuse an AMI after it has answered."""
    ec2, ssm = Ec2(), Ssm()
    at(index, ec2, ssm, WITH_PARAMETER).open()
    assert ssm.held == {OWN: "ami-1", CURRENT: "ami-1"}
    ssm.held[CURRENT] = "ami-0"
    with pytest.raises(CloudBusy, match=CURRENT):
        at(index, ec2, ssm, WITH_PARAMETER).confirm()
    assert index.publication(BUILD, HERE).state is P.STAGED
    ssm.held[CURRENT] = "ami-1"
    at(index, ec2, ssm, WITH_PARAMETER).confirm()
    assert index.publication(BUILD, HERE).state is P.PUBLIC


def test_without_a_template_no_parameter_is_touched(index: Index) -> None:
    """Neither set nor removed."""
    ec2, ssm = Ec2(), Ssm({OWN: "ami-1"})
    at(index, ec2, ssm).open()
    index.take_back(BUILD, HERE, P.WITHDRAWN, "why")
    at(index, ec2, ssm).close()
    assert (ssm.put, ssm.deleted) == ([], [])


def test_a_newer_public_build_keeps_the_current_parameter(index: Index) -> None:
    """An older build that is released later gets its own only."""
    publish(index, "20261121", "ami-2")
    ec2, ssm = Ec2(), Ssm({CURRENT: "ami-2"})
    at(index, ec2, ssm, WITH_PARAMETER).open()
    at(index, ec2, ssm, WITH_PARAMETER).confirm()
    assert ssm.held == {CURRENT: "ami-2", OWN: "ami-1"}


def test_of_two_builds_that_go_together_the_newer_gets_the_current_parameter(index: Index) -> None:
    """Whichever comes first."""
    stage(index, replace(BUILD, serial="20261121"), "ami-2")
    ssm = Ssm()
    at(index, Ec2(), ssm, WITH_PARAMETER).open()
    assert ssm.held == {OWN: "ami-1"}


def public(index: Index, ssm: Ssm) -> Ec2:
    ec2 = Ec2()
    at(index, ec2, ssm, WITH_PARAMETER).open()
    at(index, ec2, ssm, WITH_PARAMETER).confirm()
    ec2.changed.clear()
    return ec2


@pytest.mark.parametrize("state", [P.STAGED, P.WITHDRAWN])
def test_what_was_taken_back_is_made_private_once(index: Index, state: PublicationState) -> None:
    """Its parameters go, then the permissions of image and snapshot; the index notes it."""
    ssm = Ssm()
    ec2 = public(index, ssm)
    index.take_back(BUILD, HERE, state, "why")
    for _ in range(2):
        at(index, ec2, ssm, WITH_PARAMETER).close()
    assert ec2.changed == ["modify_image_attribute remove", "modify_snapshot_attribute remove"]
    assert ssm.held == {}
    assert PRIVATE in index.publication(BUILD, HERE).times


def test_the_current_parameter_goes_back_to_the_ami_before(index: Index) -> None:
    """The newest that is public still."""
    ssm = Ssm({CURRENT: "ami-0"})
    publish(index, "20261118", "ami-00")
    publish(index, "20261119", "ami-0")
    ec2 = public(index, ssm)
    assert ssm.held == {CURRENT: "ami-1", OWN: "ami-1"}
    index.take_back(BUILD, HERE, P.WITHDRAWN, "why")
    at(index, ec2, ssm, WITH_PARAMETER).close()
    assert ssm.held == {CURRENT: "ami-0"}


def test_a_current_parameter_that_holds_another_ami_stays(index: Index) -> None:
    """A newer build is not affected by the withdrawal of an older one."""
    ssm = Ssm()
    ec2 = public(index, ssm)
    publish(index, "20261121", "ami-2")
    ssm.held[CURRENT] = "ami-2"
    index.take_back(BUILD, HERE, P.WITHDRAWN, "why")
    at(index, ec2, ssm, WITH_PARAMETER).close()
    assert ssm.held == {CURRENT: "ami-2"}


def test_an_ami_that_is_still_shown_as_public_is_not_noted_as_private(index: Index) -> None:
    """It is looked at again later."""
    ssm = Ssm()
    ec2 = public(index, ssm)
    ec2.stubborn = True
    index.take_back(BUILD, HERE, P.WITHDRAWN, "why")
    with pytest.raises(CloudBusy, match="still shown as public"):
        at(index, ec2, ssm, WITH_PARAMETER).close()
    assert PRIVATE not in index.publication(BUILD, HERE).times


def test_an_ami_that_is_gone_is_private(index: Index) -> None:
    """There is nothing left to take away but its parameters."""
    ssm = Ssm()
    ec2 = public(index, ssm)
    ec2.image = None
    index.take_back(BUILD, HERE, P.WITHDRAWN, "why")
    at(index, ec2, ssm, WITH_PARAMETER).close()
    assert (ec2.changed, ssm.held) == ([], {})
    assert PRIVATE in index.publication(BUILD, HERE).times
