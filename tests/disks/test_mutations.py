"""A damaged image is refused, or read as the usual tool reads it: no crash, no hang, no great memory, no other bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: One for each way in which something is kept in a file.
DAMAGED = (
    "qcow2",
    "qcow2-zlib",
    "qcow2-zstd",
    "vmdk",
    "vmdk-stream",
    "vhd-fixed",
    "vhd-dynamic",
    "vhdx",
    "gzip",
    "xz",
    "zstd",
)

#: Seconds for one image, and MiB for all.
LONGEST, MOST = 20, 512


def run(kind: str, count: int, seed: int) -> dict[str, Any]:
    """What became of them, in a process of their own, whose end on a signal fails the test."""
    command = [sys.executable, "-m", "tests.disks.mutations", kind, str(count), str(seed)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any], count: int) -> None:
    """None that the tool refuses may be read, and none otherwise than the tool reads it."""
    assert found["bad"] == []
    assert sum(found["ends"].values()) == count
    assert found["seconds"] < LONGEST
    assert found["mib"] < MOST


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_images_are_refused_or_read_right(kind: str) -> None:
    """Some of each kind."""
    check(run(kind, 60, seed=20261120), 60)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_thousand_damaged_images_are_refused_or_read_right(kind: str) -> None:
    """Of each kind, and both ends are met."""
    found = run(kind, 1000, seed=1)
    check(found, 1000)
    assert found["ends"]["refused"] > 100
