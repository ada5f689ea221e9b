"""``infra/deploy.sh`` with an AWS CLI that only writes down what it is asked."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from broadside.packaging import INFRA

#: Answers as the AWS CLI does where the script listens; head-bucket says whether the bucket is there.
FAKE_AWS = """#!/bin/sh
echo "$@" >>"$ASKED"
case "$1 $2" in
    "sts get-caller-identity") echo 123456789012 ;;
    "s3api head-bucket") [ "$BUCKET_THERE" = yes ] ;;
    "configure get") exit 1 ;;
esac
"""


@dataclass(frozen=True)
class Deployment:
    folder: Path

    def run(self, what: str = "template.json", **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "ASKED": str(self.folder / "asked"),
            "BUCKET_THERE": "yes",
            **settings,
        }
        return subprocess.run([INFRA / "deploy.sh", what], env=environment, capture_output=True, text=True, check=False)

    @property
    def asked(self) -> list[str]:
        """The AWS CLI's command lines."""
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    aws = tmp_path / "aws"
    aws.write_text(FAKE_AWS)
    aws.chmod(0o755)
    return Deployment(tmp_path)


@pytest.mark.parametrize(("stage", "stack"), [("prod", "broadside"), ("try", "broadside-try")])
def test_the_stage_names_the_stack(deployment: Deployment, stage: str, stack: str) -> None:
    """``prod`` is ``broadside``, where every program looks first; another stage says its name."""
    assert deployment.run(STAGE=stage, REGION="eu-west-1").returncode == 0
    (line,) = [line for line in deployment.asked if line.startswith("cloudformation deploy")]
    assert f"--stack-name {stack} " in line
    assert "--parameter-overrides" not in line


def test_parameters_are_passed_only_when_given(deployment: Deployment) -> None:
    """A parameter that is not named keeps the value that it has."""
    deployment.run(STAGE="prod", REGION="eu-west-1", PUBLIC_URL="https://images.example.com")
    (line,) = [line for line in deployment.asked if line.startswith("cloudformation deploy")]
    assert line.endswith("--parameter-overrides PublicUrl=https://images.example.com")


def test_a_bucket_for_artifacts_is_made_once(deployment: Deployment) -> None:
    """The default bucket is made where it is missing, and one that was named is not."""
    deployment.run(STAGE="prod", REGION="eu-west-1")
    assert not [line for line in deployment.asked if line.startswith("s3 mb")]
    deployment.run(STAGE="prod", REGION="eu-west-1", BUCKET_THERE="no")
    assert "s3 mb s3://broadside-artifacts-123456789012-eu-west-1" in deployment.asked
    named = deployment.run(STAGE="prod", REGION="eu-west-1", BUCKET_THERE="no", ARTIFACTS="ours")
    assert named.returncode != 0
    assert "the bucket ours is not there" in named.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"REGION": "eu-west-1"}, "STAGE is not set"),
        ({"STAGE": "Prod!", "REGION": "eu-west-1"}, "small letters"),
        ({"STAGE": "prod"}, "there is no Region"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_done(
    deployment: Deployment, settings: dict[str, str], sentence: str
) -> None:
    """Without a stage or a Region nothing is asked of AWS, and one sentence says what to do."""
    checked = deployment.run("check", **settings)
    assert checked.returncode != 0
    assert sentence in checked.stderr
    assert [line for line in deployment.asked if not line.startswith("configure get")] == []
