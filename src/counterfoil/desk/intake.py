"""Invoices coming in: created, and edited until they are approved."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from counterfoil.books import addresses, files, orgs
from counterfoil.core import pricing, quoting, zones
from counterfoil.core.assets import CHAINS, Chain, accepted_asset, find_chain
from counterfoil.core.content import content_hash
from counterfoil.core.errors import Invalid, Unavailable
from counterfoil.core.events import Approve, Edit
from counterfoil.core.invoice import (
    Document,
    Invoice,
    LineItem,
    PaymentRequest,
    Policy,
    Price,
    Quote,
    Status,
)
from counterfoil.core.money import Asset
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.db.rows import together
from counterfoil.desk import queries, rates
from counterfoil.desk.act import happen
from counterfoil.desk.bank_accounts import check_usable
from counterfoil.desk.desk import Desk
from counterfoil.desk.destinations import check_payouts
from counterfoil.desk.idempotency import Idempotent, once
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import locked, readable
from counterfoil.desk.record import opened
from counterfoil.desk.registered import must_be_registered
from counterfoil.desk.the_org import the_org


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice as somebody asks for it; types and lengths were checked at the door.

    ``order_data`` is a JSON object as text. ``payout_addresses`` maps a chain family to an
    address. ``invoice_issue_date`` defaults to today, where the organisation is. ``dialect`` is the
    API it came by, ``client_id`` the integration; None for the organisation's first.
    """

    dialect: str
    pricing_mode: Literal["fiat", "crypto"]
    amount: Decimal
    currency: Literal["TWD", "USD"] | None
    pay_token: str
    chain: str
    origin: str
    recipient_name: str
    recipient_email: str
    organization_name: str
    organization_email: str
    creator: str
    payment_terms: int
    detail_items: tuple[LineItem, ...]
    order_data: str = "{}"
    callback_url: str | None = None
    group_key: str | None = None
    payout_addresses: tuple[tuple[str, str], ...] = ()
    payment_deadline: datetime | None = None
    swap_enabled: bool = False
    use_fixed_stablecoin_rate: bool = False
    description: str = ""
    attachment_file_id: UUID | None = None
    invoice_issue_date: date | None = None
    payment_method_type: Literal["crypto", "fiat"] = "crypto"
    allow_any_chain: bool = False
    allow_any_token: bool = False
    bank_account_id: int | None = None
    reviewer: str | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A draft that passed every check, priced. No ``deadline_at``: due on receipt."""

    draft: Draft
    document: Document
    price: Price
    requests: tuple[PaymentRequest, ...]
    payout_to: dict[str, str]
    deadline_at: datetime | None


@dataclass(frozen=True, slots=True)
class _LookedUp:
    """What the database knows of a draft that passed every check, not priced yet.

    ``said`` is what the sources say about each pair that is needed.
    """

    draft: Draft
    price: Price
    assets: tuple[Asset, ...]
    said: dict[tuple[str, str], tuple[Quote, ...]]
    payout_to: dict[str, str]


Change = Callable[[Draft], Draft]
"""An edit, as a function from what the invoice asks for now to what it shall ask for."""


async def create(
    desk: Desk, draft: Draft, by: Actor, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Create an invoice in the actor's organisation, priced, addressed and waiting for approval.

    Raises `Forbidden` without ``transfer:create``, `Invalid` naming each field that is wrong,
    `Unavailable` while no fresh rate or no address is there; in each case nothing is stored.
    A credential that may auto-approve gets it approved at once, and logged as such.
    """
    by.require(Permission.CREATE)

    async def work(tx: Tx) -> InvoiceView:
        async def make() -> InvoiceView:
            invoice = await _create(desk, tx, draft, by)
            return queries.fresh_view(invoice)

        return await once(desk, tx, by, idempotent, make)

    return await desk.database.run(work)


