"""The runtime's own process, while it is inside a container: its executable, its memory, its descriptors, its directory."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time

import pytest

from tests.integration.harness import LIMIT, built
from tests.processor import LOADER, MULTIARCH

ALL = [
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP NET_ADMIN NET_RAW SYS_CHROOT SYS_PTRACE SYS_ADMIN "
        "MKNOD SETFCAP"
    ).split()
]
SECONDS = float(os.environ.get("OCIRT_RACE_SECONDS", "2"))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_user_namespace(bundle, attacker, capabilities=ALL):
    """Root of a user namespace with all capabilities there, and the attacker's program."""
    bundle.namespace("user")
    for name in ("uidMappings", "gidMappings"):
        bundle.config["linux"][name] = [{"containerID": 0, "hostID": 200000, "size": 65536}]
    for folder in (bundle.path, *bundle.path.parents):
        folder.chmod(folder.stat().st_mode | 0o11)
    bundle.config["process"]["capabilities"] = {
        name: list(capabilities) for name in ("bounding", "effective", "permitted")
    }
    bundle.config["process"]["noNewPrivileges"] = False
    shutil.copy(attacker, bundle.rootfs / "bin/attacker")
    return bundle


def say(bundle, *words):
    """The program is the attacker; what it says goes to a file."""
    return bundle.shell("attacker " + " ".join(map(str, words)) + " > /tmp/said 2>&1; sleep 60")


def said(bundle, seconds=LIMIT):
    """What the attacker has said, once it has ended."""
    path, end = bundle.rootfs / "tmp/said", time.monotonic() + seconds
    while not (path.exists() and "tries" in path.read_text()):
        assert time.monotonic() < end, path.read_text() if path.exists() else "nothing said"
        time.sleep(0.05)
    return path.read_text()


@pytest.mark.parametrize("way", ["entry", "script", "exec", "exec-script"])
def test_the_executable_is_overwritten(ocirt, bundle, attacker, way):
    """CVE-2019-5736: the container's program, what it interprets, or the target of exec is /proc/self/exe; or it opens
    /proc/PID/exe of whatever of the runtime it sees, and writes when that has ended."""
    before, place = digest(built("bin")), os.stat(built("bin"))
    shutil.copy(attacker, bundle.rootfs / "bin/attacker")
    bundle.config["root"]["readonly"] = False
    (bundle.rootfs / "tmp").chmod(0o777)
    script = bundle.rootfs / "bin/evil"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    target = "/proc/self/exe" if way in ("entry", "exec") else "/bin/evil"
    if way in ("entry", "script"):
        bundle.args(target, "state", "x").save()
        ocirt("run", "--bundle", bundle, "c1", timeout=LIMIT)
    say(bundle, "overwrite", SECONDS).save()
    ocirt.ok("run", "-d", "--bundle", bundle, "c2")
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ocirt("exec", "c2", *([target, "state", "x"] if way.startswith("exec") else ["true"]))
    out = said(bundle)
    assert "overwritten" not in out, out
    after = os.stat(built("bin"))
    assert (digest(built("bin")), after.st_mtime_ns, after.st_ino) == (before, place.st_mtime_ns, place.st_ino)


