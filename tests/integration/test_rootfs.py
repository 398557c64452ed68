"""Root file system, mounts, devices, masked and read-only paths; nothing of it is seen outside."""

import os
import subprocess

import pytest


def run(ocirt, bundle, script):
    bundle.shell(script).save()
    result = ocirt("run", "--bundle", bundle, "c1")
    assert result.status == 0, result
    return result.out


def mount_table(text):
    """mountinfo: mount point -> (options, type, super options); the last one mounted counts."""
    table = {}
    for line in text.splitlines():
        before, after = line.split(" - ")
        table[before.split()[4]] = (set(before.split()[5].split(",")), after.split()[0], after.split()[2])
    return table


def test_mounts_of_spec(ocirt, bundle):
    table = mount_table(run(ocirt, bundle, "cat /proc/self/mountinfo"))
    assert {place: row[1] for place, row in table.items() if row[1] != "cgroup"}.items() >= {
        "/proc": "proc",
        "/dev": "tmpfs",
        "/dev/pts": "devpts",
        "/dev/shm": "tmpfs",
        "/dev/mqueue": "mqueue",
        "/sys": "sysfs",
    }.items()
    assert "ro" in table["/"][0] and {"ro", "nosuid", "nodev", "noexec"} <= table["/sys"][0]
    assert {"nosuid", "noexec", "nodev"} <= table["/dev/shm"][0] and "size=65536k" in table["/dev/shm"][2]
    assert "mode=620" in table["/dev/pts"][2] and "ptmxmode=666" in table["/dev/pts"][2]
    assert {"ro", "nosuid", "nodev", "noexec", "relatime"} <= table["/sys/fs/cgroup"][0]
    assert {"ro"} <= table["/proc/sys"][0] and table["/proc/keys"][1] in ("devtmpfs", "tmpfs")


def test_order_of_mounts(ocirt, bundle):
    """config.md, Mounts: in the listed order."""
    bundle.config["mounts"] += [
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/tmp/in", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
    ]
    lines = [line.split()[4] for line in run(ocirt, bundle, "cat /proc/self/mountinfo").splitlines()]
    assert lines.index("/tmp") < lines.index("/tmp/in")


def test_binds(ocirt, bundle, tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_text("bound\n")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "sub"], check=True, timeout=10)
    (source / "sub/deep").touch()
    try:
        bundle.config["mounts"] += [
            {"destination": "/new/deep/dir", "source": str(source), "options": ["bind", "ro"]},
            {"destination": "/recursive", "source": str(source), "options": ["rbind", "ro"]},
            {"destination": "/a-file", "source": str(source / "file"), "options": ["bind"]},
        ]
        bundle.config["root"]["readonly"] = False
        out = run(
            ocirt,
            bundle,
            "cat /a-file /new/deep/dir/file; ls /new/deep/dir/sub | wc -l; ls /recursive/sub; "
            "touch /new/deep/dir/x 2>&1; echo more >> /a-file",
        )
        lines = out.splitlines()
        assert lines[:4] == ["bound", "bound", "0", "deep"] and "Read-only" in lines[4]
        assert (source / "file").read_text() == "bound\nmore\n"
    finally:
        subprocess.run(["umount", source / "sub"], check=True, timeout=10)


def test_a_missing_source_names_its_path(ocirt, bundle):
    bundle.config["mounts"].append({"destination": "/x", "source": "/nonexistent", "options": ["bind"]})
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "mounts[7]" in message and "/nonexistent" in message and "no such file or directory" in message


def test_devices(ocirt, bundle):
    """config-linux.md, Default Devices; runtime-linux.md, Dev symbolic links."""
    out = run(
        ocirt,
        bundle,
        "umask 077; cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty; "
        "for l in fd stdin stdout stderr ptmx; do readlink $l; done",
    )
    lines = out.splitlines()
    assert lines[:6] == [
        f"{name} character special file {number} 666"
        for name, number in (
            ("null", "1:3"),
            ("zero", "1:5"),
            ("full", "1:7"),
            ("random", "1:8"),
            ("urandom", "1:9"),
            ("tty", "5:0"),
        )
    ]
    assert lines[6:] == ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"]


def test_nothing_is_seen_outside(ocirt, bundle):
    before = open("/proc/self/mountinfo").read()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert open("/proc/self/mountinfo").read() == before
    ocirt.ok("delete", "--force", "c1")
    assert open("/proc/self/mountinfo").read() == before


