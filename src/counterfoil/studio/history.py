"""What a log entry says besides who did what: its details, in words and amounts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from counterfoil.core import zones
from counterfoil.core.assets import CHAINS, known_asset
from counterfoil.core.invoice import Invoice, RefundStatus
from counterfoil.core.money import Asset
from counterfoil.core.seal import LogEntry
from counterfoil.pages import shape
from counterfoil.pages.language import N_
from counterfoil.studio import terms, units, words
from counterfoil.studio.event_words import EVENTS, ORG_EVENTS
from counterfoil.studio.rule_words import DEPOSITS, RULES
from counterfoil.studio.units import Say

__all__ = [
    "EVENTS",
    "ORG_EVENTS",
    "changes",
    "details",
    "goes_elsewhere",
    "sent_back",
    "was_redirected",
]

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
    "entry_uid": N_("Entry"),
    "evidence": N_("Evidence"),
    "expires_at": N_("Expires"),
    "fields": N_("Changed"),
    "first": N_("First day"),
    "form": N_("As"),
    "from": N_("Holds from"),
    "generation": N_("Approved for the time"),
    "goes_home": N_("Goes back to where it came from"),
    "held_back": N_("Good later than before"),
    "hit": N_("Fingerprint of the hit"),
    "holder": N_("Account holder"),
    "holds_at": N_("Holds from"),
    "keys_revoked": N_("Keys revoked"),
    "label": N_("Name"),
    "last": N_("Last day"),
    "list": N_("List"),
    "later": N_("Holds later"),
    "move_id": N_("Payment"),
    "moves": N_("Payments"),
    "name": N_("Name"),
    "ordered_by": N_("Ordered by"),
    "payer": N_("Payer"),
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
    "registered_only": N_("Pay out to registered addresses only"),
    "replaces_nonce": N_("In place of number"),
    "role": N_("Role"),
    "roles": N_("Roles"),
    "rule": N_("By the rule"),
    "screening_run": N_("Number of the screening"),
    "sessions_ended": N_("Sessions ended"),
    "settlement": N_("Settled"),
    "surplus": N_("What is too much"),
    "taken_back": N_("Taken back"),
    "tax_number": N_("Tax number"),
    "transfer": N_("Transfer"),
    "two_people": N_("Two people"),
    "tx_hash": N_("Transaction"),
    "url": N_("Web address"),
    "usable_at": N_("Good from"),
    "wait_hours": N_("Hours of waiting before an address is good"),
    "with_sign_off": N_("With the signature for the payment"),
    "family": N_("Kind of chain"),
    "on": N_("Is the default"),
    "sealed": N_("The order bears a seal"),
    "sha256": N_("Fingerprint of the file"),
    "time_zone": N_("Time zone"),
    "until": N_("Good until"),
    "version": N_("Version"),
}
"""Detail of an entry to its name; those that no one needs explained have none."""

_SURPLUS: Final = {"keep": N_("is kept"), "return": N_("goes back")}
_NAMED: Final[Mapping[str, Mapping[str, str]]] = {
    "after": {**words.ROLES, **DEPOSITS},
    "before": {**words.ROLES, **DEPOSITS},
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
_PAIRS: Final = frozenset({"fields", "later", "taken_back"})
"""Details that name fields, each with a list of its old and its new value."""
_TIMES: Final = frozenset({"from", "until"})
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
    teller = _Teller(say, zone)
    return [
        (teller.label(name), lines)
        for name, value in sorted(metadata.items())
        if (lines := list(teller.lines(name, value)))
    ]


def changes(metadata: Mapping[str, Any], say: Say, zone: tzinfo) -> list[tuple[str, list[str]]]:
    """What an edit changed: what is about money with what it was, and the names of the rest."""
    pairs = {name: metadata[name] for name in _ABOUT_MONEY if name in metadata}
    teller = _Teller(say, zone)
    told = [(teller.label(name), list(teller.lines(name, pair))) for name, pair in pairs.items()]
    rest = [name for name in metadata.get("changed", ()) if name not in _TOLD_IN_FULL]
    named = [say(words.FIELDS.get(name, name.replace("_", " "))) for name in rest]
    title = LABELS["changed"]
    return [*told, (say(title), [str(say(", ")).join(named)])] if named else told


def sent_back(entry: LogEntry, names: Mapping[str, str], say: Say) -> str:
    """What an entry lets go back, where to and by whose word; empty where it is about nothing."""
    told = entry.metadata
    amounts, address = told.get("refund_amounts"), told.get("refund_address")
    if not isinstance(amounts, dict) or not address:
        return ""
    teller = _Teller(say, UTC)
    beside = [teller.beside("refund_amounts", str(key), units) for key, units in amounts.items()]
    what = {"amounts": "; ".join(beside), "address": address}
    ordered_by = told.get("ordered_by")
    if ordered_by is not None:
        name = names.get(str(ordered_by), ordered_by)
        return say("%(amounts)s back to %(address)s, as %(name)s ordered", name=name, **what)
    if told.get("refund_status") == RefundStatus.PENDING:
        return say("%(amounts)s back to %(address)s, once a second person approves it", **what)
    if told.get("goes_home"):
        return say("%(amounts)s back to %(address)s, where it came from", **what)
    return say("%(amounts)s back to %(address)s", **what)


def was_redirected(edits: Sequence[LogEntry]) -> bool:
    """Whether one of these edits changed where the money goes."""
    return any("payout_to" in entry.metadata for entry in edits)


def goes_elsewhere(edits: Sequence[LogEntry], invoice: Invoice) -> bool:
    """Whether the money would go to another address than before these edits, the oldest first."""
    told = (entry.metadata["payout_to"] for entry in edits if "payout_to" in entry.metadata)
    match next(told, None):
        case None:
            return False
        case {"from": submitted}:
            return bool(submitted != dict(invoice.payout_to))
        case _:
            return True


@dataclass(frozen=True, slots=True)
class _Teller:
    """Says details in a language, with their times in a zone."""

    say: Say
    zone: tzinfo

    def label(self, name: str) -> str:
        return self.say(LABELS[name]) if name in LABELS else name.replace("_", " ")

    def lines(self, name: str, value: object) -> Iterator[str]:
        match value:
            case {"from": old, "to": new}:
                yield self._changed(name, old, new)
            case [old, new] if name in units.KINDS:
                yield self._changed(name, old, new)
            case dict():
                for key, one in value.items():
                    yield self.beside(name, str(key), one)
            case list():
                for one in value:
                    yield from self.lines(name, one)
            case _ if name in units.KINDS:
                yield units.said(name, units.shown(name, value), self.say)
            case bool():
                yield self.say("yes") if value else self.say("no")
            case None | "":
                return
            case _:
                yield self._text(name, str(value))

    def _changed(self, name: str, old: object, new: object) -> str:
        return _TO.join(self._joined(name, one) for one in (old, new))

    def _joined(self, name: str, value: object) -> str:
        return str(self.say(", ")).join(self.lines(name, value)) or units.NOTHING

    def beside(self, name: str, key: str, value: object) -> str:
        """What stands beside an asset, a family of chains, or a field's name."""
        asset = _asset(key)
        said = None if asset is None else self._of_asset(asset, value)
        match value:
            case _ if said is not None:
                return said
            case [old, new] if name in _PAIRS:
                told = self._changed(key, old, new)
            case _:
                told = self._joined(key, value)
        return told if key == _ADDRESSES else f"{self.label(key)}{self.say(': ')}{told}"

    def _of_asset(self, asset: Asset, value: object) -> str | None:
        match value:
            case {
                "due_units": str(due),
                "rate": {"value": rate, "pair": pair, "source": source},
            }:
                return f"{_amount(due, asset)} ({pair} {rate}, {source})"
            case {"due_units": str(due)}:
                return _amount(due, asset)
            case {"seen_units": str(seen), "final_units": str(final)} if seen == final:
                return self.say("%(final)s final", final=_amount(final, asset))
            case {"seen_units": str(seen), "final_units": str(final)}:
                return self.say(
                    "%(seen)s seen, %(final)s final",
                    seen=_amount(seen, asset),
                    final=_amount(final, asset),
                )
            case str():
                return _amount(value, asset)
            case _:
                return None

    def _text(self, name: str, value: str) -> str:
        named = _NAMED.get(name, {})
        if value in named:
            return self.say(named[value])
        if name in _TIMES or name.endswith("_at"):
            with suppress(ValueError):
                say = zones.said_due if name == "deadline_at" else zones.said
                return say(datetime.fromisoformat(value), self.zone)
        return value


def _amount(written: str, asset: Asset) -> str:
    chain = CHAINS[asset.chain].name
    return f"{shape.amount(int(written), asset)}, {chain}" if written.isdecimal() else written


def _asset(key: str) -> Asset | None:
    chain, colon, contract = key.partition(":")
    if not colon or chain not in CHAINS:
        return None
    return known_asset(chain, "" if contract == "native" else contract)
