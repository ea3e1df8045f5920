"""What a log entry says besides who did what: its details, in words and amounts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, tzinfo
from typing import Any, Final

from counterfoil.core import zones
from counterfoil.core.assets import CHAINS, known_asset
from counterfoil.core.invoice import RefundStatus
from counterfoil.core.money import Asset
from counterfoil.core.seal import LogEntry
from counterfoil.pages import shape
from counterfoil.pages.language import N_
from counterfoil.studio import terms, words
from counterfoil.studio.event_words import EVENTS, ORG_EVENTS
from counterfoil.studio.rule_words import RULES

__all__ = ["EVENTS", "ORG_EVENTS", "details", "sent_back"]

Say = Callable[..., str]

LABELS: Final[Mapping[str, str]] = {
    **{name: rule.title for group in RULES.values() for name, rule in group.items()},
    "account_number": N_("Account number"),
    "address": N_("Address"),
    "after": N_("After"),
    "amount": N_("Amount"),
    "amount_units": N_("Base units"),
    "asked_by": N_("Asked for by"),
    "asset": N_("Token"),
    "attachments": N_("Attachments"),
    "bank_account_id": N_("Bank account"),
    "bank_code": N_("Bank code"),
    "bank_name": N_("Bank"),
    "before": N_("Before"),
    "bic": N_("BIC (SWIFT)"),
    "branch": N_("Branch"),
    "changed": N_("Changed"),
    "client_id": N_("Client id"),
    "confirmed": N_("Found on the chain"),
    "content_hash": N_("Fingerprint of the content"),
    "context": N_("What is particular"),
    "currency": N_("Currency"),
    "deadline_at": N_("Due"),
    "decision": N_("Screening"),
    "destination": N_("Payout address"),
    "due": N_("Amount due"),
    "email": N_("E-mail"),
    "expires_at": N_("Expires"),
    "first": N_("From"),
    "form": N_("As"),
    "from": N_("Holds from"),
    "generation": N_("Approved for the time"),
    "goes_home": N_("Goes back to where it came from"),
    "holder": N_("Account holder"),
    "holds_at": N_("Holds from"),
    "keys_revoked": N_("Keys revoked"),
    "label": N_("Name"),
    "last": N_("To"),
    "later": N_("Holds later"),
    "move_id": N_("Payment"),
    "moves": N_("Payments"),
    "name": N_("Name"),
    "ordered_by": N_("Ordered by"),
    "payout_to": N_("Paid out to"),
    "permissions": N_("Permissions"),
    "received": N_("Received"),
    "recipient": N_("Recipient"),
    "redirect": N_("Order"),
    "reference": N_("Reference"),
    "refund": N_("Refund"),
    "refund_address": N_("Address for the refund"),
    "refund_amounts": N_("Amount to refund"),
    "refund_status": N_("Refund stands"),
    "replaces_nonce": N_("In place of number"),
    "role": N_("Role"),
    "roles": N_("Roles"),
    "rule": N_("By the rule"),
    "screening_run": N_("Number of the screening"),
    "sessions_ended": N_("Sessions ended"),
    "settlement": N_("Settled"),
    "surplus": N_("What is too much"),
    "transfer": N_("Transfer"),
    "tx_hash": N_("Transaction"),
    "url": N_("Web address"),
    "usable_at": N_("Good from"),
    "with_sign_off": N_("With the signature for the payment"),
}
"""Detail of an entry to its name; those that no one needs explained have none."""

_SURPLUS: Final = {"keep": N_("is kept"), "return": N_("goes back")}
_NAMED: Final[Mapping[str, Mapping[str, str]]] = {
    "context": {one.value: told for one, told in words.CONTEXTS.items()},
    "decision": terms.VERDICTS,
    "refund_status": {one.value: told for one, told in words.REFUNDS.items()},
    "permissions": {one.value: told for one, told in words.PERMISSIONS.items()},
    "role": words.ROLES,
    "roles": words.ROLES,
    "settlement": words.METHODS,
    "surplus": _SURPLUS,
    "changed": words.FIELDS,
}
"""Details whose values have names of their own."""

_ADDRESSES: Final = "evm"
"""The one family of chains there is, which nobody has to tell from another."""
_NOTHING: Final = "\N{EN DASH}"
_TO: Final = " \N{RIGHTWARDS ARROW} "


_ABOUT_MONEY: Final = (
    "payout_to",
    "amount",
    "currency",
    "due",
    "recipient",
    "settlement",
    "bank_account_id",
    "deadline_at",
)
"""What an edit tells with what it was before, in the order in which it matters."""

_TOLD_IN_FULL: Final = frozenset(
    {
        *_ABOUT_MONEY,
        "price",
        "requests",
        "recipient_name",
        "recipient_email",
        "deadline_follows_approval",
        "explicit_deadline_at",
    }
)
"""Fields whose change is told by one of those."""


def details(metadata: Mapping[str, Any], say: Say, zone: tzinfo) -> list[tuple[str, list[str]]]:
    """Each detail's name and its lines; what is not known is shown as it is written."""
    return [
        (say(LABELS[name]) if name in LABELS else name.replace("_", " "), lines)
        for name, value in sorted(metadata.items())
        if (lines := list(_lines(name, _timed(name, value, zone), say)))
    ]


