"""Measure, model and report.

    python -m benchmarks [NAMES]        all that takes minutes, or what is named; then the report
    python -m benchmarks profile        where one thread of the block writer spends its time
    python -m benchmarks --real publication     in real minutes, three quarters of an hour

Results are JSON files in benchmarks/results; docs/performance.md and its plots are made of them, and of nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks import daily, modelled, profile, publication, results, writing
from benchmarks import report as reporting

#: How much faster than AWS's the clock goes, unless a run is real.
SCALE = 20.0


def write(_options: argparse.Namespace) -> None:
    """The block writer against bare connections and SHA-256."""
    results.save("writing", writing.compare())


def publish(options: argparse.Namespace) -> None:
    """One small image everywhere: direct, copy, awspub."""
    regions = profile.enabled_regions()[: options.regions]
    for name in options.publishers:
        publication.record(name, regions, 1.0 if options.real else SCALE)


def next_day(_options: argparse.Namespace) -> None:
    """A first build and a daily."""
    results.save("daily", daily.measure())


def model(_options: argparse.Namespace) -> None:
    """What this machine cannot move."""
    results.save("model", modelled.everything())


def show_profile(_options: argparse.Namespace) -> None:
    """Where the writer's time goes."""
    print(writing.profile())  # noqa: T201 - it is a command


def report(_options: argparse.Namespace) -> None:
    """docs/performance.md and its plots."""
    reporting.write()


BENCHMARKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "writing": write,
    "publication": publish,
    "daily": next_day,
    "model": model,
    "report": report,
}


def main() -> None:
    """Run what is named, in the order in which one needs the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join([*BENCHMARKS, 'profile'])}; else all but profile"
    )
    parser.add_argument("--real", action="store_true", help="publication: in real minutes instead of scaled ones")
    parser.add_argument("--regions", type=int, default=None, help="publication: so many Regions; else all that are enabled")
    parser.add_argument("--publishers", nargs="+", choices=publication.PUBLISHERS, default=list(publication.PUBLISHERS))
    options = parser.parse_args()
    known = BENCHMARKS | {"profile": show_profile}
    if unknown := set(options.names) - known.keys():
        parser.error(f"There is no benchmark {', '.join(sorted(unknown))}.")
    for name, run in known.items():
        if name in (options.names or BENCHMARKS):
            run(options)


if __name__ == "__main__":
    main()
