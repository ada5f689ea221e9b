"""Invoking functions: warm workers are used again, new ones forked as needed, and limits of time and memory are kept."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broadside.local.functions import wire

#: At most so many workers of one function run at once on this machine; what is more waits, as if it took longer.  A few a
#: core: more would only start more processes for the same work.
WORKERS = max(4, 2 * (os.cpu_count() or 1))


@dataclass(frozen=True)
class Function:
    """What the template says of one function; ``timeout`` in seconds, ``memory`` in MiB."""

    name: str
    arn: str
    region: str
    handler: str
    role: str
    timeout: int
    memory: int
    #: How many may run at once; None for as many as the account allows.
    reserved: int | None
    environment: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What an invocation ended with.  ``error`` is "" or Lambda's X-Amz-Function-Error, ``peak`` bytes of memory."""

    request_id: str
    payload: bytes
    error: str
    peak: int
    seconds: float
    cold: bool


class Stopping(Exception):
    """The embedded cloud is being stopped, so nothing is invoked any more."""


class Worker:
    """The server's end of one worker process."""

    def __init__(self, function: Function, channel: socket.socket, folder: Path, key: str) -> None:
        self.function = function
        self.channel = channel
        self.folder = folder
        self.key = key
        self.pid = int(wire.receive(channel)["pid"])
        #: Why the process was killed, if it was.
        self.killed = ""

    def kill(self, reason: str) -> None:
        """End the process at once, whatever it does."""
        self.killed = self.killed or reason
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def resident(self) -> int:
        """The process's resident memory now, in bytes."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Pool:
    """All workers.  Safe for threads."""

    def __init__(self, *, code: Path, logs: Path) -> None:
        self._logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(tempfile.mkdtemp(prefix="bs-"))  # short: gpg's sockets lie below it
        self._endpoint = ""
        self._changed = threading.Condition()
        self._idle: dict[str, list[Worker]] = defaultdict(list)
        self._running: dict[str, int] = defaultdict(int)
        self._workers: dict[str, Worker] = {}
        self._closed = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._zygote = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "broadside.local.functions.zygote", str(theirs.fileno()), str(code)],
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[3],
            env={"PATH": _PATH},
        )
        theirs.close()
        self._control = ours

    def serve_at(self, endpoint: str) -> None:
        """Say where the functions find AWS."""
        self._endpoint = endpoint

    def worker_of(self, key: str) -> Worker | None:
        """The worker whose access key id this is."""
        return self._workers.get(key)

    def invoke(self, function: Function, payload: bytes) -> Outcome:
        """Run the function once and wait for it; first for its turn, while its reserved concurrency is used up.

        Raises:
            Stopping: the pool was closed.
        """
        request_id = str(uuid.uuid4())
        worker, cold = self._take(function)
        begun = time.monotonic()
        try:
            answer = self._converse(worker, request_id, payload)
        finally:
            self._give_back(worker)
        seconds = time.monotonic() - begun
        outcome = Outcome(
            request_id, answer["payload"].encode(), "Unhandled" if answer["error"] else "", answer["peak"], seconds, cold
        )
        self._report(function, outcome)
        return outcome

    def _converse(self, worker: Worker, request_id: str, payload: bytes) -> dict[str, Any]:
        function = worker.function
        deadline = time.monotonic() + function.timeout
        peak = 0
        try:
            wire.send(worker.channel, {"id": request_id, "payload": payload.decode() or "{}", "timeout": function.timeout})
            while not _readable(worker.channel, min(0.05, max(0, deadline - time.monotonic()))):
                peak = max(peak, worker.resident())
                if peak > function.memory << 20:
                    worker.kill("memory")
                elif time.monotonic() >= deadline:
                    worker.kill("time")
            answer = wire.receive(worker.channel)
        except wire.Gone:
            worker.kill("died")
            return {"error": True, "payload": json.dumps(_obituary(worker, request_id)), "peak": peak}
        if answer["peak"] > function.memory << 20:
            worker.kill("memory")
            return {"error": True, "payload": json.dumps(_obituary(worker, request_id)), "peak": answer["peak"]}
        return answer

    def _take(self, function: Function) -> tuple[Worker, bool]:
        limit = WORKERS if function.reserved is None else min(WORKERS, function.reserved)
        with self._changed:
            self._changed.wait_for(lambda: self._running[function.name] < limit or self._closed)
            if self._closed:
                raise Stopping
            self._running[function.name] += 1
            if self._idle[function.name]:
                return self._idle[function.name].pop(), False
        try:
            return self._spawn(function), True
        except BaseException:
            with self._changed:
                self._running[function.name] -= 1
                self._changed.notify_all()
            raise

    def _give_back(self, worker: Worker) -> None:
        with self._changed:
            self._running[worker.function.name] -= 1
            if worker.killed or self._closed:
                self._bury(worker)
            else:
                self._idle[worker.function.name].append(worker)
            self._changed.notify_all()

    def _bury(self, worker: Worker) -> None:
        self._workers.pop(worker.key, None)
        worker.channel.close()
        shutil.rmtree(worker.folder, ignore_errors=True)

    def _spawn(self, function: Function) -> Worker:
        number = secrets.token_hex(4)
        folder = self._scratch / number
        folder.mkdir()
        key = "ASIA" + secrets.token_hex(8).upper()
        spec = {
            "handler": function.handler,
            "arn": function.arn,
            "log": str(self._logs / f"{function.name}.log"),
            "environment": self._environment(function, folder, key, number),
        }
        ours, theirs = socket.socketpair()
        with theirs, self._changed:
            socket.send_fds(self._control, [json.dumps(spec).encode()], [theirs.fileno()])
        try:
            worker = Worker(function, ours, folder, key)
        except BaseException:
            ours.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._workers[key] = worker
        return worker

    def _environment(self, function: Function, folder: Path, key: str, number: str) -> dict[str, str]:
        return {
            **function.environment,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
            "AWS_SESSION_TOKEN": secrets.token_hex(20),
            "AWS_DEFAULT_REGION": function.region,
            "AWS_REGION": function.region,
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"local/{number}",
            "LANG": "C.UTF-8",
            "PATH": _PATH,
            "TMPDIR": str(folder),
            "TZ": ":UTC",
            "_HANDLER": function.handler,
        }

    def _report(self, function: Function, outcome: Outcome) -> None:
        record = {
            "report": outcome.request_id,
            "milliseconds": round(outcome.seconds * 1000, 1),
            "memory_limit_mib": function.memory,
            "peak_mib": round(outcome.peak / (1 << 20), 1),
            "cold": outcome.cold,
            "error": json.loads(outcome.payload).get("errorType", "") if outcome.error else "",
        }
        with (self._logs / f"{function.name}.log").open("a") as log:
            log.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """End every worker and the process they come from."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in list(self._workers.values()):
            worker.kill("stopped")
        self._control.close()
        try:
            self._zygote.wait(5)
        except subprocess.TimeoutExpired:
            self._zygote.kill()
            self._zygote.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)


#: Lambda's own search path, where the gpg layer comes first.
_PATH = "/opt/bin:/usr/local/bin:/usr/bin:/bin"


def _readable(channel: socket.socket, seconds: float) -> bool:
    channel.settimeout(max(seconds, 0.001))
    try:
        channel.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    except OSError as error:
        raise wire.Gone from error
    finally:
        channel.settimeout(None)
    return True


def _obituary(worker: Worker, request_id: str) -> dict[str, str]:
    """What Lambda answers for a process that is no more."""
    if worker.killed == "time":
        return {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {request_id} Error: Task timed out after {worker.function.timeout:.2f} seconds",
        }
    if worker.killed == "memory":
        return {
            "errorType": "Runtime.OutOfMemory",
            "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: signal: killed",
        }
    return {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: signal: killed",
    }
