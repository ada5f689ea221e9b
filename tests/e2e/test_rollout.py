"""Release day, end to end: out in waves at the announced moment, watched, and back with one command."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broadside.local.cloud import LocalCloud
from broadside.local.options import CHECKOUT
from broadside.proof import NotProven
from chalicelib.index.records import BuildState, PublicationState, Rollout, RolloutState
from chalicelib.names import BuildId
from tests.e2e.site import Site, image, public
from tests.keys import Key

HOME, NORTH, WEST, SOUTH = REGIONS = ("us-east-1", "eu-north-1", "eu-west-1", "ap-southeast-2")
QUIET: dict[str, Any] = {"home": HOME, "time_scale": 50, "regions": [{"name": name} for name in REGIONS]}
MANAGER = "arn:aws:iam::123456789012:user/manager"

POLICY = """
[default]
release = "held"
parameter = "/images/{os}/{release}/{stream}/{arch}/{serial}"
protect = true
deprecate_days = 700
cache_seconds = 1
"""


@pytest.fixture(scope="module")
def site(builder: Key, signer: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A deployment whose builds are held, and named by SSM parameters."""
    code = tmp_path_factory.mktemp("code")
    shutil.copy(CHECKOUT / "app.py", code)
    shutil.copytree(CHECKOUT / "chalicelib", code / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
    (code / "chalicelib" / "policy.toml").write_text(POLICY)
    with LocalCloud(QUIET, options=("--code", str(code))) as cloud:
        yield Site(cloud, builder, signer)


def wave(name: str, *regions: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "regions": list(regions), **more}


def staged(site: Site, product: str, count: int = 1) -> list[BuildId]:
    """Builds of a product that wait, verified and private, in every Region."""
    name = f"com.example.cloud:{product}:24.04:amd64"
    builds = [site.upload(image(2, seed=number + 40), "released", name) for number in range(count)]
    for build in builds:
        site.wait_for(build, BuildState.STAGED)
        assert states(site, build) == {PublicationState.STAGED}
    return builds


def begin(site: Site, name: str, builds: list[BuildId], waves: list[dict[str, Any]], **more: Any) -> None:
    """Start a release; or a withdrawal, if ``kind`` says so."""
    wanted = {"rollout": name, "kind": "release", "builds": [str(build) for build in builds], "waves": waves, "by": MANAGER}
    site.session.client("stepfunctions").start_execution(
        stateMachineArn=site.stack.rollout_state_machine, name=name, input=json.dumps(wanted | more)
    )


def until(site: Site, name: str, *wanted: RolloutState, timeout: float = 90) -> Rollout:
    """Wait until the rollout is in one of the states."""

    def look() -> Rollout | None:
        found = site.index.rollout(name)
        return found if found is not None and found.state in wanted else None

    found: Rollout = site.until(look, f"{name} to be {' or '.join(wanted)}", timeout)
    return found


def steer(site: Site, name: str, wish: str) -> dict[str, Any]:
    payload = json.dumps({"rollout": name, "wish": wish})
    answer = site.session.client("lambda").invoke(FunctionName=site.stack.steer_rollout, Payload=payload)
    said: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, said
    return said


def states(site: Site, build: BuildId) -> set[PublicationState]:
    return {each.state for each in site.regions(build).values()}


def open_regions(site: Site, build: BuildId) -> set[str]:
    """Where EC2 shows the build's AMI as public."""
    return {region for region in REGIONS for ami in site.images(build, region) if ami["Public"]}


def parameter(site: Site, region: str, build: BuildId, serial: str = "") -> str:
    """What the SSM parameter of the build's serial, or of another word, holds."""
    ssm = site.session.client("ssm", region_name=region)
    try:
        name = f"/images/example/noble/released/amd64/{serial or build.serial}"
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return ""


@contextmanager
def watched(site: Site, builds: list[BuildId], keyring: Path) -> Iterator[list[str]]:
    """Look all the time whether the query file names an AMI that is not public, or loses one; yields what was wrong."""
    wrong: list[str] = []
    over = threading.Event()

    def watch() -> None:
        seen: dict[BuildId, set[str]] = {build: set() for build in builds}
        while not over.is_set():
            for build in builds:
                try:
                    named = set(site.named(build, keyring))
                except NotProven as error:
                    wrong.append(f"not verified: {error}")
                    continue
                wrong.extend(f"{build} is named in {region} but private" for region in named - open_regions(site, build))
                wrong.extend(f"{build} is lost in {region}" for region in seen[build] - named)
                seen[build] |= named

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()


def test_a_release_goes_out_in_waves_from_the_announced_second_on(site: Site, keyring: Path) -> None:
    """Nothing is public before, all of it after; the query files follow each wave and never run ahead."""
    warm = site.upload(image(2, seed=39), "other", "com.example.cloud:warm:24.04:amd64")
    site.wait_for(warm, BuildState.STAGED)
    begin(site, "warm", [warm], [wave("all", *REGIONS)])
    until(site, "warm", RolloutState.DONE)
    builds = staged(site, "waves", 2)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=8)
    with watched(site, builds, keyring) as wrong:
        waves = [wave("canary", NORTH, bake=2), wave("rest", HOME, WEST, SOUTH)]
        begin(site, "day", builds, waves, at=at.strftime("%Y-%m-%dT%H:%M:%SZ"))
        until(site, "day", RolloutState.SCHEDULED)
        assert not any(open_regions(site, build) for build in builds)
        done = until(site, "day", RolloutState.DONE)
        for build in builds:
            site.wait_named(build, set(REGIONS), keyring)
    assert wrong == []
    assert done.reason == ""
    for build in builds:
        publications = site.regions(build)
        assert public(publications) == open_regions(site, build) == set(REGIONS)
        opened = {region: each.released_at for region, each in publications.items()}
        assert 0 <= (datetime.fromisoformat(opened[NORTH]) - at).total_seconds() <= 1
        assert all(opened[region] > opened[NORTH] for region in (HOME, WEST, SOUTH))
        assert [event.what for event in site.index.history(build)] == [
            "release day begins",
            "release day: the wave canary opens",
            "release day: the wave rest opens",
            "release day is done",
        ]
    newest = site.regions(builds[1])[WEST]
    assert parameter(site, WEST, builds[1]) == parameter(site, WEST, builds[1], "current") == newest.image_id
    [ami] = site.images(builds[1], WEST)
    assert ami["DeregistrationProtection"] != "disabled"
    assert ami["DeprecationTime"][:10] == (datetime.now(UTC) + timedelta(days=700)).strftime("%Y-%m-%d")


