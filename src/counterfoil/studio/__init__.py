"""Studio: the pages a finance team works in. Each page asks the desk and shows what it says."""

from typing import Final

from litestar import Router
from litestar.exceptions import HTTPException

from counterfoil.core.errors import Refusal
from counterfoil.studio import (
    account,
    approvals,
    attached,
    changed_tokens,
    directory,
    drafting,
    home,
    invoice,
    invoices,
    jobs,
    joining,
    passkeys,
    printing,
    queues,
    refunding,
    settings,
    signing_in,
)
from counterfoil.studio.door import (
    PREFIX,
    Door,
    Parts,
    SignInFirst,
    failed,
    refused,
    refused_by_http,
    sign_in_first,
)

__all__ = ["PREFIX", "Parts", "refused", "refused_by_http", "router"]

MAX_FORM_BYTES: Final = 256 * 1024

HANDLERS: Final = (
    *signing_in.HANDLERS,
    *account.HANDLERS,
    *passkeys.HANDLERS,
    *joining.HANDLERS,
    *home.HANDLERS,
    *invoices.HANDLERS,
    *jobs.HANDLERS,
    *invoice.HANDLERS,
    *approvals.HANDLERS,
    *queues.HANDLERS,
    *changed_tokens.HANDLERS,
    *printing.HANDLERS,
    *refunding.HANDLERS,
    *attached.HANDLERS,
    *drafting.HANDLERS,
    *directory.HANDLERS,
    *settings.HANDLERS,
)


def router() -> Router:
    """The pages, ready to be mounted; the app's state must hold `Parts` as ``studio``."""
    return Router(
        path=PREFIX,
        route_handlers=HANDLERS,
        middleware=[Door()],
        request_max_body_size=MAX_FORM_BYTES,
        exception_handlers={
            SignInFirst: sign_in_first,
            Refusal: refused,
            HTTPException: refused_by_http,
            Exception: failed,
        },
    )
