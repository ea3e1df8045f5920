"""Deposit addresses with keys of their own: the standard's vectors, and what a leak gives away."""

import hashlib
import hmac

import pytest
from coincurve import PrivateKey, PublicKey
from eth_account import Account
from eth_account.hdaccount.deterministic import HDPath
from msgspec.structs import asdict

from counterfoil.chains.evm.addresses import DepositScheme
from counterfoil.chains.evm.hd import MAX_INDEX, HdAddresses, address_of_point
from counterfoil.signer.keys import Keyring
from counterfoil.signer.orders import Role

SEED = bytes(range(64))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ROLES: tuple[Role, ...] = ("operator", "pool", "hold", "gas", "admin")


def branch_of(org_id: int) -> HdAddresses:
    told = Keyring(SEED).branch(org_id)
    return HdAddresses(bytes.fromhex(told.public_key), bytes.fromhex(told.chain_code))


def test_the_vectors_of_bip_32() -> None:
    # Test vector 1, m/0' and its public child m/0'/1; test vector 2, m and its child m/0.
    vectors = (
        (
            "035a784662a4a20a65bf6aab9ae98a6c068a81c52e4b032c0fb5400c706cfccc56",
            "47fdacbd0f1097043b78c63c20c34ef4ed9a111d980047ad16282c7ae6236141",
            1,
            "03501e454bf00751f24b1b489aa925215d66af2234e3891c3b21a52bedb3cd711c",
        ),
        (
            "03cbcaa9c98c877a26977d00825c956a238e8dddfbd322cce4f74b0b5bd6ace4a7",
            "60499f801b896d83179a4374aeb7822aaeaceaa0db1f85ee3e904c4defbd9689",
            0,
            "02fc9e5af0ac8d9b3cecfe2a888e2117ba3d089d8585886c9c826b6b22a98d12ea",
        ),
    )
    for key, chain_code, index, child in vectors:
        scheme = HdAddresses(bytes.fromhex(key), bytes.fromhex(chain_code))
        point = PublicKey(bytes.fromhex(child)).format(compressed=False)
        assert scheme.address(index) == address_of_point(point)


@pytest.mark.parametrize("org_id", [0, 1, 2**31 - 1])
def test_public_and_private_derivation_meet(org_id: int) -> None:
    scheme: DepositScheme = branch_of(org_id)
    keys = Keyring(SEED)
    for number in (0, 1, 2, 41, 999_999, MAX_INDEX):
        oracle = Account.from_key(HDPath(f"m/44'/60'/{org_id}'/1'/{number}").derive(SEED))
        assert scheme.address(number) == keys.child_address(org_id, number)
        assert scheme.address(number) == oracle.address.lower()


def test_no_two_numbers_and_no_two_organisations_share_an_address() -> None:
    addresses = [branch_of(org_id).address(n) for org_id in (1, 2) for n in range(200)]
    assert len(set(addresses)) == 400


@pytest.mark.parametrize("index", [-1, MAX_INDEX + 1])
def test_a_number_that_has_no_public_child_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="outside 0 to"):
        branch_of(1).address(index)


def test_a_leaked_child_with_the_branch_gives_away_all_children_and_nothing_else() -> None:
    """Why the branch is shown to nobody, and why wallets do not hang below it."""
    told, keys = Keyring(SEED).branch(1), Keyring(SEED)
    leaked = int.from_bytes(HDPath("m/44'/60'/1'/1'/7").derive(SEED))
    key, chain_code = bytes.fromhex(told.public_key), bytes.fromhex(told.chain_code)
    tweak = hmac.digest(chain_code, key + (7).to_bytes(4), hashlib.sha512)[:32]
    parent = ((leaked - int.from_bytes(tweak)) % ORDER).to_bytes(32)
    assert PrivateKey(parent).public_key.format() == key

    def child(index: int) -> str:
        tweak = hmac.digest(chain_code, key + index.to_bytes(4), hashlib.sha512)[:32]
        secret = PrivateKey(parent).add(tweak)
        return address_of_point(secret.public_key.format(compressed=False))

    assert child(8) == keys.child_address(1, 8)
    reached = {child(index) for index in range(50)} | {Account.from_key(parent).address.lower()}
    assert reached.isdisjoint({keys.address(org_id, role) for org_id in (0, 1) for role in ROLES})
    assert reached.isdisjoint({keys.child_address(2, index) for index in range(50)})


def test_a_branch_shows_itself_nowhere() -> None:
    told = Keyring(SEED).branch(1)
    for shown in (repr(told), str(told), f"{[told]}", repr(branch_of(1)), str({"b": branch_of(1)})):
        assert not any(secret in shown for secret in asdict(told).values())
        assert repr(bytes.fromhex(told.chain_code)) not in shown
