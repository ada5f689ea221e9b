"""``broadside upload``: describe a build, sign it, upload it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from broadside.cli.common import App, ExitCode, client, make_console, print_json
from broadside.cli.progress import as_json, look, watch
from chalicelib.errors import BadManifest

if TYPE_CHECKING:  # slow to import, and here only for the annotations
    from rich.console import Console

    from broadside.upload import Draft, Receipt
    from chalicelib.builds.manifest import Manifest

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

#: Options that are fields of the manifest, and of its ec2 part.
FIELDS = frozenset(
    {
        "product",
        "stream",
        "serial",
        "label",
        "os",
        "release",
        "version",
        "arch",
        "release_codename",
        "release_title",
        "aliases",
        "supported",
        "support_eol",
    }
)
EC2_FIELDS = frozenset(
    {
        "format",
        "boot_mode",
        "imds",
        "tpm",
        "ena",
        "sriov",
        "root_device",
        "root_volume_type",
        "root_volume_size",
        "description",
    }
)


def _spelt(_ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The callback of an option that names the build: refuses what its field of the manifest would not take."""
    if value is None:
        return None
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - slow to import

    from chalicelib.builds.manifest import Product, Serial, Stream  # noqa: PLC0415

    kind, like = {
        "product": (Product, "com.example.cloud:server:24.04:amd64"),
        "stream": (Stream, "daily or released"),
        "serial": (Serial, "20261120 or 20261120.1, on a day that exists"),
    }[str(param.name)]
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise click.BadParameter(f"{value!r} is no {param.name} like {like}.") from error
    return value


@click.command(
    epilog="""\b
Examples:
  broadside upload disk.img --product com.example.cloud:server:24.04:amd64 --key builder@example.com --wait
  broadside upload disk.img --file root.tar.xz --product com.example.cloud:server:24.04:amd64 --stream released
  broadside upload --manifest build.yaml --serial 20261120.1
"""
)
@click.argument("image", type=FILE, required=False)
@click.option("--manifest", "description_file", type=FILE, help="A YAML file with the manifest's fields; options count more.")
@click.option("--file", "others", metavar="PATH[=FTYPE]", multiple=True, help="One more file of the build.")
@click.option("--product", metavar="NAME", callback=_spelt, help="For example com.example.cloud:server:24.04:amd64.")
@click.option("--stream", metavar="NAME", callback=_spelt, help="daily (the default), released, or another of yours.")
@click.option("--serial", metavar="YYYYMMDD[.N]", callback=_spelt, help="Today's date unless given.")
@click.option("--label", metavar="NAME", help="daily or release, by the stream, unless given.")
@click.option("--os", metavar="NAME", help="The second part of the product's domain unless given.")
@click.option("--release", metavar="NAME", help="Such as noble; the version unless given.")
@click.option("--version", metavar="VERSION", help="The product's third part unless given.")
@click.option("--arch", type=click.Choice(["amd64", "arm64"]), help="The product's last part unless given.")
@click.option("--codename", "release_codename", metavar="TEXT", help="Such as 'Noble Numbat'.")
@click.option("--title", "release_title", metavar="TEXT", help="Such as '24.04 LTS'.")
@click.option("--alias", "aliases", metavar="NAME", multiple=True, help="What readers may call it, besides.")
@click.option("--supported/--unsupported", default=None, help="Whether the release is supported.")
@click.option("--support-eol", metavar="YYYY-MM-DD", help="The last day of support.")
@click.option(
    "--format",
    type=click.Choice(["raw", "raw.gz", "raw.xz", "raw.zst", "qcow2", "vmdk", "vhd", "vhdx"]),
    help="The image's; what its content tells unless given.",
)
@click.option("--boot-mode", type=click.Choice(["uefi-preferred", "uefi", "legacy-bios"]), help="uefi-preferred if it can be.")
@click.option("--imds", type=click.Choice(["v2.0", "none"]), help="The instance metadata service to insist on; v2.0.")
@click.option("--tpm", type=click.Choice(["v2.0", "none"]), help="The NitroTPM to offer; none.")
@click.option("--ena/--no-ena", default=None, help="Enhanced networking with ENA; yes.")
@click.option("--sriov/--no-sriov", default=None, help="Enhanced networking with the Intel 82599; yes.")
@click.option("--root-device", type=click.Choice(["/dev/sda1", "/dev/xvda"]), help="/dev/sda1.")
@click.option("--volume-type", "root_volume_type", type=click.Choice(["gp3", "gp2", "standard"]), help="gp3.")
@click.option(
    "--volume-size", "root_volume_size", type=click.IntRange(min=1), metavar="GIB", help="8, or what the image needs."
)
@click.option("--description", metavar="TEMPLATE", help="The AMI's; it may name fields: '{os} {version} {arch}'.")
@click.option("--key", metavar="KEYID", help="The key to sign with; gpg's default key unless given.")
@click.option("--wait", is_flag=True, help="Show the publication until it has come to rest.")
@click.option("--dry-run", is_flag=True, help="Print the manifest and stop.")
@click.option("--json", "as_document", is_flag=True, help="One JSON document about what was done.")
@click.pass_context
def upload(
    ctx: click.Context,
    /,
    *,
    image: Path | None,
    description_file: Path | None,
    others: tuple[str, ...],
    key: str | None,
    wait: bool,
    dry_run: bool,
    as_document: bool,
    **said: Any,
) -> None:
    """Hash IMAGE, sign its manifest with your own gpg, upload both, and so have it published.

    Run it again after an interruption: it goes on where it stopped.  Nothing is uploaded when the manifest has a fault, or
    when the serial is taken by different content.
    """
    if image is None and description_file is None:
        raise click.UsageError("Give an IMAGE, or --manifest with its files.")
    app: App = ctx.obj
    console = make_console(sys.stderr if as_document or dry_run else None)
    draft = _draft(ctx, image, description_file, others, said)
    try:
        with _progress(console, "Hashing", draft.paths) as report:
            manifest = draft.manifest(report)
    except BadManifest as error:
        if description_file is not None:
            raise
        raise click.UsageError(str(error)) from error  # all of it came from the options
    if dry_run:
        print_json(manifest.model_dump(mode="json"))
        return
    receipt = _upload(app, console, draft, manifest, key)
    code = ExitCode.OK
    if wait:
        code = ExitCode(
            watch(app.stack, app.session, manifest.id, console, version_id=receipt.version_id if receipt else None)
        )
    if as_document:
        document = _document(app, manifest, receipt)
        print_json({**document, "publication": as_json(look(app.index, manifest.id))} if wait else document)
    raise click.exceptions.Exit(code)


