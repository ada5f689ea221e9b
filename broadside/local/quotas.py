"""Service Quotas, as far as a publisher asks: the quota of public images, and requests for more, which nobody grants.

Sources: https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html,
API_GetAWSDefaultServiceQuota.html, API_RequestServiceQuotaIncrease.html
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.responses import ServiceQuotasResponse

from broadside.local.world import World

SERVICE, PUBLIC_IMAGES = "ec2", "L-0E3CBAB9"
#: What AWS gives to everybody.
DEFAULT = 5
#: A request in these states is under way: there can be no other one for the same quota.
OPEN = ("PENDING", "CASE_OPENED")

_Asked = dict[str, Any]


class Quotas:
    """Answers in moto's place, which goes on with the services that it knows.  Safe for threads."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._requests: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)

    def install(self) -> None:
        # What an earlier cloud of this process patched in must not be taken for moto's own.
        moto = getattr(ServiceQuotasResponse, "_moto_get_service_quota", ServiceQuotasResponse.get_service_quota)

        def get_service_quota(response: Any) -> Any:
            asked = json.loads(response.body)
            if asked.get("ServiceCode") != SERVICE:
                return moto(response)
            return ActionResult({"Quota": self._quota(response, asked, self._applied())})

        def answer(do: Callable[[Any, _Asked], _Asked]) -> Callable[[Any], ActionResult]:
            return lambda response: ActionResult(do(response, json.loads(response.body)))

        methods = {
            "_moto_get_service_quota": moto,
            "get_service_quota": get_service_quota,
            "get_aws_default_service_quota": answer(self._default),
            "request_service_quota_increase": answer(self._request),
            "get_requested_service_quota_change": answer(self._requested),
            "list_requested_service_quota_change_history_by_quota": answer(self._history),
        }
        for name, method in methods.items():
            setattr(ServiceQuotasResponse, name, method)

    def _applied(self) -> float:
        return float(self._world.behaviour.public_images_quota)

    def _default(self, response: Any, asked: _Asked) -> _Asked:
        """GetAWSDefaultServiceQuota: never more than what is applied."""
        return {"Quota": self._quota(response, asked, min(DEFAULT, self._applied()))}

    def _quota(self, response: Any, asked: _Asked, value: float) -> _Asked:
        return _identity(response, asked) | {"Value": value, "Adjustable": True}

    def _request(self, response: Any, asked: _Asked) -> _Asked:
        """RequestServiceQuotaIncrease: one at a time, and for more than there is.

        Raises:
            JsonRESTError: NoSuchResourceException; IllegalArgumentException; ResourceAlreadyExistsException.
        """
        identity, desired = _identity(response, asked), float(asked.get("DesiredValue") or 0)
        if desired <= self._applied():
            message = f"The desired value {desired:g} is not greater than the quota, which is {self._applied():g}."
            raise JsonRESTError("IllegalArgumentException", message)
        with self._lock:
            requests = self._requests[response.current_account, response.region]
            if any(one["Status"] in OPEN for one in requests):
                message = "Only one open service quota increase request is allowed per quota."
                raise JsonRESTError("ResourceAlreadyExistsException", message)
            now = datetime.now(UTC)
            made = {"Id": uuid.uuid4().hex, "DesiredValue": desired, "Status": "PENDING", "Created": now, "LastUpdated": now}
            requests.append(identity | made)
            return {"RequestedQuota": requests[-1]}

    def _requested(self, response: Any, asked: _Asked) -> _Asked:
        """GetRequestedServiceQuotaChange.

        Raises:
            JsonRESTError: NoSuchResourceException.
        """
        with self._lock:
            found = [
                one for one in self._requests[response.current_account, response.region] if one["Id"] == asked["RequestId"]
            ]
        if not found:
            raise NoSuchResource
        return {"RequestedQuota": found[0]}

    def _history(self, response: Any, asked: _Asked) -> _Asked:
        """ListRequestedServiceQuotaChangeHistoryByQuota, on one page."""
        _identity(response, asked)
        with self._lock:
            requests = list(self._requests[response.current_account, response.region])
        return {"RequestedQuotas": [one for one in requests if asked.get("Status") in (None, one["Status"])]}


def _identity(response: Any, asked: _Asked) -> _Asked:
    """What every quota says of itself.

    Raises:
        NoSuchResource: it is not the one that is known here.
    """
    if (asked.get("ServiceCode"), asked.get("QuotaCode")) != (SERVICE, PUBLIC_IMAGES):
        raise NoSuchResource
    return {
        "ServiceCode": SERVICE,
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": f"arn:aws:servicequotas:{response.region}:{response.current_account}:{SERVICE}/{PUBLIC_IMAGES}",
        "QuotaCode": PUBLIC_IMAGES,
        "QuotaName": "Public AMIs",
        "Unit": "None",
        "GlobalQuota": False,
    }
