"""What can be wrong with the endpoints of the chain that tests make up."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """What is wrong with the endpoints just now.

    ``failing_calls`` counts down. ``lag_blocks`` hides the newest blocks. ``empty_logs``
    answers no transfers at all, without an error, which an endpoint must never do but does.
    ``lost_sends`` swallows signed bytes while saying they were accepted; ``mute_sends``
    takes them and then fails to answer. ``no_traces``: calls are not shown, as by most nodes.
    ``no_state``: old balances are not told; ``no_balances``: not even the newest of tokens, when
    they are compared. Transactions that are ``omitted`` are left out of every list, or only out of
    those of more than one block. ``altered`` ones are listed with another amount or receiver.
    """

    unreachable: bool = False
    failing_calls: int = 0
    lag_blocks: int = 0
    empty_logs: bool = False
    widest_range: int | None = None
    lost_sends: bool = False
    mute_sends: bool = False
    no_traces: bool = False
    no_state: bool = False
    no_balances: bool = False
    omitted: set[str] = field(default_factory=set)
    omits_from_single_blocks: bool = True
    altered: dict[str, tuple[int, str]] = field(default_factory=dict)
