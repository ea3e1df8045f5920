"""Writing files that must be there, whole, after a power cut."""

import os
from pathlib import Path


def write_once(path: Path, content: bytes) -> None:
    """Put a whole file (0600) there or none; its folder is made 0700 if new.

    Raises ``FileExistsError`` when something is there: nothing is ever written over.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link fails where a rename would silently replace what is there.
        path.hardlink_to(draft)
    finally:
        draft.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a name that was just added to ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
