"""Parameter Store: what it refuses at once, and the ids of images, which it checks afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broadside.local import ssm
from broadside.local.ssm.service import Surroundings
from tests.local.lab import AWAY, HOME, STRANGER, Lab, refused, root

NAME = "/example/server/24.04/amd64/current"
#: An id of the right form that nobody has.
NOBODYS = "ami-0123456789abcdef0"


def put(lab: Lab, value: str, *, region: str = HOME, name: str = NAME, **other: Any) -> int:
    """Put an image's id; gives the version."""
    asked = {"Type": "String", "DataType": "aws:ec2:image"} | other
    version: int = lab.ssm(region).put_parameter(Name=name, Value=value, **asked)["Version"]
    return version


def read(lab: Lab, name: str = NAME, region: str = HOME) -> str:
    value: str = lab.ssm(region).get_parameter(Name=name)["Parameter"]["Value"]
    return value


def test_an_images_id_appears_once_it_is_checked(lab: Lab, tmp_path: Path) -> None:
    """The answer comes at once, the parameter later."""
    lab = Lab(tmp_path / "slow", parameter_seconds=5)
    image_id = lab.image()
    assert put(lab, image_id) == 1
    with refused("ParameterNotFound"):
        read(lab)
    lab.wait(6)
    assert read(lab) == image_id
    shown = lab.ssm().get_parameter(Name=NAME)["Parameter"]
    assert (shown["Version"], shown["DataType"], shown["Type"]) == (1, "aws:ec2:image", "String")


@pytest.mark.parametrize("value", [NOBODYS, "ami-nonsense", "none"])
def test_an_images_id_that_is_none_is_answered_well_and_never_appears(lab: Lab, value: str) -> None:
    """A new parameter is not there; an existing one keeps its version."""
    assert put(lab, value) == 1
    with refused("ParameterNotFound"):
        read(lab)
    image_id = lab.image()
    put(lab, image_id)
    assert put(lab, value, Overwrite=True) == 2
    assert read(lab) == image_id
    assert [it["Version"] for it in lab.ssm().get_parameter_history(Name=NAME)["Parameters"]] == [1]


def test_an_image_must_be_available_in_the_region_and_to_the_account(lab: Lab, tmp_path: Path) -> None:
    """Pending, disabled, elsewhere, or another's private one: the parameter does not appear."""
    image_id = lab.image()
    put(lab, image_id, region=AWAY)
    with refused("ParameterNotFound"):
        read(lab, region=AWAY)
    stranger = lab.ssm(account=STRANGER)
    stranger.put_parameter(Name=NAME, Value=image_id, Type="String", DataType="aws:ec2:image")
    with refused("ParameterNotFound"):
        stranger.get_parameter(Name=NAME)
    lab.publish(image_id)
    stranger.put_parameter(Name=NAME, Value=image_id, Type="String", DataType="aws:ec2:image")
    assert stranger.get_parameter(Name=NAME)["Parameter"]["Value"] == image_id
    lab.ec2().disable_image(ImageId=image_id)
    put(lab, image_id)
    with refused("ParameterNotFound"):
        read(lab)
    slow = Lab(tmp_path / "slow", register_seconds=60)
    put(slow, slow.image())
    with refused("ParameterNotFound"):
        read(slow)


def test_the_caller_must_be_allowed_to_look_at_images(lab: Lab) -> None:
    """Without ec2:DescribeImages the call succeeds, and nothing comes of it."""
    said: list[dict[str, Any]] = []
    around = Surroundings(may_describe=lambda _key: False, publish=lambda _region, event: said.append(event))
    ssm.install(lab.world, lab.cloud, around)
    put(lab, lab.image())
    with refused("ParameterNotFound"):
        read(lab)
    assert [event["detail"]["exception"] for event in said] == ["Unable to Describe Resource"]


def test_an_event_tells_what_became_of_it(lab: Lab) -> None:
    """Parameter Store Change, with an exception when the check has failed."""
    said: list[tuple[str, dict[str, Any]]] = []
    ssm.install(lab.world, lab.cloud, Surroundings(publish=lambda region, event: said.append((region, event))))
    image_id = lab.image()
    put(lab, image_id)
    read(lab)
    put(lab, NOBODYS, Overwrite=True)
    read(lab)
    (region, good), (_, bad) = said
    assert (region, good["source"], good["detail-type"]) == (HOME, "aws.ssm", "Parameter Store Change")
    assert good["resources"] == [f"arn:aws:ssm:us-east-1:123456789012:parameter{NAME}"]
    assert good["detail"] == {"operation": "Create", "name": NAME, "type": "String", "dataType": "aws:ec2:image"}
    assert bad["detail"]["operation"] == "Update"
    assert bad["detail"]["exception"] == "Unable to Describe Resource"


def test_versions_appear_in_their_order(lab: Lab, tmp_path: Path) -> None:
    """Two updates on their way have two numbers, and the later one is what is read in the end."""
    lab = Lab(tmp_path / "slow", parameter_seconds=5)
    mapping = [root(lab.snapshot())]
    first, second = (lab.image(name=name, BlockDeviceMappings=mapping) for name in ("one", "two"))
    assert [put(lab, first, Overwrite=True), put(lab, second, Overwrite=True)] == [1, 2]
    lab.wait(6)
    assert read(lab) == second
    history = lab.ssm().get_parameter_history(Name=NAME)["Parameters"]
    assert [(it["Version"], it["Value"]) for it in history] == [(1, first), (2, second)]
    assert read(lab, f"{NAME}:1") == first


