"""Promises of the names that are derived from a build."""

import re

import pytest

from chalicelib.errors import BadManifest
from chalicelib.names import BuildId, client_token

BUILD = BuildId("com.example.cloud:server:24.04:amd64", "released", "20261120.10")


def test_a_client_token_fits_and_tells_tries_and_regions_apart() -> None:
    """EC2 takes 64 ASCII characters; another attempt or Region is another token."""
    digest = "f" * 64
    tokens = {client_token(digest, region, attempt) for region in ("ap-southeast-2", "us-gov-east-1") for attempt in range(3)}
    assert len(tokens) == 6
    assert all(len(token) <= 64 and token.isascii() for token in tokens)


def test_a_build_is_read_back_from_its_text() -> None:
    """What is printed can be typed."""
    assert BuildId.parse(str(BUILD)) == BUILD


@pytest.mark.parametrize(
    "text",
    ["", "daily/20261120", "a:b:c:d/daily/20261340", "a:b:c/daily/20261120", "a:b:c:../daily/20261120", "a:b:c:d/daily/x"],
)
def test_what_names_no_build_is_refused_with_an_example(text: str) -> None:
    """The sentence shows what is expected."""
    with pytest.raises(BadManifest, match="20261120"):
        BuildId.parse(text)


def test_a_tenth_upload_of_a_day_comes_after_the_ninth() -> None:
    """Serials are ordered by their numbers."""
    ninth = BuildId(BUILD.product, BUILD.stream, "20261120.9")
    assert ninth.sort_key < BUILD.sort_key


def test_the_names_fit_what_the_services_allow() -> None:
    """RegisterImage's characters for an AMI, Step Functions' for an execution."""
    assert re.fullmatch(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}", BUILD.image_name)
    names = {BUILD.execution_name("f" * 64, attempt) for attempt in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) for name in names)
