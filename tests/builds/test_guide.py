"""The builders' guide keeps its word: what it tells to type makes a manifest that is taken in."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from broadside.upload import Draft
from chalicelib.builds.manifest import Ec2, File, Manifest
from chalicelib.index.records import UploadState
from tests.builds.yard import Yard
from tests.examples import CONTENT

GUIDE = (Path(__file__).parents[2] / "docs" / "builders.md").read_text(encoding="utf-8")

#: Copies what is uploaded into a folder, by its key.
FAKE_AWS = """#!/bin/sh
mkdir -p "$(dirname "objects/${4#s3://BUILDS-BUCKET/}")"
cp "$3" "objects/${4#s3://BUILDS-BUCKET/}"
"""


def block(language: str) -> str:
    """The guide's one block in that language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


def test_the_shell_way_makes_a_build(yard: Yard, tmp_path: Path) -> None:
    """With gpg, the checksum tools and an S3 client alone."""
    (tmp_path / "disk.img").write_bytes(CONTENT)
    aws = tmp_path / "aws"
    aws.write_text(FAKE_AWS)
    aws.chmod(0o755)
    script = block("sh").replace("builds@example.com", yard.builder.fingerprint)
    environment = {**os.environ, "GNUPGHOME": str(yard.builder.home), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True)
    uploaded = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    for path in sorted(uploaded, key=lambda path: path.stat().st_mtime_ns):
        key = str(path.relative_to(tmp_path / "objects"))
        yard.s3.put_object(Bucket="builds", Key=key, Body=path.read_bytes())
        upload = yard.room.arrived(key)
    assert upload is not None
    assert upload.state is UploadState.ACCEPTED, upload.reason
    assert upload.key == f"{yard.build().id.folder}/build.sjson"


def test_the_description_in_yaml_makes_a_manifest(tmp_path: Path) -> None:
    """As it stands in the guide."""
    (tmp_path / "out").mkdir()
    for name in ("disk.img", "disk.qcow2"):
        (tmp_path / "out" / name).write_bytes(CONTENT)
    (tmp_path / "build.yaml").write_text(block("yaml"))
    manifest = Draft.read(tmp_path / "build.yaml").manifest()
    assert (manifest.version, manifest.release_title) == ("24.04", "24.04 LTS")


def test_every_field_of_the_schema_is_in_the_guide() -> None:
    """None is left for the builder to guess."""
    for model in (Manifest, File, Ec2):
        for name in model.model_fields:
            assert re.search(rf"`(?:[a-z0-9\[\]]+\.)?{name}[`.]", GUIDE), name
