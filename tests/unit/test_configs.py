"""config.json files as podman, docker, containerd and buildah wrote them (their seccomp profiles taken out)."""

import json

import pytest

from ocirt.compile import compile
from ocirt.model.config import parse
from ocirt.plan.encode import encode
from tests.unit.plans import DATA, host, names, request, shown

ENGINES = {
    "buildah-020a": {},
    "containerd-001a": {},
    "containerd-014a": {},
    "docker-005a": {},
    "podman-042a": {},
    "podman-rootless-212a": {"in_user_namespace": True},
    "runc-spec": {},
}


def compiled(members, **facts):
    config = parse(json.dumps(members).encode())
    return compile(config, request(**({"console_socket": "/s"} if config.process.terminal else {})), host(**facts))


def members(name):
    return json.loads((DATA / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ENGINES)
def test_it_compiles(name):
    plan = compiled(members(name), **ENGINES[name])
    assert encode(plan, "0" * 32).startswith(b"ocirtprg")
    assert "Warn" not in names(plan, "host")
    assert names(plan, "exec_program")[-1] == "Exec" and names(plan, "host")[-1] == "Commit"
    mounts = [fields["target"] for _, fields in shown(plan, "init", "Mount", "Bind")]
    expected = [mount["destination"] for mount in members(name)["mounts"] if mount["type"] != "cgroup"]
    assert [target for target in mounts if not target.startswith("/sys/fs/cgroup")] == expected


def test_a_pod_joins_its_namespaces():
    plan = compiled(members("containerd-001a"))
    joined = [entry["path"] for entry in members("containerd-001a")["linux"]["namespaces"] if "path" in entry]
    assert [fields["path"] for _, fields in shown(plan, "host", "OpenNamespace")] == joined and len(joined) == 4
    assert names(plan, "stage").count("JoinNamespace") == 4


def test_dockers_prestart_hook_runs_in_between():
    order = names(compiled(members("docker-005a")), "host")
    assert order[order.index("Receive") :] == ["Receive", "RunHook", "Send", "Receive", "Commit"]


def test_podmans_user_namespace():
    plan = compiled(members("podman-042a"))
    assert names(plan, "host").count("WriteIdMap") == 2 and names(plan, "init").count("BecomeRoot") == 1
    assert {step.bind for step in plan.init if type(step).__name__ == "MakeNode"} == {1}


def test_podman_without_root_has_no_cgroup_that_it_must_write():
    plan = compiled(members("podman-rootless-212a"), in_user_namespace=True)
    assert {step.skip_unwritable for step in plan.host if type(step).__name__ == "MakeCgroup"} == {1}
