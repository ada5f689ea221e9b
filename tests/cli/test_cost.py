"""``broadside cost``: plans from files, and builds that the index knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broadside.cli import main
from broadside.cli.common import ExitCode
from broadside.cli.estimates import all_regions, dollars
from broadside.cost import Prices
from chalicelib import policy
from chalicelib.index.records import Method, PublicationState
from chalicelib.policy import StreamPolicy
from chalicelib.snapshots.blocks import BLOCK_SIZE, cut, digests
from tests.cli.conftest import Deployed
from tests.cli.examples import DAILY, disk, publication, record, sealed

TWO = "us-east-1,eu-west-1"


def run(*arguments: object) -> Result:
    """Run ``broadside cost`` where there is no cloud."""
    return CliRunner(env={"AWS_PROFILE": None, "AWS_REGION": None}).invoke(main, ["cost", *map(str, arguments)])


def document(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disk of four blocks and a bit, the third of zeros."""
    path = tmp_path / "disk.img"
    path.write_bytes(disk(1, 2, 0, 3) + b"tail")
    return path


@pytest.fixture
def yesterday(tmp_path: Path) -> Path:
    """The same but for the second block, and without the tail."""
    path = tmp_path / "yesterday.img"
    path.write_bytes(disk(1, 9, 0, 3))
    return path


def test_a_plan_needs_no_cloud(image: Path) -> None:
    """A file and the built-in prices are enough: everything is written everywhere, zeros included."""
    planned = document("--plan", image)
    assert planned["blocks"] == 5
    assert planned["home"] == "us-east-1"
    assert [each["region"] for each in planned["direct"]["regions"]] == list(all_regions())
    assert all(each["calls"]["PutSnapshotBlock"] == 5 for each in planned["direct"]["regions"])
    assert planned["copy"]["calls"]["CopyImage"] == len(all_regions()) - 1
    assert planned["saved_by_chaining"]["blocks"] == 0


def test_a_plan_on_top_of_yesterday_s_file(image: Path, yesterday: Path) -> None:
    """What differs is written: the first block always, the second, and the tail; the rest is saved in each Region."""
    planned = document("--plan", image, "--parent", yesterday, "--regions", TWO)
    assert {each["region"]: each["calls"]["PutSnapshotBlock"] for each in planned["direct"]["regions"]} == {
        "us-east-1": 3,
        "eu-west-1": 3,
    }
    home, away = planned["direct"]["regions"]
    assert (home["sent_bytes"], away["sent_bytes"], away["stored_bytes"]) == (0, 3 * BLOCK_SIZE, 3 * BLOCK_SIZE)
    assert planned["copy"]["regions"][1]["stored_bytes"] == 5 * BLOCK_SIZE
    assert planned["saved_by_chaining"]["blocks"] == 4
    assert planned["saved_by_chaining"]["stored_bytes"] == 4 * BLOCK_SIZE


def test_a_disk_that_shrank_is_not_chained(image: Path, yesterday: Path) -> None:
    """As when it is published: the plan says so, and counts a first build."""
    result = run("--plan", yesterday, "--parent", image, "--regions", TWO, "--json")
    assert result.exit_code == 0
    assert "is smaller than" in result.stderr
    assert json.loads(result.stdout)["direct"]["calls"]["PutSnapshotBlock"] == 8


def test_zeros_may_be_left_out(image: Path) -> None:
    """The choice of a stream's policy, tried out."""
    assert document("--plan", image, "--regions", TWO, "--skip-zeros")["direct"]["calls"]["PutSnapshotBlock"] == 8


@pytest.mark.parametrize("text", ["files: [{path: disk.img}]", "files: [{path: x}, {path: disk.img}]\nec2: {image: disk.img}"])
def test_a_manifest_names_its_image(image: Path, text: str) -> None:
    """A manifest in YAML stands for the image that it names, or its first file."""
    plan = image.with_name("build.yaml")
    plan.write_text(text)
    assert document("--plan", plan, "--regions", "us-east-1")["blocks"] == 5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("files: []", "names no image"),
        ("files: [{path: disk.img}]\nec2: {image: other.img}", "names no image"),
        ("files: [{path: missing.img}]", "missing.img is no file"),
        ("files: 3", "must hold the fields of a manifest"),
        ("{", "cannot be read as YAML"),
    ],
)
def test_a_manifest_without_an_image_is_refused(image: Path, text: str, sentence: str) -> None:
    """One sentence, exit code 1."""
    plan = image.with_name("build.yaml")
    plan.write_text(text)
    refused(run("--plan", plan), sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is an empty file"),
        (b"QFI\xfb\0\0\0\3", "cut off or damaged"),
        (b"\x1f\x8b\x08\0", "what gzip packed does not end"),
        (b"KDMV", "cut off or damaged"),
    ],
)
def test_what_is_no_whole_image_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    """No figures are better than wrong ones."""
    path = tmp_path / "disk"
    path.write_bytes(content)
    refused(run("--plan", path), sentence)


def test_the_price_table_can_be_replaced(image: Path, tmp_path: Path) -> None:
    """Figures follow the user's own table, of single Regions too."""
    table = tmp_path / "ours.toml"
    prices = Prices.builtin().model_dump()
    prices["region"]["put_snapshot_block_per_1000"] = 100.0
    lines = [
        f"[{part}]\n" + "".join(f"{key} = {value}\n" for key, value in prices[part].items()) for part in ("region", "home")
    ]
    table.write_text("\n".join(lines) + "[regions.eu-west-1]\nput_snapshot_block_per_1000 = 200\n")
    planned = document("--plan", image, "--regions", TWO, "--prices", table)
    home, away = (each["once_dollars"] for each in planned["direct"]["regions"])
    assert home == pytest.approx(0.5)
    assert away == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize(("text", "sentence"), [("[region]", "cannot be used"), ("[", "is not TOML"), (b"\xff", "as text")])
