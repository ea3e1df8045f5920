"""EVM addresses: the vectors of EIP-55 and EIP-1014, and every way to get one wrong."""

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chains.evm.addresses import (
    DepositAddresses,
    FactoryTerms,
    checksum,
    create2_address,
    create_address,
    parse_evm_address,
    salt_of,
)
from counterfoil.core.errors import Invalid

EIP55 = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
]
# https://eips.ethereum.org/EIPS/eip-1014, "Examples": deployer, salt, init code, result.
EIP1014 = [
    ("00" * 20, "00" * 32, "00", "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"),
    ("deadbeef" + "00" * 16, "00" * 32, "00", "0xB928f69Bb1D91Cd65274e3c79d8986362984fDA3"),
    (
        "deadbeef" + "00" * 16,
        "00" * 12 + "feed" + "00" * 18,
        "00",
        "0xD04116cDd17beBE565EB2422F2497E06cC1C9833",
    ),
    ("00" * 20, "00" * 32, "deadbeef", "0x70f2b2914A2a4b783FaEFb75f459A580616Fcb5e"),
    (
        "00000000000000000000000000000000deadbeef",
        "00" * 28 + "cafebabe",
        "deadbeef",
        "0x60f3f640a8508fC6a86d45DF051962668E1e8AC7",
    ),
    ("00" * 20, "00" * 32, "", "0xE33C0C7F7df4809055C3ebA6c09CFe4BaF1BD9e0"),
]
WALLETS = {
    "pool": "0x" + "b0" * 20,
    "hold": "0x" + "c0" * 20,
    "operator": "0x" + "0e" * 20,
    "admin": "0x" + "ad" * 20,
}


@pytest.mark.parametrize("text", EIP55)
def test_the_vectors_of_eip_55(text: str) -> None:
    assert checksum(text.lower()) == text
    assert parse_evm_address(text) == text.lower()
    assert parse_evm_address(text.lower()) == text.lower()


@given(st.binary(min_size=20, max_size=20))
def test_checksums_agree_with_eth_utils(raw: bytes) -> None:
    assert checksum("0x" + raw.hex()) == to_checksum_address(raw)


@given(st.binary(min_size=20, max_size=20), st.integers(2, 41))
def test_one_flipped_letter_breaks_the_checksum(raw: bytes, place: int) -> None:
    right = to_checksum_address(raw)
    wrong = right[:place] + right[place].swapcase() + right[place + 1 :]
    if wrong not in (right, right.lower()):
        with pytest.raises(Invalid, match="checksum"):
            parse_evm_address(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
        " 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed\n",
        "0X5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg",
        "0x\uff15aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED",
        "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
        "vitalik.eth",
        None,
        7,
        b"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        ["0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"],
    ],
)
def test_anything_else_is_refused_by_field_name(text: object) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_evm_address(text, "refund_address")
    assert list(refusal.value.fields) == ["refund_address"]


@pytest.mark.parametrize(("deployer", "salt", "initcode", "address"), EIP1014)
def test_the_vectors_of_eip_1014(deployer: str, salt: str, initcode: str, address: str) -> None:
    derived = create2_address("0x" + deployer, bytes.fromhex(salt), bytes.fromhex(initcode))
    assert derived == address.lower()


def test_create_knows_the_address_of_a_first_contract() -> None:
    # https://ethereum.stackexchange.com/q/760, nonces 1 to 3
    deployer = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert [create_address(deployer, nonce) for nonce in (1, 2, 3)] == [
        "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8",
        "0xf778b86fa74e846c4f0a1fbd1335fe81c00a0c91",
        "0xfffd933a0bc612844eaf0c6fe3e5b8e9b6c1d19c",
    ]
    for nonce in (0, 128):
        with pytest.raises(ValueError, match="nonce"):
            create_address(deployer, nonce)


@pytest.mark.parametrize("part", WALLETS)
def test_every_wallet_moves_the_factory(part: str) -> None:
    base = FactoryTerms(**WALLETS)
    other = FactoryTerms(**{**WALLETS, part: "0x" + "77" * 20})
    assert base.address != other.address
    assert DepositAddresses(base.address).address(0) != DepositAddresses(other.address).address(0)


def test_deposit_addresses_never_move() -> None:
    # Money may arrive at any address ever shown. If this test fails, the bytecode of the
    # contracts changed, and every merchant's addresses with it: keep the old scheme beside.
    assert FactoryTerms(**WALLETS).address == "0x879a4a5130ca669ef683aaa23a58a80301a5bcb8"
    assert (
        DepositAddresses("0x" + "fa" * 20).address(1)
        == "0x9a674ef84f9528970df23bd444b33d5273488cf0"
    )


@given(st.sets(st.integers(0, 2**256 - 1), min_size=2, max_size=5))
def test_two_indexes_never_share_an_address(indexes: set[int]) -> None:
    deposits = DepositAddresses("0x" + "fa" * 20)
    assert deposits.family == "evm"
    assert len({deposits.address(i) for i in indexes}) == len(indexes)
    assert all(deposits.address(i) == deposits.address_of(salt_of(i)) for i in indexes)


@pytest.mark.parametrize("index", [-1, 2**256])
def test_an_index_outside_of_a_salt_is_an_error(index: int) -> None:
    with pytest.raises(OverflowError):
        salt_of(index)
