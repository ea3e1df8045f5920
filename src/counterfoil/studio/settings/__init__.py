"""The organisation's settings: a page for each subject, with tabs that are links."""

from typing import Final

from counterfoil.studio.settings import (
    bank_accounts,
    callbacks,
    clients,
    keys,
    log,
    members,
    payouts,
    profile,
    roles,
    rules,
)

__all__ = ["HANDLERS"]

HANDLERS: Final = (
    *roles.HANDLERS,
    *profile.HANDLERS,
    *payouts.HANDLERS,
    *bank_accounts.HANDLERS,
    *members.HANDLERS,
    *keys.HANDLERS,
    *clients.HANDLERS,
    *rules.HANDLERS,
    *callbacks.HANDLERS,
    *log.HANDLERS,
)
