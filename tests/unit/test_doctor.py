"""``ocirt doctor``: each finding by a host or a bundle that has what it is about."""

import json
import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from ocirt.cli.doctor import (
    as_text,
    bundle,
    bundle_kernel,
    bundle_limits,
    bundle_mounts,
    control_groups,
    engines,
    kernel,
    run,
    storage,
    switch,
    users,
)
from ocirt.cli.doctor.finding import FAULT, GOOD, NOTE
from ocirt.cli.parser import parse
from ocirt.cli.spec import default, rootless
from ocirt.compile.capabilities import BITS
from ocirt.model.host import Cgroups, Hierarchy, Host
from tests.unit import plans
from tests.unit.plans import ALL_CAPABILITIES

TREE = Path(__file__).parents[2]


class Everywhere:
    """Paths, of which all are in it."""

    def __contains__(self, path):
        return True


def host(**facts):
    """Root of an ordinary machine, but for ``facts``."""
    usual = {"kernel": (6, 1), "cgroups": Cgroups(plans.v1(*control_groups.V1)), "writable": Everywhere()}
    return plans.host(**(usual | facts))


def texts(findings, level):
    return [str(each) for each in findings if each.level == level]


def test_a_kernel_that_is_too_old():
    (said,) = [each for each in texts(kernel.examine(host(kernel=(5, 10))), FAULT) if "Linux" in each]
    assert said.endswith("is too old; ocirt needs Linux 5.14 or newer")
    assert not [each for each in texts(kernel.examine(host()), FAULT) if "Linux" in each]


def test_a_capability_that_root_lacks():
    said = texts(kernel.examine(host(permitted=ALL_CAPABILITIES & ~BITS["CAP_SYS_RESOURCE"])), NOTE)
    assert [each for each in said if each.startswith("root lacks CAP_SYS_RESOURCE, needed for raising a hard limit")]
    assert not [each for each in texts(kernel.examine(host()), NOTE) if "lacks" in each]


@pytest.mark.parametrize(
    "name, needed",
    [
        ("CAP_SYS_ADMIN", "the namespaces and mounts of every container"),
        ("CAP_NET_ADMIN", "the lo of a container's own network namespace, and network devices"),
    ],
)
def test_a_capability_without_which_no_ordinary_container_starts(name, needed):
    faults = texts(kernel.examine(host(permitted=ALL_CAPABILITIES & ~BITS[name])), FAULT)
    # The kernel refuses some calls to a user who runs this.
    (said,) = [each for each in faults if not each.startswith("the kernel")]
    assert said.startswith(f"root lacks {name}, needed for {needed}; ")


def test_security_modules_without_securityfs(monkeypatch):
    monkeypatch.setattr(kernel, "LSM", "/nowhere")
    assert "security modules: apparmor, selinux" in texts(
        kernel.examine(host(has_apparmor=True, has_selinux=True)), NOTE
    )
    assert [each for each in texts(kernel.examine(host()), NOTE) if each.startswith("no security module")]


def test_no_call_is_refused_by_this_kernel_and_another_would_be(monkeypatch):
    # The kernel refuses some calls to whoever is not root.
    caller = host(permitted=ALL_CAPABILITIES if os.geteuid() == 0 else 0)
    assert not [each for each in texts(kernel.examine(caller), FAULT) if "refuses" in each]
    monkeypatch.setitem(kernel.CALLS, "no_such_call", (4000, ()))
    (said,) = [each for each in texts(kernel.examine(caller), FAULT) if "refuses" in each]
    assert "refuses no_such_call (ENOSYS)" in said


def test_a_call_without_which_containers_run(monkeypatch):
    monkeypatch.setitem(kernel.OLD_CALLS, "keyctl", ((4000, 4000), ()))
    caller = host(permitted=ALL_CAPABILITIES if os.geteuid() == 0 else 0)
    (said,) = [each for each in texts(kernel.examine(caller), NOTE) if "keyctl" in each]
    assert said.endswith(" refuses keyctl (ENOSYS); create with --no-new-keyring")
    assert not [each for each in texts(kernel.examine(caller), FAULT) if "refuses" in each]


@pytest.mark.parametrize(
    "facts, level, words",
    [
        ({"cgroups": Cgroups()}, FAULT, "no cgroups are mounted at /sys/fs/cgroup"),
        ({"writable": ()}, FAULT, "is read-only: no container gets a cgroup; "),
        (
            {"writable": (), "in_user_namespace": True},
            NOTE,
            "is read-only: no container gets a cgroup, and limits are refused; ",
        ),
        ({"cgroups": Cgroups([Hierarchy(["cpu"], "/sys/fs/cgroup/cpu", "/")])}, NOTE, "the controller memory is not"),
        ({"euid": 1000}, NOTE, "cgroup v1 cannot be handed to a user"),
        ({}, GOOD, "cgroup v1: memory cpu cpuset pids devices freezer blkio"),
        ({}, NOTE, "systemd does not run this host"),
    ],
)
def test_control_groups(facts, level, words):
    said = texts(control_groups.examine(host(**({"writable": ["/sys/fs/cgroup/memory/"]} | facts))), level)
    assert [each for each in said if words in each], said


