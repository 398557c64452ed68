"""Drives the public OCI runtime-tools validation programs against ocirt and other runtimes.

    hack/conformance [--runtime NAME-OR-PATH]... [--program NAME]... [--docs]

The programs are built from the Go module that go.mod pins (build.py), run one by one in cells of their own (cells.py,
cell.sh, run.py), and what they print in the Test Anything Protocol is read (tap.py), compared with the failures that
known.toml explains and proves (known.py), and shown (report.py).
"""
