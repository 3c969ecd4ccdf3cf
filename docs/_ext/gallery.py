"""Sphinx extension: the tutorials with the outputs that are saved in them, and a gallery of their pictures."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

from files import heading, write_all
from markup import escape

TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials"
WIDTH = 640  # pixels of a thumbnail: twice what a card is wide


def notebooks() -> list[Path]:
    """Return the committed tutorials in order: the files that begin with two digits."""
    return sorted(path for path in TUTORIALS.glob("[0-9][0-9]-*.ipynb") if path.name[:2] < "98")


def _source(cell: dict[str, Any]) -> str:
    """Return the text of a cell."""
    return "".join(cell["source"])


def title_and_summary(notebook: dict[str, Any]) -> tuple[str, str]:
    """Return the heading of the first cell and the first sentence below it."""
    head, _, rest = _source(notebook["cells"][0]).partition("\n")
    paragraph = " ".join(rest.strip().split("\n\n")[0].split())
    sentence = re.split(r"(?<=[a-z0-9)`*_$][.!?])\s+(?=[A-Z`*$])", paragraph)[0]
    return head.lstrip("# ").strip(), sentence


def picture(notebook: dict[str, Any]) -> bytes | None:
    """Return the picture that stands for a tutorial: of the cell tagged `thumbnail`, otherwise the first."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    cells.sort(key=lambda cell: "thumbnail" not in cell["metadata"].get("tags", []))
    for cell in cells:
        for output in cell["outputs"]:
            data = output.get("data", {}).get("image/png")
            if data:
                return base64.b64decode("".join(data))
    return None


def _smaller(data: bytes) -> bytes:
    """Return a picture as wide as a card."""
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.thumbnail((WIDTH, WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _size(cell: dict[str, Any]) -> str:
    """Return the class of a cell's pictures: wide ones scroll on a phone, where they could not be read as a whole."""
    widths = [0]
    for output in cell["outputs"]:
        data = "".join(output.get("data", {}).get("image/png", ""))
        if data:  # the width stands at the head of every PNG
            widths.append(int.from_bytes(base64.b64decode(data[:64])[16:20], "big"))
    return "wide" if max(widths) > 1000 else "middle" if max(widths) > 600 else "narrow"


def _for_the_site(notebook: dict[str, Any]) -> dict[str, Any]:
    """Give pictures a text for those who cannot see them, and links only to what the site has."""
    section = ""
    notebook["metadata"]["language_info"] = {"name": "python", "pygments_lexer": "python"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            for line in _source(cell).splitlines():
                if line.startswith("#"):
                    section = line.lstrip("# ").strip()
            text = re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?://|#|[0-9][0-9]-[\w-]+\.ipynb)[^)]*\)", r"\1", _source(cell))
            cell["source"] = text
        elif any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            alt = f"Figure: {section}".replace('"', "'")
            cell["metadata"].setdefault("mystnb", {})["image"] = {"alt": alt, "classes": _size(cell)}
    return notebook


def pages() -> dict[str, str | bytes]:
    """Return the gallery, the notebooks and the thumbnails by their file names."""
    result: dict[str, str | bytes] = {}
    cards = []
    names = []
    for path in notebooks():
        notebook = json.loads(path.read_text(encoding="utf-8"))
        title, summary = title_and_summary(notebook)
        names.append(path.stem)
        lines = [f"   .. container:: card\n\n      :doc:`{path.stem[:2]} {title} <{path.stem}>`\n"]
        image = picture(notebook)
        if image is not None:
            result[f"pictures/{path.stem}.png"] = _smaller(image)
            lines.append(f"      .. image:: pictures/{path.stem}.png\n         :alt: A figure of this tutorial")
            lines.append(f"         :target: {path.stem}.html\n")
        # Markdown's code is reStructuredText's literal; formulas keep their dollars out of the card.
        plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", summary)
        plain = re.sub(r"\$([^$]+)\$", r":math:`\1`", re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", plain))
        lines.append(f"      {escape(plain)}\n")
        cards.append("\n".join(lines))
        result[path.name] = json.dumps(_for_the_site(notebook), indent=1, ensure_ascii=False)
    result["index.rst"] = "\n".join(
        [
            heading("Tutorials"),
            "Ten notebooks, each at most a minute and a half on two cores, without a network. What stands in them is\n"
            "what they printed; the last cells assert the physics. ``make tutorials`` runs them, ``make lab`` opens\n"
            "them in a browser.\n",
            *([".. container:: gallery\n", *cards] if cards else []),
            ".. toctree::\n   :hidden:\n\n" + "\n".join(f"   {name}" for name in names) + "\n",
        ]
    )
    return result


def _make_pages(app: Any) -> None:
    """Write the pages before Sphinx looks for its sources."""
    write_all(Path(app.srcdir, "tutorials"), pages())


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", _make_pages, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
