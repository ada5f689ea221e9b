"""What the functions that handle large buffers keep of them."""

from __future__ import annotations

import subprocess
import sys

GROW = """
import re, sys, threading
from pathlib import Path
from chalicelib.handlers.memory import give_large_buffers_back
give_large_buffers_back()
def work(size):
    for _ in range(20):
        kept = bytes(bytearray(b"x") * size)
for round in range(8):
    threads = [threading.Thread(target=work, args=((1 + number) << 18,)) for number in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
pages = re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(int(pages[1]) // 1024)
"""


def test_buffers_of_many_threads_are_given_back() -> None:
    """Whatever sizes they had: what stays is little more than Python itself."""
    done = subprocess.run([sys.executable, "-c", GROW], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 64
