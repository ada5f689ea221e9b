"""Whoever asks later finds what was done with a build, by whom, and why."""

from __future__ import annotations

import json

import pytest

from broadside.cli.common import ExitCode
from chalicelib.index.records import BuildState
from tests.cli.conftest import Deployed
from tests.cli.examples import DAILY, HELD, record

MANAGER = "arn:aws:iam::123456789012:user/manager"


@pytest.fixture
def noted(deployed: Deployed) -> Deployed:
    """A build that was released and withdrawn, and another one."""
    deployed.put(record(HELD, BuildState.WITHDRAWN))
    deployed.put(record(DAILY))
    deployed.index.note(HELD, "release 24.04 begins", MANAGER)
    deployed.index.note(HELD, "withdrawal back: taken back", MANAGER, "It does not boot.")
    deployed.index.note(DAILY, "release night begins", MANAGER)
    return deployed


def test_the_history_has_what_by_whom_and_why(noted: Deployed) -> None:
    """Of that build alone, the oldest first."""
    result = noted.run("history", "released/20261120")
    assert result.exit_code == ExitCode.OK
    first, second = result.stdout.splitlines()[1:]
    assert "release 24.04 begins" in first
    assert MANAGER in first
    assert "withdrawal back: taken back" in second
    assert second.endswith("It does not boot.")


def test_the_history_as_json(noted: Deployed) -> None:
    """The same for programs."""
    events = json.loads(noted.run("history", "released/20261120", "--json").stdout)
    assert [(each["build"], each["what"], each["by"], each["reason"]) for each in events] == [
        (str(HELD), "release 24.04 begins", MANAGER, ""),
        (str(HELD), "withdrawal back: taken back", MANAGER, "It does not boot."),
    ]


def test_a_build_that_nobody_knows_has_no_history(noted: Deployed) -> None:
    """It is said so, in one sentence."""
    result = noted.run("history", "released/20991231")
    assert result.exit_code == ExitCode.FAILED
    assert "No build is called 'released/20991231'" in result.stderr
