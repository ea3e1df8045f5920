# pragma version 0.4.3
# pragma evm-version cancun
"""
@title UsdcLike
@notice A stand-in for Circle's token: blacklist on both sides, pause, EIP-2612 permit and
        EIP-3009 transferWithAuthorization. Sandbox and tests only.
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

event AuthorizationUsed:
    authorizer: indexed(address)
    nonce: indexed(bytes32)


decimals: public(constant(uint8)) = 6
version: public(constant(String[1])) = "2"

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
PERMIT_TYPE: constant(bytes32) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
TRANSFER_TYPE: constant(bytes32) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)

owner: public(address)
name: public(String[32])
symbol: public(String[32])
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
isBlacklisted: public(HashMap[address, bool])
paused: public(bool)
nonces: public(HashMap[address, uint256])
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])


@external
def blacklist(account: address):
    assert msg.sender == self.owner, "owner only"
    self.isBlacklisted[account] = True


@external
def unBlacklist(account: address):
    assert msg.sender == self.owner, "owner only"
    self.isBlacklisted[account] = False


@external
def pause():
    assert msg.sender == self.owner, "owner only"
    self.paused = True


@external
def unpause():
    assert msg.sender == self.owner, "owner only"
    self.paused = False


@external
def mint(receiver: address, amount: uint256) -> bool:
    assert msg.sender == self.owner, "owner only"
    self.totalSupply += amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, value=amount)
    return True


@external
def transfer(receiver: address, amount: uint256) -> bool:
    self._move(msg.sender, receiver, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    if self.allowance[sender][msg.sender] != max_value(uint256):
        self.allowance[sender][msg.sender] -= amount
    self._move(sender, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    self._approve(msg.sender, spender, amount)
    return True


@view
@external
def DOMAIN_SEPARATOR() -> bytes32:
    return self._domain()


@external
def permit(
    owner: address,
    spender: address,
    amount: uint256,
    deadline: uint256,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    assert block.timestamp <= deadline, "expired"
    order: bytes32 = keccak256(
        abi_encode(PERMIT_TYPE, owner, spender, amount, self.nonces[owner], deadline)
    )
    self._check(owner, order, v, r, s)
    self.nonces[owner] += 1
    self._approve(owner, spender, amount)


@external
def transferWithAuthorization(
    sender: address,
    receiver: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    assert block.timestamp > valid_after and block.timestamp < valid_before, "not valid now"
    assert not self.authorizationState[sender][nonce], "used"
    order: bytes32 = keccak256(
        abi_encode(TRANSFER_TYPE, sender, receiver, amount, valid_after, valid_before, nonce)
    )
    self._check(sender, order, v, r, s)
    self.authorizationState[sender][nonce] = True
    log AuthorizationUsed(authorizer=sender, nonce=nonce)
    self._move(sender, receiver, amount)


@view
@internal
def _domain() -> bytes32:
    return keccak256(
        abi_encode(DOMAIN_TYPE, keccak256(self.name), keccak256(version), chain.id, self)
    )


@view
@internal
def _check(signer: address, order: bytes32, v: uint8, r: bytes32, s: bytes32):
    digest: bytes32 = keccak256(concat(b"\x19\x01", self._domain(), order))
    assert signer != empty(address) and ecrecover(digest, v, r, s) == signer, "signature"


@internal
def _approve(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] = amount
    log Approval(owner=owner, spender=spender, value=amount)


@internal
def _move(sender: address, receiver: address, amount: uint256):
    assert not self.paused, "paused"
    assert not (self.isBlacklisted[sender] or self.isBlacklisted[receiver]), "blacklisted"
    assert receiver != empty(address), "zero address"
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, value=amount)
