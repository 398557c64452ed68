"""`ocirt validate`: every error at once, sorted by place, each in create's words."""

import json
import sys

import pytest

from ocirt.cli import validate as verb
from ocirt.cli.packages import need
from ocirt.cli.parser import parse as command_line
from ocirt.compile import compile
from ocirt.errors import ConfigError, HostError, RequestError
from ocirt.model.config import parse
from ocirt.validate import validate, warnings
from ocirt.validate.place import join, order, split
from tests.unit.plans import DATA, config, host, request


def errors(members):
    return [str(error).removeprefix("config.json: ") for error in validate(json.dumps(members).encode())]


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def test_what_engines_write_is_valid(path):
    assert validate(path.read_bytes()) == []


def test_all_errors_sorted_by_place():
    members = {
        "hooks": {"prestart": [{"path": "x", "timeout": 0}, {}]},
        "process": {
            "cwd": 5,
            "args": [],
            "rlimits": [{"type": "RLIMIT_X"}, {"type": "RLIMIT_CPU", "soft": 5, "hard": 3}],
            "user": {"gid": 0, "additionalGids": [1, "2", 3, -4]},
        },
        "ociVersion": "1.3.x",
        "mounts": [{"type": "bind"}, {"destination": "", "source": "a", "options": ["ro", "bind", 4]}],
        "linux": {
            "maskedPaths": ["relative", "/absolute", "relative"],
            "sysctl": {"net.a": "1", "vm.a": "2", "a": 3},
            "namespaces": [{"type": "pid"}, {"type": "pid"}, {"type": "nope"}, {"type": "user"}],
        },
        "hostname": "h",
    }
    assert errors(members) == [
        'hooks.prestart[0].path: found "x", expected an absolute path',
        "hooks.prestart[0].timeout: found 0, expected a number of seconds, at least 1",
        "hooks.prestart[1].path: found nothing, expected a string",
        "process.cwd: found 5, expected a string",
        "process.args: found [], expected at least the program",
        'process.rlimits[0].type: found "RLIMIT_X", expected a resource of getrlimit(2), like RLIMIT_NOFILE',
        "process.rlimits[0].soft: found nothing, expected a whole number",
        "process.rlimits[0].hard: found nothing, expected a whole number",
        "process.rlimits[1].soft: found 5, expected at most the hard limit 3",
        'process.user.additionalGids[1]: found "2", expected a whole number',
        "process.user.additionalGids[3]: found -4, expected a number from 0 to 4294967294",
        'ociVersion: found "1.3.x", expected a semantic version, like 1.3.0',
        "mounts[0].destination: found nothing, expected a string",
        "mounts[0].source: found nothing, expected the file or directory to bind",
        'mounts[1].destination: found "", expected a path in the rootfs',
        "mounts[1].options[2]: found 4, expected a string",
        'linux.maskedPaths[0]: found "relative", expected an absolute path',
        'linux.maskedPaths[2]: found "relative", expected an absolute path',
        'linux.sysctl["net.a"]: found a parameter of the host, expected nothing without a namespace of type network',
        'linux.sysctl["vm.a"]: found a parameter of no namespace, expected one of the ipc, network, uts or user namespace',
        "linux.sysctl.a: found 3, expected a string",
        "linux.namespaces: found a user namespace alone, expected a mount namespace as well, to mount in",
        'linux.namespaces[1].type: found "pid" a second time, expected each type once',
        'linux.namespaces[2].type: found "nope", expected one of pid, network, mount, ipc, uts, user, cgroup, time',
        "linux.uidMappings: found nothing, expected at least one mapping for the new user namespace",
        "linux.gidMappings: found nothing, expected at least one mapping for the new user namespace",
        'hostname: found "h", expected nothing without a uts namespace in linux.namespaces',
        "root: found nothing, expected an object",
    ]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, []),
        ({"linux": ...}, []),
        ({"linux": None, "root": None}, ["root: found nothing, expected an object"]),
        ({"process": ...}, []),
        (
            {"linux__resources": {"cpu": {"quota": 5000, "burst": 6000}, "memory": {"limit": 5, "swap": 4}}},
            [
                "linux.resources.cpu.burst: found 6000, expected at most the quota 5000",
                "linux.resources.memory.swap: found 4, expected memory and swap together: at least the limit 5",
            ],
        ),
        ({"linux__resources": {"cpu": {"quota": -1, "burst": 6}, "memory": {"limit": 5, "swap": -1}}}, []),
        ({"process__args": ["a\0b"]}, [r'process.args[0]: found "a\u0000b", expected a string without NUL']),
        (
            {"process__env": ["A=\ud800", "B", "C=\0"]},
            [
                r'process.env[0]: found "A=\ud800", expected a string of whole Unicode characters',
                r'process.env[2]: found "C=\u0000", expected a string without NUL',
            ],
        ),
        (
            {"annotations": {"org.ocirt.rootfs.upper": "u"}},
            [
                'annotations["org.ocirt.rootfs.upper"]: found an overlay\'s directory, '
                "expected org.ocirt.rootfs.lower as well"
            ],
        ),
        (
            {"linux__devices": [{"type": "c", "path": "d"}]},
            [
                'linux.devices[0].path: found "d", expected an absolute path',
            ],
        ),
        (
            {"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["x\0"]}]},
            [r'mounts[0].options[0]: found "x\u0000", expected a string without NUL'],
        ),
    ],
)
def test_semantics(changes, expected):
    assert errors(config(**changes)) == expected


