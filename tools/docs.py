"""Write docs/lifecycle.md from the lifecycle table, so that the two cannot differ.

``python tools/docs.py`` writes it; a test compares it with what is committed.
"""

import ast
import inspect
from pathlib import Path

from counterfoil.core.events import MONEY_FACTS, Command
from counterfoil.core.invoice import Context, Status
from counterfoil.core.lifecycle import LIFECYCLE, Row, command_name
from counterfoil.core.roles import REQUIRED

_INTRODUCTION = (
    "An invoice has a **status** (where it stands) and a **context** (what is particular about its"
    " payment). A *command* is asked for by somebody with the permission named here, and is refused"
    " where it has no row. A *fact* happened outside and is never refused. Facts about transfers"
    " have a row in every status, so no payment falls between two cells."
)
_ABOUT_TRANSFERS = (
    "*transfers* stands for each of `transfer_seen`, `transfer_confirmed` and `transfer_dropped`."
    " Where they are not listed for a status they are noted: totals are kept, the status stands."
)

PAGE = Path(__file__).parent.parent / "docs" / "lifecycle.md"


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join(
        [
            "# The life of an invoice",
            "",
            "*Generated from `src/counterfoil/core/lifecycle.py` by `make docs`: edit that.*",
            "",
            _INTRODUCTION,
            "",
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> approval_pending: create",
            *_edges(),
            "```",
            "",
            "## Statuses",
            "",
            "| status | meaning |",
            "|---|---|",
            *(f"| `{status.value}` | {_meaning(status)} |" for status in Status),
            "",
            "## Contexts",
            "",
            ", ".join(f"`{context.value}`" for context in Context) + ".",
            "",
            "## The table",
            "",
            "| while | on | kind | may lead to |",
            "|---|---|---|---|",
            *dict.fromkeys(
                _line(row) for row in LIFECYCLE if row[1] not in MONEY_FACTS or _moves(row)
            ),
            "",
            _ABOUT_TRANSFERS,
            "",
        ]
    )


def _edges() -> list[str]:
    found: dict[tuple[Status, Status], list[str]] = {}
    for when, on, _, to in LIFECYCLE:
        for target in Status:
            if target in to and target is not when:
                name = "transfers" if on in MONEY_FACTS else command_name(on)
                found.setdefault((when, target), []).append(name)
    return [
        f"    {when.value} --> {target.value}: {', '.join(dict.fromkeys(names))}"
        for (when, target), names in found.items()
    ]


def _line(row: Row) -> str:
    when, on, _, to = row
    kind = f"command, `{REQUIRED[on].value}`" if issubclass(on, Command) else "fact"
    name = "transfers" if on in MONEY_FACTS else command_name(on)
    targets = ", ".join(f"`{status.value}`" for status in Status if status in to)
    return f"| `{when.value}` | `{name}` | {kind} | {targets} |"


def _moves(row: Row) -> bool:
    when, _, _, to = row
    return to != frozenset({when})


def _meaning(status: Status) -> str:
    return _DOCUMENTED[status.name]


def _documented() -> dict[str, str]:
    """The sentence below each member of `Status`, which Python itself does not keep."""
    (declared,) = ast.parse(inspect.getsource(Status)).body
    assert isinstance(declared, ast.ClassDef)
    meanings = {}
    for member, text in zip(declared.body, declared.body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            name, constant = member.targets[0], text.value
            assert isinstance(name, ast.Name)
            assert isinstance(constant, ast.Constant)
            meanings[name.id] = " ".join(str(constant.value).split())
    return meanings


_DOCUMENTED = _documented()

if __name__ == "__main__":
    PAGE.write_text(page())
