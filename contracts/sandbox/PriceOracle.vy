# pragma version 0.4.3
# pragma evm-version cancun
"""
@title PriceOracle
@notice Answers as the price oracle of rollups does that take a fee for data beside gas, for
        tests: so many wei for each byte of a transaction and of the signature that it lacks.
"""

SIGNATURE_BYTES: constant(uint256) = 68

wei_per_byte: uint256


@external
@view
def getL1FeeUpperBound(unsigned_size: uint256) -> uint256:
    return (unsigned_size + SIGNATURE_BYTES) * self.wei_per_byte