def test_a_controller_of_v2_that_is_not_delegated(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    cgroups = Cgroups((), Hierarchy((), str(tmp_path), "/"))
    caller = host(euid=1000, cgroups=cgroups, has_systemd=True, writable=[str(tmp_path)])
    said = texts(control_groups.examine(caller), NOTE)
    assert [each.partition(":")[0] for each in said] == [
        f"the controller {name} is not there" for name in ("cpu", "cpuset", "io")
    ]
    assert "Delegate=cpu cpuset io memory pids" in said[0]


def test_a_cgroup_that_is_not_the_users(tmp_path):
    """As on a host with cgroup v2 and without systemd."""
    (tmp_path / "cgroup.controllers").write_text("memory pids cpu cpuset io\n")
    cgroups = Cgroups((), Hierarchy((), str(tmp_path), "/"))
    said = {
        writable: texts(control_groups._v2(host(euid=1000, writable=[str(tmp_path)] * writable), cgroups.unified), NOTE)
        for writable in (False, True)
    }
    assert said[True] == []
    assert said[False] == [
        f"this user may not write {tmp_path}: limits of rootless containers are refused; "
        f"as root: mkdir {tmp_path}/1000 && chown -R 1000 {tmp_path}/1000, and start the engine in that cgroup"
    ]


def test_where_states_of_a_user_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert texts(users._states(os.geteuid(), True), GOOD) == [f"states lie in {tmp_path}/ocirt"]
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/none")
    other = "use --root with another directory, or set XDG_RUNTIME_DIR to a directory of this user"
    for has_systemd, login in ((True, "log in, or as root: loginctl enable-linger 54321; or "), (False, "")):
        (said,) = texts(users._states(54321, has_systemd), FAULT)
        assert said == f"{tmp_path}/none, for the states of this user's containers, does not exist; {login}{other}"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    (said,) = texts(users._states(54321, True), FAULT)
    assert said.startswith("/run/user/54321, for the states")


def test_subordinate_ids():
    text = "tester:100000:65536\n1000:200000:10\nother:1:5\nbroken\n"
    assert users._count(text, "tester", 1000) == 65546 and users._count(text, "nobody", 5) == 0


def test_an_empty_path_hides_no_helper(monkeypatch):
    """The runtime looks for these programs in folders of its own."""
    monkeypatch.setenv("PATH", "")
    asked = []
    monkeypatch.setattr(users.subprocess, "run", lambda words, **rest: asked.append((words, rest)) or Done())
    assert texts(users._namespaces(host(euid=1000)), GOOD) == ["user namespaces can be made"]
    assert asked[0][1]["env"] == {"PATH": users.PROGRAMS}
    there = [program for program in ("newuidmap", "newgidmap") if shutil.which(program, path=users.PROGRAMS)]
    said = [each for each in texts(users._subordinate(54321), FAULT) if "is not installed" in each]
    assert len(said) == 2 - len(there), said


class Done:
    """A program that has ended well."""

    returncode, stdout, stderr = 0, "", ""


def test_a_file_that_is_hidden_ends_only_its_topic(monkeypatch, capfdbinary):
    def hidden(host):
        raise FileNotFoundError(2, "No such file or directory", "/proc/filesystems")

    monkeypatch.setattr(
        "ocirt.cli.doctor.TOPICS", {"storage": hidden, "users": lambda host: iter([users.good("well")])}
    )
    assert run(parse(["ocirt", "doctor", "--json"])) == 1
    first, second = json.loads(capfdbinary.readouterr().out)
    assert first["found"] == "/proc/filesystems: no such file or directory: the rest of this topic is unknown"
    assert second["found"] == "well"


def test_a_switch_that_forbids_user_namespaces(monkeypatch, tmp_path):
    switch = tmp_path / "max_user_namespaces"
    switch.write_text("0\n")
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\necho 'unshare: unshare failed: No space left on device' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(users, "SWITCHES", {str(switch): ("0", "sysctl user.max_user_namespaces=15000")})
    monkeypatch.setattr(users.shutil, "which", lambda name, path=None: str(fake))
    (said,) = texts(users._namespaces(host(euid=1000)), FAULT)
    assert said == (
        "no user namespace can be made (unshare failed: No space left on device); "
        "as root: sysctl user.max_user_namespaces=15000"
    )


def test_a_container_that_makes_no_user_namespace(monkeypatch, tmp_path):
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\necho 'unshare: write failed /proc/self/uid_map: Operation not permitted' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(users, "SWITCHES", {})
    monkeypatch.setattr(users.shutil, "which", lambda name, path=None: str(fake))
    (root,), (user,) = [texts(users._namespaces(host(euid=uid)), FAULT) for uid in (0, 1000)]
    assert root.startswith("no user namespace can be made (write failed /proc/self/uid_map: Operation not permitted); ")
    assert "--cap-add SETFCAP" in root and "a seccomp profile" in user


@pytest.mark.parametrize("facts, level", [({}, NOTE), ({"in_user_namespace": True}, FAULT), ({"euid": 1000}, FAULT)])
def test_a_container_whose_proc_is_covered(monkeypatch, tmp_path, facts, level):
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\n[ $3$4 = --mounttrue ] || { echo 'unshare: mount /proc failed: No' >&2; exit 1; }\n")
    fake.chmod(0o755)
    monkeypatch.setattr(users.shutil, "which", lambda name, path=None: str(fake))
    findings = list(users._namespaces(host(**facts)))
    assert texts(findings, GOOD) == ["user namespaces can be made"]
    (said,) = texts(findings, level)
    assert said.startswith("no user namespace can mount proc (mount /proc failed: No), as containers with one do: ")
    assert "systempaths=unconfined" in said


@pytest.mark.parametrize("permitted, words", [(0, "with --cap-add SYS_ADMIN"), (ALL_CAPABILITIES, "give the outer")])
def test_how_to_get_another_seccomp_profile(permitted, words):
    assert kernel._profile(host(permitted=permitted)).startswith(words)


def test_where_programs_are_kept(monkeypatch, tmp_path):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("OCIRT_CACHE", str(tmp_path))
    assert [each for each in texts(storage._cache(host(euid=os.geteuid())), GOOD) if f"kept in {tmp_path}" in each]
    monkeypatch.setenv("OCIRT_CACHE", "off")
    (said,) = texts(storage._cache(host()), NOTE)
    assert "the cache is off" in said


@pytest.mark.parametrize(
    "name, path, text, runtime",
    [
        ("podman", "/etc/containers/containers.conf", '[engine]\nruntime = "ocirt"\n', "ocirt"),
        (
            "docker",
            "/etc/docker/daemon.json",
            '{"default-runtime": "o", "runtimes": {"o": {"path": "/usr/local/bin/ocirt"}}}',
            "/usr/local/bin/ocirt",
        ),
        (
            "containerd",
            "/etc/containerd/config.toml",
            '[plugins."io.containerd.grpc.v1.cri".containerd]\ndefault_runtime_name = "o"\n'
            '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.o.options]\nBinaryName = "/usr/bin/ocirt"\n',
            "/usr/bin/ocirt",
        ),
    ],
)
def test_an_engine_that_is_switched(monkeypatch, tmp_path, name, path, text, runtime):
    file = tmp_path / "settings"
    file.write_text(text)
    real_open = open
    monkeypatch.setattr(
        "builtins.open", lambda asked, *more, **rest: real_open(file if asked == path else asked, *more, **rest)
    )
    monkeypatch.setattr(engines, "glob", lambda pattern: [])  # further files that this machine may have
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert getattr(engines, f"_{name}")() == runtime and engines.is_ocirt(runtime)
    assert not engines.is_ocirt("/usr/sbin/runc")


@pytest.mark.parametrize("engine", ["podman", "docker", "containerd", "buildah"])
def test_how_to_switch_an_engine(monkeypatch, tmp_path, engine):
    """The finding has the lines that the engine's page has, and none of docs/, which an installed ocirt lacks."""
    program = {"docker": "dockerd"}.get(engine, engine)
    installed = {program: f"/usr/bin/{program}"}
    monkeypatch.setattr(engines.shutil, "which", lambda name, path=None: installed.get(name))
    monkeypatch.setattr(engines, "_toml", lambda path: {})
    for module in (engines, switch):
        monkeypatch.setattr(module, "DOCKER_FILE", f"{tmp_path}/docker/daemon.json")
        monkeypatch.setattr(module, "CONTAINERD_FILE", f"{tmp_path}/containerd/config.toml")
    monkeypatch.delenv("BUILDAH_RUNTIME", raising=False)
    (finding,) = [each for each in engines.examine(host()) if engine in each.found]
    page = (TREE / f"docs/{engine}.md").read_text()
    blocks = ["".join(part.split()) for part in re.findall(r"(?:^    .*\n)+", page, re.MULTILINE)]
    if engine == "docker":
        assert any(block in "".join(finding.mend.split()) for block in blocks)
    elif engine == "buildah":
        assert "BUILDAH_RUNTIME=/usr/local/bin/ocirt" in finding.mend and "oci" in finding.mend
    else:
        words = finding.mend.partition("printf ")[2].partition(" >")[0]
        printed = subprocess.run(["sh", "-c", f"printf {words}"], capture_output=True, text=True, timeout=60).stdout
        assert "".join(printed.split()) in blocks
    assert "docs/" not in finding.mend and "\n" not in finding.mend


def carried_out(mend):
    """Let a shell do what a finding says, but for the restart of the engine."""
    command = mend.partition("run: ")[2].partition(" && systemctl")[0].partition("; then")[0]
    subprocess.run(["sh", "-ec", command], check=True, timeout=60)


CRI2, CRI3 = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"


@pytest.mark.parametrize(
    "text, by_hand",
    [
        (None, None),
        ("# nothing is set\n", None),
        (f'version = 2\n[plugins]\n  [plugins."{CRI2}"]\n    sandbox_image = "x"', None),
        (f'version = 3\n[plugins."{CRI3}"]\nenable_cdi = true\n', None),
        (
            f'version = 2\n[plugins."{CRI2}".containerd]\nsnapshotter = "x"\ndefault_runtime_name = "runc"\n',
            'change line 4 to default_runtime_name = "ocirt"',
        ),
        (
            f"version = 3\n[plugins]\n  [plugins.'{CRI3}'.containerd]\n    snapshotter = \"x\"\n",
            f'write default_runtime_name = "ocirt" beneath [plugins."{CRI3}".containerd] (line 3)',
        ),
    ],
)
def test_the_command_for_containerd_fits_the_file_that_is_there(monkeypatch, tmp_path, text, by_hand):
    """TOML takes each table once: a file that has one is changed by hand, and gets what it lacks by the command."""
    file = tmp_path / "etc/config.toml"
    if text is not None:
        file.parent.mkdir()
        file.write_text(text)
    for module in (engines, switch):
        monkeypatch.setattr(module, "CONTAINERD_FILE", str(file))
    mend = switch.way("containerd", host())
    assert (by_hand or "") in mend and ("change line" in mend or "beneath" in mend) == bool(by_hand)
    carried_out(mend)
    name = CRI3 if "version = 3" in (text or "") else CRI2
    settings = engines._toml(str(file))["plugins"][name]["containerd"]
    assert engines.is_ocirt(settings["runtimes"]["ocirt"]["options"]["BinaryName"])
    if by_hand:
        assert engines._containerd() != settings["runtimes"]["ocirt"]["options"]["BinaryName"]
    else:
        assert engines.is_ocirt(engines._containerd())


def test_a_file_of_containerd_that_has_the_oldest_format(monkeypatch, tmp_path):
    (tmp_path / "config.toml").write_text('disabled_plugins = ["cri"]\n')
    monkeypatch.setattr(switch, "CONTAINERD_FILE", f"{tmp_path}/config.toml")
    mend = switch.way("containerd", host())
    assert "has the format of version 1" in mend and "printf" not in mend


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, ('add "runtimes": {"ocirt": {"path": ', 'add "default-runtime": "ocirt"')),
        (
            {"runtimes": {"kata": {"path": "/kata"}}, "default-runtime": "kata"},
            ('add "ocirt": {"path": ', 'change "default-runtime" from "kata" to "ocirt"'),
        ),
    ],
)
def test_what_to_change_in_a_file_of_docker_that_is_there(monkeypatch, tmp_path, settings, words):
    file = tmp_path / "daemon.json"
    for module in (engines, switch):
        monkeypatch.setattr(module, "DOCKER_FILE", str(file))
    carried_out(switch.way("dockerd", host()))
    assert engines.is_ocirt(engines._docker())
    file.write_text(json.dumps(settings))
    mend = switch.way("dockerd", host())
    assert all(each in mend for each in words) and "printf" not in mend


