"""Everybody at once: fifty calls on one invoice in the same moment, and one effect of each kind.

A few rounds are run with all tests; ``make races`` runs two hundred.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import pytest

from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values
from support.actors import Answer, Caller
from support.payments import CUSTOMER_WALLET, Payments
from support.site import Firm, Site, open_site

ROUNDS: Final = int(os.environ.get("COUNTERFOIL_RACE_ROUNDS") or 10)
"""How many rounds of fifty calls, shared by all kinds of races."""

SEED: Final = int(os.environ.get("COUNTERFOIL_RACE_SEED") or random.SystemRandom().randrange(10**6))
AT_ONCE: Final = 50
WHY: Final[dict[str, object]] = {"reason": "Everybody says so."}

EVENTS: Final = {
    "approve": "approve",
    "reject": "reject",
    "cancel": "cancel",
    "sign": "sign_off",
    "refund": "order_refund",
    "refund/approve": "approve_refund",
    "refund/withdraw": "withdraw_refund",
    "release": "release",
    "decline": "decline",
}
"""What the log calls each of the calls."""

MOST: Final = {"release": 2, "decline": 2}
"""How often a call may take effect, where that is more than once: each time by somebody else."""

MAY_HAVE_TO_SAY_WHICH: Final = {("refund/approve", 422)}
"""Once another refund was ordered, whoever approves one names it."""

BACK_AND_FORTH: Final = ({"refund", "refund/withdraw"}, {"release", "decline"})
"""What is withdrawn may be ordered again, and an officer's later word takes back the one before:
where both are called, each may take effect many times."""


@dataclass(frozen=True)
class Call:
    """What one person asks; a key makes repeated calls one request."""

    who: str
    verb: str
    key: str | None = None


@dataclass(frozen=True)
class Crowd:
    """The firm's people by name, and what each of their calls needs to be heard."""

    site: Site
    firm: Firm
    people: dict[str, Caller]
    receipt: str

    async def calls(self, invoice_id: str, call: Call) -> Answer:
        # One key is one request, so every round has its own.
        headers = {"Idempotency-Key": f"{call.key}-{invoice_id}"} if call.key else None
        body: dict[str, object] | None = None
        match call.verb:
            case "reject" | "cancel" | "release" | "decline" | "refund/withdraw":
                body = WHY
            case "sign":
                body = {"refund_address": CUSTOMER_WALLET}
            case "refund":
                body = {
                    "refund_address": CUSTOMER_WALLET,
                    "refund_reason": "Called off.",
                    "refund_attachments": [self.receipt],
                }
        return await self.people[call.who].act(call.verb, invoice_id, body, headers)


_BROKEN: Final = """
    SELECT format('%%s of %%s leave for %%s', m.units, coalesce(t.units, 0), m.invoice_id)
      FROM (SELECT org_id, invoice_id, chain, contract, sum(amount_units) AS units FROM move
             WHERE purpose IN ('payout', 'refund', 'partial_refund') AND status <> 'failed'
             GROUP BY 1, 2, 3, 4) AS m
      LEFT JOIN (SELECT org_id, invoice_id, chain, contract, sum(amount_units) AS units
                   FROM transfer WHERE depth = 3 GROUP BY 1, 2, 3, 4) AS t
           USING (org_id, invoice_id, chain, contract)
     WHERE m.units > coalesce(t.units, 0)
     UNION ALL
    SELECT format('the log of %%s has %%s entries up to %%s, the invoice is at %%s', i.invoice_id,
                  count(*), max(l.sequence), i.version)
      FROM invoice AS i JOIN invoice_log AS l USING (org_id, invoice_id)
     GROUP BY i.org_id, i.invoice_id, i.version
    HAVING count(*) <> i.version OR max(l.sequence) <> i.version
"""


Scene = Callable[[Crowd, Payments], Awaitable[str]]
"""Brings an invoice to the point where the race begins."""


