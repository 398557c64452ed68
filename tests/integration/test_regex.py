"""crun's `kill --regex` and `delete --regex`: the containers in whose id a pattern is found."""

from tests.integration.harness import cgroups_path


def test_kill_and_delete(ocirt, bundle, bundles):
    for name in ("web1", "web2", "db"):
        each = bundles(name).args("sleep", "60")
        each.config["linux"]["cgroupsPath"] = cgroups_path(name)
        ocirt.ok("run", "--detach", "--bundle", each.save(), name)
    assert ocirt.ok("kill", "--regex", "^nothing", "KILL").err == ""
    ocirt.ok("kill", "--regex", "^web[0-9]$", "KILL")
    for name in ("web1", "web2"):
        ocirt.wait_status(name, "stopped")
    assert ocirt.status("db") == "running"
    # What is refused for one leaves the others their turn.
    result = ocirt("delete", "-r", ".")
    assert result.status == 1 and "cannot delete container db that is not stopped: running" in result.err
    assert result.err.count("\n") == 1 and ocirt.ids() == ["db"]
    ocirt.ok("delete", "--regex", "--force", "d")
    assert ocirt.ids() == []


def test_what_is_no_pattern(ocirt):
    ocirt.root.mkdir()
    assert '--regex: found \\"(\\", expected a regular expression' in ocirt.fails("kill", "--regex", "(")
