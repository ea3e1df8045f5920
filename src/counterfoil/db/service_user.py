"""The operating system's user as whom an embedded server runs: ourselves, or never root."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

NAME: Final = "counterfoil-db"
"""The system user that root's server runs as."""


class EmbeddedPostgresError(Exception):
    """The server cannot run here; says why, and what to do about it."""


class PopenUser(TypedDict, total=False):
    """The arguments of ``subprocess.Popen`` that change who the child is."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """Who runs the server; ``switch`` where that is somebody other than this process."""

    uid: int
    gid: int
    switch: bool

    @property
    def popen(self) -> PopenUser:
        """Arguments for ``subprocess`` that make the child this user, without our groups."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def make_home(self, path: Path) -> None:
        """Let this user pass through a folder that stays ours: what lies in it is not theirs.

        Were the folder theirs, a broken-in server could plant links for root to write through.
        """
        if self.switch:
            os.chown(path, -1, self.gid)
        path.chmod(0o710 if self.switch else 0o700)

    def make_data(self, path: Path) -> None:
        """Create a folder that is this user's alone."""
        path.mkdir(mode=0o700)
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def give(self, descriptor: int) -> None:
        """Make an open file this user's."""
        if self.switch:
            os.fchown(descriptor, self.uid, self.gid)

    def must_have_home(self, folder: Path) -> None:
        """Raise `EmbeddedPostgresError` unless the folder is ours and closed to others."""
        _must_be(folder, os.geteuid(), closed_to=0o027 if self.switch else 0o077)

    def must_own(self, folder: Path) -> None:
        """Raise `EmbeddedPostgresError` unless the folder is this user's and closed to others."""
        _must_be(folder, self.uid, closed_to=0o077)

    def can_reach(self, folder: Path) -> bool:
        """Whether the permissions on the way let this user into the folder."""
        if not self.switch:
            return True
        real = folder.resolve()
        return all(self._may_enter(part.stat()) for part in (real, *real.parents))

    def _may_enter(self, found: os.stat_result) -> bool:
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def service_user() -> ServiceUser:
    """Ourselves; for root, whom PostgreSQL refuses, the system user `NAME`, made when missing.

    Raises `EmbeddedPostgresError` where that user neither exists nor can be made.
    """
    if os.geteuid() != 0:
        return ServiceUser(os.geteuid(), os.getegid(), switch=False)
    entry = _find() or _make()
    return ServiceUser(entry.pw_uid, entry.pw_gid, switch=True)


def _find() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return None


def _make() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd:
        subprocess.run(  # noqa: S603 - the system's own tool, our arguments
            [
                useradd,
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir=/nonexistent",
                "--shell=/usr/sbin/nologin",
                NAME,
            ],
            capture_output=True,
            check=False,
        )
    # Asked again in any case: another process may have made it at the same moment.
    entry = _find()
    if entry is None:
        msg = (
            "PostgreSQL does not run as root. Start as an ordinary user, or create a system user"
            f" called {NAME}, or set COUNTERFOIL_DATABASE_URL to a server of your own"
        )
        raise EmbeddedPostgresError(msg)
    return entry


def _must_be(folder: Path, uid: int, *, closed_to: int) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        msg = f"{folder} is no folder: move it away"
        raise EmbeddedPostgresError(msg)
    if found.st_uid != uid:
        msg = (
            f"{folder} belongs to the user {_name(found.st_uid)} and not to {_name(uid)}:"
            " start as the user who made it, or move it away"
        )
        raise EmbeddedPostgresError(msg)
    if stat.S_IMODE(found.st_mode) & closed_to:
        msg = f"{folder} is open to other users: run `chmod go-rwx {folder}`"
        raise EmbeddedPostgresError(msg)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
