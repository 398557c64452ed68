"""`ocirt features`: valid by both schemas, and every claim kept: what is claimed compiles, what is not is refused."""

import json
import re
from pathlib import Path

import pytest

from ocirt.cli.features import features
from ocirt.cli.parser import parse as command_line
from ocirt.compile import compile, libseccomp
from ocirt.compile.mount_options import Parsed
from ocirt.errors import ConfigError, HostError
from ocirt.model import crun, peers
from ocirt.model.config import parse
from ocirt.model.host import Cgroups, Hierarchy
from ocirt.validate import schema
from tests.unit.plans import config, host, names, no_cgroups, plan, request, shown
from tests.unit.schemas import official, official_validator, properties

CLAIMS = features()
LINUX = CLAIMS["linux"]
MAPPING = [{"containerID": 0, "hostID": 1000, "size": 10}]


def names_of(definition):
    """What the specification has, by our schema, and one that nobody has."""
    return [*schema.load("config")["$defs"][definition]["enum"], "NONSENSE"]


def is_taken(members, **words):
    """Does it compile? That a host lacks something is another matter."""
    try:
        plan(members, **words)
        return True
    except ConfigError:
        return False
    except HostError:
        return True


def test_the_schemas():
    assert schema.errors("features", CLAIMS) == []
    assert list(official_validator("features").iter_errors(CLAIMS)) == []


def test_nothing_is_left_out():
    """Every property of features.md and features-linux.md."""
    for path in properties("features"):
        value = CLAIMS
        for part in path.removesuffix(".*").split("."):
            value = value[part]
        assert value is not None, path


@pytest.mark.parametrize("version", [CLAIMS["ociVersionMin"], CLAIMS["ociVersionMax"]])
def test_versions(version):
    assert is_taken(config(ociVersion=version))


def test_hooks():
    assert CLAIMS["hooks"] == list(schema.load("config")["$defs"]["Hooks"]["properties"])
    for name in CLAIMS["hooks"]:
        made = plan(config(hooks={name: [{"path": "/hook"}]}))
        assert [step for section in made.sections.values() for step in section if type(step).__name__ == "RunHook"]


def spec_mount_options():
    """The rows of the table in config.md, "Linux mount options"."""
    text = (official().parent / "config.md").read_text()
    return dict(re.findall(r"^ `(\w+) *` *\| (MUST|SHOULD|MAY) ", text, re.M))


def test_the_mount_options_of_the_specification():
    options = spec_mount_options()
    assert len(options) > 60
    recognized = {name for name in options if is_recognized(name)}
    assert recognized == set(options) & set(CLAIMS["mountOptions"])
    assert {name for name, need in options.items() if need == "MUST"} <= recognized


@pytest.mark.parametrize("option", CLAIMS["mountOptions"])
def test_mount_options(option):
    assert is_recognized(option)


def test_options_of_file_systems_are_not_claimed():
    assert not {"size=5", "mode=755", "acl", "idmap=uids=0-1-10", "nonsense"} & set(CLAIMS["mountOptions"])
    assert not is_recognized("acl") and not is_recognized("nonsense")


def is_recognized(option):
    """Is it taken, on a bind or on a new file system, and not as an option of the file system's own?"""
    mapped = {"uidMappings": MAPPING, "gidMappings": MAPPING} if option.endswith("idmap") else {}
    bind = config(mounts=[{"destination": "/d", "source": "/s", "options": ["bind", option], **mapped}])
    new = config(mounts=[{"destination": "/d", "type": "tmpfs", "options": [option]}])
    if not is_taken(bind) and not is_taken(new):
        return False
    return Parsed(parse(json.dumps(bind).encode()).mounts[0]).options == []


@pytest.mark.parametrize("name", names_of("NamespaceType"))
def test_namespaces(name):
    more = {"linux__uidMappings": MAPPING, "linux__gidMappings": MAPPING} if name == "user" else {}
    entries = [{"type": "mount"}, *([{"type": name}] if name != "mount" else [])]
    assert is_taken(config(linux__namespaces=entries, **more)) == (name in LINUX["namespaces"])


