"""The organisation that somebody acts in."""

from counterfoil.books import orgs
from counterfoil.books.orgs import Org
from counterfoil.core.errors import NotFound
from counterfoil.db.pool import Tx


async def the_org(tx: Tx, org_id: int) -> Org:
    """An organisation that has to be there; raises `NotFound`."""
    found = await orgs.get(tx, org_id)
    if found is None:
        raise NotFound(f"there is no organisation {org_id}")
    return found
