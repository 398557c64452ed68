"""Mounts in a running container: idmapped ones, links at either end, remounts, propagation, odd sources and targets."""

import os
import re
import resource
import shutil
import socket
import subprocess

import pytest

from tests.integration.harness import OWN
from tests.integration.test_rootfs import mount_table, run
from tests.processor import PAGE

MAP = [{"containerID": 0, "hostID": 100000, "size": 65536}]
"""On the file system 0, for the host 100000."""


@pytest.fixture
def source(tmp_path):
    """A directory with files of 0:0 and of 5:6."""
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    for name, uid, gid in (("mine", 0, 0), ("theirs", 5, 6), ("sub/deep", 5, 6)):
        (folder / name).write_text(f"{name}\n")
        os.chown(folder / name, uid, gid)
    return folder


def bind(bundle, source, *options, destination="/data", **entry):
    bundle.config["mounts"].append(
        {"destination": destination, "source": str(source), "options": ["bind", *options], **entry}
    )


def in_user_namespace(bundle):
    """Root of the container is 100000 outside, and owns the rootfs."""
    bundle.namespace("user")
    bundle.config["linux"]["uidMappings"] = bundle.config["linux"]["gidMappings"] = MAP
    for folder, _, files in os.walk(bundle.rootfs):
        for name in (".", *files):
            os.lchown(os.path.join(folder, name), 100000, 100000)


OWNERS = "cd /data; stat -c '%n %u:%g' mine theirs sub/deep"


@pytest.mark.parametrize(
    "entry",
    [
        {"options": ["bind", "idmap"], "uidMappings": MAP, "gidMappings": MAP},
        {"options": ["bind"], "uidMappings": MAP, "gidMappings": MAP},
        {"options": ["rbind", "ridmap"], "uidMappings": MAP, "gidMappings": MAP},
        {"options": ["bind", "idmap=uids=0-100000-65536;gids=0-100000-65536"]},
    ],
)
def test_idmap_without_a_user_namespace(ocirt, bundle, source, entry):
    bundle.config["mounts"].append({"destination": "/data", "source": str(source), **entry})
    assert run(ocirt, bundle, OWNERS) == "mine 100000:100000\ntheirs 100005:100006\nsub/deep 100005:100006\n"
    assert os.stat(source / "mine").st_uid == 0


@pytest.mark.parametrize("option", ["idmap", "idmap=uids=@0-0-65536;gids=@0-0-65536"])
def test_idmap_by_the_containers_user_namespace(ocirt, bundle, source, option):
    """What is root's on the host is the container's root's in the mount; what the container writes is root's on disk."""
    in_user_namespace(bundle)
    bind(bundle, source, option)
    assert run(ocirt, bundle, OWNERS + "; echo new > new; stat -c %u:%g new") == (
        "mine 0:0\ntheirs 5:6\nsub/deep 5:6\n0:0\n"
    )
    assert os.stat(source / "new").st_uid == 0


def test_only_ridmap_reaches_the_mounts_below(ocirt, bundle, source):
    # Of the same file system: before Linux 6.3 a tmpfs takes no map.
    (source.parent / "below").mkdir()
    subprocess.run(["mount", "--bind", source.parent / "below", source / "sub"], check=True, timeout=10)
    try:
        (source / "sub/deep").touch()
        bind(bundle, source, "rbind", "idmap", uidMappings=MAP, gidMappings=MAP)
        bind(bundle, source, "rbind", "ridmap", destination="/all", uidMappings=MAP, gidMappings=MAP)
        assert (
            run(ocirt, bundle, "stat -c %u /data/mine /data/sub/deep /all/mine /all/sub/deep")
            == "100000\n0\n100000\n100000\n"
        )
    finally:
        subprocess.run(["umount", source / "sub"], check=True, timeout=10)


def test_idmap_without_maps_is_an_error(ocirt, bundle, source):
    """config.md, Linux mount options: an error MUST be returned."""
    bind(bundle, source, "idmap")
    bundle.save()
    assert "mounts[7].options[1]" in ocirt.fails("create", "--bundle", bundle, "c1")


