"""Every route of Studio, as every role, as a stranger, from elsewhere, and with others' ids.

All of it happens in one world, which most tests prove that they leave as it was; what the roles may
do changes it, so they come last.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

import pytest
import pytest_asyncio

from attack.studio_routes import NAMED, ROUTES, Route
from counterfoil.core import ids
from counterfoil.core.roles import ROLES, Actor, permissions_of
from counterfoil.db.pool import Database
from counterfoil.db.rows import one_value
from counterfoil.desk import (
    bank_accounts,
    clients,
    directory,
    membership,
    payout_addresses,
    profile,
)
from counterfoil.studio import HANDLERS, invoice, queues
from support.banks import FUBON
from support.contents import all_tables
from support.patience import patiently
from support.pictures import drawn
from support.postgres import TestServer
from support.site import Firm, Site, open_site
from support.visitor import Page, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")

PDF: Final = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"
PEOPLE: Final = {
    "finance": "maya",
    "reviewer": "rita",
    "signer": "sam",
    "compliance": "otto",
    "auditor": "ada",
    "administrator": "adam",
}
OF_A_MEMBER: Final = ("key", "passkey", "session")
OF_THE_FIRM: Final = ("address", "account", "client", "recipient")
UNSAFE: Final = tuple(route for route in ROUTES if route.is_unsafe)


def served() -> Iterator[tuple[str, str]]:
    """Method and path of whatever the router answers, with the ids' kinds left out."""
    for handler in HANDLERS:
        for method in handler.http_methods:
            for path in handler.paths:
                plain = re.sub(r":\w+}", "}", path)
                names = NAMED.get(plain, ("",))
                for name in names:
                    yield method, _shape(plain.replace("{name}", name) if name else plain)


def _shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


async def test_every_route_has_a_row_and_every_row_a_route() -> None:
    rows = [(route.method, _shape(route.path)) for route in ROUTES]

    assert sorted(rows) == sorted(served())
    assert set(NAMED["/invoices/{public_id}/{name}"]) == set(invoice.SIMPLE)
    assert set(NAMED["/queue/{name}"]) == {one.name for one in (*queues.QUEUES, queues.AFTER)}
    open_paths = {p for h in HANDLERS if "open" in h.opt for p in h.paths}
    assert {_shape(r.path) for r in ROUTES if r.is_open} == {
        _shape(re.sub(r":\w+}", "}", path)) for path in open_paths
    }


@dataclass(frozen=True)
class Ids:
    """What routes name: things of one organisation, or of nobody."""

    invoice: str
    file: str
    event: str
    member: str
    session: str
    job: str
    passkey: str
    key: str
    address: str
    account: str
    logo: str
    client: str
    recipient: str
    token: str
    role: str = "signer"

    def path(self, route: Route) -> str:
        return "/studio" + route.path.format(**self.__dict__).rstrip("/")


ZEROS: Final = "0" * 32
BUYER: Final = directory.Written("Known Buyer", "known@buyer.example")
NOBODYS: Final = Ids(
    invoice=f"inv_{ZEROS}",
    file=f"file_{ZEROS}",
    event=f"evt_{ZEROS}",
    member=f"user_{ZEROS}",
    session=f"ses_{ZEROS}",
    job=f"job_{ZEROS}",
    passkey=f"pass_{ZEROS}",
    key="0" * 16,
    address=f"pad_{ZEROS}",
    account="999",
    logo="0" * 64,
    client="client_0",
    recipient=f"rcp_{ZEROS}",
    token="0" * 43,
)


@dataclass(frozen=True)
class World:
    """Two organisations with everything that routes name; ``ours`` are the first one's things.

    ``evan`` has every role in the first one, with a token for his forms.
    """

    site: Site
    database: Database
    firm: Firm
    other: Firm
    ours: Ids
    theirs: Ids
    evan: Visitor
    token: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(postgres: TestServer) -> AsyncIterator[World]:
    with postgres.fresh_database() as url:
        database = Database(url, name="routes")
        await database.open()
        async with open_site(database) as site:
            firm, other = await site.firm(1), await site.firm(2)
            await site.person(1, "adam", "administrator")
            await site.person(1, "evan", *PEOPLE)
            theirs, ours = await ids_of(site, other), await ids_of(site, firm)
            evan = await site.at_the_pages("evan1@merchant.example")
            token = (await evan.open("/studio/account")).form_token
            yield World(site, database, firm, other, ours, theirs, evan, token)
        await database.close()


