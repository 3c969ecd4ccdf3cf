"""Sphinx extension: one page for each public module, made from `__all__` and the docstrings."""

from __future__ import annotations

import importlib
import inspect
import pprint
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from files import heading, write_all
from markup import escape, escape_lines, first_sentence
from names import Entry, Reference, collect, constant_text, is_private, members
from sphinx.addnodes import pending_xref
from sphinx.domains.python import ObjectEntry, PyObject, PythonDomain

# The order in which a newcomer meets the rooms.
ROOMS = {
    "Models and their geometry": ["qmlphys", "qmlphys.lattices", "qmlphys.hamiltonians", "qmlphys.exact"],
    "Snapshots": ["qmlphys.snapshots", "qmlphys.bits", "qmlphys.montecarlo"],
    "Learning": ["qmlphys.phases", "qmlphys.generative"],
    "Quantum states": ["qmlphys.nqs", "qmlphys.mps", "qmlphys.entanglement"],
    "Circuits and jobs": ["circuits", "qmlphys.execution"],
    "Numbers, pictures, reports": ["qmlphys.stats", "qmlphys.scaling", "qmlphys.plotting", "qmlphys.report"],
    "Whole journeys": ["qmlphys.workflows", "qmlphys.cli"],
}
TITLES = {"class": "Classes", "function": "Functions", "data": "Constants", "exception": "Exceptions"}
_SHORT: dict[str, str] = {}
_LOCAL: dict[str, dict[str, str]] = {}


def _summary(entry: Entry) -> str:
    """Return one line of a list of names."""
    text = constant_text(entry.page, entry.name) if entry.kind == "data" else inspect.getdoc(entry.value)
    role = {"function": "func", "exception": "exc", "class": "class", "data": "data"}[entry.kind]
    return f"- :py:{role}:`{entry.name} <{entry.path}>` - {escape(first_sentence(text))}"


def _described(entry: Entry) -> str:
    """Return the directive that describes one object."""
    if entry.kind == "data":
        module, _, name = entry.path.rpartition(".")
        lines = [f".. py:data:: {name}", f"   :module: {module}"]
        value = pprint.pformat(entry.value, width=70)
        if len(value) < 400 and " object at 0x" not in value and " at 0x" not in value:
            lines.append(f"   :value: {' '.join(value.split())}")
        return "\n".join([*lines, "", f"   {escape(constant_text(entry.page, name) or '')}"]) + "\n"
    lines = [f".. auto{entry.kind}:: {entry.path}"]
    if inspect.isclass(entry.value):
        found = members(entry.value)
        if found:
            lines += [f"   :members: {', '.join(found)}", "   :member-order: groupwise"]
        if "__call__" in found:
            lines.append("   :special-members: __call__")
    return "\n".join(lines) + "\n"


def _page(module: str, reference: Reference) -> str:
    """Return the page of one module."""
    entries = reference.entries[module]
    parts = [heading(module), f".. automodule:: {module}\n"]
    inside = [other for other in reference.modules if other.rpartition(".")[0] == module]
    if module == "qmlphys":  # its rooms stand beside it in the list of the reference
        inside = []
    paths = {path: entry for entry in reference.all_entries() for path in (entry.path, *entry.aliases)}
    listed = [paths[path] for path in sorted(paths) if path.rpartition(".")[0] == module]
    elsewhere = [entry for entry in listed if entry.page != module]
    if elsewhere:
        parts.append(heading("Names that are imported from here", "-"))
        parts.append("\n".join(_summary(entry) for entry in sorted(elsewhere, key=lambda e: e.name.lower())) + "\n")
    for kind, title in TITLES.items():
        found = [entry for entry in entries if entry.kind == kind]
        if found:
            parts.append(heading(title, "-"))
            if len(found) > 1:
                parts.append("\n".join(_summary(entry) for entry in found) + "\n")
            parts += [_described(entry) for entry in found]
    if inside:
        parts.append(heading("Modules", "-"))
        parts.append("\n".join(_module_line(other) for other in inside) + "\n")
        parts.append("\n".join([".. toctree::", "   :hidden:", "", *(f"   {other}" for other in inside)]) + "\n")
    return "\n".join(parts)


