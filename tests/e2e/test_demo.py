"""The demonstration as a newcomer runs it, on a cloud of few Regions so that it is quick."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from broadside.disk import MIB, make_disk

REGIONS = [{"name": "us-east-1"}, {"name": "eu-west-1"}, {"name": "af-south-1", "opt_in": "not-opted-in"}]


def demo(folder: Path, behaviour: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run it with a small image and the behaviour (JSON is YAML)."""
    image, file = folder / "my-os.raw", folder / "behaviour.yaml"
    make_disk(image, size=24 * MIB, data=MIB)
    file.write_text(json.dumps({"regions": REGIONS, **behaviour}))
    command = [str(Path(sys.executable).with_name("broadside")), "demo", "--image", str(image), "--behaviour", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_the_demonstration_holds(tmp_path: Path) -> None:
    """Every check is told as held, the exit code is 0, and nothing is left running."""
    done = demo(tmp_path, {})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it holds." in done.stdout
    assert "✗" not in done.stdout
    endpoint = next(word for word in done.stdout.split() if word.startswith("http://127.0.0.1:"))
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(endpoint, timeout=5)  # noqa: S310 - loopback


def test_the_demonstration_does_not_hide_a_failed_region(tmp_path: Path) -> None:
    """Where a Region fails, the demonstration names it and its reason, and the exit code is 1."""
    done = demo(
        tmp_path,
        {
            "faults": [
                {"service": "ec2", "action": "RegisterImage", "region": "eu-west-1", "code": "InvalidRequest", "status": 400}
            ]
        },
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Not public in eu-west-1." in done.stdout
    assert "broadside retry" in done.stdout
    assert done.stderr == ""
