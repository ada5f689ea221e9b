"""Promises about the parameters that name AMIs: looked at first, read back, and only ours removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.builds.manifest import Manifest
from chalicelib.errors import CloudBusy, CloudRefused
from chalicelib.images.parameters import Parameters, names
from tests.examples import manifest

NAME = "/images/current"
TAGS = {"broadside:build": "one"}


@dataclass
class Ssm:
    """Keeps parameters, and remembers what was changed."""

    held: dict[str, str] = field(default_factory=dict)
    put: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    error: Exception | None = None
    region: str = "eu-west-1"

    def get_parameter(self, Name: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if Name not in self.held:
            raise CloudRefused("no such parameter", code="ParameterNotFound")
        return {"Parameter": {"Value": self.held[Name]}}

    def put_parameter(self, **call: Any) -> None:
        self.put.append(call)
        if self.error is not None:
            raise self.error
        assert not ("Tags" in call and call.get("Overwrite")), "SSM takes one of the two"
        assert call["Name"] not in self.held or call.get("Overwrite"), "ParameterAlreadyExists"
        self.held[call["Name"]] = call["Value"]

    def delete_parameter(self, Name: str) -> None:  # noqa: N803 - boto3's name
        self.deleted.append(Name)
        del self.held[Name]


def of(ssm: Ssm) -> Parameters:
    return Parameters(ssm, TAGS)  # type: ignore[arg-type]  # a stand-in with the calls that are made


def test_a_parameter_that_holds_the_ami_is_not_put() -> None:
    """Each put would be another version of it."""
    ssm = Ssm({NAME: "ami-1"})
    of(ssm).put(NAME, "ami-1")
    assert ssm.put == []


def test_a_new_parameter_gets_tags() -> None:
    """And the type by which SSM looks at the AMI."""
    ssm = Ssm()
    of(ssm).put(NAME, "ami-1")
    (call,) = ssm.put
    assert (call["Type"], call["DataType"]) == ("String", "aws:ec2:image")
    assert call["Tags"] == [{"Key": "broadside:build", "Value": "one"}]
    assert "Overwrite" not in call


def test_an_old_parameter_is_overwritten_without_tags() -> None:
    """SSM refuses both together."""
    ssm = Ssm({NAME: "ami-0"})
    of(ssm).put(NAME, "ami-1")
    (call,) = ssm.put
    assert (call["Overwrite"], "Tags" in call, ssm.held) == (True, False, {NAME: "ami-1"})


@pytest.mark.parametrize(
    "error",
    [
        CloudRefused("You are not allowed to use this namespace yet: try again.", code="ValidationException"),
        CloudRefused("It exists.", code="ParameterAlreadyExists"),
    ],
)
def test_what_goes_by_is_tried_again(error: CloudRefused) -> None:
    """The first use in a Region, and another writer who was faster."""
    with pytest.raises(CloudBusy) as caught:
        of(Ssm(error=error)).put(NAME, "ami-1")
    assert (str(caught.value), caught.value.code) == (str(error), error.code)


@pytest.mark.parametrize("code", ["ParameterLimitExceeded", "AccessDeniedException"])
def test_what_does_not_go_by_is_refused(code: str) -> None:
    """Somebody has to do something about it."""
    with pytest.raises(CloudRefused):
        of(Ssm(error=CloudRefused("no", code=code))).put(NAME, "ami-1")


def test_a_trouble_while_looking_is_not_taken_for_an_empty_parameter() -> None:
    """Else one that is there would be taken for new."""

    class Denied(Ssm):
        def get_parameter(self, Name: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
            raise CloudRefused(f"no access to {Name}", code="AccessDeniedException")

    ssm = Denied()
    with pytest.raises(CloudRefused):
        of(ssm).put(NAME, "ami-1")
    assert ssm.put == []


@pytest.mark.parametrize(("held", "there"), [({}, "nothing"), ({NAME: "ami-0"}, "ami-0"), ({"/a": "ami-1"}, "nothing")])
def test_what_is_not_shown_yet_is_waited_for(held: dict[str, str], there: str) -> None:
    """SSM answers at once and looks at the AMI afterwards; the sentence says what is there instead."""
    with pytest.raises(CloudBusy, match=f"eu-west-1: the parameter {NAME} holds {there} instead of ami-1") as caught:
        of(Ssm(held)).expect("ami-1", [NAME])
    assert caught.value.code == "NotVisible"


def test_what_is_shown_is_expected_no_more() -> None:
    """All of them; and none is fine where none was wanted."""
    of(Ssm({NAME: "ami-1", "/a": "ami-1"})).expect("ami-1", [NAME, "/a"])
    of(Ssm()).expect("ami-1", [])


def test_only_a_parameter_that_holds_the_ami_is_removed() -> None:
    """Another build's stays; removed twice is removed."""
    ssm = Ssm({NAME: "ami-2", "/a": "ami-1"})
    for name in (NAME, "/a", "/a"):
        of(ssm).remove(name, "ami-1")
    assert (ssm.held, ssm.deleted) == ({NAME: "ami-2"}, ["/a"])


def test_names_come_from_the_manifest() -> None:
    """Colons, which SSM does not take, become slashes; `current` stands in the serial's place; without a template, nothing."""
    made = Manifest.model_validate(manifest())
    assert names("/images/{product}/{stream}/{serial}", made) == (
        "/images/com.example.cloud/server/24.04/amd64/daily/20261120",
        "/images/com.example.cloud/server/24.04/amd64/daily/current",
    )
    assert names("", made) == ("", "")
