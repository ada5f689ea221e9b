"""Who still uses an image: reports about other accounts, references in one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local.lab import AWAY, STRANGER, Lab, refused, root

OTHER = "444455556666"
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
INSTANCES = [{"ResourceType": "ec2:Instance"}]


@pytest.fixture
def lab(lab: Lab, tmp_path: Path) -> Lab:
    """A cloud in which somebody uses images; nothing comes of the one that is not asked for."""
    assert lab
    used = [
        {"image": "os/*", "account": STRANGER, "count": 3},
        {"image": "os/24.04", "account": STRANGER, "count": 2},
        {"image": "os/24.04", "account": OTHER, "type": "ec2:LaunchTemplate"},
        {"image": "os/24.04", "account": OTHER, "region": AWAY},
        {"image": "os/24.04", "arn": INSTANCE},
    ]
    return Lab(tmp_path / "used", images_in_use=used, usage_report_seconds=60)


def report(lab: Lab, image_id: str, kinds: tuple[str, ...] = ("ec2:Instance",), **other: Any) -> str:
    asked = [{"ResourceType": kind} for kind in kinds]
    made: str = lab.ec2().create_image_usage_report(ImageId=image_id, ResourceTypes=asked, **other)["ReportId"]
    return made


def state(lab: Lab, report_id: str) -> str:
    (shown,) = lab.ec2().describe_image_usage_reports(ReportIds=[report_id])["ImageUsageReports"]
    found: str = shown["State"]
    return found


def entries(lab: Lab, **asked: Any) -> list[tuple[str, str, int]]:
    found = lab.ec2().describe_image_usage_report_entries(**asked)["ImageUsageReportEntries"]
    return [(it["AccountId"], it["ResourceType"], it["UsageCount"]) for it in found]


def test_a_report_is_pending_before_it_is_available(lab: Lab) -> None:
    """Until then it has no entries, which does not mean that nobody uses the image."""
    report_id = report(lab, lab.image(name="os/24.04"))
    assert state(lab, report_id) == "pending"
    assert entries(lab, ReportIds=[report_id]) == []
    lab.wait(61)
    assert state(lab, report_id) == "available"
    assert entries(lab, ReportIds=[report_id]) == [(STRANGER, "ec2:Instance", 5)]


def test_a_report_is_about_what_was_asked_for(lab: Lab) -> None:
    """Types of resources, accounts, and one image."""
    mapping = [root(lab.snapshot())]
    image_id, unused = (lab.image(name=name, BlockDeviceMappings=mapping) for name in ("os/24.04", "unused"))
    both = report(lab, image_id, ("ec2:Instance", "ec2:LaunchTemplate"))
    others = report(lab, image_id, ("ec2:Instance", "ec2:LaunchTemplate"), AccountIds=[OTHER])
    nobody = report(lab, unused)
    lab.wait(61)
    assert entries(lab, ReportIds=[both]) == [(STRANGER, "ec2:Instance", 5), (OTHER, "ec2:LaunchTemplate", 1)]
    assert entries(lab, ReportIds=[others]) == [(OTHER, "ec2:LaunchTemplate", 1)]
    assert entries(lab, ReportIds=[nobody]) == []
    assert len(entries(lab, ImageIds=[image_id])) == 3
    only = [{"Name": "account-id", "Values": [OTHER]}]
    assert entries(lab, ReportIds=[both], Filters=only) == [(OTHER, "ec2:LaunchTemplate", 1)]


def test_a_report_can_fail(lab: Lab, tmp_path: Path) -> None:
    """Then nothing is known."""
    lab = Lab(tmp_path / "failing", failing_usage_reports=("us-east-1",))
    report_id = report(lab, lab.image(name="os/24.04"))
    assert state(lab, report_id) == "error"
    assert entries(lab, ReportIds=[report_id]) == []


def test_a_report_goes_after_thirty_days_or_when_it_is_deleted(lab: Lab) -> None:
    """Afterwards it is unknown."""
    image_id = lab.image(name="os/24.04")
    first, second = report(lab, image_id), report(lab, image_id)
    lab.ec2().delete_image_usage_report(ReportId=first)
    with refused("InvalidImageUsageReportId.NotFound"):
        state(lab, first)
    lab.wait(30 * 86400 + 1)
    with refused("InvalidImageUsageReportId.NotFound"):
        state(lab, second)


def test_a_token_makes_one_report(lab: Lab) -> None:
    """The same request again is the same report."""
    image_id = lab.image(name="os/24.04")
    assert report(lab, image_id, ClientToken="t") == report(lab, image_id, ClientToken="t")
    assert len(lab.ec2().describe_image_usage_reports(ImageIds=[image_id])["ImageUsageReports"]) == 1


def test_only_the_owner_asks(lab: Lab) -> None:
    """Another account knows nothing of the report, and cannot have one."""
    image_id = lab.image(name="os/24.04")
    lab.publish(image_id)
    stranger = lab.ec2(account=STRANGER)
    with refused("AuthFailure"):
        stranger.create_image_usage_report(ImageId=image_id, ResourceTypes=INSTANCES)
    report_id = report(lab, image_id)
    with refused("InvalidImageUsageReportId.NotFound"):
        stranger.describe_image_usage_reports(ReportIds=[report_id])


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ResourceTypes": None}, "MissingParameter"),
        ({"ResourceTypes": [{"ResourceType": "ssm:Parameter"}]}, "InvalidParameterValue"),
        ({"AccountIds": ["1"]}, "InvalidAMIAttributeItemValue"),
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
    ],
)
def test_a_report_that_cannot_be_is_refused(lab: Lab, wrong: dict[str, Any], code: str) -> None:
    """As every other call."""
    asked = {"ImageId": lab.image(), "ResourceTypes": INSTANCES} | wrong
    with refused(code):
        lab.ec2().create_image_usage_report(**{key: value for key, value in asked.items() if value is not None})


def test_our_own_resources_are_references(lab: Lab) -> None:
    """Those that the behaviour tells, and parameters that name the image: a parameter in use is a use."""
    image_id = lab.image(name="os/24.04")
    lab.ssm().put_parameter(Name="/os/current", Value=image_id, Type="String", DataType="aws:ec2:image")
    lab.ssm().get_parameter(Name="/os/current")
    found = lab.ec2().describe_image_references(ImageIds=[image_id], IncludeAllResourceTypes=True)["ImageReferences"]
    parameter = "arn:aws:ssm:us-east-1:123456789012:parameter/os/current"
    assert found == [
        {"ImageId": image_id, "ResourceType": "ec2:Instance", "Arn": INSTANCE},
        {"ImageId": image_id, "ResourceType": "ssm:Parameter", "Arn": parameter},
    ]
    only = lab.ec2().describe_image_references(ImageIds=[image_id], ResourceTypes=[{"ResourceType": "ssm:Parameter"}])
    assert [it["Arn"] for it in only["ImageReferences"]] == [parameter]
    assert lab.ec2(account=STRANGER).describe_image_references(ImageIds=[image_id], ResourceTypes=INSTANCES)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ImageIds": ["ami-nonsense"]}, "InvalidAMIID.Malformed"),
        ({"ImageIds": [f"ami-{number:017x}" for number in range(11)]}, "InvalidParameterValue"),
        ({"IncludeAllResourceTypes": False}, "MissingParameter"),
        ({"ResourceTypes": [{"ResourceType": "s3:Bucket"}], "IncludeAllResourceTypes": False}, "InvalidParameterValue"),
        ({"MaxResults": 4}, "InvalidParameterValue"),
    ],
)
def test_a_question_that_cannot_be_is_refused(lab: Lab, wrong: dict[str, Any], code: str) -> None:
    """Ten images at the most, and at least one type of resource."""
    asked = {"ImageIds": ["ami-0123456789abcdef0"], "IncludeAllResourceTypes": True} | wrong
    with refused(code):
        lab.ec2().describe_image_references(**asked)
