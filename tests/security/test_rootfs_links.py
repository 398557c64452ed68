"""Links in a rootfs, and links swapped in while create works: nothing outside is made, changed, mounted on or read."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT

SECONDS, TRIES = float(os.environ.get("OCIRT_RACE_SECONDS", "1.5")), 25
"""How long each race is run at least, and how many creates it sees: some thousands of exchanges."""


def tree_of(folder):
    """What is in a directory and below: name, kind, mode, owner, device, content."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        st = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (st.st_mode, st.st_uid, st.st_gid, st.st_rdev, content)
    return found


@pytest.fixture
def outside(tmp_path):
    """A directory of the host's that the container must not reach; what it held is compared at the end."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "secret").write_text("the host's secret\n")
    (folder / "ptmx").write_text("not a terminal\n")
    (folder / "null").symlink_to("secret")
    mounts = Path("/proc/self/mountinfo").read_text()
    before = tree_of(folder)
    yield folder
    assert tree_of(folder) == before
    assert Path("/proc/self/mountinfo").read_text() == mounts


WAYS = {
    "absolute": lambda outside: str(outside),
    "up": lambda outside: "../../../../../../../../../.." + str(outside),
    "proc-root": lambda outside: f"/proc/self/root{outside}",
    "proc-1-root": lambda outside: f"/proc/1/root{outside}",
    "cwd": lambda outside: "/proc/self/cwd/../../../../../.." + str(outside),
    "fd": lambda outside: "/proc/self/fd/5",
    "thread": lambda outside: f"/proc/thread-self/root{outside}",
}


@pytest.mark.parametrize("what", ["mount", "bind", "file", "device", "mask", "readonly", "cwd", "tmpcopyup"])
def test_links_out_of_the_rootfs(ocirt, bundle, outside, what):
    """CVE-2019-18837 (crun), CVE-2024-45310, CVE-2021-30465, CVE-2025-54867 (youki): a path of config.json that goes
    through a link of the image ends in the rootfs, whatever the link says; magic links are refused."""
    config = bundle.config
    config["root"]["readonly"] = False
    if what == "mount":
        config["mounts"].append({"destination": "/evil/new", "type": "tmpfs", "source": "tmpfs"})
    elif what == "bind":
        config["mounts"].append({"destination": "/evil/sub", "source": str(bundle.path), "options": ["bind"]})
    elif what == "file":
        config["mounts"].append(
            {"destination": "/evil/made", "source": str(bundle.path / "config.json"), "options": ["bind"]}
        )
    elif what == "device":
        config["linux"]["devices"] = [{"path": "/evil/device", "type": "c", "major": 1, "minor": 3, "uid": 5, "gid": 5}]
    elif what == "mask":
        config["linux"]["maskedPaths"] += ["/evil", "/evil/secret"]
    elif what == "readonly":
        config["linux"]["readonlyPaths"] += ["/evil", "/evil/sub"]
    elif what == "cwd":
        config["process"]["cwd"] = "/evil/made"
    elif what == "tmpcopyup":
        config["mounts"].append({"destination": "/evil", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
    bundle.shell("cat /evil/secret . /made 2>/dev/null; ls -a /evil/ . 2>/dev/null; true").save()
    passed = 0
    for way, link in WAYS.items():
        evil = bundle.rootfs / "evil"
        evil.unlink(missing_ok=True)
        evil.symlink_to(link(outside))
        result = ocirt("run", "--bundle", bundle, "c1")
        assert result.status in (0, 1) and "the host's" not in result.out and "ptmx" not in result.out, (way, result)
        assert result.status == 0 or len(result.err.splitlines()) == 1, (way, result)
        passed += result.status == 0
    assert passed  # plain links are followed, inside


def test_exec_through_a_link(ocirt, bundle, outside):
    """CVE-2024-21626 in exec: `--cwd` through a link of the image, magic or not."""
    bundle.args("sleep", "60").save()
    for way, link in WAYS.items():
        (bundle.rootfs / f"evil-{way}").symlink_to(link(outside))
    ocirt.ok("run", "-d", "--bundle", bundle, "c1")
    for way in WAYS:
        result = ocirt("exec", "--cwd", f"/evil-{way}/sub", "c1", "sh", "-c", "cat ../secret; pwd")
        assert result.status == 255 and result.out == "", (way, result)


@pytest.mark.parametrize("way", ["absolute", "up"])
@pytest.mark.parametrize("terminal", [False, True])
def test_dev_is_a_link(ocirt, bundle, outside, way, terminal, tmp_path):
    """CVE-2026-41579, CVE-2026-47766, CVE-2026-88264, CVE-2026-88265: with a rootfs whose /dev is a link, `ptmx` and the
    links of /dev are made in the rootfs, not in a directory of the host's; with no mount at /dev too."""
    (bundle.rootfs / "dev").rmdir()
    (bundle.rootfs / "dev").symlink_to(WAYS[way](outside))
    bundle.config["root"]["readonly"] = False
    bundle.config["process"]["terminal"] = terminal
    bundle.shell("ls -l /dev/").save()
    seen = ocirt("run", "--bundle", bundle, "c1")
    assert seen.status == 0 and "secret" not in seen.out and "null" in seen.out, seen
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if not each["destination"].startswith("/dev")]
    bundle.config["process"]["terminal"] = False
    bundle.save()
    seen = ocirt("run", "--bundle", bundle, "c2")
    assert seen.status == 0 and "secret" not in seen.out, seen


