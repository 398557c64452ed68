"""The library in a service: threads and their libraries, signals, descriptors, and the service's own end. Most of it runs in a
process of its own, which is to be killed, or must not be pytest's."""

import gc
import os
import re
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ocirt import PIPE, Container, run
from tests.integration.harness import LIMIT, cgroups_path
from tests.integration.library import children, config_for, descriptors
from tests.integration.library_fixtures import run_as_user, service

__all__ = ["service"]  # fixtures of the tests here


def ended(service):
    out, _ = service.communicate(timeout=LIMIT * 3)
    assert service.returncode == 0, out
    return out


def wait_for(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- threads ----


def test_two_hundred_containers_from_eight_threads(ocirt, image, runtime):
    """In a process with numpy's threads and others at work, which allocate, lock and compute all the time."""
    numpy = pytest.importorskip("numpy")
    matrix = numpy.random.rand(200, 200)
    stop = threading.Event()

    def work():
        while not stop.wait(0.005):
            assert (matrix @ matrix).sum() > 0

    busy = [threading.Thread(target=work) for _ in range(4)]
    [each.start() for each in busy]
    gc.collect()
    before = descriptors()
    try:

        def one(number):
            config = config_for(
                "sh", "-c", f"cat; echo {number}; exit {number % 100}", cgroup=cgroups_path(f"c{number}")
            )
            if number % 4:
                return run(config=config, rootfs=image, input="in ", runtime=runtime)
            with Container.create(config=config, rootfs=image, runtime=runtime, stdout=PIPE) as container:
                container.start()
                assert container.stdout.read() == f"{number}\n".encode()
                return container.wait()

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(one, range(200)))
    finally:
        stop.set()
        [each.join() for each in busy]
    for number, result in enumerate(results):
        assert (
            result == number % 100
            if number % 4 == 0
            else (result.returncode, result.text) == (number % 100, f"in {number}\n")
        )
    gc.collect()
    assert (children(), descriptors(), ocirt.ids()) == ([], before, [])


def test_one_container_in_several_threads(image, runtime):
    """All wait for it, one runs processes in it, one deletes it under the others' hands."""
    with Container.create(config=config_for("sleep", "60"), rootfs=image, runtime=runtime) as container:
        container.start()
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(container.wait, LIMIT) for _ in range(4)]
            ran = [pool.submit(container.run, ["echo", "x"]) for _ in range(3)]
            assert [each.result().text for each in ran] == ["x\n"] * 3
            container.delete(force=True)
            assert [each.result() for each in waiting] == [137] * 4
    del waiting, ran, container
    gc.collect()
    assert children() == []


def test_it_never_forks(service, tmp_path):
    """What the kernel sees: each process of the service's is a vfork that executes the static executable; and the second
    container of a shape runs no interpreter."""
    trace = tmp_path / "trace"
    strace = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "signal=none",
        "-e",
        "trace=clone,clone3,fork,vfork,unshare,setns,execve",
        "-o",
        trace,
    ]
    ended(
        service(
            """
        for _ in range(2):
            ocirt.run(config=config_for("true"), rootfs=image, runtime=runtime)
            with ocirt.Container.create(config=config_for("sleep", "9"), rootfs=image, runtime=runtime) as container:
                container.start()
    """,
            *strace,
        )
    )
    lines = [line.split(None, 1) for line in trace.read_text().splitlines()]
    own = [call for pid, call in lines if pid == lines[0][0]]
    made = [call for call in own if re.match(r"clone|fork|vfork|unshare|setns", call)]
    assert len(made) == 2 * (1 + 3) and all(
        re.match(r"vfork\(|clone3?\(.*CLONE_VM\|CLONE_VFORK", call) for call in made
    ), made
    # Two shapes of command line, create and run, each compiled once; the other verbs have no interpreter ever.
    assert sum("python" in call.split(",")[0] for pid, call in lines[1:] if call.startswith("execve")) <= 2


# ---- what a service has done to its process ----


def test_ignored_children_and_blocked_signals(service):
    """SIGCHLD ignored, so that the kernel reaps; and all signals blocked. None of it is the container's."""
    out = ended(
        service("""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        result = ocirt.run(config=config_for("sh", "-c", "grep -e SigBlk -e SigIgn /proc/self/status; exit 3"), rootfs=image,
                           runtime=runtime)
        print(result.returncode, result.text.split()[1::2])
        with ocirt.Container.create(config=config_for("sleep", "60"), rootfs=image, runtime=runtime) as container:
            container.start()
            container.kill()
            print(container.wait())
    """)
    )
    assert out.splitlines() == [f"3 {['0' * 16] * 2}", "137"]


def test_closed_standard_streams(service):
    """Descriptors 0, 1 and 2 are free, and taken by whatever is opened next: nothing of it gets into the container."""
    out = ended(
        service("""
        out = os.dup(1)
        for fd in range(3):
            os.close(fd)
        result = ocirt.run(config=config_for("sh", "-c", "cat; ls /proc/self/fd; echo error >&2"), rootfs=image, input="in ",
                           runtime=runtime)
        os.write(out, repr((result.text.split(), result.stderr)).encode())
    """)
    )
    assert out == repr((["in", "0", "1", "2", "3"], b"error\n"))


