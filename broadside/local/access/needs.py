"""What permissions a call needs: the actions and resources that IAM checks for it, from the request alone.

Sources: "Actions, resources, and condition keys" of each service in the Service Authorization Reference, and S3's "Required
permissions for Amazon S3 API operations".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
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
    "ssm": (("Name", "ssm", "parameter/"),),
}

#: EC2 actions of this kind know no resources: only a policy for ``*`` allows them.
_EC2_WITHOUT_RESOURCES = ("Describe", "Get", "List")


def needs(call: Call, environ: Environ, account: str) -> list[Request]:
    """What must be allowed, all of it, for this call to be made."""
    context = {"aws:SecureTransport": ("true",)}  # nothing on loopback is overheard
    if call.service == "s3":
        return [Request(action, resource, context=context) for action, resource in _s3(call, environ)]
    if call.service == "ec2":
        return _ec2(call, dict(parse_qsl(body(environ).decode())))
    if call.service == "ebs":
        return _ebs(call, environ)
    if call.service == "lambda":
        name = unquote(environ["PATH_INFO"].split("/functions/")[-1].split("/")[0]).rpartition(":")[2]
        resource = f"arn:aws:lambda:{call.region}:{account}:function:{name}"
        return [Request("lambda:InvokeFunction" if call.action == "Invoke" else f"lambda:{call.action}", resource)]
    if call.service in ("sts", "cloudformation") and call.action == "GetCallerIdentity":
        return []
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


def _ec2(call: Call, form: dict[str, str]) -> list[Request]:
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


def _ebs(call: Call, environ: Environ) -> list[Request]:
    match = re.match(r"/snapshots/(?:completion/)?([^/]+)", environ["PATH_INFO"])
    name = match[1] if match else "snapshot"
    tags = {}
    if call.action == "StartSnapshot":
        tags = {tag["Key"]: tag["Value"] for tag in json.loads(body(environ)).get("Tags", [])}
    return _tagged(f"ebs:{call.action}", f"arn:aws:ec2:{call.region}::snapshot/{name}", tags)


def _tagged(action: str, resource: str, tags: dict[str, str]) -> list[Request]:
    """Tags that come with a call need ec2:CreateTags beside its own permission."""
    context: dict[str, tuple[str, ...]] = {f"aws:RequestTag/{key}": (value,) for key, value in tags.items()}
    if tags:
        context["aws:TagKeys"] = tuple(tags)
    wanted = [Request(action, resource, context=context)]
    if tags and action != "ec2:CreateTags":
        created_by = {"ec2:CreateAction": (action.partition(":")[2],)}
        wanted.append(Request("ec2:CreateTags", resource, context=context | created_by))
    return wanted


def _json_resources(call: Call, environ: Environ, account: str) -> list[str]:
    try:
        content: Any = json.loads(body(environ) or b"{}")
    except ValueError:
        return ["*"]
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
