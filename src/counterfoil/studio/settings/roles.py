"""What each role may do, for everybody to read, and which of it is one's own."""

from typing import Final

from litestar import get

from counterfoil.core.roles import ROLES
from counterfoil.studio.door import Answer, PageRequest, go
from counterfoil.studio.settings.frame import ADDRESS, settings_page


@get("/settings")
async def front() -> Answer:
    """The first tab that everybody may see."""
    return go(f"{ADDRESS}/organisation")


@get("/settings/roles")
async def roles(request: PageRequest) -> Answer:
    """Roles with their permissions."""
    return settings_page(
        request, "roles", {"roles": ROLES, "mine": frozenset(request.user.session.roles)}
    )


HANDLERS: Final = (front, roles)
