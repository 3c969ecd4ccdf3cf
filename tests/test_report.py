"""The report: every number is in it, and nothing that stands in a run folder can do harm through it."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from qmlphys import plotting, report
from qmlphys.report import ReportError, Row
from qmlphys.stats import Estimate

SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect id="a" width="5"/></svg>'


class Page(HTMLParser):
    """Collects the tags of a page, their attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "one.svg").write_text(SVG)
    plotting.save(plotting.estimates({"a": Estimate(1, 0.1)}).figure, tmp_path / "figures" / "two.svg")
    settings(
        tmp_path, {"title": "Ising", "summary": "What came out.", "figures": [{"file": "two.svg", "caption": "Two"}]}
    )
    results(
        tmp_path,
        [
            {"name": "Tc", "value": 2.2705, "error": 0.0021, "exact": 2.269185, "unit": "J/k_B", "source": "CNN"},
            {"name": "far", "value": 3.0, "error": 0.1, "exact": 2.0, "unit": "", "source": ""},
            {"name": "count", "value": 17, "error": None, "exact": None, "unit": "", "source": "counted"},
            {"name": "not found", "value": None, "error": None, "exact": 1.0, "unit": "", "source": ""},
        ],
    )
    return tmp_path


def settings(folder: Path, value: Any) -> None:
    (folder / "settings.json").write_text(json.dumps(value), encoding="utf-8")


def results(folder: Path, value: Any) -> None:
    (folder / "results.json").write_text(json.dumps(value), encoding="utf-8")


def test_every_number_is_in_the_table(run: Path) -> None:
    page = Page(report.write(run).read_text(encoding="utf-8"))
    for expected in ("2.271(2)", "2.269185", "+0.6 σ", "J/k_B", "CNN", "+10.0 σ", "17", "none found", "What came out."):
        assert expected in page.text
    far = [attributes for tag, attributes in page.tags if tag == "tr" and attributes.get("class") == "far"]
    assert len(far) == 1
    assert page.tags.count(("th", {"scope": "row"})) == 4


def test_figures_are_embedded_whole_in_the_order_of_the_settings(run: Path) -> None:
    page = Page(report.write(run).read_text(encoding="utf-8"))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == ["Two", "one"]
    embedded = base64.b64decode(images[1]["src"].removeprefix("data:image/svg+xml;base64,"))
    assert embedded == SVG.encode()


def test_the_page_needs_nothing_from_outside_and_runs_nothing(run: Path) -> None:
    text = report.write(run).read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "svg"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in ("src", "href"):
                assert value.startswith("data:image/svg+xml;base64,")
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert any(a.get("content", "").startswith("default-src 'none'") for tag, a in page.tags if tag == "meta")
    assert any(a.get("name") == "viewport" for tag, a in page.tags if tag == "meta")


def test_the_same_folder_gives_the_same_page(run: Path) -> None:
    assert report.write(run).read_bytes() == report.write(run).read_bytes()