def test_a_bad_price_table_is_refused(image: Path, tmp_path: Path, text: str | bytes, sentence: str) -> None:
    """One sentence, before anything else is done; exit code 1."""
    table = tmp_path / "ours.toml"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(run("--plan", image, "--prices", table), sentence)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["daily/20261120", "--plan", "{image}"],
        ["daily/20261120", "--parent", "{image}"],
        ["daily/20261120", "--regions", "us-east-1"],
        ["daily/20261120", "--skip-zeros"],
        ["--plan", "{image}", "--regions", "somewhere"],
        ["--plan", "{image}", "--regions", "us-east-1,"],
        ["--plan", "{image}.missing"],
        ["--plan", "{image}", "--prices", "{image}.missing"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(image: Path, arguments: list[str]) -> None:
    """What contradicts itself, or names what is not there, is exit code 2."""
    assert run(*(each.format(image=image) for each in arguments)).exit_code == ExitCode.USAGE


def test_the_table_fits_on_a_hundred_columns(image: Path) -> None:
    """With the longest names of Regions and the largest bills that are likely."""
    lines = run("--plan", image).stdout.splitlines()
    assert max(len(line) for line in lines if not line.startswith(("Written", str(image)))) <= 100
    assert any(line.startswith("TOTAL") for line in lines)
    assert ["PutSnapshotBlock", str(5 * len(all_regions())), "5"] in [line.split() for line in lines]


@pytest.fixture
def build() -> bytes:
    """The digest list of a published disk: five blocks, the third of zeros."""
    return digests(cut(disk(1, 2, 0, 3, 4)))


def test_a_published_build_costs_what_was_written(deployed: Deployed, build: bytes) -> None:
    """Chained Regions count what they wrote; those without a parent, copied, or not there yet count in full."""
    of = record(disk_size=5 * BLOCK_SIZE)
    deployed.put(
        of,
        sealed("us-east-1", 2, 5),
        sealed("eu-west-1", 5, 5, parent=None),
        publication("eu-west-2", PublicationState.PUBLIC, method=Method.COPY, image_id="ami-3"),
        publication("eu-west-3", PublicationState.FAILED, reason="no"),
        publication("af-south-1", PublicationState.SKIPPED),
    )
    deployed.put_digests(of, build)
    result = deployed.run("cost", "daily/20261120", "--json")
    assert result.exit_code == 0
    bill = json.loads(result.stdout)
    assert bill["build"] == str(DAILY)
    assert {each["region"]: each["calls"]["PutSnapshotBlock"] for each in bill["direct"]["regions"]} == {
        "us-east-1": 2,
        "eu-west-1": 5,
        "eu-west-2": 5,
        "eu-west-3": 5,
    }
    assert bill["saved_by_chaining"]["blocks"] == 3
    shown = deployed.run("cost", "daily/20261120").stdout
    assert "Chaining writes 85.0% of the blocks of a first build and saves" in shown


def test_a_plan_on_top_of_a_published_build(deployed: Deployed, build: bytes, tmp_path: Path) -> None:
    """The parent may be a build: its digests are compared, nothing else is read."""
    of = record(disk_size=5 * BLOCK_SIZE)
    deployed.put(of, sealed("us-east-1", 5, 5, parent=None))
    deployed.put_digests(of, build)
    image = tmp_path / "disk.img"
    image.write_bytes(disk(1, 2, 7, 3, 4))
    result = deployed.run("cost", "--plan", str(image), "--parent", "daily/20261120", "--regions", TWO, "--json")
    assert json.loads(result.stdout)["direct"]["calls"]["PutSnapshotBlock"] == 2 * 2


def test_a_stream_that_leaves_zeros_out_is_counted_so(
    deployed: Deployed, build: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first build of five blocks, one of zeros, is four."""
    monkeypatch.setattr(policy, "for_stream", lambda _stream: StreamPolicy(zero_blocks="skip"))
    of = record(disk_size=5 * BLOCK_SIZE)
    deployed.put(of, sealed("us-east-1", 4, 5, parent=None))
    deployed.put_digests(of, build)
    bill = json.loads(deployed.run("cost", "daily/20261120", "--json").stdout)
    assert bill["direct"]["calls"]["PutSnapshotBlock"] == 4


def test_a_build_of_unknown_blocks_is_said_so(deployed: Deployed) -> None:
    """Before the first snapshot is sealed nobody knows."""
    deployed.session.client("s3").create_bucket(Bucket=deployed.stack.work_bucket)
    deployed.put(record())
    refused(deployed.run("cost", "daily/20261120"), "Nothing is known of the blocks of")


def test_a_build_that_nobody_knows(deployed: Deployed) -> None:
    """As with every command."""
    refused(deployed.run("cost", "daily/20261121"), "No build is called 'daily/20261121'")


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.000"), (0.0002, "<$0.001"), (0.0983, "$0.098"), (3.4, "$3.400"), (19.754, "$19.75"), (-0.5, "-$0.500")],
)
def test_dollars_are_not_rounded_to_nothing(amount: float, text: str) -> None:
    """What is small is not called free."""
    assert dollars(amount) == text


def refused(result: Result, sentence: str) -> None:
    """One sentence on standard error, and exit code 1."""
    assert result.exit_code == ExitCode.FAILED, result.output
    assert result.stdout == ""
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
