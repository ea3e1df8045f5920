"""The payment page in a real browser: what its scripts add to it."""

import pytest

from counterfoil.core.reckoning import Depth
from support.chromium import Chromium
from support.payer import invited
from support.payments import Payments
from support.site import Firm, Site
from support.window import opened_window

pytestmark = pytest.mark.asyncio(loop_scope="session")

CUSTOMER = "0x00000000000000000000000000000000000000c1"
WALLET = f"""
window.asked = [];
window.ethereum = {{ request: async ({{ method, params }}) => {{
  window.asked.push([method, params ?? null]);
  if (method === "eth_requestAccounts") return ["{CUSTOMER}"];
  if (method === "wallet_switchEthereumChain" && window.knowsNoChain) throw {{ code: 4902 }};
  return null;
}} }};
"""


async def test_a_page_follows_its_payment_and_asks_the_wallet_for_what_is_left(
    chromium: Chromium, site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm, allow_any_token=True)
    (option, _) = (await firm.merchant.look(bill)).data["payment_options"]
    async with opened_window(chromium, site.address.rstrip("/")) as window:
        page = window.page
        await page.add_init_script(WALLET)
        await window.open(payer.path)
        said = page.locator("[data-wallet] [role=status]")

        await payments.arrives(bill, percent=50, depth=Depth.SEEN, tx_hash="0x" + "5e" * 32)
        await page.wait_for_selector("[data-stage=partly_seen]")
        assert await page.inner_text("#told") == "A part of the payment has been seen"
        assert await page.inner_text("#pay-amount") == "46.153847 USDT"

        await page.evaluate("window.knowsNoChain = true")
        await page.click("text=Pay with the wallet in this browser")
        await said.filter(has_text="does not know this chain").wait_for()
        await page.evaluate("window.knowsNoChain = false; window.asked = []")
        await page.click("text=Pay with the wallet in this browser")
        await said.filter(has_text="Sent.").wait_for()
        assert await page.evaluate("window.asked") == [
            ["eth_requestAccounts", None],
            ["wallet_switchEthereumChain", [{"chainId": "0xa4b1"}]],
            [
                "eth_sendTransaction",
                [
                    {
                        "from": CUSTOMER,
                        "to": option["token_address"],
                        "value": "0x0",
                        "data": f"0xa9059cbb{option['address'][2:]:0>64}{46_153_847:064x}",
                    }
                ],
            ],
        ]

        await payments.arrives(bill, units=46_153_847)
        await page.wait_for_selector("[data-stage=seen]")
        assert await page.locator("[data-wallet]").count() == 0
        assert await page.locator("time[data-local]").count() == 0
        await window.check_accessibility()
