"""A short run of the fuzzer over the program decoder, the scanner and the binder; the long one is hack/fuzz."""

import os
import subprocess

from tests.unit.fuzz import build, seeds

SECONDS = 15


def test_decoder_scanner_and_binder(tmp_path):
    """No input makes them read or write beyond what is theirs: CVE-2021-43784's class, for what we encode and decode."""
    seeds(tmp_path / "seeds")
    build(tmp_path / "fuzz", "gcc", "-DFUZZ_MAIN")
    inputs = sorted(tmp_path.glob("seeds/*"))
    assert {path.name[0] for path in inputs} >= {"p", "s", "b"}
    done = subprocess.run(
        [tmp_path / "fuzz", str(SECONDS), *inputs],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert done.returncode == 0, done.stderr[-6000:]
    runs, _, decoded, bound = [int(word) for word in done.stdout.split() if word.isdigit()]
    assert runs > 1000 and decoded > 100 and bound > 100, done.stdout
