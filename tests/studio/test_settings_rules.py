"""Settings: the rules of new invoices, how they are paid, and the rates they are priced with."""

import re
from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html import unescape

from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Policy
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import org_log, rates, settings
from counterfoil.studio.settings.rules import NAMES
from support.keyboards import wide
from support.site import PASSWORD, Firm, Site
from support.visitor import Page, Visitor

RULES = "/studio/settings/rules"
RATES = "/studio/settings/rates"
READER = Actor("user_test", 1, frozenset({Permission.AUDIT, Permission.READ}))


def written(page: Page) -> dict[str, str]:
    """What stands in the form."""
    inputs = re.findall(
        r'<input class="form-control[^>]*name="(\w+)"[^>]*value="([^"]*)"', page.text
    )
    found = {name: unescape(value) for name, value in inputs if name in NAMES}
    for name, options in re.findall(r'(?s)<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', page.text):
        found[name] = "".join(re.findall(r'value="(\w+)" selected', options))
    return found


def test_every_rule_but_the_one_that_never_changes_is_in_the_form() -> None:
    names = {field.name for field in fields_of(Policy)} - {"sign_off_required"}
    assert set(NAMES) == names


async def told(site: Site) -> list[Mapping[str, object]]:
    """What the log says of rules, oldest first."""
    entries = (await org_log.history(site.desk, READER)).entries
    return [e.metadata for e, _ in entries if e.event == "policy_changed"]


