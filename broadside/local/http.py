"""HTTP/1.1 with connections that stay open, on loopback."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from cheroot import wsgi

from broadside.local.front import Application, Dropped

log = logging.getLogger(__name__)

HOST = "127.0.0.1"

#: Requests that are answered at once; a slow one (latency, a time-out, a waiting Invoke) holds one of them.
THREADS = 96


class _Gateway(wsgi.Gateway_10):
    """Lets the application hang up."""

    def get_environ(self) -> Any:
        environ = super().get_environ()  # type: ignore[no-untyped-call] # cheroot's types say little
        environ["broadside.socket"] = self.req.conn.socket
        return environ

    def respond(self) -> None:
        try:
            super().respond()
        except Dropped:
            self.req.close_connection = True


class _Server(wsgi.Server):
    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        log.log(level, msg, exc_info=sys.exc_info() if traceback else None)


def serve(application: Application, port: int) -> Any:
    """Serve on ``port`` (0 for a free one) from threads; gives the server, whose ``bind_addr`` says where it is."""
    server = _Server((HOST, port), application, numthreads=THREADS, request_queue_size=512, timeout=120, shutdown_timeout=1)
    server.gateway = _Gateway
    server.prepare()
    threading.Thread(target=server.serve, name="http", daemon=True).start()
    return server
