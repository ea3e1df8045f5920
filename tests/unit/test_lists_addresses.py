"""One address, many spellings (specs/aml.md 6.3; scenarios S04 to S06)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.providers.screening.addresses import normalise_address, search_forms

EVM = "0x098b716b8aaf21512996dc57eb0615e2383e2f96"
TRON = "TUCsTq7TofTCJRRoHk6RvhMoS2mJLm5Yzq"
SOLANA = "42RLPACwZPx3vYYmxSueqsogfynBDqXK298EDsNoyoHi"


@pytest.mark.parametrize(
    "spelling",
    [
        EVM,
        "0x098B716B8Aaf21512996dC57EB0615e2383E2f96",
        EVM.upper(),
        "0x" + EVM[2:].upper(),
        # A wrong capital breaks EIP-55, and must not hide a listed address.
        "0x098b716b8Aaf21512996dC57EB0615e2383E2f96",
        EVM[2:],
        f"  {EVM}\n",
        f"\ufeff{EVM[:20]}\u200b{EVM[20:]}",
    ],
)
def test_s04_an_evm_address_in_any_spelling(spelling: str) -> None:
    assert normalise_address(spelling) == ("evm", EVM)


def test_s06_a_tron_address_in_hex_is_the_one_in_base58() -> None:
    _, base58 = normalise_address(TRON)
    (_, as_evm) = search_forms("tron", base58)
    as_hex = f"41{as_evm.address[2:]}"

    assert normalise_address(as_hex) == ("tron", TRON)
    assert normalise_address(f"0x{as_hex.upper()}") == ("tron", TRON)


def test_solana_keeps_its_case() -> None:
    assert normalise_address(SOLANA) == ("solana", SOLANA)
    assert normalise_address(SOLANA.lower()) != ("solana", SOLANA)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        EVM[:-1],
        EVM + "0",
        "0xg98b716b8aaf21512996dc57eb0615e2383e2f96",
        TRON[:-1] + "r",
        TRON.lower(),
        "1111",
        "12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h",
        "qpf2cphc5dkuclkqur7lhj2yuqq9pk3hmukle77vhq",
        "\uff10x098b716b8aaf21512996dc57eb0615e2383e2f96",
        "z" * 100_000,
    ],
)
def test_anything_else_stays_as_it_is(text: str) -> None:
    assert normalise_address(text) == ("other", text)


def test_the_same_key_is_found_on_the_other_side_but_softly() -> None:
    exact, tron = search_forms("evm", EVM)
    assert (exact.address, exact.exact) == (EVM, True)
    assert (tron.family, tron.exact) == ("tron", False)

    back = search_forms("tron", tron.address)[1]
    assert (back.family, back.address, back.exact) == ("evm", EVM, False)


def test_other_families_have_one_form() -> None:
    assert len(search_forms("solana", SOLANA)) == 1
    assert len(search_forms("other", "abc")) == 1


@given(st.text(max_size=300))
def test_no_text_upsets_it_and_twice_is_once(text: str) -> None:
    family, address = normalise_address(text)

    assert normalise_address(address) == (family, address)
    assert search_forms(family, address)[0].address == address


@given(st.binary(min_size=20, max_size=20))
def test_every_tron_address_is_read_back(account: bytes) -> None:
    tron = search_forms("evm", f"0x{account.hex()}")[1].address

    assert normalise_address(tron) == ("tron", tron)
    assert tron.startswith("T")
