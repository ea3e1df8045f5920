"""The organisation's own history as a timeline, its seals computed anew."""

from typing import Final

from litestar import get

from counterfoil.desk import org_log
from counterfoil.studio.door import Answer, PageRequest, desk_of
from counterfoil.studio.settings.frame import settings_page


@get("/settings/log")
async def log(request: PageRequest) -> Answer:
    """Newest first."""
    found = await org_log.history(desk_of(request), request.user.actor)
    return settings_page(request, "log", {"found": found})


HANDLERS: Final = (log,)
