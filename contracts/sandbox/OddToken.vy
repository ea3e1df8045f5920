# pragma version 0.4.3
# pragma evm-version cancun
"""
@title OddToken
@notice A token with bad manners, for tests of the deposit contracts. Anyone may mint.
@dev    It can also be a factory's operator (`drive`), which lets its transfer try to enter
        the factory again with the operator's rights. Two booleans choose between `sweep`
        and `sweep_one`, for the first entry and for the second.
"""

flag Manner:
    HONEST
    FALSE_BUT_MOVES
    TRUE_BUT_STAYS
    BURNS_GAS
    REENTERS

interface Factory:
    def sweep(token: address, salts: DynArray[bytes32, 256], to_hold: bool): nonpayable
    def sweep_one(token: address, salt: bytes32, to_hold: bool) -> uint256: nonpayable

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

decimals: public(constant(uint8)) = 6
manner: Manner
victim: address
rounds: uint256
factory: Factory
second_salt: bytes32
second_is_one: bool
reentered: public(bool)
burnt: uint256
balanceOf: public(HashMap[address, uint256])


@external
def behave(manner: Manner, victim: address, rounds: uint256):
    self.manner = manner
    self.rounds = rounds
    self.victim = victim


@external
def mint(receiver: address, amount: uint256):
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, value=amount)


@external
def drive(
    factory: Factory, first: bytes32, second: bytes32, first_is_one: bool, second_is_one: bool
):
    self.factory = factory
    self.second_salt = second
    self.second_is_one = second_is_one
    if first_is_one:
        extcall factory.sweep_one(self, first, False)
    else:
        extcall factory.sweep(self, [first], False)


@external
def transfer(receiver: address, amount: uint256) -> bool:
    manner: Manner = self.manner
    if msg.sender != self.victim:
        manner = Manner.HONEST
    if manner == Manner.BURNS_GAS:
        for i: uint256 in range(self.rounds, bound=1_000_000):
            self.burnt += i
    if manner == Manner.TRUE_BUT_STAYS:
        return True
    if manner == Manner.REENTERS:
        order: Bytes[164] = b""
        if self.second_is_one:
            order = abi_encode(
                self,
                self.second_salt,
                True,
                method_id=method_id("sweep_one(address,bytes32,bool)"),
            )
        else:
            salts: DynArray[bytes32, 1] = [self.second_salt]
            order = abi_encode(
                self, salts, True, method_id=method_id("sweep(address,bytes32[],bool)")
            )
        self.reentered = raw_call(self.factory.address, order, revert_on_failure=False)
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=msg.sender, receiver=receiver, value=amount)
    return manner != Manner.FALSE_BUT_MOVES
