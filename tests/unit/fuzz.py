"""Inputs and executables of the fuzzer (tests/core/fuzz.c); hack/fuzz and test_fuzz.py use them.

python -m tests.unit.fuzz FOLDER    # writes the seeds to FOLDER/seeds and builds FOLDER/fuzz for libFuzzer, with clang
"""

import subprocess
import sys
from pathlib import Path

from ocirt.compile import compile
from ocirt.model.config import parse
from ocirt.plan.cache import HITS_SIZE, keep
from ocirt.plan.encode import LIST_VALUE, encoded
from tests.unit.core import BUILT, CORE, SOURCES, TREE
from tests.unit.plans import DATA, host, request

BUILD = "0" * 32
REQUEST = {"id": "c1", "root": "/run/ocirt", "bundle": "/bundle"}
"""What tests/core/fuzz.c has."""
CORPUS = TREE / "tests/core/corpus"


def seeds(folder):
    """Write an input of each kind for each config that tests/unit/data has, and copies of the kept corpus."""
    folder.mkdir(mode=0o700)  # as a directory of the cache has to be
    for path in sorted(DATA.glob("*.json")):
        data = path.read_bytes()
        config, on = parse(data), host()
        program = encoded(compile(config, request(console_socket="/s" if config.process.terminal else None), on), BUILD)
        (folder / f"p-{path.stem}").write_bytes(b"p" + program.data)
        (folder / f"s-{path.stem}").write_bytes(b"s" + data)
        on.observed.clear()  # what this machine is decides nothing here
        entry = folder / "entry"
        keep(str(entry), "{}", [REQUEST], config, on, program, BUILD)
        if not entry.exists():
            continue
        whole = entry.read_bytes()
        entry.unlink()
        after = 8 + 4 + 4 + HITS_SIZE + len(BUILD)
        after += 4 + int.from_bytes(whole[after : after + 4], "little")
        (folder / f"b-{path.stem}").write_bytes(b"b" + len(data).to_bytes(4, "little") + data + whole[after:])
    (folder / "b-greedy").write_bytes(greedy())
    for path in CORPUS.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def greedy():
    """An entry whose slots are all the same long list: together they are larger than any config could make them."""
    data, count = b'{"process":{"args":["' + b"a" * 8000 + b'"]}}', 50
    slot = bytes(4) + bytes(4) + bytes((LIST_VALUE, 0)) + bytes(4 + 16 + 16)
    head = 8 + 4 + 4 + len(BUILD) + 8 * 9
    tables = bytearray(8 * 9)
    tables[8 * 7 : 8 * 8] = head.to_bytes(4, "little") + (24 * count).to_bytes(4, "little")
    template = bytes(8 + 4 + 4 + len(BUILD)) + tables + bytes(24 * count)
    return (
        b"b"
        + len(data).to_bytes(4, "little")
        + data
        + 3 * bytes(4)
        + count.to_bytes(4, "little")
        + count * slot
        + len(template).to_bytes(4, "little")
        + template
    )


def build(executable, compiler, *flags):
    """The fuzzer's executable, under ASan and UBSan."""
    sources = [
        TREE / "tests/core/fuzz.c",
        TREE / "tests/core/stubs.c",
        *[CORE / name for name in SOURCES],
    ]
    subprocess.run(
        [
            compiler,
            "-std=gnu17",
            "-D_GNU_SOURCE",
            "-O1",
            "-g",
            "-w",
            "-DOCIRT_TREE",
            "-Dmmap=fuzz_mmap",
            "-Dmunmap=fuzz_munmap",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
            *flags,
            "-Wl,--wrap=fail",
            "-I",
            TREE / "tests/core/fuzz",
            "-I",
            BUILT / "core",
            "-I",
            CORE,
            "-o",
            executable,
            *sources,
        ],
        check=True,
        timeout=300,
    )


if __name__ == "__main__":
    seeds(Path(sys.argv[1]) / "seeds")
    build(Path(sys.argv[1]) / "fuzz", "clang", "-fsanitize=fuzzer")
