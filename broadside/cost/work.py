"""What a publication takes at home besides the calls that are counted: an estimate, since AWS's own pace decides."""

from __future__ import annotations

from dataclasses import dataclass

from broadside.cost.prices import HomePrices
from chalicelib.snapshots.blocks import BLOCK_SIZE, shards

#: A function's network, bytes a second: about 600 Mbit/s, whatever its memory.
BYTES_PER_SECOND = 75e6
#: Memory in GiB of the functions that verify and write, and of all others.
WORKER_GIB, SMALL_GIB = 1769 / 1024, 0.5
#: Seconds of one small function.
SMALL_SECONDS = 0.5
#: Looks at an AMI until it is available: of one registered in its snapshot's own Region, and of one copied in 20 minutes,
#: between the 10 and 30 that are reported, with a look every half minute.
LOOKS, COPY_LOOKS = 4, 40
#: Small functions for a build, and in each Region besides looking.
FOR_BUILD, FOR_REGION = 6, 3
#: Transitions of the state machines: for a build, a Region, a look (Wait, Task, Choice), a shard.
BUILD_STEPS, REGION_STEPS, LOOK_STEPS, SHARD_STEPS = 12, 8, 3, 2
#: Requests to S3 for a shard; units of the index that one small function reads and writes.
SHARD_PUTS, SHARD_GETS, READS, WRITES = 1, 2, 3, 1


@dataclass(frozen=True)
class Work:
    """Seconds of functions times the GiB of their memory, and counts."""

    gib_seconds: float
    invocations: int
    transitions: int
    puts: int
    gets: int
    reads: int
    writes: int

    def dollars(self, prices: HomePrices) -> float:
        """At the prices of the home Region."""
        return (
            self.gib_seconds * prices.lambda_gib_second
            + self.invocations / 1e6 * prices.lambda_requests_per_million
            + self.transitions / 1e3 * prices.step_functions_transitions_per_1000
            + self.puts / 1e3 * prices.s3_put_per_1000
            + self.gets / 1e3 * prices.s3_get_per_1000
            + self.reads / 1e6 * prices.dynamodb_reads_per_million
            + self.writes / 1e6 * prices.dynamodb_writes_per_million
        )


def work_at_home(*, image_blocks: int, written: int, regions: int, copied: int) -> Work:
    """The work for one build.

    Args:
        written: blocks, in all Regions together.
        regions: how many there are in all; in ``copied`` of them the AMI is copied.
    """
    pieces = len(shards(image_blocks * BLOCK_SIZE))
    # The image is read to be verified and again to be written, then its blocks are sent.
    worker_seconds = (2 * image_blocks + written) * BLOCK_SIZE / BYTES_PER_SECOND
    looks = LOOKS * (regions - copied) + COPY_LOOKS * copied
    small = FOR_BUILD + FOR_REGION * regions + looks
    return Work(
        gib_seconds=worker_seconds * WORKER_GIB + small * SMALL_SECONDS * SMALL_GIB,
        invocations=1 + pieces + small,
        transitions=BUILD_STEPS + REGION_STEPS * regions + LOOK_STEPS * looks + SHARD_STEPS * pieces,
        puts=SHARD_PUTS * pieces,
        gets=SHARD_GETS * pieces,
        reads=READS * small,
        writes=WRITES * small,
    )
