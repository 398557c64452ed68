"""The documentation site as readers see it: every page in Chromium, narrow and wide, light and dark; and its search."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest

from tests.site.chromium import Chromium

TREE = Path(__file__).parents[2]
SITE = TREE / "build/site"
PICTURES = TREE / "build/site-pictures"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
WINDOWS = [(375, "light"), (375, "dark"), (1440, "light"), (1440, "dark")]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    """Where the site is served."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = shutil.which("chromium") or pytest.skip("needs chromium, which hack/test --site installs for root")
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    chromium = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_fits_its_window(browser, address, page):
    """It is not wider than the window, and every picture in it is shown."""
    browser.look(*WINDOWS[0])
    browser.open(address + page)
    for width, scheme in WINDOWS:
        browser.look(width, scheme)
        shown = browser.ask("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert shown[0] <= shown[1], (width, scheme)
        browser.picture(PICTURES / f"{page.removesuffix('.html').replace('/', '-')}-{width}-{scheme}.png")
    assert browser.ask("[...document.images].filter(each => !each.naturalWidth).map(each => each.src)") == []


def test_there_are_pages():
    assert len(PAGES) > 30


def brightness(browser):
    """Of the page's background and of its text, from 0 to 255."""
    script = """
      (name => {
        const color = getComputedStyle(document.querySelector(name[0]))[name[1]]
        const canvas = new OffscreenCanvas(1, 1).getContext('2d')
        canvas.fillStyle = color
        canvas.fillRect(0, 0, 1, 1)
        return canvas.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((a, b) => a + b) / 3
      })"""
    return [
        browser.ask(f"{script}({names})") for names in ("['body', 'backgroundColor']", "['.md-typeset p', 'color']")
    ]


def test_light_and_dark_follow_the_reader(browser, address):
    browser.look(1440, "light")
    browser.open(address + "index.html")
    background, text = brightness(browser)
    assert background > 230 and text < 100
    browser.look(1440, "dark")
    browser.open(address + "index.html")
    background, text = brightness(browser)
    assert background < 60 and text > 150


QUESTIONS = {
    "How do I install it?": ("install.html", "pip install"),
    "How do I run a first container?": ("first-container.html", "ocirt run"),
    "How do I switch podman to it, and back?": ("podman.html", "To switch back, remove the file"),
    "How do I use it in Kubernetes?": ("kubernetes.html", "kind: RuntimeClass"),
    "Can I use it without root?": ("rootless.html", "newuidmap"),
    "How do I run untrusted code from Python?": ("sandbox.html", "ocirt.Sandbox("),
    "What does this message mean?": ("troubleshooting.html", "ocirt doctor"),
    "Which flags does run have?": ("verbs.html", "--pid-file"),
    "How fast is it beside runc and crun?": ("comparison.html", "create a container"),
    "Why does my container start slowly?": ("tracing.html", "ocirt trace"),
    # podman's user
    "How do I go back to runc?": ("podman.html", "podman --runtime runc"),
    "Why does my container not see the GPU?": ("gpu.html", "If the container does not see the device"),
    "How do I limit disk space?": ("cgroups.html", "--storage-opt size="),
    "How do I keep a record of why a container ended?": ("troubleshooting.html", "ocirt delete --why"),
    # an administrator of containerd
    "How do I upgrade while containers run?": ("install.html", "take turns"),
    "What does the message about Linux 5.10 mean?": ("kernels.html", "this is 5.10.0"),
    "What can this host not do?": ("doctor.html", "ocirt doctor BUNDLE"),
    # a developer in Python
    "Which ports does a Net publish?": ("sandbox.html", "publish={8080: 80}"),
    # a packager
    "What does a package have to contain?": ("packaging.html", "What a build produces"),
    # a reviewer of its security
    "How do I report a vulnerability?": ("security.html", "Report a vulnerability"),
}
"""What newcomers ask -> the page with the answer, and words of the answer."""


def test_all_questions_are_two_clicks_from_the_start(browser, address):
    """A part of the navigation, then a page; from the start page itself or from the part's first page."""
    links = "[...new Set([...document.links].map(each => each.href.split('#')[0]))]"
    browser.look(1440, "light")
    browser.open(address + "index.html")
    one_click = browser.ask(links)
    two_clicks = set(one_click)
    for tab in browser.ask("[...document.querySelectorAll('.md-tabs__link')].map(each => each.href)"):
        browser.open(tab)
        two_clicks |= set(browser.ask(links))
    assert [ask for ask, (page, _) in QUESTIONS.items() if address + page not in two_clicks] == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_page_has_the_answer(browser, address, question):
    page, words = QUESTIONS[question]
    browser.open(address + page)
    assert words in browser.ask("document.querySelector('article').innerText")


WORDS = {
    "podman": "podman.html",
    "RuntimeClass": "kubernetes.html",
    "asyncio": "library.html",
    "sandbox": "library.html",
    "listenerPath": "spec.html",
    "glossary": "architecture.html",
    "SetHostname": "steps.html",
    "runtime-tools": "conformance.html",
    "close_range": "kernels.html",
    "manylinux": "packaging.html",
}
"""What readers look for -> a page that the search finds."""


@pytest.mark.parametrize("word", WORDS)
def test_the_search_finds(browser, address, word):
    browser.look(1440, "light")
    browser.open(address + "index.html")
    browser.ask(f"""
      document.querySelector('[data-md-toggle=search]').click()
      const box = document.querySelector('[data-md-component=search-query]')
      box.focus()
      box.value = {word!r}
      box.dispatchEvent(new Event('keyup', {{bubbles: true}}))
    """)
    browser.until("/matching document/.test(document.querySelector('.md-search-result__meta').textContent)")
    found = browser.ask("[...document.querySelectorAll('a.md-search-result__link')].map(each => each.href)")
    assert f"{address}{WORDS[word]}" in {each.partition("#")[0].partition("?")[0] for each in found}


def test_nothing_was_asked_of_another_site(browser, address):
    """The last test, because it looks at what the pages of those before have loaded."""
    assert browser.requests
    assert [each for each in browser.requests if not each.startswith((address, "data:", "about:", "blob:"))] == []
