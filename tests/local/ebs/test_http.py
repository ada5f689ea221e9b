"""The two hot calls, straight from WSGI."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from broadside.local.ebs import http
from tests.local.lab import HOME, STRANGER, Lab, block, checksum


def put(snapshot_id: str, index: int, data: bytes, **other: Any) -> dict[str, Any]:
    """The WSGI environment of a PutSnapshotBlock."""
    return {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": f"/snapshots/{snapshot_id}/blocks/{index}",
        "CONTENT_LENGTH": str(len(data)),
        "HTTP_X_AMZ_DATA_LENGTH": "524288",
        "HTTP_X_AMZ_CHECKSUM": checksum(data),
        "HTTP_X_AMZ_CHECKSUM_ALGORITHM": "SHA256",
        "wsgi.input": io.BytesIO(data),
    } | other


def get(snapshot_id: str, index: int, token: str) -> dict[str, Any]:
    """The WSGI environment of a GetSnapshotBlock."""
    path = f"/snapshots/{snapshot_id}/blocks/{index}"
    return {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": f"blockToken={token.replace('+', '%2B')}"}


def test_a_block_goes_in_and_comes_out(lab: Lab) -> None:
    """With the statuses and headers of the API."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    written = http.handle(put(snapshot_id, 4, block("a")), HOME)
    assert written is not None
    assert written[0] == 201
    assert written[1]["x-amz-Checksum"] == checksum(block("a"))
    lab.ebs().complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=1)
    token = lab.ebs().list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"][0]["BlockToken"]
    read = http.handle(get(snapshot_id, 4, token), HOME)
    assert read is not None
    assert (read[0], read[2], read[1]["x-amz-Data-Length"]) == (200, block("a"), "524288")


def test_a_refusal_is_worded_as_the_api_does(lab: Lab) -> None:
    """Error type in the header; message and reason in the JSON body."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    answer = http.handle(put(snapshot_id, 4, block("a"), HTTP_X_AMZ_CHECKSUM=checksum(b"")), HOME)
    assert answer is not None
    status, headers, body = answer
    assert (status, headers["x-amzn-ErrorType"], json.loads(body)["Reason"]) == (400, "ValidationException", "INVALID_BLOCK")


@pytest.mark.parametrize(
    "header",
    [{"HTTP_X_AMZ_CHECKSUM": "\xe9"}, {"HTTP_X_AMZ_DATA_LENGTH": "\xb2"}, {"CONTENT_LENGTH": "-1"}, {"CONTENT_LENGTH": ""}],
    ids=str,
)
def test_headers_full_of_junk_are_refused(lab: Lab, header: dict[str, str]) -> None:
    """With HTTP status 400, like every other invalid value."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    answer = http.handle(put(snapshot_id, 0, block("a"), **header), HOME)
    assert answer is not None
    assert answer[0] == 400


def test_a_body_that_is_no_block_is_refused_unread(lab: Lab) -> None:
    """Its declared length is enough."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    environ = put(snapshot_id, 0, block("a"), CONTENT_LENGTH="99999999999")
    answer = http.handle(environ, HOME)
    assert answer is not None
    assert answer[0] == 400
    assert environ["wsgi.input"].tell() == 0


def test_the_caller_is_who_moto_takes_it_for(lab: Lab) -> None:
    """A stranger does not write here either."""
    snapshot_id = lab.ebs().start_snapshot(VolumeSize=1)["SnapshotId"]
    answer = http.handle(put(snapshot_id, 0, block("a"), HTTP_X_MOTO_ACCOUNT_ID=STRANGER), HOME)
    assert answer is not None
    assert answer[0] == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/snapshots"), ("GET", "/snapshots/snap-01/blocks"), ("DELETE", "/snapshots/snap-01/blocks/0"), ("GET", "/")],
)
@pytest.mark.usefixtures("lab")
def test_other_calls_are_left_to_others(method: str, path: str) -> None:
    """The answer is None."""
    assert http.handle({"REQUEST_METHOD": method, "PATH_INFO": path}, HOME) is None
