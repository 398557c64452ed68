"""hack/docs.d/links.py: what it finds in a folder of HTML."""

import pytest
from links import faults

PAGE = '<html><head>{head}</head><body><p id="here">text</p>{body}</body></html>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "other.html").write_text('<h1 id="there">Other</h1>')
    (tmp_path / "deep/page.html").write_text("<p>page</p>")
    (tmp_path / "picture.svg").write_text("<svg/>")

    def found(body="", head="", css=""):
        (tmp_path / "index.html").write_text(PAGE.format(head=head, body=body))
        (tmp_path / "style.css").write_text(css)
        return list(faults(tmp_path))

    return found


@pytest.mark.parametrize(
    "link", ["#here", "other.html", "other.html#there", "deep/page.html", "./", "/other.html", "mailto:a@example.org"]
)
def test_links_that_lead_somewhere(site, link):
    assert site(f'<a href="{link}">x</a>') == []


@pytest.mark.parametrize(
    "link, why",
    [
        ("#nowhere", "leads to no element of that page"),
        ("other.html#here", "leads to no element of that page"),
        ("missing.html", "leads to no file"),
        ("deep/", "leads to no file"),
        ("../docs/other.md", "leads to no file"),
    ],
)
def test_links_that_lead_nowhere(site, link, why):
    assert site(f'<a href="{link}">x</a>') == [f"index.html: {link}: {why}"]


def test_a_link_to_another_site_may_be_followed_but_not_loaded(site):
    far = "https://example.org/x"
    assert site(f'<a href="{far}">x</a>', f'<link rel="canonical" href="{far}">') == []
    line = f"index.html: {far}: is loaded from another site"
    assert site(head=f'<script src="{far}"></script>') == [line]
    assert site(head=f'<link rel="stylesheet" href="{far}">') == [line]
    assert site(head=f"<style>@import '{far}';</style>") == [line]
    assert site(f'<img src="{far}"><p style="background: url({far})">') == [line]
    assert site('<img src="//example.org/x">') == ["index.html: //example.org/x: is loaded from another site"]
    assert site(css=f"p {{ background: url('{far}') }}") == [f"style.css: {far}: is loaded from another site"]


def test_pictures_and_styles_of_the_site_itself(site):
    assert site('<img src="picture.svg">', css="p { background: url(picture.svg) url(data:x) }") == []
    assert site('<img src="gone.svg">') == ["index.html: gone.svg: leads to no file"]
