"""What an execution does outside of itself: with the state machine's role, and with Step Functions' names for a refusal.

Sources: "Handling errors in Step Functions workflows" and "IAM policies for using Distributed Map states" in the developer
guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError
from moto.core.exceptions import JsonRESTError
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_lambda import (
    StateTaskServiceLambda,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_lambda import StateTaskLambda
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from broadside.local.access.delegation import STATES, Delegation
from broadside.local.functions.pool import Outcome
from broadside.local.patching import replace

#: What a Task state may name: a function, or the integration that calls one and may wait for its token to come back.
_FUNCTION = re.compile(r"arn:aws:lambda:[^:]*:\d{12}:function:.+|arn:aws:states:::lambda:invoke(?:\.waitForTaskToken)?")

#: Invokes the function with this ARN and waits.
Invoke = Callable[[str, bytes], Outcome]


def install(invoke: Invoke, delegation: Delegation) -> None:
    """Let Task states call functions directly, if the machine's role may, and refuse every other kind of task."""

    def call(parameters: dict[str, Any], region: str, state_credentials: Any) -> dict[str, Any]:  # noqa: ARG001
        arn = parameters["FunctionName"].removesuffix(":$LATEST")
        reason = delegation.with_role(state_credentials.role_arn, "lambda:InvokeFunction", arn)
        if reason is not None:
            raise _lambda_error("AWSLambdaException", reason, 403, "AccessDeniedException")
        try:
            outcome = invoke(arn, parameters.get("Payload", b"{}"))
        except JsonRESTError as error:
            raise _lambda_error(error.error_type, error.message, error.code) from error
        answer = {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": json.loads(outcome.payload)}
        return answer | ({"FunctionError": outcome.error} if outcome.error else {})

    from_error = StateTaskLambda._from_error

    def named_error(self: Any, env: Any, ex: Exception) -> FailureEvent:
        """moto calls every error of the Invoke API "Exception"."""
        if not isinstance(ex, ClientError):
            return from_error(self, env, ex)
        error, cause = StateTaskServiceLambda._error_cause_from_client_error(ex)
        details: Any = {"lambdaFunctionFailedEventDetails": {"error": error, "cause": cause}}
        return FailureEvent(env, CustomErrorName(error), HistoryEventType.LambdaFunctionFailed, details)

    create = StepFunctionsParserBackend.create_state_machine

    def create_state_machine(self: Any, name: str, definition: str, roleArn: str, **options: Any) -> Any:  # noqa: N803
        if delegation.assumed(roleArn, STATES) is not None:
            reason = f"Neither the global service principal {STATES}, nor the regional one is authorized to assume the role."
            raise JsonRESTError("AccessDeniedException", reason)
        refuse_unknown_tasks(definition)
        return create(self, name, definition, roleArn, **options)

    replace(lambda_eval_utils, _invoke_lambda_function=call)
    replace(StateTaskLambda, _from_error=named_error)
    replace(StepFunctionsParserBackend, create_state_machine=create_state_machine)


def may_start_children(env: Any, delegation: Delegation) -> None:
    """Let a distributed Map begin if the machine's role may start, look at and stop executions of the machine itself.

    AWS documents these permissions, but not the error without them: States.Permissions is its name for a lack of any.

    Raises:
        FailureEventException: a permission is missing.
    """
    machine = env.states.context_object.context_object_data["StateMachine"]["Id"]
    child = machine.replace(":stateMachine:", ":execution:") + ":child"
    wanted = {"states:StartExecution": machine, "states:DescribeExecution": child, "states:StopExecution": child}
    for action, resource in wanted.items():
        reason = delegation.with_role(env.aws_execution_details.role_arn, action, resource)
        if reason is not None:
            raise map_failure(env, StatesErrorNameType.StatesPermissions, reason)


def map_failure(env: Any, kind: StatesErrorNameType, cause: str) -> FailureEventException:
    """The end of a distributed Map."""
    name = StatesErrorName(typ=kind)
    details: Any = {"executionFailedEventDetails": {"error": name.error_name, "cause": cause}}
    return FailureEventException(FailureEvent(env, name, HistoryEventType.MapRunFailed, details))


def refuse_unknown_tasks(definition: str) -> None:
    """Refuse whatever would reach a service without being held to the machine's role.

    Raises:
        JsonRESTError: a state uses something else than a function.
    """
    try:
        states = list(_states(json.loads(definition)))
    except ValueError:
        return  # which the parser tells better
    for name, state in states:
        resource = str(state.get("Resource", ""))
        strange = {"ItemReader", "ItemBatcher", "ResultWriter", "Credentials"} & state.keys()
        if state.get("Type") == "Task" and not _FUNCTION.fullmatch(resource):
            strange = {f"Resource {resource}"}
        if strange:
            reason = f"The embedded cloud does not honour {', '.join(sorted(strange))} of the state {name}."
            raise JsonRESTError("InvalidDefinition", reason)


def _states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state, those inside of others, too."""
    for name, state in definition.get("States", {}).items():
        yield name, state
        for inner in (state.get("ItemProcessor"), state.get("Iterator"), *state.get("Branches", [])):
            yield from _states(inner or {})


def _lambda_error(name: str, message: str, status: int, code: str = "") -> ClientError:
    metadata = {"HTTPStatusCode": status, "RequestId": "00000000-0000-0000-0000-000000000000"}
    said = f"{message} ({code})" if code else message
    return ClientError({"Error": {"Code": name, "Message": said}, "ResponseMetadata": metadata}, "Invoke")
