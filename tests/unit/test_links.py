"""ocirt.links: a path leads to where it leads in the container."""

import pytest

from ocirt.links import LINKS_MAX, inside


@pytest.fixture
def root(tmp_path):
    (tmp_path / "run").mkdir()
    for link, to in (("var", "/run"), ("up", "../../../run"), ("a", "b"), ("b", "a"), ("run/here", ".")):
        (tmp_path / link).symlink_to(to)
    return str(tmp_path)


def test_links_lead_to_where_they_lead_in_the_container(root):
    assert inside(root, "/var/x/../y") == inside(root, "/up/here/here/y") == inside(root, "var//./y") == "/run/y"
    assert inside(root, "/../../etc/") == "/etc" and inside(root, "/") == inside(root, "") == "/"


def test_a_circle_leads_nowhere(root):
    assert inside(root, "/a/x") is None
    here = "/here" * (LINKS_MAX - 1)
    assert inside(root, f"/var{here}") == "/run" and inside(root, f"/var{here}/here") is None
