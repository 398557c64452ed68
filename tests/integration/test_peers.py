"""What users and engines rely on because runc, crun or the specification has it: one table, a row for each such behaviour.

A row says what is asked, what comes of it, and why it is right: in the words of the specification, or what the peers do and who counts
on it. The files of the parts of the specification test each behaviour with its corners; this is the list to read. What needs a host of
its own (a user's systemd, a kernel with SELinux, criu) is a row about the plan or the command line here.
"""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from ocirt.errors import HostError
from ocirt.model import crun
from tests.integration.harness import LIMIT
from tests.unit import plans

MAPS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def mount(destination, source="tmpfs", kind="tmpfs", options=()):
    return {"destination": destination, "source": str(source), "type": kind, "options": list(options)}


def bind(source, destination, *options):
    return mount(destination, source, "bind", ["bind", *options])


def in_user_namespace(bundle):
    bundle.namespace("user").config["linux"] |= {"uidMappings": MAPS, "gidMappings": MAPS}
    os.chown(bundle.rootfs, 100000, 100000)


# ---- containers that run to their end ----


def closed_directory(bundle, place):
    (bundle.rootfs / "closed").mkdir(mode=0o700)
    bundle.config["process"] |= {"cwd": "/closed", "user": {"uid": 42, "gid": 42}}


def empty_home(bundle, place):
    bundle.config["process"]["env"] = ["PATH=/bin", "HOME="]
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}


def hooks(bundle, place):
    say = [f"echo $0 $PWD $MARK >> {place}/said", "createContainer"]
    bundle.config["process"]["env"] = ["PATH=/bin", "MARK=process"]
    bundle.config["root"]["readonly"] = False
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo ${{PATH:+path}} > {place}/said"]}],
        "createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", *say]}],
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo start $MARK > /said"]}],
    }


def no_gid(bundle, place):
    bundle.config["process"]["user"] = {"uid": 5}
    bundle.config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE"}
    bundle.config["linux"]["resources"]["devices"] = [{"allow": False, "access": "rwm"}] + [
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwa"}
    ]


def many_layers(bundle, place):
    layers = [place / f"{number:064}" for number in range(200)]
    for layer in layers:
        layer.mkdir()
    (layers[-1] / "lowest").write_text("seen\n")
    lower = "lowerdir=" + ":".join(map(str, layers))
    assert len(lower) > 4096
    bundle.config["mounts"].append(mount("/mnt", "overlay", "overlay", [lower]))


def volume_on(options):
    def change(bundle, place):
        (place / "volume").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "t", place / "volume"], check=True, timeout=LIMIT)
        bundle.config["mounts"].append(bind(place / "volume", "/mnt", *options))

    return change


def source_inside(bundle, place):
    (bundle.rootfs / "at").mkdir()
    bundle.config["mounts"] += [mount("/at"), bind(bundle.rootfs / "at", "/again")]


def over_the_root(bundle, place):
    (place / "other/bin").mkdir(parents=True)
    for name in ("busybox", "sh", "cat"):
        os.link(bundle.rootfs / "bin/busybox", place / f"other/bin/{name}")
    (place / "other/is").write_text("other\n")
    bundle.config["mounts"] = [bind(place / "other", "/")]
    bundle.config["linux"] |= {"maskedPaths": [], "readonlyPaths": []}


def slashes(bundle, place):
    bundle.config["linux"]["devices"] = [{"path": "/dev/odd/", "type": "c", "major": 1, "minor": 3}]
    bundle.config["mounts"] += [mount("/one/."), bind(place, "/two/", "dest-nofollow")]


def foreign_device(bundle, place):
    in_user_namespace(bundle)
    device = {"path": "/dev/owner-device", "type": "b", "major": 1, "minor": 5, "uid": 10, "gid": 11}
    bundle.config["linux"]["devices"] = [device]


def many_mounts(bundle, place):
    in_user_namespace(bundle)
    (place / "volume").mkdir()
    bundle.config["mounts"] += [bind(place / "volume", f"/m/{number}") for number in range(100)]


def no_pids_limit(version):
    def change(bundle, place):
        bundle.config["ociVersion"] = version
        bundle.config["linux"]["resources"]["pids"] = {"limit": 0}

    return change


def annotated(**annotations):
    def change(bundle, place):
        bundle.config["annotations"] = {getattr(crun, name): value for name, value in annotations.items()}

    return change


def time_offset(bundle, place):
    annotated(TIME_OFFSET="monotonic 100000 0")(bundle.namespace("time"), place)


