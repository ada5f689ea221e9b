"""What simplestreams calls a Region."""

from __future__ import annotations

from itertools import product
from typing import get_args

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.builds.manifest import Ec2
from chalicelib.streams import regions

SESSION = boto3.session.Session()
PARTITIONS = {name: SESSION.get_available_regions("ec2", partition_name=name) for name in SESSION.get_available_partitions()}
EVERY_REGION = sorted({region for names in PARTITIONS.values() for region in names})

DIRECTIONS = ["north", "south", "east", "west", "central", "northeast", "northwest", "southeast", "southwest", "upper"]


@pytest.mark.parametrize(
    ("region", "key"),
    [
        ("us-east-1", "usee1hs"),
        ("us-west-2", "usww2hs"),
        ("eu-central-1", "eucc1hs"),
        ("ap-northeast-3", "apne3hs"),
        ("ap-southeast-7", "apse7hs"),
        ("mx-central-1", "mxcc1hs"),
        ("il-central-1", "ilcc1hs"),
        ("cn-northwest-1", "cnnw1hs"),
        ("us-gov-east-1", "usgovee1hs"),
    ],
)
def test_item_keys_are_those_of_the_format(region: str, key: str) -> None:
    """Country, direction, digit, then hvm and ssd."""
    assert regions.item_key(region, "ssd") == key


def test_item_keys_are_unique_over_all_regions_that_there_are() -> None:
    """Every Region of every partition that botocore knows has a key of its own, for each root store."""
    keys = [regions.item_key(region, store) for region, store in product(EVERY_REGION, regions.STORE_LETTERS)]
    assert len(EVERY_REGION) > 40
    assert len(set(keys)) == len(keys)


REGION = st.builds(
    "{}-{}-{}".format,
    st.sampled_from(["us", "eu", "ap", "us-gov", "us-isob"]),
    st.sampled_from(DIRECTIONS),
    st.integers(1, 99),
)


@given(REGION, REGION)
def test_item_keys_are_unique_over_regions_to_come(one: str, other: str) -> None:
    """Two names of the shape of a Region's have the same key only if they are the same."""
    assert (regions.item_key(one, "ssd") == regions.item_key(other, "ssd")) == (one == other)


@pytest.mark.parametrize("region", EVERY_REGION)
def test_endpoints_are_those_of_the_cloud(region: str) -> None:
    """The endpoint that readers compare is the one that botocore connects to."""
    client = SESSION.client("ec2", region_name=region, aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106
    assert regions.endpoint(region) == client.meta.endpoint_url


def test_each_partition_has_a_file_of_its_own() -> None:
    """Regions of one partition share a cloud, those of two never do."""
    clouds = {name: {regions.partition(region).cloud for region in names} for name, names in PARTITIONS.items() if names}
    assert clouds["aws"] == {"aws"}
    assert clouds["aws-cn"] == {"aws-cn"}
    assert clouds["aws-us-gov"] == {"aws-govcloud"}
    assert sorted(cloud for each in clouds.values() for cloud in each) == sorted(
        {partition.cloud for partition in regions.PARTITIONS}
    )


def test_every_volume_type_has_a_root_store() -> None:
    """Whatever a manifest may ask for, the streams have a word and a letter for."""
    volume_types = get_args(Ec2.model_fields["root_volume_type"].annotation)
    assert set(volume_types) == set(regions.ROOT_STORES)
    assert set(regions.ROOT_STORES.values()) <= set(regions.STORE_LETTERS)