async def fresh(crowd: Crowd, _payments: Payments) -> str:
    found: str = (await crowd.firm.merchant.create()).data["id"]
    return found


async def paid(crowd: Crowd, payments: Payments) -> str:
    invoice_id = await fresh(crowd, payments)
    await crowd.firm.reviewer.approve(invoice_id)
    await payments.paid(invoice_id)
    return invoice_id


async def overpaid(crowd: Crowd, payments: Payments) -> str:
    invoice_id = await fresh(crowd, payments)
    await crowd.firm.reviewer.approve(invoice_id)
    await payments.paid(invoice_id, percent=130)
    return invoice_id


async def held(crowd: Crowd, payments: Payments) -> str:
    invoice_id = await fresh(crowd, payments)
    await crowd.firm.reviewer.approve(invoice_id)
    await payments.arrives(invoice_id)
    await payments.screened(invoice_id, "aml_hold")
    return invoice_id


async def refund_ordered(crowd: Crowd, payments: Payments) -> str:
    invoice_id = await paid(crowd, payments)
    assert (await crowd.calls(invoice_id, Call("signer", "refund"))).status == 200
    return invoice_id


WHILE_SIGNABLE: Final = ("sign", "refund", "refund/approve", "refund/withdraw")
SIGNERS: Final = ("signer", "second signer")
OFFICERS: Final = ("officer", "second officer")

RACES: Final[dict[str, tuple[Scene, tuple[Call, ...]]]] = {
    "approve": (fresh, (Call("reviewer", "approve"),)),
    "approve or reject or cancel": (
        fresh,
        (Call("reviewer", "approve"), Call("reviewer", "reject"), Call("merchant", "cancel")),
    ),
    "sign": (paid, tuple(Call(who, "sign") for who in SIGNERS)),
    "sign with one key": (paid, (Call("signer", "sign", key="one-key"),)),
    "sign or refund": (paid, tuple(Call(w, v) for w in SIGNERS for v in ("sign", "refund"))),
    "sign or refund an overpaid one": (
        overpaid,
        tuple(Call(w, v) for w in SIGNERS for v in ("sign", "refund", "refund/approve")),
    ),
    "release by one officer": (held, (Call("officer", "release"),)),
    "release by two": (held, tuple(Call(who, "release") for who in OFFICERS)),
    "decline by one officer": (held, (Call("officer", "decline"),)),
    "decline by two": (held, tuple(Call(who, "decline") for who in OFFICERS)),
    "release or decline": (
        held,
        tuple(Call(w, v) for w in OFFICERS for v in ("release", "decline")),
    ),
    "approve the refund": (refund_ordered, tuple(Call(w, "refund/approve") for w in SIGNERS)),
    "approve or withdraw the refund": (
        refund_ordered,
        tuple(Call(w, v) for w in SIGNERS for v in ("refund/approve", "refund/withdraw")),
    ),
    "everything": (
        paid,
        (
            Call("reviewer", "approve"),
            *(Call(w, v) for w in SIGNERS for v in WHILE_SIGNABLE),
            *(Call(w, v) for w in OFFICERS for v in ("release", "decline")),
            Call("merchant", "cancel"),
        ),
    ),
}


EXACTLY: Final = {
    "release by one officer": (1, "compliance_freeze"),
    "release by two": (2, "sign_pending"),
    "decline by one officer": (1, "compliance_freeze"),
    "decline by two": (2, "compliance_freeze"),
}
"""After how many effects a race ends for certain, and in which status. What two declined waits for
the order to send it back."""


