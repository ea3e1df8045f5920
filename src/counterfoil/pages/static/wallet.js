// A wallet in the browser, where there is one: it is asked for the payment that the server worked
// out. The page never needs it.
"use strict";

(() => {
  const UNKNOWN_CHAIN = 4902; // EIP-3085

  async function pay(box, said) {
    const { chainId, to, value, call } = box.dataset;
    said.textContent = box.dataset.asking;
    const [from] = await window.ethereum.request({ method: "eth_requestAccounts" });
    await window.ethereum.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
    const transaction = call === "0x" ? { from, to, value } : { from, to, value, data: call };
    await window.ethereum.request({ method: "eth_sendTransaction", params: [transaction] });
    said.textContent = box.dataset.sent;
  }

  function offer(root) {
    if (!window.ethereum) return;
    for (const box of root.querySelectorAll("[data-wallet]")) {
      box.hidden = false;
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-wallet] button");
    if (!button) return;
    const box = button.closest("[data-wallet]");
    const said = box.querySelector("[role=status]");
    button.disabled = true;
    try {
      await pay(box, said);
    } catch (error) {
      said.textContent = error?.code === UNKNOWN_CHAIN ? box.dataset.noChain : box.dataset.refused;
      button.disabled = false;
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => offer(event.detail.target));
  // A wallet may arrive a moment later than the page (EIP-1193 leaves it open).
  window.addEventListener("ethereum#initialized", () => offer(document), { once: true });
  offer(document);
})();
