"""Logs, traces and metrics of the functions; only the handlers use it."""

from __future__ import annotations

from aws_lambda_powertools import Logger, Tracer, single_metric
from aws_lambda_powertools.metrics import MetricUnit

#: Not the package's name: the logger is named after the service, and would print what all of ``broadside.*`` logs.
SERVICE = "broadside-publisher"

logger = Logger(service=SERVICE)
#: Each function is a segment; its calls are none: a shard makes hundreds of them from many threads.
tracer = Tracer(service=SERVICE, auto_patch=False)


def count(name: str) -> None:
    """Count one occurrence in the metric ``name`` of the namespace ``Broadside``, for the alarms of the template."""
    with single_metric(name=name, unit=MetricUnit.Count, value=1, namespace="Broadside"):
        pass