async def ids_of(site: Site, firm: Firm) -> Ids:
    """An invoice that is over, so that nothing more happens to it, and what belongs to it."""
    invoice_id = (await firm.merchant.create(callback_url="https://merchant.example/cb")).data["id"]
    await firm.merchant.cancel(invoice_id)
    told = (await firm.merchant.get(f"/invoice/intent/{invoice_id}/callbacks")).data
    file_id = (await firm.merchant.upload(PDF)).data["file_id"]
    colin = await site.at_the_pages(f"colin{firm.org_id}@merchant.example")
    await site.at_the_pages(f"colin{firm.org_id}@merchant.example")
    found = re.search(r"(ses_\w+)/end", (await colin.open("/studio/account")).text)
    assert found is not None
    sent = await colin.send("/studio/exports", {"query": "", "what": "all"}, follow=False)
    job = sent.headers["Location"].rsplit("/", 1)[1]
    async with patiently("the table"):
        while (await colin.open(f"/studio/jobs/{job}/table.csv")).status != 200:
            await asyncio.sleep(0.02)
    return Ids(
        invoice_id,
        file_id,
        _first_event(told),
        firm.second_signer.uid,
        found[1],
        job,
        passkey=await _passkey_of(site, f"colin{firm.org_id}@merchant.example"),
        key=(firm.colleague.key or "").split("_")[1],
        **await settings_of(site, firm),
    )


async def settings_of(site: Site, firm: Firm) -> dict[str, str]:
    """What an administrator made, each of which waits for another one."""
    org_id, desk = firm.org_id, site.desk
    uid = (await site.person(org_id, "amy", "administrator"))[3]
    amy = Actor(uid, org_id, permissions_of(("administrator", "finance")))
    place = f"0x{org_id:02x}" + "5a" * 19
    address = await payout_addresses.add(desk, "evm", place, f"Treasury {org_id}", by=amy)
    number = 100 + org_id
    await bank_accounts.set_up(desk, number, FUBON, label="Main", currency="TWD", by=amy)
    redraw = site.app.state.studio.press.picture
    await profile.set_logo(desk, drawn(10 + org_id, 10), "logo.png", amy, redraw)
    async with desk.database.reading() as tx:
        logo = (await profile.profile(tx, org_id)).logo_sha256
    assert logo is not None
    invited = await membership.add(
        desk,
        site.app.state.studio.signing_in.passwords,
        amy,
        email=f"nina{org_id}@merchant.example",
        name="Nina",
        roles=("auditor",),
    )
    return {
        "address": ids.public("pad", address),
        "account": str(number),
        "logo": logo.hex(),
        "client": await clients.add(desk, f"Shop {org_id}", amy),
        "recipient": ids.public("rcp", await directory.add(desk, BUYER, amy)),
        "token": invited.token,
    }