LIBRARY = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) { close(open("tmp/loaded", O_WRONLY | O_CREAT, 0600)); }
"""


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_library_of_the_image_in_the_executable(ocirt, bundle, tmp_path, verb):
    """CVE-2019-5736 by a library: where the program is /proc/self/exe, that is the runtime, nothing of the image's is loaded
    into it, dynamic linker and LD_PRELOAD included."""
    for tag in (b"\3\0\0\0", b"\2\0\0\0"):  # PT_INTERP, PT_DYNAMIC
        head = built("bin").read_bytes()[:4096]
        start, size, count = (
            int.from_bytes(head[32:40], "little"),
            *(int.from_bytes(head[at : at + 2], "little") for at in (54, 56)),
        )
        assert all(head[start + size * number :][:4] != tag for number in range(count))
    (tmp_path / "evil.c").write_text(LIBRARY)
    evil = bundle.rootfs / "evil.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", evil, tmp_path / "evil.c"], check=True, timeout=LIMIT)
    for name in (
        LOADER,
        f"lib/{MULTIARCH}/libc.so.6",
        f"lib/{MULTIARCH}/libseccomp.so.2",
    ):
        (bundle.rootfs / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(evil, bundle.rootfs / name)
    bundle.config["root"]["readonly"] = False
    bundle.config["process"]["env"] += ["LD_PRELOAD=/evil.so", f"LD_LIBRARY_PATH=/lib/{MULTIARCH}"]
    self = ("/proc/self/exe", "--version")
    if verb == "run":
        bundle.args(*self).save()
        done = ocirt("run", "--bundle", bundle, "c1")
    else:
        bundle.save()
        ocirt.ok("run", "-d", "--bundle", bundle, "c1")
        done = ocirt("exec", "c1", *self)
    assert not (bundle.rootfs / "tmp/loaded").exists(), done
    # The library does work, in what is linked dynamically.
    subprocess.run(
        [shutil.which("true")],
        env={**os.environ, "LD_PRELOAD": str(evil)},
        cwd=bundle.rootfs,
        timeout=LIMIT,
        check=True,
    )
    assert (bundle.rootfs / "tmp/loaded").exists()


def test_no_page_of_the_executable_in_init(ocirt, bundle):
    """CVE-2019-5736: nothing of the host's file is mapped in, or open in, a process that a container can see; and who has kept
    its executable open cannot write to it when nobody executes it any more."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    with open(f"/proc/{pid}/maps") as maps:
        files = {line.split(None, 5)[5].strip() for line in maps if len(line.split(None, 5)) == 6}
    assert not [name for name in files if str(built("bin")) in name], files
    targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    # The harness has the streams in temporary files.
    allowed = rf"socket:|/dev/null|pipe:|{re.escape(tempfile.gettempdir())}/[^/]*( \(deleted\))?$|/$"
    assert all(re.match(allowed, target) for target in targets), targets
    held = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
    ocirt.ok("start", "c1")
    writable = os.open(f"/proc/self/fd/{held}", os.O_WRONLY)
    with pytest.raises(PermissionError):
        os.write(writable, b"#!/tmp/evil\n")
    os.close(writable)
    os.close(held)


@pytest.mark.parametrize("verb", ["create", "exec"])
def test_init_is_attacked_from_inside(ocirt, bundles, attacker, verb):
    """CVE-2016-9962: root of a user and pid namespace, with CAP_SYS_PTRACE there, tries ptrace, /proc/PID/mem,
    /proc/PID/fd, pidfd_getfd and more on each process of the runtime's that comes into them, until it is the program."""
    hostile = say(with_user_namespace(bundles("hostile"), attacker), "watch", 2 * SECONDS)
    (hostile.rootfs / "tmp").chmod(0o777)
    hostile.config["root"]["readonly"] = False
    hostile.save()
    ocirt.ok("run", "-d", "--bundle", hostile, "hostile")
    pid = ocirt.state("hostile")["pid"]
    victim = with_user_namespace(bundles("victim"), attacker).args("true")
    victim.namespace("user", f"/proc/{pid}/ns/user").namespace("pid", f"/proc/{pid}/ns/pid")
    del victim.config["linux"]["uidMappings"], victim.config["linux"]["gidMappings"]
    victim.save()
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        if verb == "create":
            result = ocirt("create", "--bundle", victim, "victim")
            assert result.status == 0, result
            ocirt.ok("start", "victim")
            ocirt.ok("delete", "--force", "victim")
        else:
            ocirt.ok("exec", "hostile", "true")
        count += 1
    out = said(hostile)
    assert "reached" not in out and count, out


def test_the_runtime_is_not_dumpable_inside(ocirt, bundle):
    """CVE-2016-9962: a waiting init is not dumpable (its files in /proc are root's of the host, and closed to others)."""
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    done = subprocess.run(
        ["ls", f"/proc/{pid}/fd"], user=1000, group=1000, extra_groups=[], capture_output=True, timeout=LIMIT
    )
    assert done.returncode != 0


FD_WAYS = [f"/proc/self/fd/{number}{up}" for number in range(3, 20) for up in ("", "/..", "/../../../..")] + [
    "/proc/self/cwd",
    "/proc/self/cwd/..",
    "/proc/self/root/..",
    "/dev/fd/7",
    "/proc/thread-self/fd/8",
    "/proc/1/cwd/..",
]


