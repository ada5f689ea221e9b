"""CloudWatch's alarms, as far as a health gate asks: they say what SetAlarmState has told them.

Nothing is measured here: before that, an alarm says what it makes of missing data.

Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html, API_PutMetricAlarm.html
"""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.models import CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from broadside.local.patching import replace

_WITHOUT_DATA = {"breaching": "ALARM", "notBreaching": "OK"}


def install() -> None:
    """Let alarms begin as AWS's do, and DescribeAlarms keep to everything that it is asked for."""
    put = CloudWatchBackend.put_metric_alarm

    def put_metric_alarm(self: Any, *arguments: Any, **options: Any) -> Any:
        """moto calls every alarm OK that was put."""
        name = options.get("name")
        had = self.alarms.get(name)
        alarm = put(self, *arguments, **options)
        if had is None:
            state = _WITHOUT_DATA.get(options.get("treat_missing_data") or "", "INSUFFICIENT_DATA")
            alarm.update_state("Unchecked: Initial alarm creation", "{}", state)
        else:
            alarm.state_value, alarm.state_reason = had.state_value, had.state_reason
        return alarm

    replace(CloudWatchBackend, put_metric_alarm=put_metric_alarm)
    replace(CloudWatchResponse, describe_alarms=_describe_alarms)


def _describe_alarms(response: Any) -> ActionResult:
    """moto looks at one criterion only."""
    names, prefix = response._get_param("AlarmNames"), response._get_param("AlarmNamePrefix") or ""
    state, action = response._get_param("StateValue"), response._get_param("ActionPrefix")
    kinds = response._get_param("AlarmTypes") or ["MetricAlarm"]  # there are no composite ones
    found = [
        alarm
        for alarm in response.cloudwatch_backend.describe_alarms()
        if (not names or alarm.name in names)
        and alarm.name.startswith(prefix)
        and state in (None, alarm.state_value)
        and (not action or any(one.startswith(action) for one in alarm.alarm_actions))
    ]
    return ActionResult({"MetricAlarms": found if "MetricAlarm" in kinds else []})