def changes(metadata: Mapping[str, Any], say: Say, zone: tzinfo) -> list[tuple[str, list[str]]]:
    """What an edit changed: what is about money with what it was, and the names of the rest."""
    pairs = {name: metadata[name] for name in _ABOUT_MONEY if name in metadata}
    told = [
        (say(LABELS[name]), list(_lines(name, _timed(name, pair, zone), say)))
        for name, pair in pairs.items()
    ]
    rest = [name for name in metadata.get("changed", ()) if name not in _TOLD_IN_FULL]
    named = [say(words.FIELDS.get(name, name.replace("_", " "))) for name in rest]
    title = LABELS["changed"]
    return [*told, (say(title), [", ".join(named)])] if named else told


def _timed(name: str, value: object, zone: tzinfo) -> object:
    """The same, with times as pages write them."""
    match value:
        case dict():
            return {key: _timed(name, one, zone) for key, one in value.items()}
        case list():
            return [_timed(name, one, zone) for one in value]
        case str() if name == "from" or name.endswith("_at"):
            with suppress(ValueError):
                return zones.said(datetime.fromisoformat(value), zone)
    return value


def sent_back(entry: LogEntry, names: Mapping[str, str], say: Say) -> str:
    """What an entry lets go back, where to and by whose word; empty where it is about nothing."""
    told = entry.metadata
    amounts, address = told.get("refund_amounts"), told.get("refund_address")
    if not isinstance(amounts, dict) or not address:
        return ""
    what = {
        "amounts": "; ".join(_of(str(key), units, say) for key, units in amounts.items()),
        "address": address,
    }
    ordered_by = told.get("ordered_by")
    if ordered_by is not None:
        name = names.get(str(ordered_by), ordered_by)
        return say("%(amounts)s back to %(address)s, as %(name)s ordered", name=name, **what)
    if told.get("refund_status") == RefundStatus.PENDING:
        return say("%(amounts)s back to %(address)s, once a second person approves it", **what)
    if told.get("goes_home"):
        return say("%(amounts)s back to %(address)s, where it came from", **what)
    return say("%(amounts)s back to %(address)s", **what)


def _lines(name: str, value: object, say: Say) -> Iterator[str]:
    match value:
        case {"from": old, "to": new}:
            yield _changed(name, old, new, say)
        case [old, new] if name in LABELS and name not in _LISTS:
            yield _changed(name, old, new, say)
        case dict():
            for key, one in value.items():
                yield _ruled(key, one, say) if name == "later" else _of(str(key), one, say)
        case list():
            for one in value:
                yield from _lines(name, one, say)
        case bool():
            yield say("yes") if value else say("no")
        case None | "":
            return
        case _:
            yield _text(name, str(value), say)


_LISTS: Final = frozenset({"attachments", "changed", "moves", "permissions", "roles"})
"""Details that are lists, and no pair of before and after."""


def _ruled(name: str, value: object, say: Say) -> str:
    """A rule that changes later."""
    return f"{say(LABELS.get(name, name))}: {', '.join(_lines(name, value, say))}"


def _changed(name: str, old: object, new: object, say: Say) -> str:
    before, after = (", ".join(_lines(name, one, say)) or _NOTHING for one in (old, new))
    return f"{before}{_TO}{after}"


def _of(key: str, value: object, say: Say) -> str:
    """What stands beside an asset or a family of chains."""
    asset = _asset(key)
    match value:
        case {"due_units": str(units), "rate": {"value": rate, "pair": pair, "source": source}} if (
            asset
        ):
            return f"{_amount(units, asset)} ({pair} {rate}, {source})"
        case {"due_units": str(units)} if asset:
            return _amount(units, asset)
        case {"seen_units": str(seen), "final_units": str(final)} if asset and seen == final:
            return say("%(final)s final", final=_amount(final, asset))
        case {"seen_units": str(seen), "final_units": str(final)} if asset:
            return say(
                "%(seen)s seen, %(final)s final",
                seen=_amount(seen, asset),
                final=_amount(final, asset),
            )
        case str() if asset:
            return _amount(value, asset)
        case _:
            return str(value) if key == _ADDRESSES else f"{key}: {value}"


def _amount(units: str, asset: Asset) -> str:
    chain = CHAINS[asset.chain].name
    return f"{shape.amount(int(units), asset)}, {chain}" if units.isdecimal() else units


def _asset(key: str) -> Asset | None:
    chain, colon, contract = key.partition(":")
    if not colon or chain not in CHAINS:
        return None
    return known_asset(chain, "" if contract == "native" else contract)


def _text(name: str, value: str, say: Say) -> str:
    named = _NAMED.get(name, {})
    if value in named:
        return say(named[value])
    return value
