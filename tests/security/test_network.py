"""ocirt.Net: a container reaches what its list allows, and finds no way around it.

The traffic stays in network namespaces that the test makes (tests/integration/lan.py).
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.integration.conftest import runtime
from tests.integration.harness import LIMIT, TREE, UID, cgroups_path
from tests.integration.lan import on_lan
from tests.integration.library_fixtures import run_as_user, with_python

__all__ = ["runtime", "with_python"]  # fixtures of the tests here

ATTEMPTS = """
import ctypes, json, os, socket, subprocess
found = {}
def attempt(name, work):
    try:
        found[name] = repr(work() or "done")
    except OSError as error:
        found[name] = os.strerror(error.errno) if error.errno else str(error)
def reach(address, port, family=socket.AF_INET):
    with socket.socket(family) as connection:
        connection.settimeout(10)
        connection.connect((address, port))
        return connection.recv(9).decode()
def new_address():
    route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    attributes = bytes([8, 0, 2, 0, 10, 9, 0, 7])
    head = (len(attributes) + 24).to_bytes(4, "little") + bytes([20, 0, 5, 6]) + bytes(8)
    route.send(head + bytes([2, 24, 0, 0, 2, 0, 0, 0]) + attributes)
    error = int.from_bytes(route.recv(999)[16:20], "little", signed=True)
    if error: raise OSError(-error, "")
attempt("allowed", lambda: reach("10.9.0.2", 8000))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
attempt("change the interface", new_address)
"""
INSIDE = f"""{ATTEMPTS}
attempt("other address", lambda: reach("10.9.0.3", 8000))
attempt("other port", lambda: reach("10.9.0.2", 8001))
attempt("loopback of the host", lambda: reach("127.0.0.1", 9000))
attempt("address of the host", lambda: reach("10.9.0.1", 9000))
attempt("other address of the host", lambda: reach("10.9.9.1", 9000))
attempt("IPv6", lambda: reach("2001:db8:9::2", 8000, socket.AF_INET6))
attempt("other IPv6 address", lambda: reach("2001:db8:9::3", 8000, socket.AF_INET6))
attempt("mapped", lambda: reach("::ffff:10.9.0.3", 8000, socket.AF_INET6))
attempt("DNS", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("10.9.0.2", 53)))
attempt("netfilter", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12))
attempt("ping", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1).sendto(b"x", ("10.9.0.3", 0)))
print(json.dumps(found))
"""
ROOT = f"""{ATTEMPTS}
libc = ctypes.CDLL(None, use_errno=True)
def call(result):
    if result: raise OSError(ctypes.get_errno(), "")
def nft(rules):
    done = subprocess.run(["/usr/sbin/nft", rules], capture_output=True, text=True)
    return "refused" if done.returncode and "Operation not permitted" in done.stderr else done
def join():
    call(libc.setns(os.open("/proc/1/ns/net", os.O_RDONLY), 0x40000000))
attempt("delete the rules", lambda: nft("delete table inet ocirt"))
attempt("a table of its own", lambda: nft("add table inet own"))
attempt("join the namespace", join)
attempt("a new user namespace", lambda: call(libc.unshare(0x10000000)))
attempt("delete the rules from there", lambda: nft("delete table inet ocirt"))
attempt("join the namespace from there", join)
attempt("other address", lambda: reach("10.9.0.3", 8000))
print(json.dumps(found))
"""
OUTSIDE = """
import json, os, select, subprocess, sys, time
sys.path.insert(0, {tree!r})
import ocirt
runtime = ocirt.Runtime(executable={executable!r}, root={root!r}, environment={{}}, cgroup_manager={manager!r})
config = ocirt.sandbox(["python3", "-c", {inside!r}], cgroup={cgroup!r})
given = dict(config=config, rootfs={rootfs!r}, runtime=runtime)
described = dict(rootfs={rootfs!r}, runtime=runtime, cgroup={parent!r})
{program}
"""
CONNECTING = """
def connecting():
    found, own = [], os.readlink("/proc/self/ns/net")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as name:
                if name.read().startswith(("pasta", "passt")) and os.readlink(f"/proc/{pid}/ns/net") == own:
                    found.append(pid)
        except OSError:  # it has ended, or is not ours to look at
            continue
    return found
