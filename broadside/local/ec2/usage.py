"""Who still uses an image: usage reports about other accounts, and references in one's own.

The behaviour says who does (``images_in_use``); parameters of Parameter Store are looked at.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImageUsageReport.html,
API_DescribeImageUsageReportEntries.html, API_DescribeImageReferences.html, and the user guide's "View your AMI usage" and
"Identify your resources referencing specified AMIs"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from moto.ssm.models import ssm_backends
from moto.ssm.utils import parameter_arn

from broadside.local.behaviour import ImageUse
from broadside.local.ebs.store import new_id
from broadside.local.ec2 import errors
from broadside.local.ec2.cloud import Call, Cloud
from broadside.local.ec2.model import UsageReport
from broadside.local.ec2.query import View, page, present, select, tag_list
from broadside.local.ec2.validation import check_account_id, check_choice, check_image_id, tag_specifications

#: What a report can be about, and what a reference can come from.
REPORTED = ("ec2:Instance", "ec2:LaunchTemplate", "imagebuilder:ImageRecipe", "imagebuilder:ContainerRecipe")
REFERRING = (*REPORTED, "ssm:Parameter")

REPORT_FILTERS = {"creation-time": "CreationTime", "state": "State"}
ENTRY_FILTERS = {"account-id": "AccountId", "creation-time": "ReportCreationTime", "resource-type": "ResourceType"}
MOST_ACCOUNTS, MOST_IMAGES = 200, 10


def create(cloud: Cloud, call: Call) -> View:
    """CreateImageUsageReport: it takes a while.

    Raises:
        Ec2Error: InvalidAMIID.*; AuthFailure for another's image; MissingParameter; InvalidParameterValue.
    """
    image = cloud.own_image(call, call.need("ImageId"))
    kinds = _kinds(call.need("ResourceTypes"), REPORTED)
    accounts: list[str] = call.get("AccountIds", [])
    if len(accounts) > MOST_ACCOUNTS:
        raise errors.invalid_value(f"{len(accounts)} accounts are named; at most {MOST_ACCOUNTS} may be.")
    for account in accounts:
        check_account_id(account)
    tags = tag_specifications(call.get("TagSpecifications", []), ["image-usage-report"])["image-usage-report"]

    def make() -> View:
        now = cloud.now()
        report = UsageReport(
            report_id=new_id("iur"),
            owner_id=call.account_id,
            region=call.region,
            image_id=image.image_id,
            image_name=image.name,
            kinds=kinds,
            accounts=tuple(accounts),
            tags=tags,
            created=now,
            ready_at=now + cloud.behaviour.usage_report_seconds,
            failure="The report could not be created." if call.region in cloud.behaviour.failing_usage_reports else "",
        )
        cloud.reports[call.region][report.report_id] = report
        return {"ReportId": report.report_id}

    return cloud.once(call, "CreateImageUsageReport", make)


def delete(cloud: Cloud, call: Call) -> View:
    """DeleteImageUsageReport.

    Raises:
        Ec2Error: InvalidImageUsageReportId.NotFound.
    """
    report_id = call.need("ReportId")
    _asked(cloud, call, [report_id])
    del cloud.reports[call.region][report_id]
    return {"Return": True}


def describe(cloud: Cloud, call: Call) -> View:
    """DescribeImageUsageReports.

    Raises:
        Ec2Error: InvalidImageUsageReportId.NotFound; InvalidParameterValue for an unknown filter; InvalidPaginationToken.
    """
    shown = [_report(cloud, report) for report in _asked(cloud, call, call.get("ReportIds", []))]
    found = select(shown, call.get("Filters", []), REPORT_FILTERS)
    return page(call.parameters, "ImageUsageReports", found, "ReportId", range(1, 1001))


def entries(cloud: Cloud, call: Call) -> View:
    """DescribeImageUsageReportEntries: nothing of a report that is not available yet, or never will be.

    Raises:
        Ec2Error: as :func:`describe`.
    """
    reports = _asked(cloud, call, call.get("ReportIds", []))
    available = [report for report in reports if report.state(cloud.now()) == "available"]
    shown = [entry for report in available for entry in _entries(cloud, report)]
    found = select(shown, call.get("Filters", []), ENTRY_FILTERS)
    return page(call.parameters, "ImageUsageReportEntries", found, _KEY, range(1, 1001))


def references(cloud: Cloud, call: Call) -> View:
    """DescribeImageReferences: the caller's own resources that name the images.

    Raises:
        Ec2Error: MissingParameter; InvalidAMIID.Malformed; InvalidParameterValue; InvalidPaginationToken.
    """
    image_ids: list[str] = call.need("ImageIds")
    if len(image_ids) > MOST_IMAGES:
        raise errors.invalid_value(f"{len(image_ids)} images are named; at most {MOST_IMAGES} may be.")
    for image_id in image_ids:
        check_image_id(image_id)
    everything = call.get("IncludeAllResourceTypes", False)
    named = call.get("ResourceTypes", [])
    kinds = REFERRING if everything else _kinds(named or call.need("ResourceTypes"), REFERRING)
    found = [
        {_KEY: f"{image_id} {kind} {arn}", "ImageId": image_id, "ResourceType": kind, "Arn": arn}
        for image_id in image_ids
        for kind, arn in {*_said(cloud, call, image_id), *_parameters(call, image_id)}
        if kind in kinds
    ]
    return page(call.parameters, "ImageReferences", found, _KEY, range(5, 1001))


#: Orders what has no id of its own; the answer does not show it.
_KEY = "_Key"


def _kinds(asked: Sequence[Mapping[str, Any]], allowed: tuple[str, ...]) -> tuple[str, ...]:
    for one in asked:
        check_choice("resourceType", one.get("ResourceType", "null"), allowed)
    return tuple(one["ResourceType"] for one in asked)


def _asked(cloud: Cloud, call: Call, report_ids: Sequence[str]) -> list[UsageReport]:
    now = cloud.now()
    there = {
        key: report
        for key, report in cloud.reports[call.region].items()
        if report.owner_id == call.account_id and now < report.expires_at
    }
    for report_id in report_ids:
        if report_id not in there:
            raise errors.Ec2Error("InvalidImageUsageReportId.NotFound", f"The report '{report_id}' does not exist.")
    images = call.get("ImageIds", [])
    return [there[key] for key in dict.fromkeys(report_ids or there) if not images or there[key].image_id in images]


def _report(cloud: Cloud, report: UsageReport) -> View:
    state = report.state(cloud.now())
    return present(
        {
            "ReportId": report.report_id,
            "ImageId": report.image_id,
            "ResourceTypes": [{"ResourceType": kind} for kind in report.kinds],
            "AccountIds": list(report.accounts),
            "State": state,
            "StateReason": report.failure if state == "error" else None,
            "CreationTime": cloud.clock.date(report.created),
            "ExpirationTime": cloud.clock.date(report.expires_at),
            "Tags": tag_list(report.tags),
        }
    )


def _entries(cloud: Cloud, report: UsageReport) -> Iterable[View]:
    counts: dict[tuple[str, str], int] = {}
    for use in cloud.behaviour.images_in_use:
        wanted = use.type in report.kinds and (not report.accounts or use.account in report.accounts)
        if use.account and wanted and _meant(use, report.region, report.image_id, report.image_name):
            counts[use.account, use.type] = counts.get((use.account, use.type), 0) + use.count
    for (account, kind), count in counts.items():
        yield {
            _KEY: f"{report.report_id} {account} {kind}",
            "ReportId": report.report_id,
            "ImageId": report.image_id,
            "AccountId": account,
            "ResourceType": kind,
            "UsageCount": count,
            "ReportCreationTime": cloud.clock.date(report.created),
        }


def _said(cloud: Cloud, call: Call, image_id: str) -> Iterable[tuple[str, str]]:
    image = cloud.images[call.region].get(image_id)
    for use in cloud.behaviour.images_in_use:
        if use.arn and _meant(use, call.region, image_id, image.name if image else ""):
            yield use.type, use.arn


def _parameters(call: Call, image_id: str) -> Iterable[tuple[str, str]]:
    """The caller's parameters whose value is the image's id."""
    for name, versions in list(ssm_backends[call.account_id][call.region]._parameters.items()):
        if versions and versions[-1].parameter_type == "String" and versions[-1].value == image_id:
            yield "ssm:Parameter", parameter_arn(call.account_id, call.region, name)


def _meant(use: ImageUse, region: str, image_id: str, name: str) -> bool:
    return fnmatchcase(region, use.region) and (use.image == image_id or fnmatchcase(name, use.image))
