"""The page that an invoice's customer pays on: public, unguessable, without any cookie."""

from typing import Final

from litestar import Router
from litestar.exceptions import HTTPException

from counterfoil.checkout import page, printing
from counterfoil.checkout.door import failed, refused, refused_by_http
from counterfoil.checkout.parts import KEPT_DAYS, DemoCustomer, Parts
from counterfoil.core.errors import Refusal
from counterfoil.core.pay_links import PREFIX

__all__ = [
    "KEPT_DAYS",
    "PREFIX",
    "DemoCustomer",
    "Parts",
    "refused",
    "refused_by_http",
    "router",
]

MAX_FORM_BYTES: Final = 4 * 1024


def router() -> Router:
    """The pages, ready to be mounted; the app's state must hold `Parts` as ``checkout``."""
    return Router(
        path=PREFIX,
        route_handlers=(*page.HANDLERS, *printing.HANDLERS),
        request_max_body_size=MAX_FORM_BYTES,
        exception_handlers={Refusal: refused, HTTPException: refused_by_http, Exception: failed},
    )
