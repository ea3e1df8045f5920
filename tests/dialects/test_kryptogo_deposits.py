"""What the API says about where to pay, when chains take payments in different ways."""

from counterfoil.chains.evm.hd import HdAddresses
from counterfoil.desk import provisioning, settings
from counterfoil.signer.keys import Keyring
from support.site import Firm, Site

BRANCH = Keyring(bytes(range(64))).branch(1)
CHILDREN = HdAddresses(bytes.fromhex(BRANCH.public_key), bytes.fromhex(BRANCH.chain_code))


async def test_each_chain_shows_its_own_address_and_nothing_shows_the_branch(
    site: Site, firm: Firm
) -> None:
    plain = (await firm.merchant.create(allow_any_chain=True)).data
    await settings.choose_deposits(site.desk, 1, "base", "hd")
    refused = await firm.merchant.create(allow_any_chain=True)
    assert refused.status == 503
    await provisioning.fill_children(site.desk, 1, "evm", CHILDREN.address)

    mixed = (await firm.merchant.create(allow_any_chain=True)).data
    on_base = (await firm.merchant.create(chain="base")).data
    on_arb = (await firm.merchant.create(chain="arb")).data

    factory = mixed["payment_intent"]["payment_address"]
    child = CHILDREN.address(2)
    assert {o["chain"]: o["address"] for o in mixed["payment_options"]} == {
        "arb": factory,
        "base": child,
        "optimism": factory,
    }
    for option in mixed["payment_options"]:
        assert f"?address={option['address']}&" in option["payment_uri"]
    assert factory != child
    assert on_base["payment_intent"]["payment_address"] == CHILDREN.address(3)
    assert on_arb["payment_intent"]["payment_address"] not in {factory, CHILDREN.address(4)}
    assert len({o["address"] for o in plain["payment_options"]}) == 1

    looked = await firm.auditor.look(mixed["id"])
    assert looked.data["payment_options"] == mixed["payment_options"]
    for shown in (mixed, on_base, on_arb, looked.data):
        assert BRANCH.public_key not in str(shown)
        assert BRANCH.chain_code not in str(shown)