def test_a_source_that_the_user_namespace_cannot_reach(ocirt, bundle, source, tmp_path):
    """Engines keep volumes in directories that are closed to all but the host's root."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    source.rename(closed / "source")
    in_user_namespace(bundle)
    bind(bundle, closed / "source", "ro", "nosuid")
    out = run(ocirt, bundle, "cat /data/mine; touch /data/x 2>&1; cat /proc/self/mountinfo")
    assert out.startswith("mine\n") and "Read-only" in out
    assert {"ro", "nosuid"} <= mount_table(out.split("system\n", 1)[1])["/data"][0]


@pytest.mark.parametrize("files", [None, 512])
def test_more_mounts_than_descriptors(ocirt, bundle, source, files):
    """The runtime opens all of them for a user namespace. They are attached, and listed, in the order of the config. Init opens those
    whose source lies in the rootfs, where it sees the mounts before them; mountinfo has these where they were opened."""
    count = 1500
    del bundle.config["process"]["rlimits"]
    in_user_namespace(bundle)
    for number in range(count):
        (source / f"{number}").write_text(f"{number}\n")
        bind(bundle, source / f"{number}", destination=f"/tmp/{number}")
    bind(bundle, bundle.rootfs / "tmp/7", destination="/tmp/inside")
    bind(bundle, bundle.rootfs / "tmp/8", "idmap", destination="/tmp/lent")
    bind(bundle, source, "idmap", destination="/tmp/mapped")
    bind(bundle, source, "ro", destination="/tmp/last")

    def limit():
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    bundle.shell(
        "cat /proc/self/mountinfo; cat /tmp/inside; stat -c %u /tmp/lent /tmp/mapped/mine /tmp/last/mine; ls /proc/self/fd | wc -l"
    ).save()
    lines = ocirt.ok("run", "--bundle", bundle, "c1", preexec_fn=limit, timeout=120).out.splitlines()
    assert lines[-5:] == ["7", "0", "0", "65534", "4"]
    mounts = [line.split() for line in lines[:-5]]
    found = [(fields[4], os.path.basename(fields[3])) for fields in mounts if fields[4].startswith("/tmp/")]
    found.remove(("/tmp/inside", "7"))
    found.remove(("/tmp/lent", "8"))
    assert found == [
        *((f"/tmp/{number}", f"{number}") for number in range(count)),
        ("/tmp/mapped", "source"),
        ("/tmp/last", "source"),
    ]
    (source / "1400").unlink()
    message = ocirt.fails("create", "--bundle", bundle, "c2", preexec_fn=limit, timeout=120)
    assert "mounts[1407]" in message and f"{source}/1400" in message and "no such file" in message, message


def test_symlinks_as_crun_takes_them(ocirt, bundle, tmp_path):
    """dest-nofollow, src-nofollow: the links themselves; copy-symlink: a link like the source's."""
    (tmp_path / "file").write_text("file\n")
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "good").symlink_to("file")
    (bundle.rootfs / "target").symlink_to("/tmp/behind")
    bundle.config["root"]["readonly"] = False
    bind(bundle, tmp_path / "file", "dest-nofollow", destination="/target")
    bind(bundle, tmp_path / "link", "src-nofollow", destination="/shown")
    bind(bundle, tmp_path / "link", "copy-symlink", destination="/copied")
    bind(bundle, tmp_path / "file", "copy-symlink", destination="/plain")
    bind(bundle, tmp_path / "good", destination="/followed")
    assert run(ocirt, bundle, "cat /target; readlink /shown; readlink /copied; cat /plain /followed; ls /tmp") == (
        "file\nelsewhere\nelsewhere\nfile\nfile\n"
    )
    (bundle.rootfs / "copied").unlink()
    (bundle.rootfs / "copied").symlink_to("other")
    assert "mounts[9]" in ocirt.fails("create", "--bundle", bundle, "c1")


def test_a_mount_over_the_directory_that_others_are_in(ocirt, bundle, tmp_path):
    """By a link that lies in it: what comes later lies in what covers it."""
    (tmp_path / "file").write_text("file\n")
    (bundle.rootfs / "a").mkdir()
    (bundle.rootfs / "a/two").symlink_to("/a")
    bind(bundle, tmp_path / "file", destination="/a/one")
    bundle.config["mounts"].append(
        {"destination": "/a/two", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}
    )
    bind(bundle, tmp_path / "file", destination="/a/three")
    bind(bundle, tmp_path / "file", destination="/a/four")
    assert run(ocirt, bundle, "ls /a; cat /a/three /a/four") == "four\nthree\nfile\nfile\n"
    assert sorted(path.name for path in (bundle.rootfs / "a").iterdir()) == ["one", "two"]


