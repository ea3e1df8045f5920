import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest

from counterfoil.db import postgres_binaries, service_user
from counterfoil.db.embedded import EmbeddedPostgres, EmbeddedPostgresError
from counterfoil.db.service_user import ServiceUser

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand folders to others")


STILL_IN_USE: Final = "pre-existing shared memory block"


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-embedded-"))
    folder.chmod(0o711)
    yield folder / "postgres"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def only_server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-embedded-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "postgres")
    yield server
    server.destroy()
    folder.rmdir()


@pytest.fixture
def server(only_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """A running server without notes; whatever a test does to it, the next one starts it again."""
    only_server.start()
    with psycopg.connect(only_server.url) as connection:
        connection.execute("DROP TABLE IF EXISTS note")
    return only_server


def write(server: EmbeddedPostgres, note: str) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        connection.execute("INSERT INTO note VALUES (%s)", [note])


def notes(server: EmbeddedPostgres) -> list[str]:
    with psycopg.connect(server.url) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM note")]


def pid(server: EmbeddedPostgres) -> int:
    return int((server.data_dir / "data" / "postmaster.pid").read_text().splitlines()[0])


def kill(server: EmbeddedPostgres) -> None:
    os.kill(pid(server), signal.SIGKILL)


def test_nothing_is_lost_when_the_server_is_killed(server: EmbeddedPostgres) -> None:
    write(server, "before")
    kill(server)

    EmbeddedPostgres(server.data_dir).start()

    assert notes(server) == ["before"]


def test_a_server_that_was_killed_is_started_once_all_its_processes_are_gone(
    server: EmbeddedPostgres,
) -> None:
    """Killed amid its recovery, say, which then goes on for a moment without it."""
    write(server, "before")
    log = server.data_dir / "server.log"
    said = log.read_text(encoding="utf-8").count(STILL_IN_USE)
    survivor = psutil.Process(pid(server)).children()[0]
    survivor.suspend()
    kill(server)

    with ThreadPoolExecutor() as threads:
        try:
            starting = threads.submit(EmbeddedPostgres(server.data_dir).start)
            while log.read_text(encoding="utf-8").count(STILL_IN_USE) < said + 2:
                assert not starting.done()
                # It goes on writing into the log.
                with log.open("a", encoding="utf-8") as lines:
                    lines.write("LOG:  checkpoint complete\n")
                time.sleep(0.02)
        finally:
            survivor.resume()
        starting.result(timeout=60)

    assert notes(server)[-1] == "before"


def test_stop_and_start_keep_address_and_data(server: EmbeddedPostgres) -> None:
    url = server.url
    write(server, "kept")
    server.stop()
    assert not server.alive()
    server.stop()

    assert server.start() == url
    assert notes(server) == ["kept"]


def test_a_running_server_is_found_not_started_twice(server: EmbeddedPostgres) -> None:
    running = pid(server)
    assert EmbeddedPostgres(server.data_dir).start() == server.url
    assert pid(server) == running


def test_it_outlives_the_program_that_started_it(home: Path) -> None:
    program = (
        "import sys, pathlib; from counterfoil.db.embedded import EmbeddedPostgres;"
        "EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, home], check=True, timeout=60)
    server = EmbeddedPostgres(home)
    try:
        write(server, "still here")
        assert notes(server) == ["still here"]
    finally:
        server.destroy()
    assert not home.exists()


def test_a_stranger_with_the_dead_servers_pid_is_not_mistaken_for_it(
    server: EmbeddedPostgres,
) -> None:
    write(server, "before")
    kill(server)
    user = service_user.service_user()
    with subprocess.Popen(["sleep", "60"], **user.popen) as stranger:
        pid_file = server.data_dir / "data" / "postmaster.pid"
        _, _, rest = pid_file.read_text().partition("\n")
        pid_file.write_text(f"{stranger.pid}\n{rest}")

        server.start()

        assert notes(server) == ["before"]
        assert stranger.poll() is None
        server.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_a_stolen_port_is_exchanged_for_a_free_one(server: EmbeddedPostgres) -> None:
    write(server, "before")
    port = psycopg.conninfo.conninfo_to_dict(server.url)["port"]
    server.stop()
    with socket.create_server(("127.0.0.1", int(str(port)))):
        server.start()
        assert psycopg.conninfo.conninfo_to_dict(server.url)["port"] != port
        assert notes(server) == ["before"]


def test_nobody_gets_in_without_the_password(server: EmbeddedPostgres) -> None:
    for user in ("counterfoil", "postgres"):
        address = psycopg.conninfo.make_conninfo(server.url, user=user, password="guess")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(address)


def test_the_running_system_is_no_superuser(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url) as connection:
        found = connection.execute("SHOW is_superuser").fetchone()
        addresses = connection.execute("SHOW listen_addresses").fetchone()
    assert (found, addresses) == (("off",), ("127.0.0.1",))


def test_everything_is_closed_to_others(server: EmbeddedPostgres) -> None:
    for path in (server.data_dir, server.data_dir / "data"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0
    for name in ("passwords", "port", "server.log"):
        assert stat.S_IMODE((server.data_dir / name).stat().st_mode) == 0o600


def test_data_of_another_version_is_refused(server: EmbeddedPostgres) -> None:
    version = server.data_dir / "data" / "PG_VERSION"
    ours = version.read_text()
    server.stop()
    version.write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match=r"written by PostgreSQL 15, this is \d+"):
        server.start()
    version.write_text(ours)


def test_data_without_a_version_is_refused(server: EmbeddedPostgres) -> None:
    version = server.data_dir / "data" / "PG_VERSION"
    hidden = version.rename(version.with_name("hidden"))
    server.stop()
    with pytest.raises(EmbeddedPostgresError, match=r"written by PostgreSQL \(unknown\)"):
        server.start()
    hidden.rename(version)


def test_a_folder_open_to_others_is_refused(server: EmbeddedPostgres) -> None:
    server.stop()
    mode = stat.S_IMODE(server.data_dir.stat().st_mode)
    server.data_dir.chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match="is open to other users: run `chmod"):
        server.start()
    server.data_dir.chmod(mode)


@as_root
def test_a_folder_of_another_user_is_refused(server: EmbeddedPostgres) -> None:
    server.stop()
    for path in (server.data_dir, server.data_dir / "data"):
        found = path.stat()
        os.chown(path, 12345, found.st_gid)
        with pytest.raises(EmbeddedPostgresError, match="belongs to the user 12345 and not to"):
            server.start()
        os.chown(path, found.st_uid, found.st_gid)


@as_root
def test_under_a_folder_closed_to_it_roots_server_lives_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.parent.chmod(0o700)
    elsewhere = Path(tempfile.mkdtemp(prefix="counterfoil-elsewhere-"))
    elsewhere.chmod(0o711)
    monkeypatch.setattr("counterfoil.db.embedded.SYSTEM_HOME", elsewhere)
    server = EmbeddedPostgres(home)
    try:
        server.start()
        write(server, "reached")

        assert home.readlink().parent == elsewhere
        assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700
        assert notes(server) == ["reached"]
    finally:
        server.destroy()
        assert not list(elsewhere.glob("postgres-*"))
        shutil.rmtree(elsewhere)
    assert not home.is_symlink()


@as_root
def test_programs_closed_to_its_user_are_copied_once(home: Path) -> None:
    """As where the virtual environment lies under root's closed home."""
    user = service_user.service_user()

    class Shut(ServiceUser):
        def can_reach(self, folder: Path) -> bool:
            return folder != postgres_binaries.installed()

    shut = Shut(user.uid, user.gid, switch=True)
    home.mkdir(mode=0o755)
    programs = postgres_binaries.for_user(shut, home)
    assert postgres_binaries.for_user(shut, home) == programs

    command = [str(programs / "postgres"), "--version"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, **user.popen)
    assert f"PostgreSQL) {postgres_binaries.major_version()}." in shown.stdout
    assert [path.name for path in home.iterdir()] == [f"programs-{postgres_binaries.version()}"]


def test_an_unfinished_start_is_begun_anew(home: Path) -> None:
    home.mkdir(mode=0o700)
    user = service_user.service_user()
    user.make_home(home)
    (home / "data.unfinished").mkdir()
    (home / "data.unfinished" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(home)
    try:
        server.start()
        write(server, "fine")
    finally:
        server.destroy()


def test_asking_for_the_address_before_the_first_start_is_refused(home: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="was the server ever started"):
        _ = EmbeddedPostgres(home).url