def test_mappings_come_in_pairs():
    """config.md, POSIX-platform Mounts."""
    mapping = [{"containerID": 0, "hostID": 0, "size": 1}]
    found = errors(config(mounts=[{"destination": "/a", "source": "/a", "options": ["bind"], "uidMappings": mapping}]))
    assert "mounts[0].gidMappings: found nothing, expected maps of both kinds, uidMappings and gidMappings" in found


def test_what_a_host_lacks_is_no_error():
    """Settings of either cgroup version, any controller."""
    resources = {
        "unified": {"memory.max": "5"},
        "network": {"classID": 5},
        "rdma": {"a": {"hcaHandles": 5}},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
        "blockIO": {"weight": 10},
    }
    assert errors(config(linux__resources=resources)) == []
    # And it hides nothing that comes after it.
    resources["pids"] = {"limit": -2}
    assert errors(config(linux__resources=resources)) == [
        "linux.resources.pids.limit: found -2, expected -1 (no limit) or more"
    ]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "config.json: line 1 column 1: found the end, expected a value"),
        ('{"a": 1, "a": 2}', 'config.json: line 1 column 10: found the key "a" a second time, expected each key once'),
        ("[]", "config.json: found [], expected an object"),
    ],
)
def test_what_is_no_json_has_one_error(text, expected):
    found = [str(error) for error in validate(text.encode())]
    assert found == [expected] or (text == "[]" and len(found) == 1)


def test_create_says_the_same():
    """The first error of create stands among those of validate, word by word."""
    members = config(process__cwd="a", linux__maskedPaths=["b"], mounts=[{"destination": 5}], root__path="")
    with pytest.raises(ConfigError) as caught:
        compile(parse(json.dumps(members).encode()), request(), host())
    assert str(caught.value) in [str(error) for error in validate(json.dumps(members).encode())]


def test_many_errors():
    members = config(linux__maskedPaths=["a"] * 300, process__user__additionalGids=["x"] * 300)
    assert len(errors(members)) == 600


# ---- warnings: names that nothing reads ----


def doubts(members):
    return [str(warning).removeprefix("config.json: ") for warning in warnings(json.dumps(members).encode())]


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def test_what_engines_write_has_no_warning(path):
    assert warnings(path.read_bytes()) == []


