"""Everything that must not get in: refused by name, with nothing stored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from counterfoil.core.assets import CHAINS
from counterfoil.db.pool import Database
from support.actors import CURL_EXAMPLE, STUDIO, Answer
from support.contents import all_tables
from support.site import Firm

CREATE: Final = f"{STUDIO}/invoice/intent"
ZERO: Final = "0x" + "0" * 40
TOKEN: Final = CHAINS["arb"].accepted[0].contract


@dataclass(frozen=True)
class Raw:
    """JSON text that `json.dumps` would not write."""

    text: str


def written(value: object) -> str:
    """JSON of a value, with `Raw` pieces as they are."""
    raws: list[str] = []

    def mark(raw: object) -> str:
        assert isinstance(raw, Raw)
        raws.append(raw.text)
        return f"@RAW{len(raws) - 1}@"

    text = json.dumps(value, default=mark)
    for number, raw in enumerate(raws):
        text = text.replace(f'"@RAW{number}@"', raw)
    return text


def item(**changes: object) -> list[dict[str, Any]]:
    return [{"name": "Tea", "quantity": 1, "unit_price": 3000, **changes}]


BAD_AMOUNT_TEXTS: Final = (
    "",
    " 5 ",
    "-1",
    "-0",
    "+1",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "1e3",
    "1E+1000000",
    "0x10",
    "1_000",
    "1,000",
    "01",
    ".5",
    "5.",
    "\uff11\uff12",
    "٣",
    "²",
    "1" * 19,
    "1." + "1" * 19,
    "9" * 5_000,
    "3000.00\n",
    "3000.00\u200b",
)

BAD_NUMBERS: Final = ("-1", "-0", "1e3", "1E+1000000", "9" * 19, "0." + "1" * 19, "9" * 5_000)

BAD_TEXTS: Final[tuple[object, ...]] = (
    "",
    "   ",
    "\u0000",
    "a\u0007b",
    "a\u001b[31mb",
    "a\rb",
    "a\nb",
    "gnp.\u202efdp",
    "a\u2066b",
    "a\u200bb",
    "\u200dab",
    "a\ufeffb",
    "a\U000e0041b",
    "a\u00adb",
    "a\u3164b",
    "a\u2028b",
    "a\x85b",
    "a" + "\u0301" * 10,
    "x" * 10_000,
    7,
    True,
    [],
    {},
)

BAD_EMAILS: Final = (
    "",
    "nobody",
    "@example.com",
    "a@",
    "a@b",
    "a b@example.com",
    "a@exa mple.com",
    "a@example..com",
    ".a@example.com",
    "a@example.com\n",
    "a@example.com,b@example.com",
    "Acme <a@example.com>",
    "a@exampl\u0435.com",
    "a@" + "b" * 64 + ".com",
    "a" * 65 + "@example.com",
    "a@" + "b." * 130 + "com",
    1,
)

BAD_URLS: Final = (
    "",
    "merchant.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "//merchant.example",
    "ftp://merchant.example",
    "https://",
    "https://user:pass@merchant.example",
    "https://merchant.example:99999",
    "https://merchant.example/\n",
    "https://merchant.example/ x",
    "https://mer\u202echant.example",
    "https://m/" + "x" * 3_000,
    5,
)

BAD_CALLBACKS: Final = (
    "http://merchant.example/cb",
    "https://127.0.0.1/cb",
    "https://2130706433/cb",
    "https://[::1]/cb",
    "https://169.254.169.254/latest",
    "https://localhost/cb",
    "https://merchant.example:22/cb",
    "https://user@merchant.example/cb",
    "https://merchant.example/cb#x",
    "not a url",
    7,
)

NOT_FLAGS: Final[tuple[object, ...]] = ("true", 1, 0, [])
NOT_WHOLE: Final[tuple[object, ...]] = (-1, 1.5, "30", True, Raw("1e1"), Raw("30.0"), 10**30, [])

TABLE: Final[Mapping[str, tuple[object, ...]]] = {
    "pricing_mode": ("", "FIAT", "barter", 1, True, [], {}),
    "amount": (*BAD_AMOUNT_TEXTS, 3000, Raw("3000.00"), True, [], "0", "0.00", "3000.001"),
    "currency": ("EUR", "twd", 1),
    "pay_token": ("DAI", "usdt", "BTC", 1, "USDC.e"),
    "chain": ("ethereum", "ARB", "sol", "", 42161, "arb\u0000"),
    "origin": BAD_URLS,
    "callback_url": BAD_CALLBACKS,
    "group_key": ("x" * 129, "a\u202eb", 5),
    "payment_deadline": (*NOT_WHOLE, 0, 1, 1782096000000, "1783000000"),
    "swap_enabled": NOT_FLAGS,
    "use_fixed_stablecoin_rate": NOT_FLAGS,
    "allow_any_chain": NOT_FLAGS,
    "allow_any_token": NOT_FLAGS,
    "recipient_name": BAD_TEXTS,
    "organization_name": BAD_TEXTS,
    "creator": BAD_TEXTS,
    "recipient_email": BAD_EMAILS,
    "organization_email": BAD_EMAILS,
    "description": ("x" * 2_001, "a\u0000b", "a\u202eb", 1),
    "payment_terms": (*NOT_WHOLE, 366),
    "invoice_issue_date": (
        "22.06.2026",
        "2026-02-30",
        "20260622",
        "2026-W26-1",
        "2026-06-22T25:00:00Z",
        "2026-06-22 12:00",
        "\uff12\uff10\uff12\uff16-06-22",
        "0001-01-01",
        20260622,
    ),
    "payment_method_type": ("cash", "CRYPTO", 1, "fiat"),
    "bank_account_id": (*NOT_WHOLE, 123, 0),
    "attachment": (
        "file_abc123",
        {},
        {"file_id": "file_abc123"},
        {"file_id": "file_" + "0" * 32},
        {"file_id": 1},
        [],
    ),
    "detail_items": (
        [],
        {},
        "x",
        item() * 201,
        item(unit_price=2999),
        item(tax=1),
        [1],
        [{"name": "Tea"}],
        *(item(name=text) for text in BAD_TEXTS),
        *(item(unit_price=text) for text in BAD_AMOUNT_TEXTS),
        *(item(quantity=text) for text in BAD_AMOUNT_TEXTS),
        *(item(quantity=Raw(number)) for number in BAD_NUMBERS),
        *(item(unit_price=Raw(number)) for number in BAD_NUMBERS),
        *(item(tax=Raw(number)) for number in BAD_NUMBERS),
        item(quantity=True),
        item(quantity=[]),
        item(quantity={}),
    ),
    "payout_addresses": (
        {"evm": ZERO},
        {"evm": TOKEN},
        {"evm": "0x123"},
        {"evm": "0xD8dA6BF26964aF9D7eEd9e03E53415D37aA96045"},
        {"evm": "vitalik.eth"},
        {"evm": 1},
        {"evm": ["0x" + "ab" * 20]},
        {"sol": "SOLANA_ADDRESS"},
        {"btc": "x"},
        [],
        "0x" + "ab" * 20,
    ),
    "payout_target_address": (ZERO, TOKEN, "0x", 1, "\uff10x" + "ab" * 20),
    "order_data": (
        "text",
        [],
        1,
        {"a": "x" * 17_000},
        {"a": Raw("[" * 20 + "]" * 20)},
        {"a": Raw('"\\ud800"')},
        {"a": {"b": Raw('"\\udfff"')}},
    ),
}


async def send(firm: Firm, body: object) -> Answer:
    return await firm.merchant.call("POST", CREATE, content=written(body).encode())


async def test_every_bad_value_is_refused_by_name_and_leaves_nothing(
    firm: Firm, database: Database
) -> None:
    before = await all_tables(database)
    wrong: list[tuple[str, str, int, object]] = []
    for field, values in TABLE.items():
        for value in values:
            base = {**CURL_EXAMPLE}
            if field == "payout_target_address":
                del base["payout_addresses"]
            answer = await send(firm, {**base, field: value})
            told = answer.body["data"].get("fields", {}) if answer.status == 422 else {}
            named = {name.split(".")[0].split("[")[0] for name in told}
            if value == "fiat":
                field = "bank_account_id"  # noqa: PLW2901 - what fiat settlement lacks
            if field not in named:
                wrong.append((field, repr(value)[:60], answer.status, told))
    assert wrong == []
    assert await all_tables(database) == before


async def test_missing_fields_are_all_named_at_once(firm: Firm) -> None:
    answer = await send(firm, {})

    assert answer.refusal == (422, 4220)
    assert set(answer.fields) == {
        "pricing_mode",
        "amount",
        "pay_token",
        "chain",
        "origin",
        "recipient_name",
        "recipient_email",
        "organization_name",
        "organization_email",
        "creator",
        "payment_terms",
        "detail_items",
    }


async def test_several_mistakes_are_told_in_one_answer(firm: Firm) -> None:
    answer = await send(
        firm,
        {
            **CURL_EXAMPLE,
            "amount": "NaN",
            "recipient_email": "nobody",
            "detail_items": [*item(quantity=-1), *item(name="")],
        },
    )

    assert set(answer.fields) == {
        "amount",
        "recipient_email",
        "detail_items[0].quantity",
        "detail_items[1].name",
    }


async def test_lone_surrogates_are_refused_in_every_text(firm: Firm) -> None:
    for field in ("recipient_name", "description", "creator", "origin", "recipient_email"):
        answer = await send(firm, {**CURL_EXAMPLE, field: Raw('"a\\ud800b"')})

        assert answer.refusal == (422, 4220)
        assert list(answer.fields) == [field]


async def test_what_is_no_json_object_is_refused_whole(firm: Firm, database: Database) -> None:
    before = await all_tables(database)
    example = json.dumps(CURL_EXAMPLE)
    for content in (
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"NaN",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        example.encode("utf-16"),
        example.replace("30,", "NaN,").encode(),
        example.replace("30,", "Infinity,").encode(),
        example.replace("30,", "030,").encode(),
        example.replace('"fiat"', "'fiat'").encode(),
        (example + "x").encode(),
        (example[:-1] + ',"amount":"1.00"}').encode(),
        example.replace('"quantity": 1', '"quantity": 1, "quantity": 2').encode(),
        (example[:-1] + ',"order":{"a":1,"a":2}}').encode(),
        b"[" * 60_000,
        b'{"a":' * 10_000,
        (example[:-1] + ',"deep":' + "[" * 40 + "]" * 40 + "}").encode(),
    ):
        answer = await firm.merchant.call("POST", CREATE, content=content)

        assert answer.refusal == (400, 4000), content[:60]
    assert await all_tables(database) == before


async def test_only_json_is_read_as_json(firm: Firm) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await firm.merchant.call(
            "POST",
            CREATE,
            content=json.dumps(CURL_EXAMPLE).encode(),
            headers={"Content-Type": media_type},
        )

        assert answer.refusal == (400, 4000)
        assert list(answer.fields) == ["Content-Type"]


async def test_a_body_beyond_64_kib_is_not_read(firm: Firm) -> None:
    big = json.dumps({**CURL_EXAMPLE, "ignored": "x" * 70_000}).encode()

    async def drip() -> Any:  # noqa: ANN401 - an iterator of pieces
        for start in range(0, len(big), 1_000):
            yield big[start : start + 1_000]

    at_once = await firm.merchant.call("POST", CREATE, content=big)
    async with firm.merchant.session.post(
        CREATE,
        data=drip(),
        headers={
            "X-STUDIO-API-KEY": firm.merchant.key or "",
            "X-Client-ID": "client_1",
            "Content-Type": "application/json",
        },
    ) as response:
        dripped = response.status

    assert at_once.refusal == (413, 4130)
    assert dripped == 413


async def test_an_update_is_read_as_strictly(firm: Firm, database: Database) -> None:
    created = (await firm.merchant.create()).data
    before = await all_tables(database)
    for changes in (
        {"recipient_name": "a\u202eb"},
        {"recipient_email": "nobody"},
        {"payment_terms": 1.5},
        {"approve_time": "yesterday"},
        {"reviewer": "a\u0000b"},
        {"attachment": {"file_id": "file_" + "0" * 32}},
        {"bank_account_id": 123},
        {"payout_target_address": ZERO},
        {"payout_target_sol_address": "SOLANA_ADDRESS"},
        {"payout_addresses": {"evm": TOKEN}},
        {"chain": "ethereum"},
        {"pay_token": "DAI"},
        {"detail_items": item(unit_price=1)},
        {"allow_any_chain": "yes"},
    ):
        answer = await firm.merchant.update(created["id"], **changes)

        assert answer.refusal == (422, 4220), changes
        assert [name.split(".")[0] for name in answer.fields] == [*changes], answer.fields
    assert await all_tables(database) == before


async def test_our_own_addresses_are_no_destination(firm: Firm) -> None:
    deposit = (await firm.merchant.create()).data["payment_intent"]["payment_address"]
    pool = "0x" + "b0" * 20

    for ours in (deposit, pool):
        answer = await firm.merchant.create(payout_addresses={"evm": ours})

        assert answer.refusal == (422, 4220)
        assert list(answer.fields) == ["payout_addresses.evm"]


async def test_reasons_and_attachments_of_actions_are_read_as_strictly(firm: Firm) -> None:
    created = (await firm.merchant.create()).data
    target = {"refund_address": "0x" + "ab" * 20, "refund_reason": "why"}
    for verb, caller, body, field in (
        ("reject", firm.reviewer, {"reason": ""}, "reason"),
        ("reject", firm.reviewer, {"reason": "x" * 1_001}, "reason"),
        ("reject", firm.reviewer, {"reason": "a\u001b[2Jb"}, "reason"),
        ("cancel", firm.merchant, {"reason": 5}, "reason"),
        ("approve", firm.reviewer, {"content_hash": 5}, "content_hash"),
        ("accept", firm.signer, {"reason": "a\u202eb"}, "reason"),
        ("release", firm.officer, {}, "reason"),
        ("release", firm.officer, {"reason": "too short"}, "reason"),
        ("decline", firm.officer, {"reason": " short    \n   "}, "reason"),
        ("decline", firm.officer, {"reason": "x" * 1_001}, "reason"),
        ("refund", firm.signer, {**target, "refund_attachments": []}, "refund_attachments"),
        (
            "refund",
            firm.signer,
            {**target, "refund_attachments": ["file_" + "0" * 32] * 11},
            "refund_attachments",
        ),
        (
            "refund",
            firm.signer,
            {**target, "refund_attachments": ["file_" + "0" * 32]},
            "refund_attachments",
        ),
        ("sign", firm.signer, {"refund_address": 1}, "refund_address"),
        ("sign", firm.signer, {"refund_address": ZERO}, "refund_address"),
    ):
        answer = await caller.act(verb, created["id"], body)

        assert answer.refusal == (422, 4220), (verb, body)
        assert list(answer.fields) == [field]
    assert (await firm.auditor.look(created["id"])).data["status"] == "approval_pending"


async def test_markup_is_kept_as_text_and_served_as_json(firm: Firm) -> None:
    nasty = "<script>alert(1)</script>{{7*7}}</title><b hx-get='/x' onload=x>"

    created = await firm.merchant.create(recipient_name=nasty, order_data={"a": nasty})

    assert created.data["recipient_name"] == nasty
    assert created.headers["Content-Type"].startswith("application/json")
    assert created.headers["X-Content-Type-Options"] == "nosniff"
