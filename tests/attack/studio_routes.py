"""Every route of Studio, with who may use it: written by hand, and compared with the router's.

A page that has no row here fails the tests, so nobody opens one without saying for whom.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from counterfoil.core.roles import Permission

P: Final = Permission


@dataclass(frozen=True)
class Route:
    """One route. ``permission`` is what a member needs; None where being a member is enough.

    ``path`` names ids in braces: ``invoice``, ``file``, ``event``, ``job``, ``member``,
    ``session``, ``passkey``.
    ``fields`` are what its form has at least.
    """

    method: str
    path: str
    permission: Permission | None = None
    is_open: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_unsafe(self) -> bool:
        return self.method != "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


WHY: Final = {"reason": "Because this is a test of who may do it"}

ROUTES: Final = (
    Route("GET", "/sign-in", is_open=True),
    Route("POST", "/sign-in", is_open=True, fields={"email": "a@b.example", "password": "x"}),
    Route("GET", "/sign-in/passkey", is_open=True),
    Route("POST", "/sign-in/passkey", is_open=True, fields={"passkey": "{}"}),
    Route("GET", "/second-factor"),
    Route("POST", "/second-factor", fields={"code": "000000"}),
    Route("POST", "/sign-out"),
    Route("GET", "/account"),
    Route("POST", "/account/look", fields={"language": "en", "theme": "dark"}),
    Route("POST", "/account/password", fields={"old": "x", "password": "y", "again": "z"}),
    Route("GET", "/account/second-factor"),
    Route("POST", "/account/second-factor", fields={"secret": "A" * 32, "code": "1"}),
    Route("POST", "/account/second-factor/drop"),
    Route("GET", "/account/passkeys/question"),
    Route("GET", "/account/passkeys/add"),
    Route("POST", "/account/passkeys/add", fields={"name": "x", "made": "{}"}),
    Route("POST", "/account/passkeys/begin"),
    Route("POST", "/account/passkeys/{passkey}/remove"),
    Route("POST", "/account/invitations/accept", fields={"link": "x"}),
    Route("POST", "/account/invitations/{member}/decline"),
    Route("POST", "/account/sessions/{session}/end"),
    Route("POST", "/account/sessions/end-others"),
    Route("POST", "/organisation", fields={"org_id": "1"}),
    Route("GET", "/"),
    Route("GET", "/now"),
    Route("GET", "/invoices", P.READ),
    Route("POST", "/filters", P.READ, fields={"query": "q=x", "name": "Mine"}),
    Route("POST", "/filters/delete", P.READ, fields={"query": "q=x", "name": "Mine"}),
    Route("POST", "/columns", P.READ, fields={"query": "q=x", "column": "status"}),
    Route("POST", "/exports", P.READ, fields={"query": "q=x"}),
    Route("GET", "/jobs", P.READ),
    Route("GET", "/jobs/{job}", P.READ),
    Route("GET", "/jobs/{job}/table.csv", P.READ),
    Route("GET", "/invoices/new", P.CREATE),
    Route("POST", "/invoices/new", P.CREATE, fields={"do": "add"}),
    Route("POST", "/invoices/sums", P.CREATE, fields={"item_name": "Tea"}),
    Route("GET", "/recipients", P.CREATE),
    Route("GET", "/changed-tokens", P.READ),
    Route("POST", "/changed-tokens", P.SIGN),
    Route("POST", "/changed-tokens/withdraw", P.SIGN),
    Route("GET", "/directory", P.READ),
    Route("POST", "/directory", P.CREATE, fields={"name": "x", "email": "y"}),
    Route("GET", "/directory/{recipient}", P.READ),
    Route("POST", "/directory/{recipient}", P.CREATE, fields={"name": "x", "email": "x@y.example"}),
    Route("POST", "/directory/{recipient}/deactivate", P.CREATE),
    Route("POST", "/directory/{recipient}/activate", P.CREATE),
    Route("GET", "/invoices/{invoice}", P.READ),
    Route("GET", "/invoices/{invoice}/live", P.READ),
    Route("GET", "/invoices/{invoice}/pdf", P.READ),
    Route("GET", "/invoices/{invoice}/edit", P.CREATE),
    Route("POST", "/invoices/{invoice}/edit", P.CREATE, fields={"do": "add"}),
    Route("GET", "/invoices/{invoice}/refund", P.READ),
    Route("POST", "/invoices/{invoice}/refund", P.SIGN, fields=WHY),
    Route("POST", "/invoices/{invoice}/callbacks/{event}", P.CREATE),
    Route("POST", "/invoices/{invoice}/approve", P.APPROVE, fields={"content_hash": "x"}),
    Route("POST", "/invoices/{invoice}/reject", P.APPROVE, fields=WHY),
    Route("POST", "/invoices/{invoice}/cancel", P.CREATE, fields=WHY),
    Route("POST", "/invoices/{invoice}/archive", P.CREATE),
    Route("POST", "/invoices/{invoice}/accept", P.SIGN, fields=WHY),
    Route("POST", "/invoices/{invoice}/recalculate", P.SIGN, fields=WHY),
    Route("POST", "/invoices/{invoice}/sign_off", P.SIGN),
    Route("POST", "/invoices/{invoice}/approve_refund", P.SIGN),
    Route("POST", "/invoices/{invoice}/withdraw_refund", P.SIGN, fields=WHY),
    Route("POST", "/invoices/{invoice}/approve_payments", P.SIGN, fields=WHY),
    Route("POST", "/invoices/{invoice}/accept_fees", P.SIGN, fields=WHY),
    Route("POST", "/invoices/{invoice}/withdraw_payments", P.SIGN, fields=WHY),
    Route("POST", "/invoices/{invoice}/redirect", P.SIGN, fields={**WHY, "payout_address": "0x1"}),
    Route("POST", "/invoices/{invoice}/approve_redirect", P.SIGN),
    Route("POST", "/invoices/{invoice}/withdraw_redirect", P.SIGN, fields=WHY),
    Route("POST", "/invoices/{invoice}/release", P.REVIEW, fields=WHY),
    Route("POST", "/invoices/{invoice}/decline", P.REVIEW, fields=WHY),
    Route("POST", "/invoices/{invoice}/escalate", P.REVIEW, fields=WHY),
    Route("POST", "/invoices/{invoice}/dispose_hit", P.REVIEW, fields={**WHY, "hit": "x:y"}),
    Route("POST", "/invoices/{invoice}/report", P.REVIEW, fields={"reference": "MJIB 1"}),
    Route("POST", "/invoices/{invoice}/quarantine", P.REVIEW, fields=WHY),
    Route("POST", "/invoices/{invoice}/take_note", P.REVIEW, fields=WHY),
    Route("GET", "/approvals", P.APPROVE),
    Route("POST", "/approvals", P.APPROVE, fields={"decision": "approve", "invoice": "1:x:y"}),
    Route("GET", "/queue/approve", P.APPROVE),
    Route("GET", "/queue/sign", P.SIGN),
    Route("GET", "/queue/resolve", P.SIGN),
    Route("GET", "/queue/refund", P.SIGN),
    Route("GET", "/queue/standing", P.SIGN),
    Route("GET", "/queue/clear", P.REVIEW),
    Route("GET", "/queue/after", P.SIGN),
    Route("POST", "/files"),
    Route("GET", "/files/{file}", P.READ),
    Route("GET", "/settings"),
    Route("GET", "/settings/roles"),
    Route("GET", "/settings/log", P.AUDIT),
    Route("GET", "/settings/keys", P.READ),
    Route("POST", "/settings/keys", P.READ, fields={"label": "", "last_day": "x"}),
    Route("POST", "/settings/keys/{key}/revoke", P.READ),
    Route("GET", "/settings/clients", P.READ),
    Route("POST", "/settings/clients", P.ADMINISTER, fields={"name": ""}),
    Route("POST", "/settings/clients/{client}/rename", P.ADMINISTER, fields={"name": "x"}),
    Route("POST", "/settings/clients/{client}/disable", P.ADMINISTER),
    Route("POST", "/settings/clients/{client}/enable", P.ADMINISTER),
    Route("GET", "/settings/rules", P.READ),
    Route("POST", "/settings/rules", P.ADMINISTER),
    Route("POST", "/settings/rules/deposits", P.ADMINISTER, fields={"chain": "x", "mode": "y"}),
    Route("GET", "/settings/rates", P.READ),
    Route("POST", "/settings/log/export", P.AUDIT),
    Route("GET", "/settings/organisation", P.READ),
    Route("POST", "/settings/organisation", P.ADMINISTER),
    Route("GET", "/logo/{logo}", P.READ),
    Route("POST", "/settings/organisation/logo", P.ADMINISTER),
    Route("POST", "/settings/organisation/logo/drop", P.ADMINISTER),
    Route("POST", "/settings/organisation/returns", P.ADMINISTER, fields={"return_origins": "x"}),
    Route("GET", "/settings/bank-accounts", P.READ),
    Route("POST", "/settings/bank-accounts", P.ADMINISTER),
    Route("POST", "/settings/bank-accounts/{account}/approve", P.ADMINISTER),
    Route("POST", "/settings/bank-accounts/{account}/disable", P.ADMINISTER),
    Route("GET", "/settings/payout-addresses", P.READ),
    Route("POST", "/settings/payout-addresses", P.ADMINISTER),
    Route("POST", "/settings/payout-addresses/{address}/approve", P.ADMINISTER),
    Route("POST", "/settings/payout-addresses/{address}/remove", P.ADMINISTER),
    Route("POST", "/settings/payout-addresses/{address}/default", P.ADMINISTER),
    Route("POST", "/settings/payout-addresses/{address}/no-default", P.ADMINISTER),
    Route("POST", "/settings/payout-addresses/rules", P.ADMINISTER, fields={"wait_hours": "x"}),
    Route("GET", "/settings/callbacks", P.ADMINISTER),
    Route("POST", "/settings/callbacks/default", P.ADMINISTER, fields={"default_url": "x"}),
    Route("POST", "/settings/callbacks/test", P.ADMINISTER),
    Route("POST", "/settings/callbacks/secret", P.ADMINISTER),
    Route("POST", "/settings/callbacks/rotate", P.ADMINISTER),
    Route("GET", "/settings/members", P.AUDIT),
    Route("GET", "/settings/members/add", P.ADMINISTER),
    Route("POST", "/settings/members/add", P.ADMINISTER, fields={"email": "x", "name": "y"}),
    Route("GET", "/settings/members/{member}", P.AUDIT),
    Route("POST", "/settings/members/{member}/roles", P.ADMINISTER, fields={"role": "auditor"}),
    Route("POST", "/settings/members/{member}/roles/{role}/agree", P.ADMINISTER),
    Route("POST", "/settings/members/{member}/roles/{role}/call-off", P.ADMINISTER),
    Route("POST", "/settings/members/{member}/disable", P.ADMINISTER),
    Route("POST", "/settings/members/{member}/enable", P.ADMINISTER),
    Route("POST", "/settings/members/{member}/reset-factor", P.ADMINISTER),
    Route("POST", "/settings/members/{member}/invite", P.ADMINISTER),
    Route("GET", "/invitation/{token}", is_open=True),
    Route("POST", "/invitation/{token}", is_open=True, fields={"password": "x", "again": "x"}),
)

NAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "/invoices/{public_id}/{name}": (
        "approve",
        "reject",
        "cancel",
        "archive",
        "accept",
        "recalculate",
        "sign_off",
        "approve_refund",
        "withdraw_refund",
        "approve_payments",
        "accept_fees",
        "withdraw_payments",
        "redirect",
        "approve_redirect",
        "withdraw_redirect",
        "release",
        "decline",
        "escalate",
        "dispose_hit",
        "report",
        "quarantine",
        "take_note",
    ),
    "/queue/{name}": ("approve", "sign", "resolve", "refund", "standing", "clear", "after"),
}
"""What may stand for ``name``, in routes that take several."""