def test_a_withdrawn_build_is_out_of_the_files_before_it_is_private(site: Site, keyring: Path) -> None:
    """The build before becomes the current one again, and the reason is kept."""
    older, newer = staged(site, "back", 2)
    begin(site, "out", [older, newer], [wave("all", *REGIONS)])
    until(site, "out", RolloutState.DONE)
    site.wait_named(newer, set(REGIONS), keyring)
    assert parameter(site, WEST, newer, "current") == site.regions(newer)[WEST].image_id
    with watched(site, [older], keyring) as wrong:
        begin(site, "in", [newer], [wave("all", *REGIONS)], kind="withdrawal", reason="It does not boot.")
        until(site, "in", RolloutState.DONE)
    assert wrong == []
    assert site.named(newer, keyring) == {}
    assert set(site.named(older, keyring)) == set(REGIONS)
    assert open_regions(site, newer) == set()
    assert states(site, newer) == {PublicationState.WITHDRAWN}
    record = site.record(newer)
    assert record is not None
    assert (record.state, record.reason, record.downloads_at) == (BuildState.WITHDRAWN, "It does not boot.", "")
    for region in REGIONS:
        assert parameter(site, region, newer) == ""
        assert parameter(site, region, newer, "current") == site.regions(older)[region].image_id


def test_of_two_release_managers_one_wins_and_the_other_is_told(site: Site) -> None:
    """Until the first one is through; the loser's release has changed nothing."""
    [build] = staged(site, "two")
    begin(site, "first", [build], [wave("canary", NORTH, gate={"kind": "approval"}), wave("rest", HOME, WEST, SOUTH)])
    until(site, "first", RolloutState.WAITING)
    begin(site, "second", [build], [wave("all", *REGIONS)])
    refused = until(site, "second", RolloutState.REFUSED)
    assert "release first" in refused.reason
    begin(site, "third", [build], [wave("all", *REGIONS)], kind="withdrawal", reason="No.")
    assert "release first" in until(site, "third", RolloutState.REFUSED).reason
    assert open_regions(site, build) == {NORTH}
    steer(site, "first", "continue")
    until(site, "first", RolloutState.DONE)
    assert open_regions(site, build) == set(REGIONS)
    record = site.record(build)
    assert record is not None
    assert record.claimed_by == ""