RUNS = {
    # name: the config, a script, what it prints, why
    "a WORKDIR that the user may not enter": (
        closed_directory,
        "pwd",
        "/closed",
        "runc and crun enter it with their own rights first; images have WORKDIR /root and USER nobody",
    ),
    "HOME= is as absent": (
        empty_home,
        "echo $HOME",
        "/home/guest",
        "runc and crun fill it from the container's passwd",
    ),
    "a startContainer hook without env": (
        hooks,
        "cat /said",
        "start process",
        "all peers give it process.env",
    ),
    "the other hooks without env": (
        hooks,
        "true",
        lambda place, bundle: (place / "said").read_text() == f"path\ncreateContainer {bundle.rootfs}\n",
        "all peers give them the runtime's own environment, PATH with it; createContainer's start in the rootfs as with runc",
    ),
    "what the schema does not require": (
        no_gid,
        "id -u; id -g; ionice -p $$; echo x > /dev/null && echo written",
        "5\n0\nidle\nwritten",
        "both peers: gid 0, no priority for the class IDLE, the letter a passed over",
    ),
    "the umask": (
        lambda bundle, place: None,
        "umask",
        "0022",
        "runc and crun: 0022 without user.umask, not the caller's",
    ),
    "200 layers with digests as names": (
        many_layers,
        "cat /mnt/lowest",
        "seen",
        "mount(2) takes a page of options, fsconfig(2) 255 bytes; engines write lowerdir= of that length",
    ),
    "a bind without a flag": (
        volume_on([]),
        "grep -c ' /mnt [^ ]* [^ ]*noexec' /proc/mounts",
        "1",
        "runc: without a flag among the options the bind keeps those of its source",
    ),
    "a bind with a flag": (
        volume_on(["nosuid"]),
        "grep -c ' /mnt [^ ]* [^ ]*noexec' /proc/mounts; true",
        "0",
        "runc: with a flag it has the named ones alone; a volume on a noexec mount is to be executable",
    ),
    "a source inside the rootfs": (
        source_inside,
        "echo in > /at/file; cat /again/file",
        "in",
        'config.md: "The runtime MUST mount entries in the listed order", so a later one sees the earlier',
    ),
    "a mount at /": (over_the_root, "cat /is", "other", "crun and runc 1.1 mount over the root"),
    "slashes at the end": (
        slashes,
        "stat -c %F /dev/odd; grep -c ' /one \\| /two ' /proc/mounts",
        "character special file\n2",
        "a path names the same with them; runc and crun clean it",
    ),
    "a device that the host does not have, in a user namespace": (
        foreign_device,
        "stat -c '%F %t:%T %u' /dev/owner-device",
        "block special file 1:5 10",
        'config-linux.md: "The runtime MAY supply them however it likes"; crun makes them outside and binds them',
    ),
    "more mounts than descriptors": (
        many_mounts,
        "ls /m | wc -l; grep -c ' /m/' /proc/mounts",
        "100\n100",
        "no peer has a limit",
    ),
    "pids.limit 0 before 1.3.0": (
        no_pids_limit("1.2.1"),
        "(echo forked) | cat",
        "forked",
        "podman 4.3 writes 0 for no limit, and Go could not tell it from absent",
    ),
    "pids.limit 0 from 1.3.0 on": (
        no_pids_limit("1.3.0"),
        "(echo forked) 2>/dev/null | cat; echo end",
        "",
        'config-linux.md of 1.3.0: "`0` is a valid limit value"',
    ),
    "run.oci.timens_offset": (
        time_offset,
        "grep -o 'monotonic *100000' /proc/self/timens_offsets | tr -s ' '",
        "monotonic 100000",
        "crun.1",
    ),
    "run.oci.hooks.stdout": (
        lambda bundle, place: bundle.config.update(
            annotations={crun.HOOKS_STDOUT: f"{place}/out"},
            hooks={"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "echo printed"]}]},
        ),
        "true",
        lambda place, bundle: (place / "out").read_text() == "printed\n",
        "crun.1: what hooks print is appended to that file",
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_containers(ocirt, bundle, tmp_path, name):
    change, script, expected, why = RUNS[name]
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o755)
    change(bundle, place)
    old = os.umask(0o077)
    try:
        done = ocirt("run", "--bundle", bundle.shell(script).save(), "c1")
    finally:
        os.umask(old)
        subprocess.run(["umount", place / "volume"], stderr=subprocess.DEVNULL, timeout=LIMIT)
    if callable(expected):
        assert done.status == 0 and expected(place, bundle), (why, done)
    elif expected:
        assert (done.status, done.out.strip()) == (0, expected), (why, done)
    else:
        assert done.out == "" and done.status != 0, (why, done)


# ---- what is refused, and in which words ----


def changed(**changes):
    return lambda bundle, place: bundle.config.update(plans.with_changes(bundle.config, **changes))


def file_on_directory(bundle, place):
    (place / "file").touch()
    bundle.config["mounts"].append(bind(place / "file", "/tmp"))


def other_domainname(bundle, place):
    bundle.config |= {"domainname": "a"}
    bundle.config["linux"]["sysctl"] = {"kernel.domainname": "b"}


def loud_hook(bundle, place):
    noise = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo the reason >&2; exit 3"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", noise]}]}