"""
"""The processes of pasta on the host of the program, which has a network namespace of its own."""
OF_USER = """
import json, os, select, subprocess, time
unlimited = dict(memory=None, processes=None, cpus=None)
config = ocirt.sandbox(["python3", "-c", {inside!r}], **unlimited)
given = dict(config=config, rootfs={rootfs!r}, runtime=runtime)
described = dict(rootfs={bare!r}, files={{"/usr": ocirt.Bind("/usr")}}, runtime=runtime, **unlimited)
"""


@pytest.fixture
def on_a_lan(runtime, with_python):
    """Runs a program that uses the library, where the host is 10.9.0.1 and a server on 10.9.0.2 and 10.9.0.3."""

    def run(program, inside=INSIDE):
        text = OUTSIDE.format(
            tree=str(TREE),
            executable=runtime.executable,
            root=str(runtime.root),
            manager=runtime.cgroup_manager,
            inside=inside,
            cgroup=cgroups_path("network"),
            parent=cgroups_path("sandboxes"),
            rootfs=str(with_python),
            program=CONNECTING + textwrap.dedent(program),
        )
        done = subprocess.run(on_lan(sys.executable, "-c", text), capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    return run


@pytest.fixture
def users_lan(user, with_python, tmp_path):
    """Runs such a program as a user without root's rights, whose overlay may have no mount below its layer."""
    bare = tmp_path / "bare"
    shutil.copytree(with_python, bare, symlinks=True, ignore=shutil.ignore_patterns("usr"))
    (bare / "usr").mkdir()

    def run(program, inside=INSIDE):
        text = (
            OF_USER.format(inside=inside, rootfs=str(with_python), bare=str(bare))
            + CONNECTING
            + textwrap.dedent(program)
        )
        done = run_as_user(user, text, on_lan=True)
        assert done.returncode == 0, done
        end = time.monotonic() + 20
        while (left := processes_of_user()) and time.monotonic() < end:
            time.sleep(0.05)
        assert left == []
        assert user.ids() == []
        return json.loads(done.stdout)

    return run


def processes_of_user():
    """What the user's processes are, on the whole host."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}").st_uid == UID or f"Uid:\t{UID}" in Path(f"/proc/{pid}/status").read_text():
                found.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:  # it has ended
            continue
    return found


@pytest.fixture(params=["root", pytest.param("user", marks=pytest.mark.rootless)])
def on_any_lan(request):
    """Both."""
    return request.getfixturevalue("on_a_lan" if request.param == "root" else "users_lan")


REFUSED, DENIED = "Connection refused", "Operation not permitted"
ALLOW = ["10.9.0.2:8000/tcp", "[2001:db8:9::2]:8000/tcp"]


def test_what_is_not_allowed_is_not_reached(on_any_lan):
    found, denied = on_any_lan(
        f"""
        result = ocirt.run(**given, net=ocirt.Net(allow={ALLOW}), timeout=60)
        assert result.returncode == 0 and 0 < result.seconds < 60, result
        print(json.dumps([json.loads(result.stdout), result.denied]))
        """
    )
    assert found.pop("allowed") == found.pop("IPv6") == "'there'"
    assert found.pop("ping") != "'done'"
    assert found == {
        "other IPv6 address": REFUSED,
        "other address": REFUSED,
        "other port": REFUSED,
        "loopback of the host": REFUSED,
        "address of the host": REFUSED,
        "other address of the host": REFUSED,
        "mapped": REFUSED,
        "DNS": DENIED,
        "raw": DENIED,
        "packet": DENIED,
        "netfilter": DENIED,
        "change the interface": DENIED,
    }
    assert denied == [
        "10.9.0.2:53/udp",
        "10.9.0.2:8001/tcp",
        "10.9.0.3:8000/tcp",
        "10.9.9.1:9000/tcp",
        "[2001:db8:9::3]:8000/tcp",
    ]


def test_the_gateways_address_is_not_the_hosts_loopback(on_any_lan):
    """By default pasta leads there. An old pasta says nothing where the true gateway refuses."""
    found = on_any_lan(
        """
        result = ocirt.run(**given, net=ocirt.Net(allow=["10.9.0.2:9000/tcp"]))
        print(json.dumps(result.text))
        """,
        """
import socket
try:
    print(socket.create_connection(("10.9.0.2", 9000), 2).recv(9).decode(), end="")
except OSError as error:
    print(error, end="")
