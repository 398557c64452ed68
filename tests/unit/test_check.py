"""What makes a plan unsound is found: each fault is put into a plan that the compiler has made. (That the plans of all other tests are
sound conftest.py sees to.)"""

import json

import pytest

from ocirt.cli import spec
from ocirt.compile import compile
from ocirt.model.config import parse
from ocirt.plan import Plan
from ocirt.plan.check import fault_of
from ocirt.plan.steps import EVENTS, NONE, REGISTER_KINDS, Close, Receive, Send
from tests.unit.plans import host, request, v2

HOOK = {"path": "/hook"}
NOTIFYING = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "listenerPath": "/agent",
    "syscalls": [{"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}],
}


def config(**linux):
    members = spec.default()
    members["process"]["terminal"] = False
    members["hooks"] = {"prestart": [HOOK], "createContainer": [HOOK]}
    members["linux"] |= {"seccomp": NOTIFYING, **linux}
    return json.dumps(members).encode()


JOINED = config(
    namespaces=[{"type": "mount"}, {"type": "uts"}, {"type": "pid"}, {"type": "network", "path": "/run/netns/n"}]
)
PLANS = {
    "v1": lambda: compile(parse(config()), request(pidfd_socket="/p"), host()),
    "v2": lambda: compile(parse(config()), request(pidfd_socket="/p"), v2()),
    "joined": lambda: compile(parse(JOINED), request(), v2()),
    "systemd": lambda: compile(parse(config()), request(systemd_cgroup="1"), v2(has_systemd=True)),
}


def places(plan, *kinds):
    return [
        (each, step) for each in ("host", "stage", "init") for step in plan.sections[each] if isinstance(step, kinds)
    ]


@pytest.mark.parametrize("name", PLANS)
def test_an_event_that_nobody_tells_or_takes(name):
    """Each Send, and each Receive, left out of its section: a process waits for ever, or gets what it does not expect."""
    count = len(places(PLANS[name](), Send, Receive))
    assert count >= 6
    for index in range(count):
        plan = PLANS[name]()
        section, step = places(plan, Send, Receive)[index]
        plan.sections[section] = [each for each in plan.sections[section] if each is not step]
        fault = fault_of(plan)
        assert EVENTS[step.event] in fault or step.count and "which is empty" in fault, step


@pytest.mark.parametrize("name", PLANS)
def test_a_register_that_nothing_fills(name):
    """Each step that fills registers left out, if a later step reads one of these."""
    plan = PLANS[name]()
    fills = [
        (section, step)
        for section in ("host", "stage", "init")
        for step in plan.sections[section]
        if [name for name, kind in step.fields.items() if kind == "fills" and getattr(step, name) != NONE]
    ]
    found = []
    for section, step in fills:
        whole = plan.sections[section]
        plan.sections[section] = [each for each in whole if each is not step]
        found.append(fault_of(plan))
        plan.sections[section] = whole
    assert fills and all("which is empty" in fault for fault in found) and fault_of(plan) == ""


def test_a_register_that_has_been_given_away():
    plan = PLANS["v1"]()
    (sent,) = [step for step in plan.host if type(step).__name__ == "SendPidfd"]
    plan.host.insert(plan.host.index(sent), Close("here", fd=sent.fd))
    assert fault_of(plan).endswith(f"(SendPidfd for --pidfd-socket) reads register {sent.fd}, which is empty")
    # A child that was made before has its own.
    (agent,) = [step.socket for step in plan.init if type(step).__name__ == "LoadNotifyingSeccomp"]
    assert any([type(step) is Close and step.fd == agent for step in plan.host])


def made(**sections):
    plan = Plan(None)
    for name, steps in sections.items():
        plan.sections[name] = steps
    return plan


def test_two_that_wait_for_each_other():
    plan = PLANS["v2"]()
    first, second = [
        next(step for step in plan.host if isinstance(step, kind) and EVENTS[step.event] == event)
        for kind, event in ((Receive, "mounted"), (Send, "hooked"))
    ]
    plan.host.remove(second)
    plan.host.insert(plan.host.index(first), second)
    # Told before it is asked for: init finds it when it comes to that.
    assert fault_of(plan) == ""
    theirs = next(step for step in plan.init if isinstance(step, Send) and EVENTS[step.event] == "mounted")
    mine = next(step for step in plan.init if isinstance(step, Receive) and EVENTS[step.event] == "hooked")
    plan.host.remove(second)
    plan.host.insert(plan.host.index(first) + 1, second)
    plan.init.remove(theirs)
    plan.init.insert(plan.init.index(mine) + 1, theirs)
    fault = fault_of(plan)
    assert fault.count(", and ") == 1 and "waits for mounted" in fault and "waits for hooked" in fault


def test_events_in_another_order_than_they_are_taken():
    plan = PLANS["v2"]()
    known = next(step for step in plan.host if isinstance(step, Send) and EVENTS[step.event] == "known")
    plan.host.remove(known)
    plan.host.append(known)
    assert "waits for known" in fault_of(plan)
    placed, other = (
        next(step for step in plan.host if isinstance(step, Send) and EVENTS[step.event] == event)
        for event in ("placed", "hooked")
    )
    plan.host.remove(other)
    plan.host.insert(plan.host.index(placed) + 1, other)
    assert "waits for known, and hooked comes" in fault_of(plan)


def test_a_section_of_its_own_has_empty_registers():
    assert (
        fault_of(made(after_start=[Close("poststart", fd=3)]))
        == "after_start[0] (Close for poststart) reads register 3, which is empty"
    )


def test_the_kinds_of_registers_are_those_of_the_definition():
    from ocirt.plan.steps import STEPS

    assert set(REGISTER_KINDS) == {"fd", "fills", "takes"}
    filled = {step.__name__ for step in STEPS if "fills" in step.fields.values()}
    assert {"OpenSocket", "OpenNamespace", "MakeIdMapping"} <= filled
