"""A release is looked at before it begins, started as it was planned, and steered by its name."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from broadside.cli.builds import Executions
from broadside.cli.common import App, ExitCode
from broadside.cli.rollouts import Rollouts
from chalicelib.index.records import BuildState, Gate, Kind, Phase, PublicationState, Rollout, RolloutState, Wave
from chalicelib.names import BuildId
from tests.cli.conftest import Deployed
from tests.cli.examples import DAILY, HELD, publication, record

NORTH, WEST, HOME = "eu-north-1", "eu-west-1", "us-east-1"
NEXT = BuildId(HELD.product, "released", "20261121")
NAME = "released/20261120"

WAVES = """
undo: all
waves:
  - name: canary
    regions: [eu-north-1]
    bake: 30m
    gate: {alarm: web-errors}
  - name: europe
    regions: [eu-*]
    gate: approval
  - name: rest
    regions: ["*"]
"""

DAY = Rollout(
    name="24.04",
    kind=Kind.RELEASE,
    builds=(HELD,),
    waves=(Wave("canary", (NORTH,), 1800, Gate("approval")), Wave("rest", (WEST, HOME))),
    by="arn:aws:iam::123456789012:user/manager",
    created="2026-12-01T09:00:00Z",
    updated="2026-12-01T09:00:00Z",
)


def staged(build: BuildId, *regions: str) -> list[Any]:
    return [publication(region, PublicationState.STAGED, build, image_id=f"ami-{region}-{build.serial}") for region in regions]


@pytest.fixture
def held(deployed: Deployed) -> Deployed:
    """A build that waits in three Regions."""
    deployed.put(record(HELD, BuildState.STAGED), *staged(HELD, HOME, NORTH, WEST))
    return deployed


@pytest.fixture
def waves(tmp_path: Path) -> Callable[[str], str]:
    """Writes a wave file; returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "waves.yaml"
        path.write_text(text)
        return str(path)

    return write


def started(deployed: Deployed) -> list[tuple[str, dict[str, Any]]]:
    return deployed.executions(deployed.stack.rollout_state_machine)


# --- Starting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["start"]])
def test_a_release_is_started_in_the_name_of_the_caller(held: Deployed, command: list[str]) -> None:
    """The state machine gets the builds, the waves and the caller's ARN; `start` may be left out."""
    result = held.run("release", *command, NAME, "--name", "24.04")
    assert result.exit_code == ExitCode.OK, result.output
    assert "The release 24.04 is started: arn:aws:states:" in result.stdout
    ((name, wanted),) = started(held)
    assert name == wanted["rollout"] == "24.04"
    assert (wanted["kind"], wanted["builds"], wanted["at"]) == ("release", [str(HELD)], "")
    assert [(wave["name"], wave["regions"]) for wave in wanted["waves"]] == [("all", [NORTH, WEST, HOME])]
    assert wanted["by"].startswith("arn:aws:")


def test_the_wave_file_says_which_regions_go_together(held: Deployed, waves: Callable[[str], str]) -> None:
    """With their baking, their gates, and what goes back; the moment is kept in UTC."""
    result = held.run("release", NAME, "--waves", waves(WAVES), "--at", "2026-12-01T10:00+01:00")
    assert result.exit_code == ExitCode.OK, result.output
    ((_, wanted),) = started(held)
    assert wanted["waves"] == [
        {"name": "canary", "regions": [NORTH], "bake": 1800, "gate": {"kind": "alarm", "target": "web-errors"}},
        {"name": "europe", "regions": [WEST], "bake": 0, "gate": {"kind": "approval", "target": ""}},
        {"name": "rest", "regions": [HOME], "bake": 0, "gate": {"kind": "none", "target": ""}},
    ]
    assert (wanted["undo"], wanted["at"]) == ("all", "2026-12-01T09:00:00Z")


def test_the_canary_is_not_the_home_region(held: Deployed) -> None:
    """The built-in plan needs no file: one Region first, then all others."""
    held.run("release", NAME, "--waves", "canary")
    ((_, wanted),) = started(held)
    assert [(wave["name"], wave["regions"], wave["bake"]) for wave in wanted["waves"]] == [
        ("canary", [NORTH], 1800),
        ("rest", [WEST, HOME], 0),
    ]