def test_a_file_that_podman_reads_after_the_one_of_ocirt(monkeypatch, tmp_path):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", str(tmp_path)))
    folder = f"{tmp_path}/.config/containers/containers.conf.d"
    user = host(euid=1000)
    assert switch.way("podman", user, f"{folder}/a.conf").startswith("run: mkdir -p ~/.config/containers")
    assert switch.way("podman", user, f"{folder}/z.conf").startswith(
        f"remove the line runtime of [engine] in {folder}/z.conf, which podman reads last; then run: mkdir"
    )
    os.makedirs(folder)
    Path(f"{folder}/ocirt.conf").write_text("")
    assert ">" not in switch.way("podman", user)  # the command would replace what the reader has there


@pytest.mark.parametrize("systemd", [True, False])
@pytest.mark.parametrize("engine", ["dockerd", "containerd"])
def test_nobody_is_sent_to_a_systemd_that_does_not_run(monkeypatch, tmp_path, engine, systemd):
    monkeypatch.setattr(switch, "DOCKER_FILE", f"{tmp_path}/none")
    monkeypatch.setattr(switch, "CONTAINERD_FILE", f"{tmp_path}/none")
    mend = switch.way(engine, host(has_systemd=systemd))
    assert ("systemctl" in mend) == systemd and mend.endswith(
        f"systemctl restart {engine.replace('dockerd', 'docker')}" if systemd else f"; then restart {engine}"
    )


