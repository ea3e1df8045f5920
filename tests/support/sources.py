"""The project's own files, as the architecture tests read them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "src" / "counterfoil"


@cache
def python_files(*folders: str) -> tuple[Path, ...]:
    """All Python files under these folders of the project; each folder must exist."""
    return tuple(path for folder in folders for path in _under(ROOT / folder))


def package_files(*parts: str) -> tuple[Path, ...]:
    """Python files of these sub-packages or modules of ours, those that exist."""
    return tuple(path for part in parts for path in _under(PACKAGE / part))


def _under(path: Path) -> Iterator[Path]:
    if path.suffix == ".py" and path.exists():
        yield path
    yield from sorted(path.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every string in a file with its line, without the docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str):
            yield node.lineno, node.value


def at(path: Path, line: int, what: str) -> str:
    """One finding, as an editor can open it."""
    return f"{path.relative_to(ROOT)}:{line}: {what}"
