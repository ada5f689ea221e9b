"""The signing key and its passphrase are in Secrets Manager and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

from broadside.packaging import build_template
from chalicelib.index.records import BuildState
from tests.e2e.site import Site, image


def test_nothing_that_is_kept_or_shown_holds_the_key_or_its_passphrase(site: Site) -> None:
    """Logs, state machine inputs and histories, the template, and every function's environment are searched."""
    build = site.upload(image(2, seed=9))
    site.wait_for(build, BuildState.PUBLIC)
    secrets = {site.signer.passphrase, *site.signer.private.splitlines()[3:6], site.builder.private.splitlines()[3]}
    shown = {
        "template": json.dumps(build_template()),
        "functions": json.dumps(site.session.client("lambda").list_functions()["Functions"], default=str),
        "executions": _executions(site),
    }
    logs = sorted((Path(site.cloud.state) / "logs").rglob("*"))
    assert logs, "the functions leave logs, else this test proves nothing"
    shown |= {str(log): log.read_text(errors="replace") for log in logs if log.is_file()}
    for where, text in shown.items():
        assert not [secret for secret in secrets if secret in text], where


def test_only_the_signing_function_is_told_where_the_secret_is(site: Site) -> None:
    """By a reference; the others have not even that."""
    told = [
        function["FunctionName"]
        for function in site.session.client("lambda").list_functions()["Functions"]
        if site.stack.signing_secret in json.dumps(function, default=str)
    ]
    assert [name for name in told if "PublishStreams" in name] == told
    assert len(told) == 1


def test_only_the_signing_function_asks_for_the_secret(site: Site) -> None:
    """In the whole journal of calls there is no other."""
    callers = {call["caller"] for call in site.calls_since(0) if call["service"] == "secretsmanager"}
    assert len(callers) == 1
    assert "PublishStreams" in callers.pop()


def _executions(site: Site) -> str:
    states = site.session.client("stepfunctions")
    found = []
    for execution in states.list_executions(stateMachineArn=site.stack.publish_state_machine)["executions"]:
        arn = execution["executionArn"]
        found += [states.describe_execution(executionArn=arn), states.get_execution_history(executionArn=arn)["events"]]
    return json.dumps(found, default=str)
