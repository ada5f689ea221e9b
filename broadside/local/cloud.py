"""An embedded cloud of one's own, for the demo and the tests: started as a process, asked over HTTP, and stopped."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

import yaml
from boto3.session import Session

#: Seconds that it may take to start.
PATIENCE = 60


class LocalCloudFailed(Exception):
    """The embedded cloud did not start, or refused what it was told; the message says why."""


class _BoundSession(Session):  # type: ignore[misc]  # boto3 publishes no types
    """A session all of whose clients talk to one endpoint."""

    def __init__(self, endpoint: str, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._endpoint = endpoint

    def client(self, *arguments: Any, **parameters: Any) -> Any:
        return super().client(*arguments, **({"endpoint_url": self._endpoint} | parameters))


class LocalCloud:
    """Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    ``behaviour`` is the content of a behaviour file; ``options`` are further options of ``broadside local up``.  The state
    folder is removed at the end unless it was named.
    """

    def __init__(
        self,
        behaviour: dict[str, Any] | None = None,
        *,
        state: Path | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self._behaviour = behaviour or {}
        self._named_state = state
        self._options = options
        self._cleaning = contextlib.ExitStack()
        self._process: subprocess.Popen[str] | None = None
        self._session: Session | None = None
        #: What the embedded cloud said when it was ready: see ``broadside local up``.
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start it and wait until everything is deployed.

        Raises:
            LocalCloudFailed: it ended or did not say that it is ready.
        """
        state = self._named_state or Path(self._cleaning.enter_context(tempfile.TemporaryDirectory(prefix="broadside-")))
        state.mkdir(parents=True, exist_ok=True)
        behaviour = state / "behaviour.yaml"
        behaviour.write_text(yaml.safe_dump(self._behaviour))
        own = ["--state", str(state), "--behaviour", str(behaviour), "--with-parent"]
        command = [sys.executable, "-m", "broadside.local", *own, *self._options]
        with (state / "stderr.log").open("w") as errors:
            # A process group of its own, so that Ctrl-C reaches it only through stop().
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        try:
            line = self._first_line()
        except BaseException:  # Ctrl-C: whoever says "with" gets nothing yet that would be stopped
            self.stop()
            raise
        if not line:
            reason = (state / "stderr.log").read_text().strip() or "it said nothing"
            self.stop()
            raise LocalCloudFailed(f"The embedded cloud did not start: {reason.splitlines()[-1]}")
        self.ready = json.loads(line)
        return self

    def _first_line(self) -> str:
        if self._process is None or self._process.stdout is None:
            return ""
        readable, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        return self._process.stdout.readline() if readable else ""

    def stop(self) -> None:
        """End it; what it held is gone."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        self._cleaning.close()

    @property
    def endpoint(self) -> str:
        """Where AWS is, for ``AWS_ENDPOINT_URL``."""
        return str(self.ready["endpoint"])

    @property
    def region(self) -> str:
        """The home Region."""
        return str(self.ready["region"])

    @property
    def public_url(self) -> str:
        """Where readers find the public bucket."""
        return str(self.ready["public_url"])

    @property
    def state(self) -> Path:
        return Path(self.ready["state"])

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which people's programs find this cloud; whatever else of AWS is set is to be left out."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.ready["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self.ready["secret_access_key"],
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }

    def session(self) -> Session:
        """A boto3 session with this cloud's credentials, whose clients find it without any variable being set."""
        if self._session is None:
            self._session = _BoundSession(
                self.endpoint,
                aws_access_key_id=self.ready["access_key_id"],
                aws_secret_access_key=self.ready["secret_access_key"],
                region_name=self.region,
            )
        return self._session

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client; one a service and Region is enough."""
        return self.session().client(service, region_name=region or self.region)

    def calls(self, *, after: int = 0, **wanted: str | bool) -> list[dict[str, Any]]:
        """The journal's calls whose fields equal ``wanted``: ``calls(service="ec2", mutating=True)``."""
        texts = {key: str(value).lower() if isinstance(value, bool) else value for key, value in wanted.items()}
        query = urlencode({"after": str(after), **texts})
        found: list[dict[str, Any]] = self._control("GET", f"calls?{query}")["calls"]
        return found

    def reset_calls(self) -> None:
        """Forget the journal."""
        self._control("POST", "reset-journal")

    def executions(self) -> list[dict[str, Any]]:
        """Every execution of every state machine."""
        found: list[dict[str, Any]] = self._control("GET", "executions")["executions"]
        return found

    def set_behaviour(self, **settings: Any) -> None:
        """Let other settings hold from now on, on top of those that it was started with; counters begin anew.

        Raises:
            LocalCloudFailed: a setting is not known, or fixed at the start.
        """
        self._control("POST", "behaviour", self._behaviour | settings)

    def fire_schedule(self, name: str) -> None:
        """Let a schedule of the home Region be due now: an EventBridge rule, or Scheduler's ``NAME`` or ``GROUP/NAME``."""
        self._control("POST", f"schedules/{quote(name)}")

    def wait_until(self, condition: Any, seconds: float = 30, what: str = "the condition") -> Any:
        """Ask ``condition()`` until it gives something true, and give that.

        Raises:
            LocalCloudFailed: it took longer than ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.05)
        raise LocalCloudFailed(f"Waited {seconds} seconds in vain for {what}.")

    def _control(self, method: str, path: str, content: Any = None) -> dict[str, Any]:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.endpoint}/_broadside/{path}", data=data, method=method)  # noqa: S310 - http
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise LocalCloudFailed(json.load(error)["error"]) from error
        return answer
