"""``broadside diff``: two files, or a published build and a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broadside.cli import main
from broadside.cli.common import ExitCode
from broadside.cli.estimates import all_regions
from chalicelib import policy
from chalicelib.index.records import PublicationState
from chalicelib.policy import StreamPolicy
from chalicelib.snapshots.blocks import BLOCK_SIZE, cut, digests
from tests.cli.conftest import Deployed
from tests.cli.examples import disk, publication, record, sealed

OLD = (1, 2, 0, 3, 0)


def run(*arguments: object) -> Result:
    """Run ``broadside diff`` where there is no cloud."""
    return CliRunner(env={"AWS_PROFILE": None, "AWS_REGION": None}).invoke(main, ["diff", *map(str, arguments)])


def file(folder: Path, name: str, *contents: int) -> Path:
    path = folder / name
    path.write_bytes(disk(*contents))
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return file(tmp_path, "old.img", *OLD)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """One block changed, one became zeros, the last got data; one is there beyond the old end."""
    return file(tmp_path, "new.img", 1, 7, 0, 0, 5, 6)


@pytest.fixture
def published(deployed: Deployed) -> Deployed:
    """The old disk as a daily, in two Regions."""
    of = record(disk_size=len(OLD) * BLOCK_SIZE)
    regions = [sealed(region, 5, 5, parent=None) for region in ("us-east-1", "eu-west-1")]
    deployed.put(of, *regions, publication("af-south-1", PublicationState.SKIPPED))
    deployed.put_digests(of, digests(cut(disk(*OLD))))
    return deployed


def test_two_files_need_no_cloud(old: Path, new: Path) -> None:
    """What has to be written is counted, the data apart from the zeros; the first block always is."""
    found = json.loads(run(old, new, "--json").stdout)
    assert found["regions"] == list(all_regions())
    assert {key: found[key] for key in found if key not in ("old", "new", "regions", "saved_by_chaining", "map")} == {
        "chained": True,
        "old_blocks": 5,
        "new_blocks": 6,
        "data_blocks": 4,
        "written_blocks": 5,
        "written_data_blocks": 4,
        "written_bytes": 5 * BLOCK_SIZE,
        "first_build_blocks": 6,
        "share": round(5 / 6, 6),
    }
    assert found["map"] == {"blocks_per_cell": 1, "written": [1, 1, 0, 1, 1, 1]}
    assert found["saved_by_chaining"]["blocks"] == len(all_regions())


def test_people_see_where_it_differs(old: Path, new: Path) -> None:
    """A map, the share, what is saved, and advice where most of the data has moved."""
    lines = run(old, new, "--regions", "us-east-1").stdout.splitlines()
    assert lines[0] == f"{'0 B':>9}  ██ ███"
    assert "5 of 6 blocks (2 MiB)" in lines[4]
    assert "4 of the 4 blocks that hold data (100.0%), and 1 of zeros" in lines[5]
    assert "In 1 Region chaining saves about" in lines[6]
    assert "docs/builders.md" in lines[7]


def test_the_same_disk_twice_needs_no_advice(old: Path) -> None:
    """Only the first block, which is always written, counts."""
    result = run(old, old)
    assert "1 of 5 blocks" in result.stdout
    assert "builders.md" not in result.stdout


def test_a_published_build_and_a_file(published: Deployed, new: Path) -> None:
    """The old one may be a build: by its digests alone, and for the Regions that it is in."""
    found = json.loads(published.run("diff", "daily/20261120", str(new), "--json").stdout)
    assert found["written_blocks"] == 5
    assert found["regions"] == ["eu-west-1", "us-east-1"]
    assert found["old"].endswith("/daily/20261120")


def test_two_builds_or_the_new_one_alone(published: Deployed, old: Path) -> None:
    """The new one may be a build as well."""
    found = json.loads(published.run("diff", str(old), "daily/20261120", "--regions", "us-east-1", "--json").stdout)
    assert (found["written_blocks"], found["regions"]) == (1, ["us-east-1"])


def test_the_policy_of_the_old_build_s_stream_counts(published: Deployed, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its zeros are left out, a first build of the new disk is its data, and the first block."""
    monkeypatch.setattr(policy, "for_stream", lambda _stream: StreamPolicy(zero_blocks="skip"))
    assert json.loads(published.run("diff", "daily/20261120", str(new), "--json").stdout)["first_build_blocks"] == 4


def test_a_disk_that_shrank_is_not_chained(old: Path, new: Path) -> None:
    """It is told, instead of a saving that never comes."""
    assert "is smaller than" in run(new, old).stdout
    found = json.loads(run(new, old, "--json").stdout)
    assert (found["chained"], found["saved_by_chaining"]["blocks"]) == (False, 0)


def test_a_shorter_tail_is_a_smaller_disk(tmp_path: Path) -> None:
    """Bytes count, not blocks, as when it is published."""
    longer, shorter = tmp_path / "longer.img", tmp_path / "shorter.img"
    longer.write_bytes(disk(1) + b"tail")
    shorter.write_bytes(disk(1) + b"tai")
    assert json.loads(run(longer, shorter, "--json").stdout)["chained"] is False


def test_what_is_neither_file_nor_build_is_said_so(deployed: Deployed, new: Path) -> None:
    """One sentence, exit code 1."""
    result = deployed.run("diff", "yesterday.img", str(new))
    assert result.exit_code == ExitCode.FAILED
    assert "No build is called 'yesterday.img'" in result.stderr


def test_a_folder_is_no_disk(new: Path) -> None:
    """One sentence, exit code 1."""
    result = run(new.parent, new)
    assert (result.exit_code, "is no file" in result.stderr) == (ExitCode.FAILED, True)


def test_a_bad_region_is_a_usage_error(old: Path, new: Path) -> None:
    """Exit code 2."""
    assert run(old, new, "--regions", "mars").exit_code == ExitCode.USAGE
