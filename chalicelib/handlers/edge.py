"""The edge between Lambda and the rooms: payloads in, our errors out, one log line with build and Region on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, ValidationError

from chalicelib.errors import BroadsideError, BuildRefused, CloudBusy, CloudRefused, FileMissing, SetupWrong
from chalicelib.names import BuildId
from chalicelib.observability import logger, tracer

#: What may cross the boundary: the names that the state machines' Retry and Catch rules know.
BOUNDARY: tuple[type[BroadsideError], ...] = (BuildRefused, FileMissing, CloudBusy, CloudRefused, SetupWrong)


class Payload(BaseModel):
    """What a state machine hands to a step."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BuildPayload(Payload):
    """The same, of a build."""

    build: str

    @property
    def id(self) -> BuildId:
        return BuildId.parse(self.build)


P = TypeVar("P", bound=Payload)
Handler = Callable[[dict[str, Any], LambdaContext], Any]


def at_boundary(error: BroadsideError) -> BroadsideError:
    """The same error under the name that the state machines know.

    Step Functions compares names, it knows nothing of subclasses.
    """
    for known in BOUNDARY:
        if isinstance(error, known):
            return error if type(error) is known else known(str(error))
    return SetupWrong(str(error))


def step(model: type[P]) -> Callable[[Callable[[P], dict[str, Any]]], Handler]:
    """Make a Lambda handler of a function of a payload.

    A payload of another shape is the state machine's fault, which no retry mends: :class:`SetupWrong`.
    """

    def decorate(function: Callable[[P], dict[str, Any]]) -> Handler:
        @wraps(function)
        def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
            logger.append_keys(
                **{key: event[key] for key in ("rollout", "build", "region", "digest", "file") if event.get(key)}
            )
            try:
                payload = model.model_validate(event)
            except ValidationError as error:
                raise SetupWrong(f"The step {function.__name__} was handed a payload of another shape: {error}") from error
            try:
                result = function(payload)
            except BroadsideError as error:
                logger.warning(str(error), error=type(error).__name__)
                raise at_boundary(error) from error
            logger.info(function.__name__, result=result)
            return result

        return _observed(handler)

    return decorate


def source(function: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    """Make a handler of a function of an event, for Chalice's event sources: they hand over one object that holds both."""

    @wraps(function)
    def handler(event: Any, _context: LambdaContext) -> Any:
        try:
            return function(event.to_dict())
        except BroadsideError as error:
            logger.warning(str(error), error=type(error).__name__)
            raise at_boundary(error) from error

    observed = _observed(handler)

    @wraps(function)
    def entry(event: Any) -> Any:
        return observed(event, event.context)

    return entry


def _observed(handler: Callable[[Any, LambdaContext], Any]) -> Handler:
    """Logs with the request's id, without the event itself; traces without the answer."""
    logged = logger.inject_lambda_context(handler, clear_state=True)
    traced: Handler = tracer.capture_lambda_handler(logged, capture_response=False)
    return traced