def test_capabilities():
    sets = {kind: LINUX["capabilities"] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    assert "Warn" not in names(plan(config(process__capabilities=sets)), "host")
    sets = {"bounding": ["CAP_NONSENSE"]}
    assert "Warn" in names(plan(config(process__capabilities=sets)), "host")
    example = (official() / "test/features/good/runc.json").read_text()
    assert set(json.loads(example)["linux"]["capabilities"]) <= set(LINUX["capabilities"])


def on(hierarchies=(), unified=None):
    return host(cgroups=Cgroups(hierarchies, unified), has_systemd=True)


@pytest.mark.parametrize(
    "claim, machine, words, path",
    [
        ("v1", on([Hierarchy(("devices",), "/sys/fs/cgroup/devices", "/")]), {}, "/a"),
        ("v2", on((), Hierarchy((), "/sys/fs/cgroup", "/")), {}, "/a"),
        ("systemd", on((), Hierarchy((), "/sys/fs/cgroup", "/")), {"systemd_cgroup": "1"}, "system.slice:a:b"),
    ],
)
def test_cgroup_drivers(claim, machine, words, path):
    try:
        plan(config(linux__cgroupsPath=path), machine, **words)
        has_driver = True
    except HostError:
        has_driver = False
    assert LINUX["cgroup"][claim] == has_driver


def test_rdma():
    machine = host(cgroups=Cgroups([Hierarchy(("rdma",), "/sys/fs/cgroup/rdma", "/")]))
    made = plan(
        config(linux__resources={"rdma": {"mlx": {"hcaHandles": 5}}, "devices": [{"allow": True, "access": "rwm"}]}),
        machine,
    )
    assert LINUX["cgroup"]["rdma"]
    assert [fields["file"] for _, fields in shown(made, "host", "WriteCgroup")] == ["rdma.max"]


def profile(**rule):
    """A profile with one rule."""
    return config(
        linux__seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": "/agent",
            "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", **rule}],
        }
    )


@pytest.mark.parametrize("name", names_of("SeccompAction"))
def test_seccomp_actions(name):
    assert is_taken(profile(action=name)) == (name in LINUX["seccomp"]["actions"])


@pytest.mark.parametrize("name", names_of("SeccompOperator"))
def test_seccomp_operators(name):
    members = profile(args=[{"index": 0, "value": 1, "op": name}])
    assert is_taken(members) == (name in LINUX["seccomp"]["operators"])


@pytest.mark.parametrize("name", names_of("SeccompArch"))
def test_seccomp_architectures(name):
    members = profile()
    members["linux"]["seccomp"]["architectures"] = [name]
    assert is_taken(members) == (name in LINUX["seccomp"]["archs"])


@pytest.mark.parametrize("name", names_of("SeccompFlag"))
def test_seccomp_flags(name):
    members = profile(action="SCMP_ACT_NOTIFY") if name.endswith("RECV") else profile()
    members["linux"]["seccomp"]["flags"] = [name]
    assert is_taken(members) == (name in LINUX["seccomp"]["knownFlags"])
    assert name in LINUX["seccomp"]["knownFlags"] or name not in LINUX["seccomp"]["supportedFlags"]


def test_the_kernel_is_asked_for_flags():
    assert libseccomp.kernel_takes(1) and not libseccomp.kernel_takes(1 << 30)
    assert "SECCOMP_FILTER_FLAG_LOG" in LINUX["seccomp"]["supportedFlags"]  # Linux 4.14


def test_without_libseccomp(monkeypatch):
    """What is known stays known; what the kernel supports is unknown then, which is not the same as nothing."""

    def missing():
        raise HostError("linux.seccomp", "no library")

    monkeypatch.setattr(libseccomp, "_load", missing)
    claims = features()
    assert "supportedFlags" not in claims["linux"]["seccomp"] and claims["linux"]["seccomp"]["actions"]
    assert "io.github.seccomp.libseccomp.version" not in claims["annotations"]