@pytest.mark.parametrize("way", ["absolute", "up"])
def test_the_place_of_cgroups_is_a_link(ocirt, bundle, outside, way):
    """CVE-2026-41579's other half: with a rootfs whose /sys/fs/cgroup is a link, the hierarchies are mounted and the links
    of those with two names made in the rootfs."""
    (bundle.rootfs / "sys/fs").mkdir()
    (bundle.rootfs / "sys/fs/cgroup").symlink_to(WAYS[way](outside))
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if each["destination"] != "/sys"]
    bundle.config["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
    )
    bundle.config["linux"]["maskedPaths"] = bundle.config["linux"]["readonlyPaths"] = []
    bundle.config["root"]["readonly"] = False
    bundle.shell("ls /sys/fs/cgroup/; cat /sys/fs/cgroup/secret 2>/dev/null; true").save()
    seen = ocirt("run", "--bundle", bundle, "c1")
    assert seen.status == 0 and "secret" not in seen.out and "pids" in seen.out, seen


@pytest.mark.parametrize("name", ["null", "console", "pts", "shm", "tty"])
def test_nodes_of_dev_are_links(ocirt, bundle, outside, name):
    """CVE-2025-31133 and CVE-2025-52565, youki's CVE-2025-62161: /dev/null, /dev/console or /dev/pts that are links in the
    image. What masks is the host's null device, checked; the terminal is the container's own, by descriptor."""
    bundle.config["mounts"] = [
        each
        for each in bundle.config["mounts"]
        if not each["destination"].startswith("/dev") or (each["destination"] == "/dev/pts" != f"/dev/{name}")
    ]
    target = outside / "secret" if name in ("null", "console", "tty") else outside
    for link in (str(target), "/proc/timer_list", "/proc/sys/kernel/core_pattern"):
        place = bundle.rootfs / "dev" / name
        if place.is_symlink():
            place.unlink()
        elif place.is_dir():
            place.rmdir()
        place.symlink_to(link)
        bundle.config["root"]["readonly"] = False
        bundle.config["process"]["terminal"] = name == "console"
        (bundle.rootfs / "masked").write_text("masked\n")
        bundle.config["linux"]["maskedPaths"] = ["/proc/keys", "/masked"]
        bundle.shell("cat /masked; echo; stat -c %t:%T /proc/keys; cat /proc/keys | wc -c").save()
        result = ocirt("run", "--bundle", bundle, "c1")
        if result.status == 0:
            assert "masked" not in result.out and "secret" not in result.out, result
            assert [line.strip() for line in result.out.split()] == ["1:3", "0"], result
        else:
            assert len(result.err.splitlines()) == 1 and ocirt.ids() == [], result


def test_a_link_at_proc_or_sys(ocirt, bundle, outside):
    """CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: through a link at /proc a volume of the attacker's
    could be where procfs is mounted, and be moved away before what is to be masked in it is masked. It is refused."""
    (outside / "proc").mkdir()
    for name in ("proc", "sys"):
        (bundle.rootfs / name).rmdir()
        (bundle.rootfs / name).symlink_to("/tmp")
        message = ocirt.fails("create", "--bundle", bundle, "c1")
        assert "link" in message and f"/{name}" in message, message
        (bundle.rootfs / name).unlink()
        (bundle.rootfs / name).mkdir()
    (bundle.rootfs / "proc").rmdir()
    ocirt.ok("create", "--bundle", bundle, "c1")  # made where it is missing
    (outside / "proc").rmdir()


