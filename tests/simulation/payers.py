"""What payers do, and what the chain does by itself."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

from counterfoil.core.assets import CHAINS, Chain
from simulation.chain import SimulatedChain
from simulation.chaos import Dice, Record
from support.fake_chain import FakeTx, Moved

PAYERS: Final = tuple("0x" + f"{number:02x}" * 20 for number in (0xC1, 0xC2, 0xC3))


@dataclass(frozen=True, slots=True)
class Payable:
    """An invoice's addresses with what is asked: ``(chain, contract, units)``. Ended ones, too.

    ``child`` is the one with a key of its own; tokens are to be paid there on ``child_chains``.
    """

    address: str
    child: str | None
    child_chains: Collection[str]
    due: tuple[tuple[str, str, int], ...]
    received: int

    def place(self, chain: str, contract: str, *, wrong: bool) -> str:
        """Where a token is to be paid on a chain, or the invoice's other address."""
        asks_child = chain in self.child_chains and contract != ""
        return self.child if self.child and asks_child != wrong else self.address


def pay(
    dice: Dice,
    chains: Mapping[str, SimulatedChain],
    invoices: Sequence[Payable],
    listed: str,
    *,
    plain: bool = False,
) -> str:
    """Somebody pays something to an address of ours, in one of many ways; ``plain``: as asked."""
    chance = dice.random
    wanted = [i for i in invoices if any(chain in chains for chain, _, _ in i.due)]
    if not wanted:
        return ""
    unpaid = [i for i in wanted if not i.received]
    target = chance.choice(unpaid if unpaid and (plain or chance.random() < 0.6) else wanted)
    key, contract, due = chance.choice([d for d in target.due if d[0] in chains])
    payer = chance.choice(PAYERS) if chance.random() < 0.97 else listed
    chain, known = chains[key], CHAINS[key]
    way = "exactly" if plain else chance.choices(list(_WAYS), list(_WAYS.values()))[0]
    address = target.place(key, contract, wrong=contract != "" and chance.random() < 0.05)
    moves, reverts = _moves(way, dice, known, Moved(contract, payer, address, due))
    chain.include(*_in_coin(dice, moves), reverts=reverts)
    amounts = ", ".join(str(move.amount_units) for move in moves)
    return f"{payer[:6]} pays {address[:8]} on {key}, {way}: {amounts} of {due}"


_HOWS: Final[tuple[Literal["plain", "call", "forced"], ...]] = ("plain", "plain", "call", "forced")

_WAYS: Final = {
    "exactly": 40,
    "one unit short": 3,
    "one unit over": 3,
    "at the tolerance": 3,
    "one below the tolerance": 3,
    "half": 8,
    "double": 6,
    "in two transfers at once": 8,
    "for two at once": 4,
    "dust": 3,
    "nothing": 2,
    "a known other token": 4,
    "the other accepted token": 4,
    "and it fails": 3,
    "a look-alike": 3,
}


