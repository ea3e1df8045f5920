# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Evil
@notice Writes logs that look like token transfers but are not, for tests of the watcher
        (specs/chains.md 6.5). No token stands behind any of them.
"""

TRANSFER: constant(bytes32) = keccak256("Transfer(address,address,uint256)")


@external
def spoof(sender: address, receiver: address, amount: uint256):
    """
    @notice A well-formed Transfer, from a contract that is no token of ours.
    """
    raw_log([TRANSFER, self._topic(sender), self._topic(receiver)], convert(amount, bytes32))


@external
def spoof_nft(sender: address, receiver: address, token_id: uint256):
    """
    @notice ERC-721 has the same first topic, but indexes the third argument as well.
    """
    raw_log(
        [TRANSFER, self._topic(sender), self._topic(receiver), convert(token_id, bytes32)], b""
    )


@external
def spoof_data(sender: address, receiver: address, data: Bytes[96]):
    """
    @notice The right topics with data of any length.
    """
    raw_log([TRANSFER, self._topic(sender), self._topic(receiver)], data)


@pure
@internal
def _topic(account: address) -> bytes32:
    return convert(account, bytes32)
