"""EventBridge Scheduler: schedules that are really due, and reach their target with the role that they name."""

from __future__ import annotations

from broadside.local.scheduler.responses import patch
from broadside.local.scheduler.service import Reach, Scheduler
from broadside.local.world import World


def install(world: World, reach: Reach) -> Scheduler:
    """Let this process's moto keep schedules in ``world``'s time."""
    scheduler = Scheduler(world, reach)
    patch(scheduler)
    return scheduler
