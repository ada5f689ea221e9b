"""PutParameter: what is checked at once, and the ids of images, which are checked afterwards.

Sources: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html, and the user guide's "Using
native parameter support in Parameter Store for Amazon Machine Image IDs" and "Troubleshooting Parameter Store".
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.ssm.exceptions import ParameterAlreadyExists, SSMException
from moto.ssm.models import PARAMETER_VERSION_LIMIT
from moto.ssm.utils import parameter_arn

from broadside.local.behaviour import Behaviour
from broadside.local.ec2.cloud import Cloud
from broadside.local.ssm.names import check_name, check_type, check_value, invalid
from broadside.local.world import World

IMAGE = "aws:ec2:image"

#: moto's backend of one account and Region.
Backend = Any


@dataclass(frozen=True)
class Surroundings:
    """What the rest of the embedded cloud does for Parameter Store; alone it does without."""

    #: Whether the caller with this access key may call ec2:DescribeImages.
    may_describe: Callable[[str], bool] = lambda _key: True
    #: Publishes an event in a Region.
    publish: Callable[[str, dict[str, Any]], None] = lambda _region, _event: None
    #: Does something after so many of the cloud's seconds, while no call to Parameter Store is answered.
    later: Callable[[float, Callable[[], None]], None] = lambda _seconds, _errand: None


@dataclass(frozen=True)
class Pending:
    """A version whose image has not been checked yet."""

    parameter: Any
    due: float
    #: Whether its caller may look at images.
    permitted: bool
    new: bool
    overwrite: bool


class ParameterService:
    """Versions that are still being checked, by account and Region.  moto keeps those that are there."""

    def __init__(self, world: World, cloud: Cloud, surroundings: Surroundings) -> None:
        self._world = world
        self._cloud = cloud
        self._surroundings = surroundings
        self._pending: defaultdict[tuple[str, str], list[Pending]] = defaultdict(list)
        self._first: tuple[Behaviour, set[str]] = (world.behaviour, set())

    def arrive(self, backend: Backend) -> None:
        """What comes before every call: the checks that are due, and in a new Region perhaps a refusal.

        Raises:
            SSMException: ValidationException, where the behaviour wants the first call of a Region refused.
        """
        self.settle(backend)
        behaviour, region = self._world.behaviour, backend.region_name
        if behaviour is not self._first[0]:
            self._first = (behaviour, set())
        if region in behaviour.first_parameter_refused and region not in self._first[1]:
            self._first[1].add(region)
            raise invalid(f"The namespace in {region} is not a valid namespace")

    def put(self, backend: Backend, asked: Mapping[str, Any], key: str) -> dict[str, Any]:
        """PutParameter.  A version number says nothing about an image's id: read the parameter back.

        Raises:
            SSMException: ValidationException and others for what cannot be; ParameterAlreadyExists; ParameterLimitExceeded.
        """
        name = str(asked.get("Name") or "").strip()
        data_type = asked.get("DataType") or "text"
        self._check(backend, name, asked, data_type)
        before = list(backend._parameters.get(self._normal(backend, name), []))
        waiting = [one for one in self._of(backend) if one.parameter.name == name]
        parameter = backend.put_parameter(
            name,
            asked.get("Description"),
            asked.get("Value"),
            asked.get("Type"),
            asked.get("AllowedPattern"),
            asked.get("KeyId"),
            bool(asked.get("Overwrite")),
            asked.get("Tags"),
            data_type,
            tier=asked.get("Tier"),
            policies=asked.get("Policies"),
        )
        parameter.version += len(waiting)
        if data_type == IMAGE:
            self._restore(backend, name, before)
            self._await(backend, parameter, key, new=not before, overwrite=bool(asked.get("Overwrite")))
        else:
            self._announce(backend, parameter, new=not before)
        return {"Version": parameter.version, "Tier": parameter.tier}

    def forget(self, backend: Backend, name: str) -> None:
        """The parameter is deleted, and with it what was on its way."""
        pending = self._of(backend)
        pending[:] = [one for one in pending if self._normal(backend, one.parameter.name) != self._normal(backend, name)]

    def settle(self, backend: Backend) -> None:
        """Let the versions whose check is due appear, or not."""
        now, pending = self._world.clock.now(), self._of(backend)
        due = [one for one in pending if one.due <= now]
        pending[:] = [one for one in pending if one.due > now]
        for one in due:
            reason = self._refusal(backend, one)
            if reason is None:
                self._appear(backend, one.parameter)
            elif one.new and not self._versions(backend, one.parameter.name):
                backend._resource_tags.get("Parameter", {}).pop(one.parameter.name, None)
            self._announce(backend, one.parameter, new=one.new, refusal=reason)

    def _check(self, backend: Backend, name: str, asked: Mapping[str, Any], data_type: str) -> None:
        check_name(name, parameter_arn(backend.account_id, backend.region_name, name))
        check_value(str(asked.get("Value") or ""), asked.get("Tier"))
        versions = self._versions(backend, name)
        if versions and not bool(asked.get("Overwrite")):
            raise ParameterAlreadyExists
        check_type(asked.get("Type"), versions[-1].parameter_type if versions else None, data_type)
        there = {key for key, found in backend._parameters.items() if found and not key.startswith("/aws/")}
        there |= {self._normal(backend, one.parameter.name) for one in self._of(backend)}
        if self._normal(backend, name) not in there and len(there) >= self._world.behaviour.parameters_quota:
            raise SSMException(
                "ParameterLimitExceeded",
                "You have exceeded the number of parameters for this account. Delete one or more parameters and try again.",
            )

    def _await(self, backend: Backend, parameter: Any, key: str, *, new: bool, overwrite: bool) -> None:
        seconds = self._world.behaviour.parameter_seconds
        permitted = self._surroundings.may_describe(key)
        due = self._world.clock.now() + seconds
        self._of(backend).append(Pending(parameter, due, permitted, new, overwrite))
        self._surroundings.later(seconds, lambda: self.settle(backend))

    def _refusal(self, backend: Backend, one: Pending) -> str | None:
        """Why the version does not appear: what EventBridge calls the exception."""
        if not one.overwrite and self._versions(backend, one.parameter.name):
            return "ParameterAlreadyExists"
        with self._cloud.lock:
            image = self._cloud.images[backend.region_name].get(one.parameter.value)
            usable = image is not None and self._cloud.visible(image) and image.usable_by(backend.account_id)
            available = usable and image is not None and image.state(self._world.clock.now()) == "available"
        return None if available and one.permitted else "Unable to Describe Resource"

    def _appear(self, backend: Backend, parameter: Any) -> None:
        versions = [*self._versions(backend, parameter.name), parameter]
        self._restore(backend, parameter.name, sorted(versions, key=lambda one: int(one.version)))

    def _announce(self, backend: Backend, parameter: Any, *, new: bool, refusal: str | None = None) -> None:
        """EventBridge's event "Parameter Store Change"."""
        detail = {
            "operation": "Create" if new else "Update",
            "name": parameter.name,
            "type": parameter.parameter_type,
            "dataType": parameter.data_type,
        }
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Parameter Store Change",
            "source": "aws.ssm",
            "account": backend.account_id,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": backend.region_name,
            "resources": [parameter_arn(backend.account_id, backend.region_name, parameter.name)],
            "detail": detail | ({"exception": refusal} if refusal else {}),
        }
        self._surroundings.publish(backend.region_name, event)

    def _of(self, backend: Backend) -> list[Pending]:
        return self._pending[backend.account_id, backend.region_name]

    def _versions(self, backend: Backend, name: str) -> list[Any]:
        found: list[Any] = backend._parameters.get(self._normal(backend, name), [])
        return found

    def _restore(self, backend: Backend, name: str, versions: list[Any]) -> None:
        key = self._normal(backend, name)
        if versions:
            backend._parameters[key] = versions[-PARAMETER_VERSION_LIMIT:]
        else:
            backend._parameters.pop(key, None)

    @staticmethod
    def _normal(backend: Backend, name: str) -> str:
        return str(backend._parameters.normalize_name(name))