""",
    )
    assert found in ("timed out", "[Errno 111] Connection refused")


@pytest.mark.parametrize(
    "on_lan, has_user_namespace",
    [("on_a_lan", False), ("on_a_lan", True), pytest.param("users_lan", False, marks=pytest.mark.rootless)],
)
def test_root_cannot_change_the_rules(request, on_lan, has_user_namespace):
    """With every capability that a container with a Net may have, with no seccomp filter, and from new namespaces."""
    program = """
        from ocirt.library.network import HARMLESS
        for kind in config["process"]["capabilities"]:
            config["process"]["capabilities"][kind] = sorted(HARMLESS)
        config["process"]["user"] = {"uid": 0, "gid": 0}
        del config["linux"]["seccomp"]
        """
    if has_user_namespace:
        program += """
        config["linux"]["namespaces"].append({"type": "user"})
        maps = [{"containerID": 0, "hostID": 0, "size": 65536}]
        config["linux"].update(uidMappings=maps, gidMappings=maps)
        del config["linux"]["resources"]["devices"]
        """
    program += f"""
        result = ocirt.run(**given, net=ocirt.Net(allow={ALLOW}), timeout=60)
        assert result.returncode == 0, result
        print(json.dumps([json.loads(result.stdout), result.denied]))
        """
    found, denied = request.getfixturevalue(on_lan)(program, ROOT)
    assert found == {
        "allowed": "'there'",
        "raw": DENIED,
        "packet": DENIED,
        "change the interface": DENIED,
        "delete the rules": "'refused'",
        "a table of its own": "'refused'",
        "join the namespace": DENIED,
        "a new user namespace": "'done'",
        "delete the rules from there": "'refused'",
        "join the namespace from there": DENIED,
        "other address": REFUSED,
    }
    assert denied == ["10.9.0.3:8000/tcp"]


def test_the_rules_hold_before_the_program_runs(on_a_lan):
    tables = on_a_lan(
        """
        with ocirt.Container.create(**given, net=ocirt.Net(publish={8070: 80})) as container:
            enter = ["nsenter", f"--net=/proc/{container.pid}/ns/net", "nft", "--json", "list", "ruleset"]
            assert container.status == "created" and len(connecting()) == 1
            print(subprocess.run(enter, check=True, capture_output=True, text=True).stdout)
        """
    )["nftables"]
    policies = {each["chain"]["name"]: each["chain"]["policy"] for each in tables if "chain" in each}
    assert policies == {"output": "drop", "input": "drop", "forward": "drop"}


def test_a_sandbox(on_any_lan):
    """Also in asyncio, in an open sandbox, and in pools."""
    found = on_any_lan(
        f"""
        import asyncio
        net = ocirt.Net(allow={ALLOW})
        described["net"] = net
        def look(result):
            assert result.returncode == 0, result
            assert json.loads(result.stdout)["allowed"] == "'there'", result
            return result.denied
        program = config["process"]["args"]
        found = [look(ocirt.Sandbox(**described).run(program))]
        with ocirt.Sandbox(**described).open() as live:
            assert live.run(["true"]).denied == ()
            found.append(look(live.run(program)))
            assert live.container.denied() == found[0]
            gone = live.container
            try:
                live.container.exec(["true"], capabilities=["CAP_NET_ADMIN"])
            except ocirt.RequestError as error:
                assert error.path == "capabilities"
        try:
            gone.denied()
        except ocirt.NoContainer as error:
            assert error.id == gone.id
        found.append(look(asyncio.run(ocirt.aio.Sandbox(**described).run(program))))
        found.append(look(asyncio.run(ocirt.aio.run(**given, net=net))))
        given.pop("config")
        with ocirt.Pool(config, **given, net=net, size=1) as pool:
            found += [look(pool.run(program)), look(pool.run(program))]
        with ocirt.Pool(ocirt.Sandbox(**described), size=2) as pool:
            found += [look(pool.run(program)), look(pool.run(program))]
        with ocirt.Pool(config, **given, net=net, size=1, warm=["python3", "-c", "import socket"]) as pool:
            found += [look(pool.run(program))]
        print(json.dumps(found))
        """
    )
    assert len(found) == 9 and all(each == found[0] for each in found) and len(found[0]) == 5


def test_a_pool_that_publishes_a_port(on_any_lan):
    """One container after the other has the port, and the others wait without a connection."""
    found = on_any_lan(
        """
        import socket, threading
        found = []
        def ask():
            end = time.monotonic() + 20
            while time.monotonic() < end:
                try:
                    with socket.create_connection(("127.0.0.1", 8070), 10) as connection:
                        if data := connection.recv(9):
                            return found.append(data.decode())
                except OSError:
                    pass
                time.sleep(0.02)
        with ocirt.Pool(config, rootfs=given["rootfs"], runtime=runtime, net=ocirt.Net(publish={8070: 8080}), size=2) as pool:
            for number in "12":
                asking = threading.Thread(target=ask)
                asking.start()
                pool.run([*config["process"]["args"], number], check=True)
                asking.join()
        print(json.dumps([found, connecting()]))
        """,
        """
