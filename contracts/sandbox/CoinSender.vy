# pragma version 0.4.3
# pragma evm-version cancun
"""
@title CoinSender
@notice Pays native coin from inside a transaction, as contract wallets and exchanges do, and in
        the ways that only look like it (specs/chains.md 6.4).
"""

@payable
@external
def forward(receiver: address):
    """
    @notice Pay everything that came along; the transaction itself names only this contract.
    """
    raw_call(receiver, b"", value=msg.value)


@payable
@external
def split(receivers: DynArray[address, 16]):
    """
    @notice Pay each receiver the same share.
    """
    share: uint256 = msg.value // len(receivers)
    for receiver: address in receivers:
        raw_call(receiver, b"", value=share)


@payable
@external
def undo_inside(receiver: address):
    """
    @notice An inner call pays and is then undone, while the transaction succeeds. The frame that
            paid shows no error; only its caller does.
    """
    done: bool = raw_call(
        self,
        abi_encode(receiver, msg.value, method_id=method_id("pay_and_fail(address,uint256)")),
        revert_on_failure=False,
    )


@external
def pay_and_fail(receiver: address, amount: uint256):
    raw_call(receiver, b"", value=amount)
    raise "changed my mind"


@payable
@external
def force(receiver: address):
    """
    @notice Leave everything to the receiver without calling it.
    """
    selfdestruct(receiver)
