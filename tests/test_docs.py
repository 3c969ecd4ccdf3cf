"""The documentation: public names are declared, described and reachable, and the checker of the site finds faults."""

from __future__ import annotations

import base64
import importlib.util
import inspect
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

from qmlphys import report

DOCS = Path(__file__).parents[1] / "docs"


def load(*names: str) -> list[ModuleType]:
    """Import modules of docs/, which is no package, without leaving its folders on the path."""
    before = list(sys.path)
    sys.path[:0] = [str(DOCS), str(DOCS / "_ext")]
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path[:] = before


check, names, markup, commands, gallery = load("check", "names", "markup", "commands", "gallery")
CHROMIUM = check.find()
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def reference():
    return names.collect()


# What the reference is made of

# Functions that work for seconds to minutes: an example would be such a run. Their configurations have the examples,
# and tests/workflows runs them at small sizes.
LONG = {
    "qmlphys.workflows.criticality": {
        "analyse",
        "collapse",
        "figures",
        "locate",
        "measure",
        "rows",
        "run",
        "scan",
        "train",
    },
    "qmlphys.workflows.demo": {"run"},
    "qmlphys.workflows.device_phases": {"panel", "run"},
    "qmlphys.workflows.entanglement_scaling": {"panel", "run"},
    "qmlphys.workflows.generative": {"panel", "run"},
    "qmlphys.workflows.ground_state": {"panel", "phases"},
    "qmlphys.workflows.ising_phases": {"panel", "run"},
    "qmlphys.workflows.quantum_circuits": {"panel", "run"},
}


@pytest.mark.parametrize("module", names.public_modules())
def test_names_without_underscore_are_declared(module):
    assert names.undeclared(module) == []
    assert not any(names.is_private(name) for name in names.declared(module))


def test_each_name_is_described_once_and_found_by_every_path(reference):
    found = [path for entry in reference.all_entries() for path in (entry.path, *entry.aliases)]
    assert len(found) == len(set(found)) > 500
    wanted = {f"{module}.{name}" for module in names.public_modules() for name in names.declared(module)}
    wanted -= {"qmlphys.__version__", *reference.modules}
    assert set(found) == wanted
    assert not any(names.is_private(path) for path in found)


def test_public_names_have_docstrings_and_functions_examples(reference):
    bare, without = [], []
    for entry in reference.all_entries():
        text = (
            names.constant_text(entry.page, entry.name) if entry.kind == "data" else inspect.getdoc(entry.value)
        ) or ""
        if not text or text == inspect.getdoc(type(entry.value)):
            bare.append(entry.path)
        elif entry.kind == "function" and ">>>" not in text and entry.name not in LONG.get(entry.page, ()):
            without.append(entry.path)
    assert bare == []
    assert without == []
    for module in LONG:
        assert any(
            ">>>" in (inspect.getdoc(entry.value) or "") for entry in reference.entries[module] if entry.kind == "class"
        ), module


def test_shortest_path_and_page(reference):
    (ising,) = [entry for entry in reference.all_entries() if entry.path == "qmlphys.hamiltonians.Ising"]
    assert ising.page == "qmlphys.hamiltonians.ising"
    assert set(ising.aliases) == {"qmlphys.Ising", "qmlphys.hamiltonians.ising.Ising"}


def test_plain_text_is_no_markup():
    assert markup.escape("|m| of `coef_`, a*b and intercept_") == r"\|m\| of `coef_`, a\*b and intercept\_"
    assert markup.escape("is *not* Tc, ``x_``") == "is *not* Tc, ``x_``"
    example = [">>> abs(x_) * 2", "|3|", "", "|m|"]
    assert markup.escape_lines(example) == [*example[:3], r"\|m\|"]


def test_every_command_and_option_is_described():
    import typer.main

    from qmlphys.cli import app

    text = "\n".join(commands.pages().values())

    def walk(command, words):
        below = getattr(command, "commands", None) or {}
        assert command.help or command.short_help, words
        for name, sub in below.items():
            walk(sub, [*words, name])
        if not below:
            assert f".. program:: {' '.join(words)}\n" in text
            for option in command.params:
                assert option.name == "help" or option.hidden or option.help, (words, option.name)

    root = typer.main.get_command(app)
    for name, sub in root.commands.items():
        walk(sub, ["qmlphys", name])
    assert text.count(".. program::") > 20


def test_every_tutorial_is_in_the_gallery():
    pages = gallery.pages()
    for path in gallery.notebooks():
        assert f":doc:`{path.stem[:2]} " in pages["index.rst"]
        assert path.name in set(pages)
        assert f"pictures/{path.stem}.png" in set(pages), f"{path.name} has no picture for its card"


# What the checker finds without a browser


def page(body: str, *, head: str = "<title>A page</title>") -> str:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{head}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>{body}</body></html>'
    )