def test_masked_and_readonly_paths(ocirt, bundle):
    (bundle.rootfs / "secret").write_text("secret")
    (bundle.rootfs / "hidden").mkdir()
    (bundle.rootfs / "hidden/file").touch()
    (bundle.rootfs / "link").symlink_to("/secret")
    bundle.config["linux"]["maskedPaths"] += ["/secret", "/hidden", "/missing", "/link"]
    bundle.config["linux"]["readonlyPaths"] += ["/tmp", "/missing"]
    bundle.config["root"]["readonly"] = False
    out = run(ocirt, bundle, "cat /secret; ls /hidden; touch /hidden/x /tmp/x /y 2>&1; cat /proc/keys /proc/timer_list")
    assert out.count("Read-only") == 2 and "secret" not in out and "file\n" not in out
    assert (bundle.rootfs / "y").exists()


def test_a_readonly_path_that_is_the_root(ocirt, bundle):
    """As with runc and crun, the mount of the root, not those below it."""
    bundle.config["root"]["readonly"] = False
    bundle.config["linux"]["readonlyPaths"] += ["/"]
    out = run(
        ocirt,
        bundle,
        "touch /x /tmp/x 2>&1; touch /dev/shm/x && echo writable; cut -d' ' -f5 /proc/self/mountinfo | grep -cx /",
    )
    assert out.count("Read-only") == 2 and out.endswith("writable\n1\n"), out


def test_readonly_root(ocirt, bundle):
    """config.md, Root: readonly."""
    assert "Read-only" in run(ocirt, bundle, "touch /x 2>&1; touch /dev/shm/x && echo writable")


@pytest.mark.parametrize(
    "asked, shown", [("private", None), ("slave", None), ("shared", "shared:"), ("unbindable", "unbindable")]
)
def test_rootfs_propagation(ocirt, bundle, tmp_path, asked, shown):
    """config-linux.md, Rootfs Mount Propagation."""
    bundle.config["linux"]["rootfsPropagation"] = asked
    (line,) = [line for line in run(ocirt, bundle, "cat /proc/self/mountinfo").splitlines() if line.split()[4] == "/"]
    optional = line.split(" - ")[0].split()[6:]
    if shown is None:
        assert not any(word.startswith("shared:") for word in optional)
    else:
        assert any(word.startswith(shown) for word in optional)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("asked, shown", [(None, []), ("rslave", []), ("shared", ["shared", "master"])])
def test_a_rootfs_that_the_host_shares(ocirt, bundle, asked, shown, readonly):
    """Docker's and containerd's is such a mount. What the host mounts below it later does not appear in the container, as
    with crun and runc.
    """
    subprocess.run(["mount", "--bind", bundle.rootfs, bundle.rootfs], check=True, timeout=10)
    try:
        subprocess.run(["mount", "--make-shared", bundle.rootfs], check=True, timeout=10)
        bundle.config["root"]["readonly"] = readonly
        if asked:
            bundle.config["linux"]["rootfsPropagation"] = asked
        mounts = [line.split() for line in run(ocirt, bundle, "cat /proc/self/mountinfo").splitlines()]
        (root,) = [line for line in mounts if line[4] == "/"]
        assert [word.partition(":")[0] for word in root[6 : root.index("-")]] == shown
        assert root[5].split(",")[0] == ("ro" if readonly else "rw")
    finally:
        subprocess.run(["umount", bundle.rootfs], check=True, timeout=10)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize(
    "asked, everywhere, of_the_volume",
    [
        ("shared", None, []),
        ("rshared", "shared", ["shared"]),
        ("rslave", None, []),
        ("unbindable", None, []),
        ("runbindable", "unbindable", ["unbindable"]),
    ],
)
def test_a_propagation_of_all_mounts(ocirt, bundle, tmp_path, asked, everywhere, of_the_volume, readonly):
    """With an r before it the value is one for the container's other mounts, too, as with crun and runc 1.3; also for a
    volume that has asked for another one.
    """
    bundle.config["root"]["readonly"] = readonly
    bundle.config["linux"]["rootfsPropagation"] = asked
    options = ["rbind", "rprivate"]
    bundle.config["mounts"].append({"destination": "/volume", "source": str(tmp_path), "options": options})
    (bundle.rootfs / "volume").mkdir(exist_ok=True)
    mounts = {line.split()[4]: line.split() for line in run(ocirt, bundle, "cat /proc/self/mountinfo").splitlines()}
    kinds = {at: [word.partition(":")[0] for word in row[6 : row.index("-")]] for at, row in mounts.items()}
    assert kinds["/volume"] == of_the_volume
    assert kinds["/proc"] == kinds["/dev"] == ([everywhere] if everywhere else [])
    assert mounts["/"][5].split(",")[0] == ("ro" if readonly else "rw")


