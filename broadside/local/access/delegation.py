"""What AWS's own services may do in our name: with a role that they assume, or because the resource's policy lets them.

Sources: "Permissions" of each service: Step Functions' "Creating an IAM role", "Amazon EventBridge resource-based policies",
and "Retain records of asynchronous invocations" of Lambda.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broadside.local.access import documents
from broadside.local.access.policy import Decision, Request, evaluate

EVENTS, LAMBDA = "events.amazonaws.com", "lambda.amazonaws.com"
SCHEDULER, STATES = "scheduler.amazonaws.com", "states.amazonaws.com"


class Delegation:
    """Judges services as the guard judges callers.  ``enforced`` says whether anybody is held to a policy at all."""

    def __init__(self, account: str, enforced: Callable[[], bool]) -> None:
        self._account = account
        self._enforced = enforced

    def assumed(self, role: str, service: str, source: str = "") -> str | None:
        """Why ``service`` cannot assume the role on behalf of the resource ``source``, or None when it can."""
        wanted = Request("sts:AssumeRole", role, service, self._context(source))
        # A trust policy is about its own role and names no resource.
        trust = [
            {"Statement": [{**statement, "Resource": "*"} for statement in _listed(policy["Statement"])]}
            for policy in documents.trust_of_role(self._account, role)
        ]
        if not self._enforced() or evaluate(trust, wanted) is Decision.ALLOW:
            return None
        return f"{service} is not authorized to assume the role {role or '(none)'}"

    def with_role(self, role: str, action: str, resource: str) -> str | None:
        """Why a service that has assumed the role must not do this, or None.

        A queue's own policy can allow it as well, and can forbid it.
        """
        wanted = Request(action, resource, role, self._context())
        verdicts = {evaluate(documents.of_role(self._account, role), wanted)}
        if resource.startswith("arn:aws:sqs:"):
            verdicts.add(evaluate(documents.of_queue(self._account, resource), wanted))
        return self._reason(verdicts, role.replace(":role/", ":assumed-role/"), wanted)

    def by_resource(self, service: str, action: str, resource: str, source: str) -> str | None:
        """Why the queue or function does not let ``service`` do this on behalf of the resource ``source``, or None."""
        wanted = Request(action, resource, service, self._context(source))
        policies = documents.of_function if ":lambda:" in resource else documents.of_queue
        return self._reason({evaluate(policies(self._account, resource), wanted)}, service, wanted)

    def _reason(self, verdicts: set[Decision], who: str, wanted: Request) -> str | None:
        if not self._enforced() or (Decision.ALLOW in verdicts and Decision.DENY not in verdicts):
            return None
        why = "an explicit deny" if Decision.DENY in verdicts else f"no policy that allows the {wanted.action} action"
        return f"User: {who} is not authorized to perform: {wanted.action} on resource: {wanted.resource} because of {why}"

    def _context(self, source: str = "") -> dict[str, tuple[str, ...]]:
        context: dict[str, tuple[str, ...]] = {"aws:SecureTransport": ("true",), "aws:SourceAccount": (self._account,)}
        return context | ({"aws:SourceArn": (source,)} if source else {})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
