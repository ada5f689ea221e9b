"""What permissions a call needs: the actions and resources that IAM checks for it, from the request alone.

Sources: "Actions, resources, and condition keys" of each service in the Service Authorization Reference, and S3's "Required
permissions for Amazon S3 API operations".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

from broadside.local.access.policy import Request
from broadside.local.calls import Call, Environ, body

#: S3 operations whose permission has another name; what is on a key and not here is allowed by an action of its own name.
_S3 = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}

#: Fields of JSON requests that name the resource, with the ARN's service and the resource part before the name.
_FIELDS = {
    "dynamodb": (("TableName", "dynamodb", "table/"), ("ResourceArn", "", "")),
    "states": (("stateMachineArn", "", ""), ("executionArn", "", ""), ("resourceArn", "", "")),
    "secretsmanager": (("SecretId", "secretsmanager", "secret:"),),
    "sns": (("TopicArn", "", ""),),
    "ssm": (("Name", "ssm", "parameter/"), ("Path", "ssm", "parameter/"), ("ResourceId", "ssm", "parameter/")),
}

#: EC2 actions of this kind know no resources: only a policy for ``*`` allows them.
_EC2_WITHOUT_RESOURCES = ("Describe", "Get", "List")


def needs(call: Call, environ: Environ, account: str) -> list[Request]:
    """What must be allowed, all of it, for this call to be made."""
    return _SERVICES.get(call.service, _other)(call, environ, account)


def _objects(call: Call, environ: Environ, _account: str) -> list[Request]:
    context = {"aws:SecureTransport": ("true",)}  # nothing on loopback is overheard
    return [Request(action, resource, context=context) for action, resource in _s3(call, environ)]


def _function(call: Call, environ: Environ, account: str) -> list[Request]:
    name = unquote(environ["PATH_INFO"].split("/functions/")[-1].split("/")[0]).rpartition(":")[2]
    action = "InvokeFunction" if call.action == "Invoke" else call.action
    return [Request(f"lambda:{action}", _arn("lambda", call.region, account, f"function:{name}"))]


def _other(call: Call, environ: Environ, account: str) -> list[Request]:
    return [Request(f"{call.service}:{call.action}", resource) for resource in _json_resources(call, environ, account)]


def _s3(call: Call, environ: Environ) -> Iterator[tuple[str, str]]:
    bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    name = _S3.get(call.action, call.action)
    if "versionId" in query and name in ("GetObject", "DeleteObject", "GetObjectTagging"):
        name = name.replace("Object", "ObjectVersion", 1) if name == "GetObjectTagging" else f"{name}Version"
    yield f"s3:{name}", f"arn:aws:s3:::{bucket}/{_utf8(key)}" if key else f"arn:aws:s3:::{bucket}" if bucket else "*"
    if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
        path, _, version = unquote(source).lstrip("/").partition("?versionId=")
        yield "s3:GetObjectVersion" if version else "s3:GetObject", f"arn:aws:s3:::{path}"


def _utf8(text: str) -> str:
    """WSGI hands a path over as Latin-1 (PEP 3333)."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


#: What looking for references to an image in resources of a type needs.
_REFERENCES = {
    "ec2:Instance": ("ec2:DescribeInstances",),
    "ec2:LaunchTemplate": ("ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions"),
    "imagebuilder:ContainerRecipe": ("imagebuilder:ListContainerRecipes", "imagebuilder:GetContainerRecipe"),
    "imagebuilder:ImageRecipe": ("imagebuilder:ListImageRecipes",),
    "ssm:Parameter": ("ssm:DescribeParameters", "ssm:GetParameters"),
}


def _references(form: dict[str, str]) -> list[Request]:
    """As the managed policy AmazonEC2ImageReferencesAccessPolicy has it, for the types that are asked for."""
    named = {value for key, value in form.items() if re.fullmatch(r"ResourceType\.\d+\.ResourceType", key)}
    kinds = _REFERENCES.keys() if form.get("IncludeAllResourceTypes", "").lower() == "true" else named & _REFERENCES.keys()
    actions = ["ec2:DescribeImageReferences", *(action for kind in sorted(kinds) for action in _REFERENCES[kind])]
    return [Request(action, "*") for action in actions]


