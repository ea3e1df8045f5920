"""Tokens that their issuer changes: noticed once, and their money waits for each organisation."""

from datetime import timedelta

import pytest

from counterfoil.books import org_log, token_codes
from counterfoil.cli_watch import needing_a_person
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Forbidden, Invalid, NotFound
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import changed_tokens, insight, proving
from counterfoil.desk.changed_tokens import MOST_CHANGES, Change
from counterfoil.desk.moving import Reserved
from counterfoil.workers.token_codes import TokenCodes
from support.fake_chain import FakeChain
from support.fake_clock import FakeClock
from support.invoices import DUE, USDT
from support.till import Till, reserve

USDC = CHAINS["arb"].accepted[0]
SIGNER = Actor("user_sam", 1, frozenset({Permission.SIGN, Permission.READ}))
READER = Actor("user_ada", 1, frozenset({Permission.READ}))
REASON = "announced on tether.to on Friday"


@pytest.fixture
def chain(till: Till) -> FakeChain:
    found = FakeChain(till.desk.clock)
    registry = CHAINS["arb"]
    for asset in (*registry.accepted, *registry.known_other):
        found.codes[asset.contract] = b"\x01"
    found.mine(100)  # as far as the books have read
    return found


@pytest.fixture
async def looker(till: Till, chain: FakeChain) -> TokenCodes:
    """Somebody who has seen each token as it is now."""
    found = TokenCodes(till.desk, {"arb": chain})
    assert not await found.step()
    return found


async def waiting(till: Till) -> list[Change]:
    return await changed_tokens.waiting(till.desk, READER)


async def held(till: Till) -> frozenset[tuple[str, str]]:
    async with till.desk.database.reading() as tx:
        return await changed_tokens.held(tx, till.org_id)


async def accept(till: Till, change: Change, by: Actor = SIGNER, reason: str = REASON) -> None:
    version = (change.asset.chain, change.asset.contract, change.fingerprint)
    await changed_tokens.accept(till.desk, version, by=by, reason=reason)


async def signing(till: Till, bill: Invoice) -> tuple[Reserved, str | None]:
    """What comes of having the invoice's sweep signed, and why it waits."""
    came = await reserve(till)
    return came, (await till.move(bill, "sweep")).wait_reason


async def test_a_node_that_begins_anew_shows_no_token_and_alarms_nobody(
    till: Till, chain: FakeChain, looker: TokenCodes
) -> None:
    chain.codes.clear()
    chain.faults.lag_blocks = 95
    await looker.step()
    assert await waiting(till) == []
    chain.faults.lag_blocks = 0
    await looker.step()
    assert len(await waiting(till)) > 1, "gone is what all are that the whole chain lacks"


async def test_what_is_seen_first_is_no_change_and_each_version_is_told_once(
    till: Till, chain: FakeChain, looker: TokenCodes
) -> None:
    assert await waiting(till) == []
    chain.codes[USDT.contract] = b"\x02"
    for _ in range(3):
        await looker.step()
    (change,) = await waiting(till)
    assert (change.asset, change.fingerprint) == (USDT, "0x02")
    told = [one for one in await insight.alerts(till.desk, READER) if one.kind == "token_changed"]
    assert [(one.subject, one.detail) for one in told] == [("arb", "USDT")]
    (sentence,) = needing_a_person([], [], [], await changed_tokens.every(till.desk))
    assert "USDT on arb" in sentence
    assert USDT.contract in sentence

    # Back to what it was before is no news, and neither is a node that is away; gone is.
    chain.codes[USDT.contract] = b"\x01"
    await looker.step()
    del chain.codes[USDC.contract]
    chain.faults.unreachable = True
    await looker.step()
    assert len(await waiting(till)) == 1
    chain.faults.unreachable = False
    await looker.step()
    assert {one.asset for one in await waiting(till)} == {USDT, USDC}


async def test_a_sweep_waits_until_somebody_who_may_sign_has_looked(
    till: Till, chain: FakeChain, looker: TokenCodes
) -> None:
    bill = await till.signed_bill(DUE)
    chain.codes[USDT.contract] = b"\x02"
    chain.codes[USDC.contract] = b"\x02"
    await looker.step()
    first, other = await waiting(till)
    usdt, usdc = (first, other) if first.asset == USDT else (other, first)

    came, why = await signing(till, bill)
    assert came is Reserved.WAITING
    assert why is not None
    assert "USDT on arb was changed" in why

    # Who may not sign, without a reason, about another version or another token: nothing changes.
    with pytest.raises(Forbidden):
        await accept(till, usdt, by=READER)
    with pytest.raises(Invalid):
        await accept(till, usdt, reason=" ")
    wrong = Change(USDT, "0x03", (), usdt.seen_at)
    with pytest.raises(NotFound):
        await accept(till, wrong)
    await accept(till, usdc)
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(timedelta(minutes=2))
    assert (await signing(till, bill))[0] is Reserved.WAITING

    await accept(till, usdt)
    with pytest.raises(NotFound):
        await accept(till, usdt)
    assert await waiting(till) == []
    clock.advance(timedelta(minutes=2))
    assert await signing(till, bill) == (Reserved.SIGNED, None)
    async with till.desk.database.reading() as tx:
        entries = [entry for entry, _ in await org_log.of_org(tx, 1)]
    told = [(e.event, e.subject, e.operator_uid, e.metadata["reason"]) for e in entries]
    assert told[-1] == ("token_change_accepted", USDT.contract, SIGNER.uid, REASON)
    assert len(told) == 2

    # The next version is a change of its own.
    chain.codes[USDT.contract] = b"\x04"
    await looker.step()
    assert [one.fingerprint for one in await waiting(till)] == ["0x04"]
    assert (await till.look(bill)).status is Status.SWEEPING


