"""What `status` says of how each Region came to its AMI, and of what chaining saved."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from broadside.cli.common import ExitCode, make_console
from broadside.cli.progress import View, as_json, conclusion, how_written, region_table
from broadside.cli.written import written
from chalicelib import policy
from chalicelib.index.records import Method, Publication, PublicationState
from chalicelib.policy import StreamPolicy
from tests.cli.conftest import Deployed
from tests.cli.examples import DAILY, publication, record, sealed

#: 8 GiB in blocks, and 5 % of them.
EIGHT_GIB, FIVE_PERCENT = 16_384, 819
AMI = "ami-0123456789abcdef0"
TIMES = {"planned": "2026-11-20T10:00:00Z", "public": "2026-11-20T10:12:05Z"}
HOME = sealed("us-east-1", FIVE_PERCENT, EIGHT_GIB, image_id=AMI, times=TIMES)
AWAY = sealed("ap-southeast-1", FIVE_PERCENT, EIGHT_GIB, image_id=AMI, times=TIMES)
MISSED = sealed("eu-west-1", EIGHT_GIB, EIGHT_GIB, parent=None, image_id=AMI, times=TIMES)
COPIED = publication("eu-west-2", PublicationState.PUBLIC, method=Method.COPY, image_id=AMI, times=TIMES)
WRITING = publication("eu-west-3", PublicationState.WRITING, method=Method.WRITE)
FAILED = publication("sa-east-1", PublicationState.FAILED, reason="sa-east-1: the quota is used up.")


def view(*publications: Publication) -> View:
    return View(DAILY, record(), publications, None, home="us-east-1")


def table(*publications: Publication) -> list[str]:
    out = io.StringIO()
    make_console(out).print(region_table(view(*publications)))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("region", "text"),
    [
        (HOME, "819 of 16384, 5.0%"),
        (MISSED, "16384 of 16384, 100.0%"),
        (COPIED, "copied"),
        (WRITING, ""),
        (FAILED, ""),
    ],
)
def test_a_region_tells_how_it_came_to_its_ami(region: Publication, text: str) -> None:
    """Written, with the share of the blocks that it took; or copied; or nothing yet."""
    assert how_written(region) == text


def test_columns_are_there_once_there_is_something_to_show() -> None:
    """A table without anything written has the columns that it always had, one without a parent does not name any."""
    assert table(WRITING)[0].split() == ["REGION", "STATE", "AMI", "TIME"]
    assert table(WRITING, COPIED)[0].split() == ["REGION", "STATE", "AMI", "TIME", "BLOCKS", "WRITTEN"]
    assert "ON TOP OF" in table(HOME, MISSED)[0]


def test_each_row_names_its_parent() -> None:
    """By its serial; a Region that missed a build has another one, or none."""
    older = replace(AWAY, parent=replace(AWAY.parent, serial="20261117")) if AWAY.parent else AWAY
    lines = table(HOME, older, MISSED)
    assert [line.split()[0] for line in lines[1:]] == ["ap-southeast-1", "eu-west-1", "us-east-1"]
    assert lines[1].endswith("819 of 16384, 5.0%      20261117")
    assert lines[2].endswith("16384 of 16384, 100.0%")
    assert lines[3].endswith("819 of 16384, 5.0%      20261119")


def test_the_table_can_be_read_on_a_hundred_columns() -> None:
    """With every column in use; why a Region failed stands below, whole."""
    lines = table(HOME, AWAY, MISSED, COPIED, FAILED)
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "sa-east-1: the quota is used up."


def test_the_sum_tells_the_changed_bytes_and_what_chaining_saved() -> None:
    """By hand: 2 times 15,565 blocks less at $0.006 a thousand, 7.6 GiB of them not sent and 15.2 not kept; and some work."""
    total = written(DAILY, [HOME, AWAY, COPIED, FAILED], "us-east-1")
    assert total is not None
    assert total.saving is not None
    assert (total.regions, total.blocks, total.of) == (2, 2 * FIVE_PERCENT, 2 * EIGHT_GIB)
    assert total.saving.once == pytest.approx(31.130 * 0.006 + 15_565 / 2048 * 0.02, rel=0.03)
    assert total.saving.monthly == pytest.approx(31_130 / 2048 * 0.05)
    assert total.sentence == (
        "1638 of 32768 blocks were written (819 MiB, 5.0%) in 2 Regions; chaining saved about $0.345, and $0.760 a month."
    )


def test_a_first_build_saves_nothing() -> None:
    """Nothing is chained: the sum has no dollars."""
    total = written(DAILY, [MISSED], "us-east-1")
    assert total is not None
    assert total.saving is None
    assert total.sentence == "16384 of 16384 blocks were written (8.0 GiB, 100.0%) in 1 Region."


def test_where_zeros_are_left_out_the_index_does_not_tell_the_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a first build would have left out is not counted there: no figure is better than one that flatters."""
    monkeypatch.setattr(policy, "for_stream", lambda _stream: StreamPolicy(zero_blocks="skip"))
    total = written(DAILY, [HOME], "us-east-1")
    assert total is not None
    assert total.saving is None


def test_there_is_no_sum_before_a_snapshot_is_sealed() -> None:
    """Nor where all is copied."""
    assert written(DAILY, [WRITING, COPIED, FAILED], "us-east-1") is None
    assert conclusion(view(WRITING, COPIED)) == []
    assert as_json(view(WRITING))["written"] is None


def test_status_shows_it_all(deployed: Deployed) -> None:
    """The command as a whole: the table, why one failed, the sum, what to do."""
    deployed.put(record(), HOME, AWAY, MISSED, COPIED, FAILED)
    result = deployed.run("status", "daily/20261120", "--once")
    assert result.exit_code == ExitCode.FAILED
    lines = result.stdout.splitlines()
    assert next(line for line in lines if line.startswith("ap-southeast-1")).endswith("819 of 16384, 5.0%      20261119")
    assert lines[-3] == FAILED.reason
    assert lines[-2].startswith("18022 of 49152 blocks were written (8.8 GiB, 36.7%) in 3 Regions; chaining saved about $")
    assert "broadside retry" in lines[-1]


def test_status_as_json_has_it_too(deployed: Deployed) -> None:
    """By Region, null for what is not there; and the sum."""
    deployed.put(record(), HOME, COPIED, FAILED)
    document = json.loads(deployed.run("status", "daily/20261120", "--json").stdout)
    regions = {each["region"]: each for each in document["regions"]}
    keys = ("method", "parent", "blocks_written", "blocks")
    assert [regions["us-east-1"][key] for key in keys] == [
        "write",
        {"serial": "20261119", "snapshot_id": "snap-1119"},
        FIVE_PERCENT,
        EIGHT_GIB,
    ]
    assert [regions["eu-west-2"][key] for key in keys] == ["copy", None, None, None]
    assert [regions["sa-east-1"][key] for key in keys] == [None, None, None, None]
    assert document["written"]["bytes"] == FIVE_PERCENT * 512 * 1024
    assert document["written"]["saved_by_chaining"]["blocks"] == EIGHT_GIB - FIVE_PERCENT
