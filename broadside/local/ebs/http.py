"""PutSnapshotBlock and GetSnapshotBlock straight from WSGI: the calls that come by the ten thousand.

moto parses, routes and serialises a call in milliseconds, which is fine for every other action.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from moto.iam.models import get_account_id_from

from broadside.local.ebs.blocks import BLOCK_SIZE
from broadside.local.ebs.errors import EbsError, invalid
from broadside.local.ebs.service import EbsService

#: HTTP status, headers, body.
Answer = tuple[int, dict[str, str], bytes]

_PATH = re.compile(r"/snapshots/(?P<snapshot_id>snap-[0-9a-f]+)/blocks/(?P<index>[0-9]{1,10})")
_ACCESS_KEY = re.compile(r"Credential=([^/,\s]+)/")


class BlockEndpoint:
    """Answers the two hot calls of one service; everything else is for others."""

    def __init__(self, service: EbsService) -> None:
        self._service = service

    def handle(self, environ: Mapping[str, Any], region: str) -> Answer | None:
        """Answer a WSGI request that was made to EBS in ``region``; None when it is not one of the two."""
        match = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        method = environ.get("REQUEST_METHOD")
        if match is None or method not in ("PUT", "GET"):
            return None
        account_id = caller(environ)
        snapshot_id, index = match["snapshot_id"], int(match["index"])
        try:
            if method == "PUT":
                return self._put(environ, region, account_id, snapshot_id, index)
            return self._get(environ, region, account_id, snapshot_id, index)
        except EbsError as error:
            return _refusal(error)

    def _put(self, environ: Mapping[str, Any], region: str, account_id: str, snapshot_id: str, index: int) -> Answer:
        checksum = self._service.put_snapshot_block(
            region,
            account_id,
            snapshot_id,
            index,
            _body(environ),
            checksum=environ.get("HTTP_X_AMZ_CHECKSUM"),
            checksum_algorithm=environ.get("HTTP_X_AMZ_CHECKSUM_ALGORITHM"),
            data_length=_number(environ.get("HTTP_X_AMZ_DATA_LENGTH")),
        )
        headers = {"x-amz-Checksum": checksum, "x-amz-Checksum-Algorithm": "SHA256", "Content-Type": "application/json"}
        return 201, headers, b"{}"

    def _get(self, environ: Mapping[str, Any], region: str, account_id: str, snapshot_id: str, index: int) -> Answer:
        token = parse_qs(environ.get("QUERY_STRING", "")).get("blockToken", [""])[0]
        block = self._service.get_snapshot_block(region, account_id, snapshot_id, index, token)
        headers = {
            "x-amz-Checksum": block.checksum,
            "x-amz-Checksum-Algorithm": "SHA256",
            "x-amz-Data-Length": str(len(block.data)),
            "Content-Type": "application/octet-stream",
        }
        return 200, headers, block.data


_installed: list[BlockEndpoint] = []


def serve(service: EbsService) -> None:
    """Let :func:`handle` answer for ``service``: there is one embedded cloud in a process."""
    _installed[:] = [BlockEndpoint(service)]


def handle(environ: Mapping[str, Any], region: str) -> Answer | None:
    """:meth:`BlockEndpoint.handle` of the installed service."""
    return _installed[0].handle(environ, region) if _installed else None


def caller(environ: Mapping[str, Any]) -> str:
    """The account that a request comes from, by the same rules as moto's own."""
    account_id = environ.get("HTTP_X_MOTO_ACCOUNT_ID")
    if account_id:
        return str(account_id)
    key = _ACCESS_KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
    return str(get_account_id_from(key[1] if key else ""))


def _body(environ: Mapping[str, Any]) -> bytes:
    """The body, if its length is a block's: others are refused unread."""
    length = _number(environ.get("CONTENT_LENGTH"))
    if length != BLOCK_SIZE:
        raise invalid(f"A block has {BLOCK_SIZE} bytes, here are {length}.", "INVALID_BLOCK")
    data: bytes = environ["wsgi.input"].read(length)
    return data


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _refusal(error: EbsError) -> Answer:
    body = {"Message": error.message, "Reason": getattr(error, "Reason", None)}
    headers = {"x-amzn-ErrorType": error.code, "Content-Type": "application/json"}
    return error.status, headers, json.dumps({key: value for key, value in body.items() if value}).encode()