def _module_line(module: str) -> str:
    """Return one line of a list of modules."""
    docstring = inspect.getdoc(importlib.import_module(module))
    return f"- :doc:`{module} </reference/{module}>` - {escape(first_sentence(docstring))}"


def pages(reference: Reference) -> dict[str, str]:
    """Return all pages of the reference by their file names."""
    result = {f"{module}.rst": _page(module, reference) for module in reference.modules}
    tops = [module for module in reference.modules if module.count(".") < 2 and not module.startswith("circuits.")]
    missing = set(tops) - {module for rooms in ROOMS.values() for module in rooms}
    if missing:
        raise ValueError(f"`ROOMS` must name every room, but it leaves out {sorted(missing)}.")
    lines = [heading("Reference")]
    lines.append(
        "Every public name, from its docstring. Each is described once, on the page of the module that defines it,\n"
        "under the shortest path by which it can be imported. The examples are run by the test suite.\n"
    )
    for title, rooms in ROOMS.items():
        lines += [heading(title, "-"), "\n".join(_module_line(room) for room in rooms) + "\n"]
        lines.append("\n".join([".. toctree::", "   :hidden:", "", *(f"   {room}" for room in rooms)]) + "\n")
    result["index.rst"] = "\n".join(lines)
    return result


def _make_pages(app: Any) -> None:
    """Write the pages before Sphinx looks for its sources."""
    reference = collect()
    write_all(Path(app.srcdir, "reference"), pages(reference))
    short: dict[str, set[str]] = {}
    for entry in reference.all_entries():
        short.setdefault(entry.name, set()).add(entry.path)
        for path in (entry.path, *entry.aliases):
            _SHORT[path] = entry.path
            _LOCAL.setdefault(path.rpartition(".")[0], {})[entry.name] = entry.path
    # A class is known by its name wherever it is mentioned; a plain word such as `sample` only in its own room.
    _SHORT.update({name: paths.pop() for name, paths in short.items() if len(paths) == 1 and name[:1].isupper()})
    app.connect("env-updated", lambda _app, env: _other_paths(env.get_domain("py"), reference))


def _other_paths(domain: PythonDomain, reference: Reference) -> list[str]:
    """Let every other public path lead to the same place, and drop the private ones that autodoc noted."""
    for path in [path for path in domain.objects if is_private(path.replace(".__call__", ""))]:
        del domain.objects[path]
    for entry in reference.all_entries():
        if entry.path not in domain.objects:
            raise ValueError(f"{entry.path} is not in the reference.")
        known = [path for path in domain.objects if path == entry.path or path.startswith(f"{entry.path}.")]
        for alias in entry.aliases:
            for path in known:
                found = domain.objects[path]
                other = alias + path.removeprefix(entry.path)
                domain.objects.setdefault(other, ObjectEntry(found.docname, found.node_id, found.objtype, True))
    return []


def _docstring(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Make a docstring safe for reStructuredText, after napoleon has read its sections."""
    lines[:] = escape_lines(lines)


def _name_role(
    _role: str, rawtext: str, text: str, _line: int, inliner: Any, _options: Any = None, _content: Any = ()
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """Show `name` as code, with a link where it is a public name that this place knows."""
    env = inliner.document.settings.env
    module = env.ref_context.get("py:module") or ""
    name = text.removesuffix("()")
    literal = nodes.literal(rawtext, text, classes=["xref"])
    room = ".".join(module.split(".")[:2])
    target = _LOCAL.get(module, {}).get(name) or _LOCAL.get(room, {}).get(name) or _SHORT.get(name)
    if target is None and re.fullmatch(r"[A-Z]\w*\.\w+", name):
        owner = _SHORT.get(name.partition(".")[0])
        target = owner and f"{owner}.{name.partition('.')[2]}"
    if target is None:
        return [nodes.literal(rawtext, text)], []
    reference = pending_xref(
        rawtext, literal, refdomain="py", reftype="obj", reftarget=target, refexplicit=False, refwarn=False
    )
    reference["refdoc"] = env.docname
    return [reference], []


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_role("name", _name_role)
    for kind in PyObject.doc_field_types:
        if kind.name == "variable":
            kind.label = "Attributes"  # as NumPy's sections call them
    app.connect("builder-inited", _make_pages, priority=100)
    app.connect("autodoc-process-docstring", _docstring, priority=900)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
