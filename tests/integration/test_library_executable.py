"""What the library asks of the executable: --status-fd, a config by descriptor, and the log."""

import json
import os

import pytest

from tests.integration.harness import LIMIT
from tests.integration.library_fixtures import nothing_left

__all__ = ["nothing_left"]  # a fixture of the tests here


def test_status_fd(ocirt, bundle):
    """The lines that it tells, by the command line itself."""

    def told(*words, stop=None):
        reading, writing = os.pipe()
        result = ocirt(*words[:1], "--status-fd", str(writing), *words[1:], pass_fds=[writing])
        os.close(writing)
        with open(reading, "rb") as file:
            return result, [json.loads(line) for line in file]

    result, (begin, end) = told("run", "--bundle", bundle.shell("exit 3").save(), "c1")
    assert result.status == 3 and begin["pid"] > 0 and begin["startTime"] > 0 and end["exitCode"] == 3
    assert set(end) == {"exitCode", "cpuMicroseconds", "memoryPeak", "clock"} and end["memoryPeak"] > 0
    assert 0 < end["clock"] - begin["clock"] < LIMIT * 10**9
    result, (error,) = told("run", "--bundle", bundle.args("nosuch").save(), "c1")
    assert result.status == 1 and (result.out, result.err) == ("", "")
    assert {name: error[name] for name in ("level", "phase", "path", "errno")} == {
        "level": "error",
        "phase": "init",
        "path": "process.args",
        "errno": 2,
    }
    bundle.config["hostname"] = 5
    result, (error,) = told("create", "--bundle", bundle.save(), "c1")
    assert result.status == 1 and (error["kind"], error["path"], error["phase"]) == (
        "ConfigError",
        "hostname",
        "compile",
    )


@pytest.mark.parametrize("value", ["2", "77", "x", "-1"])
def test_status_fd_that_is_none(ocirt, bundle, value):
    assert "--status-fd" in ocirt.fails("run", "--status-fd", value, "--bundle", bundle, "c1")


def test_a_status_fd_is_not_one_of_the_programs(ocirt, bundle):
    reading, writing = os.pipe()
    assert f"from {writing + 1} on" in ocirt.fails(
        "run", "--preserve-fds", writing - 2, "--status-fd", writing, "--bundle", bundle, "c1", pass_fds=[writing]
    )
    os.close(reading), os.close(writing)


def test_config_by_descriptor(ocirt, bundle, tmp_path):
    """--config /dev/fd/N: a descriptor of the caller's, also where the program has to be compiled."""
    bundle.config["annotations"] = {"org.example.unlike": str(tmp_path)}
    for hostname in ("one", "two"):
        bundle.config["hostname"] = hostname
        with open(tmp_path / "other.json", "w+") as file:
            json.dump(bundle.shell("hostname; ls /proc/self/fd").config, file)
            file.flush()
            for path in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
                result = ocirt.ok("run", "--bundle", bundle, "--config", path, "c1", pass_fds=[file.fileno()])
                assert result.out.split() == [hostname, "0", "1", "2", "3"]


def test_the_log_tells_where(ocirt, bundle, tmp_path):
    """The file of --log has one object, engines' members first."""
    bundle.args("nosuch").save()
    log = tmp_path / "log"
    ocirt("create", "--bundle", bundle, "c1", options=["--log", log, "--log-format", "json"])
    line = json.loads(log.read_text())
    assert list(line) == ["level", "msg", "time", "phase", "path", "errno"]
    assert (line["phase"], line["path"], line["errno"]) == ("init", "process.args", 2)
