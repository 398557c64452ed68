"""ocirt.Pool: containers that wait for their programs (docs/library.md, "A pool")."""

import asyncio
import gc
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import ocirt as library
from ocirt import PIPE, Container, Pool
from tests.integration.harness import LIMIT, cgroups_path, hierarchies
from tests.integration.library import children, config_for, descriptors
from tests.integration.library_fixtures import service, with_python

__all__ = ["service", "with_python"]  # fixtures of the tests here

PYTHON = "/usr/bin/python3"


@pytest.fixture
def pool(image, runtime):
    with Pool(config_for("unused", cgroup=cgroups_path("pool")), rootfs=image, size=3, runtime=runtime) as pool:
        yield pool


@pytest.fixture
def warm(with_python, runtime):
    config = config_for("unused", cgroup=cgroups_path("warm"))
    first = [PYTHON, "-c", "import decimal\nseen = ['first']"]
    with Pool(config, rootfs=with_python, size=2, warm=first, runtime=runtime) as pool:
        yield pool


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def mounts():
    with open("/proc/self/mountinfo") as file:
        return sorted(line.split()[4] for line in file)


# ---- a late container ----


def test_late_container_gets_its_program_at_start(image, runtime):
    config = config_for("unused", cgroup=cgroups_path("late"))
    with Container.create(config=config, rootfs=image, runtime=runtime, late=True) as container:
        with pytest.raises(library.WrongState):
            container.start()
        container.start(["sh", "-c", "read a; echo $a $B $PWD"], env={"B": "b"}, cwd="/tmp", stdin=PIPE, stdout=PIPE)
        container.stdin.write(b"a\n")
        container.stdin.close()
        assert container.stdout.read() == b"a b /tmp\n" and container.wait() == 0


def test_late_and_plain_are_not_mixed(image, runtime):
    config = config_for("true", cgroup=cgroups_path("plain"))
    with Container.create(config=config, rootfs=image, runtime=runtime) as container:
        with pytest.raises(library.WrongState, match="create --late"):
            container.start(["true"])
        with pytest.raises(library.RequestError, match="args"):
            container.start(env={"A": "1"})
    with pytest.raises(library.RequestError, match="late"):
        Container.create(config=config, rootfs=image, runtime=runtime, late=True, stdout=PIPE)


def test_failure_of_a_late_start_is_the_programs(image, runtime):
    config = config_for("unused", cgroup=cgroups_path("late"))
    with Container.create(config=config, rootfs=image, runtime=runtime, late=True) as container:
        with pytest.raises(library.ProgramError, match="executable file not found"):
            container.start(["missing"], stderr=PIPE)
        assert container.status == "stopped"


# ---- a cold pool ----


def test_each_program_gets_a_container_of_its_own(pool, ocirt):
    seen = set()
    for number in range(7):
        result = pool.run(["sh", "-c", "cat; hostname; ls /tmp; touch /tmp/x; exit 3"], input="in\n")
        lines = result.text.splitlines()
        assert result.returncode == 3 and lines[0] == "in" and len(lines) == 2
        assert result.seconds > 0 and result.cpu_seconds > 0
        seen.add(number)
    assert len(seen) == 7


def test_variables_directory_and_streams(pool, tmp_path):
    result = pool.run(["sh", "-c", "echo $A $PWD; echo error >&2"], env={"A": "1"}, cwd="/tmp", stderr=library.STDOUT)
    assert (result.text, result.stderr) == ("1 /tmp\nerror\n", b"")
    with open(tmp_path / "out", "wb") as file:
        assert pool.run(["echo", "x"], stdout=file).text == ""
    assert (tmp_path / "out").read_text() == "x\n"


def test_it_is_refilled_beside_and_leaves_nothing(image, runtime, ocirt):
    gc.collect()
    before = descriptors()
    with Pool(config_for("x", cgroup=cgroups_path("p")), rootfs=image, size=4, runtime=runtime) as pool:
        wait_for(lambda: len(ocirt.ids()) == 4)
        pool.run(["true"], check=True)
        wait_for(lambda: len(ocirt.ids()) == 4)
    assert ocirt.ids() == []
    with pytest.raises(library.OcirtError, match="closed"):
        pool.run(["true"])
    del pool
    gc.collect()
    assert (children(), descriptors()) == ([], before)