def test_targets_in_one_directory(ocirt, bundle, tmp_path):
    """Files, directories, links and what is missing, in turn."""
    (tmp_path / "file").write_text("file\n")
    (tmp_path / "folder").mkdir()
    (bundle.rootfs / "etc/there").write_text("")
    (bundle.rootfs / "etc/link").symlink_to("../tmp/behind")
    for source, name in (("file", "new"), ("folder", "made"), ("file", "there"), ("file", "link"), ("file", "last")):
        bind(bundle, tmp_path / source, destination=f"/etc/{name}")
    assert run(ocirt, bundle, "cd /etc; cat new there link last; ls -d made; ls /tmp; stat -c %F /etc/link") == (
        "file\n" * 4 + "made\nbehind\nsymbolic link\n"
    )


def test_sockets_and_fifos(ocirt, bundle, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        bundle.config["root"]["readonly"] = False
        bind(bundle, tmp_path / "fifo", destination="/a/fifo")
        bind(bundle, tmp_path / "socket", destination="/b/socket")
        assert run(ocirt, bundle, "stat -c %F /a/fifo /b/socket") == "fifo\nsocket\n"


def test_remount(ocirt, bundle):
    """A mount's attributes and its file system's settings, changed afterwards."""
    bundle.config["mounts"] += [
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
        {"destination": "/tmp", "options": ["remount", "nosuid", "ro", "size=2m"]},
    ]
    options, _, settings = mount_table(run(ocirt, bundle, "cat /proc/self/mountinfo"))["/tmp"]
    assert {"ro", "nosuid"} <= options and "size=2048k" in settings


def test_a_tmpfs_keeps_the_mode_of_what_it_covers(ocirt, bundle):
    (bundle.rootfs / "tmp").chmod(0o1733)
    bundle.config["mounts"] += [
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["mode=711"]},
    ]
    assert run(ocirt, bundle, "stat -c %a /tmp /etc") == "1733\n711\n"


def test_a_shared_volume(ocirt, bundle, tmp_path):
    """config-linux.md, Rootfs Mount Propagation, with a mount's rshared: what is mounted in it is seen on the host; with
    rslave what the host mounts is seen in it; private neither."""
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volumes], check=True, timeout=10)
    subprocess.run(["mount", "--make-shared", volumes], check=True, timeout=10)
    try:
        for name in ("shared", "slave", "private"):
            (volumes / name / "in").mkdir(parents=True)
            bind(bundle, volumes / name, f"r{name}", destination=f"/{name}")
        (volumes / "late").mkdir()
        bundle.config["linux"]["rootfsPropagation"] = "rshared"
        for kind in ("bounding", "effective", "permitted"):
            bundle.config["process"]["capabilities"][kind] += ["CAP_SYS_ADMIN"]
        bundle.shell(
            "for d in shared slave private; do mount -t tmpfs tmpfs /$d/in && echo x > /$d/in/file; done; sleep 60"
        ).save()
        ocirt.ok("run", "-d", "--bundle", bundle, "c1")
        pid = ocirt.state("c1")["pid"]
        for name in ("shared", "slave", "private"):
            wait_for(f"/proc/{pid}/root/{name}/in/file")
        assert os.path.exists(volumes / "shared/in/file")
        assert not os.path.exists(volumes / "slave/in/file") and not os.path.exists(volumes / "private/in/file")
        for name in ("slave", "private"):
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volumes / name], check=True, timeout=10)
            (volumes / name / "from-the-host").touch()
        assert os.path.exists(f"/proc/{pid}/root/slave/from-the-host")
        assert not os.path.exists(f"/proc/{pid}/root/private/from-the-host")
        ocirt.ok("delete", "--force", "c1")
    finally:
        subprocess.run(["umount", "--recursive", volumes], check=True, timeout=10)


def as_mounted(text, *beneath):
    """mountinfo without its numbers: those mounts at or beneath the places, in their order."""
    lines = [
        re.sub(r"(shared|master|propagate_from):[0-9]+", r"\1", line.split(" ", 3)[3]) for line in text.splitlines()
    ]
    return [line for line in lines if any([f"{line.split()[1]}/".startswith(place + "/") for place in beneath])]


