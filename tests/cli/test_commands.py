"""The commands, run whole against a stack on moto."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from broadside.cli.common import ExitCode
from chalicelib.index.records import BuildState, PinnedFile, PublicationState, Upload, UploadState
from chalicelib.names import BuildId
from tests.cli.conftest import Deployed
from tests.cli.examples import DAILY, HELD, publication, record

PUBLIC = publication("us-east-1", PublicationState.PUBLIC, image_id="ami-1", snapshot_id="snap-1")
FAILED = publication("eu-west-1", PublicationState.FAILED, reason="eu-west-1: the quota is used up.")
SKIPPED = publication("af-south-1", PublicationState.SKIPPED)
STAGED = publication("us-east-1", PublicationState.STAGED, image_id="ami-2", snapshot_id="snap-2")
REFUSED = Upload("some/build.sjson", "v1", UploadState.REFUSED, "The key is not in the keyring.", "2026-11-20T10:00:00Z")
WAITING = Upload("other/build.sjson", "v1", UploadState.WAITING, "disk.img has not arrived.", "2026-11-20T10:00:00Z")


@pytest.fixture
def full(deployed: Deployed) -> Deployed:
    """A daily that is public but for one Region, a held build, and two uploads that became no build."""
    files = (PinnedFile("disk.img", "k/disk.img", "v1", 1),)
    deployed.put(record(DAILY, files=files), PUBLIC, FAILED, SKIPPED)
    deployed.put(record(HELD, BuildState.STAGED, digest="b" * 64), STAGED)
    deployed.index.put_upload(REFUSED)
    deployed.index.put_upload(WAITING)
    return deployed


def test_an_unknown_stack_is_said_so(deployed: Deployed) -> None:
    """A stack that is not there is named with its Region, and how to name another."""
    result = deployed.run("--stack", "other", "status")
    assert result.exit_code == ExitCode.CLOUD
    assert "There is no stack 'other' in us-east-1" in result.stderr


def test_status_of_nothing(deployed: Deployed) -> None:
    """An empty index is no error."""
    result = deployed.run("status")
    assert (result.exit_code, result.stdout) == (0, "No build yet: `broadside upload` brings the first one.\n")


def test_status_lists_builds_and_stuck_uploads(full: Deployed) -> None:
    """The list has every build with its numbers, and every refused or waiting upload with its sentence."""
    lines = full.run("status").stdout.splitlines()
    assert next(line for line in lines if str(DAILY) in line).split()[1:6] == ["public", "1", "-", "1", "1"]
    assert next(line for line in lines if str(HELD) in line).split()[1:6] == ["staged", "-", "1", "-", "-"]
    assert any("some/build.sjson" in line and "The key is not in the keyring." in line for line in lines)
    assert any("other/build.sjson" in line and "disk.img has not arrived." in line for line in lines)


def test_status_list_as_json(full: Deployed) -> None:
    """The same for programs."""
    document = json.loads(full.run("status", "--json").stdout)
    assert {each["build"]: each["regions"] for each in document["builds"]} == {
        str(DAILY): {"public": 1, "failed": 1, "skipped": 1},
        str(HELD): {"staged": 1},
    }
    assert {each["key"]: each["state"] for each in document["uploads"]} == {
        "some/build.sjson": "refused",
        "other/build.sjson": "waiting",
    }


@pytest.mark.parametrize("options", [["--once"], []])
def test_status_of_a_build_says_what_happened_where(full: Deployed, options: list[str]) -> None:
    """Each Region's state, AMI and reason are shown; the exit code tells of the failed one."""
    result = full.run("status", "daily/20261120", *options)
    assert result.exit_code == ExitCode.FAILED
    assert "ami-1" in result.stdout
    assert "eu-west-1: the quota is used up." in result.stdout
    assert "broadside retry" in result.stdout


