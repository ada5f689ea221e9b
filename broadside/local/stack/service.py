"""The CloudFormation API as far as programs look at a stack: DescribeStacks, DescribeStackResources, ListStackResources."""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.request import Request
from moto.core.responses import ActionResult, BaseResponse

from broadside.local import answers
from broadside.local.calls import Call, Environ
from broadside.local.front import Shortcut
from broadside.local.stack.deploy import Stack


def answering(stack: Stack) -> Shortcut:
    """Answers the CloudFormation calls that reach the front."""

    class Response(StackResponse):
        pass

    Response.stack = stack

    def shortcut(environ: Environ, call: Call) -> answers.Answer | None:
        if call.service != "cloudformation":
            return None
        request = Request(environ)
        status, headers, content = Response.dispatch(request, request.url, request.headers)
        content = content.encode() if isinstance(content, str) else content
        return answers.answer(int(status), content, [(str(key), str(value)) for key, value in headers.items()])

    return shortcut


class NoSuchStack(ServiceException):
    code = "ValidationError"


class StackResponse(BaseResponse):
    """moto's way of answering: a method per action."""

    stack: Stack

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")

    def _named(self) -> Stack:
        wanted = self._get_param("StackName")
        if wanted not in (None, self.stack.name, self.stack.arn):
            raise NoSuchStack(f"Stack with id {wanted} does not exist")
        return self.stack

    def describe_stacks(self) -> ActionResult:
        stack = self._named()
        outputs = [
            {"OutputKey": key, "OutputValue": value, "Description": description}
            for key, (value, description) in stack.outputs.items()
        ]
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()]
        described = {
            "StackId": stack.arn,
            "StackName": stack.name,
            "CreationTime": stack.created,
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": outputs,
            "Parameters": parameters,
        }
        return ActionResult({"Stacks": [described]})

    def describe_stack_resources(self) -> ActionResult:
        stack = self._named()
        return ActionResult({"StackResources": [{"StackName": stack.name, **item} for item in _resources(stack)]})

    def list_stack_resources(self) -> ActionResult:
        return ActionResult({"StackResourceSummaries": _resources(self._named())})


def _resources(stack: Stack) -> list[dict[str, Any]]:
    return [
        {
            "LogicalResourceId": resource.logical_id,
            "PhysicalResourceId": resource.ref,
            "ResourceType": resource.type,
            "ResourceStatus": "CREATE_COMPLETE",
            "LastUpdatedTimestamp": stack.created,
            "Timestamp": stack.created,
        }
        for resource in stack.resources.values()
    ]
