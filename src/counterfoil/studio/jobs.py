"""Long work: how far it is, and what it brought. It goes on when its page is left."""

from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath
from litestar.response import Stream

from counterfoil.core import ids
from counterfoil.core.errors import NotFound, OutOfPlace
from counterfoil.desk.jobs import KEPT, JobRow
from counterfoil.pages.render import is_fragment
from counterfoil.studio.door import Answer, PageRequest, parts_of, show


@get("/jobs")
async def listed(request: PageRequest) -> Answer:
    """What this member asked for in the last days."""
    found = await parts_of(request).jobs.listed(request.user.actor, request.user.session.member_id)
    rows = [(ids.public("job", job.job_id), job) for job in found]
    return show(request, "studio/jobs.html", {"rows": rows, "kept_days": KEPT.days})


@get("/jobs/{public_id:str}")
async def one(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """How far one is; the part with its numbers asks again by itself until it is done."""
    job = await parts_of(request).jobs.look(
        _job_id(public_id), request.user.actor, request.user.session.member_id
    )
    template = "studio/job_part.html" if is_fragment(request) else "studio/job.html"
    return show(request, template, {"id": public_id, "job": job, "kept_days": KEPT.days})


@get("/jobs/{public_id:str}/table.csv")
async def table(request: PageRequest, public_id: FromPath[str]) -> Response[bytes] | Stream:
    """The table that an export came to, to be saved."""
    jobs, member = parts_of(request).jobs, request.user.session.member_id
    job = await jobs.look(_job_id(public_id), request.user.actor, member)
    if not _is_ready(job):
        raise OutOfPlace("this table is not finished yet; look at its page again in a moment")
    parts = await jobs.result(job.job_id, request.user.actor, member)

    async def written() -> AsyncIterator[bytes]:
        for part in parts:
            yield part.encode()

    name = f"invoices-{job.created_at:%Y-%m-%d}.csv"
    return Stream(
        written,
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _is_ready(job: JobRow) -> bool:
    return job.kind == "export" and job.finished_at is not None and job.error is None


def _job_id(public_id: str) -> UUID:
    found = ids.parse("job", public_id)
    if found is None:
        raise NotFound("there is no such work")
    return found


HANDLERS: Final = (listed, one, table)