@pytest.fixture
async def crowd(database_url: str) -> AsyncIterator[Crowd]:
    """A site with more connections than usual, so that many transactions really meet."""
    database = Database(database_url, name="crowd", max_connections=25)
    await database.open()
    async with open_site(database) as site:
        firm = await site.firm(addresses=ROUNDS + 20)
        second_officer = Caller(*await site.person(firm.org_id, "olga", "compliance"))
        receipt = (await firm.signer.upload(b"%PDF-1.7\nx\nstartxref\n0\n%%EOF")).data["file_id"]
        people = {
            "merchant": firm.merchant,
            "reviewer": firm.reviewer,
            "signer": firm.signer,
            "second signer": firm.second_signer,
            "officer": firm.officer,
            "second officer": second_officer,
        }
        yield Crowd(site, firm, people, receipt)
    await database.close()


@pytest.mark.parametrize("race", RACES)
async def test_fifty_at_once_have_one_effect_each(crowd: Crowd, race: str) -> None:
    chance = random.Random(f"{SEED} {race}")  # noqa: S311 - a seed leads to the same calls
    scene, calls = RACES[race]
    payments = Payments(crowd.site.desk)
    for number in range(-(-ROUNDS // len(RACES))):
        invoice_id = await scene(crowd, payments)
        before = Counter(await events(crowd, invoice_id))
        drawn = [chance.choice(calls) for _ in range(AT_ONCE)]
        answers = await asyncio.gather(*(crowd.calls(invoice_id, call) for call in drawn))
        told = f"seed {SEED}, round {number} of {race}"
        await one_effect_each(
            crowd, invoice_id, before, list(zip(drawn, answers, strict=True)), told
        )
        assert await broken(crowd) == [], told
        decided = [entry for entry in await log(crowd, invoice_id) if entry["event"] in MOST]
        assert not same_person_twice(decided), told
        if race in EXACTLY:
            assert (len(decided), decided[-1]["to_status"]) == EXACTLY[race], told


async def one_effect_each(
    crowd: Crowd,
    invoice_id: str,
    before: Counter[str],
    heard: list[tuple[Call, Answer]],
    told: str,
) -> None:
    """What was answered with 200 is in the log, as often as it was, and nothing else is."""
    done = Counter(call.verb for call, a in heard if a.status == 200 and first(a))
    logged = Counter(await events(crowd, invoice_id)) - before
    for verb, event in EVENTS.items():
        assert done[verb] == logged[event], f"{told}: {verb} {done[verb]} times"
        if not any(verb in pair and done.keys() >= pair for pair in BACK_AND_FORTH):
            assert done[verb] <= MOST.get(verb, 1), f"{told}: {verb} {done[verb]} times"
    refused = {(call.verb, answer.status) for call, answer in heard if answer.status != 200}
    assert done.total() > 0, f"{told}: nobody came through, {refused}"
    odd = {(verb, status) for verb, status in refused if status not in {403, 409}}
    assert odd <= MAY_HAVE_TO_SAY_WHICH, f"{told}: {odd}"


def same_person_twice(decided: list[dict[str, Any]]) -> list[str]:
    """Who said the same thing again while it stood, which takes no second person."""
    twice = []
    for event, entries in groupby(decided, key=itemgetter("event")):
        by = [entry["operator_uid"] for entry in entries]
        twice += [f"{event} by {one}" for one, times in Counter(by).items() if times > 1]
    return twice


def first(answer: Answer) -> bool:
    return "Idempotent-Replayed" not in answer.headers


async def events(crowd: Crowd, invoice_id: str) -> list[str]:
    return [entry["event"] for entry in await log(crowd, invoice_id)]


async def log(crowd: Crowd, invoice_id: str) -> list[dict[str, Any]]:
    """Each entry once, oldest first, as it is told to auditors."""
    entries: list[dict[str, Any]] = (await crowd.firm.auditor.logs(invoice_id)).data
    by_sequence = {entry["sequence"]: entry for entry in entries}
    return [by_sequence[sequence] for sequence in sorted(by_sequence)]


async def broken(crowd: Crowd) -> list[str]:
    """Money that would leave beyond what came in, and logs with a gap or one entry too many."""
    async with crowd.site.desk.database.reading() as tx:
        return await all_values(tx, str, _BROKEN, {})
