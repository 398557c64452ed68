"""Who the process is: users, groups, capabilities, keys. Nobody becomes more than was asked for."""

import json
import shutil
import subprocess

import pytest

from tests.integration.harness import LIMIT, TREE, UID, enough_output
from tests.processor import KERNEL_HEADERS, syscall_number

LAST = (1 << 32) - 1
"""What setresuid(2) takes as "leave it": a process that begins as root would stay root."""
JOIN_SESSION_KEYRING = 1
"""KEYCTL_JOIN_SESSION_KEYRING of linux/keyctl.h."""


def status_of(text):
    return {line.split(":")[0]: line.split(":", 1)[1].split() for line in text.splitlines() if ":" in line}


@pytest.fixture
def box(ocirt, bundle):
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "-d", "--bundle", bundle, "c1")
    return bundle


@pytest.mark.parametrize(
    "user",
    [
        LAST,
        f"{LAST}:{LAST}",
        f"1000:{LAST}",
        1 << 32,
        (1 << 32) + 1000,
        1 << 64,
        -1,
        "-0",
        "+0",
        " 0",
        "0 ",
        "\t0",
        "0\n",
        "0x0",
        "00x",
        "",
        ":",
        "0:",
        ":0",
        "1000:-1",
        "1000:+0",
        "1000: 0",
        "1000:0:0",
        "١",
        "0.0",
        "1e3",
        "root",
        "1_000",
    ],
    ids=repr,
)
def test_exec_user_by_odd_numbers(ocirt, box, user):
    """CVE-2026-30892 (crun), CVE-2016-3697: an odd text of `exec --user` is an error; nobody runs as root, or as anybody else."""
    result = ocirt("exec", "--user", user, "c1", "id")
    if user == "":  # as if it were not given
        assert result.out.startswith("uid=1000"), result
    else:
        assert (
            result.status == 255 and result.out == "" and "--user" in result.err and len(result.err.splitlines()) == 1
        ), result


@pytest.mark.parametrize("group", [LAST, 1 << 32, -1, "+0", " 0", "0x0", "root"], ids=repr)
def test_exec_group_by_odd_numbers(ocirt, box, group):
    """CVE-2026-30892 for --additional-gids."""
    result = ocirt("exec", "--additional-gids", group, "c1", "id")
    assert result.status == 255 and result.out == "" and "--additional-gids" in result.err, result


@pytest.mark.parametrize("place", ["uid", "gid", "additionalGids"])
def test_config_and_process_file_with_the_last_number(ocirt, bundle, box, tmp_path, place):
    """The same in config.json and in exec's process file: 4294967295 was root."""
    user = {"uid": 1000, "gid": 1000, "additionalGids": []}
    user[place] = [LAST] if place == "additionalGids" else LAST
    process = {"cwd": "/", "args": ["id"], "user": user}
    (tmp_path / "process.json").write_text(json.dumps(process))
    assert f"user.{place}" in ocirt.fails("exec", "--process", tmp_path / "process.json", "c1", status=255)
    bundle.config["process"]["user"] = user
    bundle.save()
    assert f"process.user.{place}" in ocirt.fails("create", "--bundle", bundle, "c2")


def test_a_name_in_passwd_that_is_a_number(ocirt, bundle):
    """CVE-2016-3697: /etc/passwd of the image names root by the number that is asked for; the number counts."""
    (bundle.rootfs / "etc/passwd").write_text("1000:x:0:0::/root:/bin/sh\n" + "0:x:1000:0::/:/bin/sh\n")
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.args("id", "-u").save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == "1000\n"


def test_a_hostile_passwd(ocirt, bundle):
    """CVE-2026-47262 (containerd) as it would be here: a huge, endless or binary passwd costs neither memory nor time."""
    for content in (
        b"x" * (32 << 20),
        b"root:x:0:0:::::::::\n" * 400000,
        bytes(range(256)) * 1000,
        b"root:x:0:0::" + b"A" * 100000 + b":/bin/sh\n",
    ):
        (bundle.rootfs / "etc/passwd").write_bytes(content)
        bundle.args("sh", "-c", "echo ${#HOME}").save()
        result = ocirt.ok("run", "--bundle", bundle, "c1")
        assert 0 < int(result.out) < 4096
    (bundle.rootfs / "etc/passwd").unlink()
    subprocess.run(["mkfifo", bundle.rootfs / "etc/passwd"], check=True, timeout=LIMIT)
    assert ocirt.ok("run", "--bundle", bundle, "c1", timeout=LIMIT).out == "1\n"