@pytest.mark.parametrize("engine, text", [("docker", "[1]"), ("containerd", "plugins = 5"), ("podman", "engine = 5")])
def test_settings_of_another_kind_name_no_runtime(monkeypatch, tmp_path, engine, text):
    file = tmp_path / "containers/containers.conf"
    file.parent.mkdir()
    file.write_text(text)
    monkeypatch.setattr(engines, "DOCKER_FILE", str(file))
    monkeypatch.setattr(engines, "CONTAINERD_FILE", str(file))
    real = engines._toml
    monkeypatch.setattr(engines, "_toml", lambda path: real(path) if path == str(file) else {})
    monkeypatch.setattr(engines, "glob", lambda pattern: [])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert getattr(engines, f"_{engine}")() is None


@pytest.fixture
def box(tmp_path):
    """A function that gives the findings for a config in a bundle with an empty rootfs that has /bin/sh, a link."""
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    (tmp_path / "rootfs/bin/busybox").write_text("")
    (tmp_path / "rootfs/bin/busybox").chmod(0o755)
    (tmp_path / "rootfs/bin/sh").symlink_to("/bin/busybox")

    def findings(config, flags=(), env=("PATH=/usr/bin:/bin",), **facts):
        config["process"]["env"] = [*env]
        options = parse(["ocirt", *flags, "doctor", str(tmp_path)]).options
        return list(bundle.examine(host(**facts), options, str(tmp_path), json.dumps(config).encode()))

    return findings


def test_a_bundle_without_fault(box):
    found = box(default() | {"hooks": {"prestart": [{"path": "/bin/sh"}]}})
    assert texts(found, FAULT) == texts(found, NOTE) == []


def change(config, *keys, to):
    for key in keys[:-1]:
        config = config[key]
    config[keys[-1]] = to


@pytest.mark.parametrize(
    "keys, value, level, words",
    [
        (["root", "path"], "nowhere", FAULT, "root.path: "),
        (["root", "path"], 5, FAULT, "create would refuse it: config.json: root.path: found 5"),
        (["process", "args"], ["tool"], FAULT, "process.args[0]: the rootfs has no tool in any folder of process.env"),
        (["process", "args"], ["/opt/tool"], FAULT, "process.args[0]: the rootfs has no /opt/tool, and no mount"),
        (["process", "args"], ["/proc/tool"], NOTE, "process.args[0]: the rootfs has no /proc/tool; unless"),
        (["hooks"], {"poststop": [{"path": "/no/hook"}]}, NOTE, "hooks.poststop[0].path: /no/hook is not"),
        (["hooks"], {"poststart": [{"path": "/no/hook"}]}, FAULT, "hooks.poststart[0].path: /no/hook is not"),
        (
            ["mounts", 0],
            {"destination": "/x", "type": "bind", "source": "/no/source", "options": ["bind"]},
            FAULT,
            "mounts[0].source: /no/source does not exist; mkdir -p /no/source",
        ),
        (
            ["mounts", 5],
            {"destination": "/p", "type": "proc", "source": "proc"},
            NOTE,
            "mounts[5]: a second proc at /p",
        ),
        (["process", "capabilities", "bounding"], ["CAP_NONE"], NOTE, "create warns: "),
        (
            ["linux", "namespaces", 1],
            {"type": "network", "path": "/run/netns/none"},
            FAULT,
            "linux.namespaces[1].path: /run/netns/none does not exist",
        ),
    ],
)
def test_what_would_fail(box, keys, value, level, words):
    config = default()
    change(config, *keys, to=value)
    said = texts(box(config), level)
    assert [each for each in said if words in each], said


CPUS, NODES = "/sys/devices/system/cpu", "/sys/devices/system/node"
OF_HOST = {
    f"{CPUS}/online": "0-1",
    f"{CPUS}/possible": "0-3",
    f"{NODES}/has_memory": "0",
    f"{NODES}/possible": "0-1",
    "/proc/filesystems": "nodev\tproc\nnodev\ttmpfs\nnodev\tsysfs\nnodev\tmqueue\nnodev\tdevpts\nnodev\toverlay\n\text4",
    f"/lib/modules/{os.uname().release}/modules.alias": "alias fs-xfs xfs\nalias fs-iso9660 isofs",
    "/proc/devices": "Character devices:\n  1 mem\n\nBlock devices:\n  8 sd",
    "/proc/self/oom_score_adj": "0",
    "/proc/sys/user/max_net_namespaces": "100",
    "/proc/self/mountinfo": "1 0 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / /srv rw - tmpfs t rw\n3 1 0:3 / /proc rw - proc p rw",
    bundle_kernel.PROFILES: "docker-default (enforce)\nmine (complain)",
}
"""Files of /proc and /sys -> what they say on a host. Those that are not named are hidden."""
MAPPED = [{"containerID": 0, "hostID": 1000, "size": 1}]


@pytest.fixture
def told(monkeypatch):
    """Give the checks these files, with changes."""

    def tell(**changes):
        files = OF_HOST | changes.get("files", {})
        for module in (bundle_kernel, bundle_limits, bundle_mounts, storage):
            monkeypatch.setattr(module, "read", files.get)

    tell()
    return tell


