"""Service Quotas: what the account may have, and asking for more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from broadside.local.behaviour import Behaviour
from broadside.local.quotas import Quotas
from broadside.local.world import ACCOUNT_ID, Clock, World
from tests.local.lab import AWAY, HOME, client, refused

PUBLIC = {"ServiceCode": "ec2", "QuotaCode": "L-0E3CBAB9"}


@pytest.fixture
def quotas(tmp_path: Path) -> Iterator[Any]:
    with mock_aws():
        Quotas(World(tmp_path, Behaviour(public_images_quota=40), Clock())).install()
        yield client("service-quotas", HOME, ACCOUNT_ID)


def test_the_quota_of_public_images_is_the_behaviours(quotas: Any) -> None:
    """The default is what everybody has."""
    quota = quotas.get_service_quota(**PUBLIC)["Quota"]
    assert (quota["Value"], quota["QuotaName"], quota["Adjustable"]) == (40, "Public AMIs", True)
    assert quota["QuotaArn"] == f"arn:aws:servicequotas:{HOME}:{ACCOUNT_ID}:ec2/L-0E3CBAB9"
    assert quotas.get_aws_default_service_quota(**PUBLIC)["Quota"]["Value"] == 5


@pytest.mark.parametrize(
    "asked", [{"ServiceCode": "ec2", "QuotaCode": "L-12345678"}, {"ServiceCode": "x1", "QuotaCode": "L-1"}]
)
def test_an_unknown_quota_is_refused(quotas: Any, asked: dict[str, str]) -> None:
    """NoSuchResourceException."""
    with refused("NoSuchResourceException"):
        quotas.get_service_quota(**asked)
    with refused("NoSuchResourceException"):
        quotas.get_aws_default_service_quota(**asked)


def test_more_is_asked_for_once(quotas: Any) -> None:
    """A request is recorded in its Region and stays pending; nothing is granted by that."""
    asked = quotas.request_service_quota_increase(**PUBLIC, DesiredValue=50)["RequestedQuota"]
    assert (asked["Status"], asked["DesiredValue"]) == ("PENDING", 50)
    assert quotas.get_requested_service_quota_change(RequestId=asked["Id"])["RequestedQuota"]["Id"] == asked["Id"]
    history = quotas.list_requested_service_quota_change_history_by_quota(**PUBLIC)["RequestedQuotas"]
    assert [it["Id"] for it in history] == [asked["Id"]]
    with refused("ResourceAlreadyExistsException"):
        quotas.request_service_quota_increase(**PUBLIC, DesiredValue=60)
    client("service-quotas", AWAY, ACCOUNT_ID).request_service_quota_increase(**PUBLIC, DesiredValue=60)
    assert quotas.get_service_quota(**PUBLIC)["Quota"]["Value"] == 40


def test_less_is_not_asked_for(quotas: Any) -> None:
    """Nor as much as there is."""
    with refused("IllegalArgumentException"):
        quotas.request_service_quota_increase(**PUBLIC, DesiredValue=40)
