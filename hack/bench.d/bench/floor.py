"""hack/floor: times hack/bench.d/floor.c."""

import sys

from . import BENCH, BenchError
from .place import Place, open_place
from .results import median


def run_floor(place: Place, program: str, mode: str) -> float:
    """:returns: the microseconds of the floor; what it leaves behind is removed afterwards."""
    name, output = place.name(), place.path / "floor-output"
    used = place.spawn(program, place.rootfs, name, mode, output=output)
    if mode == "ready":
        place.spawn(program, "remove", name, output.read_text().strip())
    return used.time


def main(mode: str, count: str) -> int:
    try:
        with open_place() as place:
            program = place.compile(BENCH / "floor.c")
            times = [run_floor(place, program, mode) / 1000 for _ in range(int(count))]
    except BenchError as error:
        print(f"hack/floor: {error}", file=sys.stderr)
        return 1
    print(f"floor {mode}: median {median(times):.2f} ms, fastest {min(times):.2f} ms, of {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