async def test_who_took_a_word_back_has_the_money_wait_again(
    till: Till, chain: FakeChain, looker: TokenCodes
) -> None:
    bill = await till.signed_bill(DUE)
    chain.codes[USDT.contract] = b"\x02"
    await looker.step()
    (change,) = await waiting(till)
    await accept(till, change)
    (word,) = await changed_tokens.accepted(till.desk, READER)
    assert (word.asset, word.fingerprint, word.reason) == (USDT, "0x02", REASON)
    version = (USDT.chain, USDT.contract, "0x02")
    with pytest.raises(Forbidden):
        await changed_tokens.withdraw(till.desk, version, by=READER, reason=REASON)
    with pytest.raises(Invalid):
        await changed_tokens.withdraw(till.desk, version, by=SIGNER, reason=" ")
    theirs = Actor("user_sue", 2, SIGNER.permissions)
    with pytest.raises(NotFound):
        await changed_tokens.withdraw(till.desk, version, by=theirs, reason=REASON)

    await changed_tokens.withdraw(till.desk, version, by=SIGNER, reason="it was a mistake")
    assert await waiting(till) == [change]
    assert (await signing(till, bill))[0] is Reserved.WAITING
    assert (await proving.verify_audit(till.desk)).holds
    with pytest.raises(NotFound):
        await changed_tokens.withdraw(till.desk, version, by=SIGNER, reason=REASON)
    await accept(till, change)
    assert (await proving.verify_audit(till.desk)).holds


async def test_a_node_that_invents_versions_without_end_fills_no_table_and_frees_no_money(
    till: Till, chain: FakeChain, looker: TokenCodes
) -> None:
    chain.codes[USDT.contract] = b"\x02"
    await looker.step()
    (true,) = await waiting(till)
    await accept(till, true)
    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    for number in range(3, 40):
        clock.advance(timedelta(minutes=5))
        chain.codes[USDT.contract] = bytes([number])
        await looker.step()
        assert (USDT.chain, USDT.contract) in await held(till)
    left = [one.fingerprint for one in await waiting(till)]
    assert left == [f"0x{number:02x}" for number in range(35, 40)]
    async with till.desk.database.reading() as tx:
        known = [one for one in await token_codes.known(tx, "arb") if one.contract == USDT.contract]
    assert {"0x01", "0x02"} <= {one.fingerprint for one in known}
    assert len(known) == 2 + MOST_CHANGES

    # What is true and was forgotten is told again.
    clock.advance(timedelta(minutes=5))
    chain.codes[USDT.contract] = b"\x03"
    await looker.step()
    assert "0x03" in {one.fingerprint for one in await waiting(till)}


@pytest.mark.parametrize(
    "by_hand",
    [
        (
            "INSERT INTO token_code_accepted SELECT 1, chain, contract, fingerprint, 'user_sam',"
            " 'so', seen_at FROM ingest.token_code WHERE fingerprint = '0x03'"
        ),
        "UPDATE token_code_accepted SET fingerprint = '0x03'",
        "UPDATE token_code_accepted SET accepted_by = 'user_ada'",
        "UPDATE token_code_accepted SET reason = 'so'",
        "DELETE FROM token_code_accepted",
    ],
)
async def test_a_word_about_a_token_that_nobody_gave_is_found(
    till: Till, chain: FakeChain, looker: TokenCodes, by_hand: str
) -> None:
    """A hand in the database lets money go on under what nobody looked at."""
    for code in (b"\x02", b"\x03"):
        chain.codes[USDT.contract] = code
        await looker.step()
    for change in await waiting(till):
        if change.fingerprint == "0x02":
            await accept(till, change)
    assert (await proving.verify_audit(till.desk)).holds
    async with till.desk.database.transaction() as tx:
        await execute(tx, by_hand, {})
    (found,) = (await proving.verify_audit(till.desk)).org_breaks
    assert found.org_id == 1
    assert USDT.contract in found.finding


async def test_each_organisation_looks_for_itself_and_one_opened_later_need_not(
    till: Till, chain: FakeChain, looker: TokenCodes
) -> None:
    other = await Till(till.desk, org_id=2).open()
    chain.codes[USDT.contract] = b"\x02"
    await looker.step()
    (change,) = await waiting(till)
    await accept(till, change)
    theirs = Actor("user_sue", other.org_id, SIGNER.permissions)
    assert await changed_tokens.waiting(till.desk, theirs) == [change]
    assert await waiting(till) == []
    assert await changed_tokens.every(till.desk) == [change]

    clock = till.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(timedelta(seconds=1))
    await accept(till, change, by=theirs)
    assert await changed_tokens.every(till.desk) == []
    async with till.desk.database.transaction() as tx:
        opened = {"at": clock.now()}
        await execute(tx, "UPDATE org SET created_at = %(at)s WHERE org_id = 2", opened)
        await execute(tx, "DELETE FROM token_code_accepted", {})
    assert await changed_tokens.waiting(till.desk, theirs) == []
    assert await waiting(till) == [change]


async def test_a_token_that_was_never_there_has_no_version(till: Till, chain: FakeChain) -> None:
    del chain.codes[USDC.contract]
    looker = TokenCodes(till.desk, {"arb": chain})
    await looker.step()
    chain.codes[USDC.contract] = b"\x01"
    await looker.step()
    assert await waiting(till) == []