async def edit(
    desk: Desk,
    invoice_id: UUID,
    change: Change,
    by: Actor,
) -> InvoiceView:
    """Change an invoice that is not approved yet; checked and priced like a new one.

    Raises as `create` does, `NotFound`, and `OutOfPlace` once somebody decided on it.
    """
    by.require(Permission.CREATE)

    async def work(tx: Tx) -> InvoiceView:
        before = await locked(tx, by, invoice_id)
        now = desk.clock.now()
        if before.status is not Status.APPROVAL_PENDING:
            await happen(desk, tx, before, _unchanged(before, now, by), by)
        asked = await _checked(desk, tx, change(draft_of(before)), by, now, before=before)
        event = Edit(
            at=now,
            by=by.uid,
            document=asked.document,
            price=asked.price,
            requests=asked.requests,
            payout_to=asked.payout_to,
            deadline_at=asked.deadline_at or before.deadline_at,
            deadline_follows_approval=asked.deadline_at is None,
            explicit_deadline_at=asked.draft.payment_deadline,
            settlement=asked.draft.payment_method_type,
            bank_account_id=asked.draft.bank_account_id,
            allow_any_chain=asked.draft.allow_any_chain,
            allow_any_token=asked.draft.allow_any_token,
            reviewer=asked.draft.reviewer,
        )
        return await queries.full_view(desk, tx, await happen(desk, tx, before, event, by))

    return await desk.database.run(work)


async def look_over(desk: Desk, draft: Draft, by: Actor) -> Asked:
    """Check and price an invoice that somebody is still writing; nothing is stored.

    Raises as `create` does.
    """
    by.require(Permission.CREATE)
    async with desk.database.reading() as tx:
        return await _checked(desk, tx, draft, by, desk.clock.now())


async def look_over_change(desk: Desk, invoice_id: UUID, change: Change, by: Actor) -> Asked:
    """What `edit` would come to, checked and priced just as it does; nothing is stored.

    Raises `Forbidden`, `NotFound`, `Invalid` and `Unavailable`.
    """
    by.require(Permission.CREATE)
    async with desk.database.reading() as tx:
        before = await readable(tx, by, invoice_id)
        draft, now = change(draft_of(before)), desk.clock.now()
        return await _checked(desk, tx, draft, by, now, before=before)


def draft_of(invoice: Invoice) -> Draft:
    """What an invoice asks for now, in the form in which it was asked."""
    document = invoice.document
    first = invoice.requests[0].asset
    return Draft(
        dialect=invoice.dialect,
        pricing_mode=invoice.price.mode,
        amount=invoice.price.amount,
        currency=_fiat(invoice.price.currency),
        pay_token=first.symbol,
        chain=first.chain,
        origin=document.origin,
        recipient_name=document.recipient_name,
        recipient_email=document.recipient_email,
        organization_name=document.organization_name,
        organization_email=document.organization_email,
        creator=document.creator,
        payment_terms=document.terms_days,
        detail_items=document.items,
        order_data=document.order_data,
        callback_url=invoice.callback_url,
        group_key=document.group_key,
        payout_addresses=tuple(invoice.payout_to.items()),
        payment_deadline=invoice.explicit_deadline_at,
        swap_enabled=invoice.swap_enabled,
        use_fixed_stablecoin_rate=invoice.use_fixed_stablecoin_rate,
        description=document.description,
        attachment_file_id=document.attachment_file_id,
        invoice_issue_date=document.issued_on,
        payment_method_type=invoice.settlement,
        allow_any_chain=invoice.allow_any_chain,
        allow_any_token=invoice.allow_any_token,
        bank_account_id=invoice.bank_account_id,
        reviewer=invoice.reviewer,
        client_id=invoice.client_id,
    )


async def _create(desk: Desk, tx: Tx, draft: Draft, by: Actor) -> Invoice:
    now = desk.clock.now()
    invoice_id = desk.ids.new()
    found, org, taken = await together(
        tx,
        _looked_up(desk, tx, draft, by, now),
        the_org(tx, by.org_id),
        addresses.take(tx, by.org_id, "evm", invoice_id),
    )
    asked = await _asked(tx, org, found, now)
    policy = org.policy.invoices.in_force(now)
    if taken is None:
        raise _no_address()
    number, address = taken
    hd_chains = org.policy.chains_in("hd")
    invoice = await opened(
        desk,
        tx,
        Invoice(
            org_id=by.org_id,
            invoice_id=invoice_id,
            number=number,
            dialect=draft.dialect,
            client_id=draft.client_id or org.client_id,
            status=Status.APPROVAL_PENDING,
            document=asked.document,
            price=asked.price,
            requests=asked.requests,
            policy=policy,
            payout_to=asked.payout_to,
            deposit_address=address,
            hd_address=await _child(tx, by.org_id, number) if hd_chains else None,
            hd_chains=hd_chains,
            callback_url=draft.callback_url or org.policy.callback_url,
            created_by=by.uid,
            created_at=now,
            deadline_at=asked.deadline_at or pricing.receipt_deadline(now, policy),
            deadline_follows_approval=asked.deadline_at is None,
            explicit_deadline_at=draft.payment_deadline,
            settlement=draft.payment_method_type,
            bank_account_id=draft.bank_account_id,
            swap_enabled=draft.swap_enabled,
            allow_any_chain=draft.allow_any_chain,
            allow_any_token=draft.allow_any_token,
            use_fixed_stablecoin_rate=draft.use_fixed_stablecoin_rate,
            reviewer=draft.reviewer,
        ),
        by,
    )
    if policy.approval_required and not by.auto_approve:
        return invoice
    return await _approved_by_policy(desk, tx, invoice, by)


