"""EventBridge: S3's events and PutEvents reach the targets of the rules that match, at least once."""

from __future__ import annotations

import itertools
import json
import logging
import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from moto.events.exceptions import ValidationException
from moto.events.models import EventsBackend, Rule, events_backends
from moto.s3 import notifications

from broadside.local.access.delegation import EVENTS, Delegation
from broadside.local.behaviour import Events
from broadside.local.events.courier import Courier
from broadside.local.events.pattern import matches
from broadside.local.functions.service import LambdaService, SendMessage
from broadside.local.patching import replace

log = logging.getLogger(__name__)

#: Starts an execution: state machine ARN, input as JSON.
StartExecution = Callable[[str, str], object]

#: What S3 says in an event's ``reason``, by the notification that moto sends.
_REASONS = {
    "s3:ObjectCreated:Put": "PutObject",
    "s3:ObjectCreated:Post": "POST Object",
    "s3:ObjectCreated:Copy": "CopyObject",
    "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
}


class Bus:
    """Delivers events to the targets of rules, from threads of its own."""

    def __init__(
        self,
        *,
        account: str,
        courier: Courier,
        lambdas: LambdaService,
        start_execution: StartExecution,
        send_message: SendMessage,
        delegation: Delegation,
        events: Callable[[], Events],
        seed: int,
    ) -> None:
        self._account = account
        self._courier = courier
        self._lambdas = lambdas
        self._start_execution = start_execution
        self._send_message = send_message
        self._delegation = delegation
        self._events = events
        self._random = random.Random(seed)  # noqa: S311 - shuffles events, keeps no secret
        self._sequence = itertools.count(1)

    def install(self) -> None:
        """Take the place of what moto does in the caller's thread, and of targets that it does not have."""
        bus = self

        def send_event(_account: str, event_name: Any, bucket: Any, key: Any) -> None:
            bus.object_event(str(getattr(event_name, "value", event_name)), bucket, key)

        def send_to_targets(self: Any, event: dict[str, Any], **_options: Any) -> None:
            bus.offer(self, event)

        put_targets = EventsBackend.put_targets

        def put_known_targets(self: Any, name: str, event_bus_arn: Any, targets: list[dict[str, Any]]) -> None:
            for target in targets:
                refuse_unknown(target)
            put_targets(self, name, event_bus_arn, targets)

        replace(notifications, send_event=send_event)
        replace(Rule, send_to_targets=send_to_targets)
        replace(EventsBackend, put_targets=put_known_targets)

    def object_event(self, name: str, bucket: Any, key: Any) -> None:
        """S3 has created an object: tell EventBridge, when the bucket is so configured.  Other events interest nobody here."""
        configuration = bucket.notification_configuration
        if name not in _REASONS or configuration is None or configuration.event_bridge is None:
            return
        if name == "s3:ObjectCreated:Put" and key.multipart is not None:
            return  # moto reports a completed upload twice: once as this
        if self._random.random() < self._events().lost:
            log.warning("The event of %s/%s is lost, as the behaviour says.", bucket.name, key.name)
            return
        self.publish(bucket.region_name, self._object_created(_REASONS[name], bucket, key))

    def _object_created(self, reason: str, bucket: Any, key: Any) -> dict[str, Any]:
        thing = {"key": key.name, "size": key.size, "etag": key.etag.strip('"'), "sequencer": f"{next(self._sequence):016X}"}
        if key.version_id and key.version_id != "null":
            thing["version-id"] = key.version_id
        detail = {
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": thing,
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": self._account,
            "source-ip-address": "127.0.0.1",
            "reason": reason,
        }
        return self._envelope("aws.s3", "Object Created", bucket.region_name, [bucket.arn], detail)

    def _envelope(self, source: str, kind: str, region: str, resources: list[str], detail: Any) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": source,
            "account": self._account,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": region,
            "resources": resources,
            "detail": detail,
        }

    def publish(self, region: str, event: dict[str, Any]) -> None:
        """Offer an event to every rule of the Region's default bus."""
        for rule in list(events_backends[self._account][region].event_buses["default"].rules.values()):
            self.offer(rule, event)

    def offer(self, rule: Any, event: dict[str, Any]) -> None:
        """Deliver an event to a rule's targets if the rule is enabled and its pattern matches."""
        text = rule.event_pattern.dump() if rule.event_pattern else None
        if rule.state == "ENABLED" and text and matches(json.loads(text), event):
            self.deliver(rule, event)

    def deliver(self, rule: Any, event: dict[str, Any]) -> None:
        """Send to each target, as often and as late as the behaviour says."""
        how = self._events()
        for target in list(rule.targets):
            for _ in range(how.duplicate):
                delay = how.delay_seconds + self._random.random() * how.shuffle_seconds
                self._courier.later(delay, partial(self._send, rule.arn, target, event))

    def _send(self, rule: str, target: dict[str, Any], event: dict[str, Any]) -> None:
        """Without a permission EventBridge does not try again: the event is the dead-letter queue's."""
        arn = target["Arn"]
        text = target["Input"] if "Input" in target else json.dumps(event)
        reason = self._forbidden(rule, target)
        if reason is not None:
            self._bury(rule, target, text, reason)
        elif ":lambda:" in arn:
            self._lambdas.invoke_later(self._lambdas.find(arn), text.encode())
        elif ":states:" in arn:
            self._start_execution(arn, text)
        else:
            self._send_message(arn, text)

    def _forbidden(self, rule: str, target: dict[str, Any]) -> str | None:
        """Functions and queues say themselves who may reach them; a state machine is started with the target's role."""
        arn, role = target["Arn"], target.get("RoleArn", "")
        if ":states:" in arn:
            assumed = self._delegation.assumed(role, EVENTS, rule)
            return assumed or self._delegation.with_role(role, "states:StartExecution", arn)
        action = "lambda:InvokeFunction" if ":lambda:" in arn else "sqs:SendMessage"
        return self._delegation.by_resource(EVENTS, action, arn, rule)

    def _bury(self, rule: str, target: dict[str, Any], text: str, reason: str) -> None:
        log.warning("The rule %s cannot reach %s: %s.", rule, target["Arn"], reason)
        queue = target.get("DeadLetterConfig", {}).get("Arn")
        if not queue:
            return
        refused = self._delegation.by_resource(EVENTS, "sqs:SendMessage", queue, rule)
        if refused is None:
            self._send_message(queue, text)
        else:
            log.warning("The event is lost, since the dead-letter queue %s is closed, too: %s.", queue, refused)

    def fire(self, rule_name: str, region: str) -> None:
        """Let a schedule be due now.

        Raises:
            KeyError: there is no such rule.
        """
        rule = events_backends[self._account][region].event_buses["default"].rules[rule_name]
        self.deliver(rule, self._envelope("aws.events", "Scheduled Event", region, [rule.arn], {}))

    def keep_schedules(self, region: str) -> None:
        """Let every rule with a schedule be due by the cloud's clock.

        Raises:
            ValueError: a schedule is not of the form ``rate(15 minutes)``.
        """
        for rule in events_backends[self._account][region].event_buses["default"].rules.values():
            if rule.scheduled_expression:
                self._courier.every(period(rule.scheduled_expression), partial(self.fire, rule.name, region))


def refuse_unknown(target: dict[str, Any]) -> None:
    """Refuse a target that would not be treated as it asks for.

    Raises:
        ValidationException: its service or one of its settings is not known here.
    """
    if target["Arn"].split(":")[2] not in ("lambda", "sqs", "states"):
        raise ValidationException(f"The embedded cloud does not deliver events to {target['Arn']}.")
    # RetryPolicy is about targets that cannot be reached for a while, which does not happen here.
    if unknown := target.keys() - {"Arn", "DeadLetterConfig", "Id", "Input", "RetryPolicy", "RoleArn"}:
        raise ValidationException(f"The embedded cloud does not honour {', '.join(sorted(unknown))} of an event's target.")


def period(expression: str) -> float:
    """The seconds between two runs of a schedule.

    Raises:
        ValueError: it is not a rate.
    """
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if match is None:
        raise ValueError(f"The embedded cloud knows schedules like rate(15 minutes), and not {expression}.")
    return float(match[1]) * {"minute": 60, "hour": 3600, "day": 86400}[match[2]]
