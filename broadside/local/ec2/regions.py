"""DescribeRegions: the Regions of the behaviour, and whether the account has opted into them.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeRegions.html
"""

from __future__ import annotations

from broadside.local.ec2 import errors
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.query import View, select

FILTERS = {"endpoint": "Endpoint", "opt-in-status": "OptInStatus", "region-name": "RegionName"}


def describe(cloud: Cloud, call: Call) -> View:
    """DescribeRegions: those that are enabled, all with AllRegions, or those that are named.

    Raises:
        Ec2Error: InvalidParameterValue for a name or a filter that is not known.
    """
    names: list[str] = call.get("RegionNames", [])
    unknown = [name for name in names if cloud.behaviour.region(name) is None]
    if unknown:
        raise errors.invalid_value(f"Invalid region names: [{', '.join(unknown)}]")
    everything = call.get("AllRegions", False)
    found = [
        {"RegionName": spec.name, "Endpoint": f"ec2.{spec.name}.amazonaws.com", "OptInStatus": spec.opt_in}
        for spec in cloud.behaviour.regions
        if (spec.name in names if names else everything or spec.enabled)
    ]
    return {"Regions": select(found, call.get("Filters", []), FILTERS)}
