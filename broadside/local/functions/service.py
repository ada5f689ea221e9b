"""Lambda's own behaviour on top of the pool: who is invoked, synchronously or not, with retries and destinations."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.utils import get_backend

from broadside.local.access.delegation import LAMBDA, Delegation
from broadside.local.functions.pool import Function, Outcome, Pool
from broadside.local.patching import replace

log = logging.getLogger(__name__)

#: Seconds before the first and the second retry of an asynchronous invocation.
RETRY_AFTER = (60.0, 120.0)

#: Calls a function after so many of the cloud's seconds.
Later = Callable[[float, Callable[[], None]], None]
#: Sends a text to the queue with this ARN.
SendMessage = Callable[[str, str], None]


class LambdaService:
    """Invocations of the functions that moto's Lambda knows."""

    def __init__(self, pool: Pool, account: str, later: Later, send_message: SendMessage, delegation: Delegation) -> None:
        self._pool = pool
        self._delegation = delegation
        self._account = account
        self._later = later
        self._send_message = send_message

    def install(self) -> None:
        """Take the place of moto's choke point, through which every service reaches a function."""
        service = self

        def invoke(self: Any, body: Any, request_headers: Any, response_headers: Any) -> bytes | str:
            return service.answer(self, body, request_headers, response_headers)

        put_config = LambdaBackend.put_function_event_invoke_config

        def put_function_event_invoke_config(self: Any, function_name: str, config: dict[str, Any]) -> dict[str, Any]:
            destination = config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
            service.need(self.get_function(function_name).role, ("sqs:SendMessage", destination))
            return dict(put_config(self, function_name, config))

        create = LambdaBackend.create_function

        def create_function(self: Any, spec: dict[str, Any]) -> Any:
            if service.unassumable(spec["Role"]):
                raise InvalidParameterValueException("The role defined for the function cannot be assumed by Lambda.")
            return create(self, spec)

        replace(LambdaFunction, invoke=invoke)
        replace(
            LambdaBackend, create_function=create_function, put_function_event_invoke_config=put_function_event_invoke_config
        )

    def unassumable(self, role: str) -> bool:
        return self._delegation.assumed(role, LAMBDA) is not None

    def need(self, role: str, *wanted: tuple[str, str]) -> None:
        """Refuse a configuration that the function's role could not carry out: actions, each with its resource.

        Raises:
            InvalidParameterValueException: as Lambda says it.
        """
        for action, resource in wanted:
            reason = self._delegation.with_role(role, action, resource) if resource else None
            if reason is not None:
                name = action.partition(":")[2]
                raise InvalidParameterValueException(
                    f"The provided execution role does not have permissions to call {name} on {resource}. {reason}"
                )

    def answer(self, moto_function: Any, body: Any, request_headers: Any, response_headers: Any) -> bytes | str:
        """The Invoke API."""
        payload = body.encode() if isinstance(body, str) else bytes(body or b"")
        headers = {str(key).lower(): str(value) for key, value in dict(request_headers).items()}
        kind = headers.get("x-amz-invocation-type", "RequestResponse")
        if kind == "DryRun":
            return b""
        if kind == "Event":
            self.invoke_later(_function(moto_function), payload or b"{}")
            return b""
        outcome = self._pool.invoke(_function(moto_function), payload or b"{}")
        if outcome.error:
            response_headers["x-amz-function-error"] = outcome.error
        response_headers["x-amz-executed-version"] = "$LATEST"
        return outcome.payload

    def find(self, arn: str) -> Function:
        """The function with this ARN or name."""
        region = arn.split(":")[3]
        return _function(get_backend(self._account, region).get_function(arn))

    def invoke(self, arn: str, payload: bytes) -> Outcome:
        """Invoke and wait."""
        return self._pool.invoke(self.find(arn), payload)

    def invoke_later(self, function: Function, payload: bytes) -> None:
        """Asynchronous invocation: at least once, two retries, then the on-failure destination."""
        self._later(0, lambda: self._attempt(function, payload, 1))

    def _attempt(self, function: Function, payload: bytes, attempt: int) -> None:
        outcome = self._pool.invoke(function, payload)
        if not outcome.error:
            return
        settings = self._settings(function)
        retries = settings.get("MaximumRetryAttempts", len(RETRY_AFTER))
        if attempt <= retries:
            self._later(RETRY_AFTER[attempt - 1], lambda: self._attempt(function, payload, attempt + 1))
            return
        log.warning("The asynchronous event of %s is given up after %d attempts.", function.name, attempt)
        destination = settings.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", "")
        if destination:
            self.report(function, destination, _failed(function, payload, outcome, attempt))

    def report(self, function: Function, queue: str, record: dict[str, Any]) -> None:
        """Send what could not be handled to the queue that the template names, with the function's own role."""
        refused = self._delegation.with_role(function.role, "sqs:SendMessage", queue)
        if refused is None:
            self._send_message(queue, json.dumps(record))
        else:
            log.warning("The report of %s is lost: %s.", function.name, refused)

    def _settings(self, function: Function) -> dict[str, Any]:
        backend = get_backend(self._account, function.region)
        configs = backend.get_function(function.name).event_invoke_config
        return dict(configs[-1].config) if configs else {}


def _function(moto_function: Any) -> Function:
    reserved = moto_function.reserved_concurrency
    return Function(
        name=moto_function.function_name,
        arn=moto_function.function_arn,
        region=moto_function.region,
        handler=moto_function.handler,
        role=moto_function.role,
        timeout=int(moto_function.timeout),
        memory=int(moto_function.memory_size),
        reserved=None if reserved is None else int(reserved),
        environment={key: str(value) for key, value in moto_function.environment_vars.items()},
    )


def _failed(function: Function, payload: bytes, outcome: Outcome, attempts: int) -> dict[str, Any]:
    """The invocation record that Lambda sends to an on-failure destination."""
    return {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": outcome.request_id or str(uuid.uuid4()),
            "functionArn": f"{function.arn}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": json.loads(payload),
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": outcome.error},
        "responsePayload": json.loads(outcome.payload),
    }
