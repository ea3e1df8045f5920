# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Deposit
@notice What every deposit address runs once it is swept for the first time: an EIP-1167
        clone delegates here. Money can go to two places only, POOL or HOLD, and only when
        the factory says so, so that nobody can push a payment into the pool that a
        reviewer wants to keep where it is.
@dev    A clone has no storage: the three addresses are immutables in this code, which the
        delegatecall reads. Keep it that way; a storage variable would be empty in a clone.
"""

interface Token:
    def balanceOf(owner: address) -> uint256: view


FACTORY: immutable(address)
POOL: immutable(address)
HOLD: immutable(address)


@deploy
def __init__(pool: address, hold: address):
    FACTORY = msg.sender
    POOL = pool
    HOLD = hold


@payable
@external
def __default__():
    # Plain coin may arrive before or after the clone exists; it waits for a flush.
    pass


@external
def flush(token: address, to_hold: bool) -> uint256:
    """
    @notice Send everything of `token` (the zero address: the native coin) onward.
    @return How many base units left this address; 0 when there was nothing to move.
    """
    assert msg.sender == FACTORY, "factory only"
    destination: address = HOLD if to_hold else POOL

    if token == empty(address):
        amount: uint256 = self.balance
        if amount > 0:
            raw_call(destination, b"", value=amount)
        return amount

    amount: uint256 = staticcall Token(token).balanceOf(self)
    if amount == 0:
        return 0
    # Tokens answer a transfer with nothing, true or even false although the money moved
    # (Tron's USDT), and some answer true although it did not. Only the balance tells.
    raw_call(
        token,
        abi_encode(destination, amount, method_id=method_id("transfer(address,uint256)")),
    )
    assert staticcall Token(token).balanceOf(self) == 0, "not moved"
    return amount