def test_time_and_output_are_limited(pool):
    with pytest.raises(library.TimeoutExpired) as caught:
        pool.run(["sh", "-c", "echo begun; sleep 60"], timeout=0.5)
    assert caught.value.stdout == b"begun\n"
    result = pool.run(["yes"], max_output=10)
    assert result.truncated and len(result.stdout) == 10 and result.signal == signal.SIGKILL
    with pytest.raises(library.CommandFailed):
        pool.run(["false"], check=True)
    with pytest.raises(library.ProgramError):
        pool.run(["missing"])
    with pytest.raises(library.RequestError):
        pool.run("echo text")
    for wrong in ({"cwd": "relative"}, {"env": {"A=": "1"}}, {"env": {"": "1"}}, {"env": {"A": "\0"}}):
        with pytest.raises(library.RequestError):
            pool.run(["true"], **wrong)
    assert pool.run(["echo", "still"]).text == "still\n"


def test_a_container_that_is_killed_while_it_waits_is_not_used(pool, ocirt):
    wait_for(lambda: len(ocirt.ids()) == 3)
    for id in ocirt.ids():
        ocirt.wait_status(id, "created")
        ocirt.ok("kill", id, "KILL")
    wait_for(lambda: not ocirt.ids())
    assert pool.run(["echo", "x"]).text == "x\n"


def test_supervisors_are_used_again(pool, ocirt):
    """Many programs need no more supervisors, descriptors and containers than a few."""
    for _ in range(10):
        pool.run(["true"], check=True)
    gc.collect()
    before, supervisors = descriptors(), set(children())
    for _ in range(60):
        pool.run(["true"], check=True)
    gc.collect()
    assert descriptors() == before and set(children()) == supervisors and len(ocirt.ids()) == len(supervisors) == 3


def test_what_is_killed_or_deleted_outside_is_replaced(pool, ocirt):
    pool.run(["true"], check=True)
    wait_for(lambda: [ocirt.status(id) for id in ocirt.ids()] == ["created"] * 3)
    for pid in children():
        os.kill(int(pid), signal.SIGKILL)
        os.waitid(os.P_PID, int(pid), os.WEXITED | os.WNOWAIT)
    assert [pool.run(["echo", "x"]).text for _ in range(4)] == ["x\n"] * 4
    wait_for(lambda: [ocirt.status(id) for id in ocirt.ids()] == ["created"] * 3)
    for id in ocirt.ids():
        ocirt.ok("delete", "--force", id)
    assert [pool.run(["echo", "x"]).text for _ in range(4)] == ["x\n"] * 4


def test_closing_removes_what_a_killed_supervisor_has_left(image, runtime, ocirt):
    """Both of one whose container waits, and of one whose program runs."""
    with Pool(config_for("x", cgroup=cgroups_path("p")), rootfs=image, size=2, runtime=runtime) as pool:
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(pool.run, ["sleep", "60"])
            wait_for(lambda: sorted(map(ocirt.status, ocirt.ids())) == ["created", "running"])
            for pid in children():
                os.kill(int(pid), signal.SIGKILL)
            assert isinstance(running.exception(), library.InstallationError)
        wait_for(lambda: len(ocirt.ids()) == 2)
    assert ocirt.ids() == [] and os.listdir(ocirt.root) == []
    own = cgroups_path("p").strip("/")
    assert not [each for top in hierarchies() for each in (top / own).glob("*/")]


def test_wrong_config_is_told_when_the_pool_opens(image, runtime):
    config = config_for("x", cgroup=cgroups_path("p"))
    config["process"]["cwd"] = "relative"
    with pytest.raises(library.ConfigError, match="process.cwd"):
        with Pool(config, rootfs=image, runtime=runtime):
            pass
    for wrong in ({"size": 0}, {"warm": ["sh"]}, {"warm": "python3"}):
        with pytest.raises(library.RequestError):
            Pool(config, rootfs=image, runtime=runtime, **wrong)


