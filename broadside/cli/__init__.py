"""The ``broadside`` command: the root group, which loads each subcommand only when it is called for."""

from __future__ import annotations

import importlib
from importlib.metadata import version

import click

from broadside.cli.common import App, ExitCode, explain

#: Every command and its line in ``broadside --help``.  The module ``broadside.cli.<name>`` exports a click command of that
#: name; it is imported when the command is called, so that the help needs neither boto3 nor pydantic.
COMMANDS = {
    "demo": "Publish a disk image to every Region of an embedded cloud, here and now.",
    "upload": "Sign a build and upload it.",
    "status": "Show how builds stand, Region by Region.",
    "images": "Find AMIs by product, Region, architecture or serial.",
    "release": "Let held builds out, at once or in waves.",
    "withdraw": "Take builds back.",
    "history": "Show what was done with a build.",
    "retry": "Try again where the publication of a build failed.",
    "cost": "Show what publishing a build costs, written directly and copied.",
    "diff": "Tell which blocks of an image changed since the last build.",
    "local": "Run the embedded cloud on this machine.",
}

#: Packages that only the commands `local` and `demo` need.
LOCAL_PACKAGES = frozenset(
    {
        "aws_lambda_powertools",
        "aws_xray_sdk",
        "chalice",
        "cheroot",
        "flask",
        "moto",
        "samtranslator",
        "simplestreams",
        "werkzeug",
    }
)


class Root(click.Group):
    """Loads subcommands lazily and turns every expected error into one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        try:
            module = importlib.import_module(f"broadside.cli.{cmd_name}")
        except ModuleNotFoundError as error:
            _explain_missing(error, cmd_name)
            raise
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            _explain_missing(error, ctx.invoked_subcommand or "this command")
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(ExitCode.INTERRUPTED)
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            sentence, code = explained
            click.echo(f"broadside: {sentence}", err=True)
            ctx.exit(code)


def _explain_missing(error: ModuleNotFoundError, command: str) -> None:
    """Say how to install an optional package that is missing; return when it is something else, and so a mistake of ours."""
    if (error.name or "").split(".")[0] in LOCAL_PACKAGES:
        raise click.ClickException(
            f"{command} needs the embedded cloud's packages: in a checkout of Broadside, pip install '.[local]'."
        ) from error


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--stack",
    envvar="BROADSIDE_STACK",
    default="broadside",
    show_default=True,
    help="The CloudFormation stack to use, or BROADSIDE_STACK.",
)
@click.option("--profile", metavar="NAME", help="The AWS profile to use.")
@click.option("--region", envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], metavar="NAME", help="The Region of the stack.")
@click.version_option(version("broadside"), prog_name="broadside")
@click.pass_context
def main(ctx: click.Context, stack: str, profile: str | None, region: str | None) -> None:
    """Publish operating system images to every cloud Region the moment a build is uploaded.

    Credentials, profile and endpoint come from where the AWS CLI takes them.
    """
    ctx.obj = App(stack_name=stack, profile=profile, region=region)
