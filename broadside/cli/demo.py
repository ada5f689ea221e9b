"""``broadside demo``: the whole of it, here and now, on an embedded cloud."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from broadside.cli import checks
from broadside.cli.checks import Published
from broadside.cli.common import ExitCode, Stack, client, free_port, make_console, plural
from broadside.cli.progress import look, region_table, watch
from broadside.cli.story import Story
from broadside.disk import make_disk
from broadside.keys import Key, new_key
from broadside.proof import NotProven, version_entry
from broadside.upload import Draft, Transfer, clearsign_as_user, text
from broadside.upload.transfer import CONNECTIONS
from chalicelib.errors import BadManifest, SetupWrong
from chalicelib.names import BuildId

if TYPE_CHECKING:  # slow to import, and here only for the annotation
    from boto3.session import Session

    from broadside.local.cloud import LocalCloud

PRODUCT = "com.example.cloud:server:24.04:amd64"
STREAM = "daily"
#: Seconds until the query file must name what is public.
PATIENCE = 60
#: Seconds between two looks: everything is near.
INTERVAL = 0.25
#: Items of the query file's entry that are shown.
SHOWN_ITEMS = 2


@click.command(
    epilog="""\b
Examples:
  broadside demo
  broadside demo --image my-os.raw --keep
  broadside demo --behaviour slow-regions.yaml
"""
)
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A raw disk image to publish.")
@click.option("--keep", is_flag=True, help="Leave the embedded cloud running, and print how to reach it.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    callback=free_port,
    help="The embedded cloud's port; 0 takes a free one.",
)
@click.option(
    "--behaviour", metavar="PROFILE|FILE", help="How the embedded cloud behaves: durations, quotas, throttles, faults."
)
def demo(image: Path | None, keep: bool, port: int, behaviour: str | None) -> None:
    """Publish a disk image to every Region of an embedded cloud on this machine, and check the result.

    Needs no account and no network.  The exit code is 0 only if every Region's AMI is public, real readers verify the query
    file, and what is behind the AMIs equals the image byte for byte.
    """
    build = BuildId(PRODUCT, STREAM, f"{datetime.now(UTC):%Y%m%d}")
    if image is not None:
        acceptable(build, image)
    console = make_console()
    story = Story(console)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.INTERRUPTED))  # so that the cloud is stopped, too
    with ExitStack() as held:
        state = Path(tempfile.mkdtemp(prefix="broadside-"))
        held.callback(shutil.rmtree, state, ignore_errors=True)
        with story.step("Embedded cloud") as step:
            cloud = start_cloud(state, port, behaviour, keep=keep)
            held.callback(cloud.stop)
            session, stack = reach(cloud)
            step.detail = f"{plural(len(client(session, 'ec2').describe_regions()['Regions']), 'Region')} at {cloud.endpoint}"
        with story.step("Keys") as step:
            builder, signer = new_key("builder"), new_key("signer")
            held.callback(builder.destroy)
            held.callback(signer.destroy)
            install_keys(session, stack, builder, signer)
            keyring = state / "signer.gpg"
            keyring.write_bytes(signer.public)
            step.detail = "throw-away ones, for the builder and for the query file"
        with story.step("Disk image") as step:
            image = image or made(state / "disk.img")
            step.detail = f"{image.name}, {image.stat().st_size:,} bytes"
        published = Published(session, stack, build, image, keyring)
        publish(story, console, published, builder)
        show(story, console, published)
        prove(story, published)
        conclude(story, console)
        if keep:
            console.print(kept(cloud.environment | {"GNUPGHOME": str(builder.home)}, cloud.ready["pid"], state, builder.home))
            held.pop_all()
            signer.destroy()  # the cloud has its own copy
    raise click.exceptions.Exit(ExitCode.FAILED if story.failures else ExitCode.OK)


# --- Setting up ----------------------------------------------------------------------------------------------------


def start_cloud(state: Path, port: int, behaviour: str | None, *, keep: bool = False) -> LocalCloud:
    """The embedded cloud, started; with ``keep`` it outlives this process.

    Raises:
        BadParameter: there is no such behaviour.
        ModuleNotFoundError: its packages are not installed.
        SetupWrong: it does not start; the sentence says why.
    """
    import moto  # noqa: F401, PLC0415 - the cloud's process needs it; whether it is there is better known here

    from broadside.local import behaviour as behaviours  # noqa: PLC0415
    from broadside.local.cloud import LocalCloud, LocalCloudFailed  # noqa: PLC0415

    try:
        behaviours.load(behaviour)
    except behaviours.BadBehaviour as error:
        raise click.BadParameter(str(error), param_hint="--behaviour") from error
    options = ["--port", str(port), *(["--behaviour", behaviour] if behaviour else []), *(["--on-its-own"] if keep else [])]
    try:
        return LocalCloud(state=state, options=tuple(options)).start()
    except LocalCloudFailed as error:
        raise SetupWrong(str(error)) from error


def reach(cloud: LocalCloud) -> tuple[Session, Stack]:
    """A session at the embedded cloud, and the stack that is there."""
    from boto3.session import Session  # noqa: PLC0415 - slow to import

    point_at(cloud.environment)
    session = Session()
    return session, Stack.find(str(cloud.ready["stack"]), session)


def point_at(environment: Mapping[str, str]) -> None:
    """Point this process, and what it starts, at the embedded cloud and away from whatever account the user has."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, **environment}
    os.environ |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def install_keys(session: Session, stack: Stack, builder: Key, signer: Key) -> None:
    """Put the keys where an operator puts them: see docs/deploy.md."""
    client(session, "s3").put_object(Bucket=stack.work_bucket, Key="keyrings/builders.gpg", Body=builder.public)
    secret = json.dumps({"private_key": signer.private, "passphrase": ""})
    client(session, "secretsmanager").put_secret_value(SecretId=stack.signing_secret, SecretString=secret)


