import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.sources import PACKAGE, ROOT, at, package_files, tree

LINT = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]


def lint(package_parent: Path) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PYTHONPATH": str(package_parent)}
    return subprocess.run(LINT, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_every_import_points_downwards() -> None:
    done = lint(PACKAGE.parent)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/money.py", "import counterfoil.db.pool", "A line imports only lines below it"),
        ("books/orgs.py", "import counterfoil.chains.port", "Desk and books never reach"),
        ("api/fields.py", "import counterfoil.db.pool", "Doors never touch books"),
        ("core/money.py", "import msgspec", "Core imports no third-party package"),
        ("supervisor.py", "import counterfoil.signer.keys", "Only the signer's service sees keys"),
        ("core/errors.py", "import counterfoil.core.money", "No circles"),
    ],
)
def test_a_forbidden_import_is_caught(
    tmp_path: Path, module: str, line: str, contract: str
) -> None:
    for path in PACKAGE.rglob("*.py"):
        copy = tmp_path / path.relative_to(PACKAGE.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    with (tmp_path / "counterfoil" / module).open("a") as file:
        file.write(f"\n{line}\n")

    done = lint(tmp_path)

    assert done.returncode != 0
    broken = [shown for shown in done.stdout.splitlines() if shown.endswith("BROKEN")]
    assert any(contract in shown for shown in broken), done.stdout


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        ("counterfoil.app", {"typer", "rich", "aiohttp", "typst", "coincurve"}),
        ("counterfoil.worker", {"typer", "rich", "litestar", "jinja2", "babel", "pyrage"}),
        (
            "counterfoil.signer.service",
            {"typer", "rich", "psycopg", "aiohttp", "litestar"},
        ),
    ],
)
def test_a_process_loads_what_it_needs(module: str, strangers: set[str]) -> None:
    program = f"import sys, counterfoil.processes, counterfoil.log, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert module in loaded
    assert not strangers & set(loaded)
    assert not any(name.startswith("counterfoil.sandbox") for name in loaded)


def test_core_imports_only_the_standard_library_and_itself() -> None:
    strangers = [
        at(path, node.lineno, name)
        for path in package_files("core")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(node)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not name.startswith("counterfoil.core")
    ]
    assert strangers == []


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""]
