"""Passkeys, attacked: answers from elsewhere, played again, too late, of others, and of copies."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import pytest

from counterfoil.app import WebSettings
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values, execute, one_value
from support.authenticator import (
    ADD,
    ATTESTED,
    BEGIN,
    PRESENT,
    QUESTION,
    SIGN_IN,
    VERIFIED,
    Authenticator,
    add_passkey,
    question_on,
    sign_in_with,
)
from support.contents import all_tables
from support.shop import Shop
from support.site import PASSWORD, Site, open_site
from support.visitor import Page, Visitor

ORIGIN: Final = "https://studio.merchant.example"
EVIL: Final = "https://studio.merchant.example.evil.example"
MAYA: Final = "maya1@merchant.example"
SAM: Final = "sam1@merchant.example"
NOT_TAKEN: Final = "this passkey was not taken"
TOO_LATE: Final = "this took too long, or was answered already"


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    """An organisation with the two people whom these stories need."""
    async with open_site(database, WebSettings(public_url=ORIGIN)) as site:
        await Shop(site.desk).open()
        await site.person(1, "maya", "finance")
        await site.person(1, "sam", "signer")
        yield site


@pytest.fixture
async def maya(site: Site) -> Visitor:
    return await site.at_the_pages(MAYA)


@pytest.fixture
async def telephone(maya: Visitor) -> Authenticator:
    """Maya's, with a passkey of hers."""
    device = Authenticator(ORIGIN)
    await add_passkey(maya, device)
    return device


async def hand_in(visitor: Visitor, answer: str) -> Page:
    token = (await visitor.open("/studio/sign-in")).form_token
    return await visitor.send(SIGN_IN, {"passkey": answer}, token=token)


async def sessions(site: Site) -> int:
    async with site.desk.database.reading() as tx:
        return await one_value(tx, int, "SELECT count(*) FROM person_session", {}) or 0


LIES: Final[tuple[dict[str, Any], ...]] = (
    {"origin": EVIL},
    {"origin": "http://studio.merchant.example"},
    {"origin": f"{ORIGIN}:8443"},
    {"origin": f"{ORIGIN}/"},
    {"rp_id": "merchant.example"},
    {"rp_id": "evil.example"},
    {"kind": "webauthn.create"},
    {"kind": "payment.get"},
    {"user_id": b""},
    {"user_id": b"somebody else"},
)


async def test_an_answer_from_elsewhere_or_for_something_else_opens_nothing(
    site: Site, telephone: Authenticator
) -> None:
    stranger = await site.at_the_pages()
    before = await sessions(site)
    for lie in LIES:
        refused = await sign_in_with(stranger, telephone, **lie)
        assert (refused.status, NOT_TAKEN in refused.words) == (403, True), lie
        site.clock.advance(timedelta(minutes=4))
    framed = await sign_in_with(stranger, telephone, cross_origin=True)
    assert (framed.status, TOO_LATE in framed.words) == (403, True)
    telephone.flags = PRESENT
    assert NOT_TAKEN in (await sign_in_with(stranger, telephone)).words
    telephone.flags = VERIFIED
    assert NOT_TAKEN in (await sign_in_with(stranger, telephone)).words
    assert await sessions(site) == before
    telephone.flags = PRESENT | VERIFIED
    site.clock.advance(timedelta(minutes=16))
    assert (await sign_in_with(stranger, telephone)).status == 200


async def test_a_challenge_is_good_once_for_five_minutes_in_one_browser_and_for_one_thing(
    site: Site, maya: Visitor, telephone: Authenticator
) -> None:
    stranger, other = await site.at_the_pages(), await site.at_the_pages()
    await stranger.open("/studio/sign-in")
    question = (await stranger.open(SIGN_IN)).text
    answer = telephone.answer(question)
    assert TOO_LATE in (await hand_in(other, answer)).words
    token = (await stranger.open("/studio/sign-in")).form_token
    assert (await stranger.send(SIGN_IN, {"passkey": answer}, token=token)).status == 200
    # With the cookie that the browser had then, which is how it would be played again.
    stranger.session.cookie_jar.clear()
    fresh = await site.at_the_pages()
    for text in (answer, telephone.answer(question)):
        assert TOO_LATE in (await hand_in(fresh, text)).words

    old = (await fresh.open(SIGN_IN)).text
    site.clock.advance(timedelta(minutes=5))
    assert TOO_LATE in (await hand_in(fresh, telephone.answer(old))).words

    to_sign_in = telephone.answer((await maya.open(SIGN_IN)).text)
    to_confirm = (await maya.open(QUESTION)).text
    assert TOO_LATE in (await maya.send(BEGIN, {"passkey": to_sign_in})).words
    assert TOO_LATE in (await hand_in(fresh, telephone.answer(to_confirm))).words
    made_up = urlsafe_b64encode(bytes(56)).rstrip(b"=").decode()
    for challenge in (made_up, "", "AAAA", json.loads(to_confirm)["challenge"][:-2]):
        assert (await sign_in_with(fresh, telephone, challenge=challenge)).status == 403


