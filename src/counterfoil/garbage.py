"""How often Python's garbage collector looks, in processes that run for weeks."""

import gc
from typing import Final

_ALLOCATIONS_BETWEEN_LOOKS: Final = 10_000


def leave_alone_what_stays() -> None:
    """Have the collector look at what comes and goes only, and less often.

    What was loaded by now stays for good; looking through it again and again finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BETWEEN_LOOKS)
