"""Lets a call through or not: by the policy of the calling function's role, and by the policy of the bucket it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as changed
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket, s3_backends

from broadside.local.access import documents
from broadside.local.access.needs import needs
from broadside.local.access.policy import EVERYBODY, Decision, Request, evaluate
from broadside.local.calls import Call, Environ
from broadside.local.functions.pool import Function
from broadside.local.patching import replace

_BUCKET = "arn:aws:s3:::"


class Guard:
    """Reads roles and buckets from moto.  ``enforced`` says whether functions are held to their roles."""

    def __init__(self, account: str, enforced: Callable[[], bool]) -> None:
        self._account = account
        self._enforced = enforced

    def install(self) -> None:
        """Keep moto from judging by bucket policies, whose conditions it does not read."""
        replace(FakeBucket, get_permission=lambda *_arguments: PermissionResult.PERMITTED)

    def __call__(self, function: Function | None, call: Call, environ: Environ) -> str | None:
        """Why the call is refused, or None.  ``function`` is None for a caller from outside, who may do everything."""
        if function is None and call.service != "s3":
            return None
        held = function is not None and self._enforced()
        for need in self._needs(call, environ):
            principal = EVERYBODY if not call.key else function.role if function else f"arn:aws:iam::{self._account}:root"
            verdicts = {evaluate(self._bucket_policies(need.resource), changed(need, principal=principal))}
            if held and function is not None:
                verdicts.add(evaluate(documents.of_role(self._account, function.role), need))
            if Decision.DENY in verdicts:
                return _reason(principal, need, "an explicit deny")
            if not call.key and (verdicts != {Decision.ALLOW} or self._restricted(need.resource)):
                return "Access Denied"
            if held and Decision.ALLOW not in verdicts:
                return _reason(principal, need, "no policy that allows it")
        return None

    def _needs(self, call: Call, environ: Environ) -> list[Request]:
        """To be told that an object is missing, one has to be allowed to list its bucket; others get 403 instead of 404."""
        wanted = needs(call, environ, self._account)
        for need in list(wanted):
            bucket = self._bucket(need.resource)
            key = need.resource.partition("/")[2]
            if need.action == "s3:GetObject" and bucket is not None and bucket.keys.get(key) is None:
                wanted.append(changed(need, action="s3:ListBucket", resource=need.resource.partition("/")[0]))
        return wanted

    def _bucket_policies(self, resource: str) -> list[documents.Policy]:
        if not resource.startswith(_BUCKET):
            return []
        return documents.of_bucket(self._account, resource.removeprefix(_BUCKET).partition("/")[0])

    def _restricted(self, resource: str) -> bool:
        block = getattr(self._bucket(resource), "public_access_block", None)
        return block is not None and str(block.restrict_public_buckets).lower() == "true"

    def _bucket(self, resource: str) -> Any:
        if not resource.startswith(_BUCKET):
            return None
        name = resource.removeprefix(_BUCKET).partition("/")[0]
        return s3_backends[self._account]["aws"].buckets.get(name)


def _reason(principal: str, need: Request, why: str) -> str:
    who = principal.replace(":role/", ":assumed-role/")
    return f"User: {who} is not authorized to perform: {need.action} on resource: {need.resource} because of {why}"