async def test_the_same_answer_many_times_at_once_opens_one_session(
    site: Site, telephone: Authenticator
) -> None:
    stranger = await site.at_the_pages()
    token = (await stranger.open("/studio/sign-in")).form_token
    answer = telephone.answer((await stranger.open(SIGN_IN)).text)
    before = await sessions(site)
    pages = await asyncio.gather(
        *(stranger.send(SIGN_IN, {"passkey": answer}, token=token, follow=False) for _ in range(8))
    )
    assert sorted(page.status for page in pages) == [303] + [403] * 7
    assert await sessions(site) == before + 1
    assert (await sign_in_with(await site.at_the_pages(), telephone)).status == 200


async def test_nobody_confirms_with_the_passkey_of_somebody_else(
    site: Site, maya: Visitor, telephone: Authenticator
) -> None:
    sam, sams = await site.at_the_pages(SAM), Authenticator(ORIGIN)
    await add_passkey(sam, sams)
    site.clock.advance(timedelta(minutes=11))
    token = (await maya.open("/studio/account")).form_token
    question = (await maya.open(QUESTION)).text
    for lies in ({}, {"user_id": b""}, {"user_id": telephone.kept[0].user_id}):
        answer = sams.answer((await maya.open(QUESTION)).text, **lies)
        refused = await maya.send(BEGIN, {"passkey": answer}, token=token)
        assert (refused.status, NOT_TAKEN in refused.words) == (403, True)
    # A session of the same person elsewhere has questions of its own.
    elsewhere = await site.at_the_pages(MAYA)
    theirs = telephone.answer((await elsewhere.open(QUESTION)).text)
    assert TOO_LATE in (await maya.send(BEGIN, {"passkey": theirs}, token=token)).words
    assert "data-question" not in (await maya.open(ADD)).text
    right = await maya.send(BEGIN, {"passkey": telephone.answer(question)}, token=token)
    assert "data-question" in right.text


async def test_a_stolen_signature_and_a_forged_one_are_not_taken(
    site: Site, telephone: Authenticator
) -> None:
    stranger, forger = await site.at_the_pages(), Authenticator(ORIGIN)
    await add_passkey(await site.at_the_pages(SAM), forger)
    await stranger.open("/studio/sign-in")
    question = (await stranger.open(SIGN_IN)).text
    forger.kept[0].credential_id = telephone.kept[0].credential_id
    forger.kept[0].user_id = telephone.kept[0].user_id
    assert NOT_TAKEN in (await hand_in(stranger, forger.answer(question))).words
    # What is wrong with the first answer has used the question up.
    assert TOO_LATE in (await hand_in(stranger, telephone.answer(question))).words


async def test_one_that_counts_backwards_is_blocked_for_its_owner_and_the_thief(
    site: Site, maya: Visitor, telephone: Authenticator
) -> None:
    assert (await sign_in_with(await site.at_the_pages(), telephone)).status == 200
    thiefs = telephone.copied()
    assert (await sign_in_with(await site.at_the_pages(), thiefs)).status == 200
    for device in (telephone, thiefs, telephone):
        refused = await sign_in_with(await site.at_the_pages(), device)
        assert refused.status == 403
        assert "this passkey may have been copied" in refused.words
    page = await maya.open("/studio/account")
    assert "It may have been copied, and is taken no longer" in page.words
    assert "Use a passkey instead" not in page.words
    assert (await maya.open(QUESTION)).status == 409
    async with site.desk.database.reading() as tx:
        events = await all_values(tx, str, "SELECT event FROM org_log ORDER BY sequence", {})
    assert events == ["passkey_added", "passkey_blocked"]


async def test_one_that_never_counts_is_taken_every_time(
    site: Site, maya: Visitor, telephone: Authenticator
) -> None:
    shared = Authenticator(ORIGIN, steps=0)
    await add_passkey(maya, shared, "Kept by the cloud")
    for _ in range(3):
        assert (await sign_in_with(await site.at_the_pages(), shared)).status == 200
    # Once it has counted it must go on.
    shared.kept[0].count = 7
    assert (await sign_in_with(await site.at_the_pages(), shared)).status == 200
    shared.kept[0].count = 0
    assert "copied" in (await sign_in_with(await site.at_the_pages(), shared)).words
    assert telephone.kept


async def test_unknown_passkeys_and_those_of_disabled_members_look_alike(
    site: Site, telephone: Authenticator
) -> None:
    stranger = await site.at_the_pages()
    nobodys = Authenticator(ORIGIN)
    nobodys.make(await question_on(await site.at_the_pages(SAM)))
    unknown = await sign_in_with(stranger, nobodys)
    async with site.desk.database.transaction() as tx:
        sql = "UPDATE member SET disabled_at = now()"
        await execute(tx, sql, {})
    disabled = await sign_in_with(stranger, telephone)
    wrong = await sign_in_with(stranger, telephone, rp_id="evil.example")
    assert unknown.status == disabled.status == wrong.status == 403
    assert unknown.words == disabled.words == wrong.words
    typed = await stranger.sign_in(MAYA, PASSWORD)
    assert typed.status == 403
    question = json.loads((await stranger.open(SIGN_IN)).text)
    assert question["allowCredentials"] == []
    assert set(question) == {
        "challenge",
        "timeout",
        "rpId",
        "allowCredentials",
        "userVerification",
    }


