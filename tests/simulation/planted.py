"""Plant each bug of ``planted/`` in a copy of the source and let the simulation find it.

``make simulate-planted`` says for each which seed found it and how many steps that took. A patch
carries its seed as ``Found by seed n.`` once one is known, which is then tried first. It may name
the fault that it ``Needs:`` to show and the ``Story:`` in which it does, so that seeds with little
of the one or without the other are not tried.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counterfoil.supervisor import end_with_parent
from simulation import server
from simulation.result import STEPS

ROOT: Final = Path(__file__).parents[2]
PATCHES: Final = sorted((Path(__file__).parent / "planted").glob("*.patch"))


@dataclass(frozen=True, slots=True)
class Found:
    """How a planted bug came to light; ``said`` is the whole report where it did not."""

    patch: str
    found: bool
    said: str

    def text(self) -> str:
        """One line where it was found, else also what was done: it tells why it was missed."""
        if self.found:
            return f"{self.patch:<48}{self.said}"
        return f"{self.patch:<48}NOT FOUND\n{textwrap.indent(self.said, '    ')}"


def planted_source(patch: Path, folder: Path) -> Path:
    """A copy of ``src`` with the patch applied; raises where it does not fit any more."""
    source = folder / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        ["git", "apply", "--unsafe-paths", f"--directory={folder}", str(patch)],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return source


def hunt(patch: Path, seeds: Sequence[str]) -> Found:
    """Run seeds over the planted source until one of them finds it."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-planted-") as name:
        source = planted_source(patch, Path(name))
        path = os.pathsep.join((str(source), str(ROOT / "tests")))
        done = subprocess.run(
            [sys.executable, "-m", "simulation", "--until-found", *seeds],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
            cwd=name,
            capture_output=True,
            text=True,
            check=False,
            timeout=3600,
            preexec_fn=end_with_parent,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("found: ")]
    return Found(patch.stem, bool(lines), lines[0] if lines else done.stdout + done.stderr)


def known_seed(patch: Path) -> str | None:
    """The seed that is known to find it."""
    found = re.search(r"^Found by seed (\d+)\.$", patch.read_text(), re.MULTILINE)
    return found[1] if found else None


def seeds_for(patch: Path, first: str | None, seeds: int) -> list[str]:
    """Which seeds to run: those with much of the fault that it needs, and with its story."""
    chosen = ["--first", first or known_seed(patch) or "1", "--seeds", str(seeds)]
    for header, option in (("Needs", "--rife"), ("Story", "--telling")):
        if named := re.search(rf"^{header}: (.+)\.$", patch.read_text(), re.MULTILINE):
            chosen += [option, named[1]]
    return chosen


def main() -> int:
    """Exit 1 where a planted bug was not found."""
    parser = argparse.ArgumentParser(prog="make simulate-planted")
    parser.add_argument("--seeds", type=int, default=40, help="at most so many for each")
    parser.add_argument("--first", help="the first of them, else one that is known to find it")
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--steps", default=str(STEPS), help="in each seed")
    asked = parser.parse_args()
    missed = 0
    with server.standing() as urls:
        for patch in (one for one in PATCHES if asked.only in one.stem):
            seeds = seeds_for(patch, asked.first, asked.seeds)
            result = hunt(patch, [*seeds, "--steps", asked.steps, "--server", *urls])
            missed += not result.found
            print(result.text(), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