def _ec2(call: Call, environ: Environ, account: str) -> list[Request]:
    form = dict(parse_qsl(body(environ).decode()))
    if call.action == "DescribeImageReferences":
        return _references(form)
    if call.action.startswith(_EC2_WITHOUT_RESOURCES):
        return [Request(f"ec2:{call.action}", "*")]
    kind = "snapshot" if "Snapshot" in call.action else "image"
    if call.action == "CreateTags":
        kind = "snapshot" if form.get("ResourceId.1", "").startswith("snap-") else "image"
        return _tagged("ec2:CreateTags", _ec2_resource(call, kind), _tags(form))
    prefixes = [key.removesuffix("ResourceType") for key in form if re.fullmatch(r"TagSpecification\.\d+\.ResourceType", key)]
    specified = {form[f"{prefix}ResourceType"]: _tags(form, prefix) for prefix in prefixes}
    wanted = _tagged(f"ec2:{call.action}", _ec2_resource(call, kind), specified.pop(kind, {}))
    for other, tags in specified.items():
        wanted += _tagged(f"ec2:{call.action}", _ec2_resource(call, other), tags)
    if call.action == "CreateImageUsageReport":
        wanted.append(Request(f"ec2:{call.action}", _arn("ec2", call.region, account, "image-usage-report/report")))
    if call.action == "DeleteImageUsageReport":
        return [Request(f"ec2:{call.action}", _arn("ec2", call.region, account, "image-usage-report/report"))]
    if call.action == "RegisterImage":
        wanted.append(Request("ec2:RegisterImage", _ec2_resource(call, "snapshot")))
    if form.get("DeleteAssociatedSnapshots", "").lower() == "true":
        wanted.append(Request("ec2:DeleteSnapshot", _ec2_resource(call, "snapshot")))
    return wanted


def _ec2_resource(call: Call, kind: str) -> str:
    """Which one it is, is not said: its tags are not looked at either."""
    return f"arn:aws:ec2:{call.region}::{kind}/{kind}"


def _tags(form: dict[str, str], prefix: str = "") -> dict[str, str]:
    """The tags of a request, or of one of its specifications."""
    keys = [key for key in form if re.fullmatch(re.escape(prefix) + r"Tag\.\d+\.Key", key)]
    return {form[key]: form.get(key.removesuffix("Key") + "Value", "") for key in keys}


def _ebs(call: Call, environ: Environ, _account: str) -> list[Request]:
    match = re.match(r"/snapshots/(?:completion/)?([^/]+)", environ["PATH_INFO"])
    name = match[1] if match else "snapshot"
    tags = {}
    if call.action == "StartSnapshot":
        tags = {tag["Key"]: tag["Value"] for tag in json.loads(body(environ)).get("Tags", [])}
    return _tagged(f"ebs:{call.action}", f"arn:aws:ec2:{call.region}::snapshot/{name}", tags)


def _tagged(action: str, resource: str, tags: dict[str, str]) -> list[Request]:
    """Tags that come with a call need ec2:CreateTags beside its own permission."""
    context = _tag_context(tags)
    wanted = [Request(action, resource, context=context)]
    if tags and action != "ec2:CreateTags":
        created_by = {"ec2:CreateAction": (action.partition(":")[2],)}
        wanted.append(Request("ec2:CreateTags", resource, context=context | created_by))
    return wanted


def _ssm(call: Call, environ: Environ, account: str) -> list[Request]:
    """Tags that come with a parameter need ssm:AddTagsToResource beside ssm:PutParameter."""
    content = _json(environ)
    context = _tag_context({tag["Key"]: tag["Value"] for tag in content.get("Tags") or []})
    actions = [call.action, "AddTagsToResource"] if call.action == "PutParameter" and context else [call.action]
    names = content.get("Names")
    resources = (
        [_arn("ssm", call.region, account, f"parameter/{name.lstrip('/')}") for name in names]
        if names
        else _json_resources(call, environ, account)
    )
    return [Request(f"ssm:{action}", resource, context=context) for action in actions for resource in resources]


