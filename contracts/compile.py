# ruff: noqa: INP001 - a script, never imported
"""Compile the Vyper sources into the JSON that the package carries.

``python contracts/compile.py`` writes, ``--check`` only compares and exits with 1 when a
committed file differs. Needs the development dependency ``vyper``.

The bytecode decides every deposit address, so it must not depend on comments or paths: the
compiler version is pinned, and the hash of the source that Vyper would append is left out.
"""

import json
import sys
from pathlib import Path

import vyper
from vyper.compiler.settings import OptimizationLevel, Settings

SOURCES = Path(__file__).parent
PACKAGE = SOURCES.parent / "src" / "counterfoil"
TARGETS = {
    SOURCES: PACKAGE / "chains" / "evm" / "artifacts",
    SOURCES / "sandbox": PACKAGE / "sandbox" / "contracts",
}
COMPILER = "0.4.3"
EVM_VERSION = "cancun"


def compiled(source: Path) -> str:
    """Return the artifact of one source as JSON text."""
    settings = Settings(evm_version=EVM_VERSION, optimize=OptimizationLevel.GAS)
    output = vyper.compile_code(
        source.read_text(encoding="utf-8"),
        output_formats=("abi", "bytecode", "bytecode_runtime", "layout"),
        settings=settings,
        no_bytecode_metadata=True,
    )
    storage = output["layout"].get("storage_layout", {})
    artifact = {
        "contract": source.stem,
        "compiler": f"vyper {COMPILER}",
        "evm_version": EVM_VERSION,
        "abi": output["abi"],
        "initcode": output["bytecode"],
        "runtime": output["bytecode_runtime"],
        "slots": {name: variable["slot"] for name, variable in storage.items()},
    }
    return json.dumps(artifact, indent=1) + "\n"


def artifacts() -> dict[Path, str]:
    """Return what every artifact file should contain."""
    return {
        target / f"{source.stem}.json": compiled(source)
        for folder, target in TARGETS.items()
        for source in sorted(folder.glob("*.vy"))
    }


def main() -> int:
    """Write or check all artifacts."""
    if vyper.__version__.split("+")[0] != COMPILER:
        sys.stderr.write(f"vyper {COMPILER} is needed, found {vyper.__version__}\n")
        return 2
    checking = "--check" in sys.argv[1:]
    stale = 0
    for path, text in artifacts().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        name = path.relative_to(SOURCES.parent)
        sys.stdout.write(f"{'stale' if checking else 'written'}: {name}\n")
        if not checking:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if checking and stale else 0


if __name__ == "__main__":
    sys.exit(main())