def _moves(way: str, dice: Dice, chain: Chain, whole: Moved) -> tuple[tuple[Moved, ...], bool]:
    due, contract = whole.amount_units, whole.contract
    tolerated = Fraction(due) * Fraction("0.995")
    least = -int(-tolerated // 1)

    def of(units: int, token: str = contract) -> Moved:
        return Moved(token, whole.from_address, whole.to_address, units)

    first = dice.random.randrange(1, due)
    other = next(a.contract for a in chain.accepted if a.contract != contract)
    plain = {
        "exactly": (of(due),),
        "one unit short": (of(due - 1),),
        "one unit over": (of(due + 1),),
        "at the tolerance": (of(least),),
        "one below the tolerance": (of(least - 1),),
        "half": (of(due // 2),),
        "double": (of(due * 2),),
        "in two transfers at once": (of(first), of(due - first)),
        "for two at once": (of(due), Moved(contract, whole.from_address, PAYERS[0], 1)),
        "dust": (of(5_000),),
        "nothing": (of(0),),
        "a known other token": (of(due, chain.known_other[0].contract),),
        "the other accepted token": (of(due, other),),
        "and it fails": (of(due),),
        "a look-alike": (of(due, "0x" + "1a" * 20),),
    }
    return plain[way], way == "and it fails"


def _in_coin(dice: Dice, moves: Sequence[Moved]) -> list[Moved]:
    """Coin comes with the transaction itself, from inside it, or in a way that nothing shows.

    A transaction pays one address itself at most.
    """
    found: list[Moved] = []
    for move in moves:
        how = dice.random.choice(_HOWS if not found else _HOWS[2:])
        found.append(move if move.contract else replace(move, how=how))
    return found


def weather(dice: Dice, chain: SimulatedChain, record: Record) -> list[str]:
    """Reorgs, drops, replacements, and nodes that lag: what happens to a chain by itself."""
    said = []
    chain.faults.lag_blocks = 0

    def falls(kind: str) -> bool:
        if not dice.falls(kind):
            return False
        record.fault(kind, chain.key)
        return True

    if falls("node lags"):
        chain.faults.lag_blocks = dice.random.choice((1, 2, 3))
        said.append(f"nodes of {chain.key} lag {chain.faults.lag_blocks} blocks")
    if chain.pool and falls("dropped from the pool"):
        lost = dice.random.choice(chain.pool)
        chain.drop(lost.tx_hash)
        said.append(f"{chain.key} forgets {lost.tx_hash[:10]}")
    if len(chain.frozen) < 2 and falls("address blacklisted"):
        victims = [m.to_address for _, tx in chain.canonical() for m in tx.moves if m.contract]
        if victims:
            chain.frozen.add(dice.random.choice(victims))
            said.append(f"an issuer on {chain.key} blacklists somebody")
    if chain.wallets and falls("foreign nonce"):
        victim = dice.random.choice(sorted(chain.wallets))
        chain.use_key(victim)
        said.append(f"somebody else signs with the key of {victim[:8]} on {chain.key}")
    return said + _branches(dice, chain, falls)


def _branches(dice: Dice, chain: SimulatedChain, falls: Callable[[str], bool]) -> list[str]:
    """Reorgs, and a second node that does not hear of one, or of which the first hears nothing."""
    said = []
    if chain.other is not None and dice.random.random() < 0.3:
        chain.other = None
        said.append(f"the nodes of {chain.key} agree again")
    if chain.head.number <= chain.final_lag + 2:
        return said
    before = chain.as_it_is()
    if falls("reorg"):
        said.append(_reorg(dice, chain, falls))
        if falls("nodes disagree"):
            chain.stays_behind(before)
            said.append("which one of two nodes does not hear of")
    elif falls("nodes disagree"):
        depth = dice.random.choice((1, 2, 3, chain.final_lag))
        chain.parts(depth, mined=dice.random.choice((0, 1)))
        said.append(f"one of two nodes of {chain.key} leaves the other {depth} blocks back")
    return said


def _reorg(dice: Dice, chain: SimulatedChain, falls: Callable[[str], bool]) -> str:
    depth = dice.random.choice((1, 1, 2, 3, chain.final_lag))
    # Most reorgs hit nothing of ours; those that take a payment back are what this is about.
    paid = [at for at, tx in chain.canonical() if tx.moves and tx.tx_hash not in chain.ours]
    reach = chain.head.number - max(paid, default=0) + 1
    if reach <= chain.final_lag and dice.random.random() < 0.6:
        depth = reach
    dropped = chain.reorg(depth, forget=dice.random.random() < 0.25)
    how = "and its transactions wait again"
    if dice.random.random() < 0.3:
        # Somebody else's transfer comes first now, so that ours get other log indexes.
        chain.pool.insert(0, chain.include(Moved(_any_token(chain), PAYERS[1], PAYERS[2], 7)))
        chain.pool.pop()
        how = "and a stranger's transfer comes first"
    theirs = [tx for tx in chain.pool if tx.tx_hash not in chain.ours and tx.moves]
    if theirs and falls("replaced by its payer"):
        how = _replaced(dice, chain, dice.random.choice(theirs))
    return f"reorg of {chain.key}, depth {depth}, {len(dropped)} transactions, {how}"


def _replaced(dice: Dice, chain: SimulatedChain, old: FakeTx) -> str:
    chain.drop(old.tx_hash)
    move = old.moves[0]
    units = max(move.amount_units * dice.random.choice((1, 2)) // 2, 1)
    chain.include(Moved(move.contract, move.from_address, move.to_address, units))
    return f"and {old.tx_hash[:10]} is replaced by a payment of {units}"


def _any_token(chain: SimulatedChain) -> str:
    return CHAINS[chain.key].accepted[0].contract
