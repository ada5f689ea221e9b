"""The demonstration's parts: the story it tells, and how it keeps away from the user's own account."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from broadside.cli import main
from broadside.cli.checks import MOST_BLOCKS, regions_to_read
from broadside.cli.common import ExitCode, make_console
from broadside.cli.demo import excerpt, install_keys, kept, point_at
from broadside.cli.story import Story
from broadside.keys import new_key
from broadside.proof import NotProven
from tests.cli.conftest import Deployed


def told() -> tuple[Story, io.StringIO]:
    out = io.StringIO()
    return Story(make_console(out), clock=iter(range(100)).__next__), out


def test_a_step_is_told_with_its_time_and_detail() -> None:
    """One line for a step, when it has ended."""
    story, out = told()
    with story.step("Upload") as step:
        step.detail = "disk.img"
    assert out.getvalue().split() == ["✓", "Upload", "1.0", "s", "disk.img"]


def test_a_step_that_fails_ends_the_story() -> None:
    """What a step raises passes through, and the step is told as failed."""
    story, out = told()
    with pytest.raises(NotProven), story.step("Upload"):
        raise NotProven("no")
    assert out.getvalue().startswith("✗ Upload")


def test_a_check_that_fails_does_not_stop_the_others() -> None:
    """All checks are told, and the failed ones counted."""
    story, out = told()

    def wrong() -> str:
        raise NotProven("eu-west-1 differs.")

    story.check("Snapshots", wrong)
    story.check("Download", lambda: "as it should be")
    assert story.failures == 1
    assert [line[0] for line in out.getvalue().splitlines()] == ["✗", "✓"]
    assert "eu-west-1 differs." in out.getvalue()


def test_a_terminal_sees_what_is_under_way() -> None:
    """On a terminal a step that takes long shows itself."""
    out = io.StringIO()
    with Story(Console(file=out, force_terminal=True, width=80)).step("Upload"):
        pass
    assert "Upload ..." in out.getvalue()


def test_the_excerpt_says_what_it_leaves_out() -> None:
    """Of a version's items two are shown, and the rest are counted."""
    items = {f"item{number}": {"id": f"ami-{number}"} for number in range(5)}
    text = excerpt({"20261120": {"label": "daily", "items": items}})
    shown, _, rest = text.rpartition("\n")
    assert list(json.loads(shown)["20261120"]["items"]) == ["item0", "item1"]
    assert rest == "... and 3 more items"


def test_what_is_kept_can_be_pasted_into_a_shell() -> None:
    """The printed lines set the variables, whatever is in them."""
    text = kept({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "SECRET": "a b'c"}, 42)
    exports = "\n".join(line for line in text.splitlines() if line.startswith(("export", "unset")))
    shell = subprocess.run(["sh", "-euc", f'{exports}\nprintf %s "$SECRET"'], capture_output=True, text=True, check=True)
    assert shell.stdout == "a b'c"
    assert "kill 42" in text


def test_an_image_that_cannot_be_published_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the embedded cloud is started."""
    monkeypatch.setattr("broadside.cli.demo.start_cloud", lambda *_, **__: pytest.fail("started"))
    (tmp_path / "disk.img").touch()
    result = CliRunner().invoke(main, ["demo", "--image", str(tmp_path / "disk.img")])
    assert result.exit_code == ExitCode.USAGE
    assert "disk.img is empty." in result.stderr


def test_a_kept_cloud_outlives_the_demonstration(tmp_path: Path) -> None:
    """It still answers after the process that started it has ended."""
    program = (
        "import json, sys; from pathlib import Path; from broadside.cli.demo import start_cloud\n"
        "print(json.dumps(start_cloud(Path(sys.argv[1]), 0, None, keep=True).ready))"
    )
    starter = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    ready = json.loads(starter.stdout)
    try:
        time.sleep(3)  # an embedded cloud that is not on its own looks for its parent every second
        look = f"{ready['endpoint']}/_broadside/behaviour"
        with urllib.request.urlopen(look, timeout=10) as answer:  # noqa: S310 - the embedded cloud's own address
            assert answer.status == 200
    finally:
        os.kill(ready["pid"], signal.SIGTERM)


@pytest.mark.parametrize(("regions", "blocks", "read"), [(31, 128, 31), (31, MOST_BLOCKS, 2), (31, 500, 10), (1, 9**9, 1)])
def test_large_images_are_read_back_from_some_regions(regions: int, blocks: int, read: int) -> None:
    """All Regions while that is quick, never less than two."""
    assert regions_to_read(regions, blocks) == read


def test_the_users_own_account_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of AWS is set, the demonstration sees only the embedded cloud, and no proxy stands before it."""
    monkeypatch.setattr(os, "environ", {"AWS_PROFILE": "prod", "AWS_ENDPOINT_URL_EC2": "https://ec2", "PATH": "/bin"})
    point_at({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert "AWS_PROFILE" not in os.environ
    assert "AWS_ENDPOINT_URL_EC2" not in os.environ
    assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert os.environ["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert "127.0.0.1" in os.environ["NO_PROXY"]
    assert os.environ["PATH"] == "/bin"


def test_keys_are_put_where_the_functions_look(deployed: Deployed) -> None:
    """The builder's public key goes to the work bucket, the signer's private key to the secret; both are thrown away."""
    s3, secrets = deployed.session.client("s3"), deployed.session.client("secretsmanager")
    s3.create_bucket(Bucket=deployed.stack.work_bucket)
    secret = secrets.create_secret(Name="signing", SecretString="{}")["ARN"]
    stack = type(deployed.stack)(**(vars(deployed.stack) | {"signing_secret": secret}))
    builder, signer = new_key("builder"), new_key("signer")
    try:
        install_keys(deployed.session, stack, builder, signer)
        kept_public = s3.get_object(Bucket=stack.work_bucket, Key="keyrings/builders.gpg")["Body"].read()
        kept_private = json.loads(secrets.get_secret_value(SecretId=secret)["SecretString"])["private_key"]
        assert kept_public == builder.public
        assert kept_private.startswith("-----BEGIN PGP PRIVATE KEY BLOCK-----")
    finally:
        builder.destroy()
        signer.destroy()
    assert not builder.home.exists()
    assert not signer.home.exists()
