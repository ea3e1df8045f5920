# pragma version 0.4.3
# pragma evm-version cancun
"""
@title UsdtLike
@notice A stand-in for Tether's old contract with all its oddities: transfer, transferFrom
        and approve return nothing, the owner may take a fee, addresses can be blacklisted,
        and an allowance must be reset to zero before it is changed. Sandbox and tests only.
@dev    No constructor and no immutables: the runtime code is placed at the real token's
        address, and everything that differs between tokens lives in storage.
"""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256


decimals: public(constant(uint8)) = 6

owner: public(address)
name: public(String[32])
symbol: public(String[32])
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
isBlackListed: public(HashMap[address, bool])
basisPointsRate: public(uint256)
maximumFee: public(uint256)


@external
def setParams(basis_points: uint256, maximum_fee: uint256):
    assert msg.sender == self.owner, "owner only"
    self.basisPointsRate = basis_points
    self.maximumFee = maximum_fee


@external
def addBlackList(account: address):
    assert msg.sender == self.owner, "owner only"
    self.isBlackListed[account] = True


@external
def removeBlackList(account: address):
    assert msg.sender == self.owner, "owner only"
    self.isBlackListed[account] = False


@external
def mint(receiver: address, amount: uint256):
    assert msg.sender == self.owner, "owner only"
    self.totalSupply += amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, value=amount)


@external
def transfer(receiver: address, amount: uint256):
    self._move(msg.sender, receiver, amount)


@external
def transferFrom(sender: address, receiver: address, amount: uint256):
    if self.allowance[sender][msg.sender] != max_value(uint256):
        self.allowance[sender][msg.sender] -= amount
    self._move(sender, receiver, amount)


@external
def approve(spender: address, amount: uint256):
    assert amount == 0 or self.allowance[msg.sender][spender] == 0, "reset to zero first"
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, value=amount)


@internal
def _move(sender: address, receiver: address, amount: uint256):
    assert not self.isBlackListed[sender], "blacklisted"
    fee: uint256 = min(amount * self.basisPointsRate // 10_000, self.maximumFee)
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount - fee
    if fee > 0:
        self.balanceOf[self.owner] += fee
        log Transfer(sender=sender, receiver=self.owner, value=fee)
    log Transfer(sender=sender, receiver=receiver, value=amount - fee)