def test_system_calls_that_are_none():
    """Create passes over them, as profiles name those of other kernels and architectures: a mistyped one would be left out without a word."""
    names = ["mkdir", "mkdri", "openat_2", "zzz", "fchmodat2", "arm_fadvise64_64", "s390_pci_mmio_read"]
    rule = {"names": names, "action": "SCMP_ACT_ERRNO"}
    assert doubts(config(linux__seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})) == [
        'linux.seccomp.syscalls[0].names[1]: found "mkdri", which is no system call, expected "mkdir"',
        'linux.seccomp.syscalls[0].names[2]: found "openat_2", which is no system call, expected "openat2"',
        'linux.seccomp.syscalls[0].names[3]: found "zzz", which is no system call, expected a name of syscalls(2), like "openat"',
    ]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"proces": {}}, ["proces: found an unknown property, expected process"]),
        (
            {"process__noNewPrivelages": True},
            ["process.noNewPrivelages: found an unknown property, expected noNewPrivileges"],
        ),
        ({"process__Terminal": True}, ["process.Terminal: found an unknown property, expected terminal"]),
        (
            {"linux__resources": {"memory": {"limits": 5}, "pids": {"limit": 5, "zzz": 1}}},
            [
                "linux.resources.memory.limits: found an unknown property, expected limit",
                "linux.resources.pids.zzz: found an unknown property, expected a property of the runtime specification",
            ],
        ),
        (
            {"mounts": [{"destination": "/a", "source": "/a", "option": ["rbind"]}]},
            ["mounts[0].option: found an unknown property, expected options"],
        ),
        (
            {"linux__resources": {"rdma": {"mlx5": {"hcaHandels": 5}}}},
            ["linux.resources.rdma.mlx5.hcaHandels: found an unknown property, expected hcaHandles"],
        ),
        # What is no property, or is one elsewhere, is a name of its writer's.
        ({"annotations": {"anything": "x"}, "linux__sysctl": {"net.anything": "1"}, "vm": {}, "windows": {"x": 1}}, []),
        ({"process__commandLine": "x", "process__user__username": "x"}, []),
        (
            {"mounts": [{"destination": "/a", "source": "/a", "options": ["rbind", "readonly"]}]},
            ['mounts[0].options[1]: found "readonly", which a bind mount ignores, expected "ro"'],
        ),
        (
            {
                "mounts": [
                    {"destination": "/a", "source": "/a", "type": "bind", "options": ["roo", "nosiud", "size=5m"]}
                ]
            },
            [
                'mounts[0].options[0]: found "roo", which a bind mount ignores, expected "ro"',
                'mounts[0].options[1]: found "nosiud", which a bind mount ignores, expected "nosuid"',
                'mounts[0].options[2]: found "size=5m", which a bind mount ignores, expected an option of a bind mount, like "ro"',
            ],
        ),
        # A file system refuses what it does not know; and these are options of binds.
        ({"mounts": [{"destination": "/a", "type": "tmpfs", "source": "a", "options": ["size=5m", "roo"]}]}, []),
        (
            {
                "mounts": [
                    {
                        "destination": "/a",
                        "source": "/a",
                        "options": ["bind", "idmap=uids=0-1-1;gids=0-1-1", "rro", "defaults"],
                    }
                ]
            },
            [],
        ),
        (
            {"process__capabilities": {"bounding": ["CAP_KILL", "CAP_SYS_ADMN"], "ambient": ["net_admin", "WHAT"]}},
            [
                'process.capabilities.bounding[1]: found "CAP_SYS_ADMN", which is no capability, expected "CAP_SYS_ADMIN"',
                'process.capabilities.ambient[0]: found "net_admin", which is no capability, expected "CAP_NET_ADMIN"',
                'process.capabilities.ambient[1]: found "WHAT", which is no capability, expected a name of capabilities(7), like "CAP_KILL"',
            ],
        ),
        # What is of a wrong type is an error, and no warning besides.
        ({"process__capabilities": 5, "mounts": 5}, []),
        (
            {"mounts": [5, {"options": 5}, {"options": [5]}], "process__capabilities": {"bounding": 5, "ambient": [5]}},
            [],
        ),
        ({"process": 5}, []),
    ],
)
def test_names_that_nothing_reads(changes, expected):
    """config.md, Extensibility: unknown properties may be told, and are no errors."""
    assert doubts(config(**changes)) == expected


