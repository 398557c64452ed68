"""--trace and OCIRT_TRACE: where the time of a command went (docs/tracing.md)."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from ocirt.cli.trace.critical import critical_path
from ocirt.cli.trace.spans import INIT, NETWORK, PYTHON, RUNTIME, STAGE, read
from tests.integration.harness import LIMIT, Runtime

BUSY = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"


def commands(path):
    return read(path.read_bytes())


def find(command, name, path=""):
    return [span for span in command.spans if span.name == name and path in span.path]


def hook(script):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}


def longest_on_path(command):
    return max(critical_path(command), key=lambda part: part.duration).span


@pytest.fixture
def record(tmp_path):
    return tmp_path / "life.trace"


def test_every_process_of_a_create_is_recorded(ocirt, bundle, record):
    """A miss has Python's phases, a hit the launcher's; each step has its place in config.json, and none has failed."""
    bundle.config["hostname"] = f"h{os.getpid()}-{time.monotonic_ns()}"[:60]
    bundle.config["mounts"].append({"destination": "/mnt/a", "type": "tmpfs", "source": "tmpfs"})
    bundle.save()
    for name in ("miss", "hit"):
        flags = ("--no-cache",) if name == "miss" else ()
        ocirt.ok("create", *flags, "--bundle", bundle, "c1", options=["--trace", record])
        ocirt.ok("delete", "--force", "c1", options=["--trace", record])
    miss, undo, *rest = commands(record)
    assert [command.title for command in (miss, undo)] == ["ocirt create c1", "ocirt delete c1"] and len(rest) == 2
    assert [span.name for span in miss.spans if span.thread == PYTHON] == [
        "start",
        "import",
        "parse",
        "compile",
        "encode",
        "keep",
    ]
    assert {"scan", "lock"} & {span.name for span in rest[0].spans}
    place = f"mounts[{len(bundle.config['mounts']) - 1}]"
    for command in (miss, rest[0]):
        assert {RUNTIME, INIT, NETWORK} <= {span.thread for span in command.spans}
        (mount,) = find(command, "Mount", place)
        assert (mount.thread, mount.text, mount.ended, mount.error) == (INIT, "mount tmpfs at /mnt/a", True, 0)
        assert not [span.title for span in command.spans if not span.ended or span.error]
        assert command.notes == []
        spawned = find(command, "Spawn")[0]
        inits = [span for span in command.spans if span.thread == INIT]
        assert all(spawned.start <= span.start <= span.end for span in inits)
    assert find(undo, "RemoveCgroup") and not [span for span in undo.spans if span.thread != RUNTIME]


def test_the_processes_agree_on_the_time_in_a_time_namespace(ocirt, bundle, record):
    bundle.namespace("time")
    bundle.config["linux"]["timeOffsets"] = {"monotonic": {"secs": 86400, "nanosecs": 5}, "boottime": {"secs": 86400}}
    ocirt.ok("run", "--bundle", bundle.args("true").save(), "c1", options=["--trace", record])
    (command,) = commands(record)
    assert {RUNTIME, STAGE, INIT} <= {span.thread for span in command.spans}
    assert command.end - command.start < LIMIT * 10**9
    assert abs(command.start - time.time_ns()) < LIMIT * 10**9


@pytest.mark.parametrize("point", ["createRuntime", "createContainer", "startContainer", "poststart"])
def test_a_slow_hook_is_the_longest_part_of_the_critical_path(ocirt, bundle, record, point):
    bundle.config["hooks"] = {point: [hook("sleep 0.7; echo this is slow")]}
    bundle.args("true").save()
    ocirt.ok("run", "--bundle", bundle, "c1", options=["--trace", record])
    (command,) = commands(record)
    slow = longest_on_path(command)
    assert (slow.name, slow.kind, slow.path) == ("RunHook", "hook", f"hooks.{point}[0]")
    (program,) = [span for span in command.spans if span.kind == "program"]
    assert program.output == "this is slow\n" and program.duration > 6e8 and slow.holds(program)
    shown = ocirt.ok("trace", record).out
    assert re.search(rf"critical path:\n(.*\n)*? +\d+\.\d+ .*RunHook: run hook /bin/sh \(hooks\.{point}\[0\]\)", shown)
    assert "/bin/sh" in shown.partition("longest steps:")[2].splitlines()[1]
    assert "has printed: this is slow" in shown


def test_start_has_init_record_for_it(ocirt, bundle, record, tmp_path):
    """Create's record ends with create: what init does for start is in the record of start, even if create had none."""
    bundle.config["hooks"] = {"startContainer": [hook("sleep 0.5")]}
    bundle.save()
    created = tmp_path / "created.trace"
    for options in ([], ["--trace", created]):
        ocirt.ok("create", "--bundle", bundle, "c1", options=options)
        ocirt.ok("start", "c1", options=["--trace", record])
        ocirt.ok("delete", "--force", "c1")
    for command in commands(record):
        (slow,) = find(command, "RunHook")
        assert (slow.thread, slow.path) == (INIT, "hooks.startContainer[0]")
        assert longest_on_path(command) is slow
        assert find(command, "Exec")[0].ended
    (command,) = commands(created)
    assert not find(command, "RunHook") and not find(command, "Exec")


