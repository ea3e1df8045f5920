"""Files that were attached, given back to be saved and never opened in place (T11)."""

from typing import Final
from urllib.parse import quote

from litestar import Response, get
from litestar.params import FromPath

from counterfoil.core import ids
from counterfoil.core.errors import NotFound
from counterfoil.desk import files
from counterfoil.studio.door import Answer, PageRequest, desk_of


@get("/files/{public_id:str}")
async def attached(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """One file."""
    wanted = ids.parse("file", public_id)
    if wanted is None:
        raise NotFound("there is no such file")
    file, content = await files.fetch(desk_of(request), wanted, request.user.actor)
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in file.name
    )
    return Response(
        content,
        media_type=file.content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{plain}";'
            f" filename*=UTF-8''{quote(file.name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


HANDLERS: Final = (attached,)
