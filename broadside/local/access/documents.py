"""Where policies lie: those of roles, buckets, queues and functions, read from moto."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from moto.awslambda.utils import get_backend
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

Policy = dict[str, Any]


def of_role(account: str, arn: str) -> list[Policy]:
    """What the role may do; nothing when there is no such role."""
    role = _role(account, arn)
    return [parsed(text) for text in role.policies.values()] if role else []


def trust_of_role(account: str, arn: str) -> list[Policy]:
    """Who may assume the role."""
    role = _role(account, arn)
    return [parsed(role.assume_role_policy_document)] if role else []


def of_bucket(account: str, name: str) -> list[Policy]:
    bucket = s3_backends[account]["aws"].buckets.get(name)
    return _listed(getattr(bucket, "policy", None))


def of_queue(account: str, arn: str) -> list[Policy]:
    """The policy of the queue, which may not exist."""
    region, name = arn.split(":")[3], arn.rpartition(":")[2]
    return _listed(getattr(sqs_backends[account][region].queues.get(name), "policy", None))


def of_function(account: str, arn: str) -> list[Policy]:
    """What AWS::Lambda::Permission has added to the function."""
    statements = get_backend(account, arn.split(":")[3]).get_function(arn).policy.statements
    return [{"Statement": list(statements)}] if statements else []


@lru_cache(maxsize=256)
def parsed(text: str) -> Policy:
    policy: Policy = json.loads(text)
    return policy


def _listed(policy: str | bytes | None) -> list[Policy]:
    return [parsed(policy.decode() if isinstance(policy, bytes) else policy)] if policy else []


def _role(account: str, arn: str) -> Any:
    name = arn.rpartition("/")[2]
    return next((role for role in iam_backends[account]["aws"].roles.values() if role.name == name), None)
