"""A proxy of the user's own between the functions and AWS."""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from broadside.local.cloud import LocalCloud
from tests.local.conftest import FIXTURE, SETTINGS


class Proxy(socketserver.ThreadingTCPServer):
    """Passes connections on to ``port``, and counts them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PassOn)
        self.port = 0
        self.connections = 0


class PassOn(socketserver.BaseRequestHandler):
    """One connection."""

    def handle(self) -> None:
        assert isinstance(self.server, Proxy)
        self.server.connections += 1
        with socket.create_connection(("127.0.0.1", self.server.port)) as there:
            back = threading.Thread(target=relay, args=[there, self.request], daemon=True)
            back.start()
            relay(self.request, there)
            back.join()


def relay(source: socket.socket, target: socket.socket) -> None:
    with source.makefile("rb", buffering=0) as read, target.makefile("wb", buffering=0) as write:
        shutil.copyfileobj(read, write)
    target.shutdown(socket.SHUT_WR)


@contextmanager
def running() -> Iterator[Proxy]:
    with Proxy() as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


def test_the_functions_reach_aws_through_the_address_they_are_given() -> None:
    """Their calls pass the proxy, the user's do not."""
    with running() as proxy:
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        options = ("--template", str(FIXTURE / "template.json"), "--code", str(FIXTURE), "--functions-endpoint", address)
        with LocalCloud(SETTINGS, options=options) as cloud:
            proxy.port = urlsplit(cloud.endpoint).port or 0
            answer = json.load(cloud.client("lambda").invoke(FunctionName="broadside-Echo", Payload="{}")["Payload"])
            assert answer["environment"]["AWS_ENDPOINT_URL"] == address
            assert proxy.connections == 0
            counted = cloud.client("lambda").invoke(FunctionName="broadside-Swept", Payload="{}")
            assert json.load(counted["Payload"]) == {"count": 1}
            assert proxy.connections == 1
            assert [call["action"] for call in cloud.calls(caller="broadside-Swept")] == ["UpdateItem"]