async def test_what_is_stricter_holds_at_once_and_what_is_looser_after_the_waiting(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    form = written(await anna.open(RULES))
    assert form["underpay_ratio"] == "100"
    assert form["auto_accept_late_minutes"] == ""
    loose = {
        "maker_is_not_checker": "false",
        "underpay_ratio": "99.5",
        "auto_accept_late_minutes": "15",
    }
    chains = {"confirm_soft_chains": ["arb", "base"]}
    done = await anna.send(RULES, {**form, **loose, **chains, "grace_days": "9"})
    assert "What is stricter holds now" in done.words
    (announced,) = re.findall(r"become looser at (.*?) They go on waiting", done.words)
    assert announced.startswith("2026-06-23 12:00 UTC : Two people: yes → no Least share")
    assert "100% → 99.5%" in announced
    assert announced.endswith("→ 15")
    assert written(done) == {**form, "grace_days": "9"}
    assert 'name="confirm_soft_chains" value="base" checked' in done.text
    maya = await site.at_the_pages("maya1@merchant.example")
    now = (await maya.open("/studio/now")).words
    assert "The rules of new invoices become looser at 2026-06-23 12:00 UTC." in now
    invoice = (await firm.all_roles.create()).data["id"]
    assert (await firm.all_roles.approve(invoice)).status == 403
    site.clock.advance(timedelta(days=1))
    await site.publish_rates()
    assert (await firm.all_roles.approve(invoice)).status == 403
    later = (await firm.all_roles.create()).data["id"]
    assert (await firm.all_roles.approve(later)).status == 200
    await anna.sign_in("anna1@merchant.example", PASSWORD)
    assert written(await anna.open(RULES)) == {**form, **loose, "grace_days": "9"}
    (entry,) = await told(site)
    assert entry == {
        "grace_days": [14, 9],
        "confirm_soft_chains": ["", "arb, base"],
        "later": {
            "maker_is_not_checker": [True, False],
            "underpay_ratio": ["1", "0.995"],
            "auto_accept_late_minutes": [None, 15],
        },
        "from": "2026-06-23T12:00:00+00:00",
    }
    ada = await site.at_the_pages("ada1@merchant.example")
    history = (await ada.open("/studio/settings/log")).words
    assert "Days of grace 14 → 9" in history
    assert "Two people: yes → no" in history
    emptied = await anna.send(RULES, {**form, **loose, **chains, "auto_accept_late_minutes": ""})
    assert emptied.status == 200
    assert (await settings.policy_of(site.desk, READER)).auto_accept_late_minutes is None


async def test_what_was_announced_goes_on_waiting_until_somebody_takes_it_back(
    site: Site, anna: Visitor
) -> None:
    form = written(await anna.open(RULES))
    for looser in ({"approval_required": "false"}, {"approval_required": "false"}):
        await anna.send(RULES, {**form, **looser})
    assert len(await told(site)) == 1
    announced_at = site.clock.now()
    site.clock.advance(timedelta(minutes=5))
    stricter = {**form, "grace_days": "9"}
    kept = await anna.send(RULES, stricter)
    assert "become looser at 2026-06-23 12:00 UTC : " in kept.words
    assert "Take it back" in kept.words
    assert (await told(site))[-1] == {"grace_days": [14, 9]}
    rules = await settings.rules_of(site.desk, READER)
    assert rules.next_at == announced_at + timedelta(days=1)
    assert rules.next_rules == replace(Policy(), grace_days=9, approval_required=False)
    # The operator's word about another rule leaves it waiting, too.
    await settings.change_policy(site.desk, 1, {"grace_days": "14"})
    assert (await settings.rules_of(site.desk, READER)).next_at == rules.next_at
    another = await anna.send(RULES, {**form, "underpay_ratio": wide("99.5%")})
    assert another.words.count("→") == 2
    both = await settings.rules_of(site.desk, READER)
    assert both.next_at == site.clock.now() + timedelta(days=1)
    one = {**form, "take_back": ["approval_required"]}
    back = await anna.send(RULES, {**one, "underpay_ratio": "10"})
    assert 'name="take_back" value="approval_required" checked' in back.text
    assert (await anna.send(RULES, one)).words.count("→") == 1
    assert (await told(site))[-1]["taken_back"] == {"approval_required": [True, False]}
    back = await anna.send(RULES, {**form, "take_back": ["underpay_ratio"]})
    assert "become looser" not in back.words
    assert (await told(site))[-1] == {"taken_back": {"underpay_ratio": ["1", "0.995"]}}
    site.clock.advance(timedelta(days=2))
    assert await settings.policy_of(site.desk, READER) == Policy()
    # The operator's word holds at once.
    policy = await settings.change_policy(site.desk, 1, {"approval_required": "false"})
    assert not policy.approval_required


async def test_a_rule_that_would_lose_money_is_refused_at_its_field(
    site: Site, anna: Visitor
) -> None:
    page = await anna.open(RULES)
    form = written(page)
    for name, value, sentence in (
        ("underpay_ratio", "89", "must be from 90% to 100%"),
        ("underpay_ratio", "0.995", "must be from 90% to 100%"),
        ("overpay_ratio", "90", "must be from 100% to 200%"),
        ("overpay_ratio", "NaN", "must be a plain number of per cent"),
        ("underpay_ratio", "99.12345", "per cent, at most 4 digits after the point"),
        ("underpay_ratio", "", "must be a plain number of per cent"),
        ("dust_below", "1e-4000000", "must be a plain number with at most 6 digits"),
        ("dust_below", "\u0660.\u0661", "must be written with plain digits"),
        ("grace_days", "1,4", "cannot be '1,4': only a whole number"),
        ("grace_days", "two", "cannot be 'two': only a whole number"),
        ("grace_days", "", "cannot be"),
        ("overpaid", "keep", "only one of the words that are offered"),
        ("grace_days", "367", "must be from 0 to 366"),
        ("rate_spread_bps", "5.01", "must be from 0% to 5%"),
        ("rate_spread_bps", "-1", "must be from 0% to 5%"),
        ("rate_spread_bps", "0.125", "per cent, at most 2 digits after the point"),
        ("rate_max_age_seconds", "5", "must be from 30 to 86400"),
        ("rate_sources", "nobody", "said nothing of late; there is test"),
        ("rate_sources_agree", "2", "must be at most 1"),
        ("rate_sources_agree", "0", "must be from 1 to 5"),
        ("confirm_soft_below_usd", "10001", "must be from 0 to 10000"),
        ("confirm_soft_chains", "doge", "doge is none of"),
        ("auto_accept_underpaid_from", "40", "must be from 50% to 100%, or be left empty"),
        ("auto_accept_underpaid_from", "100", "below the share that counts as paid, which is 100%"),
        ("auto_accept_late_minutes", "0", "must be from 1 to 527040, or be left empty"),
    ):
        wrong = {**form, "receipt_window_seconds": "60", name: value}
        refused = await anna.send(RULES, wrong, token=page.form_token)
        assert refused.status == 422, name
        assert refused.words.count(sentence) == 2, name
        assert written(refused)["receipt_window_seconds"] == "60"
        assert "now: 86400" in refused.words
    assert await settings.policy_of(site.desk, READER) == Policy()
    assert (await org_log.history(site.desk, READER)).entries == []


async def test_chains_stay_chosen_however_they_were_written(site: Site, anna: Visitor) -> None:
    await settings.change_policy(site.desk, 1, {"confirm_soft_chains": "optimism,arb"})
    page = await anna.open(RULES)
    ticked = re.findall(r'name="confirm_soft_chains" value="(\w+)" checked', page.text)
    assert ticked == ["arb", "optimism"]
    form = written(page)
    saved = {**form, "confirm_soft_chains": ticked, "grace_days": "9"}
    assert "become looser" not in (await anna.send(RULES, saved)).words
    policy = await settings.policy_of(site.desk, READER)
    assert [c for c in CHAINS if policy.confirms_soon_on(c)] == ticked
    for entry in (await told(site))[1:]:
        assert entry == {"grace_days": [14, 9]}
    # No box at all means every chain, which is looser.
    announced = (await anna.send(RULES, {**form, "grace_days": "9"})).words
    assert "Arbitrum One, Optimism → all chains They go on waiting" in announced


async def test_a_spread_prices_new_invoices_and_no_other(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    before = (await firm.merchant.create()).data
    form = written(await anna.open(RULES))
    changes = {"rate_spread_bps": "0.5 %", "rate_sources": "test", "receipt_window_seconds": "600"}
    await anna.send(RULES, {**form, **changes})
    after = (await firm.merchant.create(payment_terms=0)).data
    assert [b["payment_intent"]["crypto_price"] for b in (before, after)] == ["32.5", "32.3375"]
    due = [b["payment_intent"]["crypto_amount"] for b in (before, after)]
    assert due == ["92.307693", "92.771551"]
    deadline = after["payment_intent"]["payment_deadline"]
    assert deadline - int(site.clock.now().timestamp()) == 600
    edited = await firm.merchant.update(before["id"], description="The same price")
    assert edited.data["payment_intent"]["crypto_amount"] == "92.307693"
    await anna.send(RULES, {**form, **changes, "rate_sources": ""})
    assert (await settings.policy_of(site.desk, READER)).rate_sources == "test"


async def test_how_invoices_are_paid_is_chosen_by_chain(site: Site, anna: Visitor) -> None:
    done = await anna.send(f"{RULES}/deposits", {"chain": "arb", "mode": "hd"})
    assert "a key for each invoice" in done.words
    modes = await settings.choose_deposits(site.desk, 1, None, None)
    assert [chain for chain, mode in modes.items() if mode == "hd"] == ["arb"]
    for wrong in ({"chain": "doge", "mode": "hd"}, {"chain": "arb", "mode": "paper"}):
        assert (await anna.send(f"{RULES}/deposits", wrong)).status == 422
    ((entry, _),) = (await org_log.history(site.desk, READER)).entries
    assert (entry.subject, entry.metadata) == ("arb", {"before": "factory", "after": "hd"})


async def test_everybody_reads_the_rules_and_administrators_change_them(
    site: Site, anna: Visitor
) -> None:
    form = written(await anna.open(RULES))
    changed = {**form, "grace_days": "3"}
    for name in ("maya", "rita", "sam", "otto", "ada"):
        visitor = await site.at_the_pages(f"{name}1@merchant.example")
        page = await visitor.open(RULES)
        assert "Changes need the permission" in page.words
        assert "Change the rules" not in page.words
        for path, fields in ((RULES, changed), (f"{RULES}/deposits", {"chain": "arb"})):
            refused = await visitor.send(path, fields, token=page.form_token)
            assert refused.status == 403
            assert "organization:administer" in refused.words
    site.clock.advance(timedelta(minutes=11))
    assert (await anna.send(RULES, changed)).status == 403
    assert await settings.policy_of(site.desk, READER) == Policy()
    assert (await anna.send(RULES, {**changed, "proof": PASSWORD})).status == 200


async def test_rates_show_their_age(site: Site, anna: Visitor) -> None:
    page = await anna.open(RATES)
    assert "USDT/TWD 32.5 test" in page.words
    assert page.words.count("in use") == 7
    site.clock.advance(timedelta(seconds=901))
    page = await anna.open(RATES)
    assert page.words.count("too old") == 7
    assert "only rates of at most 900 s are used" in page.words


async def test_the_rate_that_prices_is_the_one_that_is_called_in_use(
    site: Site, anna: Visitor
) -> None:
    now = site.clock.now()
    bank = rates.Snapshot("USDT", "TWD", now, "bank", Decimal("32.9"), {}, now, rank=1)
    await rates.store(site.desk, bank)
    page = await anna.open(RATES)
    at = f"{now:%Y-%m-%d %H:%M} UTC"
    assert f"USDT/TWD 32.5 test {at} 0 in use" in page.words
    assert f"USDT/TWD 32.9 bank {at} 0 at hand" in page.words

    form = written(await anna.open(RULES))
    wrong = await anna.send(RULES, {**form, "rate_sources": "bank"})
    assert wrong.status == 422
    assert "would leave nobody for USDC/TWD, of which only test speaks" in wrong.words
    both = await anna.send(RULES, {**form, "rate_sources_agree": "2"})
    assert both.status == 422
    assert "must be at most 1, as so many sources count for USDC/TWD" in both.words
    await anna.send(RULES, {**form, "rate_spread_bps": "1"})
    assert "in use as 32.175, your spread taken off" in (await anna.open(RATES)).words
