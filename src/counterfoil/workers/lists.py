"""Brings a sanctions list that was read from a file into force."""

from counterfoil.desk import screening
from counterfoil.desk.desk import Desk
from counterfoil.providers.screening.list_content import (
    ListContent,
    ListDiff,
    ListImport,
    compare_imports,
)


async def import_list(
    desk: Desk, imported: ListImport, source: str, *, override: bool = False
) -> ListDiff:
    """Make a list current and answer what it adds and removes.

    ``source`` says where the file came from. Raises `Conflict` for a file that looks broken, old
    or shrunken (specs/aml.md 6.5), unless the operator overrides, and for one that raced another.
    """
    current = await screening.current_version(desk, imported.list_code)
    old = (
        ListContent(current.entry_count, current.addresses, current.published_on)
        if current.version
        else None
    )
    diff = compare_imports(old, imported.content, override=override)
    await screening.replace_list(
        desk,
        screening.NewVersion(
            list_code=imported.list_code,
            published_on=imported.publish_date,
            sha256=imported.sha256,
            entry_count=imported.entry_count,
            source=source,
            addresses=[
                screening.Listed(
                    list_code=imported.list_code,
                    family=listed.family,
                    address=listed.address,
                    entry_uid=listed.entry_uid,
                    label=listed.label,
                    source=listed.source,
                    names=listed.names,
                    programs=listed.programs,
                )
                for listed in imported.addresses
            ],
        ),
        replaces=current.version,
    )
    return diff
