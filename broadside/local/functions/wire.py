"""Messages between the server and its worker processes: four bytes of length, then JSON."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct(">I")


class Gone(Exception):
    """The other side has closed its end or died."""


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    content = json.dumps(message).encode()
    try:
        channel.sendall(_LENGTH.pack(len(content)) + content)
    except OSError as error:
        raise Gone from error


def receive(channel: socket.socket) -> dict[str, Any]:
    """Wait for one message; the channel's own time-out applies to each read (TimeoutError)."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    message: dict[str, Any] = json.loads(_exactly(channel, length))
    return message


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = channel.recv(size - len(parts))
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone from error
        if not part:
            raise Gone
        parts += part
    return bytes(parts)
