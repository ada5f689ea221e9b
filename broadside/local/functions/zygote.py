"""The process that workers are forked from: it has imported the libraries and read the API models, and has one thread.

Run as ``python -m broadside.local.functions.zygote FD CODE``: FD is a Unix socket on which each message comes with the
socket of the worker to be forked; CODE is the folder that holds ``app.py``.  It ends when the socket closes.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from broadside.local.functions import worker

#: Whose API models are read before forking: parsing them takes up to 150 ms each.
SERVICES = ("s3", "dynamodb", "stepfunctions", "secretsmanager", "ebs", "ec2", "ssm", "cloudwatch")


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = sys.argv[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server says when it is over
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that dead workers leave nothing to be waited for
    warm(Path(sys.argv[2]))
    while True:
        content, descriptors = _request(channel)
        if not content:
            return
        spec = json.loads(content)
        if os.fork() == 0:
            channel.close()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            worker.run(socket.socket(fileno=descriptors[0]), spec)
        os.close(descriptors[0])


def _request(channel: socket.socket) -> tuple[bytes, array.array[int]]:
    content, ancillary, _, _ = channel.recvmsg(1 << 20, socket.CMSG_SPACE(4))
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data[: descriptors.itemsize])
    return content, descriptors


def warm(code: Path) -> None:
    """Import what the functions import, and share the parsed API models with every session made later."""
    import boto3  # noqa: PLC0415 - only in this process, and only now
    import botocore.loaders  # noqa: PLC0415

    with contextlib.suppress(Exception):  # a broken app is told by each function's first invocation
        importlib.import_module("app")
    _forget(code)
    session = boto3.session.Session(region_name="us-east-1")  # making a client needs no credentials
    for service in SERVICES:
        session.client(service)
    shared: dict[Any, Any] = session._session.get_component("data_loader")._cache
    original = botocore.loaders.Loader.__init__

    def initialise(self: Any, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        self._cache = shared

    botocore.loaders.Loader.__init__ = initialise


def _forget(code: Path) -> None:
    """Each function imports the code itself, so that what it does on import sees its own environment."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(code) and not Path(file).is_relative_to(sys.prefix) and name != "__main__":
            del sys.modules[name]


if __name__ == "__main__":
    main()
