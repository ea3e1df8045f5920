"""Settings: bank accounts, and what customers read of them."""

from dataclasses import asdict
from datetime import timedelta

import psycopg
import pytest

from counterfoil.core.errors import NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import bank_accounts, org_log
from support.banks import BERLIN, FUBON, from_before
from support.contents import all_tables
from support.keyboards import wide
from support.payer import invited
from support.printed import printed
from support.site import PASSWORD, Firm, Site
from support.visitor import Visitor

BANKS = "/studio/settings/bank-accounts"
WRITTEN = {**asdict(FUBON), "label": "Main account", "currency": "TWD"}
READER = Actor("user_test", 1, frozenset({Permission.AUDIT, Permission.READ}))
END = "•••• 4321"
DAY = timedelta(days=1)


async def passes(site: Site, span: timedelta) -> None:
    site.clock.advance(span)
    await site.publish_rates()


async def by_bank(firm: Firm, number: int = 1) -> int:
    made = await firm.merchant.create(payment_method_type="fiat", bank_account_id=number)
    return made.status


async def test_an_account_is_added_by_one_approved_by_another_and_customers_read_it(
    site: Site, firm: Firm, anna: Visitor, arno: Visitor
) -> None:
    waits = await anna.send(BANKS, {**WRITTEN, "account_number": wide(FUBON.account_number)})
    assert "another compares it with the bank's own paper" in waits.words
    assert "to be approved" in waits.words
    assert f"{BANKS}/1/approve" not in waits.text
    assert (await anna.send(f"{BANKS}/1/approve")).status == 403
    refused = await firm.merchant.create(payment_method_type="fiat", bank_account_id=1)
    assert "nobody has approved yet" in refused.fields["bank_account_id"]

    compare = await arno.open(BANKS)
    assert FUBON.account_number in compare.words
    approved = await arno.send(f"{BANKS}/1/approve")
    assert "good from 2026-06-23 12:00 UTC" in approved.words
    assert (await arno.send(f"{BANKS}/1/approve")).status == 409
    maya = await site.at_the_pages("maya1@merchant.example")
    for page in (approved, await anna.open(BANKS), await maya.open(BANKS)):
        assert END in page.words
        assert FUBON.account_number not in page.text
    assert "Add an account" not in (await maya.open(BANKS)).words
    assert (await maya.send(BANKS, WRITTEN)).status == 403
    early = await firm.merchant.create(payment_method_type="fiat", bank_account_id=1)
    assert "good only from 2026-06-23 12:00 UTC on" in early.fields["bank_account_id"]
    await passes(site, DAY)

    _, payer = await invited(site, firm, payment_method_type="fiat", bank_account_id=1)
    page = await payer.look()
    paper = await printed(payer.visitor, f"{payer.path}/invoice.pdf")
    for told in (FUBON.holder, FUBON.bank_name, FUBON.branch, "012", "TPBKTWTP", "00710987654321"):
        assert told in page.words
        assert told in paper.words
    assert "Reference INV-2026-000001" in page.words
    assert "Reference INV-2026-000001" in paper.words
    assert "0x" not in page.words

    found = await org_log.history(site.desk, READER)
    assert found.broken is None
    assert [(e.event, e.subject) for e, _ in found.entries] == [
        ("bank_account_added", "1"),
        ("bank_account_approved", "1"),
    ]
    assert {e.metadata["account_number"] for e, _ in found.entries} == {END}
    assert FUBON.account_number not in repr(found.entries)


async def test_a_disabled_account_is_told_to_nobody_any_more(
    site: Site, firm: Firm, anna: Visitor, arno: Visitor
) -> None:
    await anna.send(BANKS, {**WRITTEN, **asdict(BERLIN)})
    await arno.send(f"{BANKS}/1/approve")
    await passes(site, DAY)
    _, payer = await invited(site, firm, payment_method_type="fiat", bank_account_id=1)
    assert "DE89 3704 0044 0532 0130 00" in (await payer.look()).words
    assert "TEA INV-2026-000001" in (await payer.look()).words
    for name, who in (("anna", anna), ("arno", arno)):
        await who.sign_in(f"{name}1@merchant.example", PASSWORD)
    again = await anna.send(BANKS, {**WRITTEN, **asdict(BERLIN)})
    assert (again.status, "of an account in use" in again.words) == (409, True)

    gone = await anna.send(f"{BANKS}/1/disable")
    assert "nobody is told to pay into it any more" in gone.words
    for page in (await payer.look(), await printed(payer.visitor, f"{payer.path}/invoice.pdf")):
        assert "3704" not in page.words
        assert "The merchant tells you the bank account." in page.words
    refused = await firm.merchant.create(payment_method_type="fiat", bank_account_id=1)
    assert "not used any more" in refused.fields["bank_account_id"]
    for action in ("disable", "approve"):
        assert (await arno.send(f"{BANKS}/1/{action}")).status == 409
    added = await anna.send(BANKS, {**WRITTEN, **asdict(BERLIN)})
    assert "The account is added" in added.words