def race(ocirt, bundle, swap, look=lambda name: None):
    """Create, look, delete, again and again, while ``swap`` exchanges: how many containers came to be, of how many."""
    made = tried = 0
    end = time.monotonic() + SECONDS
    with swap:
        while time.monotonic() < end or tried < TRIES:
            tried += 1
            result = ocirt("create", "--bundle", bundle, "c1", timeout=LIMIT)
            assert result.status == 0 or (result.status == 1 and len(result.err.splitlines()) == 1), result
            if result.status == 0:
                made += 1
                look("c1")
            ocirt.ok("delete", "--force", "c1")
            assert ocirt.ids() == []
    assert swap.count > 1000
    return made, tried


@pytest.mark.parametrize("link", ["absolute", "proc-root"])
def test_race_of_a_shared_volume(ocirt, bundle, outside, swapper, tmp_path, link):
    """CVE-2021-30465, CVE-2024-45310, CVE-2019-16884: another container exchanges a directory of a shared volume for a link
    while mounts, devices, masks and the working directory are made beneath it."""
    volume = tmp_path / "volume"
    (volume / "a/sub").mkdir(parents=True)
    (volume / "b").symlink_to(WAYS[link](outside))
    config = bundle.config
    config["mounts"] += [
        {"destination": "/vol", "source": str(volume), "options": ["rbind"]},
        {"destination": "/vol/a/sub", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
        {"destination": "/vol/a/made/deep", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/vol/a/file", "source": str(bundle.path / "config.json"), "options": ["bind"]},
    ]
    config["linux"]["devices"] = [{"path": "/vol/a/device", "type": "c", "major": 1, "minor": 3, "uid": 5, "gid": 5}]
    config["linux"]["maskedPaths"] += ["/vol/a/secret", "/vol/a/sub"]
    config["linux"]["readonlyPaths"] += ["/vol/a"]
    config["process"]["cwd"] = "/vol/a/cwd"
    bundle.save()
    made, _ = race(ocirt, bundle, swapper(volume / "a", volume / "b"))
    (volume / "a").is_symlink() or ocirt.ok("create", "--bundle", bundle, "c1")  # not by refusing everything


def mounts_of(pid):
    """Rows of mountinfo: id, parent, root, place, type."""
    rows = []
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        one = before.split()
        rows.append((int(one[0]), int(one[1]), one[3], one[4], after.split()[0]))
    return rows


def spell(bundle, destination, mask=lambda path: path, bound=False):
    """/proc of the config under another name, or bound; its masks and read-only paths too."""
    (proc,) = [each for each in bundle.config["mounts"] if each["destination"] == "/proc"]
    proc["destination"] = destination
    if bound:
        proc.update(type="none", source="/proc", options=["bind", "nosuid"])
    for name in ("maskedPaths", "readonlyPaths"):
        bundle.config["linux"][name] = [mask(path) for path in bundle.config["linux"][name]]
    bundle.save()


SPELLINGS = {
    "plain": ("/proc",),
    "slash": ("/proc/",),
    "dot": ("/./proc",),
    "up": ("/tmp/../proc",),
    "relative": ("proc",),
    "masks": ("/proc", lambda path: "/" + path.replace("/proc/", "/proc/./")),
    "bind": ("/proc", lambda path: path, True),
}


@pytest.mark.parametrize(
    "spelling, other", [*[(spelling, "directory") for spelling in SPELLINGS], ("plain", "link"), ("bind", "link")]
)
def test_race_of_masked_paths(ocirt, bundle, swapper, other, spelling):
    """CVE-2025-31133, CVE-2019-19921 and CVE-2023-27561 raced: /proc of the rootfs is exchanged for a fake between the mount of procfs and
    the masks. Whatever container comes to be has all of its masks, and they lie on procfs, however config.json spells /proc and
    whether it is a new procfs or the host's one bound."""
    fake = bundle.rootfs / "fake"
    if other == "link":
        fake.symlink_to("/tmp")
    else:
        fake.mkdir()
        for name in ("keys", "timer_list", "kcore"):
            (fake / name).touch()
    masked = [
        path for path in bundle.config["linux"]["maskedPaths"] if path.startswith("/proc/") and Path(path).exists()
    ]
    readonly = [
        path for path in bundle.config["linux"]["readonlyPaths"] if path.startswith("/proc/") and Path(path).exists()
    ]
    wanted = len(masked) + len(readonly)
    assert wanted > 5
    spell(bundle, *SPELLINGS[spelling])

    def look(name):
        rows = mounts_of(ocirt.state(name)["pid"])
        procs = [row for row in rows if row[4] == "proc" and row[2] == "/"]
        assert procs
        for proc in procs:
            assert len([row for row in rows if row[1] == proc[0]]) == wanted, rows

    made, tried = race(ocirt, bundle, swapper(bundle.rootfs / "proc", fake), look)
    assert made > 5, tried


def test_race_of_a_remount(ocirt, bundle, swapper):
    """The same for what changes a mount: whatever container comes to be has its /sys read-only."""
    (sys,) = [each for each in bundle.config["mounts"] if each["destination"] == "/sys"]
    sys["options"].remove("ro")
    bundle.config["mounts"].append({"destination": "/./sys/", "options": ["remount", "bind", "ro"]})
    (bundle.rootfs / "fake").mkdir()
    bundle.save()

    def look(name):
        lines = Path(f"/proc/{ocirt.state(name)['pid']}/mountinfo").read_text().splitlines()
        (line,) = [line for line in lines if " - sysfs " in line and line.split()[3] == "/"]
        assert "ro" in line.split()[5].split(","), line

    made, tried = race(ocirt, bundle, swapper(bundle.rootfs / "sys", bundle.rootfs / "fake"), look)
    assert made, tried


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_link_where_a_whole_view_is_bound(ocirt, bundle, outside, name):
    """As for a new file system: a bind of the host's /proc or /sys through a link of the image is refused."""
    (bundle.rootfs / "link").symlink_to("/tmp")
    bundle.config["mounts"].append({"destination": "/link", "source": f"/{name}", "options": ["rbind"]})
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "link" in message and "mounts[7]" in message, message


PROC_FILES = ["cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime"]


def test_files_of_procfs_that_may_be_covered(ocirt, bundle, tmp_path):
    """lxcfs binds files there; however they are spelled, and in a procfs that is bound."""
    (tmp_path / "file").write_text("covered\n")
    names = [name for name in PROC_FILES if Path("/proc", name).exists()]
    assert len(names) > 6
    bundle.config["mounts"] += [
        {"destination": f"//proc/./{name}", "source": str(tmp_path / "file"), "options": ["bind"]} for name in names
    ]
    # The kernel drops what is mounted in /proc/net when somebody looks there the next time.
    seen = [name for name in names if name != "net/dev"]
    bundle.shell("cat " + " ".join([f"/proc/{name}" for name in seen])).save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == "covered\n" * len(seen)
    spell(bundle, "/proc", bound=True)
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == "covered\n" * len(seen)


@pytest.mark.parametrize(
    "destination, kind, options",
    [
        ("/proc/self", "directory", ["bind"]),
        ("/proc/self", "directory", ["bind", "dest-nofollow"]),
        ("/proc/self", "file", ["bind", "dest-nofollow"]),
        ("/proc/self/attr", "directory", ["bind"]),
        ("//proc/thread-self/attr/exec", "file", ["bind"]),
        ("/proc/1/attr/current", "file", ["bind"]),
        ("/proc/sys/kernel", "directory", ["bind"]),
        ("/proc/../proc/sys", "directory", ["rbind"]),
        ("/proc/sysrq-trigger", "file", ["bind"]),
        ("/link/self/attr", "directory", ["bind"]),
        ("/link/stat", "file", ["bind"]),
        ("/elsewhere/stat", "file", ["bind"]),
        ("/deeper/stat", "file", ["bind"]),
        ("/proc/acpi", "tmpfs", []),
        ("/proc/fs", "tmpfs", []),
    ],
)
def test_mounts_inside_of_procfs(ocirt, bundle, outside, tmp_path, destination, kind, options):
    """CVE-2019-16884, CVE-2025-52881: labels and sysctls are written to procfs, so nothing may be put in its way but on the few
    files that lxcfs and criu cover, and those only in the procfs at /proc."""
    (bundle.rootfs / "link").symlink_to("/proc")
    (bundle.rootfs / "deeper").symlink_to("/proc/self")
    if kind == "tmpfs":
        entry = {"destination": destination, "type": "tmpfs", "source": "tmpfs"}
    else:
        (tmp_path / "file").touch()
        entry = {
            "destination": destination,
            "source": str(tmp_path / "file" if kind == "file" else outside),
            "options": options,
        }
    bundle.config["mounts"] += [{"destination": "/elsewhere", "type": "proc", "source": "proc"}, entry]
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "mounts[8]" in message and ("procfs" in message or "no such file" in message), message


def test_part_of_another_procfs_at_proc(ocirt, bundle, outside, tmp_path):
    """A directory of a process bound at /proc has files by the same names."""
    spell(bundle, "/proc", bound=True)
    bundle.config["mounts"][0]["source"] = "/proc/self"
    bundle.config["linux"]["maskedPaths"] = bundle.config["linux"]["readonlyPaths"] = []
    (tmp_path / "file").touch()
    bundle.config["mounts"].append({"destination": "/proc/stat", "source": str(tmp_path / "file"), "options": ["bind"]})
    bundle.save()
    assert "procfs" in ocirt.fails("create", "--bundle", bundle, "c1")


def test_fake_procfs(ocirt, bundle, outside):
    """CVE-2019-16884, CVE-2025-52881, youki's CVE-2025-62596: what is written to /proc (sysctl here) reaches procfs, even
    where the image or a volume has something else there, and never a file behind a link."""
    volume = outside.parent / "volume"
    (volume / "sys/kernel").mkdir(parents=True)
    (volume / "sys/kernel/domainname").symlink_to(outside / "secret")
    (volume / "self").symlink_to(outside)
    digest = hashlib.sha256((outside / "secret").read_bytes()).digest()
    (bundle.rootfs / "evil").symlink_to("/proc")
    bundle.config["linux"]["sysctl"] = {"kernel.domainname": "example.org"}
    for destination in ("/proc", "/evil"):
        bundle.config["mounts"] = bundle.config["mounts"][:7] + [
            {"destination": destination, "source": str(volume), "options": ["bind"]}
        ]
        bundle.shell("cat /proc/sys/kernel/domainname; mount -t proc proc /tmp 2>/dev/null; uname -a").save()
        result = ocirt("run", "--bundle", bundle, "c1")
        assert "the host's" not in result.out, result
        assert hashlib.sha256((outside / "secret").read_bytes()).digest() == digest
        assert result.status == 0, result


def test_hooks_paths_and_what_they_make(ocirt, bundle, outside):
    """A createContainer hook that makes links in the rootfs after the mounts stand: masks and read-only paths are resolved
    after it, inside."""
    script = bundle.path / "hook"
    script.write_text(
        f"#!/bin/sh\nln -s {outside} {bundle.rootfs}/tmp/masked\nln -s /proc/self/root{outside} {bundle.rootfs}/tmp/readonly\n"
    )
    script.chmod(0o755)
    bundle.config["hooks"] = {"createContainer": [{"path": str(script)}]}
    bundle.config["root"]["readonly"] = False
    bundle.config["linux"]["maskedPaths"] += ["/tmp/masked", "/tmp/masked/secret"]
    bundle.config["linux"]["readonlyPaths"] += ["/tmp/readonly"]
    bundle.shell("ls -l /tmp; cat /tmp/masked/secret").save()
    result = ocirt("run", "--bundle", bundle, "c1")
    assert "the host's" not in result.out, result


def test_tmpcopyup_of_a_hostile_directory(ocirt, bundle, outside):
    """What is copied may be deeper than any stack, hold links, pipes and devices: each is copied as what it is or refused,
    and none is followed or waited for."""
    hostile = bundle.rootfs / "hostile"
    hostile.mkdir()
    (hostile / "link").symlink_to(outside / "secret")
    os.mkfifo(hostile / "pipe")
    bundle.config["mounts"].append(
        {"destination": "/hostile", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    )
    bundle.shell("cat /hostile/link; ls /hostile").save()
    result = ocirt("run", "--bundle", bundle, "c1")
    assert result.status == 0 and result.out.split() == ["link", "pipe"], result
    at = os.open(hostile, os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    assert "tmpcopyup" in ocirt.fails("create", "--bundle", bundle, "c1")
    # Too deep for shutil, too.
    os.system(f"rm -r {hostile}")
