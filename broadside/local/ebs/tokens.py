"""Block and page tokens: opaque to the client, bound to the snapshot they were given for, and stored nowhere."""

from __future__ import annotations

import base64
import hashlib

from broadside.local.ebs.errors import invalid


def block(snapshot_id: str, index: int, digest: bytes) -> str:
    """The token that reads the block at ``index``; it changes with the block's content."""
    return base64.b64encode(hashlib.sha256(f"{snapshot_id}/{index}/".encode() + digest).digest()).decode()


def page(index: int, snapshot_id: str) -> str:
    """The token of the page that begins at block ``index``."""
    return base64.b64encode(f"{snapshot_id}/{index}".encode()).decode()


def start_of_page(token: str, snapshot_id: str) -> int:
    """The block index at which the page of ``token`` begins.

    Raises:
        ValidationException: not a token of a listing of this snapshot.
    """
    try:
        owner, _, index = base64.b64decode(token, validate=True).decode().partition("/")
        if owner == snapshot_id:
            return int(index)
    except ValueError:
        pass
    raise invalid("The page token is not valid.", "INVALID_PAGE_TOKEN")