async def test_wrong_answers_are_looked_at_ten_times_in_a_quarter_of_an_hour(
    site: Site, telephone: Authenticator
) -> None:
    stranger = await site.at_the_pages()
    statuses = [(await sign_in_with(stranger, telephone, origin=EVIL)).status for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    assert (await sign_in_with(stranger, telephone)).status == 429
    # Her password is another way in, and nobody has tried that.
    assert (await (await site.at_the_pages()).sign_in(MAYA, PASSWORD)).status == 200
    site.clock.advance(timedelta(minutes=16))
    assert (await sign_in_with(stranger, telephone)).status == 200


async def test_nobody_adds_a_passkey_of_another_place_person_or_session(
    site: Site, maya: Visitor, database: Database
) -> None:
    sam, device = await site.at_the_pages(SAM), Authenticator(ORIGIN)
    token = (await maya.open("/studio/account")).form_token
    sams = await question_on(sam)
    before = await all_tables(database)
    for made, why in (
        (device.make(sams), TOO_LATE),
        (device.make(await question_on(maya), origin=EVIL), NOT_TAKEN),
        (device.make(await question_on(maya), rp_id="evil.example"), NOT_TAKEN),
        (device.make(await question_on(maya), cross_origin=True), TOO_LATE),
        (device.make(await question_on(maya), kind="webauthn.get"), NOT_TAKEN),
    ):
        refused = await maya.send(ADD, {"name": "x", "made": made}, token=token)
        assert (refused.status, why in refused.words) == (403, True)
    for flags in (PRESENT, VERIFIED, PRESENT | VERIFIED | ATTESTED | 0x80):
        careless = Authenticator(ORIGIN, flags=flags)
        assert (await add_passkey(maya, careless)).status == 403
    assert await all_tables(database) == before
    late = await question_on(maya)
    site.clock.advance(timedelta(minutes=5))
    made = device.make(late)
    assert TOO_LATE in (await maya.send(ADD, {"name": "x", "made": made}, token=token)).words


async def test_a_passkey_is_registered_once_and_by_one_person(
    site: Site, maya: Visitor, telephone: Authenticator
) -> None:
    sam, device = await site.at_the_pages(SAM), Authenticator(ORIGIN)
    question = await question_on(sam)
    taken = device.make(question, credential_id=telephone.kept[0].credential_id)
    page = await sam.send(ADD, {"name": "x", "made": taken})
    assert (page.status, "registered already" in page.words) == (409, True)
    # The question was not used up, since nothing was kept.
    fields = {"name": "x", "made": device.make(question)}
    assert (await sam.send(ADD, fields)).status == 200
    assert TOO_LATE in (await sam.send(ADD, fields)).words
    assert (await sign_in_with(await site.at_the_pages(), telephone)).status == 200
    assert "Maya" in (await maya.open("/studio/account")).text


async def test_others_can_not_be_removed(
    site: Site, maya: Visitor, telephone: Authenticator
) -> None:
    async with site.desk.database.reading() as tx:
        passkey_id = await one_value(tx, str, "SELECT passkey_id::text FROM passkey", {})
    assert passkey_id is not None
    path = f"/studio/account/passkeys/pass_{passkey_id.replace('-', '')}/remove"
    sam = await site.at_the_pages(SAM)
    assert (await sam.send(path)).status == 404
    assert (await sign_in_with(await site.at_the_pages(), telephone)).status == 200
    assert (await maya.send(path, {"old": PASSWORD})).status == 200


def _strange(name: str, client_data: str, other: str) -> str:
    parts = dict.fromkeys(("authenticatorData", "signature", "attestationObject"), other)
    response = {"clientDataJSON": client_data, **parts}
    return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


STRANGE: Final = (
    "x",
    "[]",
    "null",
    "[" * 20_000,
    "9" * 5_000,
    "{}",
    '{"id": 1, "rawId": "AA", "type": "public-key", "response": {}}',
    _strange("AA", "e30", "gA"),
    _strange("A", "A", "\u00e9"),
    "x" * 70_000,
)


async def test_strange_answers_are_refused_in_words(site: Site, maya: Visitor) -> None:
    stranger = await site.at_the_pages()
    token = (await stranger.open("/studio/sign-in")).form_token
    mine = (await maya.open("/studio/account")).form_token
    for text in STRANGE:
        for page in (
            await stranger.send(SIGN_IN, {"passkey": text}, token=token),
            await maya.send(BEGIN, {"passkey": text}, token=mine),
            await maya.send(ADD, {"name": "x", "made": text}, token=mine),
        ):
            assert (page.status, NOT_TAKEN in page.words) == (403, True), ascii(text[:40])
