"""`gateway serve` under a profiler: event loop and writer thread, printed when it is told to stop.

Started by `bench.relay --profile`. A deterministic profiler doubles the cost of small functions; read it for where the
time goes, not for how much there is.
"""

import cProfile
import pstats
import sys
import threading
from pathlib import Path

from gateway.config import read_config
from gateway.serve.process import run
from gateway.store.writer import Writer


def main() -> None:
    """Serve the configuration that is named, then print both profiles."""
    loop, writer = cProfile.Profile(), cProfile.Profile()
    work = Writer._work

    def profiled(self: Writer) -> None:
        writer.enable()
        try:
            work(self)
        finally:
            writer.disable()

    Writer._work = profiled  # type: ignore[method-assign]
    loop.enable()
    try:
        run(read_config(Path(sys.argv[1])))
    finally:
        loop.disable()
        for name, profile in (("event loop", loop), ("store writer", writer)):
            print(f"\n{name} ({threading.active_count()} threads)", file=sys.stderr)
            pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(60)


if __name__ == "__main__":
    main()