def test_nobody_can_tell_who_has_made_a_mount(ocirt, bundle):
    """With a network namespace the runtime makes file systems and the mounts of cgroups, while init makes that; else init
    makes all. Where the host's cgroup mounts are shared both are their slaves."""
    subprocess.run(["mount", "--make-rshared", "/sys/fs/cgroup"], check=True, timeout=10)
    try:
        assert "network" in [each["type"] for each in bundle.config["linux"]["namespaces"]]
        look = "cat /proc/self/mountinfo; ls -la /dev /sys/fs/cgroup | grep -v ' \\.\\.$' >&2"
        bundle.shell(look).save()
        beside = ocirt.ok("run", "--bundle", bundle, "c1")
        bundle.without_namespace("network").save()
        alone = ocirt.ok("run", "--bundle", bundle, "c1")
    finally:
        subprocess.run(["mount", "--make-rprivate", "/sys/fs/cgroup"], check=True, timeout=10)
    of_both = [as_mounted(each.out, "/dev", "/sys/fs/cgroup") for each in (beside, alone)]
    assert of_both[0] == of_both[1] and len(of_both[0]) > 4
    hierarchies = [line for line in of_both[0] if " - cgroup " in line]  # of v1
    assert all([" master" in line and " shared" not in line for line in hierarchies]), hierarchies
    when = re.compile(r" [A-Z][a-z]{2} +[0-9]+ [0-9:]+ ")
    assert when.sub(" ", beside.err) == when.sub(" ", alone.err) and "null" in alone.err


def test_a_mount_that_the_runtime_cannot_make(ocirt, bundle):
    """The error is that of the entry, and nothing is left."""
    bundle.config["mounts"].append(
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755", "size=x"]}
    )
    failed = ocirt.fails("run", "--bundle", bundle.save(), "c1")
    assert f"mounts[{len(bundle.config['mounts']) - 1}]" in failed and "size" in failed
    assert ocirt.ok("list", "-q").out == ""


def test_a_mount_that_init_cannot_make(ocirt, bundle):
    """What init says of its failure is not lost, though it ends without having read what the runtime has sent it."""
    bundle.config["mounts"].insert(
        0, {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nonsense"]}
    )
    bundle.save()
    for _ in range(20):
        assert "mounts[0]: mount proc at /proc: fsconfig: invalid argument: option nonsense" in ocirt.fails(
            "run", "--bundle", bundle, "c1"
        )


def wait_for(path, seconds=10):
    import time

    end = time.monotonic() + seconds
    while not os.path.exists(path):
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.01)


