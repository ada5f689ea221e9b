"""PutSnapshotBlock on a connection of our own, for the call that is made a hundred thousand times.

botocore takes three to six times as long for such a call as it takes to hash its block and to send it.  What it does beyond
that (trying again, explaining errors, correcting a wrong clock) is only needed when something is wrong.  So a lane knows only
the answer 201, and everything else is for the same call through botocore: writing a block twice is harmless.

Source of the signature: "Create a signed AWS API request", IAM user guide.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
import time
import urllib.request
from collections import deque
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from botocore.httpsession import get_cert_path

from chalicelib import aws
from chalicelib.snapshots.blocks import BLOCK_SIZE

_SIGNED = ("host", "x-amz-checksum", "x-amz-checksum-algorithm", "x-amz-content-sha256", "x-amz-data-length", "x-amz-date")

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Lane:
    """Connections to the EBS direct API in one Region, kept open between blocks.  Safe for threads.

    Args:
        endpoint: where the API is.
        credentials: botocore's, which may change over time.
        timeout: seconds for each answer.
    """

    def __init__(self, endpoint: str, region: str, credentials: Any, timeout: float) -> None:
        address = urlsplit(endpoint)
        self._host, self._name = address.netloc, str(address.hostname)
        self._port = address.port or (443 if address.scheme == "https" else 80)
        self._tls = _trust() if address.scheme == "https" else None
        self._region, self._credentials, self._timeout = region, credentials, timeout
        self._idle: deque[socket.socket] = deque()

    def put(self, snapshot_id: str, index: int, block: bytes, checksum: str) -> bool:
        """Put one block; whether EBS took it.  If not, botocore is to be asked why, and the connection is not used again."""
        path = f"/snapshots/{snapshot_id}/blocks/{index}"
        headers = self.sign(path, checksum, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"PUT {path} HTTP/1.1\r\n{lines}content-length: {len(block)}\r\n\r\n".encode()
        try:
            connection = self._take()
            try:
                taken, again = _exchange(connection, head, block)
            except BaseException:
                connection.close()
                raise
        except OSError:
            return False
        if again:
            self._idle.append(connection)
        else:
            connection.close()
        return taken

    def sign(self, path: str, checksum: str, date: str) -> dict[str, str]:
        """The call's headers with their signature, version 4, at ``date``; the content itself is not signed."""
        own = self._credentials.get_frozen_credentials()
        values = (self._host, checksum, "SHA256", "UNSIGNED-PAYLOAD", str(BLOCK_SIZE), date)
        headers = dict(zip(_SIGNED, values, strict=True))
        if own.token:
            headers["x-amz-security-token"] = own.token
        signed = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = f"PUT\n{path}\n\n{lines}\n{signed}\nUNSIGNED-PAYLOAD"
        scope = f"{date[:8]}/{self._region}/ebs/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(_key(own.secret_key, date[:8], self._region), text.encode(), "sha256").hex()
        given = f"Credential={own.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        return headers | {"authorization": f"AWS4-HMAC-SHA256 {given}"}

    def _take(self) -> socket.socket:
        """A connection that is idle, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            connection = socket.create_connection((self._name, self._port), self._timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection if self._tls is None else self._tls.wrap_socket(connection, server_hostname=self._name)


def _exchange(connection: socket.socket, head: bytes, block: bytes) -> tuple[bool, bool]:
    """Send one request and read its answer: whether it is 201, and whether the connection can be used again."""
    connection.sendall(head)
    connection.sendall(block)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _some(connection)
    said, _, body = answer.partition(b"\r\n\r\n")
    taken = said.startswith(b"HTTP/1.1 201 ")
    length, chunked = _LENGTH.search(said), _CHUNKED.search(said)
    if not taken or not (length or chunked):
        return taken, False
    while not body.endswith(b"0\r\n\r\n") if chunked else len(body) < int(length[1] if length else 0):
        body += _some(connection)
    return True, not _CLOSE.search(said)


def _some(connection: socket.socket) -> bytes:
    """What has come.

    Raises:
        OSError: the connection was closed.
    """
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("The connection was closed before the answer.")
    return data


@lru_cache(maxsize=64)
def of(client: aws.Client) -> Lane | None:
    """A client's lane; None where calls must take botocore's own way: through a proxy, or to a special endpoint."""
    signer = getattr(getattr(client, "raw", None), "_request_signer", None)
    if signer is None:
        return None
    meta = client.raw.meta
    address = urlsplit(meta.endpoint_url)
    proxied = address.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(str(address.hostname))
    if proxied or meta.config.use_fips_endpoint or meta.config.use_dualstack_endpoint:
        return None
    return Lane(meta.endpoint_url, client.region, signer._credentials, float(meta.config.read_timeout))


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=get_cert_path(True))


@lru_cache(maxsize=64)
def _key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "ebs", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
