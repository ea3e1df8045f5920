"""How nodes and contracts say no, in words and in data."""

from typing import Final

from counterfoil.chains.evm.abi import WORD
from counterfoil.chains.evm.rpc import LONGEST_WORDS, RpcError
from counterfoil.chains.port import CallReverted, SendOutcome
from counterfoil.core.text import tame

# How nodes word the same few facts: geth and its descendants Nitro and op-geth, Erigon,
# Nethermind, Reth and anvil.
_SEND_WORDS: Final = (
    (SendOutcome.ALREADY_KNOWN, ("already known", "alreadyknown", "known transaction")),
    (SendOutcome.ALREADY_KNOWN, ("already imported", "already in mempool", "already exists")),
    (SendOutcome.NONCE_TOO_LOW, ("nonce too low", "oldnonce", "nonce is too low")),
    (SendOutcome.UNDERPRICED, ("underpriced", "less than block base fee", "feetoolow")),
    (SendOutcome.UNDERPRICED, ("fee too low", "gas price too low", "tip needed")),
    (SendOutcome.NO_GAS_MONEY, ("insufficient funds", "insufficientfunds")),
    (SendOutcome.NO_GAS_MONEY, ("insufficient balance", "overshot")),
)


def send_outcome(message: str) -> SendOutcome:
    """What a node that refuses our bytes means by it."""
    text = message.lower()
    return next(
        (outcome for outcome, words in _SEND_WORDS if any(word in text for word in words)),
        SendOutcome.REFUSED,
    )


def reverted(error: RpcError) -> CallReverted:
    """Give the contract's own sentence where there is one, else the node's."""
    text = error.data if isinstance(error.data, str) else ""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    return CallReverted(_reason(data) or error.message, data)


def _reason(data: bytes) -> str:
    """Read Solidity's ``Error(string)``; anything else has no sentence in it.

    Whoever is to be paid may have written the contract that says it.
    """
    error_string = bytes.fromhex("08c379a0")
    if data[:4] != error_string:
        return ""
    body = data[4 + WORD :]
    length = int.from_bytes(body[:WORD])
    said = body[WORD : WORD + min(length, len(body))].decode(errors="replace")
    return tame(said, max_length=LONGEST_WORDS)
