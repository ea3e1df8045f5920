"""The OpenAPI document: valid, complete, and its examples are what it says."""

from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from support.actors import STUDIO, Answer
from support.site import Firm, Site


async def document(site: Site) -> dict[str, Any]:
    answer = await site.stranger.call("GET", f"{STUDIO}/openapi.json")
    found: dict[str, Any] = answer.body
    return found


def check(whole: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    rooted = {**schema, "components": whole["components"]}
    Draft202012Validator(rooted).validate(value)


def bodies(operation: dict[str, Any]) -> list[dict[str, Any]]:
    found = [operation["requestBody"]] if "requestBody" in operation else []
    found += operation["responses"].values()
    return [media for body in found for media in body.get("content", {}).values()]


def operations(whole: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, item in whole["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]


async def test_anybody_may_read_it_and_it_is_valid(site: Site) -> None:
    whole = await document(site)

    assert whole["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(whole).validate()


async def test_it_describes_every_route_that_is_served(site: Site) -> None:
    described = {(method, path) for method, path, _ in operations(await document(site))}
    served = {
        (method, route.path_format.replace("{intent_id}", "{id}"))
        for route in site.app.routes
        for method in getattr(route, "methods", ())
        if route.path.startswith(STUDIO) and method not in {"OPTIONS", "HEAD"}
    }

    assert described == served - {("GET", f"{STUDIO}/openapi.json")}


async def test_each_example_is_what_its_schema_says(site: Site) -> None:
    whole = await document(site)
    checked = 0
    for _, _, operation in operations(whole):
        for media in bodies(operation):
            if "example" in media:
                check(whole, media["schema"], media["example"])
                checked += 1
    assert checked > 25


async def test_real_answers_are_what_the_document_says(site: Site, firm: Firm) -> None:
    whole = await document(site)
    created = await firm.merchant.create(callback_url="https://merchant.example/cb")
    invoice_id = created.data["id"]
    changed = await firm.merchant.update(invoice_id, description="x")
    seen = {"content_hash": changed.data["content_hash"]}
    answers: dict[tuple[str, str], Answer] = {
        ("POST", "/invoice/intent"): created,
        ("GET", "/invoice/intent/{id}"): await firm.auditor.look(invoice_id),
        ("PUT", "/invoice/intent/{id}"): changed,
        ("POST", "/invoice/intent/{id}/approve"): await firm.reviewer.act(
            "approve", invoice_id, seen
        ),
        ("GET", "/invoice/intents"): await firm.auditor.list(),
        ("GET", "/invoice/intent/{id}/logs"): await firm.auditor.logs(invoice_id),
        ("POST", "/invoice/intent/{id}/cancel"): await firm.merchant.cancel(invoice_id),
    }
    for (method, path), answer in answers.items():
        operation = whole["paths"][STUDIO + path][method.lower()]
        (media,) = operation["responses"]["200"]["content"].values()
        assert answer.status == 200, (method, path)
        check(whole, media["schema"], answer.body)

    refusal = await firm.merchant.cancel(invoice_id)
    check(whole, {"$ref": "#/components/schemas/Error"}, refusal.body)


async def test_its_create_example_is_accepted_once_the_ids_are_real(site: Site, firm: Firm) -> None:
    whole = await document(site)
    operation = whole["paths"][f"{STUDIO}/invoice/intent"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    pdf = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"
    file_id = (await firm.merchant.upload(pdf)).data["file_id"]

    answer = await firm.merchant.post(
        "/invoice/intent",
        {
            **example,
            "client_id": "client_1",
            "attachment": {"file_id": file_id},
            "bank_account_id": None,
            "payment_deadline": 1783000000,
        },
    )

    assert answer.status == 200, answer.raw