async def _child(tx: Tx, org_id: int, number: int) -> str:
    """The number's address with a key of its own, which a worker gives to those in stock."""
    child = await addresses.child_of(tx, org_id, "evm", number)
    if child is None:
        raise _no_address()
    return child


def _no_address() -> Unavailable:
    return Unavailable("no deposit address is ready just now; try again in a few seconds")


async def _approved_by_policy(desk: Desk, tx: Tx, invoice: Invoice, by: Actor) -> Invoice:
    policy = Actor(
        uid="system:policy",
        org_id=by.org_id,
        permissions=frozenset({Permission.APPROVE}),
        request_id=by.request_id,
    )
    event = Approve(at=invoice.created_at, by=policy.uid, content_hash=content_hash(invoice))
    return await happen(desk, tx, invoice, event, policy)


async def _looked_up(desk: Desk, tx: Tx, draft: Draft, by: Actor, now: datetime) -> _LookedUp:
    price = Price(mode=draft.pricing_mode, amount=draft.amount, currency=_currency(draft))
    pricing.check_amount(price)
    pricing.check_items(draft.detail_items, price)
    _, (assets, said), payout_to = await together(
        tx,
        _check_references(tx, draft, by, now),
        _said(desk, tx, draft, price, now),
        check_payouts(desk, tx, dict(draft.payout_addresses)),
    )
    return _LookedUp(draft, price, assets, said, payout_to)


async def _checked(  # noqa: PLR0913 - a draft, and all that it is checked against
    desk: Desk, tx: Tx, draft: Draft, by: Actor, now: datetime, *, before: Invoice | None = None
) -> Asked:
    """What is asked for, by what the database knows of it."""
    looked_up = _looked_up(desk, tx, draft, by, now)
    found, org = await together(tx, looked_up, the_org(tx, by.org_id))
    return await _asked(tx, org, found, now, before)


async def _asked(
    tx: Tx, org: orgs.Org, found: _LookedUp, now: datetime, before: Invoice | None = None
) -> Asked:
    """What suits the organisation's own rules about where money and customers go, priced.

    By the rules of the invoice before, or by the present ones.
    """
    if before is None or before.document.origin != found.draft.origin:
        org.policy.returns.in_force(now).must_allow(found.draft.origin)
    await must_be_registered(tx, org, found.payout_to, now)
    policy = before.policy if before else org.policy.invoices.in_force(now)
    return _priced(found, org, policy, now)


async def _said(
    desk: Desk, tx: Tx, draft: Draft, price: Price, now: datetime
) -> tuple[tuple[Asset, ...], dict[tuple[str, str], tuple[Quote, ...]]]:
    """The accepted assets, the one that was named first, and what is said about each pair."""
    assets = tuple(_accepted(desk, draft))
    said: dict[tuple[str, str], tuple[Quote, ...]] = {}
    for asset in assets:
        needed = _pair(draft, price, asset)
        if needed is not None and needed not in said:
            age = desk.rate_max_age_seconds
            said[needed] = await rates.said(tx, *needed, now=now, max_age_seconds=age)
    return assets, said


def _pair(draft: Draft, price: Price, asset: Asset) -> tuple[str, str] | None:
    return pricing.pair(price, asset, stablecoin_is_one_dollar=draft.use_fixed_stablecoin_rate)


def _priced(found: _LookedUp, org: orgs.Org, policy: Policy, now: datetime) -> Asked:
    """One request per accepted asset, at one quote per pair; dated where the organisation is."""
    draft, zone = found.draft, zones.zone(org.time_zone)
    issued_on = draft.invoice_issue_date or now.astimezone(zone).date()
    deadline_at = pricing.deadline(
        now=now,
        issued_on=issued_on,
        terms_days=draft.payment_terms,
        explicit=draft.payment_deadline,
        zone=zone,
    )
    quotes = {pair: quoting.chosen(said, policy, now) for pair, said in found.said.items()}
    requests = []
    for asset in found.assets:
        needed = _pair(draft, found.price, asset)
        quote = None if needed is None else quotes[needed]
        requests.append(pricing.request(found.price, asset, quote))
    return Asked(
        draft=draft,
        document=_document(draft, issued_on),
        price=found.price,
        requests=tuple(requests),
        payout_to=found.payout_to,
        deadline_at=deadline_at,
    )


