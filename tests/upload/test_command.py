"""``broadside upload`` as a builder runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broadside.cli.common import ExitCode
from chalicelib.builds import clearsigned
from chalicelib.builds.manifest import Manifest
from chalicelib.index.records import BuildRecord, BuildState
from chalicelib.openpgp import verify_clearsigned
from tests.cli.conftest import Deployed
from tests.keys import Key

PRODUCT = "com.example.cloud:server:24.04:amd64"
FOLDER = "com.example.cloud/server/24.04/amd64/daily/20261120"


def options(image: Path, *more: str) -> list[str]:
    return ["upload", str(image), "--product", PRODUCT, "--serial", "20261120", *more]


def objects(site: Deployed) -> dict[str, bytes]:
    s3 = site.session.client("s3")
    listed = s3.list_objects_v2(Bucket=site.stack.builds_bucket).get("Contents", [])
    return {each["Key"]: s3.get_object(Bucket=site.stack.builds_bucket, Key=each["Key"])["Body"].read() for each in listed}


def record(manifest: dict[str, Any], **fields: Any) -> BuildRecord:
    """The build as recorded from a manifest."""
    parsed = Manifest.model_validate(manifest)
    return BuildRecord(parsed.id, "a" * 64, manifest, "k", "v", "F" * 40, (), "2026-11-20T10:00:00Z", "now", **fields)


def test_an_image_is_signed_and_uploaded(site: Deployed, image: Path, builder: Key) -> None:
    """With the user's own gpg; what arrives is what ingest takes."""
    result = site.run(*options(image, "--key", builder.fingerprint))
    assert result.exit_code == 0, result.output
    there = objects(site)
    assert set(there) == {f"{FOLDER}/disk.img", f"{FOLDER}/build.sjson"}
    clearsigned.check(there[f"{FOLDER}/build.sjson"])
    verified = verify_clearsigned(there[f"{FOLDER}/build.sjson"], builder.public)
    assert str(Manifest.parse(verified.text).id) == f"{PRODUCT}/daily/20261120"


def test_json_says_what_was_done(site: Deployed, image: Path) -> None:
    """One document on standard output, whatever else is said on standard error."""
    result = site.run(*options(image, "--json"))
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["build"] == f"{PRODUCT}/daily/20261120"
    assert document["key"] == f"{FOLDER}/build.sjson"
    assert document["uploaded"] == ["disk.img"]
    assert document["version_id"]


def test_a_dry_run_prints_the_manifest_and_touches_nothing(site: Deployed, image: Path) -> None:
    """Not even the key is needed."""
    result = site.run(*options(image, "--dry-run", "--no-ena", "--imds", "none", "--alias", "a", "--alias", "b"))
    assert result.exit_code == 0, result.output
    manifest = Manifest.model_validate(json.loads(result.stdout))
    assert (manifest.ec2.ena, manifest.ec2.imds, manifest.aliases) == (False, None, ["a", "b"])
    assert objects(site) == {}


def test_more_files_go_with_the_image(site: Deployed, image: Path, tmp_path: Path) -> None:
    """With a type of the builder's own, or the one that the name suggests."""
    for name in ("disk.qcow2", "list.txt"):
        (tmp_path / name).write_text(name)
    more = ["--file", f"{tmp_path}/disk.qcow2=disk-kvm.img", "--file", f"{tmp_path}/list.txt", "--dry-run"]
    result = site.run(*options(image, *more))
    types = {file["path"]: file["ftype"] for file in json.loads(result.stdout)["files"]}
    assert types == {"disk.img": "disk1.img", "disk.qcow2": "disk-kvm.img", "list.txt": "txt"}


def test_a_description_and_options_go_together(site: Deployed, image: Path) -> None:
    """The options count more."""
    description = image.with_name("build.yaml")
    description.write_text(f"product: {PRODUCT}\nserial: 20261119\nrelease: noble\nfiles: [{{path: disk.img}}]\n")
    result = site.run("upload", "--manifest", str(description), "--serial", "20261120", "--dry-run")
    manifest = json.loads(result.stdout)
    assert (manifest["serial"], manifest["release"]) == ("20261120", "noble")


def test_a_fault_is_one_sentence_and_nothing_is_uploaded(site: Deployed, image: Path) -> None:
    """Before anything is hashed, signed or uploaded."""
    result = site.run(*options(image, "--tpm", "v2.0", "--boot-mode", "legacy-bios"))
    assert result.exit_code == ExitCode.USAGE  # a wrong option
    assert result.stderr.endswith("Error: The manifest's field ec2.tpm needs boot_mode uefi, not legacy-bios.\n")
    assert objects(site) == {}