def test_an_rslave_root_makes_slaves_of_volumes(ocirt, bundle, tmp_path):
    """As with runc 1.3: what the container mounts in a volume does not reach the host then."""
    volume = tmp_path / "volume"
    volume.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volume], check=True, timeout=10)
    try:
        subprocess.run(["mount", "--make-shared", volume], check=True, timeout=10)
        bundle.config["mounts"].append({"destination": "/v", "source": str(volume), "options": ["rbind", "rshared"]})
        (bundle.rootfs / "v").mkdir(exist_ok=True)
        for asked, shown in (("rslave", ["master"]), ("slave", ["shared", "master"])):
            bundle.config["linux"]["rootfsPropagation"] = asked
            mounts = [line.split() for line in run(ocirt, bundle, "cat /proc/self/mountinfo").splitlines()]
            (row,) = [each for each in mounts if each[4] == "/v"]
            assert [word.partition(":")[0] for word in row[6 : row.index("-")]] == shown
    finally:
        subprocess.run(["umount", volume], check=True, timeout=10)


@pytest.mark.parametrize("flag", [(), ("--no-pivot",)])
def test_the_hosts_root_is_out_of_reach(ocirt, bundle, flag):
    bundle.shell("ls -a /..; ls /proc/self/root/").save()
    result = ocirt.ok("run", *flag, "--bundle", bundle, "c1")
    assert "bin" in result.out and "home" not in result.out and "var" not in result.out


def test_links_stay_inside(ocirt, bundle, tmp_path):
    """A mount target, cwd or device behind a link lands inside the rootfs."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (bundle.rootfs / "evil").symlink_to(outside)
    (bundle.rootfs / "up").symlink_to("../../../../../../../../" + str(outside)[1:])
    bundle.config["mounts"] += [
        {"destination": "/evil/a", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/up/b", "type": "tmpfs", "source": "tmpfs"},
    ]
    bundle.config["process"]["cwd"] = "/evil/cwd"
    bundle.config["linux"]["devices"] = [{"path": "/up/dev/null2", "type": "c", "major": 1, "minor": 3}]
    bundle.config["root"]["readonly"] = False
    assert run(ocirt, bundle, "pwd").strip().endswith("outside/cwd")
    assert os.listdir(outside) == []
    assert (bundle.rootfs / str(outside)[1:] / "a").is_dir()


def test_the_kernel_reaps_orphans(ocirt, bundle):
    """While init waits for start, and of its program; a hook of init has children as usual."""
    bundle.args("sleep", "60").config["annotations"] = {"org.ocirt.rootfs.reap": "1"}
    bundle.config["root"]["readonly"] = False
    (bundle.rootfs / "hook").write_text("#!/bin/sh\nsh -c 'exit 3'\necho $? > /tmp/hook\n")
    (bundle.rootfs / "hook").chmod(0o755)
    bundle.config["hooks"] = {"startContainer": [{"path": "/hook"}]}
    bundle.save()
    leave = ["sh", "-c", "(sleep 0.01 &); (true &)"]
    count = ["sh", "-c", "sleep 0.2; cat /proc/[0-9]*/status | grep -c ^State:.Z"]
    ocirt.ok("create", "--rootfs-annotations", "--bundle", bundle, "c1")
    ocirt.ok("exec", "c1", *leave)
    assert ocirt("exec", "c1", *count).out == "0\n"
    ocirt.ok("start", "c1")
    ocirt.ok("exec", "c1", *leave)
    assert ocirt("exec", "c1", *count).out == "0\n"
    assert (bundle.rootfs / "tmp/hook").read_text() == "3\n"
    ocirt.ok("delete", "--force", "c1")


def test_overlay_rootfs(ocirt, bundle, bundles, tmp_path):
    """Read-only layers shared by two containers, an upper layer each (docs/architecture.md); gone with the container."""
    base = bundle.rootfs
    more = tmp_path / "more"
    more.mkdir()
    (more / "layer").write_text("upper layer\n")
    for name in ("one", "two"):
        each = bundles(name)
        upper, work = tmp_path / f"{name}-upper", tmp_path / f"{name}-work"
        upper.mkdir(), work.mkdir()
        for entry in each.rootfs.iterdir():
            subprocess.run(["rm", "-r", entry], check=True, timeout=10)
        each.config["root"]["readonly"] = False
        each.config["annotations"] = {
            "org.ocirt.rootfs.lower": f"{more}:{base}",
            "org.ocirt.rootfs.upper": str(upper),
            "org.ocirt.rootfs.work": str(work),
        }
        each.shell(f"cat /layer; echo {name} > /mine; rm /layer; ls /").save()
        out = ocirt.ok("run", "--rootfs-annotations", "--bundle", each, name).out
        assert out.startswith("upper layer\n") and "mine" in out
        assert (upper / "mine").read_text() == f"{name}\n" and list(each.rootfs.iterdir()) == []
    assert (more / "layer").exists() and not (base / "mine").exists()


def test_annotations_of_strangers(ocirt, bundle):
    """CRI-O copies a pod's annotations: without the caller's flag they show the container nothing of the host's."""
    bundle.config["annotations"] = {"org.ocirt.rootfs.lower": "/"}
    bundle.shell("ls /").save()
    seen = ocirt.ok("run", "--bundle", bundle, "c1")
    assert "var" not in seen.out and "level=warning" in seen.err and "--rootfs-annotations" in seen.err, seen