async def test_an_account_that_only_looks_like_one_in_use_is_not_registered(
    anna: Visitor, database: Database
) -> None:
    await anna.send(BANKS, WRITTEN)
    before = await all_tables(database)
    for wrong, told in (
        ({"account_number": "00719999994321"}, "begins and ends like Main account"),
        (
            {"label": "\u041c\u0430in account", "account_number": "5551234"},
            "looks like Main account",
        ),
    ):
        refused = await anna.send(BANKS, {**WRITTEN, "label": "Second account", **wrong})
        assert (refused.status, told in refused.words) == (422, True), refused.words
        assert FUBON.account_number not in refused.words.partition("Add an account")[2]
    assert await all_tables(database) == before


async def test_an_account_takes_proof_and_a_stolen_session_gets_nowhere(
    site: Site, anna: Visitor, arno: Visitor, database: Database
) -> None:
    await anna.send(BANKS, WRITTEN)
    token = (await arno.open(BANKS)).form_token
    site.clock.advance(timedelta(minutes=11))
    await arno.open(BANKS)
    before = await all_tables(database)
    for path, fields in (
        (BANKS, {**WRITTEN, "account_number": "9876543210"}),
        (f"{BANKS}/1/approve", {}),
        (f"{BANKS}/1/disable", {}),
    ):
        refused = await arno.send(path, fields, token=token)
        assert refused.status == 403, path
        assert "confirm first that it is you" in refused.words
    assert await all_tables(database) == before
    approved = await arno.send(f"{BANKS}/1/approve", {"proof": PASSWORD}, token=token)
    assert "The account is approved" in approved.words


async def test_where_one_person_is_enough_an_account_is_good_after_the_waiting(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    async with site.desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE org SET policy = jsonb_set(policy, '{payouts}',"
            """ '{"rules": {"two_people": false}}')"""
        )
    added = await anna.send(BANKS, WRITTEN)
    assert "good from 2026-06-23 12:00 UTC" in added.words
    assert await by_bank(firm) == 422
    await passes(site, DAY)
    assert await by_bank(firm) == 200


async def test_what_is_wrong_is_said_at_its_field_and_kept(
    anna: Visitor, database: Database
) -> None:
    before, token = await all_tables(database), (await anna.open(BANKS)).form_token
    for field, value, told in (
        ("account_number", "DE89370400440532013001", "check digits do not fit"),
        ("account_number", "", "must be an account number"),
        ("bic", "X", "must be a BIC"),
        ("currency", "EUR", "must be one of TWD, USD"),
        ("label", "", "must not be empty"),
    ):
        refused = await anna.send(BANKS, {**WRITTEN, field: value}, token=token)
        assert refused.status == 422
        assert told in refused.words
        assert f'value="{FUBON.holder}"' in refused.text
    for number in ("9", "x", "1" * 30, "-1"):
        assert (await anna.send(f"{BANKS}/{number}/disable", token=token)).status == 404
    assert await all_tables(database) == before


async def test_accounts_from_before_keep_working(site: Site, firm: Firm, anna: Visitor) -> None:
    async with site.desk.database.transaction() as tx:
        await from_before(tx, 7, "富邦 012-3456")
    assert "customers see its name alone" in (await anna.open(BANKS)).words
    assert await by_bank(firm, 7) == 200
    _, payer = await invited(site, firm, payment_method_type="fiat", bank_account_id=7)
    for page in (await payer.look(), await printed(payer.visitor, f"{payer.path}/invoice.pdf")):
        assert "Bank account 富邦 012-3456 (TWD)" in page.words.replace(" Copy", "")
    added = await anna.send(BANKS, WRITTEN)
    assert f"{BANKS}/8/disable" in added.text


async def test_nobody_changes_an_account_or_touches_anothers(
    site: Site, anna: Visitor, arno: Visitor
) -> None:
    """Not even with our own hands at the database; and not from another organisation."""
    await anna.send(BANKS, WRITTEN)
    for attack in (
        "UPDATE bank_account SET account_number = '666'",
        "UPDATE bank_account SET holder = 'Thief'",
        "DELETE FROM bank_account",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with site.desk.database.transaction() as tx:
                await tx.execute(attack)
    stranger = Actor("user_stranger", 2, frozenset({Permission.ADMINISTER, Permission.READ}))
    await site.firm(2)
    for decide in (bank_accounts.approve, bank_accounts.disable):
        with pytest.raises(NotFound):
            await decide(site.desk, 1, stranger)
    assert (await bank_accounts.registered(site.desk, stranger)).accounts == []
    assert "to be approved" in (await arno.open(BANKS)).words
