"""Builds are taken back where they are, for a reason, and only when that is meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from broadside.cli.common import ExitCode
from chalicelib.index.records import BuildState, PublicationState
from chalicelib.names import BuildId
from tests.cli.conftest import Deployed
from tests.cli.examples import HELD, publication, record
from tests.cli.test_release import DAY, HOME, NORTH, WEST, started

NAME = "released/20261120"
REASON = ("--reason", "It does not boot.")


@pytest.fixture
def out(deployed: Deployed) -> Deployed:
    """A build that is public in two Regions, staged in a third, and skipped in a fourth."""
    deployed.put(
        record(HELD),
        publication(HOME, PublicationState.PUBLIC, HELD, image_id="ami-1"),
        publication(NORTH, PublicationState.PUBLIC, HELD, image_id="ami-2"),
        publication(WEST, PublicationState.STAGED, HELD, image_id="ami-3"),
        publication("af-south-1", PublicationState.SKIPPED, HELD),
    )
    return deployed


def test_a_build_is_taken_back_everywhere_in_one_wave(out: Deployed) -> None:
    """The state machine gets the reason and the caller's ARN; a Region where nothing ever was is left out."""
    result = out.run("withdraw", NAME, *REASON, "--name", "back")
    assert result.exit_code == ExitCode.OK, result.output
    assert f"{HELD} is taken back in 3 Regions: eu-north-1, eu-west-1, us-east-1" in result.stdout
    ((name, wanted),) = started(out)
    assert name == wanted["rollout"] == "back"
    assert (wanted["kind"], wanted["builds"], wanted["reason"]) == ("withdrawal", [str(HELD)], "It does not boot.")
    assert [wave["regions"] for wave in wanted["waves"]] == [[NORTH, WEST, HOME]]
    assert wanted["by"].startswith("arn:aws:")
    assert wanted["delete"] is False


def test_a_build_is_taken_back_in_some_regions(out: Deployed) -> None:
    """In those that are named, and in no other."""
    assert out.run("withdraw", NAME, *REASON, "--regions", "us-east-1, eu-north-1").exit_code == ExitCode.OK
    ((_, wanted),) = started(out)
    assert [wave["regions"] for wave in wanted["waves"]] == [[NORTH, HOME]]


def test_a_dry_run_takes_nothing_back(out: Deployed) -> None:
    """It says where the build would be taken back; nothing is started, and the index stays as it is."""
    before = out.index.build(HELD), out.index.publications(HELD), out.index.rollouts()
    result = out.run("withdraw", NAME, *REASON, "--dry-run")
    assert result.exit_code == ExitCode.OK
    assert "3 Regions" in result.stdout
    assert started(out) == []
    assert (out.index.build(HELD), out.index.publications(HELD), out.index.rollouts()) == before


def test_nothing_is_taken_back_without_a_reason(out: Deployed) -> None:
    """The reason is what readers of the history have."""
    result = out.run("withdraw", NAME)
    assert result.exit_code == ExitCode.USAGE
    assert "--reason" in result.stderr
    assert started(out) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--regions", "af-south-1"], "There is nothing to take back in af-south-1."),
        (["--regions", "us-east-1,mars-1"], "There is nothing to take back in mars-1."),
    ],
)
def test_a_region_without_the_build_is_refused(out: Deployed, options: list[str], sentence: str) -> None:
    """A name that was typed wrong does not pass for done."""
    result = out.run("withdraw", NAME, *REASON, *options)
    assert result.exit_code == ExitCode.FAILED
    assert sentence in result.stderr
    assert started(out) == []


@pytest.mark.parametrize("where", ["nowhere", "withdrawn"])
def test_a_build_that_is_nowhere_is_not_taken_back(deployed: Deployed, where: str) -> None:
    """Neither one that was never published, nor one that was taken back before."""
    build = BuildId(HELD.product, "released", "20261121")
    there: list[Any] = [publication(HOME, PublicationState.PUBLIC, build, image_id="ami-1")] if where == "withdrawn" else []
    deployed.put(record(build, BuildState.RECORDED), *there)
    for each in there:
        deployed.index.take_back(build, each.region, PublicationState.WITHDRAWN, "No.")
        deployed.index.made_private(build, each.region)
    result = deployed.run("withdraw", "released/20261121", *REASON)
    assert result.exit_code == ExitCode.FAILED
    assert "There is nothing to take back." in result.stderr
    assert started(deployed) == []


def test_a_name_that_is_taken_is_refused(out: Deployed) -> None:
    """Releases and withdrawals share their names."""
    out.index.begin_rollout(replace(DAY, name="back"))
    result = out.run("withdraw", NAME, *REASON, "--name", "back")
    assert result.exit_code == ExitCode.FAILED
    assert "There is a release or withdrawal back already" in result.stderr
    assert started(out) == []
