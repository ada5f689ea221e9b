"""What a behaviour file may say, and what throttles and faults make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from broadside.local import behaviour
from broadside.local.behaviour import BadBehaviour
from broadside.local.calls import Call
from broadside.local.trouble import Trouble

COPY = Call("ec2", "CopyImage", "eu-west-1", "key")
PUT = Call("s3", "PutObject", "us-east-1", "key")


def trouble(now: list[float] | None = None, **settings: object) -> Trouble:
    clock = now or [0.0]
    return Trouble(behaviour.parse(settings), lambda: clock[0])


def test_the_default_has_every_commercial_region_and_some_that_are_not_opted_into() -> None:
    """The default is the world as most accounts see it: 34 Regions, of which three are closed."""
    regions = behaviour.load(None).regions
    assert len(regions) == 34
    assert sum(not region.enabled for region in regions) == 3


def test_the_profile_aws_has_the_documented_limits() -> None:
    """A run against the limits of AWS needs no file of one's own."""
    aws = behaviour.load("aws")
    assert aws.public_images_quota == 5
    assert aws.time_scale == 1
    assert any(throttle.action == "CopyImage" and throttle.refill == 1 for throttle in aws.throttles)


def test_a_file_may_change_a_profile(tmp_path: Path) -> None:
    """A file names the profile that it starts from, and what it wants otherwise."""
    file = tmp_path / "mine.yaml"
    file.write_text("profile: aws\ncopy_seconds: 3\n")
    mine = behaviour.load(str(file))
    assert (mine.copy_seconds, mine.import_seconds) == (3, 1800)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("copy_second: 3", "copy_second"),
        ("faults: [{kind: explode}]", "faults.0.kind"),
        ("faults: [{nth: 1, probability: 0.5}]", "nth or probability"),
        ("profile: azure", "no profile 'azure'"),
        ("home: mars-1", "mars-1"),
        ("- a list", "not a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """Nothing that is misspelt is silently ignored."""
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(BadBehaviour, match=said):
        behaviour.load(str(file))


def test_the_documented_example_is_right(tmp_path: Path) -> None:
    """What the documentation shows is what the cloud takes."""
    page = (Path(__file__).parents[2] / "docs" / "embedded-cloud.md").read_text()
    file = tmp_path / "example.yaml"
    file.write_text(page.split("```yaml\n")[1].split("```")[0])
    assert [fault.kind.value for fault in behaviour.load(str(file)).faults] == ["apply-then-drop", "fail", "kill"]


def test_a_missing_file_is_told() -> None:
    """The message names the file."""
    with pytest.raises(BadBehaviour, match=r"none\.yaml cannot be read"):
        behaviour.load("/none.yaml")


def test_a_bucket_empties_and_fills_again() -> None:
    """A throttle lets the bucket through at once, then as many a second as it refills, each Region for itself."""
    now = [0.0]
    limits = trouble(now, throttles=[{"service": "ec2", "action": "CopyImage", "bucket": 2, "refill": 1}])
    assert [limits.throttled(COPY) is None for _ in range(3)] == [True, True, False]
    assert limits.throttled(COPY) == ("RequestLimitExceeded", 503)
    assert limits.throttled(Call("ec2", "CopyImage", "eu-west-2", "key")) is None
    assert limits.throttled(PUT) is None
    now[0] = 1.0
    assert [limits.throttled(COPY) is None for _ in range(2)] == [True, False]


def test_a_fault_hits_the_nth_call_only() -> None:
    """``nth`` is one call, counted among those that match."""
    faults = trouble(faults=[{"service": "ec2", "nth": 2}])
    assert faults.fault(PUT, "user") is None
    assert [faults.fault(COPY, "user") is not None for _ in range(4)] == [False, True, False, False]


def test_a_fault_hits_as_often_as_it_says() -> None:
    """``times`` bounds it; for ``nth`` it means the calls from the n-th on."""
    always = trouble(faults=[{"times": 2}])
    assert [always.fault(PUT, "user") is not None for _ in range(3)] == [True, True, False]
    later = trouble(faults=[{"nth": 2, "times": 2}])
    assert [later.fault(PUT, "user") is not None for _ in range(4)] == [False, True, True, False]


def test_a_fault_may_choose_by_caller_and_effect() -> None:
    """A fault can be for one function's changes alone."""
    faults = trouble(faults=[{"caller": "*-Ingest", "mutating": True}])
    assert faults.fault(PUT, "broadside-Ingest") is not None
    assert faults.fault(PUT, "user") is None
    assert faults.fault(Call("s3", "GetObject", "us-east-1", "key"), "broadside-Ingest") is None


def test_chance_repeats_with_its_seed() -> None:
    """The same seed hits the same calls."""

    def hits(seed: int) -> list[bool]:
        faults = trouble(seed=seed, faults=[{"probability": 0.5}])
        return [faults.fault(PUT, "user") is not None for _ in range(64)]

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert 10 < sum(hits(1)) < 54


def test_latency_is_found_by_pattern() -> None:
    """The first pattern that matches counts."""
    slow = trouble(latency={"ec2:Copy*": 2, "ec2:*": 1})
    assert [slow.latency(COPY), slow.latency(PUT)] == [2, 0]