def test_inheritable_capabilities(ocirt, bundles, box):
    """CVE-2022-29162, CVE-2022-27650 (crun), CVE-2025-27612 (youki): neither `ocirt spec` nor `exec --cap` makes
    capabilities inheritable, and ambient ones do not come of it."""
    bundle = bundles("other")
    spec = json.loads((bundle.path / "config.json").read_text())
    assert not spec["process"]["capabilities"].get("inheritable")
    bundle.config["process"]["user"] = {"uid": 0, "gid": 0}
    bundle.args("cat", "/proc/self/status").save()
    status = status_of(ocirt.ok("run", "--bundle", bundle, "c2").out)
    assert status["CapInh"] == status["CapAmb"] == ["0" * 16]
    for flags in ((), ("--cap", "CAP_SYS_PTRACE"), ("--user", "0", "--cap", "CAP_NET_RAW")):
        status = status_of(ocirt.ok("exec", *flags, "c1", "cat", "/proc/self/status").out)
        assert status["CapInh"] == status["CapAmb"] == ["0" * 16], (flags, status)


def test_supplementary_groups_of_the_caller(ocirt, bundles, box):
    """CVE-2022-29162, CVE-2022-2995: groups of whoever calls the runtime do not come along, in create and in exec."""
    bundle = bundles("other").args("cat", "/proc/self/status").save()
    groups = {"extra_groups": [4, 27, 999]}
    assert status_of(ocirt.ok("run", "--bundle", bundle, "c2", **groups).out)["Groups"] == []
    assert status_of(ocirt.ok("exec", "c1", "cat", "/proc/self/status", **groups).out)["Groups"] == []


def test_keys_of_the_caller(ocirt, bundle, attacker):
    """Keyrings are not namespaced: the caller's session, process and user session keyrings must not be the container's."""
    shutil.copy(attacker, bundle.rootfs / "bin/attacker")
    bundle.args("attacker", "keys", "ocirt-test-secret").save()
    # The key lies in a session keyring of this command's own.
    script = (
        "import ctypes, os, sys; c = ctypes.CDLL(None, use_errno=True); "
        f"ring = c.syscall({syscall_number('keyctl')}, {JOIN_SESSION_KEYRING}, None); "
        f"key = c.syscall({syscall_number('add_key')}, b'user', b'ocirt-test-secret', b'leaked', 6, ring); "
        "assert key > 0; os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = ["python3", "-c", script]
    own = subprocess.run(
        [*command, str(attacker), "keys", "ocirt-test-secret"], capture_output=True, text=True, timeout=LIMIT
    )
    assert "found in -3" in own.stdout, own  # so the attack is one
    done = subprocess.run(
        [*command, *ocirt.command("run", "--bundle", bundle, "c1")],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (0, ""), done
    bundle.args("sleep", "60").save()
    subprocess.run(
        [*command, *ocirt.command("run", "-d", "--bundle", bundle, "c2")],
        check=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
    )
    done = subprocess.run(
        [*command, *ocirt.command("exec", "c2", "attacker", "keys", "ocirt-test-secret")],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (0, ""), done


@pytest.fixture(scope="session")
def keyring(tmp_path_factory):
    path = tmp_path_factory.mktemp("keyring") / "keyring"
    subprocess.run(
        [
            shutil.which("musl-gcc") or "gcc",
            "-static",
            *KERNEL_HEADERS,
            "-o",
            path,
            TREE / "tests/integration/data/keyring.c",
        ],
        check=True,
        timeout=LIMIT,
    )
    for folder in (path, *path.parents):
        folder.chmod(folder.stat().st_mode | 0o11)
    return path


def test_a_strangers_keyring_is_not_joined(ocirt, bundle, keyring):
    """Another user has made a session keyring with the container's name, which everybody may search: what the container keeps in
    its own would be his to read. Neither create nor exec takes it."""
    shutil.copy(keyring, bundle.rootfs / "bin/keyring")
    bundle.shell("keyring; sleep 60").save()
    stranger = subprocess.Popen(
        [keyring, "_ses.c1"], user=UID, group=UID, extra_groups=[], stdout=subprocess.PIPE, text=True
    )
    try:
        theirs = stranger.stdout.readline().split(";")
        assert theirs[2] == str(UID) and theirs[-1] == "_ses.c1\n"
        ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
        for out in ocirt.ok("exec", "c1", "keyring").out, ocirt.ok("exec", "c1", "keyring").out:
            number, _, uid = out.split(";")[:3]
            assert uid == "0" and number != theirs[0], out
    finally:
        stranger.kill()
        stranger.wait(LIMIT)


def test_containers_of_one_name_have_keyrings_of_their_own(ocirt, bundles, keyring, tmp_path):
    """The same id beneath another root directory: another container, whose keys are nothing to this one."""
    other = type(ocirt)(ocirt.executable, tmp_path / "other")
    numbers = []
    for runtime, name in ((ocirt, "one"), (other, "two")):
        bundle = bundles(name)
        shutil.copy(keyring, bundle.rootfs / "bin/keyring")
        bundle.config["root"]["readonly"] = False
        bundle.shell("keyring >/tmp/ring; sleep 60").save()
        runtime.ok("run", "--detach", "--bundle", bundle, "c1")
        numbers.append(enough_output(bundle.rootfs / "tmp/ring").split(";")[:3])
    other.ok("delete", "--force", "c1")
    assert numbers[0][0] != numbers[1][0] and numbers[0][2] == numbers[1][2] == "0"
