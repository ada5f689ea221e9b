"""The main job: a signed upload becomes an AMI in every Region and an entry in the signed query file."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from broadside.proof import NotProven
from chalicelib.index.records import BuildState, PublicationState
from chalicelib.names import BuildId
from chalicelib.snapshots.blocks import BLOCK_SIZE, block_count
from tests.e2e.site import Site, image, public

CONTENT = image(7)


@pytest.fixture(scope="module")
def daily(site: Site, keyring: Path) -> BuildId:
    """A daily build, published."""
    build = site.upload(CONTENT)
    site.wait_for(build, BuildState.PUBLIC)
    site.wait_named(build, public(site.regions(build)), keyring)
    return build


def test_a_daily_is_public_in_every_region_that_the_account_can_use(site: Site, daily: BuildId) -> None:
    """And skipped, with that word, in the opt-in Regions that it has not enabled."""
    regions = site.session.client("ec2").describe_regions(AllRegions=True)["Regions"]
    enabled = {region["RegionName"] for region in regions if region["OptInStatus"] != "not-opted-in"}
    publications = site.regions(daily)
    assert public(publications) == enabled
    skipped = {region for region, each in publications.items() if each.state is PublicationState.SKIPPED}
    assert skipped == {region["RegionName"] for region in regions} - enabled
    assert skipped, "the embedded cloud has an opt-in Region, else this test proves nothing"


def test_each_region_has_one_public_ami_with_the_manifests_attributes_and_tags(site: Site, daily: BuildId) -> None:
    """What an outsider sees is what the builder signed."""
    for region, publication in site.regions(daily).items():
        if publication.state is PublicationState.SKIPPED:
            continue
        [ami] = site.images(daily, region)
        assert ami["ImageId"] == publication.image_id
        assert ami["Public"] is True
        assert ami["State"] == "available"
        assert ami["Name"] == daily.image_name
        assert (ami["Architecture"], ami["VirtualizationType"], ami["BootMode"]) == ("x86_64", "hvm", "uefi-preferred")
        assert (ami["EnaSupport"], ami["SriovNetSupport"], ami["ImdsSupport"]) == (True, "simple", "v2.0")
        [root] = ami["BlockDeviceMappings"]
        assert (root["DeviceName"], root["Ebs"]["VolumeSize"], root["Ebs"]["VolumeType"]) == ("/dev/sda1", 8, "gp3")
        [snapshot] = site.snapshots(daily, region)
        assert snapshot["SnapshotId"] == root["Ebs"]["SnapshotId"] == publication.snapshot_id


def test_the_snapshot_of_every_region_reads_back_byte_for_byte(site: Site, daily: BuildId) -> None:
    """Through the EBS direct API, as anybody with the permission can."""
    blocks = block_count(len(CONTENT))
    expected = CONTENT.ljust(blocks * BLOCK_SIZE, b"\0")
    for region in sorted(public(site.regions(daily))):
        assert site.read_snapshot(region, site.regions(daily)[region].snapshot_id, blocks) == expected, region


def test_a_real_reader_verifies_the_query_file_and_finds_every_ami(site: Site, daily: BuildId, keyring: Path) -> None:
    """sstream-query, with the signer's keyring, names exactly the AMIs of the index."""
    expected = {region: each.image_id for region, each in site.regions(daily).items() if each.image_id}
    assert site.named(daily, keyring) == expected


@pytest.mark.usefixtures("daily")
def test_gpgv_accepts_the_signed_index_over_http(site: Site, keyring: Path, tmp_path: Path) -> None:
    """The clearsigned file by itself, and the plain one with its detached signature."""
    for name in ("index.sjson", "index.json", "index.json.gpg"):
        (tmp_path / name).write_bytes(_get(site, f"streams/v1/{name}"))
    gpgv = ["gpgv", "--keyring", str(keyring)]
    subprocess.run([*gpgv, str(tmp_path / "index.sjson")], check=True, capture_output=True)
    subprocess.run([*gpgv, str(tmp_path / "index.json.gpg"), str(tmp_path / "index.json")], check=True, capture_output=True)