def test_several_builds_are_one_release(held: Deployed) -> None:
    """They go out together, named as in the command."""
    held.put(record(NEXT, BuildState.STAGED, digest="b" * 64), *staged(NEXT, HOME, NORTH, WEST))
    result = held.run("release", NAME, "released/20261121")
    assert result.exit_code == ExitCode.OK, result.output
    ((_, wanted),) = started(held)
    assert wanted["builds"] == [str(HELD), str(NEXT)]


def test_a_release_gets_a_name_that_is_free(held: Deployed) -> None:
    """The day and a count, past what has begun on that day already."""
    first = held.run("release", "plan", NAME, "--json")
    name = json.loads(first.stdout)["rollout"]
    assert name.endswith("-1")
    held.index.begin_rollout(replace(DAY, name=name))
    assert json.loads(held.run("release", "plan", NAME, "--json").stdout)["rollout"] == name.replace("-1", "-2")


# --- Looking before -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["plan", NAME], [NAME, "--dry-run"]])
def test_looking_changes_nothing(held: Deployed, command: list[str]) -> None:
    """The waves are shown, nothing is started, and the index stays as it is."""
    before = held.index.build(HELD), held.index.publications(HELD), held.index.rollouts()
    result = held.run("release", *command, "--waves", "canary", "--name", "24.04")
    assert result.exit_code == ExitCode.OK, result.output
    assert "canary  1 Region   1800 s  none  eu-north-1" in result.stdout
    assert "Nothing stands in the way." in result.stdout
    assert started(held) == []
    assert (held.index.build(HELD), held.index.publications(HELD), held.index.rollouts()) == before


@pytest.mark.parametrize(
    ("different", "sentence"),
    [
        ({"images_blocked": "block-new-sharing"}, "✗ eu-west-1: public images are blocked (block-new-sharing); call Disable"),
        ({"public_quota": 5, "public_images": 5}, "the quota of public AMIs is 5, 5 are used and 1 more are needed; aws serv"),
        ({"images": {}}, f"✗ {HELD} eu-west-1: the AMI ami-eu-west-1-20261120 is gone; retry the build"),
        ({"trouble": "eu-west-1 does not answer"}, "✗ eu-west-1: eu-west-1 does not answer; see whether the Region is up"),
    ],
)
@pytest.mark.parametrize("command", [["plan", NAME], [NAME, "--dry-run"], [NAME]])
def test_what_stands_in_the_way_is_said(held: Deployed, command: list[str], different: dict[str, Any], sentence: str) -> None:
    """With its Region and what to do about it; the exit code is 1, and nothing is started."""
    held.regions.different[WEST] = different
    result = held.run("release", *command)
    assert result.exit_code == ExitCode.FAILED
    assert sentence in result.stdout
    assert "1 obstacle in the way." in result.stdout
    assert started(held) == []


def test_a_build_that_another_release_has_claimed_is_in_the_way(held: Deployed) -> None:
    """Of two release managers the second one is told before anything begins."""
    held.index.claim(HELD, "release 24.04")
    result = held.run("release", NAME, "--name", "mine")
    assert result.exit_code == ExitCode.FAILED
    assert "the release 24.04 is under way; wait for its end, or abort it." in result.stdout
    assert started(held) == []


