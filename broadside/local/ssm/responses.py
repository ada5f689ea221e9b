"""moto's responses for parameters, each after the checks that are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ssm.responses import SimpleSystemManagerResponse

from broadside.local.patching import replace
from broadside.local.ssm.service import ParameterService

#: Actions that moto answers well enough, once it knows what is there.
_MOTO = (
    "add_tags_to_resource",
    "delete_parameter",
    "delete_parameters",
    "describe_parameters",
    "get_parameter",
    "get_parameter_history",
    "get_parameters",
    "get_parameters_by_path",
    "label_parameter_version",
    "list_tags_for_resource",
    "remove_tags_from_resource",
)

#: What PutParameter takes.
_ASKED = (
    "AllowedPattern",
    "DataType",
    "Description",
    "KeyId",
    "Name",
    "Overwrite",
    "Policies",
    "Tags",
    "Tier",
    "Type",
    "Value",
)


def patch(service: ParameterService) -> None:
    """Let moto's Parameter Store answer with ``service``."""
    for name in _MOTO:
        # What an earlier cloud of this process patched in must not be taken for moto's own.
        original = getattr(SimpleSystemManagerResponse, f"_moto_{name}", getattr(SimpleSystemManagerResponse, name))
        setattr(SimpleSystemManagerResponse, f"_moto_{name}", original)
        setattr(SimpleSystemManagerResponse, name, _after_arrival(service, name, original))

    def put_parameter(response: Any) -> ActionResult:
        service.arrive(response.ssm_backend)
        asked = {name: response._get_param(name) for name in _ASKED}
        return ActionResult(service.put(response.ssm_backend, asked, response.access_key))

    replace(SimpleSystemManagerResponse, put_parameter=put_parameter)


def _after_arrival(service: ParameterService, name: str, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def method(response: Any) -> Any:
        backend = response.ssm_backend
        service.arrive(backend)
        answer = original(response)
        if name == "delete_parameter":
            service.forget(backend, response._get_param("Name"))
        if name == "delete_parameters":
            for deleted in answer.result["DeletedParameters"]:
                service.forget(backend, deleted)
        return answer

    return method