def made(path: Path) -> Path:
    """A disk image, made on the spot."""
    make_disk(path)
    return path


# --- The acts ------------------------------------------------------------------------------------------------------


def publish(story: Story, console: Console, published: Published, builder: Key) -> None:
    """Upload the build, and show how every Region comes to its AMI."""
    with story.step("Upload") as step:
        upload(published, builder)
        step.detail = f"serial {published.build.serial}, signed by {builder.fingerprint[-16:]}"
    with story.step("Publication", drawn=True) as step:
        watch(published.stack, published.session, published.build, console, brief=True, interval=INTERVAL)
        step.detail = f"{plural(len(published.public()), 'Region')} public"
    with story.step("Query file") as step:
        address = f"{published.stack.public_url.rstrip('/')}/streams/v1/index.sjson"
        step.detail = address if is_named(published) else f"does not name what is public after {PATIENCE} s: {address}"


def draft_of(build: BuildId, image: Path) -> Draft:
    """What the demonstration says of the image."""
    fields = {
        "release": "noble",
        "release_codename": "Noble Numbat",
        "release_title": "24.04 LTS",
        "support_eol": "2029-05-31",
    }
    return Draft.of(image, product=build.product, stream=build.stream, serial=build.serial, **fields)


def acceptable(build: BuildId, image: Path) -> None:
    """Look at the user's image before anything is started.

    Raises:
        BadParameter: it cannot be published.
    """
    try:
        draft_of(build, image).check()
    except BadManifest as error:
        raise click.BadParameter(str(error), param_hint="--image") from error


def upload(published: Published, builder: Key) -> None:
    """Sign and upload the image with what ``broadside upload`` is made of."""
    draft = draft_of(published.build, published.image)
    manifest = draft.manifest()
    os.environ["GNUPGHOME"] = str(builder.home)
    signed = clearsign_as_user(text(manifest), builder.fingerprint)
    transfer = Transfer(client(published.session, "s3", connections=CONNECTIONS), published.stack.builds_bucket)
    transfer.build(manifest, draft.paths, signed)


def is_named(published: Published) -> bool:
    """Wait until the query file names what is public.  It follows the index by itself, a moment after."""
    deadline = time.monotonic() + PATIENCE
    wanted = {each.region: each.image_id for each in published.public()}
    while time.monotonic() < deadline:
        try:
            if published.named() == wanted:
                return True
        except NotProven:
            pass  # no file yet
        time.sleep(INTERVAL)
    return False


def show(story: Story, console: Console, published: Published) -> None:
    """The table of AMIs, and what the query file says of them."""
    story.heading("The AMIs")
    console.print(region_table(look(published.index, published.build)))
    try:
        found = published.query("datatype=image-ids")
    except NotProven:
        return  # the checks say why
    if found:
        story.heading(f"The query file's entry: {found[0]['content_id']}, {found[0]['product_name']}")
        console.print(excerpt({found[0]["version_name"]: version_entry(published.stack.public_url, found[0])}))
        ask(story, console, published)


def ask(story: Story, console: Console, published: Published) -> None:
    """What a real reader answers to somebody who looks for one of the AMIs, after it verified the files."""
    region = str(published.session.region_name)
    filters = ["datatype=image-ids", f"crsn={region}"]
    story.heading("A reader asks for one of them")
    url = published.stack.public_url.rstrip("/") + "/"
    shown = "%(id)s  %(crsn)s  %(product_name)s  %(version_name)s  %(virt)s"
    command = f"$ sstream-query --keyring={published.keyring} --output-format='{shown}' {url} {' '.join(filters)}"
    console.print(command, soft_wrap=True)  # to be copied as it is
    for item in published.query(*filters):
        console.print(shown % item)


def excerpt(versions: Mapping[str, Any]) -> str:
    """The versions as JSON, of their items only the first few."""
    short = {
        serial: version | {"items": dict(list(version["items"].items())[:SHOWN_ITEMS])} for serial, version in versions.items()
    }
    left = sum(max(0, len(version["items"]) - SHOWN_ITEMS) for version in versions.values())
    return json.dumps(short, indent=2) + (f"\n... and {plural(left, 'more item')}" if left else "")


def prove(story: Story, published: Published) -> None:
    """Believe none of it: ask EC2, the readers and the blocks."""
    story.heading("Does it hold?")
    story.check("AMIs", lambda: checks.images(published))
    story.check("Query file", lambda: checks.query_file(published))
    story.check("Signatures", lambda: checks.signatures(published))
    story.check("Download", lambda: checks.download(published))
    story.check("Snapshots", lambda: checks.snapshots(published))


def conclude(story: Story, console: Console) -> None:
    console.print()
    if story.failures:
        console.print(f"{plural(story.failures, 'check')} failed.", style="bold red")
    else:
        console.print("All of it holds.", style="bold green")


def kept(environment: Mapping[str, str], pid: int, *folders: Path) -> str:
    """How to go on with a cloud that is left running, and how to be rid of it and of its folders."""
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
    return (
        f"\nThe embedded cloud keeps running.  To use it from a shell:\n\n{exports}\nunset AWS_PROFILE AWS_SESSION_TOKEN\n\n"
        f"Then, for example: broadside status.  To stop it: kill {pid}; and to remove what it leaves:\n"
        f"rm -r {shlex.join(str(folder) for folder in folders)}\n"
    )
