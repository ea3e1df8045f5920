"""What a node means by an error: that it is of no use, or that what it was asked cannot be.

Nodes and providers agree on no codes, so their words are read.
"""

import re
from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    """What an error object of JSON-RPC says."""

    FORGOTTEN = auto()
    """The node is well, and does not keep what was true at a block as old as that."""
    TOO_WIDE = auto()
    """It would have to answer too much."""
    REFUSED = auto()
    """This very request is refused for what it is."""
    UNUSABLE = auto()
    """Anything else: the node is busy, behind or broken."""


# Providers word their limits in many ways; these are geth, Nitro, op-geth, anvil, Alchemy,
# Infura, QuickNode, Ankr, Cloudflare and dRPC (specs/chains.md 6.1).
_RANGE_WORDS: Final = (
    "block range",
    "range is too",
    "range too",
    "range limit",
    "exceeds the range",
    "exceed maximum block",
    "query returned more than",
    "more than 10000 results",
    "too many results",
    "too many logs",
    "response size",
    "logs matched by query exceeds limit",
    "eth_getlogs is limited",
    "eth_getlogs requests with up to",
    "blocks distance",
    "query timeout exceeded",
)
_BUSY_WORDS: Final = (
    "rate limit",
    "too many requests",
    "request limit",
    "requests per second",
    "request count exceeded",
    "compute units",
    "capacity exceeded",
    "try again",
    "temporarily unavailable",
    "unauthorized",
    "api key",
)
_BEHIND_WORDS: Final = (
    "header not found",
    "header for hash not found",
    "block not found",
    "unknown block",
    "not found: block",
    "block is out of range",
    "blockoutofrange",
    "invalid block height",
    "after last accepted block",
    "block range extends beyond",
)
# geth, Nitro, op-geth, Erigon, Nethermind, Besu, reth, and what providers say of their plans. A
# node that lags says some of it too, of blocks that it does not have yet.
_FORGOTTEN_WORDS: Final = (
    "missing trie node",
    "historical state",
    "state not available",
    "state is not available",
    "state unavailable",
    "no state available",
    "pruned",
    "pruning",
    "archive",
)
# Erigon has the hash in the middle of it.
_NO_SUCH_BLOCK: Final = re.compile(r"\bblock (0x)?[0-9a-f]+ not found")
_BUSY_CODES: Final = frozenset({429, -32029, -32097})
# -32001 is what EIP-1898 has a node say that does not have the block.
_BROKEN_CODES: Final = frozenset({-32001, -32601, -32603, -32700})
_REVERTED: Final = 3
"""geth's code for it; the words beside it are the contract's own, and anybody's contract may be."""
_ARGUED_METHODS: Final = frozenset({"eth_sendRawTransaction", "eth_estimateGas", "eth_call"})


def meaning(method: str, code: int, message: str) -> Meaning:
    """Tell a refusal of the request from a failure of the node.

    Only calls and broadcasts can be refused for what they are. Our reads are always well
    formed, so whatever a node says against one of them is about the node. What a contract says as
    it reverts is nothing that a node means, however much it sounds like that.
    """
    text, argued = message.lower(), method in _ARGUED_METHODS
    if argued and (code == _REVERTED or "revert" in text):
        return Meaning.REFUSED
    if any(word in text for word in _FORGOTTEN_WORDS):
        return Meaning.FORGOTTEN
    busy_or_behind = any(word in text for word in (*_BUSY_WORDS, *_BEHIND_WORDS))
    if code in _BUSY_CODES or busy_or_behind or _NO_SUCH_BLOCK.search(text):
        return Meaning.UNUSABLE
    if method == "eth_getLogs" and any(word in text for word in _RANGE_WORDS):
        return Meaning.TOO_WIDE
    return Meaning.UNUSABLE if not argued or code in _BROKEN_CODES else Meaning.REFUSED