def test_status_of_a_build_as_json(full: Deployed) -> None:
    """Programs get the same, and the same exit code."""
    result = full.run("status", str(DAILY), "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == ExitCode.FAILED
    assert {each["region"]: each["state"] for each in document["regions"]} == {
        "us-east-1": "public",
        "eu-west-1": "failed",
        "af-south-1": "skipped",
    }


def test_status_of_a_refused_upload(deployed: Deployed) -> None:
    """A build that was refused before it was recorded shows the sentence for its uploader."""
    key = f"{DAILY.folder}/build.sjson"
    deployed.index.put_upload(Upload(key, "v1", UploadState.REFUSED, "It is not signed.", "2026-11-20T10:00:00Z"))
    result = deployed.run("status", str(DAILY))
    assert result.exit_code == ExitCode.FAILED
    assert "It is not signed." in result.stdout


def test_status_of_a_build_nobody_uploaded(deployed: Deployed) -> None:
    """A build that is not there is a failure, not an endless wait, when asked once."""
    assert deployed.run("status", str(DAILY), "--once").exit_code == ExitCode.FAILED


@pytest.mark.parametrize("text", ["20261121", "amd64/daily/20261121", "{folder}/build.sjson"])
@pytest.mark.parametrize("folder", ["com.example.cloud/server/24.04/amd64/daily/20261121", "a/folder/of/theirs"])
def test_an_upload_that_became_no_build_has_a_short_name_too(full: Deployed, folder: str, text: str) -> None:
    """By the build it was to become, wherever it lies, or by its manifest's key."""
    build = f"{DAILY.product}/daily/20261121" if folder.startswith("a/") else ""  # else the manifest could not be read
    full.index.put_upload(replace(REFUSED, key=f"{folder}/build.sjson", build=build))
    result = full.run("status", text.format(folder=folder))
    assert result.exit_code == ExitCode.FAILED
    assert f"{DAILY.product}/daily/20261121" in result.stdout
    assert REFUSED.reason in result.stdout


def test_an_upload_that_names_no_build_is_known_by_its_key(full: Deployed) -> None:
    """What became of it is said at once."""
    result = full.run("status", WAITING.key)
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr == "broadside: other/build.sjson became no build, it is waiting: disk.img has not arrived.\n"


def test_an_upload_does_not_stand_in_a_release_s_way(full: Deployed) -> None:
    """What became no build cannot be meant where only a build can be."""
    full.index.put_upload(replace(REFUSED, build="com.example.cloud:server:26.04:amd64/released/20261120"))
    assert full.run("release", "released/20261120", "--dry-run").exit_code == ExitCode.OK


def test_status_says_that_a_retry_is_under_way(full: Deployed) -> None:
    """What was just started does not show in the index yet: the old failure is not the last word."""
    states = full.session.client("stepfunctions")
    for attempt in (0, 1):
        name = DAILY.execution_name(record().digest, attempt)
        full.end(full.stack.publish_state_machine)
        states.start_execution(stateMachineArn=full.stack.publish_state_machine, name=name, input="{}")
    result = full.run("status", "daily/20261120", "--once")
    assert result.stdout.startswith("A retry is under way.\n")
    assert "broadside retry" not in result.stdout
    assert json.loads(full.run("status", "daily/20261120", "--json").stdout)["settled"] is False
    full.end(full.stack.publish_state_machine)
    assert json.loads(full.run("status", "daily/20261120", "--json").stdout)["settled"] is True


def test_status_says_that_a_release_is_under_way(full: Deployed) -> None:
    """By the name of whoever has claimed the build, also before anything else of it shows in the index."""
    full.index.claim(HELD, "release 24.04")
    result = full.run("status", "released/20261120", "--once")
    assert result.stdout.startswith("The release 24.04 is under way.\n")
    assert json.loads(full.run("status", "released/20261120", "--json").stdout)["settled"] is False


def test_images_are_the_public_ones(full: Deployed) -> None:
    """Only public AMIs are found unless all are asked for."""
    assert full.run("images", "--format", "ids").stdout == "ami-1\n"
    assert full.run("images", "--format", "ids", "--all").stdout == "ami-1\nami-2\n"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (["--product", DAILY.product], True),
        (
            ["--region", "us-east-1", "--arch", "amd64", "--serial", "20261120", "--stream", "daily", "--release", "noble"],
            True,
        ),
        (["--region", "us-east-1", "--region", "eu-west-1"], True),
        (["--region", "eu-west-1"], False),
        (["--arch", "arm64"], False),
        (["--stream", "released"], False),
        (["--release", "jammy"], False),
        (["--serial", "20261121"], False),
    ],
)
def test_images_are_found_by_what_they_are(full: Deployed, query: list[str], found: bool) -> None:
    """Every filter narrows, and all of them must hold; none found is exit code 1."""
    result = full.run("images", *query, "--format", "ids")
    assert result.stdout == ("ami-1\n" if found else "")
    assert result.exit_code == (ExitCode.OK if found else ExitCode.FAILED)


def test_the_newest_image_comes_first(deployed: Deployed) -> None:
    """Serials are ordered by their numbers, the newest first: a shell takes the first line."""
    for number in (9, 10):
        build = BuildId(DAILY.product, "daily", f"20261120.{number}")
        image = publication("us-east-1", PublicationState.PUBLIC, build, image_id=f"ami-{number}")
        deployed.put(record(build, digest=f"{number:064}"), image)
    assert deployed.run("images", "--format", "ids").stdout.split() == ["ami-10", "ami-9"]


def test_images_as_json(full: Deployed) -> None:
    """Programs get every field."""
    (image,) = json.loads(full.run("images", "--json").stdout)
    assert image == {
        "product": DAILY.product,
        "stream": "daily",
        "serial": "20261120",
        "release": "noble",
        "version": "24.04",
        "arch": "amd64",
        "region": "us-east-1",
        "state": "public",
        "image_id": "ami-1",
        "snapshot_id": "snap-1",
    }


def test_a_retry_starts_what_failed_under_the_next_name(full: Deployed) -> None:
    """After the first execution is over, a retry starts the next one with the build's input; while it runs, no other."""
    states = full.session.client("stepfunctions")
    first = DAILY.execution_name(record().digest)
    states.start_execution(stateMachineArn=full.stack.publish_state_machine, name=first, input="{}")
    refused = full.run("retry", "daily/20261120")
    assert (refused.exit_code, "still being published" in refused.stderr) == (ExitCode.FAILED, True)
    full.end(full.stack.publish_state_machine)
    started = full.run("retry", "daily/20261120")
    assert started.exit_code == ExitCode.OK
    assert "1 failed Region (eu-west-1)" in started.stdout
    executions = dict(full.executions(full.stack.publish_state_machine))
    assert executions[DAILY.execution_name(record().digest, attempt=1)] == {
        "build": str(DAILY),
        "digest": record().digest,
        "files": ["disk.img"],
    }


def test_nothing_failed_nothing_retried(full: Deployed) -> None:
    """A build that is well is not retried."""
    result = full.run("retry", "released/20261120")
    assert result.exit_code == ExitCode.FAILED
    assert "Nothing of" in result.stderr
    assert full.executions(full.stack.publish_state_machine) == []
