"""The process of the embedded cloud: kept apart from the user's AWS settings, and ended by a signal.

Only :mod:`broadside.local.assembly` imports moto, which takes seconds; meanwhile the process that functions are forked from
warms up.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from broadside.local.functions.pool import Pool
from broadside.local.options import USER_KEY, USER_SECRET, Options


def run(options: Options, announce: Callable[[dict[str, Any]], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``announce`` is told when everything is ready."""
    parent = os.getppid()  # before the seconds that starting takes, in which it may already go
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_arguments: ended.set())
    options.state.mkdir(parents=True, exist_ok=True)
    isolate(options.state, options.behaviour.home)
    with closing(Pool(code=options.code, logs=options.state / "logs")) as pool:
        from broadside.local.assembly import Assembly  # noqa: PLC0415 - see above

        with closing(Assembly(options, pool)) as assembly:
            announce(assembly.start())
            while not ended.wait(1):
                if options.with_parent and os.getppid() != parent:
                    return


#: What a run leaves in its state folder; the next run with the same folder begins by removing it.
_LEFT_BEHIND = frozenset({"blocks", "calls.jsonl", "logs", "objects.bin", "server.log", "tmp"})

#: What else may lie there: the files that :class:`broadside.local.cloud.LocalCloud` starts a run with.
_BROUGHT = frozenset({"behaviour.yaml", "stderr.log"})


class NotOurs(Exception):
    """The state folder holds what no embedded cloud has left there."""


def state_folder(named: str | None) -> Path:
    """The folder that was named, emptied, or a new one for this run.

    Raises:
        NotOurs: there is something else in the named folder, which had better not be touched.
    """
    if not named:
        return Path(tempfile.mkdtemp(prefix="broadside-"))
    folder = Path(named).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    there = {entry.name for entry in folder.iterdir()}
    if foreign := there - _LEFT_BEHIND - _BROUGHT:
        raise NotOurs(f"The state folder {folder} holds other things ({', '.join(sorted(foreign))}): name an empty folder.")
    for name in there & _LEFT_BEHIND:
        entry = folder / name
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return folder


def isolate(state: Path, home: str) -> None:
    """Keep this process off anybody's AWS account, settings and proxies; its log and temporary files go to ``state``."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    temporary = state / "tmp"
    temporary.mkdir(exist_ok=True)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": USER_KEY,
        "AWS_SECRET_ACCESS_KEY": USER_SECRET,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_DEFAULT_REGION": home,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
        "TMPDIR": str(temporary),
    }
    tempfile.tempdir = None
    sys.setswitchinterval(0.001)  # many threads answer short requests
    _give_memory_back()
    line = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(filename=state / "server.log", level=logging.INFO, format=line)
    for noisy in ("botocore", "boto3", "urllib3", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It tells every error that a state machine handles, whole syntax trees at a time; executions tell it better.
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)


def _give_memory_back() -> None:
    """Let glibc map blocks from 256 KiB on, so that they return to the system when they are freed (mallopt(3)).

    Otherwise it learns from the bodies of uploads to keep such blocks, for each thread anew.
    """
    mmap_threshold = -3
    try:
        ctypes.CDLL(None).mallopt(mmap_threshold, 256 << 10)
    except (AttributeError, OSError):  # another C library
        return
