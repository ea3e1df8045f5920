"""How wallets are asked: the code and the call mean the same transfer."""

import pytest

from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.core.assets import CHAINS
from counterfoil.core.money import MAX_UNITS, Money
from counterfoil.core.pay_links import PayLinks, claimed
from counterfoil.core.payment_uri import payment_uri, wallet_call
from support.invoices import ETH, USDT, invoice

ADDRESS = "0x" + "00d1" * 10


@pytest.mark.parametrize("units", [1, 92_307_693, MAX_UNITS])
def test_a_token_is_asked_for_at_its_contract(units: int) -> None:
    money = Money(units, USDT)
    uri = f"ethereum:{USDT.contract}@42161/transfer?address={ADDRESS}&uint256={units}"
    assert payment_uri(money, ADDRESS) == uri
    data = "0x" + transfer_calldata(ADDRESS, units).hex()
    assert wallet_call(money, ADDRESS) == {"to": USDT.contract, "value": "0x0", "data": data}


def test_a_chains_own_coin_goes_straight_to_the_address() -> None:
    money = Money(3 * 10**16, ETH)
    assert payment_uri(money, ADDRESS) == f"ethereum:{ADDRESS}@42161?value=30000000000000000"
    assert wallet_call(money, ADDRESS) == {
        "to": ADDRESS,
        "value": hex(3 * 10**16),
        "data": "0x",
    }
    assert {chain.native.symbol for chain in CHAINS.values()} == {"ETH"}


def test_a_link_names_its_invoice_and_needs_the_key() -> None:
    made = invoice()
    links = PayLinks(b"k" * 32, "https://pay.example/")
    token = links.token(made)
    assert len(token) == 54
    assert links.address(made) == f"https://pay.example/pay/{token}"
    assert claimed(token) == (made.org_id, made.invoice_id)
    assert links.fits(token, made)
    assert not PayLinks(b"x" * 32, "").fits(token, made)


@pytest.mark.parametrize(
    "text", ["", "inv_" + "0" * 32, "A" * 53, "A" * 55, "_" * 54, "é" * 54, "\0"]
)
def test_what_is_no_link_claims_nothing(text: str) -> None:
    assert claimed(text) is None
