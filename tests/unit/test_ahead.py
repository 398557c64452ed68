"""Programs for other orders of the same mounts."""

import errno
import json
import os
import platform

import pytest

from ocirt.cli import ahead, spec
from ocirt.compile import compile
from ocirt.model.config import parse
from ocirt.model.host import Host
from ocirt.model.request import Request
from ocirt.plan import cache
from ocirt.plan.encode import encoded

BUILD = "0" * 32
KEY = {"verb": "create"}
BOUND = {"id": "c", "bundle": "/bundle", "root": "/root", "console-socket": "/socket"}
WORDS = {**KEY, **BOUND, "cache-key": json.dumps(KEY), "cache-request": (KEY, BOUND)}


def bind(destination, *options):
    return {"destination": destination, "type": "bind", "source": f"/srv{destination}", "options": ["rbind", *options]}


FIXED = [{"destination": "/proc", "type": "proc", "source": "proc"}]
LAST = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
NAMES = ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/run/.containerenv"]
ODD = bind("/dev/shm", "nosuid", "nodev")
PODMAN = [*FIXED, *[bind(name) for name in NAMES[:2]], ODD, *[bind(name) for name in NAMES[2:]], LAST]


def kinds(mounts):
    return [ahead._kind(mount) for mount in mounts]


def test_the_orders_of_podman():
    """The mount with more options is in each other place; what is before and behind the row stays there."""
    orders = list(ahead.other_orders(PODMAN))
    assert sorted(order.index(ODD) for order in orders) == [1, 2, 4, 5]
    for order in orders:
        assert order[0] == FIXED[0] and order[-1] == LAST
        assert sorted(map(repr, order)) == sorted(map(repr, PODMAN))
    every = [kinds(PODMAN), *map(kinds, orders)]
    assert all(every.count(each) == 1 for each in every)


@pytest.mark.parametrize(
    "mounts",
    [
        [],
        FIXED,
        [*FIXED, bind("/a"), bind("/b"), LAST],
        [bind("/a"), LAST, bind("/b", "ro")],
        [bind("/a"), bind("/a/b", "ro"), bind("/c")],
        [bind("/a/b"), bind("/a/./", "ro")],
    ],
    ids=["nothing", "no bind", "all alike", "not in a row", "one below another", "one above another"],
)
def test_no_other_order(mounts):
    assert list(ahead.other_orders(mounts)) == []


def test_there_is_an_end_of_orders():
    mounts = [bind(f"/{number}", *["ro"] * number) for number in range(9)]
    orders = list(ahead.other_orders(mounts))
    assert len(orders) == ahead.ORDERS and mounts not in orders


@pytest.fixture
def config():
    config = spec.default() if os.geteuid() == 0 else spec.rootless(os.geteuid(), os.getegid())
    return {**config, "mounts": [*config["mounts"], *PODMAN[1:-1]]}


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "cache"
    path.mkdir(mode=0o700)
    return path


def compile_ahead(monkeypatch, directory, config):
    monkeypatch.setattr(ahead, "leave_caller", lambda: None)  # which closes all descriptors of this process
    words = {**WORDS, "cache": f"{directory}/{'0' * 16}.0"}
    ahead.compile_ahead(parse(json.dumps(config).encode()), words, Host(), None, BUILD)


def entries(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != ahead.LOCK}


def entry_of(config):
    """The entry that a create of this config writes."""
    read, host = parse(json.dumps(config).encode()), Host()
    program = encoded(compile(read, Request(WORDS), host, None), BUILD)
    return cache._entry(WORDS["cache-key"], cache._Sources(read, None, (KEY, BOUND)), read, host, program, BUILD)


def test_an_order_compiled_ahead_is_what_its_own_create_keeps(monkeypatch, directory, config):
    compile_ahead(monkeypatch, directory, config)
    orders = [{**config, "mounts": mounts} for mounts in ahead.other_orders(config["mounts"])]
    assert len(orders) == 4
    assert sorted(entries(directory).values()) == sorted(map(entry_of, orders))


def test_nothing_is_kept_twice(monkeypatch, directory, config):
    compile_ahead(monkeypatch, directory, config)
    first = entries(directory)
    for path in directory.iterdir():
        if path.name != ahead.LOCK:  # the launcher counts a hit
            data = path.read_bytes()
            path.write_bytes(data[: cache.HITS_AT] + b"\1" + data[cache.HITS_AT + 1 :])
    compile_ahead(monkeypatch, directory, config)
    assert entries(directory).keys() == first.keys()


def test_switched_off(monkeypatch, directory, config):
    monkeypatch.setitem(ahead.posix.environ, b"OCIRT_AHEAD", b"off")
    compile_ahead(monkeypatch, directory, config)
    assert entries(directory) == {}


def test_one_at_a_time(monkeypatch, directory, config):
    lock = os.open(directory / ahead.LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    ahead.flock(lock, ahead.LOCK_EX)
    compile_ahead(monkeypatch, directory, config)
    assert entries(directory) == {}
    os.close(lock)


def test_a_directory_that_is_gone_is_no_error(monkeypatch, directory, config):
    directory.rmdir()
    compile_ahead(monkeypatch, directory, config)


def without_scheduler(*_):
    """As musl has it."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


HAS_SCHEDULER = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="musl refuses it")


@pytest.mark.parametrize("has_scheduler", [pytest.param(True, marks=HAS_SCHEDULER), False])
def test_the_process_that_compiles_ahead_keeps_nothing_of_the_callers(monkeypatch, tmp_path, has_scheduler):
    """Its descriptors, session, directory and priority, and when it ends, whatever the caller ignores and the C library lacks."""
    if not has_scheduler:
        monkeypatch.setattr(ahead.posix, "sched_setscheduler", without_scheduler)
    ours, theirs = os.pipe()
    told = tmp_path / "told"
    pid = os.fork()
    if not pid:
        try:
            ahead.signal(ahead.SIGALRM, 1)  # SIG_IGN
            ahead.leave_caller()
            open_now = {os.readlink(f"/proc/self/fd/{fd}") for fd in range(64) if os.path.exists(f"/proc/self/fd/{fd}")}
            policy = open("/proc/self/stat").read().rpartition(")")[2].split()[38]  # proc(5) counts from 3 here
            state = (os.getsid(0) == os.getpid(), os.getcwd(), int(policy), os.getpriority(os.PRIO_PROCESS, 0))
            told.write_text(json.dumps([sorted(open_now), *state]))
            while True:
                pass
        finally:
            os._exit(9)
    os.close(theirs)
    assert os.read(ours, 1) == b""  # the process has closed its end
    os.close(ours)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == ahead.SIGALRM
    policy = os.SCHED_IDLE if has_scheduler else os.SCHED_OTHER
    assert json.loads(told.read_text()) == [["/dev/null"], True, "/", policy, ahead.LOWEST]


def test_the_hash_in_a_name_is_fnv_1a():
    """As base/text.c has it."""
    assert cache._hash(b"") == 0xCBF29CE484222325 and cache._hash(b"foobar") == 0x85944171F73967E8
