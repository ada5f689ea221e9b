"""What holds for every command: quick help, one sentence for every expected error, and the exit codes."""

from __future__ import annotations

import importlib
import subprocess
import sys

import botocore.exceptions
import click
import pytest
from click.testing import CliRunner

from broadside.cli import COMMANDS, main
from broadside.cli.common import ExitCode, Stack
from chalicelib.errors import BuildRefused, CloudBusy, CloudRefused, SetupWrong


def raising(error: BaseException) -> click.Command:
    @click.command()
    def status() -> None:
        raise error

    return status


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BuildRefused("The build is not acceptable."), ExitCode.FAILED),
        (CloudBusy("s3 got no answer."), ExitCode.CLOUD),
        (CloudRefused("s3 answered AccessDenied."), ExitCode.CLOUD),
        (SetupWrong("There is no stack."), ExitCode.CLOUD),
        (botocore.exceptions.NoCredentialsError(), ExitCode.CLOUD),
        (botocore.exceptions.ProfileNotFound(profile="x"), ExitCode.CLOUD),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), ExitCode.CLOUD),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_expected_errors_are_one_sentence(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    """An expected error is one line on standard error and an exit code that says whose fault it is, never a traceback."""
    monkeypatch.setattr(main, "get_command", lambda _context, _name: raising(error))
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.rstrip().endswith(".")


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not expected is not dressed up as the user's fault."""
    monkeypatch.setattr(main, "get_command", lambda _context, _name: raising(ZeroDivisionError()))
    assert isinstance(CliRunner().invoke(main, ["status"]).exception, ZeroDivisionError)


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the embedded cloud's packages, the command that needs them says how to get them."""

    def without_moto(name: str) -> None:
        raise ModuleNotFoundError(f"No module named 'moto' (wanted by {name})", name="moto.server")

    monkeypatch.setattr(importlib, "import_module", without_moto)
    result = CliRunner().invoke(main, ["local"])
    assert result.exit_code == ExitCode.FAILED
    assert "pip install '.[local]'" in result.stderr


def test_help_needs_neither_boto3_nor_pydantic() -> None:
    """The help comes at once: importing the root group imports no big package."""
    script = "import sys, broadside.cli; print([name for name in ('boto3', 'pydantic', 'moto') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_help_lists_every_command() -> None:
    """Each command is in the help, with a line of its own."""
    text = CliRunner().invoke(main, ["--help"]).stdout
    assert all(f"\n  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples(name: str) -> None:
    """Each command's own help ends in examples that can be copied."""
    command = getattr(importlib.import_module(f"broadside.cli.{name}"), name)
    shown = [command, *(command.commands.values() if isinstance(command, click.Group) else [])]
    assert any("example" in f"{each.epilog} {each.help}".lower() for each in shown)


def test_usage_errors_exit_with_2() -> None:
    """A command that does not exist is a usage error."""
    assert CliRunner().invoke(main, ["publish"]).exit_code == ExitCode.USAGE


def test_no_region_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any Region set, the user hears how to set one."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == ExitCode.CLOUD
    assert "give --region" in result.stderr


def test_a_stack_that_is_not_ours_is_said_so() -> None:
    """Outputs that are missing are named, instead of failing later with an empty bucket name."""
    with pytest.raises(SetupWrong, match=r"'web' has no output BuildsBucket"):
        Stack.from_outputs("web", {"Url": "https://example.com"})
