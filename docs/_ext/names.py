"""The public names of both packages: where each is documented, and by which other paths it can be imported."""

from __future__ import annotations

import ast
import importlib
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("qmlphys", "circuits")


@dataclass(frozen=True)
class Entry:
    """One public object: `path` is the shortest import path, `page` the module on whose page it is described."""

    path: str
    page: str
    kind: str
    value: Any
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name without its module."""
        return self.path.rpartition(".")[2]


@dataclass
class Reference:
    """All public modules, in order of their names, and what is described on the page of each."""

    modules: list[str]
    entries: dict[str, list[Entry]] = field(default_factory=dict)

    def all_entries(self) -> list[Entry]:
        """Return every entry, page by page."""
        return [entry for module in self.modules for entry in self.entries[module]]


def file_of(module: str) -> Path:
    """Return the source file of a module."""
    place = ROOT.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def is_private(path: str) -> bool:
    """Tell whether any part of a dotted path begins with one underscore."""
    return any(part.startswith("_") and not part.startswith("__") for part in path.split("."))


def public_modules() -> list[str]:
    """Return the dotted names of all public modules."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            dotted = ".".join(part for part in parts if part != "__init__")
            if path.stem != "__main__" and not is_private(dotted):
                found.append(dotted)
    return sorted(found)


def declared(module: str) -> list[str]:
    """Return ``__all__`` of a module, read without importing it."""
    for node in ast.parse(file_of(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return []


def undeclared(module: str) -> list[str]:
    """Return the names without underscore that a module defines and leaves out of ``__all__``."""
    defined: set[str] = set()
    for node in ast.parse(file_of(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            defined.add(node.name)
    return sorted(name for name in defined - set(declared(module)) if not name.startswith("_"))


def constant_text(module: str, name: str) -> str | None:
    """Return what stands below the assignment of a constant, in the module that makes it."""
    body = ast.parse(file_of(module).read_text(encoding="utf-8")).body
    for place, node in enumerate(body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            below = body[place + 1] if place + 1 < len(body) else None
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                return inspect.cleandoc(str(below.value.value))
            return None
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return constant_text(node.module, name)
    return None


def kind_of(value: object) -> str:
    """Return what a public object is: module, class, exception, function or data."""
    if inspect.ismodule(value):
        return "module"
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if inspect.isroutine(value) else "data"


def members(cls: type) -> list[str]:
    """Return the documented public members of a class, those of its bases in these packages included."""
    found: dict[str, None] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] not in PACKAGES:
            continue
        for name, value in vars(base).items():
            if name.startswith("_") and name != "__call__":
                continue
            if type(value).__module__.startswith("sklearn."):
                continue  # set_fit_request and its like, which scikit-learn puts on every estimator
            if isinstance(value, (staticmethod, classmethod)) or inspect.isroutine(value) or hasattr(value, "__get__"):
                documented = inspect.getdoc(inspect.getattr_static(cls, name))
                if documented or inspect.getdoc(getattr(cls, name, None)):
                    found[name] = None
    return list(found)


def collect() -> Reference:
    """Import every public module and sort its names, each onto the page of the module that defines it."""
    modules = public_modules()
    objects: dict[Any, tuple[Any, list[tuple[str, str]]]] = {}
    for module in modules:
        loaded = importlib.import_module(module)
        for name in declared(module):
            if name.startswith("__"):
                continue
            value = getattr(loaded, name)
            kind = kind_of(value)
            if kind == "module":
                continue  # it has a page of its own
            # Equal numbers are one object in memory: constants are told apart by their paths.
            key = (module, name) if kind == "data" else id(value)
            objects.setdefault(key, (value, []))[1].append((module, name))
    reference = Reference(modules, {module: [] for module in modules})
    for value, places in objects.values():
        home = getattr(value, "__module__", None) or places[-1][0]

        def nearness(place: tuple[str, str], home: str = home) -> tuple[int, int]:
            shared = 0
            for a, b in zip(place[0].split("."), home.split("."), strict=False):
                if a != b:
                    break
                shared += 1
            return shared, -place[0].count(".")

        page = max(places, key=nearness)
        within = [p for p in places if p[0] not in PACKAGES or p[0] == "circuits"] or places
        path = min(within, key=lambda place: (place[0].count("."), *(-n for n in nearness(place))))
        paths = [f"{module}.{name}" for module, name in places]
        shortest = ".".join(path)
        reference.entries[page[0]].append(
            Entry(shortest, page[0], kind_of(value), value, tuple(p for p in paths if p != shortest))
        )
    order = {"class": 0, "function": 1, "data": 2, "exception": 3}
    for found in reference.entries.values():
        found.sort(key=lambda entry: (order[entry.kind], entry.name.lower()))
    return reference