def _tag_context(tags: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """The condition keys of the tags that a request carries."""
    context: dict[str, tuple[str, ...]] = {f"aws:RequestTag/{key}": (value,) for key, value in tags.items()}
    return context | {"aws:TagKeys": tuple(tags)} if tags else context


def _json(environ: Environ) -> dict[str, Any]:
    try:
        content = json.loads(body(environ) or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _json_resources(call: Call, environ: Environ, account: str) -> list[str]:
    content = _json(environ)
    if call.service == "dynamodb" and "TransactItems" in content:
        tables = {next(iter(item.values()))["TableName"] for item in content["TransactItems"]}
        return [_arn("dynamodb", call.region, account, f"table/{table}") for table in sorted(tables)]
    if call.service == "sqs":
        return [_arn("sqs", call.region, account, str(content.get("QueueUrl", "*")).rpartition("/")[2])]
    for name, service, prefix in _FIELDS.get(call.service, ()):
        if name in content:
            value = str(content[name])
            return [value if value.startswith("arn:") else _arn(service, call.region, account, prefix + value.lstrip("/"))]
    return ["*"]


def _arn(service: str, region: str, account: str, resource: str) -> str:
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def _scheduler(call: Call, environ: Environ, account: str) -> list[Request]:
    """A schedule is its group's; whoever gives it a role must be allowed to pass that on."""
    content = _json(environ)
    kind, _, name = str(environ["PATH_INFO"]).strip("/").partition("/")
    if not name:
        return [Request(f"scheduler:{call.action}", "*")]
    if kind == "schedule-groups":
        return [
            Request(f"scheduler:{call.action}", _arn("scheduler", call.region, account, f"schedule-group/{unquote(name)}"))
        ]
    asked = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    group = content.get("GroupName") or asked.get("groupName") or "default"
    resource = _arn("scheduler", call.region, account, f"schedule/{group}/{unquote(name)}")
    wanted = [Request(f"scheduler:{call.action}", resource)]
    if role := (content.get("Target") or {}).get("RoleArn"):
        wanted.append(Request("iam:PassRole", role, context={"iam:PassedToService": ("scheduler.amazonaws.com",)}))
    return wanted


def _identity(call: Call, environ: Environ, _account: str) -> list[Request]:
    """Whose credentials one wants is the resource."""
    if call.action == "GetCallerIdentity":
        return []
    return [Request(f"sts:{call.action}", dict(parse_qsl(body(environ).decode())).get("RoleArn", "*"))]


def _quota(call: Call, environ: Environ, account: str) -> list[Request]:
    """Asking for more names a quota, looking at quotas does not."""
    content = _json(environ)
    if call.action != "RequestServiceQuotaIncrease":
        return [Request(f"servicequotas:{call.action}", "*")]
    quota = f"{content.get('ServiceCode')}/{content.get('QuotaCode')}"
    return [Request(f"servicequotas:{call.action}", _arn("servicequotas", call.region, account, quota))]


def _monitoring(call: Call, _environ: Environ, account: str) -> list[Request]:
    """Which alarms a request is about is not looked at: it is about any."""
    alarms = _arn("cloudwatch", call.region, account, "alarm:*")
    return [Request(f"cloudwatch:{call.action}", alarms if "Alarm" in call.action else "*")]


_SERVICES: dict[str, Callable[[Call, Environ, str], list[Request]]] = {
    "cloudwatch": _monitoring,
    "ebs": _ebs,
    "ec2": _ec2,
    "lambda": _function,
    "s3": _objects,
    "scheduler": _scheduler,
    "servicequotas": _quota,
    "ssm": _ssm,
    "sts": _identity,
}