def test_nothing_is_called_once_the_filter_applies(ocirt, bundle, record):
    """The profile kills a process that reads the clock or sends a message: the record and --debug need neither any more."""
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["clock_gettime", "clock_gettime64", "sendmsg", "write"], "action": "SCMP_ACT_KILL_PROCESS"}
        ],
    }
    ocirt.ok("create", "--bundle", bundle.save(), "c1", options=["--trace", record, "--debug"])
    ocirt.ok("start", "c1", options=["--trace", record, "--debug"])
    done = ocirt("exec", "c1", "true", options=["--trace", record, "--debug"])
    assert done.status == 0, done
    execed = commands(record)[-1]
    assert {STAGE, INIT, RUNTIME} <= {span.thread for span in execed.spans}
    assert find(execed, "LoadSeccomp") and find(execed, "Exec") and not [s for s in execed.spans if not s.ended]


def test_a_container_that_is_throttled_while_it_starts(ocirt, bundle, record):
    bundle.config["linux"]["resources"]["cpu"] = {"quota": 5000, "period": 100000}
    bundle.config["hooks"] = {"createContainer": [hook(BUSY)]}
    ocirt.ok("run", "--bundle", bundle.args("true").save(), "c1", options=["--trace", record])
    (command,) = commands(record)
    times, held_back = command.held_back
    assert times > 0 and held_back > 10**7
    assert f"linux.resources.cpu.quota has held the container back {times} times" in ocirt.ok("trace", record).out


def test_a_program_that_is_throttled(ocirt, bundle, record):
    """The record of a run, or of the delete after a start, says so of all of the container's life."""
    bundle.config["linux"]["resources"]["cpu"] = {"quota": 5000, "period": 100000}
    bundle.shell(BUSY).save()
    ocirt.ok("run", "--bundle", bundle, "c1", options=["--trace", record])
    ocirt.ok("create", "--bundle", bundle, "c2")
    ocirt.ok("start", "c2", options=["--trace", record])
    ocirt.wait_status("c2", "stopped")
    ocirt.ok("delete", "c2", options=["--trace", record])
    ran, _, deleted = commands(record)
    for command in (ran, deleted):
        times, held_back = command.held_back
        assert times > 0 and held_back > 10**7, command.title


class Silent:
    """A file system in user space that never answers, until ``end``.

    :ivar place: where it is mounted.
    """

    def __init__(self, place):
        self.place = place
        place.mkdir()
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0"
        words = ["mount", "-i", "-t", "fuse", "-o", options, "silent", place]
        subprocess.run(words, pass_fds=[self._device], check=True, timeout=LIMIT)

    def end(self):
        """Whoever waits for an answer gets an error."""
        if self._device >= 0:
            os.close(self._device)
        self._device = -1