def test_layers_by_flag(ocirt, bundle, tmp_path):
    """`run --layer DIR --layer DIR [--upper DIR --work DIR]`, relative to the caller's directory."""
    (tmp_path / "top:layer").mkdir()
    (tmp_path / "top:layer/file").write_text("top\n")
    base = tmp_path / "base"
    bundle.rootfs.rename(base)
    bundle.rootfs.mkdir()
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    bundle.config["root"]["readonly"] = False
    bundle.shell("cat /file; touch /new 2>&1").save()
    flags = ("--layer", "top:layer", "--layer", base)
    assert "Read-only" in ocirt("run", *flags, "--bundle", bundle, "c1", cwd=tmp_path).out
    assert (
        ocirt.ok("run", *flags, "--upper=upper", "--work=work", "--bundle", bundle, "c1", cwd=tmp_path).out == "top\n"
    )
    assert (tmp_path / "upper/new").exists() and not (base / "new").exists() and list(bundle.rootfs.iterdir()) == []
    for wrong in (("--upper", "upper"), ("--layer", base, "--upper", "upper"), ("--layer", "nowhere")):
        assert "--" in ocirt.fails("run", *wrong, "--bundle", bundle, "c1", cwd=tmp_path)


def test_tmpcopyup(ocirt, bundle):
    (bundle.rootfs / "etc/sub").mkdir()
    (bundle.rootfs / "etc/sub/file").write_text("copied\n")
    (bundle.rootfs / "etc/link").symlink_to("sub/file")
    bundle.config["mounts"].append(
        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=0755"]}
    )
    assert run(ocirt, bundle, "cat /etc/link; echo x > /etc/new && ls /etc") == "copied\nlink\nnew\npasswd\nsub\n"
    assert not (bundle.rootfs / "etc/new").exists()


@pytest.mark.parametrize(
    "there, options, mode",
    [
        (None, [], "1777"),
        (None, ["mode=700"], "700"),
        (0o750, [], "750"),
        (0o750, ["mode=701"], "701"),
    ],
)
def test_mode_of_a_tmpfs_with_tmpcopyup(ocirt, bundle, there, options, mode):
    """The option's, else that of the directory it covers, else a tmpfs's own: podman's --tmpfs."""
    if there:
        (bundle.rootfs / "place/sub").mkdir(parents=True)
        (bundle.rootfs / "place/sub").chmod(0o711)
        (bundle.rootfs / "place").chmod(there)
    bundle.config["mounts"].append(
        {"destination": "/place", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", *options]}
    )
    assert run(ocirt, bundle, "stat -c %a /place; test ! -e /place/sub || stat -c %a /place/sub") == (
        f"{mode}\n711\n" if there else f"{mode}\n"
    )