def test_the_plan_as_json(held: Deployed) -> None:
    """Programs get the state machine's input, and each obstacle in its parts."""
    held.regions.different[WEST] = {"snapshots_blocked": "block-all-sharing"}
    result = held.run("release", "plan", NAME, "--name", "24.04", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == ExitCode.FAILED
    assert (document["rollout"], document["builds"]) == ("24.04", [str(HELD)])
    assert document["obstacles"] == [
        {
            "build": "",
            "region": WEST,
            "what": "public snapshots are blocked (block-all-sharing)",
            "advice": "call DisableSnapshotBlockPublicAccess",
        }
    ]


# --- Refused at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "sentence"),
    [("tomorrow", "is no time: write 2026-12-01T09:00Z"), ("2026-12-01T09:00", "end it with Z or with +01:00")],
)
def test_a_moment_that_is_none_is_refused(held: Deployed, at: str, sentence: str) -> None:
    """So is one that may be any time zone's."""
    result = held.run("release", NAME, "--at", at)
    assert result.exit_code == ExitCode.USAGE
    assert sentence in result.stderr
    assert started(held) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("waves: [", "is not YAML"),
        ("waves: []", "waves.yaml: waves:"),
        ("waves: [{name: one, regions: [eu-*], bake: soon}]", "waves.0.bake: must be a duration such as 30m, 2h or 1d."),
        ("waves: [{name: one, regions: [eu-*], share: 5%}]", "waves.0: names either regions or a share."),
        ("waves: [{name: one, regions: [eu-*], gate: hope}]", "waves.0.gate: must be none, approval"),
        ("waves: [{name: one, regions: [eu-*]}]", "No wave has us-east-1: end the wave file with a wave for the Regions"),
    ],
)
def test_a_wave_file_that_cannot_be_followed_is_refused(
    held: Deployed, waves: Callable[[str], str], text: str, sentence: str
) -> None:
    """In one sentence that says where."""
    result = held.run("release", NAME, "--waves", waves(text))
    assert result.exit_code == ExitCode.FAILED
    assert sentence in result.stderr
    assert started(held) == []


def test_a_wave_file_that_is_not_there_is_refused(held: Deployed) -> None:
    """Also in one sentence."""
    result = held.run("release", NAME, "--waves", "nowhere.yaml")
    assert result.exit_code == ExitCode.FAILED
    assert "nowhere.yaml cannot be read" in result.stderr


def test_a_name_that_is_taken_is_refused(held: Deployed) -> None:
    """A release keeps its name for ever."""
    held.index.begin_rollout(DAY)
    result = held.run("release", NAME, "--name", DAY.name)
    assert result.exit_code == ExitCode.FAILED
    assert "There is a release or withdrawal 24.04 already: choose another --name." in result.stderr
    assert started(held) == []


def test_a_public_build_is_not_released_again(held: Deployed) -> None:
    """Releasing what is public is refused with one sentence."""
    held.put(record(DAILY), publication(HOME, PublicationState.PUBLIC, image_id="ami-1"))
    result = held.run("release", "daily/20261120")
    assert result.exit_code == ExitCode.FAILED
    assert "is public already" in result.stderr


def test_what_is_staged_nowhere_is_not_released(held: Deployed) -> None:
    """The build's own state and reason are said."""
    failed = publication(HOME, PublicationState.FAILED, NEXT, reason="The quota is used up.")
    held.put(record(NEXT, BuildState.FAILED, reason="No Region could be served."), failed)
    result = held.run("release", "plan", "released/20261121")
    assert result.exit_code == ExitCode.FAILED
    assert "is failed, and staged in no Region" in result.stderr


# --- Watching -------------------------------------------------------------------------------------------------------


def test_releases_are_listed_the_newest_first(held: Deployed) -> None:
    """With their kind, how they stand, and their moment."""
    held.index.begin_rollout(DAY)
    later = replace(DAY, name="24.04.1", created="2026-12-02T09:00:00Z", at="2026-12-24T18:00:00Z")
    held.index.begin_rollout(replace(later, state=RolloutState.SCHEDULED))
    lines = held.run("release", "list").stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["24.04.1", "release", "scheduled", "1", "of", "2", "1", "build", "2026-12-24T18:00:00Z"],
        ["24.04", "release", "running", "1", "of", "2", "1", "build"],
    ]
    assert [each["name"] for each in json.loads(held.run("release", "list", "--json").stdout)] == ["24.04.1", "24.04"]


def test_a_release_is_shown_region_by_region(held: Deployed) -> None:
    """How it stands, then each wave's Regions with the state of each build."""
    held.index.begin_rollout(replace(DAY, phase=Phase.BAKE))
    held.index.open_region(HELD, NORTH)
    held.index.advance(HELD, NORTH, PublicationState.PUBLIC)
    lines = held.run("release", "show", "24.04").stdout.splitlines()
    assert lines[0] == "release 24.04 is running, wave 1 of 2 (canary): bake"
    assert [line.split() for line in lines[1:]] == [
        ["WAVE", "REGION", "20261120"],
        ["canary", NORTH, "public"],
        ["rest", WEST, "staged"],
        ["rest", HOME, "staged"],
    ]


