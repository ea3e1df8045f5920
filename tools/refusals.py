"""The sentences of refusals: people read them on pages, so catalogues have to translate them.

Found are sentences that stand whole in the code, at the call or in a name of the same function.
What is put together from parts (``f"at most {most}"``) has no one translation and stays English.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PLACES: Final = ("core", "desk", "pages", "studio", "checkout", "providers/demo_customer.py")
"""What raises refusals that pages show."""

_ROOT: Final = "Refusal"


def refusal_sentences(package: Path) -> Iterator[tuple[str, int, str]]:
    """File, line and sentence of each constant refusal below the package ``counterfoil``."""
    paths = sorted(path for place in PLACES for path in _files(package / place))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    kinds = _kinds(trees.values())
    for path, tree in trees.items():
        found = {
            id(constant): constant
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for constant in _of_function(node, kinds)
        }
        for constant in found.values():
            yield str(path.relative_to(package)), constant.lineno, str(constant.value)


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))


def _kinds(trees: Iterable[ast.Module]) -> set[str]:
    """The names of every class of refusals."""
    classes = [n for t in trees for n in ast.walk(t) if isinstance(n, ast.ClassDef)]
    known = {_ROOT}
    while True:
        more = {
            c.name for c in classes if any(isinstance(b, ast.Name) and b.id in known for b in c.bases)
        }
        if more <= known:
            return known
        known |= more


def _of_function(function: ast.AST, kinds: set[str]) -> Iterator[ast.Constant]:
    named: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named.setdefault(node.targets[0].id, []).append(node.value)
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            for told in _told_by(node, kinds):
                for value in named.get(told.id, []) if isinstance(told, ast.Name) else [told]:
                    yield from _constants(value)


def _told_by(call: ast.Call, kinds: set[str]) -> Iterator[ast.expr]:
    match call:
        case ast.Call(func=ast.Name(id=name), args=[message, *_]) if name in kinds:
            yield message
            for keyword in call.keywords:
                if keyword.arg == "fields" and isinstance(keyword.value, ast.Dict):
                    yield from keyword.value.values
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="field"), args=[_, sentence]
        ) if name in kinds:
            yield sentence


def _constants(value: ast.expr) -> Iterator[ast.Constant]:
    match value:
        case ast.Constant(value=str()):
            yield value
        case ast.IfExp():
            yield from _constants(value.body)
            yield from _constants(value.orelse)
