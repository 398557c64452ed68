"""NOTIFY_SOCKET and LISTEN_FDS of the caller, as runc takes them."""

from tests.unit.plans import config, names, plan, shown, steps

USERNS = {
    "linux__namespaces": [{"type": "mount"}, {"type": "user"}],
    "linux__uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "linux__gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
}


def test_descriptors_come_before_those_of_the_flag():
    made = plan(config(), listen_fds="2", preserve_fds="3")
    assert shown(made, "exec_program", "PrepareExec") == [("PrepareExec", {"preserve": 5})]
    assert shown(made, "init", "FindExecutable")[0][1]["env"] == ["PATH=/bin", "LISTEN_FDS=2", "LISTEN_PID=1"]


def test_a_socket_of_its_own():
    made = plan(config(), notify_socket="/run/systemd/notify")
    assert shown(made, "init", "FindExecutable")[0][1]["env"] == ["PATH=/bin", "NOTIFY_SOCKET=/run/notify/notify.sock"]
    assert shown(made, "init", "Bind") == [
        ("Bind", {"source": "/run/ocirt/c1/notify", "target": "/run/notify", "set": 0x1 | 0x2 | 0x4 | 0x8})
    ]
    order = names(made, "host")
    assert order.index("MakeNotifyDirectory") < order.index("Spawn")
    assert names(made, "before_start") == ["ListenNotify"] and names(made, "after_start") == ["RelayNotify"]


def test_its_mount_is_the_last_one():
    made = plan(config(mounts=[{"destination": "/run", "type": "tmpfs"}]), notify_socket="x")
    assert names(made, "init")[names(made, "init").index("Mount") :][:2] == ["Mount", "Bind"]


def test_in_a_user_namespace_the_runtime_opens_it():
    made = plan(config(**USERNS), notify_socket="x")
    assert [step.source for step in steps(made, "host", "OpenMount")][-1] is not None
    assert shown(made, "init", "Bind")[0][1]["tree"] == shown(made, "host", "OpenMount")[-1][1]["fd"]


def test_in_the_foreground_it_is_passed_on_while_waiting():
    made = plan(config(), notify_socket="x", verb="run")
    assert names(made, "before_start") == ["ListenNotify"] and names(made, "after_start") == []
    assert names(plan(config(), notify_socket="x", verb="run", detach="1"), "after_start") == ["RelayNotify"]


def test_without_them_there_is_none_of_it():
    made = plan(config())
    assert names(made, "before_start") == [] and "MakeNotifyDirectory" not in names(made, "host")
    assert names(plan(config(process=...), notify_socket="x"), "after_start") == []