def test_a_fault_in_the_description_is_no_wrong_option(site: Deployed, image: Path) -> None:
    """Its exit code is that of a refused build."""
    description = image.with_name("build.yaml")
    description.write_text(f"product: {PRODUCT}\nserial: 20261131\nrelease: noble\nfiles: [{{path: disk.img}}]\n")
    result = site.run("upload", "--manifest", str(description))
    assert result.exit_code == ExitCode.FAILED
    assert "a date that exists" in result.stderr
    assert objects(site) == {}


@pytest.mark.parametrize(
    ("option", "value"), [("--product", "nonsense"), ("--stream", "Daily"), ("--serial", "tomorrow"), ("--serial", "20261131")]
)
def test_a_misspelt_name_is_a_wrong_option_beside_a_description_too(
    site: Deployed, image: Path, option: str, value: str
) -> None:
    """One sentence about that option alone."""
    description = image.with_name("build.yaml")
    description.write_text(f"product: {PRODUCT}\nrelease: noble\nfiles: [{{path: disk.img}}]\n")
    result = site.run("upload", "--manifest", str(description), option, value)
    assert result.exit_code == ExitCode.USAGE
    assert f"Error: Invalid value for '{option}': '{value}' is no {option[2:]} like " in result.stderr


def test_files_of_one_name_are_wrong_options(site: Deployed, image: Path, tmp_path: Path) -> None:
    """They would lie in one folder."""
    other = tmp_path / "other" / image.name
    other.parent.mkdir()
    other.write_bytes(b"other")
    assert site.run(*options(image, "--file", str(other))).exit_code == ExitCode.USAGE


def test_a_file_that_is_not_there_is_a_wrong_option(site: Deployed, image: Path) -> None:
    """Said before anything is hashed."""
    result = site.run(*options(image, "--file", "nowhere.tar.xz"))
    assert result.exit_code == ExitCode.USAGE
    assert "nowhere.tar.xz" in result.stderr


def test_a_serial_with_other_content_is_refused_before_the_upload(site: Deployed, image: Path) -> None:
    """What is published is not replaced."""
    manifest = json.loads(site.run(*options(image, "--dry-run")).stdout)
    site.index.record_build(record({**manifest, "release_title": "Another"}))
    result = site.run(*options(image))
    assert result.exit_code == ExitCode.FAILED
    assert "with different content: choose another --serial" in result.stderr
    assert objects(site) == {}


def test_the_same_build_again_is_no_fault(site: Deployed, image: Path) -> None:
    """A CI job that is run again succeeds, and uploads nothing."""
    manifest = json.loads(site.run(*options(image, "--dry-run")).stdout)
    site.index.record_build(record(manifest))
    result = site.run(*options(image))
    assert result.exit_code == ExitCode.OK
    assert "uploaded before, with the same content" in result.stdout
    assert objects(site) == {}


def test_a_refused_build_may_be_uploaded_again(site: Deployed, image: Path) -> None:
    """Its serial is free."""
    manifest = json.loads(site.run(*options(image, "--dry-run")).stdout)
    site.index.record_build(record({**manifest, "release_title": "Another"}, state=BuildState.REFUSED))
    assert site.run(*options(image)).exit_code == ExitCode.OK
    assert len(objects(site)) == 2


def test_a_key_that_is_not_there_is_one_sentence(site: Deployed, image: Path) -> None:
    """And nothing is uploaded: signing comes first."""
    result = site.run(*options(image, "--key", "nobody@example.com"))
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr.startswith("broadside: gpg does not sign with nobody@example.com: ")
    assert objects(site) == {}


@pytest.mark.parametrize(("state", "code"), [(BuildState.STAGED, ExitCode.OK), (BuildState.FAILED, ExitCode.FAILED)])
def test_waiting_ends_with_the_publication(site: Deployed, image: Path, state: BuildState, code: ExitCode) -> None:
    """Its exit code is the command's."""
    manifest = json.loads(site.run(*options(image, "--dry-run")).stdout)
    site.index.record_build(record(manifest, state=state))
    result = site.run(*options(image, "--wait", "--json"))
    assert result.exit_code == code, result.output
    assert json.loads(result.stdout)["publication"]["state"] == state


def test_neither_image_nor_description_is_a_usage_error(site: Deployed) -> None:
    """As click has it."""
    result = site.run("upload", "--product", PRODUCT)
    assert result.exit_code == ExitCode.USAGE
    assert "Give an IMAGE, or --manifest" in result.stderr