@pytest.mark.parametrize(
    "keys, value, level, words",
    [
        (
            ["linux", "resources", "cpu"],
            {"cpus": "0-2"},
            FAULT,
            'linux.resources.cpu.cpus: found "0-2", and this host has 0-1',
        ),
        (
            ["linux", "resources", "cpu"],
            {"mems": "1"},
            FAULT,
            'linux.resources.cpu.mems: found "1", and this host has 0',
        ),
        (
            ["linux", "resources", "memory"],
            {"limit": 500000},
            NOTE,
            "memory.limit: with 500000 bytes the container may die",
        ),
        (
            ["linux", "resources", "memory"],
            {"limit": 4096},
            FAULT,
            "memory.limit: with 4096 bytes the container dies",
        ),
        (
            ["linux", "resources", "memory"],
            {"limit": 1 << 26, "swap": 1 << 25},
            FAULT,
            "linux.resources.memory.swap: found 33554432, expected memory and swap together",
        ),
        (
            ["linux", "resources", "cpu"],
            {"quota": 2000, "burst": 3000},
            FAULT,
            "found 3000, expected at most the quota",
        ),
        (["linux", "memoryPolicy"], {"mode": "MPOL_BIND", "nodes": "3"}, FAULT, "linux.memoryPolicy.nodes: found"),
        (["process", "execCPUAffinity"], {"final": "7"}, NOTE, "process.execCPUAffinity.final: found"),
        (["process", "rlimits"], [{"type": "RLIMIT_CORE", "soft": 3, "hard": 2}], FAULT, "rlimits[0].soft: found 3"),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "nofs"},
            FAULT,
            "mounts[0].type: this kernel has no file system nofs",
        ),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "xfs"},
            NOTE,
            "mounts[0].type: xfs is a module that is not loaded",
        ),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "ext4", "source": "/no"},
            FAULT,
            "mounts[0].source: /no does not",
        ),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "overlay", "options": ["lowerdir=/no:/proc"]},
            FAULT,
            "mounts[0]: lowerdir: /no is not a directory",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin/busybox", "type": "tmpfs"},
            FAULT,
            "/bin/busybox is a file in the rootfs",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin/busybox/x", "type": "tmpfs"},
            FAULT,
            "so that nothing can be mounted beneath",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin", "source": "/proc/version", "options": ["bind"]},
            FAULT,
            "mounts[0].destination: /bin is a directory in the rootfs, and the mount is a file",
        ),
        (
            ["mounts", 0],
            {
                "destination": "/m",
                "source": "/srv",
                "options": ["bind", "idmap"],
                "uidMappings": MAPPED,
                "gidMappings": MAPPED,
            },
            FAULT,
            "mounts[0]: the source is on tmpfs, on which Linux maps ids from 6.3 on",
        ),
        (
            ["mounts", 0],
            {
                "destination": "/m",
                "source": "/proc/self",
                "options": ["bind", "idmap"],
                "uidMappings": MAPPED,
                "gidMappings": MAPPED,
            },
            FAULT,
            "mounts[0]: the source is on proc, on which no Linux maps ids",
        ),
        (["linux", "sysctl"], {"net.ipv4.nosuch": "1"}, FAULT, "linux.sysctl.net.ipv4.nosuch: this kernel has no such"),
        (["linux", "sysctl"], {"net.ipv4.conf.eth0.forwarding": "1"}, FAULT, "has no such device"),
        (
            ["linux", "devices"],
            [{"path": "/d", "type": "c", "major": 999, "minor": 0}],
            NOTE,
            "linux.devices[0]: no driver",
        ),
        (["linux", "devices"], [{"path": "/d", "type": "b", "major": 1, "minor": 0}], NOTE, "the block devices 1"),
        (
            ["linux", "resources", "blockIO"],
            {"throttleReadBpsDevice": [{"major": 999, "minor": 7, "rate": 5}]},
            FAULT,
            "linux.resources.blockIO.throttleReadBpsDevice[0]: this host has no block device 999:7",
        ),
        (["linux", "netDevices"], {"lo": {}}, FAULT, "linux.netDevices.lo: the loopback device does not leave"),
        (
            ["mounts", 0],
            {"destination": "/m", "type": "ext4", "source": __file__},
            FAULT,
            f"mounts[0].source: {__file__} is not a block device, and ext4 needs one; as root: losetup",
        ),
        (
            ["process", "scheduler"],
            {"policy": "SCHED_DEADLINE", "runtime": 3000, "deadline": 2000, "period": 4000},
            FAULT,
            "process.scheduler: found runtime 3000, deadline 2000 and period 4000, expected",
        ),
        (
            ["process", "scheduler"],
            {"policy": "SCHED_DEADLINE", "runtime": 1023, "deadline": 2000},
            FAULT,
            "expected a runtime of at least 1024",
        ),
        (
            ["process", "scheduler"],
            {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 4000, "period": 3000},
            FAULT,
            "process.scheduler: found runtime 2000",
        ),
        (["process", "args"], ["sh", "x" * (128 << 10)], FAULT, "process.args[1]: found 131072 bytes"),
        (
            ["hooks"],
            {"startContainer": [{"path": "/bin/hook"}]},
            FAULT,
            "hooks.startContainer[0].path: the rootfs has no /bin/hook, and no mount brings it",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin", "type": "tmpfs"},
            FAULT,
            "process.args[0]: mounts[0] at /bin hides ",
        ),
        (
            ["mounts", 0],
            {"destination": "/bin", "source": "/proc/self/fd", "options": ["rbind"]},
            FAULT,
            "process.args[0]: mounts[0] at /bin hides ",
        ),
        (["linux", "maskedPaths"], ["/bin/busybox"], FAULT, "linux.maskedPaths[0], /bin/busybox, hides /bin/sh"),
        (["linux", "maskedPaths"], ["/bin"], FAULT, "linux.maskedPaths[0], /bin, hides /bin/sh"),
        (
            ["linux", "netDevices"],
            {"none0": {}},
            FAULT,
            "linux.netDevices.none0: this host has no network device none0",
        ),
        (
            ["linux", "namespaces", 1],
            {"type": "network", "path": "/proc/self/ns/uts"},
            FAULT,
            "is uts, expected a namespace",
        ),
        (["linux", "namespaces", 1], {"type": "network", "path": "/proc/version"}, FAULT, "is no namespace, expected"),
        (["process", "cwd"], "/bin/busybox", FAULT, "process.cwd: /bin/busybox is a file in the rootfs"),
        (
            ["linux", "seccomp"],
            {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/socket", "syscalls": []},
            FAULT,
            "linux.seccomp.listenerPath: /no/socket does not exist",
        ),
    ],
)
def test_what_this_host_lacks(box, told, keys, value, level, words):
    config = default()
    assert texts(box(default()), FAULT) == texts(box(default()), NOTE) == []
    change(config, *keys, to=value)
    said = texts(box(config), level)
    assert [each for each in said if words in each], said
    assert len([each for kind in (FAULT, NOTE) for each in texts(box(config), kind)]) == 1