async def _passkey_of(site: Site, email: str) -> str:
    async with site.desk.database.transaction() as tx:
        made = await one_value(
            tx,
            UUID,
            """
            INSERT INTO passkey
                (credential_id, person_id, public_key, sign_count, label, created_at)
            SELECT convert_to(email, 'UTF8'), person_id, '', 0, 'Telephone', now()
              FROM person WHERE email = %(email)s
            RETURNING passkey_id
            """,
            {"email": email},
        )
    assert made is not None
    return ids.public("pass", made)


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results of what is asked at once, though no more than a browser or two would."""
    turn = asyncio.Semaphore(8)

    async def one(asked: Awaitable[T]) -> T:
        async with turn:
            return await asked

    return await asyncio.gather(*map(one, work))


async def mistakes(work: Iterable[Awaitable[list[str]]]) -> list[str]:
    """All that was found wrong."""
    return [one for found in await together(work) for one in found]


def _first_event(told: object) -> str:
    found = re.search(r"evt_\w{32}", json.dumps(told))
    assert found is not None, told
    return found[0]


async def ask(visitor: Visitor, route: Route, named: Ids, token: str, **headers: str) -> Page:
    """Use a route as somebody at the pages would."""
    path = named.path(route)
    if not route.is_unsafe:
        if route.path.endswith(("/live", "/pdf", "/logo/{logo}")):
            # A stream that stays open, and what is no text: only who may have it is asked here.
            async with visitor.session.get(
                visitor.base_url + path, allow_redirects=False, headers=headers
            ) as answer:
                text = "" if answer.status == 200 else await answer.text()
                return Page(answer.status, str(answer.url), text, dict(answer.headers))
        return await visitor.open(path, follow=False, **headers)
    return await visitor.send(path, dict(route.fields), token=token, follow=False, headers=headers)


def is_denied(page: Page) -> bool:
    """Whether a permission is missing, as the page says by name."""
    return page.status == 403 and "which you do not have" in page.words


async def test_strangers_and_keys_are_sent_to_sign_in(world: World) -> None:
    stranger = await world.site.at_the_pages()
    token = (await stranger.open("/studio/sign-in")).form_token
    before = await all_tables(world.database)

    async def wrong(route: Route, headers: dict[str, str]) -> list[str]:
        page = await ask(stranger, route, world.ours, token, **headers)
        if page.status != 303 or not page.headers["Location"].startswith("/studio/sign-in"):
            return [f"{route} {page.status}"]
        return [f"{route} tells"] if world.ours.invoice in page.text else []

    with_key = {"X-STUDIO-API-KEY": world.firm.all_roles.key or "", "X-Client-ID": "client_1"}
    routes = [route for route in ROUTES if not route.is_open]
    tries = [wrong(route, headers) for headers in ({}, with_key) for route in routes]
    assert await mistakes(tries) == []
    assert await all_tables(world.database) == before


async def test_a_session_opens_no_api(world: World) -> None:
    made, evan = world.ours.invoice, world.evan
    before = await all_tables(world.database)
    for method, path in (
        ("GET", "/invoice/intents"),
        ("GET", f"/invoice/intent/{made}"),
        ("POST", f"/invoice/intent/{made}/cancel"),
        ("PUT", f"/invoice/intent/{made}"),
        ("POST", "/files"),
    ):
        address = f"{evan.base_url}/v1/studio/api{path}"
        async with evan.session.request(method, address, json={}) as answer:
            assert answer.status == 401, path
    assert await all_tables(world.database) == before


async def test_others_ids_are_as_unknown_as_those_of_nobody(world: World) -> None:
    theirs, evan, token = world.theirs, world.evan, world.token
    before = await all_tables(world.database)

    async def wrong(route: Route) -> list[str]:
        pages = [await ask(evan, route, named, token) for named in (theirs, NOBODYS)]
        told = {
            page.words.replace(named.invoice, "?")
            for page, named in zip(pages, (theirs, NOBODYS), strict=True)
        }
        codes = [page.status for page in pages]
        return [] if codes == [404, 404] and len(told) == 1 else [f"{route} {codes}"]

    named = [route for route in ROUTES if "{" in route.path and not route.is_open]
    assert await mistakes(map(wrong, named)) == []
    mixed = await evan.send(
        f"/studio/invoices/{world.ours.invoice}/callbacks/{theirs.event}", token=token, follow=False
    )
    assert mixed.status == 404
    copied = await evan.open(f"/studio/invoices/new?from={theirs.invoice}")
    assert copied.status == 404
    assert await all_tables(world.database) == before


async def test_the_ids_of_others_are_real(world: World) -> None:
    """Their own people reach what they name."""
    await world.site.person(2, "evan", *PEOPLE)
    theirs = await world.site.at_the_pages("evan2@merchant.example")
    token = (await theirs.open("/studio/account")).form_token
    reached = [route for route in ROUTES if not route.is_unsafe and "{" in route.path]
    pages = await together(ask(theirs, route, world.theirs, token) for route in reached)
    codes = {str(r): page.status for r, page in zip(reached, pages, strict=True)}
    # A table belongs to whoever asked for it, and nobody edits what is over.
    assert codes.pop("GET /jobs/{job}") == codes.pop("GET /jobs/{job}/table.csv") == 404
    assert codes.pop("GET /invoices/{invoice}/edit") == 409
    assert {name: code for name, code in codes.items() if code != 200} == {}
    colin = await world.site.at_the_pages("colin2@merchant.example")
    own = (await colin.open("/studio/account")).form_token
    for names, who, given in ((OF_A_MEMBER, colin, own), (OF_THE_FIRM, theirs, token)):
        # What takes a thing away comes last.
        for route in sorted(UNSAFE, key=lambda one: one.path.endswith(("/remove", "/disable"))):
            if any(f"{{{name}}}" in route.path for name in names):
                page = await ask(who, route, world.theirs, given)
                # A conflict is about what is there, and a passkey goes only after one more proof.
                good = {403} if "{passkey}" in route.path else {200, 303, 409}
                assert page.status in good, f"{route} {page.status} {page.words[:200]}"
                assert not is_denied(page), str(route)


async def test_others_ids_in_forms_do_nothing(world: World) -> None:
    other, firm, theirs = world.other, world.firm, world.theirs
    waiting = (await other.merchant.create(recipient_name="Their Customer")).data
    mine = (await firm.merchant.create()).data["id"]
    before = await all_tables(world.database)
    key = f"{waiting['id']}:{waiting['content_hash']}"
    for path, fields in (
        ("/approvals", {"decision": "approve", "invoice": f"2:{key}"}),
        ("/approvals", {"decision": "approve", "invoice": f"1:{key}"}),
        ("/approvals", {"decision": "reject", "invoice": f"1:{key}", "reason": "No"}),
        ("/organisation", {"org_id": "2"}),
        (f"/invoices/{mine}/refund", {"file_id": theirs.file, "reason": "x", "address": "0x"}),
        ("/invoices/new", {"do": "save", "attachment": theirs.file}),
        (
            "/invoices/new",
            {"do": "save", "payment_method_type": "fiat"} | {"bank_account_id": theirs.account},
        ),
        (f"/invoices/{mine}/edit", {"do": "save", "attachment": theirs.file}),
        ("/files", {"attachment": theirs.file}),
        ("/exports", {"query": "", "what": "picked", "invoice": waiting["id"]}),
    ):
        page = await world.evan.send(f"/studio{path}", fields, token=world.token, follow=False)
        assert page.status in {200, 403, 404, 409, 422}, path
        assert "receipt.pdf" not in page.text
        assert "Their Customer" not in page.text
    assert await all_tables(world.database) == before


async def test_looking_changes_nothing(world: World) -> None:
    evan, token = world.evan, world.token
    before = await all_tables(world.database)

    async def look(route: Route) -> None:
        path = world.ours.path(route)
        if not route.is_unsafe:
            await ask(evan, route, world.ours, token)
            return
        asked = f"{path}?_method=POST&form_token={token}&reason=because+of+this+test"
        await evan.open(asked, follow=False, X_HTTP_Method_Override="POST", X_Form_Token=token)

    await together(map(look, ROUTES))
    assert await all_tables(world.database) == before


async def test_no_form_is_taken_from_elsewhere(world: World) -> None:
    evan, token = world.evan, world.token
    sam = await world.site.at_the_pages("sam1@merchant.example")
    others = (await sam.open("/studio/account")).form_token
    here = {"Origin": evan.base_url, "Sec-Fetch-Site": "same-origin"}
    tries: tuple[tuple[str, dict[str, str]], ...] = (
        (token, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}),
        (token, {"Origin": "https://evil.example"}),
        (token, {"Origin": "null"}),
        (token, {"Sec-Fetch-Site": "cross-site"}),
        (token, {"Sec-Fetch-Site": "same-site"}),
        (token, {"Sec-Fetch-Site": "none"}),
        (token, {}),
        ("", here),
        (others, here),
        (token.upper(), here),
    )
    before = await all_tables(world.database)

    async def status(route: Route, data: str | dict[str, str], headers: dict[str, str]) -> int:
        async with evan.session.post(
            evan.base_url + world.ours.path(route),
            data=data,
            headers=headers,
            allow_redirects=False,
        ) as answer:
            return answer.status

    async def wrong(route: Route) -> list[str]:
        # One guard stands before all of them: each shows that it does, some show all it knows.
        chosen = tries if UNSAFE.index(route) % 8 == 0 else (tries[0], tries[6], tries[8])
        found = [
            f"{route} {given[:4]} {headers} {code}"
            for given, headers in chosen
            if (code := await status(route, {**route.fields, "form_token": given}, headers)) != 403
        ]
        plain = json.dumps({**route.fields, "form_token": token})
        for body in (plain, f"form_token={token}"):
            code = await status(route, body, {**here, "Content-Type": "text/plain"})
            found += [] if code in {403, 422} else [f"{route} text/plain {code}"]
        return found

    assert await mistakes(map(wrong, UNSAFE)) == []
    assert await all_tables(world.database) == before


async def test_each_role_may_do_what_its_permissions_say(world: World) -> None:
    """Last, as it changes what the others look at."""

    async def wrong(role: str) -> list[str]:
        visitor = await world.site.at_the_pages(f"{PEOPLE[role]}1@merchant.example")
        token = (await visitor.open("/studio/account")).form_token
        found = []
        for route in ROUTES:
            if route.path in {"/sign-out", "/second-factor"}:
                continue
            page = await ask(visitor, route, world.ours, token)
            allowed = route.permission is None or route.permission in ROLES[role]
            if is_denied(page) == allowed or page.status == 500:
                found.append(f"{role}: {route} {page.status} {page.words[:200]}")
        return found

    assert await mistakes(map(wrong, PEOPLE)) == []
