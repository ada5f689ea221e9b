"""A block server that does next to nothing, so that whoever sends to it is what is measured.

It takes PutSnapshotBlock over HTTP/1.1 with keep-alive, reads each body into one buffer that it never looks at, and answers
201.  It runs in a process of its own, one thread for each connection.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@contextmanager
def serving() -> Iterator[int]:
    """Run a server on loopback; gives its port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield int(ours.recv())
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        pipe.send(listener.getsockname()[1])
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    """Answer request after request until the client goes."""
    buffer = bytearray(1024 * 1024)
    view = memoryview(buffer)
    with connection:
        while _one(connection, buffer, view):
            connection.sendall(_ANSWER)


def _one(connection: socket.socket, buffer: bytearray, view: memoryview) -> bool:
    """Read one request; False when there is none any more."""
    there = 0
    while (end := buffer.find(b"\r\n\r\n", 0, there)) < 0:
        read = connection.recv_into(view[there:])
        if read == 0:
            return False
        there += read
    head = bytes(view[:end])
    length = _LENGTH.search(head)
    if b"100-continue" in head.lower():
        connection.sendall(_CONTINUE)
    left = int(length[1]) - (there - end - 4) if length else 0
    while left > 0:
        read = connection.recv_into(view, min(left, len(buffer)))
        if read == 0:
            return False
        left -= read
    return True


if __name__ == "__main__":  # to look at it by hand
    with serving() as at:
        print(os.getpid(), at)  # noqa: T201
        threading.Event().wait()
