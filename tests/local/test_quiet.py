"""What the embedded cloud's process says on its standard output."""

from __future__ import annotations

import subprocess
import sys


def test_making_the_template_leaves_no_logger_that_prints() -> None:
    """Standard output is a pipe to whoever started the cloud, who reads one line of it: a second one would fill it up."""
    program = (
        "import logging\n"
        "from broadside.packaging import build_template\n"
        "build_template()\n"
        "logging.getLogger('broadside.local.http').error('lost in a pipe')\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout == ""
