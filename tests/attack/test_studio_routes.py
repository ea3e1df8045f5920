"""Every route of Studio, as every role, as a stranger, from elsewhere, and with others' ids."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import pytest

from attack.studio_routes import NAMED, ROUTES, Route
from counterfoil.core.ids import public
from counterfoil.core.roles import ROLES
from counterfoil.db.pool import Database
from counterfoil.db.rows import one_value
from counterfoil.studio import HANDLERS, invoice, queues
from support.contents import all_tables
from support.site import Firm, Site
from support.visitor import Page, Visitor

PDF: Final = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"
PEOPLE: Final = {
    "finance": "maya",
    "reviewer": "rita",
    "signer": "sam",
    "compliance": "otto",
    "auditor": "ada",
    "administrator": "adam",
}
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


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    rows = [(route.method, _shape(route.path)) for route in ROUTES]

    assert sorted(rows) == sorted(served())
    assert set(NAMED["/invoices/{public_id}/{name}"]) == set(invoice.SIMPLE)
    assert set(NAMED["/queue/{name}"]) == {one.name for one in queues.QUEUES}
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
    key: str = "nothing"
    address: str = "nothing"
    logo: str = "nothing"
    account: str = "0"
    token: str = "nothing"

    def path(self, route: Route) -> str:
        return "/studio" + route.path.format(**self.__dict__).rstrip("/")


NOBODYS: Final = Ids(
    *(f"{kind}_" + "0" * 32 for kind in ("inv", "file", "evt", "user", "ses", "job", "pass"))
)


async def ids_of(site: Site, firm: Firm) -> Ids:
    """An invoice that is over, so that nothing more happens to it, and what belongs to it."""
    invoice_id = (await firm.merchant.create(callback_url="https://merchant.example/cb")).data["id"]
    await firm.merchant.cancel(invoice_id)
    told = (await firm.merchant.get(f"/invoice/intent/{invoice_id}/callbacks")).data
    file_id = (await firm.merchant.upload(PDF)).data["file_id"]
    colin = await site.at_the_pages(f"colin{firm.org_id}@merchant.example")
    found = re.search(r"(ses_\w+)/end", (await colin.open("/studio/account")).text)
    session = found[1] if found else "ses_" + "0" * 32
    sent = await colin.send("/studio/exports", {"query": "", "what": "all"}, follow=False)
    job = sent.headers["Location"].rsplit("/", 1)[1]
    while (await colin.open(f"/studio/jobs/{job}/table.csv")).status != 200:
        await asyncio.sleep(0.02)
    passkey = await _passkey_of(site, f"colin{firm.org_id}@merchant.example")
    sue = firm.second_signer.uid
    return Ids(invoice_id, file_id, _first_event(told), sue, session, job, passkey)


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
    return public("pass", made)


def _first_event(told: object) -> str:
    found = re.search(r"evt_\w{32}", json.dumps(told))
    assert found is not None, told
    return found[0]


async def ask(visitor: Visitor, route: Route, ids: Ids, token: str, **headers: str) -> Page:
    """Use a route as somebody at the pages would."""
    path = ids.path(route)
    if not route.is_unsafe:
        if route.path.endswith(("/live", "/pdf")):
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


@pytest.mark.parametrize("role", PEOPLE)
async def test_each_role_may_do_what_its_permissions_say(site: Site, firm: Firm, role: str) -> None:
    if role == "administrator":
        await site.person(1, "adam", "administrator")
    ids = await ids_of(site, firm)
    wrong: list[str] = []
    visitor = await site.at_the_pages(f"{PEOPLE[role]}1@merchant.example")
    token = (await visitor.open("/studio/account")).form_token
    for route in ROUTES:
        if route.path in {"/sign-out", "/second-factor"}:
            continue
        page = await ask(visitor, route, ids, token)
        allowed = route.permission is None or route.permission in ROLES[role]
        if is_denied(page) == allowed or page.status == 500:
            wrong.append(f"{route} {page.status} {page.words[:200]}")
    assert wrong == []


async def test_strangers_and_keys_are_sent_to_sign_in(
    site: Site, firm: Firm, database: Database
) -> None:
    ids = await ids_of(site, firm)
    stranger = await site.at_the_pages()
    token = (await stranger.open("/studio/sign-in")).form_token
    before = await all_tables(database)
    wrong: list[str] = []
    for headers in ({}, {"X-STUDIO-API-KEY": firm.all_roles.key or "", "X-Client-ID": "client_1"}):
        for route in ROUTES:
            if route.is_open:
                continue
            page = await ask(stranger, route, ids, token, **headers)
            if page.status != 303 or not page.headers["Location"].startswith("/studio/sign-in"):
                wrong.append(f"{route} {page.status}")
            if ids.invoice in page.text:
                wrong.append(f"{route} tells")
    assert wrong == []
    assert await all_tables(database) == before


async def test_a_session_opens_no_api(site: Site, firm: Firm, database: Database) -> None:
    made = (await firm.merchant.create()).data["id"]
    alma = await site.at_the_pages("alma1@merchant.example")
    before = await all_tables(database)
    for method, path in (
        ("GET", "/invoice/intents"),
        ("GET", f"/invoice/intent/{made}"),
        ("POST", f"/invoice/intent/{made}/cancel"),
        ("PUT", f"/invoice/intent/{made}"),
        ("POST", "/files"),
    ):
        address = f"{alma.base_url}/v1/studio/api{path}"
        async with alma.session.request(method, address, json={}) as answer:
            assert answer.status == 401, path
    assert await all_tables(database) == before


async def test_others_ids_are_as_unknown_as_those_of_nobody(
    site: Site, firm: Firm, database: Database
) -> None:
    other = await site.firm(2)
    theirs, ours = await ids_of(site, other), await ids_of(site, firm)
    everybody = ("finance", "reviewer", "signer", "compliance", "administrator")
    await site.person(1, "evan", *everybody)
    evan = await site.at_the_pages("evan1@merchant.example")
    token = (await evan.open("/studio/account")).form_token
    before = await all_tables(database)
    wrong: list[str] = []
    for route in (one for one in ROUTES if "{" in one.path and not one.is_open):
        pages = [await ask(evan, route, ids, token) for ids in (theirs, NOBODYS)]
        told = {
            page.words.replace(value, "?")
            for page, ids in zip(pages, (theirs, NOBODYS), strict=True)
            for value in [ids.invoice]
        }
        if [page.status for page in pages] != [404, 404] or len(told) != 1:
            wrong.append(f"{route} {[page.status for page in pages]}")
    mixed = await evan.send(
        f"/studio/invoices/{ours.invoice}/callbacks/{theirs.event}", token=token, follow=False
    )
    assert mixed.status == 404
    copied = await evan.open(f"/studio/invoices/new?from={theirs.invoice}")
    assert copied.status == 404
    assert wrong == []
    assert await all_tables(database) == before


async def test_others_ids_in_forms_do_nothing(site: Site, firm: Firm, database: Database) -> None:
    other = await site.firm(2)
    theirs = await ids_of(site, other)
    waiting = (await other.merchant.create(recipient_name="Their Customer")).data
    mine = (await firm.merchant.create()).data["id"]
    everybody = ("finance", "reviewer", "signer", "compliance", "administrator")
    await site.person(1, "evan", *everybody)
    evan = await site.at_the_pages("evan1@merchant.example")
    token = (await evan.open("/studio/account")).form_token
    before = await all_tables(database)
    key = f"{waiting['id']}:{waiting['content_hash']}"
    for path, fields in (
        ("/approvals", {"decision": "approve", "invoice": f"2:{key}"}),
        ("/approvals", {"decision": "approve", "invoice": f"1:{key}"}),
        ("/approvals", {"decision": "reject", "invoice": f"1:{key}", "reason": "No"}),
        ("/organisation", {"org_id": "2"}),
        (f"/invoices/{mine}/refund", {"file_id": theirs.file, "reason": "x", "address": "0x"}),
        ("/invoices/new", {"do": "save", "attachment": theirs.file}),
        (f"/invoices/{mine}/edit", {"do": "save", "attachment": theirs.file}),
        ("/files", {"attachment": theirs.file}),
        ("/exports", {"query": "", "what": "picked", "invoice": waiting["id"]}),
    ):
        page = await evan.send(f"/studio{path}", fields, token=token, follow=False)
        assert page.status in {200, 403, 404, 409, 422}, path
        assert "receipt.pdf" not in page.text
        assert "Their Customer" not in page.text
    assert await all_tables(database) == before


async def test_looking_changes_nothing(site: Site, firm: Firm, database: Database) -> None:
    await site.person(1, "evan", *PEOPLE)
    ids = await ids_of(site, firm)
    await firm.merchant.create()
    evan = await site.at_the_pages("evan1@merchant.example")
    token = (await evan.open("/studio/account")).form_token
    before = await all_tables(database)
    for route in ROUTES:
        path = ids.path(route)
        if route.is_unsafe:
            asked = f"{path}?_method=POST&form_token={token}&reason=because+of+this+test"
            await evan.open(asked, follow=False, X_HTTP_Method_Override="POST", X_Form_Token=token)
        else:
            await ask(evan, route, ids, token)
    assert await all_tables(database) == before


async def test_no_form_is_taken_from_elsewhere(site: Site, firm: Firm, database: Database) -> None:
    await site.person(1, "evan", *PEOPLE)
    ids = await ids_of(site, firm)
    evan, sam = [await site.at_the_pages(f"{n}1@merchant.example") for n in ("evan", "sam")]
    token = (await evan.open("/studio/account")).form_token
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
    before = await all_tables(database)
    wrong: list[str] = []
    for route in UNSAFE:
        address = evan.base_url + ids.path(route)
        for given, headers in tries:
            fields = {**route.fields, "form_token": given}
            async with evan.session.post(
                address, data=fields, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status != 403:
                    wrong.append(f"{route} {given[:4]} {headers} {answer.status}")
        plain = json.dumps({**route.fields, "form_token": token})
        for body in (plain, f"form_token={token}"):
            sent = {**here, "Content-Type": "text/plain"}
            async with evan.session.post(
                address, data=body, headers=sent, allow_redirects=False
            ) as answer:
                if answer.status not in {403, 422}:
                    wrong.append(f"{route} text/plain {answer.status}")
    assert wrong == []
    assert await all_tables(database) == before