def test_what_is_warned_of_is_no_error():
    members = config(
        proces={},
        process__capabilities={"bounding": ["CAP_X"]},
        mounts=[{"destination": "/a", "source": "/a", "options": ["rbind", "readonly"]}],
    )
    assert errors(members) == []
    compile(parse(json.dumps(members).encode()), request(), host())


def test_no_warnings_of_what_is_no_json():
    assert warnings(b"{") == []


# ---- places ----


@pytest.mark.parametrize(
    "path, parts",
    [
        ("", []),
        ("a", ["a"]),
        ("a.b[0].c", ["a", "b", 0, "c"]),
        ('a["x.y"].b', ["a", "x.y", "b"]),
        (r'a["\"]["][1]', ["a", '"][', 1]),
        ('a[""]', ["a", ""]),
        ("--flag", None),
        ("$id", None),
        ("line 1 column 2", None),
        ('["a b"]', ["a b"]),
    ],
)
def test_split(path, parts):
    assert split(path) == parts
    if parts is not None:
        assert join(parts) == path


def test_order():
    document = {"b": [{"x": 1}, 5], "a": {"y": 2, "x": 3}}
    paths = ["b", "b[0]", "b[0].x", "b[0].missing", "b[1]", "a", "a.y", "a.x", "a.missing", "missing"]
    assert sorted(set(paths), key=lambda path: order(document, path)) == paths


# ---- the verb ----


def run(capfd, *words):
    status = verb.run(command_line(["ocirt", "validate", *map(str, words)]))
    return status, capfd.readouterr().out


def test_text(tmp_path, capfd):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config()))
    assert run(capfd, tmp_path) == (0, "")
    path.write_text(json.dumps(config(hostname=5, root__path=7)))
    assert run(capfd, tmp_path) == (
        1,
        "config.json: root.path: found 7, expected a string\nconfig.json: hostname: found 5, expected a string\n",
    )


def test_json_and_config(tmp_path, capfd):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(config()))
    status, out = run(capfd, "--config", path, "--format", "json")
    assert (status, json.loads(out)) == (0, [])
    path.write_text(json.dumps(config(process__oomScoreAdj=1001)))
    status, out = run(capfd, "--config", path, "--format=json")
    assert (status, json.loads(out)) == (
        1,
        [{"level": "error", "path": "process.oomScoreAdj", "found": "1001", "expected": "a number from -1000 to 1000"}],
    )


@pytest.mark.parametrize("strict", [False, True])
def test_warnings_and_strict(tmp_path, capfd, strict):
    """Warnings come after the errors and leave the status; with --strict they are errors."""
    path = tmp_path / "config.json"
    flag = ["--strict"] if strict else []
    line = "config.json: process.terminl: found an unknown property, expected terminal\n"
    path.write_text(json.dumps(config(process__terminl=True)))
    assert run(capfd, *flag, tmp_path) == (1 if strict else 0, line if strict else "warning: " + line)
    status, out = run(capfd, *flag, "--format", "json", tmp_path)
    assert [row["level"] for row in json.loads(out)] == ["error" if strict else "warning"]
    path.write_text(json.dumps(config(process__terminl=True, root__path=7)))
    status, out = run(capfd, *flag, tmp_path)
    assert status == 1 and [row.startswith("warning: ") for row in out.splitlines()] == [False, not strict]


def test_a_missing_file(tmp_path):
    with pytest.raises(RequestError, match="config.json: no such file or directory"):
        verb.run(command_line(["ocirt", "validate", str(tmp_path)]))


def test_a_missing_package():
    with pytest.raises(
        HostError,
        match=f"ocirt validate: needs the Python package no_such_package, which {sys.executable} cannot import",
    ):
        need("validate", "no_such_package")
