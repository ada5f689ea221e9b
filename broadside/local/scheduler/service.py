"""Schedules and their groups: kept, due by the clock, and carried out with the role that they name.

Dates, those of ``at`` and ``cron`` as well, are the wall clock's, since people and programs read them off it; a rate is in the
cloud's seconds.  A schedule is due within the minute after its time: the seed chooses one of the cloud's seconds.

Sources: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html, and the user guide's "Schedule
types", "Adding context attributes", "Configuring a dead-letter queue" and "Cross-service confused deputy prevention".
"""

from __future__ import annotations

import logging
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from broadside.local.access.delegation import SCHEDULER, Delegation
from broadside.local.scheduler.checks import ACTIONS, SchedulerError, check_name, expression, invalid, settings, unknown
from broadside.local.scheduler.expressions import Once, Rate
from broadside.local.scheduler.model import DEFAULT_GROUP, Place, Schedule, described, filled, summary
from broadside.local.world import World

log = logging.getLogger(__name__)

#: Seconds after its time in which a schedule is due.
PRECISION = 60


@dataclass(frozen=True)
class Reach:
    """What the scheduler reaches the rest of the cloud with."""

    delegation: Delegation
    #: Does something after so many of the cloud's seconds.
    later: Callable[[float, Callable[[], None]], None]
    #: Each takes a target's ARN and the text for it.
    invoke: Callable[[str, str], None]
    start_execution: Callable[[str, str], object]
    send_message: Callable[[str, str], None]