def test_threads(pool):
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda n: pool.run(["echo", str(n)], check=True).text, range(40)))
    assert results == [f"{n}\n" for n in range(40)]


def test_asyncio(image, runtime, ocirt):
    async def main():
        config = config_for("x", cgroup=cgroups_path("p"))
        async with library.aio.Pool(config, rootfs=image, size=2, runtime=runtime) as pool:
            results = await asyncio.gather(*[pool.run(["echo", str(n)]) for n in range(10)])
            task = asyncio.create_task(pool.run(["sleep", "60"]))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return [result.text for result in results]

    assert asyncio.run(main()) == [f"{n}\n" for n in range(10)]
    assert ocirt.ids() == []


# ---- a warm pool ----


def test_warm_interpreter_has_done_its_imports(warm):
    code = "import sys\nprint(seen, 'decimal' in sys.modules, sys.argv, __name__, input())"
    result = warm.run([PYTHON, "-c", code, "one", "two"], input="typed\n")
    assert result.text == "['first'] True ['-c', 'one', 'two'] __main__ typed\n" and result.stderr == b""
    code = "import os; seen.append(1); print(seen, os.environ['A'], os.getcwd()); raise SystemExit(5)"
    for _ in range(3):
        result = warm.run([PYTHON, "-c", code], env={"A": "a"}, cwd="/tmp")
        assert (result.returncode, result.text) == (5, "['first', 1] a /tmp\n")
    result = warm.run([PYTHON, "-c", "1/0"])
    assert result.returncode == 1 and b"ZeroDivisionError" in result.stderr
    assert warm.run([PYTHON, "-c", "import os; print(os.listdir('/proc/self/fd'))"]).text == "['0', '1', '2', '3']\n"
    large = "x = '" + "a" * 300_000 + "'; print(len(x))"
    assert warm.run([PYTHON, "-c", large]).text == "300000\n"


def test_warm_pool_runs_programs_of_its_interpreter_only(warm):
    for args in (["sh", "-c", "true"], [PYTHON, "x.py"], [PYTHON]):
        with pytest.raises(library.RequestError, match="interpreters run already"):
            warm.run(args)
    with pytest.raises(library.TimeoutExpired):
        warm.run([PYTHON, "-c", "import time; time.sleep(60)"], timeout=0.5)


def test_first_program_that_fails_is_told(with_python, runtime, ocirt):
    config = config_for("x", cgroup=cgroups_path("warm"))
    with pytest.raises(library.RequestError, match="No module named 'missing_module'"):
        with Pool(config, rootfs=with_python, warm=[PYTHON, "-c", "import missing_module"], runtime=runtime):
            pass
    wait_for(lambda: not ocirt.ids())


# ---- the end of the service ----


def test_killed_in_the_middle_of_load(service, ocirt, tmp_path):
    """SIGKILL of the service leaves no container, cgroup, mount or file, whatever the pool is doing at that moment; nor
    does a fork of it.
    """
    before, temporary = mounts(), tmp_path / "temporary"
    temporary.mkdir()
    running = service(
        f"""
        pool = ocirt.Pool(config_for("x", cgroup={cgroups_path("svc")!r}), rootfs=image, size=4, runtime=runtime)
        def work():
            while True:
                pool.run(["sh", "-c", "sleep 0.05"], check=True)
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(1)
        if os.fork() == 0:
            try:
                pool.run(["true"])
            except ocirt.OcirtError as error:
                print(error, flush=True)
            time.sleep(3)
            os._exit(0)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert "comes from a fork" in running.stdout.readline()
    assert running.wait(LIMIT) == -signal.SIGKILL
    wait_for(lambda: not ocirt.ids())
    own = cgroups_path("svc").strip("/")
    wait_for(lambda: not [each for top in hierarchies() for each in (top / own).glob("*/")])
    assert (mounts(), os.listdir(ocirt.root), os.listdir(temporary)) == (before, [], [])
    running.stdout.close()