@pytest.mark.parametrize(
    "keys, value",
    [
        (["linux", "resources", "cpu"], {"cpus": "0,1", "mems": "0"}),
        (["process", "execCPUAffinity"], {"initial": "1,7"}),
        (["mounts", 0], {"destination": "/bin", "type": "tmpfs", "options": ["tmpcopyup"]}),
        (["mounts", 0], {"destination": "/bin/busybox", "source": "/bin/sh", "options": ["bind"]}),
        (["hooks"], {"startContainer": [{"path": "/bin/sh"}]}),
        (["process", "args"], ["sh", "x" * ((128 << 10) - 1)]),
        (["process", "scheduler"], {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 2000}),
        (["linux", "sysctl"], {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.forwarding": "1"}),
        (["linux", "devices"], [{"path": "/d", "type": "c", "major": 1, "minor": 3}]),
        (["linux", "namespaces", 1], {"type": "network", "path": "/proc/self/ns/net"}),
        (["process", "cwd"], "/missing"),
    ],
)
def test_what_this_host_has(box, told, keys, value):
    config = default()
    change(config, *keys, to=value)
    assert texts(box(config), FAULT) == texts(box(config), NOTE) == []


def test_processors_that_are_possible_are_enough_on_cgroup_v2(box, told):
    config, v2 = default(), {"cgroups": Cgroups((), Hierarchy((), plans.ROOT, "/"))}
    for cpus, expected in (("0-3", 0), ("4", 1)):
        config["linux"]["resources"]["cpu"] = {"cpus": cpus}
        said = [each for each in texts(box(config, **v2), FAULT) if "cpu.cpus" in each]
        assert len(said) == expected, said


@pytest.mark.parametrize("file", [f"{CPUS}/online", "/proc/filesystems"])
def test_what_a_hidden_file_leaves_unknown(box, told, file):
    config = default()
    config["linux"]["resources"]["cpu"] = {"cpus": "5"}
    config["mounts"][0] = {"destination": "/m", "type": "nofs"}
    told(files={file: None})
    said = [each for each in texts(box(config), NOTE) if "hidden" in each]
    assert said and all(f"{file} is hidden here, so it is unknown whether " in each for each in said)


@pytest.mark.parametrize(
    "process, capability",
    [
        ({"oomScoreAdj": -5}, "CAP_SYS_RESOURCE"),
        ({"scheduler": {"policy": "SCHED_OTHER", "nice": -5}}, "CAP_SYS_NICE"),
        ({"scheduler": {"policy": "SCHED_FIFO", "priority": 5}}, "CAP_SYS_NICE"),
        ({"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 1}}, "CAP_SYS_NICE"),
    ],
)
def test_a_right_that_the_caller_lacks(box, told, monkeypatch, process, capability):
    monkeypatch.setattr(bundle_limits, "_rtprio", lambda: 0)
    config = default()
    config["process"] |= process
    said = texts(box(config, permitted=ALL_CAPABILITIES & ~BITS[capability]), FAULT)
    assert [each for each in said if f"for which the caller lacks {capability}" in each], said
    assert not [each for each in texts(box(config), FAULT) if "lacks" in each]


@pytest.mark.parametrize("given, level", [("auto", FAULT), ("true", NOTE)])
def test_limits_in_cgroups_that_a_user_may_not_write(box, told, given, level):
    """As on every host with cgroup v1."""
    uid = os.geteuid() or 1000
    config = rootless(uid, uid)
    config["linux"] |= {"cgroupsPath": "/x", "resources": {"memory": {"limit": 1 << 26}, "pids": {"limit": 9}}}
    facts = {"euid": uid, "egid": uid, "writable": ()}
    found = box(config, ["--rootless", given], **facts)
    said = [each for each in texts(found, level) if "may not write" in each]
    assert [each.partition(":")[0] for each in said] == ["linux.resources.memory.limit", "linux.resources.pids.limit"]
    # An installed ocirt has no docs/, and the finding says by itself what to do.
    assert all("--rootless true" in each and "docs/" not in each for each in said)
    allowed = box(config, ["--rootless", given], **(facts | {"writable": Everywhere()}))
    assert not [each for each in texts(allowed, level) if "may not write" in each]


def test_a_file_that_cgroups_of_this_kernel_lack(tmp_path):
    """The root of a hierarchy lacks files that others have, so a neighbour answers; without one nobody knows."""
    assert bundle_limits._has(str(tmp_path), "memory.limit_in_bytes")
    (tmp_path / "system").mkdir()
    (tmp_path / "system/memory.limit_in_bytes").touch()
    assert bundle_limits._has(str(tmp_path), "memory.limit_in_bytes")
    assert not bundle_limits._has(str(tmp_path), "memory.memsw.limit_in_bytes")
    assert bundle_limits._has(str(tmp_path), "cpu.shares")


def test_real_time_in_a_cgroup_that_has_none(tmp_path, box, told):
    """With RT_GROUP_SCHED a new cgroup has no runtime, and may get no more than the one above has."""
    (tmp_path / "above").mkdir()
    for place in (tmp_path, tmp_path / "above"):
        for file in ("runtime", "period"):
            (place / f"cpu.rt_{file}_us").touch()
    told(files={f"{tmp_path}/above/cpu.rt_runtime_us": "900"})
    v1 = {"cgroups": Cgroups([Hierarchy(("cpu",), str(tmp_path), "/")])}
    config = default()
    config["process"]["scheduler"] = {"policy": "SCHED_FIFO", "priority": 5}
    config["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    for path, runtime, words in (
        ("/above/x", 0, "a new cgroup has no real-time runtime on this host"),
        ("/above/x", 901, "found 901, and the cgroup above allows 900"),
        ("/new/x", 1, "found 1, and the cgroup above allows 0"),
        ("/above/x", 900, None),
    ):
        config["linux"] |= {"cgroupsPath": path}
        config["linux"]["resources"]["cpu"] = {"realtimeRuntime": runtime, "realtimePeriod": 100000}
        said = texts(box(config, **v1), FAULT)
        assert [each for each in said if words in each] if words else not said, said


def test_an_apparmor_profile_that_is_not_loaded(box, told):
    config = default()
    for name, expected in (("mine", 0), ("docker-default", 0), ("other", 1)):
        config["process"]["apparmorProfile"] = name
        said = [each for each in texts(box(config, has_apparmor=True), FAULT) if "is not loaded" in each]
        assert len(said) == expected, said


def test_a_namespace_of_which_there_may_be_none(box, told):
    told(files={"/proc/sys/user/max_net_namespaces": "0"})
    (said,) = texts(box(default()), FAULT)
    assert "/proc/sys/user/max_net_namespaces is 0, so nobody can make one; as root: sysctl" in said


def test_ids_that_are_mapped_twice(box, told):
    config = default()
    config["linux"]["namespaces"].append({"type": "user"})
    entries = [{"containerID": 0, "hostID": 1000, "size": 10}, {"containerID": 5, "hostID": 2000, "size": 10}]
    config["linux"] |= {"uidMappings": entries, "gidMappings": entries[:1]}
    (said,) = texts(box(config), FAULT)
    assert said == "linux.uidMappings[1]: containerID 5 is in linux.uidMappings[0], too"


@pytest.mark.parametrize(
    "flags, status, ostype, level, words",
    [
        (0b1, "Name:\tx\nSeccomp:\t0", False, NOTE, "the kernel has seccomp filters, with which actions is unknown"),
        (0, "Name:\tx\nSeccomp:\t2", False, NOTE, "it is unknown whether the kernel has seccomp filters"),
        (0, "Name:\tx\nSeccomp:\t0", True, FAULT, "the kernel has no seccomp filters"),
        (0, "Name:\tx", False, FAULT, "the kernel has no seccomp filters"),
    ],
)
def test_what_is_known_of_seccomp_if_its_file_is_hidden(monkeypatch, flags, status, ostype, level, words):
    """/proc/sys may be masked. Then the answer of seccomp(2) counts, and the kernel's line in the status."""
    monkeypatch.setattr(storage, "read", {"/proc/self/status": status}.get)
    real = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: ostype if path == "/proc/sys/kernel/ostype" else real(path))
    found = [*storage._seccomp(host(seccomp_flags=flags))]
    assert [each for each in texts(found, level) if each.startswith(words)], found
    assert level == FAULT or not texts(found, FAULT) or "libseccomp" in texts(found, FAULT)[0]


def test_a_limit_above_the_callers(box):
    config, hard = default(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": hard + 1}]
    said = texts(box(config, permitted=ALL_CAPABILITIES & ~BITS["CAP_SYS_RESOURCE"]), FAULT)
    assert len(said) == 1 and said[0].startswith(f"process.rlimits[0]: RLIMIT_NOFILE of {hard + 1} is above")
    assert texts(box(config), FAULT) == []


def test_a_limit_above_the_kernels(box):
    """Not even root may have more open files."""
    config, most = default(), int(Path("/proc/sys/fs/nr_open").read_text())
    for hard, expected in ((most, 0), (most + 1, 1)):
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": hard}]
        assert len(said := texts(box(config), FAULT)) == expected, said
    assert said[0].endswith(f"which binds root, too; ask for less, or as root: sysctl fs.nr_open={most + 1}")


def test_a_program_that_is_not_executable(box, tmp_path):
    (tmp_path / "rootfs/bin/busybox").chmod(0o644)
    (said,) = texts(box(default()), FAULT)
    place = f"{os.path.realpath(tmp_path)}/rootfs/bin/busybox"
    assert said == f"process.args[0]: {place} is not an executable file; chmod +x {place}"


def test_a_program_that_a_mount_a_hook_or_a_layer_may_bring(box):
    """What decides is not in the rootfs, so it is a note."""
    missing = default() | {"process": default()["process"] | {"args": ["/opt/tool"]}}
    for brings in (
        {"hooks": {"createContainer": [{"path": "/bin/sh"}]}},
        {"annotations": {"org.ocirt.rootfs.lower": "/layer"}},
        {"mounts": [*default()["mounts"], {"destination": "/opt", "type": "nfs", "source": "x"}]},
    ):
        (said,) = [each for each in texts(box(missing | brings), NOTE) if "process.args[0]" in each]
        assert said.endswith("the rootfs has no /opt/tool; unless a mount brings it")
    assert [each for each in texts(box(missing), FAULT) if "process.args[0]" in each]


def test_an_environment_that_the_kernel_does_not_take(box):
    config = default()
    found = box(config, env=["PATH=/bin", "LONG=" + "x" * (128 << 10)])
    (said,) = texts(found, FAULT)
    assert said == "process.env[1]: found 131077 bytes, and the kernel takes at most 131071; shorten it"


def test_a_missing_root_is_one_finding(box):
    (said,) = texts(box(default() | {"root": {"path": "nowhere"}}), FAULT)
    assert said.startswith("root.path: ") and said.endswith(
        "/nowhere is not a directory; unpack a root file system there"
    )


def test_a_group_of_devpts_that_is_not_mapped(box):
    """`ocirt spec` gives the terminals to the group 5, and a small map does not have it."""
    config = default()
    config["linux"]["namespaces"].append({"type": "user"})
    for size, expected in ((6, 0), (4, 1)):
        entry = {"containerID": 0, "hostID": 0, "size": size}
        config["linux"] |= {"uidMappings": [entry], "gidMappings": [entry]}
        said = [each for each in texts(box(config), FAULT) if "is in no entry" in each]
        assert len(said) == expected, said
    (index,) = [number for number, each in enumerate(config["mounts"]) if each["type"] == "devpts"]
    place = config["mounts"][index]["options"].index("gid=5")
    assert said[0].startswith(f"mounts[{index}].options[{place}]: 5 is in no entry of linux.gidMappings; ")


@pytest.mark.parametrize(
    "clock, offset, expected",
    [
        ("monotonic", {"secs": -(1 << 40)}, 1),
        ("boottime", {"secs": 1 << 40}, 1),
        ("boottime", {"secs": (1 << 63) - 1}, 1),
        ("monotonic", {"secs": 86400, "nanosecs": 5}, 0),
        ("boottime", {"secs": -1}, 0),
    ],
)
def test_a_clock_out_of_range(box, clock, offset, expected):
    config = default()
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {clock: offset}
    said = [each for each in texts(box(config), FAULT) if each.startswith(f"linux.timeOffsets.{clock}.secs: found")]
    assert len(said) == expected


@pytest.mark.parametrize("path", ["/tasks", "/new/tasks"])
def test_a_cgroup_that_is_a_file(box, tmp_path, path):
    (tmp_path / "tasks").touch()
    config = default()
    config["linux"] |= {"cgroupsPath": path, "resources": {"devices": [{"allow": False, "access": "rwm"}]}}
    said = texts(box(config, cgroups=Cgroups([Hierarchy(("devices",), str(tmp_path), "/")])), FAULT)
    assert said == [f"linux.cgroupsPath: {tmp_path}{path} is a file, expected a cgroup; name another path"]


@pytest.mark.parametrize("kernel, kind, expected", [((6, 11), "erofs", 1), ((6, 12), "erofs", 0), ((6, 12), "ext4", 1)])
def test_a_file_system_that_needs_a_block_device(box, told, kernel, kind, expected):
    told(files={"/proc/filesystems": "nodev\ttmpfs\n\terofs\n\text4"})
    config = default()
    config["mounts"] = [{"destination": "/m", "type": kind, "source": __file__}]
    said = [each for each in texts(box(config, kernel=kernel), FAULT) if "is not a block device" in each]
    assert len(said) == expected


def test_all_errors_that_validate_finds(box):
    """Create stops at the first one."""
    config = default() | {"hostname": 5}
    config["process"]["cwd"] = "relative"
    said = texts(box(config), FAULT)
    assert len(said) == 2 and all(each.startswith("create would refuse it: ") for each in said)
    assert [each for each in said if "hostname" in each] and [each for each in said if "process.cwd" in each]


def _with_null(value):
    """The same config with a null for each property that is absent at the places where engines write some."""
    value["hooks"] = {"prestart": None}
    value["annotations"] = None
    value["process"] |= {"rlimits": None, "user": {"uid": 0, "gid": 0, "additionalGids": None}}
    value["linux"] |= {"maskedPaths": None, "readonlyPaths": None, "uidMappings": None, "resources": None}
    value["mounts"].append({"destination": "/t", "type": "tmpfs", "source": None, "options": None})
    return value


def test_properties_that_are_null_count_as_missing(box):
    assert texts(box(_with_null(default())), FAULT) == []
    for name in ("hooks", "mounts", "annotations"):
        found = box(default() | {name: None})
        assert [each for each in found if each.level == GOOD and "compiles to" in each.found], (name, found)


@pytest.mark.parametrize(
    "facts, text, wanted, level",
    [
        ({"euid": 1000, "egid": 1000}, "1000:100000:65536\n", 165535, GOOD),
        ({"euid": 1000, "egid": 1000}, "1000:100000:65536\n", 165536, FAULT),
        ({"euid": 1000, "egid": 1000}, "", 100000, FAULT),
        ({"in_user_namespace": True}, "0 100000 65536\n", 65535, GOOD),
        ({"in_user_namespace": True}, "0 100000 65536\n", 65536, FAULT),
        ({}, "", 4000000000, GOOD),
    ],
)
def test_ids_of_the_host_that_the_caller_may_not_map(box, monkeypatch, facts, text, wanted, level):
    config = rootless(1000, 1000)
    for kind in ("uid", "gid"):
        config["linux"][f"{kind}Mappings"] = [{"containerID": 0, "hostID": wanted, "size": 1}]
    monkeypatch.setattr(users, "read", lambda path: text)
    real = Host.text
    monkeypatch.setattr(
        Host,
        "text",
        lambda self, path: text if path in ("/proc/self/uid_map", "/proc/self/gid_map") else real(self, path),
    )
    said = [each for each in texts(box(config, **facts), FAULT) if "may not map" in each]
    assert len(said) == (2 if level == FAULT else 0), said
    if said:
        assert said[0].startswith(
            f"linux.uidMappings[0]: the caller may not map the uids {wanted} to {wanted} of the host"
        )


def test_an_id_that_is_not_mapped(box):
    config = rootless(1000, 1000)
    config["process"]["user"] = {"uid": 0, "gid": 7}
    said = texts(box(config), FAULT)
    assert [each for each in said if each.startswith("process.user.gid: 7 is in no entry of linux.gidMappings")], said


def test_a_controller_that_is_missing(box):
    config = default()
    config["linux"]["resources"] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]}
    (said,) = texts(box(config), FAULT)
    assert said.startswith("create would refuse it: linux.resources.hugepageLimits")


def test_the_exit_status_and_json(box, tmp_path, capfdbinary):
    config = default() if os.geteuid() == 0 else rootless(os.geteuid(), os.getegid())
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(parse(["ocirt", "doctor", "--json", str(tmp_path)])) in (0, 1)
    rows = json.loads(capfdbinary.readouterr().out)
    assert rows and {*rows[0]} == {"topic", "level", "found", "mend"}
    config["root"]["path"] = "nowhere"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(parse(["ocirt", "doctor", str(tmp_path)])) == 1
    assert b"fault bundle    root.path: " in capfdbinary.readouterr().out


@pytest.mark.parametrize("flag", ["-f", "--config"])
def test_a_file_without_a_bundle_is_the_bundle_here(box, tmp_path, monkeypatch, capfdbinary, flag):
    """As with the other verbs that have this flag."""
    file = tmp_path / "other.json"
    config = default() if os.geteuid() == 0 else rootless(os.geteuid(), os.getegid())
    file.write_text(json.dumps(config | {"root": {"path": "nowhere"}}))
    monkeypatch.chdir(tmp_path)
    assert run(parse(["ocirt", "doctor", flag, str(file)])) == 1
    assert f"root.path: {os.path.realpath(tmp_path)}/nowhere is not".encode() in capfdbinary.readouterr().out


def test_one_is_no_plural():
    found = [("users", users.fault("a")), ("users", users.note("b")), ("users", users.good("c"))]
    assert as_text(found).endswith("\n1 fault, 1 note, 1 good\n")
    assert as_text(found * 2).endswith("\n2 faults, 2 notes, 2 good\n") and as_text([]).endswith(
        "0 faults, 0 notes, 0 good\n"
    )
