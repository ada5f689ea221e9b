"""Tasks that wait for their token to come back: ``.waitForTaskToken``, SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat.

Every attempt of a task has a token of its own.  Such a task waits for people, so that its TimeoutSeconds and HeartbeatSeconds
are the cloud's, counted from the moment when its function has answered.

Sources: "Wait for a Callback with Task Token" in Step Functions' developer guide, and
https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSeconds
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackOutcome,
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
    CallbackOutcomeTimedOut,
    HeartbeatTimedOut,
)
from moto.stepfunctions.responses import StepFunctionResponse

from broadside.local.patching import replace

#: Real seconds after which a waiting task looks whether its execution was stopped.
GLANCE = 0.1
LONGEST_OUTPUT = 256 << 10


class Callbacks:
    """The tokens that were given out, and who waits for them.  Safe for threads."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._lock = threading.Lock()
        #: moto's endpoint of a token; None when nobody waits for it any more.
        self._endpoints: dict[str, Any] = {}

    def install(self) -> None:
        """Take the place of moto's tokens, which outlive their task and are the same in every attempt."""
        callbacks = self
        execute = StateTaskServiceCallback._eval_execution

        def with_token(self: Any, env: Any) -> None:
            if self.resource.condition != ResourceCondition.WaitForTaskToken:
                execute(self, env)
                return
            token = env.states.context_object.update_task_token()
            callbacks.open(token, env.callback_pool_manager.add(token))
            try:
                execute(self, env)
            finally:
                callbacks.close(token)

        def wait(_self: Any, env: Any, timeout_seconds: float, callback_endpoint: Any, heartbeat_endpoint: Any) -> Any:
            return callbacks.wait(env, timeout_seconds, callback_endpoint, heartbeat_endpoint)

        seconds = TimeoutSeconds._eval_seconds

        def without_default(self: Any, env: Any) -> int:
            """moto lets a task with heartbeats end after a minute when it says nothing."""
            return TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS if self.is_default else int(seconds(self, env))

        replace(StateTaskServiceCallback, _eval_execution=with_token, _eval_wait_for_task_token=wait)
        replace(TimeoutSeconds, _eval_seconds=without_default)
        replace(
            StepFunctionResponse,
            send_task_success=lambda response: callbacks.succeed(
                str(response._get_param("taskToken")), str(response._get_param("output"))
            ),
            send_task_failure=lambda response: callbacks.fail(
                str(response._get_param("taskToken")), response._get_param("error"), response._get_param("cause")
            ),
            send_task_heartbeat=lambda response: callbacks.beat(str(response._get_param("taskToken"))),
        )

    def open(self, token: str, endpoint: Any) -> None:
        with self._lock:
            self._endpoints[token] = endpoint

    def close(self, token: str) -> None:
        with self._lock:
            self._endpoints[token] = None

    def wait(self, env: Any, timeout_seconds: float, endpoint: Any, heartbeat: Any) -> Any:
        """Until the token comes back, the time is up, or the execution is stopped."""
        begun = beaten = time.monotonic()
        while env.is_running():
            if endpoint._notify_event.wait(GLANCE):
                return endpoint.get_outcome()
            now = time.monotonic()
            if heartbeat is not None and heartbeat._next_heartbeat_event.is_set():
                heartbeat._next_heartbeat_event.clear()
                beaten = now
            if heartbeat is not None and now >= beaten + heartbeat._heartbeat_seconds / self._scale:
                return HeartbeatTimedOut()
            if now >= begun + timeout_seconds / self._scale:
                break
        return CallbackOutcomeTimedOut(endpoint.callback_id)

    def succeed(self, token: str, output: str) -> ActionResult:
        """SendTaskSuccess.

        Raises:
            JsonRESTError: InvalidOutput; InvalidToken; TaskTimedOut.
        """
        try:
            json.loads(output)
        except ValueError as error:
            raise JsonRESTError("InvalidOutput", f"Invalid Output: '{error}'") from error
        if len(output.encode()) > LONGEST_OUTPUT:
            raise JsonRESTError("InvalidOutput", f"Invalid Output: 'it is longer than {LONGEST_OUTPUT} bytes'")
        return self._end(CallbackOutcomeSuccess(token, output))

    def fail(self, token: str, error: str | None, cause: str | None) -> ActionResult:
        """SendTaskFailure.

        Raises:
            JsonRESTError: InvalidToken; TaskTimedOut.
        """
        return self._end(CallbackOutcomeFailure(token, error, cause))

    def beat(self, token: str) -> ActionResult:
        """SendTaskHeartbeat.

        Raises:
            JsonRESTError: InvalidToken; TaskTimedOut.
        """
        with self._lock:
            self._waiting(token).notify_heartbeat()
        return ActionResult({})

    def _end(self, outcome: CallbackOutcome) -> ActionResult:
        with self._lock:
            self._waiting(outcome.callback_id).notify(outcome)
            self._endpoints[outcome.callback_id] = None
        return ActionResult({})

    def _waiting(self, token: str) -> Any:
        if token not in self._endpoints:
            raise JsonRESTError("InvalidToken", "Invalid Token: 'Invalid token'")
        endpoint = self._endpoints[token]
        if endpoint is None:
            raise JsonRESTError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        return endpoint
