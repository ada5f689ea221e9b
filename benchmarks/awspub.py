"""awspub, the publisher that Broadside is compared with: installed from PyPI into a place of its own and run as a program.

It is under the GPL, and none of its code is imported here.  Its waiters look every 15 or 30 seconds; in a scaled run its
``time.sleep`` is that much shorter (by a ``sitecustomize`` module on its path), so that they scale like everything else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from broadside.local.cloud import LocalCloud

VERSION = "0.0.16"
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "build" / "awspub"
BUCKET = "awspub-benchmark"

_SHORTER_SLEEPS = """
import os, time
_sleep, _scale = time.sleep, float(os.environ["BENCHMARK_TIME_SCALE"])
time.sleep = lambda seconds: _sleep(seconds / _scale)
"""


def install() -> Path:
    """Install awspub unless it is there; returns the program."""
    program = VENV / "bin" / "awspub"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)  # noqa: S603 - Python's own venv
        pip = [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", f"awspub=={VERSION}"]
        subprocess.run(pip, check=True)  # noqa: S603
    return program


def publish(cloud: LocalCloud, raw: bytes, regions: list[str], scale: float, folder: Path) -> float:
    """Publish a raw disk with awspub to the Regions; returns the seconds from the upload to the last public AMI.

    Converting the disk to VMDK, the one format that awspub takes, is not counted.
    """
    program = install()
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    config = _configure(_vmdk(raw, folder), regions, folder)
    environment = cloud.environment | {"PATH": os.environ["PATH"], "HOME": str(folder)}
    environment |= {"BENCHMARK_TIME_SCALE": str(scale), "PYTHONPATH": str(_sitecustomize(folder))}
    begun = time.perf_counter()
    for command in ("create", "publish"):
        with (folder / f"awspub-{command}.log").open("w") as log:
            subprocess.run(  # noqa: S603 - the program that was just installed
                [str(program), "--log-level", "info", command, str(config)],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
    return time.perf_counter() - begun


def _vmdk(raw: bytes, folder: Path) -> Path:
    source, vmdk = folder / "disk.raw", folder / "disk.vmdk"
    source.write_bytes(raw)
    command = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", str(source), str(vmdk)]
    subprocess.run(command, check=True)  # noqa: S603
    return vmdk


def _configure(vmdk: Path, regions: list[str], folder: Path) -> Path:
    image = {"description": "for a benchmark", "boot_mode": "uefi-preferred", "regions": regions, "public": True}
    config = {
        "s3": {"bucket_name": BUCKET},
        "source": {"path": str(vmdk), "architecture": "x86_64"},
        "images": {"benchmark-image": image},
    }
    path = folder / "awspub.yaml"
    path.write_text(yaml.safe_dump({"awspub": config}))
    return path


def _sitecustomize(folder: Path) -> Path:
    place = folder / "shorter-sleeps"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_SHORTER_SLEEPS)
    return place
