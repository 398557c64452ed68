"""Runs the public OCI runtime-tools validation programs against ocirt and other runtimes.

    hack/conformance [--runtime NAME-OR-PATH]... [--program NAME]... [--docs]

build.py builds the programs from the Go module that go.mod pins. Each runs in a cell of its own (cells.py, cell.sh,
run.py). tap.py reads their output in the Test Anything Protocol, known.py compares it with the failures that known.toml
explains and proves, and report.py shows the results.
"""