def test_slashes_at_the_end_of_paths(ocirt, bundle, source):
    """Of devices, of files that are bound, and where a link is meant itself."""
    (bundle.rootfs / "link").symlink_to("/etc")
    bundle.config["linux"]["devices"] = [
        {"path": "/dev/char/", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/p/.", "type": "p"},
    ]
    bind(bundle, source / "mine", destination="/etc/passwd/")
    bind(bundle, source / "theirs", destination="/new/file/.")
    bind(bundle, source / "mine", "dest-nofollow", destination="/link//.")
    out = run(
        ocirt, bundle, "stat -c %F /dev/char /dev/p; cat /etc/passwd /new/file; grep -c ' /link ' /proc/self/mountinfo"
    )
    assert out == "character special file\nfifo\nmine\ntheirs\n1\n", out


def test_options_as_a_person_writes_them(ocirt, bundle):
    bundle.config["mounts"].append(
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k,nr_inodes=10,noexec", ""]}
    )
    line = run(ocirt, bundle, "grep ' /data ' /proc/self/mountinfo")
    assert "noexec" in line and "size=64k,nr_inodes=10" in line


def test_a_missing_rootfs_says_what_to_do(ocirt, bundle):
    bundle.config["root"]["path"] = "nowhere"
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "root.path" in message and f"{bundle.path}/nowhere" in message and "make and fill it" in message, message


@pytest.mark.v1
@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.parametrize("readonly", [False, True])
def test_cgroup_mounts(ocirt, bundle, namespace, readonly):
    """A tree of hierarchies and links: the container's own cgroup is the top of each, read-only or not."""
    (cgroup,) = [mount for mount in bundle.config["mounts"] if mount["type"] == "cgroup"]
    cgroup["options"] = ["nosuid", "noexec", "nodev", "relatime", "ro" if readonly else "rw"]
    bundle.without_namespace("cgroup")
    if namespace:
        bundle.namespace("cgroup")
    out = run(
        ocirt,
        bundle,
        "cd /sys/fs/cgroup; cat pids/cgroup.procs | head -1; cat /proc/self/cgroup; "
        "mkdir pids/new 2>&1; echo end; mkdir top 2>&1; true",
    )
    lines = out.splitlines()
    assert lines[0] == "1"
    pids = [line.split(":", 2)[2] for line in lines if ":pids:" in line]
    assert pids == ["/" if namespace else OWN]
    assert ("Read-only" in out.split("end")[0]) == readonly
    assert not os.path.exists(f"/sys/fs/cgroup/pids{OWN}")


@pytest.mark.parametrize("flag", [(), ("--no-pivot",)])
def test_mounts_at_the_root(ocirt, bundle, source, image, tmp_path, flag):
    """As crun and runc 1.1: what is mounted at / covers the root, and is where all that comes later goes."""
    shutil.copytree(image, tmp_path / "over", symlinks=True)  # the runtime makes mount points in it
    bundle.config["mounts"].insert(0, {"destination": "/.", "source": str(tmp_path / "over"), "options": ["rbind"]})
    (bundle.rootfs / "covered").touch()
    bind(bundle, source)
    bundle.shell("ls /; cat /data/mine; grep -c ' / ' /proc/self/mountinfo; ls /..").save()
    seen = ocirt.ok("run", *flag, "--bundle", bundle, "c1").out.split()
    assert "covered" not in seen and "mine" in seen and "data" in seen, seen


def test_many_views_of_the_kernel(ocirt, bundle):
    """There is no limit to how many mounts of procfs and sysfs a container has; all of them are masked."""
    places = [f"/view{number}" for number in range(12)]
    bundle.config["mounts"] += [{"destination": place, "type": "proc", "source": "proc"} for place in places]
    bundle.config["linux"]["maskedPaths"] += [f"{place}/version" for place in places]
    assert run(ocirt, bundle, "cat /view*/version | wc -c; ls -d /view*/self | wc -l").split() == ["0", "12"]


@pytest.mark.parametrize(
    "options, flags",
    [
        ([], {"nosuid", "nodev", "noexec"}),
        (["nosuid", "nodev"], {"nosuid", "nodev"}),
        (["rw"], set()),
        (["ro"], {"ro"}),
    ],
)
@pytest.mark.parametrize("namespace", [False, True])
def test_attributes_of_the_source(ocirt, bundle, source, options, flags, namespace):
    """As runc: without an attribute among the options a bind has those of its source, with any it has the named ones alone. Else a
    volume on a noexec mount stays noexec."""
    if namespace:
        in_user_namespace(bundle)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec", "tmpfs", source], check=True, timeout=10)
    try:
        bind(bundle, source, *options)
        line = run(ocirt, bundle, "grep ' /data ' /proc/self/mountinfo").split()
        assert set(line[5].split(",")) - {"rw", "relatime"} == flags
    finally:
        subprocess.run(["umount", source], check=True, timeout=10)


@pytest.mark.parametrize("way", ["plain", "user namespace", "idmap", "both", "spelled"])
def test_a_source_inside_of_the_rootfs(ocirt, bundle, source, way):
    """It sees the mounts that came before it, whoever opens it."""
    bundle.config["mounts"] += [
        {"destination": "/mnt/x", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0755"]},
        {"destination": "/mnt/x/sub/deep", "type": "tmpfs", "source": "tmpfs"},
    ]
    entry = {"destination": "/data", "source": f"{bundle.rootfs}/mnt/x", "options": ["rbind"]}
    if way == "user namespace":
        in_user_namespace(bundle)
    elif way == "idmap":
        entry.update(uidMappings=MAP, gidMappings=MAP)
    elif way == "both":
        in_user_namespace(bundle)
        entry["uidMappings"] = entry["gidMappings"] = [{"containerID": 0, "hostID": 100005, "size": 10}]
    elif way == "spelled":
        in_user_namespace(bundle)
        entry["source"] = f"{bundle.rootfs}/./mnt//y/../x/"
    bundle.config["mounts"].append(entry)
    out = run(ocirt, bundle, "touch /mnt/x/new; ls /data; grep -c ' /data' /proc/self/mountinfo; stat -c '%a %u' /data")
    assert out.split() == ["new", "sub", "2", "755", {"idmap": "100000", "both": "5"}.get(way, "0")], out


@pytest.mark.parametrize(
    "option, reaches, stage", [("idmap", False, False), ("ridmap", True, False), ("ridmap", True, True)]
)
def test_an_idmapped_source_inside_of_the_rootfs_for_a_user_namespace(ocirt, bundle, source, option, reaches, stage):
    """Init opens it, after the mounts before it, and the runtime maps it: neither could do both. The stage that a time namespace
    needs is no third between the two."""
    in_user_namespace(bundle)
    if stage:
        bundle.namespace("time")
    bind(bundle, source, destination="/mnt/a")
    bind(bundle, source / "sub", destination="/mnt/a/sub")
    bind(bundle, bundle.rootfs / "mnt/a", "rbind", option)
    bind(bundle, source, destination="/tmp")
    out = run(ocirt, bundle, "cd /data; stat -c %u:%g mine theirs sub/deep /mnt/a/theirs; cat /tmp/mine")
    assert out.split() == ["0:0", "5:6", "5:6" if reaches else "65534:65534", "65534:65534", "mine"], out
    bundle.config["mounts"][-2]["source"] += "/nothing"
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c2")
    assert f"mounts[9]: bind {bundle.rootfs}/mnt/a/nothing" in message and "no such file" in message, message


@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_file_on_a_directory(ocirt, bundle, source, namespace, what):
    """And the reverse: dockerd looks for "not a directory" to explain it."""
    if namespace:
        in_user_namespace(bundle)
    bind(
        bundle,
        source if what == "directory" else source / "mine",
        destination="/etc/passwd" if what == "directory" else "/etc",
    )
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "not a directory" in message and f"a {what} is mounted on a" in message, message


@pytest.mark.parametrize("flag", [(), ("--no-pivot",)])
def test_options_that_go_by_mount(ocirt, bundle, source, flag):
    """What fsconfig(2) refuses for its length alone, and no descriptor can say, goes by mount(2): up to a page in all."""
    bind(bundle, source, destination="/first")  # what comes after a bind init mounts
    zeros = "0" * 300
    entry = {
        "destination": "/data",
        "type": "tmpfs",
        "source": "s" * 300,
        "options": [f"size=0x{zeros}10000", "mode=0700", "nosuid", "noexec"],
    }
    bundle.config["mounts"].append(entry)
    out = run(
        ocirt,
        bundle,
        "stat -c %a /data; df -k /data | tail -1; grep /data /proc/self/mountinfo; pwd; grep -c . /proc/self/mountinfo",
    )
    assert out.startswith("700\n") and " 64 " in out and "nosuid,noexec" in out and "s" * 300 in out, out
    entry["options"][0] = "size=" + "0" * PAGE
    bundle.save()
    assert f"its options are longer than the {PAGE - 1} bytes" in ocirt.fails("create", *flag, "--bundle", bundle, "c1")
    entry |= {"source": "s" * 4096, "options": []}
    bundle.save()
    assert "its source is longer than the 4095 bytes" in ocirt.fails("create", *flag, "--bundle", bundle, "c1")
    entry |= {"source": "tmpfs", "options": ["n" * 256 + "=1"]}
    bundle.save()
    assert f"option {'n' * 256}=1" in ocirt.fails("create", *flag, "--bundle", bundle, "c1")


def test_no_pivot_with_everything(ocirt, bundle, source):
    """--no-pivot: the same container, by another way to its root."""
    bind(bundle, source, "ro")
    script = (
        "cat /data/mine; ls -d /dev/pts/ptmx /proc/self /sys/class; cat /proc/keys; touch /x 2>&1; ls / | tr '\\n' ' '"
    )
    bundle.shell(script).save()
    assert ocirt.ok("run", "--no-pivot", "--bundle", bundle, "c1").out == ocirt.ok("run", "--bundle", bundle, "c2").out
