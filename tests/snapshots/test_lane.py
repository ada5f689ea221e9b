"""Promises about the short way to PutSnapshotBlock."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from boto3.session import Session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from chalicelib import aws
from chalicelib.snapshots import lane
from chalicelib.snapshots.blocks import BLOCK_SIZE

BLOCK = bytes(range(256)) * (BLOCK_SIZE // 256)
CHECKSUM = base64.b64encode(hashlib.sha256(BLOCK).digest()).decode()
REGION, SNAPSHOT = "eu-west-1", "snap-0123456789abcdef0"


class Server(ThreadingHTTPServer):
    """Answers what it is told to, and remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.headers, self.body = 201, {"Content-Length": "2"}, b"{}"
        self.connections: set[Any] = set()
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_PUT(self) -> None:
        self.server.connections.add(self.client_address)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        if self.server.status == 0:
            self.close_connection = True
            return
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def client(url: str, token: str | None = None) -> aws.Client:
    session = Session(aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="secret", aws_session_token=token)  # noqa: S106
    return aws.Client("ebs", REGION, session.client("ebs", region_name=REGION, endpoint_url=url, config=aws.config()))


def lane_to(server: Server, token: str | None = None) -> lane.Lane:
    found = lane.of(client(server.url, token))
    assert found is not None
    return found


@pytest.mark.parametrize("token", [None, "a/session+token=="])
def test_the_signature_is_botocores(server: Server, token: str | None) -> None:
    """For the same moment and headers, whoever checks one takes the other."""
    assert lane_to(server, token).put(SNAPSHOT, 7, BLOCK, CHECKSUM)
    path, headers, body = server.seen[0]
    assert (path, body) == (f"/snapshots/{SNAPSHOT}/blocks/7", BLOCK)
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    request = AWSRequest("PUT", server.url + path, headers={name: headers[name] for name in signed})
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials("AKIAEXAMPLE", "secret", token), "ebs", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert headers["authorization"].endswith(f"Signature={signer.signature(text, request)}")
    assert set(signed) >= {"host", "x-amz-checksum", "x-amz-date"}
    assert ("x-amz-security-token" in signed) == (token is not None)


def test_a_connection_is_used_again(server: Server) -> None:
    """One for each block that is under way, not one for each block."""
    quick = lane_to(server)
    assert all(quick.put(SNAPSHOT, index, BLOCK, CHECKSUM) for index in range(5))
    assert len(server.connections) == 1


@pytest.mark.parametrize("status", [400, 403, 500, 503, 0])
def test_whatever_is_not_201_is_left_to_botocore(server: Server, status: int) -> None:
    """A refusal, a breakdown and a lost answer alike; the next block goes the short way again."""
    quick = lane_to(server)
    server.status = status
    assert not quick.put(SNAPSHOT, 0, BLOCK, CHECKSUM)
    server.status = 201
    assert quick.put(SNAPSHOT, 0, BLOCK, CHECKSUM)


@pytest.mark.parametrize(
    ("headers", "body", "connections"),
    [
        ({"Content-Length": "0"}, b"", 1),
        ({"Transfer-Encoding": "chunked"}, b"2\r\n{}\r\n0\r\n\r\n", 1),
        ({"Content-Length": "0", "Connection": "close"}, b"", 3),
        ({"Connection": "close"}, b"{}", 3),
    ],
)
def test_however_it_is_said_201_is_heard(server: Server, headers: dict[str, str], body: bytes, connections: int) -> None:
    """A block that was taken is not sent twice, and a connection that ends is not used again."""
    server.headers, server.body = headers, body
    quick = lane_to(server)
    assert all(quick.put(SNAPSHOT, index, BLOCK, CHECKSUM) for index in range(3))
    assert len(server.seen) == 3
    assert len(server.connections) == connections


def test_through_a_proxy_botocore_knows_the_way(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it does to special endpoints."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert lane.of(client(server.url)) is None
