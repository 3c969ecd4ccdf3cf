"""What an import loads, and which way imports run."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import qmlphys

ROOT = Path(qmlphys.__file__).parent
CIRCUITS = ROOT.parent / "circuits"

HEAVY = {
    "torch",
    "qiskit",
    "pennylane",
    "quimb",
    "qiskit_aer",
    "qiskit_ibm_runtime",
    "matplotlib",
    "sklearn",
    "cotengra",
}
ROOMS = {"montecarlo", "phases", "nqs", "entanglement", "generative", "execution"}
TOP = {"workflows", "cli", "__main__"}
SHOWING = {"plotting", "report"}
# What each module may load of the heavy packages; whatever is not named here may load none.
ALLOWED = {
    "phases": {"torch", "sklearn"},
    "generative": {"sklearn"},
    "plotting": {"matplotlib"},
    "execution": {"qiskit"},
    "circuits": {"qiskit"},
}


def modules() -> list[str]:
    """Return every public module of both packages, by its dotted name."""
    found = []
    for path in [*sorted(CIRCUITS.rglob("*.py")), *sorted(ROOT.rglob("*.py"))]:
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        if any(part.startswith("_") and part != "__init__" for part in parts) or "__pycache__" in parts:
            continue
        found.append(".".join(part for part in parts if part != "__init__"))
    return found


def room_of(module: str) -> str:
    """Return the room, or the helper, that a module belongs to; all of `circuits` is one."""
    parts = module.split(".")
    return parts[0] if parts[0] == "circuits" else parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("room", sorted({".".join(m.split(".")[:2]) for m in modules()}))
def test_a_fresh_import_loads_only_what_it_needs(room: str) -> None:
    program = (
        "import json, sys, warnings\n"
        f"import {room}\n"
        f"loaded = [m for m in {sorted(HEAVY)!r} if m in sys.modules]\n"
        f"own = [m for m in sys.modules if m.split('.')[0] in ('qmlphys', 'circuits')]\n"
        "print(json.dumps([loaded, own]))\n"
    )
    # Isolated from the working directory, so that the installed package is what is imported.
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    loaded, own = json.loads(answer.stdout)
    name = room_of(room)
    assert set(loaded) <= ALLOWED.get(name, set())
    others = {room_of(m) for m in own} & ROOMS
    if name in ROOMS:
        assert others == {name}
    elif name not in TOP:
        assert others == set()


class WithoutTypeChecking(ast.NodeTransformer):
    """Drops what only a type checker sees."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def imports(path: Path, package: str, *, at_run_time: bool = False) -> set[str]:
    """Return the absolute names of all modules that a file imports, at its top or inside a function."""
    found: set[str] = set()
    tree: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    if at_run_time:
        tree = WithoutTypeChecking().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively, which hides where an import leads"
            module = node.module or ""
            found.add(module)
            if module == package:
                found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_downward_only() -> None:
    n_seen = 0
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT)
        here = relative.parts[0].removesuffix(".py")
        if here == "__init__":
            continue  # the lazy names; the fresh import above shows that they load nothing
        targets = {name for name in imports(path, "qmlphys") if name.split(".")[0] in ("qmlphys", "circuits")}
        n_seen += len(targets)
        reached = {room_of(name) for name in targets if name.startswith("qmlphys.")}
        upward = reached & (TOP | SHOWING)
        if here in ROOMS:
            assert reached & ROOMS <= {here}, f"{relative} imports another room: {sorted(reached)}"
            assert not upward, f"{relative} imports upward: {sorted(upward)}"
        elif here not in TOP | SHOWING:
            assert not reached & ROOMS, f"{relative}, a helper, imports a room: {sorted(reached & ROOMS)}"
            assert not upward, f"{relative} imports upward: {sorted(upward)}"
        if here in SHOWING:
            assert not reached & (ROOMS | TOP), f"{relative} shows what it is given; it must import no room"
        if here == "cli":
            assert not reached & (ROOMS - {"execution"}), f"{relative} reaches rooms through workflows only"
    assert n_seen > 20


def test_circuits_knows_numpy_scipy_and_qiskit_only() -> None:
    allowed = {*sys.stdlib_module_names, "__future__", "circuits", "numpy", "scipy", "qiskit"}
    for path in CIRCUITS.rglob("*.py"):
        for name in imports(path, "circuits"):
            assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


def test_heavy_packages_live_in_their_rooms() -> None:
    homes = {
        "torch": {"phases", "nqs", "entanglement", "generative"},
        "sklearn": {"phases", "generative", "_groups"},
        "matplotlib": {"plotting"},
        "qiskit_aer": {"execution"},
        "qiskit_ibm_runtime": {"execution"},
        "pennylane": {"generative"},
        "quimb": {"mps", "generative"},
        "qiskit": {"execution", "workflows"},
    }
    for path in sorted(ROOT.rglob("*.py")):
        here = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for name in imports(path, "qmlphys", at_run_time=True):
            top = name.split(".")[0]
            assert here in homes.get(top, {here}), f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("name", [n for n in qmlphys.__all__ if n != "__version__"])
def test_lazy_names_are_the_real_ones(name: str) -> None:
    value = getattr(qmlphys, name)
    assert name in dir(qmlphys)
    home = importlib.import_module(qmlphys._HOMES[name])
    assert value is getattr(home, name)
    assert name in home.__all__


def test_unknown_names_are_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = qmlphys.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", modules())
def test_public_modules_say_what_is_public(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__doc__
    assert isinstance(loaded.__all__, list)
    for name in loaded.__all__:
        assert hasattr(loaded, name), f"{module}.__all__ names {name}, which does not exist"


def test_one_version_everywhere() -> None:
    citation = (ROOT.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {qmlphys.__version__}\n" in citation