class Scheduler:
    """All schedules.  Safe for threads."""

    def __init__(self, world: World, reach: Reach) -> None:
        self._world = world
        self._reach = reach
        self._random = random.Random(world.behaviour.seed)  # noqa: S311 - chooses seconds, keeps no secret
        self._lock = threading.RLock()
        self._schedules: dict[Place, Schedule] = {}
        self._groups: dict[Place, datetime] = {}
        self._tokens: dict[tuple[Place, str], tuple[Any, str]] = {}

    # The API

    def create(self, place: Place, asked: Mapping[str, Any]) -> dict[str, Any]:
        """CreateSchedule.

        Raises:
            SchedulerError: ValidationException; ConflictException; ResourceNotFoundException for the group.
        """
        with self._lock:
            token = (place, str(asked.get("ClientToken") or uuid.uuid4()))
            rest = {key: value for key, value in asked.items() if key != "ClientToken"}
            if token in self._tokens and self._tokens[token][0] == rest:
                return {"ScheduleArn": self._tokens[token][1]}
            self._check_group(place)
            if place in self._schedules or token in self._tokens:
                raise SchedulerError("ConflictException", f"Schedule {place.name} already exists.")
            now = self._now()
            self._keep(self._read(place, asked, created=now, modified=now))
            self._tokens[token] = (rest, place.arn)
        return {"ScheduleArn": place.arn}

    def update(self, place: Place, asked: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateSchedule: what is not given again is the default again.

        Raises:
            SchedulerError: ValidationException; ResourceNotFoundException.
        """
        with self._lock:
            had = self._find(place)
            self._keep(self._read(place, asked, created=had.created, modified=self._now()))
        return {"ScheduleArn": place.arn}

    def get(self, place: Place) -> dict[str, Any]:
        """GetSchedule.

        Raises:
            SchedulerError: ResourceNotFoundException.
        """
        with self._lock:
            return described(self._find(place))

    def delete(self, place: Place) -> dict[str, Any]:
        """DeleteSchedule.

        Raises:
            SchedulerError: ResourceNotFoundException.
        """
        with self._lock:
            del self._schedules[self._find(place).place]
        return {}

    def listed(self, account: str, region: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """ListSchedules, all of them on one page."""
        with self._lock:
            found = [
                schedule
                for place, schedule in self._schedules.items()
                if (place.account, place.region) == (account, region)
                and asked.get("GroupName") in (None, place.group)
                and asked.get("State") in (None, schedule.settings["State"])
                and place.name.startswith(asked.get("NamePrefix") or "")
            ]
        return {"Schedules": [summary(one) for one in sorted(found, key=lambda one: one.place.name)]}

    def create_group(self, place: Place) -> dict[str, Any]:
        """CreateScheduleGroup.

        Raises:
            SchedulerError: ValidationException; ConflictException.
        """
        with self._lock:
            check_name(place.group)
            if place.group == DEFAULT_GROUP or place in self._groups:
                raise SchedulerError("ConflictException", f"Schedule group {place.group} already exists.")
            self._groups[place] = self._now()
        return {"ScheduleGroupArn": place.group_arn}

    def get_group(self, place: Place) -> dict[str, Any]:
        """GetScheduleGroup.

        Raises:
            SchedulerError: ResourceNotFoundException.
        """
        with self._lock:
            self._check_group(place)
            created = self._groups.get(place)
        dates = {"CreationDate": created, "LastModificationDate": created} if created else {}
        return {"Arn": place.group_arn, "Name": place.group, "State": "ACTIVE", **dates}

    def delete_group(self, place: Place) -> dict[str, Any]:
        """DeleteScheduleGroup, with all that is in it.

        Raises:
            SchedulerError: ValidationException for the default group; ResourceNotFoundException.
        """
        with self._lock:
            if place.group == DEFAULT_GROUP:
                raise invalid("The default schedule group cannot be deleted.")
            self._check_group(place)
            del self._groups[place]
            for one in [one for one in self._schedules if one.group_arn == place.group_arn]:
                del self._schedules[one]
        return {}

    def groups(self, account: str, region: str) -> dict[str, Any]:
        """ListScheduleGroups, all of them on one page."""
        with self._lock:
            there = [place for place in self._groups if (place.account, place.region) == (account, region)]
        return {"ScheduleGroups": [self.get_group(one) for one in (Place(account, region, DEFAULT_GROUP), *there)]}

    # Time

    def fire(self, account: str, region: str, name: str) -> None:
        """Let a schedule (``NAME`` or ``GROUP/NAME``) be due now.

        Raises:
            KeyError: there is no such schedule.
        """
        group, _, short = name.rpartition("/")
        with self._lock:
            schedule = self._schedules[Place(account, region, group or DEFAULT_GROUP, short)]
        self._carry_out(schedule, self._wall())
        if isinstance(schedule.expression, Once):
            self._after(schedule, self._wall())

    def _keep(self, schedule: Schedule) -> None:
        self._schedules[schedule.place] = schedule
        if isinstance(schedule.expression, Rate):
            start = schedule.settings["StartDate"]
            self._await(schedule, max(self._wall(), start.timestamp() if start else 0))
        else:
            self._await_next(schedule, self._wall())

    def _await_next(self, schedule: Schedule, moment: float) -> bool:
        """Wait for the time after the moment, if there is one."""
        if isinstance(schedule.expression, Rate):
            when: float | None = moment + schedule.expression.seconds / self._scale()
        else:
            start = None if isinstance(schedule.expression, Once) else schedule.settings["StartDate"]
            # A minute that is the start's own is not missed.
            when = schedule.expression.after(max(moment, start.timestamp() - 1 if start else moment))
        end = None if isinstance(schedule.expression, Once) else schedule.settings["EndDate"]
        if when is None or (end is not None and when >= end.timestamp()):
            return False
        self._await(schedule, when)
        return True

    def _await(self, schedule: Schedule, when: float) -> None:
        window = schedule.settings["FlexibleTimeWindow"]
        spread = 60 * window["MaximumWindowInMinutes"] if window["Mode"] == "FLEXIBLE" else PRECISION
        late = self._random.randrange(spread)
        self._reach.later((when - self._wall()) * self._scale() + late, lambda: self._due(schedule, when))

    def _due(self, schedule: Schedule, when: float) -> None:
        with self._lock:
            if self._schedules.get(schedule.place) is not schedule:
                return  # deleted, or another version by now
        if schedule.settings["State"] == "ENABLED":
            self._carry_out(schedule, when)
        self._after(schedule, when)

    def _after(self, schedule: Schedule, when: float) -> None:
        with self._lock:
            over = isinstance(schedule.expression, Once) or not self._await_next(schedule, when)
            ours = self._schedules.get(schedule.place) is schedule
            if over and ours and schedule.settings["ActionAfterCompletion"] == "DELETE":
                del self._schedules[schedule.place]

    def _carry_out(self, schedule: Schedule, when: float) -> None:
        """At least once: as often as the behaviour says of every event."""
        text = filled(schedule, when)
        for _ in range(self._world.behaviour.events.duplicate):
            reason = self._forbidden(schedule) or self._send(schedule.target["Arn"], text)
            if reason is not None:
                self._bury(schedule, text, reason)

    def _send(self, arn: str, text: str) -> str | None:
        """Why it could not be delivered, or None."""
        service = arn.split(":")[2]
        ways = {"lambda": self._reach.invoke, "sqs": self._reach.send_message, "states": self._reach.start_execution}
        try:
            ways[service](arn, text)
        except Exception as error:
            log.info("A schedule could not reach %s.", arn, exc_info=True)
            return f"{type(error).__name__}: {error}"
        return None

    def _forbidden(self, schedule: Schedule) -> str | None:
        arn, role = schedule.target["Arn"], schedule.target["RoleArn"]
        delegation = self._reach.delegation
        assumed = delegation.assumed(role, SCHEDULER, schedule.place.group_arn)
        return assumed or delegation.with_role(role, ACTIONS[arn.split(":")[2]], arn)

    def _bury(self, schedule: Schedule, text: str, reason: str) -> None:
        log.warning("The schedule %s cannot reach %s: %s.", schedule.place.arn, schedule.target["Arn"], reason)
        queue = schedule.target.get("DeadLetterConfig", {}).get("Arn")
        if not queue:
            return
        role, delegation = schedule.target["RoleArn"], self._reach.delegation
        refused = delegation.assumed(role, SCHEDULER, schedule.place.group_arn)
        refused = refused or delegation.with_role(role, "sqs:SendMessage", queue)
        if refused is None:
            self._reach.send_message(queue, text)
        else:
            log.warning("The event is lost, since the dead-letter queue %s is closed, too: %s.", queue, refused)

    # What is asked

    def _read(self, place: Place, asked: Mapping[str, Any], *, created: datetime, modified: datetime) -> Schedule:
        check_name(place.name)
        text, timezone = str(asked.get("ScheduleExpression") or ""), asked.get("ScheduleExpressionTimezone") or "UTC"
        due, given = expression(text, timezone), settings(asked)
        if self._reach.delegation.assumed(given["Target"]["RoleArn"], SCHEDULER, place.group_arn) is not None:
            raise invalid("The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
        return Schedule(place, text, timezone, due, given, created, modified)

    def _find(self, place: Place) -> Schedule:
        self._check_group(place)
        if place not in self._schedules:
            raise unknown(f"Schedule {place.name}")
        return self._schedules[place]

    def _check_group(self, place: Place) -> None:
        if place.group != DEFAULT_GROUP and Place(place.account, place.region, place.group) not in self._groups:
            raise unknown(f"Schedule group {place.group}")

    def _wall(self) -> float:
        return self._world.clock.wall()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)

    def _scale(self) -> float:
        return self._world.clock.scale