def _draft(
    ctx: click.Context, image: Path | None, description_file: Path | None, others: tuple[str, ...], said: dict[str, Any]
) -> Draft:
    """What the file says, then what the options say."""
    from broadside.upload import Draft  # noqa: PLC0415 - imports pydantic and boto3

    given = {name: value for name, value in said.items() if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    fields = {name: list(value) if name == "aliases" else value for name, value in given.items() if name in FIELDS}
    ec2 = {name: None if value == "none" else value for name, value in given.items() if name in EC2_FIELDS}
    files: dict[Path, dict[str, Any]] = {}
    if image is not None:
        files[image] = {}
        ec2["image"] = image.name
    for other in others:
        path, _, ftype = other.partition("=")
        if not Path(path).is_file():
            raise click.BadParameter(f"{path} is not there, or is no file.", ctx, param_hint="--file")
        files[Path(path)] = {"ftype": ftype} if ftype else {}
    draft = Draft.read(description_file) if description_file else Draft({}, {}, {})
    return draft.with_(fields, ec2, files)


def _upload(app: App, console: Console, draft: Draft, manifest: Manifest, key: str | None) -> Receipt | None:
    """Sign and upload; None if the build is recorded already."""
    from broadside.upload import Transfer, clearsign_as_user, published, text  # noqa: PLC0415 - imports pydantic and boto3
    from broadside.upload.transfer import CONNECTIONS  # noqa: PLC0415

    record = published(app.index, manifest)
    if record is not None:
        console.print(f"{manifest.id} was uploaded before, with the same content.")
        return None
    signed = clearsign_as_user(text(manifest), key)  # first, so that nobody is asked for a passphrase an hour later
    transfer = Transfer(client(app.session, "s3", connections=CONNECTIONS), app.stack.builds_bucket)
    with _progress(console, "Uploading", draft.paths) as report:
        receipt = transfer.build(manifest, draft.paths, signed, report)
    console.print(f"Uploaded {manifest.id}.")
    return receipt


def _document(app: App, manifest: Manifest, receipt: Receipt | None) -> dict[str, Any]:
    return {
        "build": str(manifest.id),
        "bucket": app.stack.builds_bucket,
        "key": receipt.key if receipt else None,
        "version_id": receipt.version_id if receipt else None,
        "uploaded": list(receipt.uploaded) if receipt else [],
        "skipped": list(receipt.skipped) if receipt else [file.path for file in manifest.files],
    }


@contextmanager
def _progress(console: Console, what: str, paths: dict[str, Path]) -> Iterator[Callable[[str, int], None]]:
    """A bar for each file; silent where nobody sees it move."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {
            name: progress.add_task(f"{what} {name}", total=path.stat().st_size if path.exists() else None)
            for name, path in paths.items()
        }
        yield lambda name, count: progress.advance(tasks[name], count)