def test_a_mirror_downloads_the_image_with_its_hash(site: Site, daily: BuildId, keyring: Path, tmp_path: Path) -> None:
    """sstream-mirror, verifying, leaves the very bytes that were uploaded."""
    site.until(lambda: site.record(daily).downloads_at, "the downloads to be open")  # type: ignore[union-attr]  # recorded
    site.until(
        lambda: site.query("datatype=image-downloads", f"version_name={daily.serial}", keyring=keyring), "the download stream"
    )
    command = [
        str(Path(sys.executable).with_name("sstream-mirror")),
        f"--keyring={keyring}",
        "--max=1",
        site.public_url,
        str(tmp_path),
    ]
    subprocess.run([*command, "ftype=disk1.img", f"version_name={daily.serial}"], check=True, capture_output=True, timeout=120)
    mirrored = [path.read_bytes() for path in tmp_path.rglob("disk.img")]
    assert hashlib.sha256(CONTENT).hexdigest() in {hashlib.sha256(data).hexdigest() for data in mirrored}


def test_running_a_finished_build_again_makes_no_mutating_call(site: Site, daily: BuildId) -> None:
    """Neither the state machine itself nor the upload's event, delivered again, changes anything."""
    record = site.record(daily)
    assert record is not None
    before = site.last_call()
    machine = site.session.client("stepfunctions")
    machine.start_execution(
        stateMachineArn=site.stack.publish_state_machine,
        name=daily.execution_name(record.digest, attempt=99),
        input=f'{{"build": "{daily}", "digest": "{record.digest}", "files": ["disk.img"]}}',
    )
    site.deliver_again(daily)
    site.until(lambda: not site.running(), "the second run to end")
    calls = site.calls_since(before)
    assert {"broadside-Ingest", "broadside-PlanRegions"} <= {call["caller"] for call in calls}, "the second run does look"
    assert [call for call in calls if call["mutating"]] == []
    assert site.record(daily) == record


def test_a_released_build_is_held_until_somebody_releases_it(site: Site, keyring: Path) -> None:
    """Private everywhere, and in no query file; then public everywhere."""
    build = site.upload(image(3, seed=2), stream="released")
    site.wait_for(build, BuildState.STAGED)
    staged = {region for region, each in site.regions(build).items() if each.state is PublicationState.STAGED}
    assert staged
    assert not public(site.regions(build))
    assert all(not ami["Public"] for region in staged for ami in site.images(build, region))
    assert site.named(build, keyring) == {}
    site.session.client("stepfunctions").start_execution(
        stateMachineArn=site.stack.rollout_state_machine,
        name="first",
        input=json.dumps(
            {
                "rollout": "first",
                "kind": "release",
                "builds": [str(build)],
                "waves": [{"name": "all", "regions": sorted(staged)}],
                "by": "arn:aws:iam::123456789012:user/manager",
            }
        ),
    )
    record = site.wait_for(build, BuildState.PUBLIC)
    assert public(site.regions(build)) == staged
    assert record.released_by.endswith("user/manager")
    site.wait_named(build, staged, keyring)


def test_a_reader_refuses_the_files_after_one_byte_is_changed(site: Site, daily: BuildId, keyring: Path) -> None:
    """In the index as in the products file that it names."""
    for key in ("streams/v1/index.sjson", _products_path(site)):
        body = _get(site, key)
        at = body.index(b'"format"') + 1
        changed = body[:at] + b"F" + body[at + 1 :]
        try:
            site.s3.put_object(Bucket=site.stack.public_bucket, Key=key, Body=changed)
            with pytest.raises(NotProven):
                site.named(daily, keyring)
        finally:
            site.s3.put_object(Bucket=site.stack.public_bucket, Key=key, Body=body)
    assert site.named(daily, keyring)


def _get(site: Site, path: str) -> bytes:
    """Fetch a public file as any reader does, without credentials."""
    with urllib.request.urlopen(site.public_url + path, timeout=10) as answer:  # noqa: S310 - the embedded cloud's
        body: bytes = answer.read()
    return body


def _products_path(site: Site) -> str:
    text = _get(site, "streams/v1/index.sjson").decode()
    return next(line.split('"')[3] for line in text.splitlines() if '"path"' in line and "daily:aws" in line)
