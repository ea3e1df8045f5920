"""`counterfoil work` with leases so short that a pause of seconds outlasts every one of them.

It tells the database which process it is, so that the `Witness` knows who holds what.
"""

import os
from typing import Final

from counterfoil import worker
from counterfoil.config import WorkConfig
from counterfoil.log import configure
from counterfoil.processes import lasting_database
from counterfoil.supervisor import run_until, until_signalled
from counterfoil.worker import Leases

LONGEST_LEASE_SECONDS: Final = 6.0

WHO: Final = "soak.process"
"""A setting of each connection to the database, of this name: whose it is."""

LEASES: Final = Leases(
    watch=3.0, screen=LONGEST_LEASE_SECONDS, notify=LONGEST_LEASE_SECONDS, retell=4.0
)

if __name__ == "__main__":
    configure()
    os.environ["PGOPTIONS"] = f"-c {WHO}={os.getpid()}"
    config = WorkConfig.from_env(os.environ)
    url = lasting_database(config.database)
    run_until(worker.work(config, url, leases=LEASES), until=until_signalled)