REFUSED = {
    # name: the config, what the error holds, why
    "a hook that fails": (
        loud_hook,
        "the reason",
        "what it has printed, its last 4 KiB, stands in the error as with runc: a person reads nothing else",
    ),
    "a file on a directory": (
        file_on_directory,
        "not a directory",
        "dockerd looks for these words to explain it, and gives 127",
    ),
    "two domain names": (
        other_domainname,
        "kernel.domainname",
        "as hostname and its sysctl: they contradict each other",
    ),
    "an rlimit that no host gives": (
        changed(process__rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1, "hard": (1 << 63) - 1}]),
        "RLIMIT_NOFILE",
        "config.md: the runtime MUST generate an error for what it cannot give; it says what the host allows",
    ),
    "a sysctl that is not there": (
        changed(linux__sysctl={"net.nothing": "1"}),
        "this kernel has no such parameter",
        "what the host lacks is said",
    ),
    "run.oci.handler": (
        changed(annotations={"run.oci.handler": "krun"}),
        "expected no annotation that asks for what crun does and ocirt does not",
        "a container that is no virtual machine must not pass for one",
    ),
    "krun.cpus": (changed(annotations={"krun.cpus": "2"}), "expected no annotation", "as above"),
    "run.oci.seccomp_fail_unknown_syscall": (
        changed(
            annotations={crun.FAIL_UNKNOWN_SYSCALL: "1"},
            linux__seccomp={
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["nosuchcall"], "action": "SCMP_ACT_ERRNO"}],
            },
        ),
        "nosuchcall",
        "crun.1: an unknown system call is an error then",
    ),
    "run.oci.pidfd_receiver to nobody": (
        changed(annotations={crun.PIDFD_RECEIVER: "/nowhere"}),
        "run.oci.pidfd_receiver",
        "crun.1: the container's pidfd is sent to that socket before it is created",
    ),
    "run.oci.seccomp_bpf_data that is none": (
        changed(annotations={crun.SECCOMP_DATA: "!"}),
        "in base64",
        "crun.1: raw BPF, base64",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(ocirt, bundle, tmp_path, name):
    change, words, why = REFUSED[name]
    change(bundle, tmp_path)
    error = ocirt.fails("run", "--bundle", bundle.args("true").save(), "c1")
    assert words in error and len(error) < 6000 and ocirt.ids() == [], (why, error)


# ---- plans, for what this host may not have ----

PLAIN, SELINUX = plans.no_cgroups(), plans.no_cgroups(has_selinux=True)
SYSTEMD = plans.v2(has_systemd=True)
RECEIVED = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}