TEXT = "<p>Snapshots of spins, measured at some value of a control parameter.</p>"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="missing.html">x</a>', "the link 'missing.html' leads nowhere"),
        ('<a href="../outside.html">x</a>', "the link '../outside.html' leads nowhere"),
        ('<a href="#nowhere">x</a>', "has no 'nowhere'"),
        ('<a href="b.html#there">x</a>', "has no 'there'"),
        ('<a href="javascript:void(0)">x</a>', "is a script"),
        ('<script src="https://cdn.example/x.js"></script>', "loads 'https://cdn.example/x.js' from elsewhere"),
        ("<style>@import 'https://fonts.example/f.css';</style>", "loads 'https://fonts.example/f.css' from elsewhere"),
        ('<p style="background: url(//a.example/b.png)">x</p>', "loads '//a.example/b.png' from elsewhere"),
        ('<img src="data:image/png;base64,AA==">', "has no text"),
        ('<p id="a"></p><p id="a"></p>', "two elements have the id 'a'"),
        ('<div class="system-message">x</div>', "message of the builder"),
    ],
)
def test_links_and_loads(tmp_path, body, fault):
    (tmp_path.parent / "outside.html").write_text(page(TEXT))
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    pages[1].write_text(page('<p id="here"></p><a href="a.html">a</a>'))
    pages[0].write_text(page('<a href="b.html#here">b</a><a href="https://arxiv.org/abs/1605.01735">paper</a>'))
    assert list(check.check_files(tmp_path, pages)) == []
    pages[0].write_text(page(body))
    faults = list(check.check_files(tmp_path, pages))
    assert len(faults) == 1
    assert fault in faults[0]


def test_the_inventory_is_held_against_the_declared_names(tmp_path):
    lines = [f"{path} py:function 1 api.html#$ -" for path in ("qmlphys.stats.estimate", "qmlphys.stats._series.tau")]
    head = b"# Sphinx inventory version 2\n# Project: a\n# Version: 1\n# compressed\n"
    (tmp_path / "objects.inv").write_bytes(head + zlib.compress("\n".join(lines).encode()))
    assert check.inventory(tmp_path / "objects.inv")["qmlphys.stats.estimate"] == "api.html#qmlphys.stats.estimate"
    faults = list(check.check_reference(tmp_path))
    assert "reference: qmlphys.stats._series.tau is private" in faults
    assert "reference: the public name qmlphys.Ising is missing" in faults
    assert not any("qmlphys.stats.estimate " in fault for fault in faults)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--site", "nothing"], "There is no page 'nothing'"), (["--browser", "no-such-program"], "No chromium")],
)
def test_what_cannot_be_checked_is_one_line(tmp_path, arguments, text):
    (tmp_path / "index.html").write_text(page(TEXT))
    command = [sys.executable, str(DOCS / "check.py"), "--site", str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


# What it finds in a browser


@needs_chromium
def test_the_browser_finds_what_a_reader_would(tmp_path):
    wide = "<svg xmlns='http://www.w3.org/2000/svg' width='1600' height='200'><rect width='9' height='9'/></svg>"
    data = f"data:image/svg+xml;base64,{base64.b64encode(wide.encode()).decode()}"
    table = f"<pre>{'x' * 400}</pre>"
    bodies = {
        "clean": (f"{TEXT}<div style='overflow-x: auto'>{table}</div>", None),
        "console": (f"{TEXT}<script>console.error('wrong')</script>", "console error: wrong"),
        "exception": (f"{TEXT}<script>undefined.x</script>", "exception: TypeError"),
        "missing": (f"{TEXT}<img alt='a' src='missing.png'>", "status 404"),
        "elsewhere": (f"{TEXT}<img alt='a' src='http://192.0.2.1/a.png'>", "request to elsewhere: http://192.0.2.1/"),
        "sideways": (TEXT + table, "px wide on a screen of 390 px (pre)"),
        "small": (f"<div style='font-size: 8px'>{TEXT}</div>", "too small to read on a phone (8 px"),
        "shrunk": (f"{TEXT}<img alt='a' style='max-width: 100%' src='{data}'>", "figures too small to read"),
        "empty": ("", "the page is empty"),
    }
    with check.Browser(CHROMIUM) as browser, check.served(tmp_path) as root:
        tab = check.Page(browser)
        for name, (body, fault) in bodies.items():
            (tmp_path / f"{name}.html").write_text(page(body))
            faults = list(check.check_page(tab, f"{root}/{name}.html", name))
            assert any(fault in found for found in faults) if fault else faults == [], (name, faults)


@needs_chromium
def test_a_report_is_readable_on_a_phone(tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    for name, width in (("wide", 1200), ("narrow", 350)):
        figures.joinpath(f"{name}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="90pt" viewBox="0 0 {width} 90">'
            '<rect width="40" height="40"/></svg>'
        )
    (tmp_path / "settings.json").write_text('{"title": "A run", "summary": "What was done, and how to do it again."}')
    (tmp_path / "results.json").write_text(
        f'[{{"name": "{"critical_temperature" * 6}", "value": 2.27, "error": 0.01, "exact": 2.269185, "unit": "J"}}]'
    )
    assert check.main(["--page", str(report.write(tmp_path))]) == 0


@pytest.mark.slow  # builds the whole site and opens every page of it: two minutes
@needs_chromium
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "furo", "myst_nb")),
    reason="the extra `docs` is not installed",
)
def test_the_site_builds_without_warnings_and_passes(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    site = tmp_path / "html"
    done = subprocess.run([*command, str(DOCS), str(site)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert check.main(["--site", str(site)]) == 0