def test_a_release_as_json_keeps_its_token_to_itself(held: Deployed) -> None:
    """Whoever has the token could continue the release."""
    held.index.begin_rollout(replace(DAY, state=RolloutState.WAITING, phase=Phase.GATE, token="secret"))  # noqa: S106 - it is none
    document = json.loads(held.run("release", "show", "24.04", "--json").stdout)
    assert (document["state"], document["phase"], document["builds"]) == ("waiting", "gate", [str(HELD)])
    assert "token" not in document


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [(RolloutState.DONE, "", 0), (RolloutState.FAILED, "It was aborted.", 1), (RolloutState.REFUSED, "It is claimed.", 1)],
)
def test_waiting_ends_with_the_release(held: Deployed, state: RolloutState, reason: str, code: int) -> None:
    """The exit code is 0 when it came out as asked; else the reason is shown."""
    held.index.begin_rollout(replace(DAY, state=state, reason=reason))
    result = held.run("release", "show", "24.04", "--wait")
    assert result.exit_code == code
    assert result.stdout.startswith(f"release 24.04 is {state}\n")
    assert reason in result.stdout


def test_waiting_tells_each_change_once(held: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the release is in the index to its end."""
    following: list[Callable[[], object]] = [
        lambda: None,
        lambda: held.index.begin_rollout(DAY),
        lambda: None,
        lambda: held.index.change_rollout("24.04", lambda each: replace(each, state=RolloutState.DONE)),
    ]
    monkeypatch.setattr(time, "sleep", lambda _seconds: following.pop(0)())
    monkeypatch.setattr(Executions, "is_running", lambda _self, _name: True)
    lines = held.run("release", "show", "24.04", "--wait").stdout.splitlines()
    assert lines[:3] == [
        "24.04 is about to begin",
        "release 24.04 is running, wave 1 of 2 (canary): ready",
        "release 24.04 is done",
    ]


def test_a_release_that_nobody_began_is_said_so(held: Deployed) -> None:
    """And how to find those that there are."""
    for command in ("show", "pause", "continue", "abort"):
        result = held.run("release", command, "25.10")
        assert result.exit_code == ExitCode.FAILED
        assert "There is no release or withdrawal '25.10': `broadside release list` has them." in result.stderr


# --- Steering -------------------------------------------------------------------------------------------------------


@dataclass
class FakeLambda:
    """Answers as SteerRollout does, and remembers what it was asked."""

    answer: dict[str, Any]
    error: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **call: Any) -> dict[str, Any]:
        self.asked.append({"function": call["FunctionName"], **json.loads(call["Payload"])})
        failed = {"FunctionError": "Unhandled"} if self.error else {}
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **failed}


def with_steerer(monkeypatch: pytest.MonkeyPatch, steerer: Any) -> None:
    """Have the commands invoke ``steerer``."""
    as_deployed = Rollouts.of

    def of(_cls: type[Rollouts], app: App) -> Any:
        return replace(as_deployed(app), functions=steerer)

    monkeypatch.setattr(Rollouts, "of", classmethod(of))


@pytest.mark.parametrize("wish", ["pause", "continue", "abort"])
def test_a_release_is_steered_by_its_name(held: Deployed, monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    """The function is asked, and what it answers is told."""
    steerer = FakeLambda({"state": "paused"})
    with_steerer(monkeypatch, steerer)
    held.index.begin_rollout(DAY)
    result = held.run("release", wish, "24.04")
    assert (result.exit_code, result.stdout) == (ExitCode.OK, "24.04 is paused.\n")
    assert steerer.asked == [{"function": held.stack.steer_rollout, "rollout": "24.04", "wish": wish}]


def test_a_release_that_cannot_be_steered_says_why(held: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the function's own sentence."""
    with_steerer(monkeypatch, FakeLambda({"errorMessage": "The release 24.04 is done already."}, error=True))
    held.index.begin_rollout(DAY)
    result = held.run("release", "abort", "24.04")
    assert (result.exit_code, result.stderr) == (ExitCode.FAILED, "broadside: The release 24.04 is done already.\n")
