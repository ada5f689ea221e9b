"""Asking a wave's gate: a CloudWatch alarm, or a Lambda function of the release manager's own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from chalicelib import aws
from chalicelib.errors import CloudRefused
from chalicelib.index.records import Rollout


@dataclass(frozen=True)
class Gates:
    """The gates of an installation.  What cannot be asked is not healthy: a release stops rather than goes on blindly."""

    cloudwatch: aws.Client
    functions: aws.Client

    def ask(self, rollout: Rollout) -> tuple[bool, str]:
        """Whether all is well after the rollout's wave, and if not, why.

        Raises:
            CloudBusy: the gate is not to be reached now.
        """
        gate = rollout.waves[rollout.wave].gate
        if gate.kind == "alarm":
            return self._alarm(gate.target)
        if gate.kind == "function":
            return self._function(gate.target, rollout)
        return True, ""

    def _alarm(self, name: str) -> tuple[bool, str]:
        """INSUFFICIENT_DATA is no alarm: many alarms have no data as long as nothing happens (CloudWatch user guide)."""
        answer = self.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        found = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
        if not found:
            return False, f"there is no alarm {name}."
        if found[0]["StateValue"] == "ALARM":
            return False, f"the alarm {name} is raised: {found[0].get('StateReason', 'no reason given')}"
        return True, ""

    def _function(self, name: str, rollout: Rollout) -> tuple[bool, str]:
        wave = rollout.waves[rollout.wave]
        question = {"rollout": rollout.name, "builds": [str(build) for build in rollout.builds], "wave": wave.name}
        payload = json.dumps(question | {"regions": list(wave.regions)})
        try:
            answer = self.functions.invoke(FunctionName=name, Payload=payload)
        except CloudRefused as error:  # it is not there, or not ours to call
            return False, str(error)
        try:
            said = json.loads(answer["Payload"].read())
        except ValueError:
            said = None
        if not isinstance(said, dict) or "healthy" not in said:
            return False, f"the function {name} did not answer as a gate does: {str(said)[:200]}"
        return said["healthy"] is True, str(said.get("reason", "it says so"))