PLANS = {
    # name: the config, the host (with SYSTEMD, it makes the cgroups), section, step, some of its fields, why
    "the seccomp agent hears at create": (
        {"linux__seccomp": RECEIVED | {"listenerPath": "/agent"}},
        PLAIN,
        "init",
        "LoadNotifyingSeccomp",
        {"status": "creating", "ready": 1},
        "config-linux.md, The Container Process State: the example's status is creating",
    ),
    "run.oci.seccomp.receiver": (
        {"linux__seccomp": RECEIVED, "annotations": {crun.SECCOMP_RECEIVER: "/agent"}},
        PLAIN,
        "host",
        "OpenSocket",
        {"path": "/agent"},
        "crun.1: the socket where the profile names none",
    ),
    "run.oci.mount_context_type": (
        {
            "linux__mountLabel": "a:b:c:d",
            "mounts": [mount("/mnt")],
            "annotations": {crun.MOUNT_CONTEXT: "rootcontext"},
        },
        SELINUX,
        "init",
        "Mount",
        {"options": ["rootcontext=a:b:c:d"]},
        "crun.1: the option that carries the label",
    ),
    "memoryPolicy beyond 1,024 nodes": (
        {"linux__memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0,5000"}},
        PLAIN,
        "init",
        "SetMemoryPolicy",
        {},
        "the specification has no bound; the kernel's is its own to tell",
    ),
    "run.oci.systemd.subgroup": (
        {"annotations": {crun.SUBGROUP: "inner"}},
        SYSTEMD,
        "host",
        "MakeCgroup",
        {"path": "/system.slice/ocirt-c1.scope/inner"},
        "crun.1: the container's cgroup is that child of systemd's scope",
    ),
    "run.oci.delegate-cgroup": (
        {"annotations": {crun.SUBGROUP: "inner", crun.DELEGATE: "own"}},
        SYSTEMD,
        "host",
        "MakeCgroup",
        {"path": "/system.slice/ocirt-c1.scope/inner/own"},
        "crun.1: the container's process begins in that child of its cgroup",
    ),
    "run.oci.systemd.subgroup without systemd": (
        {"annotations": {crun.SUBGROUP: "inner"}},
        PLAIN,
        "host",
        "Warn",
        {
            "message": 'annotations["run.oci.systemd.subgroup"] has no effect: it works only with systemd as the cgroup manager, '
            "on cgroup v2"
        },
        "crun.1: of systemd's scope; podman writes it for every runtime, so it is no error",
    ),
    "run.oci.systemd.force_cgroup_v1": (
        {"annotations": {"run.oci.systemd.force_cgroup_v1": "/sys/fs/cgroup/systemd"}},
        PLAIN,
        "host",
        "Warn",
        {"message": 'annotations["run.oci.systemd.force_cgroup_v1"] has no effect: ocirt does not apply it'},
        "podman run --systemd always writes it for every runtime on a v2 host, and its containers run without it",
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(name):
    changes, host, section, kind, fields, why = PLANS[name]
    words = {"cgroup_manager": "systemd"} if host is SYSTEMD else {}
    made = plans.plan(plans.config(**changes), host, **words)
    found = [plans.values(step) for step in plans.steps(made, section, kind)]
    assert any(fields.items() <= each.items() for each in found), (why, found)


def test_a_user_without_a_user_namespace():
    """crun makes one; here the error, and ``ocirt --help``, say how to get one."""
    with pytest.raises(HostError, match="ocirt spec --rootless writes a config.json that has one"):
        plans.plan(plans.config(), plans.no_cgroups(euid=1000, egid=1000))


# ---- the command line ----


def detached(ocirt, bundle, name="c1", *options):
    ocirt.ok("run", "--detach", "--bundle", bundle.save(), name, options=options)


def exec_in_a_closed_directory(ocirt, bundle, place):
    closed_directory(bundle, place)
    bundle.config["process"]["cwd"] = "/"
    detached(ocirt, bundle)
    return ocirt.ok("exec", "--cwd", "/closed", "c1", "pwd").out == "/closed\n"


def kill_all_that_share(ocirt, bundle, place):
    bundle.without_namespace("pid").shell("sleep 61 & wait")
    detached(ocirt, bundle)
    pids = [int(each) for each in ocirt.ok("ps", "--format", "json", "c1").out.strip("[]\n").split(",")]
    assert len(pids) > 1
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")
    return not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)


def kill_zero(ocirt, bundle, place):
    detached(ocirt, bundle)
    lives = ocirt("kill", "c1", "0").status
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    return (lives, ocirt("kill", "c1", "0").status) == (0, 1)


def by_pattern(ocirt, bundle, place):
    ocirt.ok("create", "--bundle", bundle.args("true").save(), "c1")
    ocirt.ok("kill", "--regex", "^c", "KILL")
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "--regex", "1$")
    return ocirt.ids() == []


def only_errors(ocirt, bundle, place):
    bundle.config["process"]["capabilities"]["bounding"] = ["CAP_NOTHING"]
    loud, quiet = [
        ocirt.ok("run", "--bundle", bundle.args("true").save(), "c1", options=["--log-level", level]).err
        for level in ("warning", "error")
    ]
    return "CAP_NOTHING" in loud and quiet == ""


def backends(ocirt, bundle, place):
    for log in ("journald:x", "syslog:x"):
        ocirt("state", "nobody", options=["--log", log], cwd=place)
    return list(place.iterdir()) == []


