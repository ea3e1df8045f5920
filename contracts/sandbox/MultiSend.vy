# pragma version 0.4.3
# pragma evm-version cancun
"""
@title MultiSend
@notice Pays several receivers in one transaction, and pretends to (specs/chains.md 6.5).
"""

@external
def pay(token: address, receivers: DynArray[address, 16], amount: uint256):
    """
    @notice Send `amount` of our own balance to each receiver.
    """
    for receiver: address in receivers:
        raw_call(
            token, abi_encode(receiver, amount, method_id=method_id("transfer(address,uint256)"))
        )


@payable
@external
def pretend(receiver: address):
    """
    @notice Send coin in an inner call that is then reverted, while the outer one succeeds.
    """
    done: bool = raw_call(
        self,
        abi_encode(receiver, msg.value, method_id=method_id("send_and_revert(address,uint256)")),
        revert_on_failure=False,
    )


@external
def send_and_revert(receiver: address, amount: uint256):
    raw_call(receiver, b"", value=amount)
    raise "changed my mind"
