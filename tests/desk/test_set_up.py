"""What the operator sets up at the command line stands in the organisation's log, sealed."""

from dataclasses import replace
from decimal import Decimal

import pytest

from counterfoil.books import orgs
from counterfoil.books.orgs import Org
from counterfoil.core.errors import Conflict, Invalid, NotFound
from counterfoil.core.invoice import Policy
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.slowly import Slowly
from counterfoil.desk import members, org_log, settings
from counterfoil.desk.desk import Desk
from counterfoil.desk.members import add_member

OPERATOR = "system:command-line"
READER = Actor("user_test", 1, frozenset({Permission.AUDIT}))
ADDRESS = "0x" + "11" * 20


async def told(desk: Desk) -> list[tuple[str, str, dict[str, object]]]:
    found = await org_log.history(desk, READER)
    assert found.broken is None
    assert {entry.operator_uid for entry, _ in found.entries} <= {OPERATOR}
    return [(one.event, one.subject, dict(one.metadata)) for one, _ in found.entries]


async def opened(desk: Desk) -> None:
    await members.create_org(
        desk,
        Org(
            org_id=1,
            name="Tea",
            client_id="tea",
            factory_address=ADDRESS,
            operator_address=ADDRESS,
            pool_address=ADDRESS,
            hold_address=ADDRESS,
            gas_address=ADDRESS,
        ),
    )


async def test_organisation_members_keys_and_rules_are_on_record(desk: Desk) -> None:
    await opened(desk)
    mei = await add_member(
        desk, 1, email="mei@x.example", name="Mei", roles=("signer", "finance"), password_hash="x"
    )
    key = await members.issue_key(desk, mei, "first key")
    await settings.change_policy(desk, 1, {"grace_days": "9"})
    await settings.choose_deposits(desk, 1, "arb", "hd")

    uid = f"user_{mei.member_id.hex}"
    assert await told(desk) == [
        ("org_created", "", {"name": "Tea", "client_id": "tea"}),
        ("member_added", uid, {"email": "mei@x.example", "roles": ["finance", "signer"]}),
        ("key_made", f"key_{key.split('_')[1]}", {"label": "first key", "member": uid}),
        ("policy_changed", "", {"grace_days": [Policy().grace_days, 9]}),
        ("deposits_changed", "arb", {"before": "factory", "after": "hd"}),
    ]
    assert key.split("_")[2] not in repr(await told(desk))


async def test_what_is_refused_leaves_no_entry(desk: Desk) -> None:
    await opened(desk)
    person = {"email": "mei@x.example", "name": "Mei", "password_hash": "x"}
    await add_member(desk, 1, roles=("finance",), **person)
    before = await told(desk)
    with pytest.raises(Conflict, match="exists already"):
        await opened(desk)
    with pytest.raises(Conflict, match="already somebody's e-mail"):
        await add_member(desk, 1, roles=("finance",), **person)
    with pytest.raises(Invalid, match="king is not one of"):
        await add_member(desk, 1, roles=("king",), **person)
    with pytest.raises(NotFound, match="there is no organisation 2"):
        await add_member(desk, 2, roles=("finance",), **{**person, "email": "z@x.example"})
    with pytest.raises(Invalid):
        await settings.change_policy(desk, 1, {"grace_days": "-1"})
    await settings.choose_deposits(desk, 1, None, None)
    assert await told(desk) == before


async def test_a_value_from_before_there_were_bounds_stands_in_nobodys_way(desk: Desk) -> None:
    await opened(desk)
    async with desk.database.transaction() as tx:
        org = await orgs.get(tx, 1)
        assert org is not None
        loose = replace(Policy(), underpay_ratio=Decimal("0.5"))
        await orgs.save_policy(tx, 1, org.policy.with_invoices(Slowly(loose)))
    changed = await settings.change_policy(desk, 1, {"grace_days": "9"})
    assert (changed.grace_days, changed.underpay_ratio) == (9, Decimal("0.5"))
    assert await settings.change_policy(desk, 1, {}) == changed
    with pytest.raises(Invalid, match=r"underpay_ratio: must be from 0\.9 to 1"):
        await settings.change_policy(desk, 1, {"underpay_ratio": "0.4"})
    with pytest.raises(Invalid, match="must be below underpay_ratio"):
        await settings.change_policy(desk, 1, {"auto_accept_underpaid_from": "0.6"})
    assert (await settings.change_policy(desk, 1, {"underpay_ratio": "0.99"})).grace_days == 9
