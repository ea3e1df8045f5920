"""Who may do what: keys, client ids, permissions, four eyes (the source's table)."""

from collections.abc import Sequence
from datetime import timedelta

from litestar import Litestar
from litestar.routes import HTTPRoute

from counterfoil.api.kryptogo.routes import HANDLERS
from counterfoil.app import WebSettings
from counterfoil.books import clients
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from support.actors import STUDIO, Caller
from support.site import Firm, Site, open_site

ID = "inv_" + "0" * 32
FILE = "file_" + "0" * 32
EVENT = "evt_" + "0" * 32

CREATE, APPROVE, SIGN, READ, REVIEW = (
    "transfer:create",
    "transfer:approve",
    "transfer:sign",
    "transfer:read",
    "compliance:review",
)

ROUTES: dict[tuple[str, str], set[str]] = {
    ("POST", "/invoice/intent"): {CREATE},
    ("GET", "/invoice/intent/{intent_id}"): {READ},
    ("PUT", "/invoice/intent/{intent_id}"): {CREATE},
    ("POST", "/invoice/intent/{intent_id}/cancel"): {CREATE},
    ("POST", "/invoice/intent/{intent_id}/approve"): {APPROVE},
    ("POST", "/invoice/intent/{intent_id}/reject"): {APPROVE},
    ("POST", "/invoice/intent/{intent_id}/sign"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/refund"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/refund/approve"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/refund/withdraw"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/release"): {REVIEW},
    ("POST", "/invoice/intent/{intent_id}/decline"): {REVIEW},
    ("POST", "/invoice/intent/{intent_id}/accept"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/resolve"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/note"): {REVIEW},
    ("POST", "/invoice/intent/{intent_id}/attach"): {REVIEW},
    ("POST", "/invoice/intent/{intent_id}/escalate"): {REVIEW},
    ("POST", "/invoice/intent/{intent_id}/disposition"): {REVIEW},
    ("POST", "/invoice/intent/{intent_id}/report"): {REVIEW},
    ("GET", "/invoice/intent/{intent_id}/reports"): {REVIEW},
    ("POST", "/invoice/intent/{intent_id}/quarantine"): {REVIEW},
    ("POST", "/invoice/intent/{intent_id}/payments/approve"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/payments/accept"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/payments/withdraw"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/payments/redirect"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/payments/redirect/approve"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/payments/redirect/withdraw"): {SIGN},
    ("POST", "/invoice/intent/{intent_id}/archive"): {CREATE},
    ("GET", "/invoice/intents"): {READ},
    ("GET", "/invoice/intent/{intent_id}/logs"): {READ},
    ("GET", "/invoice/intent/{intent_id}/callbacks"): {READ},
    ("POST", "/invoice/intent/{intent_id}/callbacks/{event_id}/redeliver"): {CREATE},
    ("POST", "/files"): {CREATE, SIGN, REVIEW},
    ("GET", "/files/{file_id}"): {READ},
}
"""Any one of the permissions opens the route."""

PUBLIC = {("GET", "/openapi.json")}

HELD = {
    "merchant": {CREATE, READ},
    "reviewer": {APPROVE, READ},
    "signer": {SIGN, READ},
    "officer": {READ, REVIEW},
    "auditor": {READ},
}


def filled(path: str) -> str:
    return STUDIO + path.replace("{intent_id}", ID).replace("{file_id}", FILE).replace(
        "{event_id}", EVENT
    )


def served(app: Litestar) -> set[tuple[str, str]]:
    found = set()
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith(STUDIO):
            path = route.path_format.removeprefix(STUDIO)
            methods: Sequence[str] = [m for m in route.methods if m not in {"OPTIONS", "HEAD"}]
            found |= {(method, path) for method in methods}
    return found


async def test_no_route_is_served_that_the_table_does_not_know(site: Site) -> None:
    assert served(site.app) == set(ROUTES) | PUBLIC
    assert len(HANDLERS) == len(ROUTES) + len(PUBLIC)


async def test_each_role_passes_exactly_the_doors_of_the_table(firm: Firm) -> None:
    wrong = []
    for (method, path), needed in ROUTES.items():
        for role, held in HELD.items():
            caller: Caller = getattr(firm, role)
            answer = await caller.call(method, filled(path))
            refused = answer.status == 403
            if refused == bool(held & needed):
                wrong.append((method, path, role, answer.status))
            if refused and answer.body["data"]["missing_permission"] not in needed:
                wrong.append((method, path, role, answer.body))
    assert wrong == []


async def test_who_lacks_a_permission_is_told_which_role_has_it(firm: Firm) -> None:
    refused = await firm.merchant.approve(ID)

    assert refused.body["message"] == (
        "this needs the permission transfer:approve, which you do not have;"
        " the role reviewer has it"
    )


async def test_without_a_good_key_every_door_is_shut_and_says_no_more(
    site: Site, firm: Firm
) -> None:
    key = firm.merchant.key or ""
    prefix, key_id, secret = key.split("_")
    bad_keys = [
        "",
        "x",
        f"{prefix}_{key_id}_{'0' * len(secret)}",
        f"{prefix}_{'0' * len(key_id)}_{secret}",
        f"{prefix}_{key_id}",
        key + "0",
        key.upper(),
        "k" * 10_000,
    ]
    seen = set()
    for method, path in ROUTES:
        for bad in bad_keys:
            answer = await site.stranger.call(
                method, filled(path), headers={"X-STUDIO-API-KEY": bad}
            )
            assert answer.refusal == (401, 4002), (method, path, bad)
            seen.add(answer.raw)
    assert len(seen) == 1
    assert key.encode() not in seen.pop()


async def test_a_key_that_is_bound_to_a_client_id_reaches_no_others_invoices(
    site: Site, firm: Firm
) -> None:
    roles = ("finance", "reviewer", "signer", "compliance")
    program = Caller(*await site.person(1, "paul", *roles))
    async with site.desk.database.transaction() as tx:
        for name in ("shop", "till"):
            client = clients.Client(f"client_{name}", name, site.clock.now(), None)
            await clients.insert(tx, 1, client)
        bound = "UPDATE api_key SET client_id = 'client_shop' WHERE key_id = %(key)s"
        await execute(tx, bound, {"key": (program.key or "").split("_")[1]})
    program.client_id = "client_shop"
    own, *others = [
        (await firm.merchant.create(headers={"X-Client-ID": one})).data["id"]
        for one in ("client_shop", "client_till", "client_1")
    ]

    listed = await program.list()
    assert [one["id"] for one in listed.data] == [own]
    totals = [one.body["paging"]["total_count"] for one in (listed, await firm.merchant.list())]
    assert totals == [1, 3]
    for query in ({"invoice_id": others[0]}, {"search": "acme"}, {"status": "approval_pending"}):
        found = await program.get("/invoice/intents", query)
        assert not any(one.encode() in found.raw for one in others), query
    for method, path in ROUTES:
        if "{intent_id}" in path:
            told = [
                await program.call(method, filled(path).replace(ID, one)) for one in (ID, *others)
            ]
            assert [one.refusal[0] for one in told] == [404] * 3, path
            assert len({one.raw for one in told}) == 1, path
    assert {(await firm.merchant.look(one)).data["status"] for one in others} == {
        "approval_pending"
    }

    assert (await program.look(own)).data["id"] == own
    refused = await program.post(f"/invoice/intent/{own}/reject", {"reason": "ordered twice"})
    assert refused.data["status"] == "approval_rejected"


async def test_the_client_id_must_be_the_keys_own(firm: Firm) -> None:
    missing = await firm.merchant.create(headers={"X-Client-ID": ""})
    wrong = await firm.merchant.create(headers={"X-Client-ID": "client_2"})
    in_body = await firm.merchant.create(client_id="client_2")
    not_text = await firm.merchant.create(client_id=1)
    good = await firm.merchant.create(client_id="client_1")

    assert missing.refusal == (400, 4000)
    assert list(missing.fields) == ["X-Client-ID"]
    assert wrong.refusal == (403, 4001)
    assert in_body.refusal == not_text.refusal == (403, 4001)
    assert list(in_body.fields) == ["client_id"]
    assert good.status == 200


async def test_the_key_acts_as_its_member_so_nobody_approves_their_own(firm: Firm) -> None:
    created = (await firm.all_roles.create(creator="Somebody Else")).data

    own = await firm.all_roles.approve(created["id"])
    others = await firm.reviewer.approve(created["id"])

    assert "approve" not in created["available_actions"]
    assert own.refusal == (403, 4003)
    assert own.body["data"]["rule"] == "maker_is_not_checker"
    assert others.data["status"] == "pending_payment"


async def test_whoever_edited_an_invoice_does_not_approve_it_either(firm: Firm) -> None:
    created = (await firm.merchant.create()).data
    await firm.all_roles.update(created["id"], payout_target_address="0x" + "ee" * 20)

    seen = (await firm.all_roles.look(created["id"])).data
    own = await firm.all_roles.approve(created["id"])

    assert "approve" not in seen["available_actions"]
    assert "approve" in (await firm.reviewer.look(created["id"])).data["available_actions"]
    assert own.refusal == (403, 4003)
    assert own.body["data"]["rule"] == "maker_is_not_checker"


async def test_a_key_that_may_auto_approve_is_logged_as_the_policy(site: Site, firm: Firm) -> None:
    robot = Caller(*await site.person(1, "robot", "finance", auto_approve=True))

    created = (await robot.create()).data

    assert created["status"] == "pending_payment"
    assert created["approved_by"] == "system:policy"
    assert (await firm.auditor.logs(created["id"])).data[-1]["operator_uid"] == "system:policy"


async def test_unknown_paths_answer_in_the_same_envelope(firm: Firm) -> None:
    for path in ("/nothing", "/invoice", "/invoice/intent/a/b"):
        assert (await firm.auditor.get(path)).refusal == (404, 4040)


async def test_an_unknown_method_answers_in_the_same_envelope(firm: Firm) -> None:
    answer = await firm.auditor.call("DELETE", f"{STUDIO}/invoice/intent/{ID}")

    assert answer.refusal == (405, 4050)


async def test_answers_carry_a_request_id_and_tell_browsers_to_keep_out(
    site: Site, firm: Firm
) -> None:
    for answer in (
        await firm.auditor.list(),
        await firm.auditor.get("/nothing"),
        await site.stranger.call("GET", "/healthz"),
    ):
        assert answer.headers["X-Request-Id"].startswith("req_")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers


async def test_who_asks_too_fast_is_asked_to_wait(database: Database) -> None:
    async with open_site(database, WebSettings(requests_per_second=2)) as site:
        firm = await site.firm()

        answers = [await firm.auditor.list() for _ in range(5)]
        others = await firm.merchant.list()
        site.clock.advance(timedelta(seconds=1))
        later = await firm.auditor.list()

    assert [answer.status for answer in answers] == [200, 200, 200, 200, 429]
    assert answers[-1].refusal == (429, 4290)
    assert answers[-1].headers["Retry-After"] == "1"
    assert others.status == later.status == 200
