"""Decisions of compliance that say what they rest on (specs/aml.md 4.1)."""

from typing import Final

from counterfoil.core.errors import Invalid
from counterfoil.core.events import Command
from counterfoil.core.roles import REQUIRED, Actor

LEAST_EXPLAINED: Final = 10
"""Characters of a reason by which others can follow it."""


def must_be_explained(by: Actor, kind: type[Command], reason: str) -> None:
    """Refuse whoever may not give the command, or says too little why."""
    by.require(REQUIRED[kind])
    if len(reason.strip()) < LEAST_EXPLAINED:
        sentence = f"must have at least {LEAST_EXPLAINED} characters, so that others can follow it"
        raise Invalid.field("reason", sentence)
