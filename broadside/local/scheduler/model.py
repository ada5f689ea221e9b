"""What a schedule is, and what it says of itself and to its target.  No state, no I/O."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from broadside.local.scheduler.expressions import Expression

DEFAULT_GROUP = "default"


@dataclass(frozen=True)
class Place:
    """Where a schedule lives."""

    account: str
    region: str
    group: str
    name: str = ""

    @property
    def group_arn(self) -> str:
        return f"arn:aws:scheduler:{self.region}:{self.account}:schedule-group/{self.group}"

    @property
    def arn(self) -> str:
        return f"arn:aws:scheduler:{self.region}:{self.account}:schedule/{self.group}/{self.name}"


@dataclass(frozen=True, eq=False)
class Schedule:
    """One version of a schedule; an update is another one."""

    place: Place
    text: str
    timezone: str
    expression: Expression
    settings: Mapping[str, Any]
    created: datetime
    modified: datetime

    @property
    def target(self) -> Mapping[str, Any]:
        target: Mapping[str, Any] = self.settings["Target"]
        return target


def filled(schedule: Schedule, when: float) -> str:
    """The target's input with its context attributes, or what Scheduler sends without any."""
    place, moment = schedule.place, datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    execution = str(uuid.uuid4())
    text = schedule.target.get("Input")
    if text is None:
        event = {"version": "0", "id": execution, "detail-type": "Scheduled Event", "source": "aws.scheduler"}
        where = {"account": place.account, "time": moment, "region": place.region, "resources": [place.arn], "detail": "{}"}
        return json.dumps(event | where)
    known = {"schedule-arn": place.arn, "scheduled-time": moment, "execution-id": execution, "attempt-number": "1"}
    for name, value in known.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return str(text)


def described(schedule: Schedule) -> dict[str, Any]:
    return {
        "Arn": schedule.place.arn,
        "Name": schedule.place.name,
        "GroupName": schedule.place.group,
        "CreationDate": schedule.created,
        "LastModificationDate": schedule.modified,
        "ScheduleExpression": schedule.text,
        "ScheduleExpressionTimezone": schedule.timezone,
    } | {key: value for key, value in schedule.settings.items() if value is not None}


def summary(schedule: Schedule) -> dict[str, Any]:
    told = described(schedule)
    names = ("Arn", "CreationDate", "GroupName", "LastModificationDate", "Name", "State")
    return {name: told[name] for name in names} | {"Target": {"Arn": schedule.target["Arn"]}}
