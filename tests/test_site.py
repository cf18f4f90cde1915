"""The documentation site in a browser: `hatch run docs:test` builds it and runs this file."""

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.source_tree import ROOT

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the site is tested in its own environment: hatch run docs:test"
)

SITE = ROOT / "site"
PAGES = sorted(str(path.parent.relative_to(SITE)) for path in SITE.rglob("index.html"))
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH = "document.documentElement.scrollWidth"
CUT = """Array.from(document.querySelectorAll(".md-typeset__scrollwrap, pre > code"))
    .filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)"""
BROKEN_IMAGES = "Array.from(document.images).filter(i => !i.naturalWidth).map(i => i.src)"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def site_url() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        skip = pytest.fail if "AMQP_REQUIRE_CHROMIUM" in os.environ else pytest.skip
        skip("there is no chromium: install the package chromium of Debian")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, site_url: str) -> Iterator[Any]:
    """A page of the browser; its errors and its requests to other hosts fail the test."""
    faults: list[str] = []
    page = browser.new_page(viewport=DESKTOP)
    page.on("console", lambda message: faults.extend(errors_in(message)))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on("request", lambda request: faults.extend(elsewhere(request.url)))
    yield page
    page.close()
    assert faults == []


def errors_in(message: Any) -> list[str]:
    return [message.text] if message.type == "error" else []


def elsewhere(url: str) -> list[str]:
    parts = urlsplit(url)
    inside = parts.hostname == "127.0.0.1" or parts.scheme in ("data", "blob")
    return [] if inside else [f"elsewhere: {url}"]


def test_the_site_has_been_built() -> None:
    assert len(PAGES) > 30, "run: hatch run docs"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_and_fits_a_phone(path: str, page: Any, site_url: str) -> None:
    page.goto(site_url + path)
    assert page.locator("h1").count() == 1
    assert page.title().endswith("aioamqp")

    page.set_viewport_size(PHONE)
    assert page.evaluate(WIDTH) <= PHONE["width"]
    assert page.evaluate(BROKEN_IMAGES) == []


@pytest.mark.parametrize("path", [each for each in PAGES if not each.startswith("api/")])
def test_no_table_or_code_of_a_page_is_cut_off_on_a_desktop(
    path: str, page: Any, site_url: str
) -> None:
    page.goto(site_url + path)

    assert page.evaluate(CUT) == []


def test_the_search_finds_a_page(page: Any, site_url: str) -> None:
    page.goto(site_url)
    page.get_by_role("button", name="Search").first.click()
    page.get_by_role("combobox", name="Search").fill("PublishUnconfirmed")
    page.get_by_role("option").first.click()

    page.wait_for_url("**/errors/**#aioamqp.PublishUnconfirmed")


class Links(HTMLParser):
    """The links of a page, and the anchors in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value is not None:
                self.anchors.add(value)
            elif name in ("href", "src") and value is not None:
                self.links.add(value)


def test_every_internal_link_leads_somewhere() -> None:
    pages = {
        path.resolve(): Links(path) for path in SITE.rglob("*.html") if path.name != "404.html"
    }
    checked = 0
    broken: list[str] = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchors = pages[target].anchors if target in pages else {""}
            checked += 1
            if not target.exists() or unquote(parts.fragment) not in anchors:
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert broken == []
    assert checked > 1000