def test_a_gate_that_fails_takes_its_wave_back(site: Site, keyring: Path) -> None:
    """The wave before stays, as its file says; the query files follow."""
    [build] = staged(site, "gate")
    watch = site.session.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName="web-errors",
        Namespace="Web",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    alarm = {"kind": "alarm", "target": "web-errors"}
    begin(site, "gated", [build], [wave("one", NORTH, gate=alarm), wave("two", WEST, bake=3, gate=alarm), wave("three", HOME)])
    site.until(lambda: open_regions(site, build) == {NORTH, WEST}, "the second wave")
    watch.set_alarm_state(AlarmName="web-errors", StateValue="ALARM", StateReason="Half of the requests fail.")
    failed = until(site, "gated", RolloutState.FAILED)
    assert "web-errors" in failed.reason
    assert "Half of the requests fail." in failed.reason
    assert open_regions(site, build) == public(site.regions(build)) == {NORTH}
    site.wait_named(build, {NORTH}, keyring)
    assert site.regions(build)[WEST].state is PublicationState.STAGED


def test_a_paused_release_goes_on_and_an_aborted_one_ends(site: Site) -> None:
    """Between two waves; what the file says goes back, here all of it."""
    [build] = staged(site, "pause")
    waves = [wave("one", NORTH, bake=3), wave("two", WEST, bake=3), wave("three", HOME)]
    begin(site, "paused", [build], waves, undo="all")
    site.until(lambda: open_regions(site, build) == {NORTH}, "the first wave")
    steer(site, "paused", "pause")
    until(site, "paused", RolloutState.PAUSED)
    assert open_regions(site, build) == {NORTH}
    steer(site, "paused", "continue")
    site.until(lambda: open_regions(site, build) == {NORTH, WEST}, "the second wave")
    steer(site, "paused", "abort")
    failed = until(site, "paused", RolloutState.FAILED)
    assert failed.reason == "It was aborted."
    assert open_regions(site, build) == set()
    assert states(site, build) == {PublicationState.STAGED}
    begin(site, "again", [build], [wave("all", *REGIONS)])
    until(site, "again", RolloutState.DONE)
    assert open_regions(site, build) == set(REGIONS)


@pytest.mark.parametrize("held", [RolloutState.WAITING, RolloutState.PAUSED])
def test_a_release_that_is_held_can_be_aborted(site: Site, held: RolloutState) -> None:
    """At a gate that waits for a person, or between two waves: the state that holds it wakes, and ends."""
    [build] = staged(site, f"held-{held}")
    gate = {"kind": "approval" if held is RolloutState.WAITING else "none"}
    begin(site, f"held-{held}", [build], [wave("one", NORTH, bake=2, gate=gate), wave("two", WEST)], undo="all")
    site.until(lambda: open_regions(site, build) == {NORTH}, "the first wave")
    if held is RolloutState.PAUSED:
        steer(site, f"held-{held}", "pause")
    until(site, f"held-{held}", held)
    steer(site, f"held-{held}", "abort")
    until(site, f"held-{held}", RolloutState.FAILED)
    assert open_regions(site, build) == set()
    record = site.record(build)
    assert record is not None
    assert (record.state, record.claimed_by) == (BuildState.STAGED, "")
