"""What is accepted as a signature over what was asked, whoever made it."""

import msgspec
import pytest

from counterfoil.chains.evm.addresses import checksum
from counterfoil.signer.keys import Keyring
from counterfoil.signer.payload import NotWhatWasAsked, accept, rebuild, sender_of
from support.signing_desk import MERCHANT_BANK, SEED, TERMS, SigningDesk, approved, at_nonce

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_no_other_bytes_pass_for_what_was_asked(desk: SigningDesk) -> None:
    order, wallets = approved(), desk.wallets
    payload, sender = rebuild(order, wallets), sender_of(rebuild(order, wallets), wallets)
    raw = desk.sign(order).raw
    assert accept(raw, payload, TERMS, sender).raw == raw

    fakes = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    fakes += [raw[:-1], raw + b"\0", b"", b"\x02", raw * 2]
    for fake in fakes:
        with pytest.raises(NotWhatWasAsked):
            accept(fake, payload, TERMS, sender)


def test_the_mirrored_signature_is_refused_as_nodes_do(desk: SigningDesk) -> None:
    order, wallets = approved(), desk.wallets
    payload, sender = rebuild(order, wallets), sender_of(rebuild(order, wallets), wallets)
    # A nonce whose r and s both have their full length, so that s is the last 32 bytes.
    terms, raw = next(
        (terms, raw)
        for terms in map(at_nonce, range(10, 100))
        if (raw := Keyring(SEED).sign(1, payload, terms))[-33] == raw[-66] == 0xA0
    )
    mirrored = CURVE_ORDER - int.from_bytes(raw[-32:])
    parity = b"\x01" if raw[-67] == 0x80 else b"\x80"
    fake = raw[:-67] + parity + raw[-66:-32] + mirrored.to_bytes(32)

    assert accept(raw, payload, terms, sender).raw == raw
    with pytest.raises(NotWhatWasAsked, match="upper half"):
        accept(fake, payload, terms, sender)


def test_signatures_with_short_numbers_are_read_too(desk: SigningDesk) -> None:
    # One in 256 has a leading zero in r, as many in s; an encoder drops it.
    order, wallets = approved(), desk.wallets
    payload, sender = rebuild(order, wallets), sender_of(rebuild(order, wallets), wallets)
    keys, lengths = Keyring(SEED), set()
    for nonce in range(600):
        raw = keys.sign(1, payload, at_nonce(nonce + 1000))
        lengths.add(len(raw))
        assert accept(raw, payload, at_nonce(nonce + 1000), sender).sender == sender
    assert len(lengths) > 1


def test_addresses_travel_in_lower_case_only() -> None:
    with pytest.raises(msgspec.ValidationError, match="destination"):
        approved(destination=checksum(MERCHANT_BANK))
