"""Check the built site, or one self-contained page, link by link and in a real browser.

    python docs/check.py                                 the site in docs/_build/html
    python docs/check.py --page runs/demo/report.html    one page
    python docs/check.py --no-browser                    what can be seen without a browser

Without a browser: every link leads somewhere, its anchor included; nothing is loaded from elsewhere; every picture has
a text; the reference holds every public name and no private one. With headless chromium, page by page: no error or
warning on the console, no failed request, every picture shown, and at the width of a phone no page scrolls sideways,
and letters and figures are large enough to read. The search and the phone's menu are used as a reader uses them.
Exit code 1: something was found; 2: it could not be checked.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import re
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from _browser import Browser, BrowserError, Page, find  # noqa: E402

SITE = HERE / "_build" / "html"
PHONE, DESK = 390, 1280
# What the search must find, and what it must not.
KNOWN, UNKNOWN = "far_ends", "zzqxjkvw"
LOADED = {
    "img": "src",
    "script": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
}


@dataclass
class Parsed:
    """What one HTML page has: places that links can lead to, links, what it loads, and what is wrong with it."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    """Collects the parts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Parsed()
        self._title = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._inside = tag
        if "id" in given:
            if given["id"] in self.page.anchors:
                self.page.faults.append(f"two elements have the id '{given['id']}'")
            self.page.anchors.add(given["id"])
        if tag == "a":
            if "name" in given:
                self.page.anchors.add(given["name"])
            if "href" in given:
                self.page.links.append(given["href"])
        elif tag in LOADED and given.get(LOADED[tag]):
            relation = given.get("rel", "")
            kind = self.page.links if relation in ("index", "search", "next", "prev", "author") else self.page.loads
            kind.append(given[LOADED[tag]])
        if tag == "img" and not given.get("alt"):
            self.page.faults.append(f"the picture '{given.get('src', '')[:60]}' has no text")
        if "system-message" in given.get("class", "").split():
            self.page.faults.append("a message of the builder stands on the page")
        self.page.loads += re.findall(r"url\(['\"]?([^'\")]+)", given.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        if tag == "title" and not self._title.strip():
            self.page.faults.append("the page has no title")

    def handle_data(self, data: str) -> None:
        if self._inside == "title":
            self._title += data
        elif self._inside == "style":
            self.page.loads += [a or b for a, b in re.findall(r"url\(['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", data)]


def parse(path: Path) -> Parsed:
    """Read one HTML page."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page


def _is_external(link: str) -> bool:
    return bool(re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", link)) or link.startswith("mailto:")


def check_files(folder: Path, pages: list[Path]) -> Iterator[str]:
    """Yield what is wrong with links and with what the pages load, as far as the files tell."""
    parsed = {page: parse(page) for page in pages}
    for page, found in parsed.items():
        name = page.relative_to(folder)
        yield from (f"{name}: {fault}" for fault in dict.fromkeys(found.faults))
        for link in dict.fromkeys(found.loads):
            if _is_external(link):
                yield f"{name}: loads '{link}' from elsewhere"
        for link in dict.fromkeys((*found.links, *found.loads)):
            if _is_external(link) or link.startswith("data:"):
                continue
            if link.startswith("javascript:"):
                yield f"{name}: the link '{link}' is a script"
                continue
            address, _, fragment = link.partition("#")
            address = urllib.parse.unquote(address.partition("?")[0])
            fragment = urllib.parse.unquote(fragment)
            target = (page.parent / address).resolve() if address else page
            if not target.is_file() or not target.is_relative_to(folder):
                yield f"{name}: the link '{link}' leads nowhere"
            elif fragment and target.suffix == ".html":
                there = parsed[target] if target in parsed else parse(target)
                if fragment not in there.anchors:
                    yield f"{name}: the page of the link '{link}' has no '{fragment}'"
    for sheet in sorted(folder.rglob("*.css")) if len(pages) > 1 else []:
        text = sheet.read_text(encoding="utf-8")
        for a, b in re.findall(r"url\(['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", text):
            link = a or b
            if _is_external(link):
                yield f"{sheet.relative_to(folder)}: loads '{link}' from elsewhere"
            elif not link.startswith(("data:", "#")) and not (sheet.parent / link.partition("?")[0]).is_file():
                yield f"{sheet.relative_to(folder)}: loads '{link}', which is not there"


def inventory(path: Path) -> dict[str, str]:
    """Return the Python names of a Sphinx inventory with the places that they lead to."""
    data = path.read_bytes()
    body = data.split(b"\n", 4)[4]
    names = {}
    for line in zlib.decompress(body).decode().splitlines():
        match = re.match(r"(.+?) (py:\w+) (-?\d+) (\S+) (.*)", line)
        if match:
            names[match[1]] = match[4].replace("$", match[1])
    return names


def check_reference(folder: Path) -> Iterator[str]:
    """Yield public names that the reference lacks, and private ones that it has."""
    sys.path[:0] = [str(HERE / "_ext")]
    from names import declared, is_private, public_modules

    found = inventory(folder / "objects.inv")
    wanted = {f"{module}.{name}" for module in public_modules() for name in declared(module) if name[:2] != "__"}
    for name in sorted((wanted | set(public_modules())) - set(found)):
        yield f"reference: the public name {name} is missing"
    for name in sorted(name for name in found if is_private(name)):
        yield f"reference: {name} is private"


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass

    def do_GET(self) -> None:
        if self.path == "/favicon.ico":  # browsers ask for one by themselves
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder to this machine alone, and give its address."""
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


# Elements that stick out of the page to the right, unless a box around them scrolls.
WIDE = """(width => {
  const found = [];
  for (const e of document.body.querySelectorAll('*')) {
    const box = e.getBoundingClientRect();
    const right = Math.max(box.right, box.left + e.scrollWidth);  // text can be wider than its box
    if (box.width === 0 || right <= width + 1 || e.scrollWidth > e.clientWidth + 1 &&
        ['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX)) continue;
    let scrolls = false;
    for (let p = e; p && p !== document.body; p = p.parentElement) {
      const style = getComputedStyle(p);
      if (style.position === 'fixed') scrolls = true;
      if (p !== e && ['auto', 'scroll', 'hidden'].includes(style.overflowX)) scrolls = true;
    }
    if (!scrolls) found.push(e.tagName.toLowerCase() + (e.className ? '.' + String(e.className).split(' ')[0] : ''));
  }
  return [...new Set(found)].slice(-3).join(', ');
})(%d)"""
# Letters of running text smaller than this cannot be read on a phone.
SMALL = """(() => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (text.length < 20 || !e.checkVisibility() || e.closest('pre, sub, sup, math, svg, script, style')) continue;
    const size = parseFloat(getComputedStyle(e).fontSize);
    if (size < 12) found.push(size + ' px: ' + text.slice(0, 40));
  }
  return found.slice(0, 2).join('; ');
})()"""
PICTURES = """Promise.all([...document.images].map(async i => {
  i.loading = 'eager';
  try { await i.decode(); } catch (e) { return i.currentSrc.slice(0, 80) || i.src.slice(0, 80); }
  return i.naturalWidth > 0 ? '' : i.src.slice(0, 80);
})).then(all => all.filter(Boolean).join(', '))"""
# A figure this much smaller than it was drawn has labels that nobody can read; pictures that are links are previews.
SHRUNK = """[...document.images].filter(i => !i.closest('a') && i.naturalWidth > 200 && i.width < 0.5 * i.naturalWidth)
  .map(i => (i.alt || i.src).slice(0, 50) + ' at ' + Math.round(100 * i.width / i.naturalWidth) + ' %')
  .slice(0, 3).join('; ')"""
SIDEWAYS = "Math.max(document.scrollingElement.scrollWidth, document.body.scrollWidth)"


def check_page(tab: Page, address: str, name: str) -> Iterator[str]:
    """Yield what a browser finds wrong with one page."""
    tab.resize(PHONE)
    tab.open(address)
    broken = tab.run(PICTURES)
    if broken:
        yield f"{name}: pictures are not shown: {broken}"
    if not tab.run("document.body.innerText.trim().length > 20"):
        yield f"{name}: the page is empty"
    if not tab.run("document.documentElement.lang"):
        yield f"{name}: the page does not say its language"
    for width in (PHONE, DESK):
        tab.resize(width)
        wide = tab.run(SIDEWAYS)
        if wide > width:
            yield f"{name}: {wide} px wide on a screen of {width} px ({tab.run(WIDE % width) or 'no element alone'})"
        if width == PHONE:
            small = tab.run(SMALL)
            if small:
                yield f"{name}: too small to read on a phone ({small})"
            shrunk = tab.run(SHRUNK)
            if shrunk:
                yield f"{name}: figures too small to read on a phone ({shrunk})"
    yield from (f"{name}: {complaint}" for complaint in tab.complaints())


def _results(tab: Page) -> list[str]:
    """Wait until the search is done and return the addresses that it found."""
    deadline = time.monotonic() + 30
    done = "document.querySelector('#search-results .search-summary')?.innerText.match(/finished|did not match|found/i)"
    while time.monotonic() < deadline:
        if tab.run(f"Boolean({done})"):
            time.sleep(0.3)  # the list is filled item by item after the summary
            break
        time.sleep(0.1)
    return list(tab.run("[...document.querySelectorAll('#search-results li a')].map(a => a.href)"))


def _search(tab: Page, root: str, word: str) -> list[str]:
    """Type a word into the search box of the front page, press return, and return what is found."""
    tab.resize(DESK)
    tab.open(f"{root}/index.html")
    tab.run("document.querySelector('input[name=q]').focus()")
    tab.call("Input.insertText", text=word)
    tab.forget()
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    tab.wait_for_load()
    return _results(tab)


def check_search(tab: Page, root: str) -> Iterator[str]:
    """Yield what is wrong with the search: it must find a known name, lead to it, and find no nonsense."""
    found = _search(tab, root, KNOWN)
    yield from (f"search: {complaint}" for complaint in tab.complaints())
    places = [address for address in found if address.endswith(f".{KNOWN}")]
    if not places:
        yield f"search: '{KNOWN}' is not found ({len(found)} results)"
    else:
        tab.open(places[0])
        anchor = urllib.parse.unquote(places[0].partition("#")[2])
        if not tab.run(f"document.getElementById({anchor!r})?.checkVisibility()"):
            yield f"search: the result {places[0]} leads to no visible '{anchor}'"
    found = _search(tab, root, UNKNOWN)
    if found:
        yield f"search: '{UNKNOWN}' is found {len(found)} times"


def check_menu(tab: Page, root: str) -> Iterator[str]:
    """Yield what is wrong with the menu on a phone: touched, it must show the list of pages on the screen."""
    tab.resize(PHONE)
    tab.open(f"{root}/index.html")
    link = "document.querySelector('.sidebar-tree a')?.getBoundingClientRect()"
    if tab.run(f"({link})?.left >= 0"):
        yield "menu: the list of pages covers the page before it is asked for"
    tab.run("document.querySelector('.mobile-header label[for=__navigation]')?.click()")
    time.sleep(0.6)  # it slides in
    if not tab.run(f"(b => Boolean(b) && b.left >= 0 && b.left < {PHONE})({link})"):
        yield "menu: it does not show the list of pages"


def in_browser(path: str, folder: Path, pages: list[Path], *, whole: bool, watch: bool) -> Iterator[str]:
    """Yield what a browser finds wrong with all pages."""
    with Browser(path) as browser, served(folder) as root:
        tab = Page(browser)
        for place, page in enumerate(pages):
            name = page.relative_to(folder).as_posix()
            if watch:
                print(f"\r{place + 1}/{len(pages)} {name:60.60}", end="", file=sys.stderr, flush=True)
            yield from check_page(tab, f"{root}/{urllib.parse.quote(name)}", name)
        if watch:
            print("\r" + " " * 72 + "\r", end="", file=sys.stderr, flush=True)
        if whole:
            yield from check_search(tab, root)
            yield from check_menu(tab, root)


def main(arguments: list[str] | None = None) -> int:
    """Check what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description="Check the built documentation, or one page, in a real browser.")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="one self-contained page, such as runs/demo/report.html"
    )
    parser.add_argument("--site", type=Path, metavar="DIR", default=SITE, help="the built site (docs/_build/html)")
    parser.add_argument("--browser", metavar="PATH", help="the program; the chromium on PATH unless given")
    parser.add_argument("--no-browser", action="store_true", help="check only what can be seen without a browser")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    if given.page:
        pages, folder = [given.page.resolve()], given.page.resolve().parent
    else:
        folder = given.site.resolve()
        pages = sorted(folder.rglob("*.html"))
    if not pages or not pages[0].is_file():
        print(f"Error: There is no page '{given.page or given.site}'; `make docs` builds the site.", file=sys.stderr)
        return 2
    browser = None if given.no_browser else find(given.browser)
    if browser is None and not given.no_browser:
        print("Error: No chromium on this machine: install it, or check links only with --no-browser.", file=sys.stderr)
        return 2
    faults = list(check_files(folder, pages))
    if (folder / "objects.inv").is_file() and not given.page:
        faults += check_reference(folder)
    if browser:
        try:
            found = in_browser(browser, folder, pages, whole=not given.page, watch=sys.stderr.isatty())
            faults += found
        except BrowserError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 2
    for fault in faults:
        print(fault)
    how = "in the browser" if browser else "without a browser"
    print(f"{len(pages)} page(s) checked {how} in {time.monotonic() - started:.0f} s: {len(faults) or 'no'} fault(s).")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
