"""What simplestreams calls a Region: the file it belongs to, its endpoint, and the short key of its items.  No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Partition:
    """A part of AWS with accounts of its own.  ``cloud`` is what simplestreams calls it, and part of the content id."""

    prefix: str
    cloud: str
    domain: str


#: By the beginning of the Region's name; the first that fits counts.  Domains: botocore's ``partitions.json``.
PARTITIONS = (
    Partition("cn-", "aws-cn", "amazonaws.com.cn"),
    Partition("us-gov-", "aws-govcloud", "amazonaws.com"),
    Partition("eusc-", "aws-eusc", "amazonaws.eu"),
    Partition("us-iso-", "aws-iso", "c2s.ic.gov"),
    Partition("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    Partition("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    Partition("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    Partition("", "aws", "amazonaws.com"),
)

#: The letter of an item key for each root store, after the ``h`` of hvm.
STORE_LETTERS = {"ssd": "s", "ebs": "e"}

#: Simplestreams' root store for each EBS volume type that a manifest may ask for.
ROOT_STORES = {"gp3": "ssd", "gp2": "ssd", "standard": "ebs"}

_DIRECTIONS = {"north": "n", "south": "s", "east": "e", "west": "w", "central": "c"}


def partition(region: str) -> Partition:
    """The partition that a Region belongs to."""
    return next(each for each in PARTITIONS if region.startswith(each.prefix))


def endpoint(region: str) -> str:
    """The EC2 endpoint of a Region as readers compare it: no slash at the end."""
    return f"https://ec2.{region}.{partition(region).domain}"


def item_key(region: str, root_store: str) -> str:
    """The key of an item within its version: country, direction, digit, virtualisation, store; ``usee1hs`` for us-east-1.

    A direction of one word has its letter twice (``usee1``), one of two words both letters (``apse2``).  A name of another
    shape keeps all its letters, so that two Regions never share a key.
    """
    *country, direction, number = region.split("-")
    return f"{''.join(country)}{_short(direction)}{number}h{STORE_LETTERS[root_store]}"


def _short(direction: str) -> str:
    if direction in _DIRECTIONS:
        return _DIRECTIONS[direction] * 2
    for word, letter in _DIRECTIONS.items():
        if direction.startswith(word) and direction.removeprefix(word) in _DIRECTIONS:
            return letter + _DIRECTIONS[direction.removeprefix(word)]
    return direction