def _accepted(desk: Desk, draft: Draft) -> list[Asset]:
    named = _chain(desk, draft)
    first = accepted_asset(named, draft.pay_token)
    if first is None:
        known = ", ".join(asset.symbol for asset in named.payable)
        raise Invalid.field("pay_token", f"is not accepted on {named.name}; accepted: {known}")
    if first.is_native and draft.allow_any_token and draft.pricing_mode == "crypto":
        sentence = f"is not possible for an amount in {first.symbol}: no other token is worth one"
        raise Invalid.field("allow_any_token", sentence)
    chains = [CHAINS[key] for key in desk.chains] if draft.allow_any_chain else [named]
    # Any token means any stablecoin: a coin whose price moves is taken only where it was named.
    candidates = [
        asset
        for chain in chains
        for asset in chain.payable
        if asset.symbol == draft.pay_token or (draft.allow_any_token and not asset.is_native)
    ]
    return [first, *(asset for asset in candidates if asset != first)]


def _chain(desk: Desk, draft: Draft) -> Chain:
    chain = find_chain(draft.chain)
    if chain is None or chain.key not in desk.chains:
        raise Invalid.field("chain", f"must be one of {', '.join(desk.chains)}")
    return chain


async def _check_references(tx: Tx, draft: Draft, by: Actor, now: datetime) -> None:
    file_id = draft.attachment_file_id
    if file_id is not None and not await files.exist(tx, by.org_id, [file_id], by.client_id):
        raise Invalid.field("attachment.file_id", "names no file that was uploaded here")
    by_bank = draft.payment_method_type == "fiat"
    if by_bank and draft.pricing_mode == "crypto":
        sentence = "must be crypto for an amount in tokens: nobody can pay them through a bank"
        raise Invalid.field("payment_method_type", sentence)
    if by_bank and draft.bank_account_id is None:
        sentence = "is required when payment_method_type is fiat"
        raise Invalid.field("bank_account_id", sentence)
    if draft.bank_account_id is not None:
        account = await check_usable(tx, by.org_id, draft.bank_account_id, now)
        if by_bank and account.currency != draft.currency:
            asked = draft.currency
            sentence = f"names an account in {account.currency}; this invoice asks for {asked}"
            raise Invalid.field("bank_account_id", sentence)


def _document(draft: Draft, issued_on: date) -> Document:
    return Document(
        recipient_name=draft.recipient_name,
        recipient_email=draft.recipient_email,
        organization_name=draft.organization_name,
        organization_email=draft.organization_email,
        creator=draft.creator,
        items=draft.detail_items,
        issued_on=issued_on,
        terms_days=draft.payment_terms,
        origin=draft.origin,
        description=draft.description,
        attachment_file_id=draft.attachment_file_id,
        order_data=draft.order_data,
        group_key=draft.group_key,
    )


def _currency(draft: Draft) -> str | None:
    if draft.pricing_mode == "crypto":
        return None
    if draft.currency is None:
        raise Invalid.field("currency", "is required when pricing_mode is fiat: TWD or USD")
    return draft.currency


def _fiat(currency: str | None) -> Literal["TWD", "USD"] | None:
    match currency:
        case "TWD" | "USD":
            return currency
        case _:
            return None


def _unchanged(invoice: Invoice, now: datetime, by: Actor) -> Edit:
    """An edit that would change nothing, for the lifecycle to refuse by name."""
    return Edit(
        at=now,
        by=by.uid,
        document=invoice.document,
        price=invoice.price,
        requests=invoice.requests,
        payout_to=dict(invoice.payout_to),
        deadline_at=invoice.deadline_at,
        deadline_follows_approval=invoice.deadline_follows_approval,
        explicit_deadline_at=invoice.explicit_deadline_at,
        settlement=invoice.settlement,
        bank_account_id=invoice.bank_account_id,
        allow_any_chain=invoice.allow_any_chain,
        allow_any_token=invoice.allow_any_token,
        reviewer=invoice.reviewer,
    )