import socket, sys
server = socket.create_server(("0.0.0.0", 8080))
connection = server.accept()[0]
connection.sendall(sys.argv[1].encode())
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
""",
    )
    assert found == [["1", "2"], []]


def test_more_than_the_rules_remember(on_a_lan):
    """Is refused all the same."""
    answers, denied = on_a_lan(
        """
        result = ocirt.run(**given, net=ocirt.Net(), timeout=60)
        print(json.dumps([result.text.split(), result.denied]))
        """,
        """
import socket
answers, out = set(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(1, 5001):
    try:
        answers.add(out.sendto(b"x", ("10.9.0.2", port)))
    except OSError as error:
        answers.add(error.errno)
try:
    socket.create_connection(("10.9.0.2", 8000), 10)
except OSError as error:
    print(*answers, error.errno)
""",
    )
    assert answers == ["1", "111"] and len(denied) == len(set(denied)) == 4096


def test_names(on_a_lan):
    """By a server that the list allows, and without it not."""
    found = on_a_lan(
        """
        described["files"] = {"/etc/resolv.conf": "nameserver 10.9.0.2\\noptions timeout:2 attempts:1\\n"}
        found = []
        for allow in (["10.9.0.2:8000/tcp", "10.9.0.2:53/udp"], ["10.9.0.2:8000/tcp"]):
            result = ocirt.Sandbox(**described, net=ocirt.Net(allow=allow)).run(config["process"]["args"])
            found.append([result.text, result.denied])
        print(json.dumps(found))
        """,
        """
import socket
try:
    print(socket.create_connection(("server.example", 8000), 20).recv(9).decode(), end="")
except socket.gaierror:
    print("unknown", end="")
""",
    )
    assert found == [["there", []], ["unknown", ["10.9.0.2:53/udp"]]]


def test_a_cancelled_task_leaves_nothing(on_any_lan, ocirt):
    """Whether it is cancelled while pasta starts, or while the program runs."""
    children = on_any_lan(
        """
        import asyncio
        async def cancelled(seconds):
            task = asyncio.create_task(ocirt.aio.run(**given, net=ocirt.Net()))
            await asyncio.sleep(seconds)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                with open("/proc/thread-self/children") as children:
                    return children.read().split()
        print(json.dumps([asyncio.run(cancelled(seconds)) for seconds in (0.01, 0.03, 0.06, 0.1, 0.2, 1)]))
        """,
        "import time; time.sleep(60)",
    )
    assert children == [[]] * 6 and ocirt.ids() == []


def test_nothing_remains(on_any_lan, ocirt):
    """Neither pasta nor its container, whatever happens to the program."""
    left = on_any_lan(
        """
        try:
            ocirt.run(**given, net=ocirt.Net(), timeout=1)
        except ocirt.TimeoutExpired as error:
            assert error.timeout == 1
            print(json.dumps([each.id for each in ocirt.Container.list(runtime=runtime)]))
        """,
        "import time; time.sleep(60)",
    )
    assert left == [] and ocirt.ids() == []


def test_a_killed_caller_leaves_nothing(on_any_lan, ocirt):
    """No process of the container or of pasta, and nobody who holds the network namespace, not even a worker that comes
    from a fork of the caller.
    """
    pids, left, holders = on_any_lan(
        """
        told, tells = os.pipe()
        asked, asks = os.pipe()
        waits, ends = os.pipe()
        service = os.fork()
        if service == 0:
            container = ocirt.Container.create(**given, net=ocirt.Net())
            container.start()
            if os.fork() == 0:
                os.close(ends)
                os.read(waits, 1)
                os._exit(0)
            os.write(tells, os.readlink(f"/proc/{container.pid}/ns/net").encode())
            os.read(asked, 1)
            os.kill(os.getpid(), 9)
        namespace = os.read(told, 99).decode()
        pids = [container.pid for container in ocirt.Container.list(runtime=runtime)]
        pidfds = [os.pidfd_open(pid) for pid in pids]
        os.write(asks, b"x")
        os.waitpid(service, 0)
        for pidfd in pidfds:
            assert select.select([pidfd], [], [], 60)[0], "a process remains"
        end = time.monotonic() + 60
        while (left := os.listdir(runtime.root)) and time.monotonic() < end:
            time.sleep(0.05)
        def held_by(pid):
            try:
                links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                with open(f"/proc/{pid}/mountinfo") as mounts:
                    return namespace in [*links, os.readlink(f"/proc/{pid}/ns/net")] or namespace in mounts.read()
            except OSError:  # it has ended
                return False
        holders = [pid for pid in os.listdir("/proc") if pid.isdigit() and held_by(pid)]
        print(json.dumps([pids, left, holders]))
        """,
        "import time; time.sleep(60)",
    )
    assert len(pids) == 2 and (left, holders) == ([], [])


def test_processes_that_a_program_leaves_behind(on_any_lan, ocirt):
    """End with it, and so does what connects them."""
    found = on_any_lan(
        f"""
        result = ocirt.run(**given, net=ocirt.Net(allow={ALLOW}), timeout=60)
        print(json.dumps([result.returncode, sorted(os.listdir(runtime.root)), connecting()]))
        """,
        """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
            time.sleep(600)
        os._exit(0)
""",
    )
    assert found == [0, [], []] and ocirt.ids() == []


def test_a_caller_that_is_killed_at_any_moment_leaves_nothing(on_any_lan):
    """While the namespace is lent, while pasta starts, and while the program runs."""
    left = on_any_lan(
        """
        os.makedirs(runtime.root, exist_ok=True)
        def left():
            names = os.listdir(runtime.root)
            for name in names:
                if name.startswith(","):  # a socket to which nothing had connected: a name, and no process
                    os.unlink(f"{runtime.root}/{name}")
            return [[name for name in names if not name.startswith(",")], connecting()]
        for delay in (0.01, 0.03, 0.06, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.6, 1):
            service = os.fork()
            if service == 0:
                ocirt.run(**given, net=ocirt.Net())
            time.sleep(delay)
            os.kill(service, 9)
            os.waitpid(service, 0)
        end = time.monotonic() + 30
        while left() != [[], []] and time.monotonic() < end:
            time.sleep(0.05)
        print(json.dumps(left()))
        """,
        "import time; time.sleep(60)",
    )
    assert left == [[], []]


def test_a_published_port_is_the_loopbacks(on_any_lan):
    inside = "import socket; s = socket.create_server(('0.0.0.0', 80)); c = s.accept()[0]; c.sendall(b'inside')"
    found = on_any_lan(
        """
        import socket
        config["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
        with ocirt.Container.create(**given, net=ocirt.Net(publish={8070: 80})) as container:
            container.start()
            data, end = b"", time.monotonic() + 20
            while not data and time.monotonic() < end:
                time.sleep(0.05)
                try:
                    with socket.create_connection(("127.0.0.1", 8070), 10) as connection:
                        data = connection.recv(9)
                except ConnectionResetError:  # the program does not listen yet; an old pasta closes the connection
                    pass
            try:
                socket.create_connection(("10.9.0.1", 8070), 5)
                elsewhere = "reached"
            except OSError as error:
                elsewhere = error.strerror
            print(json.dumps([data.decode(), elsewhere, container.denied()]))
        """,
        inside,
    )
    assert found == ["inside", REFUSED, []]


def test_what_pasta_cannot_do(on_any_lan, ocirt):
    """A published port that somebody else has: pasta's own message, and nothing remains."""
    said = on_any_lan(
        """
        try:
            ocirt.run(**given, net=ocirt.Net(publish={9000: 80}))
        except ocirt.HostError as error:
            print(json.dumps(str(error)))
        """
    )
    assert said.startswith("net: pasta: ") and "9000" in said and ocirt.ids() == []


def test_a_terminal(on_any_lan):
    """Of a program that is connected."""
    printed, denied = on_any_lan(
        f"""
        box = ocirt.Sandbox(**described, net=ocirt.Net(allow={ALLOW}))
        result = box.run(config["process"]["args"], terminal=(24, 80), input="10.9.0.2\\n10.9.0.3\\n", check=True)
        print(json.dumps([result.text, result.denied]))
        """,
        """
import os, socket
print(os.get_terminal_size().columns)
for _ in range(2):
    try:
        print(socket.create_connection((input(), 8000), 10).recv(9).decode())
    except OSError as error:
        print(error.strerror)
""",
    )
    lines = ["80", "10.9.0.2", "there", "10.9.0.3", REFUSED]
    assert sorted(printed.split("\n")) == sorted([*lines, ""]) and denied == ["10.9.0.3:8000/tcp"]


def test_none_and_host(on_a_lan):
    none, host, sandbox = on_a_lan(
        """
        found = [ocirt.run(**given, net=net).text.split() for net in ("none", "host")]
        box = ocirt.Sandbox(**described, net="host")
        print(json.dumps([*found, box.run(config["process"]["args"]).text.split()]))
        """,
        "print(*sorted([line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]))",
    )
    assert none == ["lo"] and host == sandbox == ["lo", "v0"]
