"""Having large buffers given back to the system as soon as nobody needs them.

glibc raises its threshold for buffers of their own as it goes, up to 32 MiB, and keeps what is freed below it in the arena of
each thread (mallopt(3), M_MMAP_THRESHOLD).  A function that handles one shard after the other on dozens of threads grows by
hundreds of megabytes that way.  Setting the threshold once keeps it where it is.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3

#: Bytes from which on a buffer is one of its own: half a block.
LARGE = 256 * 1024


def give_large_buffers_back() -> None:
    """For the rest of the process; where there is no glibc, nothing is done."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)
