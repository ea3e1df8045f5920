"""Books that are put back from a backup: what was signed since is known to the signer alone."""

from typing import TYPE_CHECKING

from simulation.teller import Lost
from support.backup import Backup

if TYPE_CHECKING:
    from datetime import datetime

    from simulation.run import Run


class Kept:
    """The books as they stood, to be put back while nobody of ours runs."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._at: datetime = run.world.clock.now()
        self._backup = Backup(run.lines.admin_url)

    async def put_back(self) -> None:
        """Forget all that was written since. Raises `Lost` where nobody could ever know of it.

        That is so of movements that were planned since and are signed already.
        """
        run = self._run
        for process in (run.web, *run.workers):
            await process.kill("the books are put back")
        ((unknown,),) = await run.checker.ask(
            "SELECT count(*) FROM move JOIN ingest.chain_tx AS c USING (chain, wallet, nonce)"
            " WHERE created_at >= %(at)s",
            {"at": self._at},
        )
        if unknown:
            raise Lost("something new was signed")
        run.record.say(f"      the books are put back to {self._at:%H:%M:%S}")
        self._backup.restore()
        await run.checker.looks_anew()
