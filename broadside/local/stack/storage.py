"""Makers of buckets, tables, secrets, queues, logs and alarms."""

from __future__ import annotations

import json
from typing import Any

from broadside.local.stack.maker import Made, Properties, Workshop, makes


@makes("AWS::S3::Bucket")
def bucket(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("BucketName", shop.name(properties.logical_id).lower())
    s3 = shop.client("s3")
    location = {} if shop.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": shop.region}}
    s3.create_bucket(Bucket=name, **location)
    if versioning := properties.take("VersioningConfiguration"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
    if encryption := properties.take("BucketEncryption"):
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=_encryption(encryption))
    if ownership := properties.take("OwnershipControls"):
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=ownership)
    if block := properties.take("PublicAccessBlockConfiguration"):
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    if notification := properties.take("NotificationConfiguration"):
        s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=_notification(notification))
    if lifecycle := properties.take("LifecycleConfiguration"):
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=_lifecycle(lifecycle))
    if cors := properties.take("CorsConfiguration"):
        s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [_cors(rule) for rule in cors["CorsRules"]]})
    properties.without_effect("Tags")
    domain = f"{name}.s3.amazonaws.com"
    regional = f"{name}.s3.{shop.region}.amazonaws.com"
    return name, {"Arn": f"arn:aws:s3:::{name}", "DomainName": domain, "RegionalDomainName": regional}


def _encryption(value: dict[str, Any]) -> dict[str, Any]:
    rules = [
        {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    return {"Rules": rules}


def _notification(value: dict[str, Any]) -> dict[str, Any]:
    """Template and API differ: in the API the mere presence of EventBridgeConfiguration turns it on."""
    on = value["EventBridgeConfiguration"]["EventBridgeEnabled"]
    return {"EventBridgeConfiguration": {}} if on in (True, "true") else {}


def _lifecycle(value: dict[str, Any]) -> dict[str, Any]:
    rules = []
    for rule in value["Rules"]:
        moved = dict(rule)
        made = {"ID": moved.pop("Id"), "Filter": {"Prefix": moved.pop("Prefix", "")}}
        if "ExpirationInDays" in moved:
            made["Expiration"] = {"Days": int(moved.pop("ExpirationInDays"))}
        rules.append(made | moved)
    return {"Rules": rules}


def _cors(rule: dict[str, Any]) -> dict[str, Any]:
    names = {"MaxAge": "MaxAgeSeconds", "Id": "ID", "ExposedHeaders": "ExposeHeaders"}
    return {names.get(key, key): value for key, value in rule.items()}


@makes("AWS::S3::BucketPolicy")
def bucket_policy(shop: Workshop, properties: Properties) -> Made:
    name = properties.need("Bucket")
    shop.client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(properties.need("PolicyDocument")))
    return name, {}


@makes("AWS::DynamoDB::Table")
def table(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("TableName", shop.name(properties.logical_id))
    dynamodb = shop.client("dynamodb")
    arguments = properties.some(
        "AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema", "DeletionProtectionEnabled"
    )
    if stream := properties.take("StreamSpecification"):
        arguments["StreamSpecification"] = {"StreamEnabled": True, **stream}
    made = dynamodb.create_table(TableName=name, **arguments)["TableDescription"]
    if recovery := properties.take("PointInTimeRecoverySpecification"):
        dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
    if expiry := properties.take("TimeToLiveSpecification"):
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)
    properties.without_effect("SSESpecification", "Tags")
    attributes = {"Arn": made["TableArn"]}
    if "LatestStreamArn" in made:
        attributes["StreamArn"] = made["LatestStreamArn"]
    return name, attributes


@makes("AWS::SecretsManager::Secret")
def secret(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("Name", shop.name(properties.logical_id))
    made = shop.client("secretsmanager").create_secret(Name=name, **properties.some("Description", "SecretString"))
    properties.without_effect("KmsKeyId", "Tags")
    return made["ARN"], {"Id": made["ARN"]}


@makes("AWS::SQS::Queue")
def queue(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("QueueName", shop.name(properties.logical_id))
    attributes = properties.some(
        "DelaySeconds", "MessageRetentionPeriod", "RedrivePolicy", "SqsManagedSseEnabled", "VisibilityTimeout"
    )
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    made = shop.client("sqs").create_queue(QueueName=name, Attributes=texts)
    properties.without_effect("Tags")
    return made["QueueUrl"], {"Arn": shop.arn("sqs", name), "QueueName": name, "QueueUrl": made["QueueUrl"]}


@makes("AWS::SQS::QueuePolicy")
def queue_policy(shop: Workshop, properties: Properties) -> Made:
    policy = json.dumps(properties.need("PolicyDocument"))
    for url in properties.need("Queues"):
        shop.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return shop.name(properties.logical_id), {}


@makes("AWS::SNS::Topic")
def topic(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("TopicName", shop.name(properties.logical_id))
    arn = shop.client("sns").create_topic(Name=name)["TopicArn"]
    properties.without_effect("DisplayName", "KmsMasterKeyId", "Tags")
    return arn, {"TopicArn": arn, "TopicName": name}


@makes("AWS::Logs::LogGroup")
def log_group(shop: Workshop, properties: Properties) -> Made:
    """Only a name: the functions' logs are files in the state folder."""
    name = properties.take("LogGroupName", shop.name(properties.logical_id))
    properties.without_effect("RetentionInDays", "Tags")
    return name, {"Arn": shop.arn("logs", f"log-group:{name}:*")}


@makes("AWS::CloudWatch::Alarm")
def alarm(shop: Workshop, properties: Properties) -> Made:
    name = properties.take("AlarmName", shop.name(properties.logical_id))
    arguments = properties.some(
        "ActionsEnabled",
        "AlarmActions",
        "AlarmDescription",
        "ComparisonOperator",
        "Dimensions",
        "EvaluateLowSampleCountPercentile",
        "ExtendedStatistic",
        "InsufficientDataActions",
        "MetricName",
        "Metrics",
        "Namespace",
        "OKActions",
        "Statistic",
        "ThresholdMetricId",
        "TreatMissingData",
        "Unit",
    )
    numbers = properties.some("DatapointsToAlarm", "EvaluationPeriods", "Period")
    arguments |= {key: int(value) for key, value in numbers.items()}
    arguments |= {key: float(value) for key, value in properties.some("Threshold").items()}
    shop.client("cloudwatch").put_metric_alarm(AlarmName=name, **arguments)
    properties.without_effect("Tags")
    return name, {"Arn": shop.arn("cloudwatch", f"alarm:{name}")}


@makes("AWS::CloudWatch::Dashboard")
def dashboard(shop: Workshop, properties: Properties) -> Made:
    """There is no console to show it, but whoever asks gets its body."""
    name = properties.take("DashboardName", shop.name(properties.logical_id))
    if body := properties.take("DashboardBody"):
        shop.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=body)
    return name, {}
