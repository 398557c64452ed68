"""hack/floor: times hack/bench.d/floor.c."""

import sys

from . import BenchError
from .__main__ import BENCH
from .place import open_place
from .results import median


def main(mode: str, count: str) -> int:
    try:
        with open_place() as place:
            program = place.compile(BENCH / "floor.c")
            times = [place.spawn(program, place.rootfs, place.name(), mode).time / 1000 for _ in range(int(count))]
    except BenchError as error:
        print(f"hack/floor: {error}", file=sys.stderr)
        return 1
    print(f"floor {mode}: median {median(times):.2f} ms, fastest {min(times):.2f} ms, of {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
