"""Payments before lists and providers: clean money goes on, the rest waits for people."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Conflict, Invalid
from counterfoil.core.invoice import Context, PaymentRequest, Status
from counterfoil.core.reckoning import Depth
from counterfoil.core.risk_facts import AddressRisk, Severity
from counterfoil.db.pool import Database
from counterfoil.desk import screening, verdicts
from counterfoil.desk.screening_policy import policy_of
from counterfoil.providers.screening.port import (
    AddressQuery,
    AddressScreener,
    ScreeningUnavailable,
)
from counterfoil.workers.examine import MAX_PAYERS_ASKED, Examiner
from counterfoil.workers.lists import import_list
from counterfoil.workers.screen import Screener
from support.bureau import LISTED, Bureau, floors, opened, sdn
from support.fake_clock import FakeClock
from support.fake_screening import FakeScreener
from support.invoices import CUSTOMER, DUE, STRANGER, USDC, USDT
from support.office import Office

_, USDT0 = CHAINS["optimism"].known_other


@pytest.fixture
async def bureau(database: Database) -> Bureau:
    return await opened(database)


async def test_a_clean_payer_lets_the_invoice_on(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)

    after = await bureau.screens(bill)

    assert (after.status, after.context) == (Status.SIGN_PENDING, Context.EXACT)
    run = await bureau.run(bill)
    assert after.screening is not None
    assert (run.decision, run.run_id) == ("clear", after.screening.run_id)
    assert after.screening.covers == after.tally.confirmed
    assert (run.scores["kya_risk"], run.scores["large_transaction_risk"]) == ("10.00", "0.00")
    assert run.total == Decimal("9.50")
    assert run.record["amount_twd"] == "3241"
    assert run.record["run_id"] == f"scr_{run.run_id.hex}"
    assert run.record["degraded"] is False
    assert bureau.provider.asked == [CUSTOMER]


async def test_a_token_that_was_not_asked_for_is_screened_and_then_needs_a_choice(
    bureau: Bureau,
) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, payer=STRANGER, asset=USDT0)

    after = await bureau.screens(bill)

    assert (after.status, after.context) == (Status.RESOLUTION_REQUIRED, Context.WRONG_ASSET)
    run = await bureau.run(bill)
    # Worth what it is pegged to, and whoever sent it is asked about.
    assert (run.decision, run.record["amount_twd"]) == ("clear", "3241")
    assert bureau.provider.asked == [STRANGER]


async def test_a_listed_sender_of_such_a_token_is_held(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, payer=LISTED, asset=USDT0)

    after = await bureau.screens(bill)

    assert (after.status, after.context) == (Status.COMPLIANCE_HOLD, Context.SANCTIONED)


async def test_a_sanctioned_payer_is_held(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, payer=LISTED)

    after = await bureau.screens(bill)

    assert (after.status, after.context) == (Status.COMPLIANCE_HOLD, Context.SANCTIONED)
    run = await bureau.run(bill)
    assert (run.decision, run.total) == ("aml_hold", Decimal(100))
    assert run.scores["kya_risk_address"] == "100.00"
    record: Any = run.record
    (hit,) = record["hits"]
    assert (hit["list"], hit["match"], hit["names"]) == (
        "OFAC_SDN",
        "exact_address",
        ["Somebody"],
    )
    assert record["lists"][0]["code"] == "OFAC_SDN"
    assert record["subject"]["value"] == LISTED


async def test_a_risky_payer_is_held_though_on_no_list(bureau: Bureau) -> None:
    bureau.provider.says(STRANGER, Severity.HIGH)
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, payer=STRANGER)

    after = await bureau.screens(bill)

    assert (after.status, after.context) == (Status.COMPLIANCE_HOLD, Context.HIGH_RISK)
    assert (await bureau.run(bill)).decision == "aml_hold"


async def test_one_listed_payer_among_several_freezes_the_whole_invoice(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, units=DUE - 20_000)
    await bureau.office.is_paid(bill, payer=LISTED, units=20_000)

    after = await bureau.screens(bill)

    assert (after.status, after.context) == (Status.COMPLIANCE_HOLD, Context.SANCTIONED)
    record: Any = (await bureau.run(bill)).record
    assert record["subject"]["value"] == LISTED
    assert {s["value"]: s["decision"] for s in record["subjects"]} == {
        LISTED: "aml_hold",
        CUSTOMER: "clear",
    }


async def test_a_list_that_grew_old_sends_everything_to_a_person(bureau: Bureau) -> None:
    bureau.clock.advance(timedelta(hours=80))
    await bureau.knows_the_rate()
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)

    after = await bureau.screens_patiently(bill)

    run = await bureau.run(bill)
    assert after.status is Status.COMPLIANCE_HOLD
    assert (run.decision, floors(run)) == ("manual_review", ["list_unavailable"])
    assert run.record["degraded"] is True


async def test_without_any_list_nothing_is_clean(database: Database) -> None:
    office = Office(database, FakeClock())
    await office.opens()
    bureau = Bureau(office)
    await bureau.knows_the_rate()
    bill = await office.issues()
    await office.is_paid(bill)

    assert (await bureau.screens_patiently(bill)).status is Status.COMPLIANCE_HOLD
    assert floors(await bureau.run(bill)) == ["list_unavailable"]


class Sleepy:
    """A provider that never answers."""

    code = "sleepy"
    asked = 0

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        del query
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError


class Flaky(FakeScreener):
    """A provider that answers the second time."""

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        answer = await super().screen_address(query)
        if len(self.asked) == 1:
            raise ScreeningUnavailable
        return answer


class Broken:
    """A provider whose adapter is wrong."""

    code = "broken"

    async def screen_address(self, query: AddressQuery) -> AddressRisk:
        raise KeyError(query.address)


@pytest.mark.parametrize("make", [Sleepy, Broken])
async def test_a_provider_that_does_not_answer_sends_the_payment_to_a_person(
    bureau: Bureau, make: Callable[[], AddressScreener]
) -> None:
    bureau.screener = Screener(bureau.desk, Examiner(bureau.desk, [make()], timeout_seconds=0.05))
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)

    assert (await bureau.screens_patiently(bill)).status is Status.COMPLIANCE_HOLD
    run = await bureau.run(bill)
    assert (run.decision, floors(run)) == ("manual_review", ["provider_unavailable"])


async def test_a_provider_is_asked_once_more(bureau: Bureau) -> None:
    flaky = Flaky(bureau.clock)
    bureau.screener = Screener(bureau.desk, Examiner(bureau.desk, [flaky]))
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)

    assert (await bureau.screens(bill)).status is Status.SIGN_PENDING
    assert len(flaky.asked) == 2


async def test_a_required_provider_that_is_missing_is_noticed(database: Database) -> None:
    office = Office(database, FakeClock())
    await office.opens(providers=[{"code": "trm", "required": True}])
    bureau = Bureau(office)
    await bureau.lists(LISTED)
    await bureau.knows_the_rate()
    bill = await office.issues()
    await office.is_paid(bill)

    await bureau.screens_patiently(bill)
    assert floors(await bureau.run(bill)) == ["provider_unavailable"]


@pytest.mark.parametrize("minutes", [16, None])
async def test_an_amount_that_cannot_be_valued_sends_it_to_a_person(
    database: Database, minutes: int | None
) -> None:
    office = Office(database, FakeClock())
    await office.opens()
    bureau = Bureau(office)
    await bureau.lists(LISTED)
    if minutes is not None:
        await bureau.knows_the_rate()
        bureau.clock.advance(timedelta(minutes=minutes))
    bill = await office.issues()
    await office.is_paid(bill)

    assert (await bureau.screens_patiently(bill)).status is Status.COMPLIANCE_HOLD
    assert floors(await bureau.run(bill)) == ["amount_unknown"]


async def test_a_large_payment_is_looked_at(bureau: Bureau) -> None:
    units = 20_000 * 10**6
    bill = await bureau.office.issues(requests=(PaymentRequest(USDT, units, None),))
    await bureau.office.is_paid(bill, units=units)

    assert (await bureau.screens(bill)).status is Status.COMPLIANCE_HOLD
    run = await bureau.run(bill)
    assert (run.record["amount_twd"], floors(run)) == ("648200", ["edd_amount"])


async def test_several_tokens_are_valued_together(bureau: Bureau) -> None:
    await bureau.knows_the_rate("30", "USDC")
    asked = tuple(PaymentRequest(asset, DUE, None) for asset in (USDT, USDC))
    bill = await bureau.office.issues(requests=asked)
    await bureau.office.is_paid(bill, units=40_000_000)
    await bureau.office.is_paid(bill, units=60_000_000, asset=USDC)

    await bureau.screens(bill)
    run = await bureau.run(bill)
    assert run.record["amount_twd"] == "3096.4"
    rate: Any = run.record["rate"]
    assert rate["pair"] == "USDC/TWD"


async def test_newly_minted_money_has_no_known_payer(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, payer="0x" + "0" * 40)

    assert (await bureau.screens(bill)).status is Status.COMPLIANCE_HOLD
    assert floors(await bureau.run(bill)) == ["payer_unknown"]


async def test_a_crowd_of_payers_is_for_people_not_for_providers(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    crowd = MAX_PAYERS_ASKED + 1
    for n in range(crowd):
        await bureau.office.is_paid(bill, payer=f"0x{n + 1:040x}", units=DUE // crowd + 1)

    assert (await bureau.screens(bill)).status is Status.COMPLIANCE_HOLD
    assert len(bureau.provider.asked) == MAX_PAYERS_ASKED
    run = await bureau.run(bill)
    assert floors(run) == ["provider_unavailable"]
    assert run.record["subject_count"] == crowd


async def test_money_that_comes_during_a_screening_is_screened_too(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)
    (claim,) = await screening.claim(bureau.desk, limit=1, lease_seconds=60)
    case = await screening.case_of(bureau.desk, claim)
    clean = screening.Finding(
        bureau.desk.ids.new(), "clear", sanctioned=False, total=Decimal(0), scores={}, record={}
    )
    await bureau.office.is_paid(bill, payer=LISTED, units=DUE)
    assert await verdicts.conclude(bureau.desk, case, clean)

    assert (await bureau.office.invoice(bill)).status is Status.SCREENING
    assert (await bureau.screens(bill)).status is Status.COMPLIANCE_HOLD


async def test_a_screener_that_lost_its_lease_decides_nothing(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, payer=LISTED)
    (claim,) = await screening.claim(bureau.desk, limit=1, lease_seconds=60)
    slept = await screening.case_of(bureau.desk, claim)
    bureau.clock.advance(timedelta(seconds=60))
    await bureau.screens(bill)
    before = await bureau.run(bill)

    late = screening.Finding(
        bureau.desk.ids.new(), "clear", sanctioned=False, total=Decimal(0), scores={}, record={}
    )
    assert not await verdicts.conclude(bureau.desk, slept, late)
    assert await bureau.run(bill) == before
    assert (await bureau.office.invoice(bill)).status is Status.COMPLIANCE_HOLD


async def test_money_that_is_not_confirmed_yet_is_not_screened(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, depth=Depth.SEEN)
    assert (await bureau.screens(bill)).status is Status.PAYMENT_DETECTED
    assert await bureau.runs(bill) == []


async def test_a_case_that_cannot_be_finished_comes_back(bureau: Bureau) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)
    (claim,) = await screening.claim(bureau.desk, limit=1, lease_seconds=60)
    assert await screening.give_back(bureau.desk, claim, "no luck")

    assert (await bureau.screens(bill)).status is Status.SCREENING
    bureau.clock.advance(timedelta(seconds=1))
    assert (await bureau.screens(bill)).status is Status.SIGN_PENDING


# ------------------------------------------------------------------------------------- lists

MANY = tuple(f"0x{n:040x}" for n in range(1, 11))


async def on_list(bureau: Bureau, *addresses: str) -> set[str]:
    search = await screening.look_up(bureau.desk, [("evm", a) for a in addresses])
    return {row.address for row in search.found}


async def test_a_new_version_adds_and_removes(bureau: Bureau) -> None:
    await bureau.lists(*MANY, override=True)
    diff = await import_list(bureau.desk, sdn(*MANY[1:], LISTED), "a test")

    assert diff.added == (("evm", LISTED),)
    assert diff.removed == (("evm", MANY[0]),)
    assert await on_list(bureau, *MANY, LISTED) == {*MANY[1:], LISTED}
    assert (await screening.current_version(bureau.desk, "OFAC_SDN")).version == 3


async def test_what_was_once_listed_stays_in_the_books(bureau: Bureau) -> None:
    await bureau.lists(*MANY, override=True)
    async with bureau.desk.database.reading() as tx:
        cursor = await tx.execute(
            "SELECT version_from, version_to FROM screening_list_address WHERE address = %s",
            [LISTED],
        )
        assert await cursor.fetchall() == [(1, 2)]


async def test_a_list_that_shrinks_by_a_third_is_refused(bureau: Bureau) -> None:
    await bureau.lists(*MANY, override=True)
    with pytest.raises(Conflict, match="loses 3 of 10 entries"):
        await bureau.lists(*MANY[3:])
    assert await on_list(bureau, *MANY) == set(MANY)

    await bureau.lists(*MANY[3:], override=True)
    assert await on_list(bureau, *MANY) == set(MANY[3:])


async def test_the_same_file_again_only_proves_that_it_is_current(bureau: Bureau) -> None:
    bureau.clock.advance(timedelta(hours=60))
    await bureau.lists(LISTED)

    (state,) = await screening.lists(bureau.desk)
    assert state.fetched_at == bureau.clock.now()
    assert (await screening.current_version(bureau.desk, "OFAC_SDN")).version == 1
    assert await on_list(bureau, LISTED) == {LISTED}


async def test_an_entry_that_changes_its_name_changes_its_row(bureau: Bureau) -> None:
    for name in ("Old Name", "New Name"):
        await import_list(bureau.desk, sdn(entries=[(LISTED, name)]), "a test")
    search = await screening.look_up(bureau.desk, [("evm", LISTED)])
    assert [list(row.names) for row in search.found] == [["New Name"]]


async def test_two_imports_at_once_do_not_overwrite_each_other(bureau: Bureau) -> None:
    stale = await screening.current_version(bureau.desk, "OFAC_SDN")
    await bureau.lists(*MANY, override=True)
    new = screening.NewVersion("OFAC_SDN", None, "ab" * 32, 0, "a test", [])
    with pytest.raises(Conflict, match="somebody else"):
        await screening.replace_list(bureau.desk, new, replaces=stale.version)
    assert await on_list(bureau, *MANY) == set(MANY)


# ------------------------------------------------------------------------------------ policy


def test_a_policy_has_defaults_and_takes_overrides() -> None:
    plain = policy_of({})
    assert (plain.review, plain.hold) == (Decimal(40), Decimal(75))
    assert plain.lists == {"OFAC_SDN"}
    strict = policy_of(
        {
            "version": 3,
            "bands": {"review": 30, "hold": 60},
            "thresholds": {"edd_twd": 100000, "travel_rule_twd": 30000},
            "lists": {"OFAC_SDN": False, "UN_SC": True, "UK": False},
            "rules": {"large_transaction_risk": {"enabled": False}},
            "peaks": {"kya_risk": 0.9},
            "list_max_age_hours": 48,
        }
    )
    assert (strict.version, strict.review, strict.hold) == (3, Decimal(30), Decimal(60))
    assert strict.lists == {"OFAC_SDN", "UN_SC"}, "no setting frees anybody of OFAC's list"
    assert strict.rules_off == {"large_transaction_risk"}
    assert strict.peak("kya_risk") == Decimal("0.9")
    assert strict.list_max_age == timedelta(hours=48)


@pytest.mark.parametrize(
    "settings",
    [
        {"bands": {"review": 40, "hold": 95}},
        {"bands": "tight"},
        {"list_max_age_hours": 1000},
        {"rules": {"kya_risk": {"enabled": False}}},
    ],
)
def test_a_policy_outside_its_guard_rails_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        policy_of(settings)