@pytest.fixture
def silent(tmp_path):
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse on this host")
    silent = Silent(tmp_path / "silent")
    yield silent
    silent.end()
    subprocess.run(["umount", "-l", silent.place], check=True, timeout=LIMIT)


def test_a_mount_that_hangs(ocirt, bundle, record, silent):
    """The source is on a file system that never answers: the record names the step, while the command lives and after
    somebody has killed it.
    """
    bundle.config["mounts"].append({"destination": "/mnt", "source": f"{silent.place}/sub", "options": ["bind"]})
    bundle.save()
    number = len(bundle.config["mounts"]) - 1
    process = subprocess.Popen(
        ocirt.command("create", "--bundle", bundle, "c1", options=["--trace", record]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        end = time.monotonic() + LIMIT / 3
        hung = []
        while not hung and time.monotonic() < end:
            time.sleep(0.1)
            if record.exists() and record.read_bytes().count(b"step") > 3:
                hung = [
                    span for span in commands(record)[0].spans if not span.ended and span.path == f"mounts[{number}]"
                ]
        assert hung, ocirt.ok("trace", "--format", "table", record).out
        shown = ocirt.ok("trace", record).out
        assert "ocirt create c1 (pid" in shown and "): has not ended after " in shown.splitlines()[0]
        longest = shown.partition("longest steps:")[2].splitlines()[1]
        assert shown.splitlines()[1].endswith(f"{hung[0].title}: has not ended")
        assert longest.endswith(f"{hung[0].title}: has not ended") and float(longest.split()[0]) > 100
        process.kill()  # its init hangs on
        process.wait(timeout=LIMIT)
        shown = ocirt.ok("trace", record).out
        assert "was ended from outside" in shown.splitlines()[0] and f"{hung[0].title}: has not ended" in shown
        path = shown.partition("critical path:")[2].partition("\n\n")[0]
        assert path.splitlines()[-1].endswith(f"{hung[0].title}: has not ended"), shown
    finally:
        silent.end()
        process.communicate(timeout=LIMIT)
    assert process.returncode == -signal.SIGKILL
    ocirt.ok("delete", "--force", "c1")


def test_a_bundle_that_hangs(ocirt, record, tmp_path, silent):
    """The runtime cannot even read config.json."""
    words = ocirt.command("create", "--bundle", silent.place / "sub", "c1", options=["--trace", record])
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wanted = f"read: {silent.place}/sub/config.json: has not ended"
        end = time.monotonic() + LIMIT / 3
        while not (record.exists() and wanted in ocirt.ok("trace", record).out):
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        silent.end()
        process.wait(timeout=LIMIT)


def test_a_killed_runtime_leaves_its_record(ocirt, bundle, record):
    bundle.config["hooks"] = {"createRuntime": [hook("sleep 100")]}
    bundle.save()
    process = subprocess.Popen(
        ocirt.command("create", "--bundle", bundle, "c1", options=["--trace", record]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + LIMIT / 3
    while not (record.exists() and b"RunHook" in record.read_bytes()):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.wait()
    ocirt.ok("delete", "--force", "c1")
    (command,) = commands(record)
    (ran,) = find(command, "RunHook")
    assert not ran.ended and find(command, "Mount")
    assert "RunHook: run hook /bin/sh (hooks.createRuntime[0]): has not ended" in ocirt.ok("trace", record).out
    json.loads(ocirt.ok("trace", "--format", "chrome", record).out)


@pytest.mark.parametrize("words", [("create",), ("start",), ("exec", "c1", "true")])
def test_a_verb_that_has_ended_says_so(ocirt, bundle, record, words):
    """Otherwise a runtime that was killed between two steps could not be told from one that has ended."""
    ocirt.ok("create", "--bundle", bundle.save(), "c1", options=["--trace", record])
    if words[0] != "create":
        ocirt.ok("start", "c1", options=["--trace", record])
    if words[0] == "exec":
        ocirt.ok(*words, options=["--trace", record])
        ocirt.ok("exec", "--detach", "c1", "true", options=["--trace", record])
    ocirt.fails("start", "none", options=["--trace", record])
    ocirt.ok("delete", "--force", "none", options=["--trace", record])
    found = commands(record)
    assert not [command.title for command in found if command.is_cut_off]
    assert [command.title for command in found if command.has_failed] == ["ocirt start none"]
    data = record.read_bytes()
    title = data.index(b"command\0title")
    killed = read(data[: title - 20] + b"B" + data[title - 19 :])[0]  # as before its end
    assert killed.is_cut_off and "was ended from outside" in killed.lasted


def test_what_python_refuses_is_in_the_record(ocirt, bundle, record):
    bundle.config["process"]["cwd"] = "relative"
    ocirt.fails("create", "--bundle", bundle.save(), "c1", options=["--trace", record])
    (command,) = commands(record)
    assert not command.is_cut_off and "process.cwd" in command.errors[0]


def test_a_cut_record_is_no_foreign_file(ocirt, bundle, record):
    ocirt.ok("create", "--bundle", bundle.save(), "c1", options=["--trace", record])
    os.truncate(record, 3000)
    message = ocirt.fails("delete", "--force", "c1", options=["--trace", record])
    assert "it is a record that somebody has cut: name a new file" in message
    assert f"{record}: cut: the end of the record is missing" in ocirt.fails("trace", record)


def test_an_empty_name_is_no_record(ocirt, bundle):
    message = ocirt.fails("create", "--bundle", bundle.save(), "c1", options=["--trace", ""])
    assert "--trace: found" in message and "expected a file or a directory" in message


def test_a_hook_that_fails(ocirt, bundle, record):
    bundle.config["hooks"] = {"createRuntime": [hook("echo no; exit 3")]}
    ocirt.fails("create", "--bundle", bundle.save(), "c1", options=["--trace", record])
    lines = ocirt.ok("trace", record).out.splitlines()
    assert "failed after" in lines[0] and "exit status 3: no" in lines[1] and "has not ended" not in lines[2]
    root, *spans = json.loads(ocirt.ok("trace", "--format", "otlp", record).out)["resourceSpans"][0]["scopeSpans"][0][
        "spans"
    ]
    assert root["status"]["code"] == 2 and "exit status 3" in root["status"]["message"]
    (ran,) = [span for span in spans if span["name"] == "RunHook"]
    assert ran["status"] == {"code": 2, "message": "exit status 3: no"}


def test_other_verbs_that_act_on_a_container(ocirt, bundle, record):
    """Also an update, which Python compiles; and what is not recorded says so."""
    ocirt.ok("create", "--bundle", bundle.save(), "c1")
    ocirt.ok("start", "c1")
    for words in (
        ("pause", "c1"),
        ("resume", "c1"),
        ("update", "--cpu-quota", "50000", "c1"),
        ("kill", "c1", "KILL"),
    ):
        ocirt.ok(*words, options=["--trace", record])
    paused, resumed, updated, killed = commands(record)
    assert [command.title for command in (paused, resumed, updated)] == [
        "ocirt pause c1",
        "ocirt resume c1",
        "ocirt update c1",
    ]
    assert killed.title == "ocirt kill c1 KILL"
    assert find(killed, "pidfd_send_signal") and not killed.is_cut_off and killed.end > killed.start
    assert find(paused, "FreezeCgroup") and [span for span in resumed.spans if span.path]
    assert [span.path for span in updated.spans if span.path]
    size = record.stat().st_size
    for words in (("state", "c1"), ("list",), ("ps", "c1")):
        done = ocirt(*words, options=["--trace", record])
        assert f"--trace: {words[0]} is not recorded" in done.err, done
    assert record.stat().st_size == size


def test_a_failed_step_has_its_error(ocirt, bundle, record):
    bundle.config["mounts"].append({"destination": "/mnt", "source": "/nowhere", "options": ["bind"]})
    ocirt.fails("create", "--bundle", bundle.save(), "c1", options=["--trace", record])
    (command,) = commands(record)
    (failed,) = [span for span in command.spans if span.error and span.thread == INIT]
    assert failed.path == f"mounts[{len(bundle.config['mounts']) - 1}]" and os.strerror(failed.error)
    assert [level for level, _ in command.notes] == ["error"]


def test_the_container_has_nothing_of_the_record(ocirt, bundle, record):
    """Neither the program nor the init of --init has it open or in its memory."""
    script = "cat /proc/self/maps /proc/1/maps; ls -l /proc/self/fd /proc/1/fd"
    for flags in ((), ("--init",)):
        bundle.shell(script).save()
        done = ocirt.ok("run", *flags, "--bundle", bundle, "c1", options=["--trace", record])
        assert "life.trace" not in done.out and "/proc/self/fd" in done.out
    bundle.args("sleep", str(2 * LIMIT)).save()
    ocirt.ok("create", "--bundle", bundle, "c1", options=["--trace", record])
    pid = ocirt.state("c1")["pid"]
    end = time.monotonic() + LIMIT / 3
    while "life.trace" in open(f"/proc/{pid}/maps").read():  # init waits for the end of create
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not [fd for fd in os.listdir(f"/proc/{pid}/fd") if "life.trace" in os.readlink(f"/proc/{pid}/fd/{fd}")]


def test_preserved_descriptors_are_the_callers(ocirt, bundle, record):
    """The record takes none of the numbers that the caller passes on."""
    bundle.shell("ls /proc/self/fd").save()
    done = ocirt.ok("run", "--preserve-fds", "2", "--bundle", bundle, "c1", options=["--trace", record])
    assert done.out.split() == ["0", "1", "2", "3"]  # 3 is the directory that ls lists


def test_a_directory_has_a_record_for_each_container(ocirt, bundle, tmp_path):
    folder = tmp_path / "traces"
    folder.mkdir()
    environment = {**os.environ, "OCIRT_TRACE": str(folder), "TRACEPARENT": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    traced = Runtime(ocirt.executable, ocirt.root)
    traced.environment = environment
    for words in (("create", "--bundle", bundle, "c1"), ("start", "c1"), ("state", "c1"), ("kill", "c1", "KILL")):
        traced.ok(*words)
    traced.wait_status("c1", "stopped")
    traced.ok("delete", "c1")
    assert os.listdir(folder) == ["c1.trace"]
    found = commands(folder / "c1.trace")
    assert [command.title for command in found] == [
        f"ocirt {each}" for each in ("create c1", "start c1", "kill c1 KILL", "delete c1")
    ]
    spans = json.loads(ocirt.ok("trace", "--format", "otlp", folder / "c1.trace").out)["resourceSpans"][0]
    roots = [span for span in spans["scopeSpans"][0]["spans"] if span["name"].startswith("ocirt ")]
    assert {(span["traceId"], span["parentSpanId"]) for span in roots} == {("ab" * 16, "cd" * 8)}


def test_a_record_that_cannot_be_written(ocirt, bundle, tmp_path):
    """A flag that cannot be obeyed is an error; the variable, which an engine passes on, is only a warning."""
    message = ocirt.fails("create", "--bundle", bundle, "c1", options=["--trace", tmp_path / "no/file"])
    assert "no/file: no such file or directory" in message
    foreign = tmp_path / "foreign"
    for text in ("something else", "x" * 65536):
        foreign.write_text(text)
        message = ocirt.fails("create", "--bundle", bundle, "c1", options=["--trace", foreign])
        assert f"--trace {foreign}: file exists (it is another user's, or no record: name a new file" in message
        assert foreign.read_text() == text
    traced = Runtime(ocirt.executable, ocirt.root)
    traced.environment = {**os.environ, "OCIRT_TRACE": str(foreign)}
    done = traced.ok("create", "--bundle", bundle, "c1")
    assert "OCIRT_TRACE" in done.err and "nothing is recorded" in done.err


def test_a_record_that_is_no_regular_file(ocirt, bundle, tmp_path):
    """The same is said of a file system that cannot reserve or share memory, as 9p."""
    os.mkfifo(tmp_path / "pipe")
    for path, error in ((tmp_path / "pipe", "illegal seek"), ("/dev/null", "no such device")):
        message = ocirt.fails("create", "--bundle", bundle, "c1", options=["--trace", path])
        assert f"--trace {path}: {error} (no regular file, or its file system shares no memory: " in message


def test_a_record_without_room_says_so(ocirt, bundle, record, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(400):
        bundle.config["mounts"].append({"destination": f"/mnt/{number}", "source": str(source), "options": ["bind"]})
    ocirt.ok("run", "--bundle", bundle.args("true").save(), "c1", options=["--trace", record])
    (command,) = commands(record)
    assert ("full", "the record has no room for what the command did from here on") in command.notes


def test_hooks_for_which_the_record_has_no_room(ocirt, bundle, record):
    """They are on the path, and init, which waits for them, is not. The end is recorded even so."""
    bundle.config["hooks"] = {"createRuntime": [hook("exit 0")] * 600}
    ocirt.ok("create", "--bundle", bundle.save(), "c1", options=["--trace", record])
    lines = ocirt.ok("trace", record).out.splitlines()
    assert "from outside" not in lines[0] and lines[1].startswith("  full: the record has no room")
    path = lines[lines.index("critical path:") + 1 : lines.index("longest steps:") - 1]
    (row,) = [each for each in path if each.endswith("steps for which the record had no room")]
    assert "runtime" in row and not [each for each in path if "hooked" in each], path


def test_a_hook_whose_time_is_up(ocirt, bundle, record):
    bundle.config["hooks"] = {"createContainer": [{**hook("sleep 100"), "timeout": 1}]}
    ocirt.fails("create", "--bundle", bundle.save(), "c1", options=["--trace", record])
    lines = ocirt.ok("trace", record).out.splitlines()
    assert "failed after" in lines[0] and "timed out after 1 s" in lines[1] and not lines[2], lines


def test_debug_prints_the_steps_of_every_process_as_they_happen(ocirt, bundle):
    bundle.config["hooks"] = {"startContainer": [hook("true")]}
    bundle.save()
    printed = {}
    for words in (
        ("create", "--bundle", bundle, "c1"),
        ("start", "c1"),
        ("exec", "c1", "true"),
        ("delete", "-f", "c1"),
    ):
        printed[words[0]] = ocirt.ok(*words, options=["--debug"]).err
    for verb, expected in {
        "create": ["host: create: commit the container", "init: mounts[0]: mount proc at /proc"],
        "start": ["exec_program: hooks.startContainer[0]: run hook /bin/sh", "exec_program: process.args: execute"],
        "exec": ["stage: linux.namespaces: ", "init: process.args: find the program"],
        "delete": ["delete: linux.cgroupsPath: remove cgroup "],
    }.items():
        for text in expected:
            assert text in printed[verb], (verb, printed[verb])


def test_debug_of_start_alone(ocirt, bundle):
    """Create's --debug does not count for start, and the other way round."""
    ocirt.ok("create", "--bundle", bundle, "c1", options=["--debug"])
    assert ocirt.ok("start", "c1").err == ""
    ocirt.ok("delete", "--force", "c1")
    assert ocirt.ok("create", "--bundle", bundle, "c1").err == ""
    assert "exec_program: process.args: execute the program" in ocirt.ok("start", "c1", options=["--debug"]).err
