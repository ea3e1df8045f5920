"""The organisations of a run before anything happens to them: policies, people, places, wallets."""

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from counterfoil.books import files, orgs, profiles
from counterfoil.core import ids
from counterfoil.core.invoice import DepositMode, Policy
from counterfoil.core.payout_rules import SHORTEST_HOURS, PayoutPolicy, PayoutRules
from counterfoil.desk import provisioning
from simulation import people
from simulation.chain import Factory
from support.fake_clock import NOON
from support.till import ETHER

if TYPE_CHECKING:
    from random import Random

    from simulation.run import Run

_PDF: Final = b"%PDF-1.4\n%%EOF\n"


async def found(run: "Run", org_id: int) -> None:
    """An organisation as the dice have it; the second one seldom has wallets."""
    desk, chance = run.web.desk, run.dice.random
    ours = run.world.signer.signer.addresses(org_id)
    org = orgs.Org(
        org_id=org_id,
        name=f"Merchant {org_id}",
        client_id=f"client_{org_id}",
        factory_address=ours.factory,
        operator_address=ours.operator,
        pool_address=ours.pool,
        hold_address=ours.hold,
        gas_address=ours.gas,
        policy=_policy(chance),
    )
    run.staff[org_id] = people.staff(desk.ids.new, org_id, lambda m: ids.public("user", m))
    run.files[org_id] = desk.ids.new()
    places = [people.registered(org_id, desk.ids.new(), NOON, place) for place in people.PLACES]
    async with desk.database.transaction() as tx:
        await orgs.insert(tx, org, NOON)
        for place in places:
            await profiles.insert_payout_address(tx, org_id, place)
        await files.insert(
            tx,
            files.FileRow(
                org_id=org_id,
                file_id=run.files[org_id],
                name="receipt.pdf",
                content_type="application/pdf",
                size_bytes=len(_PDF),
                sha256=bytes(32),
                content=_PDF,
                uploaded_by=run.staff[org_id][0].member_id,
                created_at=NOON,
            ),
        )
    for key in run.chains:
        await _build(run, org, key)


def _policy(chance: "Random") -> orgs.OrgPolicy:
    policy = Policy(
        underpay_ratio=chance.choice((Policy().underpay_ratio, Decimal("0.995"))),
        several_payers=chance.choice(("accept", "resolve")),
        overpaid=chance.choice(("refund_at_sign_off", "resolve")),
        grace_days=chance.choice((0, 1, 14)),
        receipt_window_seconds=chance.choice((600, 86_400)),
        auto_accept_underpaid_from=chance.choice((None, None, Decimal("0.4"))),
        auto_accept_overpaid_to=chance.choice((None, None, Decimal(3))),
        auto_accept_late_minutes=chance.choice((None, None, 60)),
        auto_recalculate_late_minutes=chance.choice((None, None, 600)),
        auto_accept_several_payers=chance.random() < 0.3,
    )
    needed: object = [{"code": "simulated", "required": True}]
    screening = {"providers": needed} if chance.random() < 0.4 else {}
    deposits: dict[str, DepositMode] = {"arb": "hd"} if chance.random() < 0.35 else {}
    rules = PayoutRules(
        registered_only=chance.random() < 0.3,
        two_people=chance.random() < 0.7,
        wait_hours=SHORTEST_HOURS,
    )
    return orgs.OrgPolicy(
        invoice=policy, deposits=deposits, screening=screening, payouts=PayoutPolicy(rules)
    )


async def _build(run: "Run", org: orgs.Org, key: str) -> None:
    """Its factory and its wallets on a chain, with gas money or without."""
    desk, chance, chain = run.web.desk, run.dice.random, run.chains[key]
    ours = run.world.signer.signer.addresses(org.org_id)
    chain.factories[ours.factory] = Factory(ours.factory, ours.pool, ours.hold)
    built = org.org_id != 1 or chance.random() < 0.9
    if built:
        chain.codes[ours.factory] = b"factory"
        await provisioning.factory_stands(desk, org, key)
    if org.org_id != 1 and chance.random() < 0.7:
        return  # without wallets nothing of it can move, which saves many questions
    nonces = dict.fromkeys((ours.operator, ours.pool, ours.gas), 0)
    await provisioning.ensure_wallets(desk, org, key, nonces)
    chain.wallets |= {ours.operator, ours.pool, ours.gas}
    chain.pay("", ours.gas, ETHER if chance.random() < 0.8 else ETHER // 40)
    if chance.random() < 0.85:
        chain.pay("", ours.operator, ETHER)
        chain.pay("", ours.pool, ETHER)
