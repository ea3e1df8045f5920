# pragma version 0.4.3
# pragma evm-version cancun
"""
@title Factory
@notice One per merchant. Every salt is a deposit address; the clone behind it is created
        when it is swept, so a payer needs nothing but the address. Deployed through the
        deterministic CREATE2 deployer with the same arguments, this factory and all its
        deposit addresses are the same on every chain.
@dev    Cancun is the newest set of opcodes that Arbitrum (ArbOS 20), Base and Optimism
        (Ecotone) all run since March 2024; its transient storage makes the reentrancy
        guard cost 100 gas instead of thousands.
        The operator is a hot key: all it can do is move money to POOL or HOLD, which are
        fixed in the clone's code. The admin is cold and can only exchange the operator.
"""

event Swept:
    salt: indexed(bytes32)
    token: indexed(address)
    account: address
    amount: uint256
    to_hold: bool

event SweepFailed:
    salt: indexed(bytes32)
    token: indexed(address)
    account: address
    to_hold: bool

event OperatorChanged:
    operator: indexed(address)

event AdminProposed:
    admin: indexed(address)

event AdminChanged:
    admin: indexed(address)


MAX_ITEMS: constant(uint256) = 256
# Four times what a proxied stablecoin needs; a token that burns more fails alone.
ITEM_GAS: constant(uint256) = 250_000
# What the item's own event and the loop need after the call came back.
ITEM_RESERVE: constant(uint256) = 30_000

logic: public(immutable(address))
operator: public(address)
admin: public(address)
proposed_admin: public(address)


@deploy
def __init__(
    deposit_initcode: Bytes[4096],
    pool: address,
    hold: address,
    operator: address,
    admin: address,
):
    assert pool != empty(address), "pool"
    assert hold != empty(address) and hold != pool, "hold"
    assert admin != empty(address), "admin"
    # CREATE with nonce 1, so the logic's address follows from ours, off chain too.
    logic = raw_create(deposit_initcode, pool, hold)
    self.operator = operator
    self.admin = admin
    log OperatorChanged(operator=operator)
    log AdminChanged(admin=admin)


@external
def set_operator(operator: address):
    """
    @notice Exchange the sweeping key. The zero address stops all sweeping, which is what
            to do first when the key may have leaked.
    """
    assert msg.sender == self.admin, "admin only"
    self.operator = operator
    log OperatorChanged(operator=operator)


@external
def propose_admin(admin: address):
    """
    @notice First half of a hand-over; nothing changes until the new admin accepts, so a
            mistyped address cannot lock us out. The zero address withdraws a proposal.
    """
    assert msg.sender == self.admin, "admin only"
    self.proposed_admin = admin
    log AdminProposed(admin=admin)


@external
def accept_admin():
    """
    @notice Second half of a hand-over, called by the proposed admin itself.
    """
    assert msg.sender == self.proposed_admin, "proposed admin only"
    self.admin = msg.sender
    self.proposed_admin = empty(address)
    log AdminChanged(admin=msg.sender)


@view
@external
def address_of(salt: bytes32) -> address:
    """
    @notice The deposit address of a salt, whether its clone exists yet or not.
    """
    return self._account(salt)


@nonreentrant
@external
def sweep(token: address, salts: DynArray[bytes32, MAX_ITEMS], to_hold: bool):
    """
    @notice Flush many deposit addresses. An item that fails (a blacklisted address, a
            paused token) is reported and skipped, never blocking the others.
    """
    assert msg.sender == self.operator, "operator only"
    for salt: bytes32 in salts:
        account: address = self._clone(salt)
        # A callee gets at most 63/64 of the gas left, silently. Without this check an item
        # that needs much could fail for want of gas while enough is left to report it, and
        # gas estimates would settle on just such a limit.
        assert msg.gas > ITEM_GAS + ITEM_GAS // 63 + ITEM_RESERVE, "gas"
        ok: bool = False
        answer: Bytes[32] = b""
        ok, answer = raw_call(
            account,
            abi_encode(token, to_hold, method_id=method_id("flush(address,bool)")),
            max_outsize=32,
            gas=ITEM_GAS,
            revert_on_failure=False,
        )
        if ok:
            log Swept(
                salt=salt,
                token=token,
                account=account,
                amount=convert(answer, uint256),
                to_hold=to_hold,
            )
        else:
            log SweepFailed(salt=salt, token=token, account=account, to_hold=to_hold)


@nonreentrant
@external
def sweep_one(token: address, salt: bytes32, to_hold: bool) -> uint256:
    """
    @notice Flush one deposit address without a gas cap and let its revert reason through:
            the way to learn why an item fails, and out of a token that outgrew the cap.
    """
    assert msg.sender == self.operator, "operator only"
    account: address = self._clone(salt)
    answer: Bytes[32] = raw_call(
        account,
        abi_encode(token, to_hold, method_id=method_id("flush(address,bool)")),
        max_outsize=32,
    )
    amount: uint256 = convert(answer, uint256)
    log Swept(salt=salt, token=token, account=account, amount=amount, to_hold=to_hold)
    return amount


@internal
def _clone(salt: bytes32) -> address:
    account: address = self._account(salt)
    if account.codesize == 0:
        return create_minimal_proxy_to(logic, salt=salt)
    return account


@view
@internal
def _account(salt: bytes32) -> address:
    initcode_hash: bytes32 = keccak256(
        concat(
            x"602d3d8160093d39f3363d3d373d3d3d363d73",
            convert(logic, bytes20),
            x"5af43d82803e903d91602b57fd5bf3",
        )
    )
    digest: bytes32 = keccak256(concat(x"ff", convert(self, bytes20), salt, initcode_hash))
    return convert(convert(digest, uint256) & convert(max_value(uint160), uint256), address)
