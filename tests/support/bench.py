"""`Bench`: an office, its notifiers, and merchants' receivers on this machine."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from counterfoil.api.kryptogo.callbacks import KryptogoCallbacks
from counterfoil.core.invoice import Invoice
from counterfoil.db.pool import Database
from counterfoil.desk import delivering
from counterfoil.desk.delivering import Delivery, Shares, Told
from counterfoil.workers.notify import Limits, Notifier
from counterfoil.workers.outward import KEPT_SECONDS, Lookup, callback_session
from counterfoil.workers.runner import RightOfWay
from support.fake_clock import FakeClock
from support.inbox import Inbox
from support.office import FINANCE, Office
from support.patience import patiently

MASTER = b"master secret of this installation"


class Bench:
    """An office, its notifiers, and what a merchant sees in the log."""

    def __init__(self, office: Office, stack: AsyncExitStack) -> None:
        self.office = office
        self.desk = office.desk
        self.clock = office.clock
        self._stack = stack

    async def inbox(self) -> Inbox:
        return await self._stack.enter_async_context(Inbox().open())

    async def notifier(  # noqa: PLR0913 - what a process hands to this worker
        self,
        *,
        lookup: Lookup | None = None,
        allow_private: bool = True,
        limits: Limits | None = None,
        forms: dict[str, delivering.CallbackForm] | None = None,
        kept_seconds: float = KEPT_SECONDS,
        way: RightOfWay | None = None,
    ) -> Notifier:
        session = callback_session(
            allow_private=allow_private, lookup=lookup, kept_seconds=kept_seconds
        )
        await self._stack.enter_async_context(session)
        notifier = Notifier(
            self.desk,
            forms or {"kryptogo": KryptogoCallbacks()},
            session,
            MASTER,
            allow_private=allow_private,
            limits=limits or Limits(gathering_seconds=0),
            jitter=lambda: 0.0,
            way=way,
        )
        self._stack.push_async_callback(notifier.close)
        return notifier

    async def bill(self, number: int = 42) -> Invoice:
        return await self.office.issues(number)

    async def claims(self) -> list[Delivery]:
        """Hold everything that is due, as a notifier would."""
        shares = Shares(9, 9, to={}, of={})
        return await delivering.claim(self.desk, limit=9, shares=shares, lease_seconds=60)

    async def log(self, bill: Invoice) -> list[Told]:
        return await delivering.of_invoice(self.desk, bill.invoice_id, FINANCE)


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Bench]:
    office = Office(database, FakeClock())
    await office.opens()
    async with AsyncExitStack() as stack:
        yield Bench(office, stack)


async def work(*notifiers: Notifier) -> None:
    """Let notifiers take turns until none of them finds anything due."""
    async with patiently("notifiers that rest"):
        while any([await notifier.step() for notifier in notifiers]):
            for notifier in notifiers:
                await notifier.settle()