def test_a_parameter_is_not_overwritten_by_accident(lab: Lab) -> None:
    """ParameterAlreadyExists without Overwrite; each Region has its own."""
    image_id = lab.image()
    put(lab, image_id)
    with refused("ParameterAlreadyExists"):
        put(lab, image_id)
    lab.ssm(AWAY).put_parameter(Name=NAME, Value="x", Type="String")
    assert read(lab, region=AWAY) == "x"
    assert put(lab, image_id, Overwrite=True) == 2


def test_tags_come_at_creation_or_by_themselves(lab: Lab) -> None:
    """Never together with Overwrite."""
    image_id = lab.image()
    tags = [{"Key": "build", "Value": "b1"}]
    with refused("ValidationException"):
        put(lab, image_id, Overwrite=True, Tags=tags)
    put(lab, image_id, Tags=tags)
    api, of = lab.ssm(), {"ResourceType": "Parameter", "ResourceId": NAME}
    assert api.list_tags_for_resource(**of)["TagList"] == tags
    api.add_tags_to_resource(**of, Tags=[{"Key": "build", "Value": "b2"}])
    assert api.list_tags_for_resource(**of)["TagList"] == [{"Key": "build", "Value": "b2"}]
    with refused("InvalidResourceId"):
        api.add_tags_to_resource(ResourceType="Parameter", ResourceId="/none", Tags=tags)


def test_a_parameter_that_never_appeared_leaves_no_tags(lab: Lab) -> None:
    """They would be found on the next one of that name."""
    put(lab, NOBODYS, Tags=[{"Key": "build", "Value": "b1"}])
    put(lab, lab.image())
    assert lab.ssm().list_tags_for_resource(ResourceType="Parameter", ResourceId=NAME)["TagList"] == []


def test_what_is_deleted_does_not_come_back(lab: Lab, tmp_path: Path) -> None:
    """Not even a version that was on its way."""
    lab = Lab(tmp_path / "slow", parameter_seconds=5)
    image_id = lab.image()
    put(lab, image_id)
    lab.wait(6)
    put(lab, image_id, Overwrite=True)
    lab.ssm().delete_parameter(Name=NAME)
    lab.wait(6)
    with refused("ParameterNotFound"):
        read(lab)
    with refused("ParameterNotFound"):
        lab.ssm().delete_parameter(Name=NAME)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/a b", "ValidationException"),
        ("/a//b", "ValidationException"),
        ("/a/", "ValidationException"),
        ("a/b", "ValidationException"),
        ("aws-image", "ValidationException"),
        ("/ssm/image", "ValidationException"),
        ("/aws/service/image", "AccessDeniedException"),
        ("/a" * 16, "HierarchyLevelLimitExceededException"),
        ("/" + "a" * 1000, "ValidationException"),
    ],
)
def test_a_name_that_cannot_be_is_refused(lab: Lab, name: str, code: str) -> None:
    """At once, before anything is checked."""
    with refused(code):
        put(lab, NOBODYS, name=name)


def test_fifteen_levels_are_allowed(lab: Lab) -> None:
    """And every character that a product's name needs."""
    name = "/a.b_c-D1" * 15
    put(lab, image_id := lab.image(), name=name)
    assert read(lab, name) == image_id


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"Type": "StringList"}, "ValidationException"),
        ({"DataType": "aws:ec2:volume"}, "ValidationException"),
        ({"Type": None}, "ValidationException"),
    ],
)
def test_an_images_id_is_a_string(lab: Lab, wrong: dict[str, Any], code: str) -> None:
    """Of a data type that exists."""
    with refused(code):
        put(lab, lab.image(), **wrong)


def test_the_type_does_not_change(lab: Lab) -> None:
    """Overwriting may leave it out, but not name another one."""
    lab.ssm().put_parameter(Name=NAME, Value="a,b", Type="StringList")
    with refused("HierarchyTypeMismatchException"):
        lab.ssm().put_parameter(Name=NAME, Value="a", Type="String", Overwrite=True)
    lab.ssm().put_parameter(Name=NAME, Value="c", Overwrite=True)
    assert read(lab) == "c"


@pytest.mark.parametrize("value", ["", "x" * 4097, "{{ssm:other}}"])
def test_a_value_that_cannot_be_is_refused(lab: Lab, value: str) -> None:
    """Empty, too long for a standard parameter, or a reference."""
    with refused("ValidationException"):
        lab.ssm().put_parameter(Name=NAME, Value=value, Type="String")


def test_parameters_have_a_quota(lab: Lab, tmp_path: Path) -> None:
    """ParameterLimitExceeded for one more, those on their way included; a new version is not one more."""
    lab = Lab(tmp_path / "tight", parameters_quota=2, parameter_seconds=5)
    put(lab, image_id := lab.image(), name="/one")
    lab.ssm().put_parameter(Name="/two", Value="x", Type="String")
    lab.ssm().put_parameter(Name="/two", Value="y", Type="String", Overwrite=True)
    with refused("ParameterLimitExceeded"):
        put(lab, image_id, name="/three")
    lab.ssm().delete_parameter(Name="/two")
    put(lab, image_id, name="/three")


def test_the_first_call_in_a_region_may_be_refused(lab: Lab, tmp_path: Path) -> None:
    """Once, and only where the behaviour says so."""
    lab = Lab(tmp_path / "new", first_parameter_refused=(AWAY,))
    with refused("ValidationException"):
        lab.ssm(AWAY).get_parameters(Names=[NAME])
    assert lab.ssm(AWAY).get_parameters(Names=[NAME])["InvalidParameters"] == [NAME]
    assert lab.ssm().get_parameters(Names=[NAME])["InvalidParameters"] == [NAME]
