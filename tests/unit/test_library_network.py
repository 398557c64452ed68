"""ocirt.Net: its arguments, its rules, and what is missing."""

import json

import pytest

import ocirt
from ocirt.library import lifecycle, network
from ocirt.library.connection import LATER, RECEIVER, Connection
from ocirt.library.runtime import Runtime


@pytest.mark.parametrize(
    "given, message",
    [
        ({"allow": "10.0.0.0/8:443/tcp"}, r"net.allow: found '10.0.0.0/8:443/tcp', expected a list"),
        ({"allow": ["10.0.0.0/8"]}, r"net.allow\[0\]: found '10.0.0.0/8', expected an address or a network"),
        (
            {"allow": ["10.0.0.1:1/tcp", "example.org:443/tcp"]},
            r"net.allow\[1\]: found 'example.org:443/tcp', expected",
        ),
        ({"allow": ["10.0.0.1/8:443/tcp"]}, r"net.allow\[0\]"),
        ({"allow": ["10.0.0.0/8:0/tcp"]}, r"net.allow\[0\]"),
        ({"allow": ["10.0.0.0/8:65536/tcp"]}, r"net.allow\[0\]"),
        ({"allow": ["10.0.0.0/8:+4/tcp"]}, r"net.allow\[0\]"),
        ({"allow": ["10.0.0.0/8:443/icmp"]}, r"net.allow\[0\]"),
        ({"allow": ["2001:db8::1:443/tcp"]}, r"net.allow\[0\]"),
        ({"allow": ["[10.0.0.1]:443/tcp"]}, r"net.allow\[0\]"),
        ({"allow": ["[fe80::1%x]:443/tcp"]}, r"net.allow\[0\]"),
        ({"allow": ["10.0.0.0/8:443/tcp accept; #:1/tcp"]}, r"net.allow\[0\]"),
        ({"allow": [443]}, r"net.allow\[0\]: found 443, expected"),
        ({"allow": ["10.0.0.1:443/tcp"] * 1001}, "net.allow: found 1001 entries, expected at most 1000"),
        ({"publish": 8080}, "net.publish: found 8080, expected a dict"),
        ({"publish": {0: 80}}, r"net.publish\[0\]: found 0, expected a port"),
        ({"publish": {8080: "80"}}, r"net.publish\[8080\]: found '80', expected a port"),
    ],
)
def test_wrong_arguments(given, message):
    with pytest.raises(ocirt.RequestError, match=message) as caught:
        ocirt.Net(**given)
    assert "\n" not in str(caught.value)


def test_rules():
    rules = network.rules(ocirt.Net(allow=["10.0.0.0/8:443/tcp", "[2001:db8::/32]:53/udp"], publish={8080: 80}))
    assert "ip daddr 10.0.0.0/8 tcp dport 443 accept" in rules
    assert "ip6 daddr 2001:db8::/32 udp dport 53 accept" in rules and "tcp dport { 80 } accept" in rules
    assert rules.count("policy drop") == 3


def test_the_longest_list_is_one_word_of_a_command_line():
    longest = "[1111:2222:3333:4444:5555:6666:7777:8888/128]:65535/udp"
    assert len(network.rules(ocirt.Net(allow=[longest] * network.ENTRIES_MAX))) < 128 << 10


@pytest.mark.parametrize("name", ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF"])
def test_a_container_that_could_change_the_rules_is_refused(name):
    config = ocirt.sandbox(["true"])
    config["process"]["capabilities"]["bounding"] = ["CAP_KILL", name]
    with pytest.raises(ocirt.RequestError, match=f"process.capabilities.bounding: found {name}, expected only"):
        network.applied(ocirt.Net(), config)


@pytest.mark.parametrize("program, package", [("pasta", "passt"), ("nft", "nftables")])
def test_what_is_missing_is_named(monkeypatch, tmp_path, program, package):
    """Before a container is made, and for a sandbox when it is described."""
    monkeypatch.setattr(network, "TOOLS", str(tmp_path))
    for name in {"pasta", "nft"} - {program}:
        (tmp_path / name).touch(mode=0o755)
    expected = f"net: the program {program} is missing: install Debian's package {package}"
    with pytest.raises(ocirt.HostError, match=expected):
        network.applied(ocirt.Net(), ocirt.sandbox(["true"]))
    with pytest.raises(ocirt.HostError, match=expected):
        ocirt.Sandbox(tmp_path, net=ocirt.Net())


def test_a_host_that_lets_the_user_make_no_interface(monkeypatch, tmp_path):
    monkeypatch.setattr(network, "TOOLS", str(tmp_path))
    for name in ("pasta", "nft"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(network, "TUN", str(tmp_path / "tun"))
    expected = f"net: {tmp_path}/tun: no such file or directory: pasta needs it to connect a container"
    with pytest.raises(ocirt.HostError, match=expected):
        ocirt.Sandbox(tmp_path, net=ocirt.Net())


def test_the_network_of_a_config():
    def kinds(net):
        return [each["type"] for each in network.applied(net, ocirt.sandbox(["true"]))["linux"]["namespaces"]]

    assert "network" in kinds("none") and "network" not in kinds("host")
    with pytest.raises(ocirt.RequestError, match=r"net: found 'all', expected 'none', 'host' or ocirt.Net\(...\)"):
        network.applied("all", ocirt.sandbox(["true"]))


@pytest.mark.parametrize("given", [{"net": "none"}, {"landlock": ["read:/"]}, {"coresched": True}])
def test_a_bundle_has_a_config_of_its_own(given, tmp_path):
    (name,) = given
    for call in (ocirt.run, ocirt.Container.create):
        with pytest.raises(ocirt.RequestError, match=f"{name}: found one for a bundle, whose config.json"):
            call(tmp_path, **given)


def test_landlock_is_given_once(tmp_path):
    config = ocirt.sandbox(["true"], landlock=["read:/"])
    with pytest.raises(ocirt.RequestError, match="landlock: the config has org.ocirt.landlock already"):
        ocirt.run(config=config, rootfs=tmp_path, landlock=["read:/usr"])


@pytest.mark.parametrize("is_awaited", [True, False])
def test_the_config_is_written_once_for_all_annotations(monkeypatch, tmp_path, is_awaited):
    bundle = lifecycle.Bundle(None, ocirt.sandbox(["true"]) | {"annotations": {"a": "b"}}, tmp_path)
    connection = Connection(
        ocirt.Net(), Runtime(executable="/bin/true", root=tmp_path / "root"), "c1", is_awaited=is_awaited
    )
    written, memfd = [], lifecycle.memfd
    monkeypatch.setattr(lifecycle, "memfd", lambda name, data: written.append(data) or memfd(name, data))
    connection.lead(bundle)
    connection.close()
    (config,) = written
    own = {} if is_awaited else {LATER: "1"}
    path = json.loads(config)["annotations"][RECEIVER]
    assert (
        path.startswith(f"{tmp_path}/root/") and json.loads(config)["annotations"] == {"a": "b", RECEIVER: path} | own
    )
    assert lifecycle.contents(bundle.config) == config
