"""All figures of the routing core, one part after the other; each adds its metrics to bench/out/route.json.

make bench-route
"""

from __future__ import annotations

import subprocess
import sys

#: Modules that measure; each runs in a process of its own, so that no part pays for the memory of another.
PARTS = ("bench.route_lookup", "bench.route_evil", "bench.route_change", "bench.route_dialplan")


def main() -> None:
    """Run every part; the first that fails ends it."""
    for part in PARTS:
        print(f"{part}:", flush=True)
        subprocess.run([sys.executable, "-m", part], check=True)


if __name__ == "__main__":
    main()
