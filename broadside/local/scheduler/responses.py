"""moto's responses of EventBridge Scheduler, answered by ours; only tags are moto's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from moto.scheduler.responses import EventBridgeSchedulerResponse

from broadside.local.patching import replace
from broadside.local.scheduler.model import DEFAULT_GROUP, Place
from broadside.local.scheduler.service import Scheduler

_Asked = dict[str, Any]


def patch(scheduler: Scheduler) -> None:
    """Let moto's EventBridge Scheduler answer with ``scheduler``."""

    def initialise(self: Any) -> None:
        BaseResponse.__init__(self, service_name="scheduler")
        self.automated_parameter_parsing = True

    def schedule(answer: Callable[[Place, _Asked], _Asked]) -> Callable[[Any], ActionResult]:
        def method(self: Any) -> ActionResult:
            asked = dict(self.params)
            group = asked.get("GroupName") or DEFAULT_GROUP
            return ActionResult(answer(Place(self.current_account, self.region, group, asked["Name"]), asked))

        return method

    def group(answer: Callable[[Place], _Asked]) -> Callable[[Any], ActionResult]:
        return lambda self: ActionResult(answer(Place(self.current_account, self.region, self.params["Name"])))

    replace(EventBridgeSchedulerResponse, __init__=initialise)
    replace(
        EventBridgeSchedulerResponse,
        create_schedule=schedule(scheduler.create),
        update_schedule=schedule(scheduler.update),
        get_schedule=schedule(lambda place, _asked: scheduler.get(place)),
        delete_schedule=schedule(lambda place, _asked: scheduler.delete(place)),
        list_schedules=lambda self: ActionResult(scheduler.listed(self.current_account, self.region, self.params)),
        create_schedule_group=group(scheduler.create_group),
        get_schedule_group=group(scheduler.get_group),
        delete_schedule_group=group(scheduler.delete_group),
        list_schedule_groups=lambda self: ActionResult(scheduler.groups(self.current_account, self.region)),
    )