@pytest.mark.parametrize("where", ["cwd", "link"])
def test_a_working_directory_of_the_host(ocirt, bundle, where):
    """CVE-2024-21626 in create: `process.cwd` at /proc/self/fd/N, or at a link of the image that says so. (For exec and for
    programs: tests/integration/test_exec.py, "hostile containers".)"""
    bundle.config["root"]["readonly"] = False
    for number, way in enumerate(FD_WAYS):
        if where == "link":
            (bundle.rootfs / f"link{number}").symlink_to(way)
        bundle.config["process"]["cwd"] = way if where == "cwd" else f"/link{number}"
        bundle.shell("/bin/pwd -P; ls -d usr boot root/../usr ../usr ../../../../../usr 2>/dev/null").save()
        result = ocirt("run", "--bundle", bundle, "c1")
        assert "usr" not in result.out and "boot" not in result.out, (way, result)
        assert (
            result.status == 1 or result.out == "/\n" or result.out.startswith("/") and "unreachable" not in result.out
        ), (way, result)


def test_descriptors_and_directory_of_the_program(ocirt, bundle, tmp_path):
    """CVE-2024-21626, CVE-2016-9962: the program, and a hook in the container, get standard streams and nothing of the
    caller's, whatever the caller has left open."""
    held = [
        os.open(path, flags)
        for path, flags in ((tmp_path, os.O_RDONLY), ("/", os.O_PATH), ("/etc/passwd", os.O_RDONLY))
    ]
    try:
        for fd in held:
            os.set_inheritable(fd, True)
        bundle.config["hooks"] = {
            "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "ls -l /proc/self/fd > /tmp/hook"]}]
        }
        bundle.config["root"]["readonly"] = False
        bundle.shell("ls /proc/self/fd; /bin/pwd").save()
        out = ocirt.ok("run", "--bundle", bundle, "c1", close_fds=False).out.split()
        assert out == ["0", "1", "2", "3", "/"], out  # (3 is the directory that ls reads)
        hook = (bundle.rootfs / "tmp/hook").read_text()
        assert not re.search(r"-> /(etc|$|tmp/pytest|dev/sd)", hook, re.M), hook
    finally:
        for fd in held:
            os.close(fd)


def test_signals_and_ptrace_between_host_and_container(ocirt, bundle, attacker):
    """A container without a pid namespace of its own, root in a user namespace: neither the runtime's processes nor others
    of the host can be signalled or traced."""
    with_user_namespace(bundle, attacker).without_namespace("pid")
    bundle.config["mounts"] = [{"destination": "/proc", "source": "/proc", "options": ["rbind"]}]
    bundle.config["linux"].update(maskedPaths=[], readonlyPaths=[])
    os.chown(bundle.rootfs / "dev", 200000, 200000)
    bundle.config["root"]["readonly"] = False
    victim = subprocess.Popen(["sleep", "60"])
    try:
        bundle.shell(
            f"kill -9 {victim.pid} 2>&1; kill -9 {os.getpid()} 2>&1; cat /proc/{victim.pid}/environ 2>&1; ls /proc/{victim.pid}/root/ 2>&1"
        ).save()
        result = ocirt("run", "--bundle", bundle, "c1")
        out = result.out
        assert out.count("not permitted") == 2 and out.count("ermission denied") == 2, result
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_exec_into_a_hostile_init(ocirt, bundle):
    """What init does to its own namespaces decides no right of exec's process: it has replaced /proc, /etc/passwd and /bin/sh
    by its own, chrooted and moved its directory away. The process has the container's capabilities, and not one more."""
    bundle.config["process"]["capabilities"] = {
        name: ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_MKNOD"] for name in ("bounding", "effective", "permitted")
    }
    bundle.config["root"]["readonly"] = False
    bundle.shell(
        "mkdir -p /cage/bin /cage/proc/self/attr; cp /bin/busybox /cage/bin/sh; cp /bin/busybox /cage/bin/sleep; echo 'root:x:0:0::/../../..:/bin/sh' > /etc/passwd; "
        "mount -t tmpfs tmpfs /proc; mkdir -p /proc/self/fd; ln -s / /proc/self/root; touch /tmp/ready; exec chroot /cage /bin/sleep 60"
    ).save()
    ocirt.ok("run", "-d", "--bundle", bundle, "c1")
    end = time.monotonic() + LIMIT
    while not (bundle.rootfs / "tmp/ready").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    result = ocirt(
        "exec",
        "c1",
        "sh",
        "-c",
        "umount /proc; mount -t proc proc /proc; grep -E '^Cap(Eff|Prm|Bnd|Inh|Amb)' /proc/self/status; echo $HOME; pwd; ls /",
    )
    capabilities = {line.split()[1] for line in result.out.splitlines() if line.startswith("Cap")}
    assert capabilities == {"0" * 16, f"{1 << 21 | 1 << 18 | 1 << 27:016x}"}, result
    assert "usr" not in result.out.split() and "boot" not in result.out.split(), result