def list_of_nothing(ocirt, bundle, place):
    done = ocirt("list", options=["--root", place / "nothing"])
    return done.status == 1 and "no such file or directory" in done.err


def wait_for_the_status(ocirt, bundle, place):
    detached(ocirt, bundle.shell(f"sleep {LIMIT // 30}; exit 7"))  # longer than `wait` takes to begin
    return ocirt("wait", "c1").status == 7


def delete_as_runc(ocirt, bundle, place):
    ocirt.ok("create", "--bundle", bundle.save(), "c1")
    refused = ocirt("delete", "c1").status
    return refused == 1 and ocirt.ok("delete", "c1", options=["--as", "runc"]) and ocirt.ids() == []


def maps_as_crun(ocirt, bundle, place):
    bundle.config["process"]["user"] = {"uid": 5, "gid": 5}
    bundle.namespace("user").shell("cat /proc/self/uid_map").save()
    refused = ocirt("run", "--bundle", bundle, "c1").err
    out = ocirt.ok("run", "--bundle", bundle, "c1", options=["--as", "crun"]).out
    return "uidMappings" in refused and out.split()[:2] == ["0", "0"]


def keeps_groups(ocirt, bundle, place):
    bundle.config["annotations"] = {crun.KEEP_GROUPS: "1"}
    bundle.shell("id -G")
    return "4321" in ocirt.ok("run", "--bundle", bundle.save(), "c1", extra_groups=[4321]).out.split()


def features(ocirt, bundle, place):
    told = json.loads(ocirt.ok("features").out)["annotations"]
    return told["org.opencontainers.runc.checkpoint.enabled"] in ("true", "false") and "org.ocirt.as.runc" in told


def pidfd_is_sent(ocirt, bundle, place):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "s"))
        listener.listen()
        listener.settimeout(LIMIT)
        bundle.config["annotations"] = {crun.PIDFD_RECEIVER: str(place / "s")}
        ocirt.ok("create", "--bundle", bundle.save(), "c1")
        with listener.accept()[0] as connection:
            _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
    try:
        signal.pidfd_send_signal(fds[0], signal.SIGKILL)
    finally:
        os.close(fds[0])
    ocirt.wait_status("c1", "stopped")
    return True


def says(*words, status=None, of=""):
    def check(ocirt, bundle, place):
        done = ocirt(*words)
        return of in done.out + done.err and (status is None or done.status == status)

    return check


COMMANDS = {
    # name: what is done, which says whether it is right; why
    "exec --cwd into a directory that the user may not enter": (
        exec_in_a_closed_directory,
        "runc and crun, as for run",
    ),
    "kill ID KILL without a pid namespace": (
        kill_all_that_share,
        "newest runc: all its processes, not its first alone",
    ),
    "kill ID 0": (kill_zero, "kill(2): signal 0 asks whether it is there"),
    "kill and delete --regex": (by_pattern, "crun.1"),
    "restore --tcp-close": (
        says("restore", "--help", status=0, of="--tcp-close"),
        "runc-restore(8); what criu is asked for is in test_checkpoint.py",
    ),
    "--log-level": (only_errors, "crun.1"),
    "--log journald:ID and syslog:ID": (backends, "crun.1: a backend, and no file of that name"),
    "list of a root that is not there": (list_of_nothing, "runc's exit status, and the reason"),
    "wait ID": (wait_for_the_status, "runsc has it: scripts want the status of what they have detached"),
    "help VERB": (says("help", "kill", status=0, of="ocirt kill"), "git, runc: the help of one verb"),
    "a mistyped verb": (says("crate", status=3, of="create"), "the nearest one is named; 3 is runc's status"),
    "a mistyped flag": (says("list", "--fromat", "json", status=1, of="--format"), "the nearest one is named"),
    "delete as runc": (delete_as_runc, "buildah deletes what it has created and not started, and waits for its end"),
    "mappings as crun": (maps_as_crun, "crun maps ids to themselves where a user namespace has no mappings"),
    "--help for a user": (
        says("--help", status=0, of="spec --rootless"),
        "crun makes a user namespace; here one is told how",
    ),
    "run.oci.keep_original_groups": (keeps_groups, "crun.1; podman --group-add keep-groups"),
    "run.oci.pidfd_receiver": (pidfd_is_sent, "crun.1"),
    "features about checkpoints": (features, "a word that engines know from runc, whatever the runtime's name"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(ocirt, bundle, tmp_path, name):
    check, why = COMMANDS[name]
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o755)
    assert check(ocirt, bundle, place), why