@pytest.mark.parametrize(
    "changes, is_claimed",
    [
        ({"process__apparmorProfile": "profile"}, LINUX["apparmor"]["enabled"]),
        ({"process__selinuxLabel": "label"}, LINUX["selinux"]["enabled"]),
        ({"linux__mountLabel": "label"}, LINUX["selinux"]["enabled"]),
        ({"linux__intelRdt": {"closID": "c"}}, LINUX["intelRdt"]["enabled"]),
        ({"linux__intelRdt": {"schemata": ["L3:0=f"]}}, LINUX["intelRdt"]["schemata"]),
        ({"linux__intelRdt": {"enableMonitoring": True}}, LINUX["intelRdt"]["monitoring"]),
        (
            {"linux__netDevices": {"eth0": {}}, "linux__namespaces": [{"type": "mount"}, {"type": "network"}]},
            LINUX["netDevices"]["enabled"],
        ),
        (
            {
                "mounts": [
                    {
                        "destination": "/d",
                        "source": "/s",
                        "options": ["bind", "idmap"],
                        "uidMappings": MAPPING,
                        "gidMappings": MAPPING,
                    }
                ]
            },
            LINUX["mountExtensions"]["idmap"]["enabled"],
        ),
        *[
            (
                {
                    "linux__memoryPolicy": {
                        "mode": mode,
                        **({} if mode in ("MPOL_DEFAULT", "MPOL_LOCAL") else {"nodes": "0"}),
                    }
                },
                mode in LINUX["memoryPolicy"]["modes"],
            )
            for mode in names_of("MemoryPolicyMode")
        ],
        *[
            (
                {"linux__memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}},
                flag in LINUX["memoryPolicy"]["flags"],
            )
            for flag in names_of("MemoryPolicyFlag")
        ],
    ],
)
def test_what_is_enabled_compiles(changes, is_claimed):
    assert is_taken(config(**changes)) == is_claimed


def test_annotations_that_are_read_are_called_unsafe():
    members = config(
        annotations={
            "org.ocirt.rootfs.lower": "/a",
            "org.ocirt.rootfs.upper": "/b",
            "org.ocirt.rootfs.work": "/c",
            crun.KEEP_GROUPS: "1",
            "other": "x",
        }
    )
    made = compile(parse(json.dumps(members).encode()), request(rootfs_annotations="1"), no_cgroups())
    read = {name for path, predicate, name in made.trace.tests if (path, predicate) == ("annotations", "has")}
    prefixes = tuple(CLAIMS["potentiallyUnsafeConfigAnnotations"])
    assert {"org.ocirt.rootfs.lower", crun.KEEP_GROUPS} <= read and all(name.startswith(prefixes) for name in read)
    assert {"org.systemd.property.", "org.criu.config", "org.ocirt.rootfs.", "run.oci."} <= set(prefixes)


def test_the_verb(capfd):
    from ocirt.cli import features as verb

    assert verb.run(command_line(["ocirt", "features"])) is None
    assert json.loads(capfd.readouterr().out) == CLAIMS
    assert CLAIMS["annotations"]["org.ocirt.checkpoint.enabled"] == "true"
    assert CLAIMS["annotations"]["org.ocirt.kernel.minimum"] == "5.14"
    assert CLAIMS["annotations"]["org.opencontainers.runc.checkpoint.enabled"] == "true"


def test_the_differences_by_name():
    """One table: in the code, in docs/engines.md and in features."""
    page = (Path(__file__).parents[2] / "docs/engines.md").read_text()
    shown = [
        tuple(line.strip("| ").split(" | ")) for line in page.splitlines() if line.startswith(("| runc |", "| crun |"))
    ]
    assert shown == [(name, each) for name, does in peers.DIFFERENCES.items() for each in does]
    for name, does in peers.DIFFERENCES.items():
        assert CLAIMS["annotations"][f"org.ocirt.as.{name}"] == "; ".join(does)
