"""The README's ten minutes, line by line, as somebody would paste them into a terminal."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from support.journey import Journey, ran
from support.sources import ROOT

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl"),
]

SECTION: Final = "## Ten minutes to a paid invoice"


def pasted_lines() -> str:
    """The section's second block: what is typed while ``make demo`` runs in another terminal."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split(SECTION, 1)[1].split("\n## ", 1)[0]
    start, lines = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert start == "make demo\n"
    return str(lines).replace(".venv/bin/", f"{Path(sys.executable).parent}/")


async def test_the_readmes_lines_take_an_invoice_from_creation_to_completed_and_prove_it(
    journey: Journey,
) -> None:
    script = pasted_lines() + '\necho "this was $INVOICE"\n'
    environment = {"COUNTERFOIL_VAR_DIR": str(journey.places.var)}
    done = await ran(["bash", "-euo", "pipefail", "-c", script], environment)
    assert done.status == 0, done.text
    for sight in ("aml_scanning", "sign_pending", "completed", "every seal holds"):
        assert sight in done.text, done.text
    assert "every unit is explained" in done.text, done.text
    (invoice_id,) = re.findall(r"this was (inv_[0-9a-f]{32})", done.text)
    invoice = (await journey.auditor.look(invoice_id)).data
    assert invoice["status"] == "completed"
    (shown,) = re.findall(r"^\[.*\]$", done.text, re.MULTILINE)
    callbacks = [c for c in json.loads(shown) if c["body"]["id"] == invoice_id]
    assert [c["body"]["status"] for c in callbacks] == ["success", "pending"]
    assert all(c["verified"] for c in callbacks)


def test_the_readme_asks_for_nothing_that_is_not_there() -> None:
    for command in re.findall(r"(?m)^make ([a-z-]+)", (ROOT / "README.md").read_text("utf-8")):
        assert re.search(rf"(?m)^{command}:", (ROOT / "Makefile").read_text("utf-8")), command
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