def test_inheritable_descriptors_stay_out(service):
    """What another library has made inheritable does not get into the container."""
    out = ended(
        service("""
        fd = os.open("/etc/hostname", os.O_RDONLY)
        os.set_inheritable(fd, True)
        os.dup2(fd, 50)
        with ocirt.Container.create(config=config_for("ls", "/proc/self/fd"), rootfs=image, runtime=runtime,
                                    stdout=ocirt.PIPE) as container:
            container.start()
            print(container.stdout.read().split())
    """)
    )
    assert out.strip() == repr([b"0", b"1", b"2", b"3"])


def test_a_signal_while_waiting(service):
    """Ctrl-C at any moment of a container's life: the block is left, and nothing is there any more."""
    assert (
        ended(
            service("""
        def interrupt(*_):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        interrupted = 0
        for number in range(40):
            signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.002 * number)
            try:
                if number % 2:
                    ocirt.run(config=config_for("sleep", "60"), rootfs=image, runtime=runtime)
                with ocirt.Container.create(config=config_for("sleep", "60"), rootfs=image, runtime=runtime) as container:
                    container.start()
                    container.wait()
            except KeyboardInterrupt:
                interrupted += 1
            # Between two lines of ours nobody can hold a container: it goes by itself then, and is waited for later.
            end = time.monotonic() + 20
            while ocirt.Container.list(runtime=runtime) != []:
                assert time.monotonic() < end, number
        while children() and time.monotonic() < end:
            ocirt.run(config=config_for("true"), rootfs=image, runtime=runtime)
        print(interrupted, children(), [each for each in descriptors().values() if "pidfd" in each or "memfd" in each])
    """)
        )
        == "40 [] []\n"
    )


# ---- its end ----


@pytest.mark.parametrize("paused", [False, True])
def test_the_death_of_the_service_is_that_of_its_containers(ocirt, service, paused):
    program = service(f"""
        container = ocirt.Container.create(config=config_for("sleep", "600"), rootfs=image, runtime=runtime)
        container.start()
        process = container.exec(["sleep", "601"])
        if {paused}:
            container.pause()
        print(container.pid, process.pid, flush=True)
        time.sleep(600)
    """)
    pids = program.stdout.readline().split()
    assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
    program.kill()
    program.wait()
    program.stdout.close()
    wait_for(lambda: ocirt.ids() == [])
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids))


def test_a_container_that_nobody_holds_ends(ocirt, image, runtime):
    """The object goes, without a word: so does the container, and the next one takes its supervisor off our hands."""
    container = Container.create(config=config_for("sleep", "60"), rootfs=image, id="c1", runtime=runtime)
    container.start()
    process = container.exec(["sleep", "60"])
    assert ocirt.ids() == ["c1"]
    del container, process
    gc.collect()
    wait_for(lambda: ocirt.ids() == [])
    wait_for(lambda: run(config=config_for("true"), rootfs=image, runtime=runtime).returncode == 0 and children() == [])


def test_a_killed_supervisor(ocirt, image, runtime):
    """Somebody kills the process that supervises the container: the container goes on, and is deleted like any other."""
    with Container.create(config=config_for("sleep", "60"), rootfs=image, id="c1", runtime=runtime) as container:
        container.start()
        (supervisor,) = children()
        pidfd = os.pidfd_open(int(supervisor))
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
        assert container.wait(LIMIT) is None and container.status == "running"


def test_a_killed_run(ocirt, image, runtime):
    """The same while ocirt.run waits: an error, and nothing is left."""
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(run, config=config_for("sleep", "60"), rootfs=image, id="c1", runtime=runtime)
        wait_for(lambda: ocirt.ids() == ["c1"] and ocirt.status("c1") == "running")
        (supervisor,) = children()
        pidfd = os.pidfd_open(int(supervisor))
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
        assert "without a report" in str(result.exception(LIMIT))
    assert ocirt.ids() == []


# ---- a user without root's rights ----


def test_a_user(user, image, tmp_path):
    """In an installed package, which finds its executable; without root's rights; nothing is given but the rootfs."""
    home = tmp_path / "home"
    shutil.copytree(image, home / "rootfs", symlinks=True)
    done = run_as_user(
        user,
        f"""
        assert runtime.executable == {str(user.executable)!r}, runtime.executable
        unlimited = dict(memory=None, processes=None, cpus=None)  # tests/integration/test_rootless.py has limits
        config = ocirt.sandbox(["sh", "-c", "id -u; cat; touch /tmp/x; touch /x 2>/dev/null || exit 3"], **unlimited)
        result = ocirt.run(config=config, rootfs={str(home / "rootfs")!r}, input="in", timeout={LIMIT}, runtime=runtime)
        print(result.returncode, result.text.split(), result.stderr)
        with ocirt.Container.create(config=ocirt.sandbox(["sleep", "60"], **unlimited), rootfs={str(home / "rootfs")!r}, runtime=runtime) as c:
            c.start()
            print(c.status, c.run(["echo", "there"]).text)
        print(ocirt.Container.list(runtime=runtime))
        """,
    )
    assert done.stdout.split("\n") == ["3 ['0', 'in'] b''", "running there", "", "[]", ""], done