def test_hostile_texts_stay_texts(run: Path) -> None:
    attack = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{title}{0}%s\ud800\x00\u202e"
    settings(
        run, {"title": attack, "summary": attack, attack: attack, "figures": [{"file": "one.svg", "caption": attack}]}
    )
    results(run, [{"name": attack, "value": 1.0, "error": 0.1, "exact": 2.0, "unit": attack, "source": attack}])
    page = Page(report.write(run).read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(set(attributes) == {"alt", "src"} for tag, attributes in page.tags if tag == "img")
    assert page.text.count("<script>alert(1)</script>") >= 5
    assert "\u202e" not in page.text
    assert "{title}" in page.text


def test_a_figure_with_a_script_is_only_ever_an_image(run: Path) -> None:
    (run / "figures" / "one.svg").write_text(SVG.replace("<rect", "<script>alert(1)</script><rect"))
    text = report.write(run).read_text(encoding="utf-8")
    assert "<script" not in text
    assert len(re.findall(r"<img ", text)) == 2


def test_parts_keep_their_numbers_and_pictures_together(run: Path) -> None:
    settings(
        run,
        {
            "sections": [{"title": "Second", "summary": "<i>two</i>"}, {"title": "First", "summary": ""}],
            "figures": [
                {"file": "one.svg", "caption": "A", "section": "First"},
                {"file": "two.svg", "section": "Second"},
            ],
        },
    )
    results(run, [{"name": "a", "value": 1, "section": "First"}, {"name": "b", "value": 2, "section": "Second"}])
    text = report.write(run).read_text(encoding="utf-8")
    places = [
        text.index(piece)
        for piece in ("<h2>Second</h2>", "&lt;i&gt;two", "<img", ">b</th>", "<h2>First</h2>", 'alt="A"', ">a</th>")
    ]
    assert places == sorted(places)
    assert "<h2>Numbers</h2>" not in text
    assert [row.section for row in report.read_results(run)] == ["First", "Second"]


def test_links_are_not_followed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("other") / "secret.svg"
    secret.write_text(SVG)
    (run / "figures" / "three.svg").symlink_to(secret)
    with pytest.raises(ReportError, match=r"three\.svg.* cannot be read"):
        report.write(run)
    (run / "figures" / "three.svg").unlink()
    (run / "results.json").unlink()
    (run / "results.json").symlink_to(secret)
    with pytest.raises(ReportError, match=r"results\.json.* cannot be read"):
        report.write(run)


def test_listed_figures_are_never_used_as_paths(run: Path) -> None:
    (run / "secret.svg").write_text(SVG.replace("rect", "circle"))
    settings(run, {"figures": [{"file": "../secret.svg", "caption": "x"}, {"file": "/etc/passwd", "caption": "y"}]})
    page = Page(report.write(run).read_text(encoding="utf-8"))
    assert [attributes["alt"] for tag, attributes in page.tags if tag == "img"] == ["one", "two"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("settings.json", "[1]", "must hold an object"),
        ("settings.json", '{"title": 3}', "`title` in settings.json must be text"),
        ("settings.json", '{"figures": 3}', "must be a list"),
        ("settings.json", '{"figures": [3]}', "with the key `file`"),
        ("settings.json", '{"sections": 3}', "`sections` in settings.json must be a list"),
        ("settings.json", '{"sections": [3]}', "`sections` in settings.json must be a list"),
        ("results.json", '[{"section": 3}]', "`section` in row 0"),
        ("settings.json", "{", "must be a JSON file"),
        ("settings.json", "[" * 100_000, "must be a JSON file"),
        ("results.json", "{}", "must hold a list"),
        ("results.json", "[3]", "Row 0 of results.json must be an object"),
        ("results.json", '[{"name": 3}]', "`name` in row 0"),
        ("results.json", '[{"value": "1"}]', "`value` in row 0"),
        ("results.json", '[{"value": true}]', "`value` in row 0"),
        ("results.json", '[{"value": NaN}]', "must be a JSON file"),
        ("results.json", '[{"value": 1' + "0" * 400 + "}]", "too large"),
        ("results.json", '[{"value": 1' + "0" * 5000 + "}]", "must be a JSON file"),
        ("figures/one.svg", "hello", "does not begin like one"),
        ("figures/one.svg", '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "b">]><svg/>', "defines entities"),
    ],
)
def test_wrong_files_are_named(run: Path, file: str, content: str, message: str) -> None:
    (run / file).write_text(content)
    with pytest.raises(ReportError, match=message) as caught:
        report.write(run)
    assert "\n" not in str(caught.value)
    assert not (run / "report.html").exists()


def test_sizes_are_bounded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_MAX_FIGURE", 50)
    with pytest.raises(ReportError, match="at most 50 bytes"):
        report.write(run)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"settings\.json' cannot be read: No such file"):
        report.write(tmp_path)


@pytest.mark.parametrize(
    ("row", "text", "deviation"),
    [
        (Row("a", 2.26931, 0.00042, 2.269185), "2.2693(4)", "+0.3 σ"),
        (Row("a", 2.0, 0.5, 3.0), "2.0(5)", "-2.0 σ"),
        (Row("a", 1 - 1e-16, 0.0, 3.0), "1", ""),
        (Row("a", 0.123456789), "0.123457", ""),
        (Row("a", float("nan"), 0.1, 2.0), "none found", ""),
        (Row("a", 1.0, float("nan"), 2.0), "1", ""),
    ],
)
def test_numbers_are_printed_with_their_errors(row: Row, text: str, deviation: str) -> None:
    assert row.text == text
    assert row.deviation_text == deviation
