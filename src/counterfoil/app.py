"""The web process: the desk behind its doors, over HTTP.

It holds no state and no key that moves money: run as many as you like.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from socket import socket
from types import ModuleType
from typing import Any, Final

import psycopg
import uvicorn
import uvloop
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.types import Message, Scope
from psycopg_pool import PoolTimeout

from counterfoil import checkout, studio
from counterfoil.api.kryptogo import errors, routes
from counterfoil.api.kryptogo.callbacks import tells
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.checkout.live import Live
from counterfoil.clock import TimeSortedIds
from counterfoil.config import WebConfig
from counterfoil.core.errors import Unavailable
from counterfoil.core.pace import Pace
from counterfoil.core.pay_links import PayLinks
from counterfoil.core.ports import Clock
from counterfoil.db.pool import CommitUnknown, Database
from counterfoil.db.timekeeping import shared_clock
from counterfoil.desk import exporting
from counterfoil.desk.changes import Changes
from counterfoil.desk.desk import AddressParser, Desk
from counterfoil.desk.factors import Factors
from counterfoil.desk.jobs import Jobs
from counterfoil.desk.passkeys import Passkeys
from counterfoil.desk.passwords import Passwords
from counterfoil.desk.signing_in import SigningIn
from counterfoil.front import HEALTH, Front, hosts_of, request_id_of
from counterfoil.garbage import leave_alone_what_stays
from counterfoil.pages import assets
from counterfoil.pages.press import Press
from counterfoil.providers.demo_customer import HttpDemoCustomer

MAX_BODY_BYTES: Final = 1024 * 1024
_KEEP_ALIVE_SECONDS: Final = 15
_SHUTDOWN_SECONDS: Final = 20

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


_ONLY_BY_HTTPS: Final = (b"strict-transport-security", b"max-age=31536000")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What the doors need to know; ``allow_private_callbacks`` only in sandboxes.

    ``requests_per_second`` bounds each member in each web process, twice as many at once; None
    for no bound. ``payers_per_second`` bounds each address at the payment pages likewise.
    ``public_url`` is where people reach us; ``secure``: by https alone. ``trusted_proxies`` of
    ours pass requests on, also those for ``allowed_hosts`` besides the public one. A
    ``demo_customer`` pays in sandboxes.
    """

    allow_private_callbacks: bool = False
    requests_per_second: int | None = None
    payers_per_second: int = 50
    public_url: str = ""
    trusted_proxies: int = 0
    allowed_hosts: tuple[str, ...] = ()
    payment_page_days: int = checkout.KEPT_DAYS
    secure: bool = False
    sandbox: bool = False
    callback_master: bytes | None = field(default=None, repr=False)
    demo_customer: checkout.DemoCustomer | None = None


def create_app(desk: Desk, settings: WebSettings) -> Litestar:
    """The application around a desk whose database the caller opens and closes."""
    return furnished(routed(), desk, settings)


def routed() -> Litestar:
    """Every route, and nothing behind it yet: whoever serves more than once does this once."""
    return Litestar(
        route_handlers=[
            healthz,
            front_door,
            assets.asset,
            routes.router(),
            studio.router(),
            checkout.router(),
        ],
        request_max_body_size=MAX_BODY_BYTES,
        before_send=[_finish],
        openapi_config=None,
        debug=False,
        logging_config=None,
        exception_handlers={
            HTTPException: _refused_by_http,
            CommitUnknown: _commit_unknown,
            PoolTimeout: _database_away,
            psycopg.OperationalError: _database_away,
            Exception: errors.failed,
        },
    )


def furnished(app: Litestar, desk: Desk, settings: WebSettings) -> Litestar:
    """The routes with a desk behind them. ``app`` is what `routed` made, and changed."""
    rate = settings.requests_per_second
    links = PayLinks(_key_of(desk), settings.public_url)
    pace = None if rate is None else Pace(desk.clock, per_second=rate, burst=2 * rate)
    changes = Changes(desk)
    jobs = Jobs(desk, {exporting.KIND: exporting.EXPORT})
    press = Press()
    app.state = State(
        {
            "desk": desk,
            "headers": (*_HEADERS, _ONLY_BY_HTTPS) if settings.secure else _HEADERS,
            "changes": changes,
            "jobs": jobs,
            "pay_links": links,
            "checkout": _checkout_parts(desk, settings, links, changes, press),
            "studio": _studio_parts(desk, settings, changes, jobs, press),
            **routes.state(allow_private_callbacks=settings.allow_private_callbacks, pace=pace),
        }
    )
    hosts = hosts_of(settings.public_url, settings.allowed_hosts)
    # Around everything, unknown paths too, which no middleware of a route ever sees.
    app.asgi_handler = Front(settings.trusted_proxies, hosts).before(app.asgi_handler)
    return app


def _key_of(desk: Desk) -> bytes:
    # Without a secret of its own a process still serves pages; sessions and links end with it.
    return desk.approval_key or secrets.token_bytes(32)


def _checkout_parts(
    desk: Desk, settings: WebSettings, links: PayLinks, changes: Changes, press: Press
) -> checkout.Parts:
    rate = settings.payers_per_second
    return checkout.Parts(
        links=links,
        live=Live(changes),
        pace=Pace(desk.clock, per_second=rate, burst=2 * rate),
        keep=timedelta(days=settings.payment_page_days),
        press=press,
        customer=settings.demo_customer,
    )


def _studio_parts(
    desk: Desk, settings: WebSettings, changes: Changes, jobs: Jobs, press: Press
) -> studio.Parts:
    key = _key_of(desk)
    factors = Factors(key)
    signing_in = SigningIn(desk, Passwords(), factors)
    return studio.Parts(
        signing_in=signing_in,
        factors=factors,
        passkeys=Passkeys(desk, signing_in, key, settings.public_url),
        changes=changes,
        jobs=jobs,
        press=press,
        public_url=settings.public_url,
        form_key=hmac.new(key, b"counterfoil.forms.1", hashlib.sha256).digest(),
        secure=settings.secure,
        sandbox=settings.sandbox,
        callback_master=settings.callback_master,
        allow_private_callbacks=settings.allow_private_callbacks,
    )


@get("/")
async def front_door() -> Response[bytes]:
    """Where people come in."""
    return Response(b"", status_code=303, headers={"Location": "/studio"})


@get(HEALTH)
async def healthz(request: Request[Any, Any, State]) -> Response[bytes]:
    """Whether this process can serve: it answers, and its database does and takes writes."""
    desk: Desk = request.app.state.desk
    await desk.database.ping()
    return Response(b'{"status":"ok"}', media_type=MediaType.JSON)


def serve(config: WebConfig, database: Database) -> None:
    """Serve until told to stop; ``database`` is opened here, on the server's own loop."""
    uvloop.run(_serve(config, database))


async def _serve(config: WebConfig, database: Database) -> None:
    await database.open()
    try:
        async with shared_clock(database) as clock:
            await _serve_by(config, database, clock)
    finally:
        await database.close()


async def _serve_by(config: WebConfig, database: Database, clock: Clock) -> None:
    app = create_app(
        desk_of(config, database, clock),
        WebSettings(
            allow_private_callbacks=config.callback_allow_private,
            requests_per_second=config.requests_per_second,
            callback_master=None if config.secret is None else config.secret.reveal().encode(),
            payers_per_second=config.payers_per_second,
            public_url=config.public_url,
            trusted_proxies=config.trusted_proxies,
            allowed_hosts=config.allowed_hosts,
            payment_page_days=config.payment_page_days,
            secure=config.public_url.startswith("https://"),
            sandbox=config.sandbox,
            demo_customer=_demo_customer(config),
        ),
    )
    leave_alone_what_stays()
    await server(app, config.host, config.port).serve()


def _demo_customer(config: WebConfig) -> HttpDemoCustomer | None:
    url = config.demo_customer_url
    return None if url is None else HttpDemoCustomer(url)


def desk_of(config: WebConfig, database: Database, clock: Clock) -> Desk:
    """The web process's desk; people act here, so it can seal what they approve."""
    return Desk(
        database=database,
        clock=clock,
        ids=TimeSortedIds(),
        addresses=ADDRESSES,
        approval_key=config.approval_secret.reveal().encode(),
        tells={"kryptogo": tells},
        chains=config.chains,
        rate_max_age_seconds=config.rate_max_age_seconds,
    )


class Server(uvicorn.Server):
    """Lets live pages go when it stops: they would hold their connections for minutes."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop, the live pages first."""
        app = self.config.app
        if isinstance(app, Litestar):
            app.state.changes.end()
            app.state.jobs.end()
        await super().shutdown(sockets)


def server(app: Litestar, host: str, port: int) -> Server:
    """The HTTP server, with its limits."""
    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
    )


ADDRESSES: Final[Mapping[str, AddressParser]] = {"evm": parse_evm_address}
"""How addresses of each chain family are read."""


async def _finish(message: Message, scope: Scope) -> None:
    """Give every answer its request id, and the headers that keep browsers from guessing."""
    if message["type"] != "http.response.start":
        return
    given = list(message["headers"])
    names = {name.lower() for name, _ in given}
    request_id = request_id_of(scope)
    message["headers"] = [
        *given,
        *(header for header in scope["litestar_app"].state.headers if header[0] not in names),
        (b"x-request-id", request_id.encode()),
    ]


def _pages_of(request: Request[Any, Any, State]) -> ModuleType | None:
    """The door whose pages people read at this path; None where programs ask."""
    path: str = request.scope["path"]
    doors = (studio, checkout)
    return next((d for d in doors if path == d.PREFIX or path.startswith(f"{d.PREFIX}/")), None)


def _refused_by_http(request: Request[Any, Any, State], refusal: HTTPException) -> Response[bytes]:
    answer: Response[bytes] = (_pages_of(request) or errors).refused_by_http(request, refusal)
    return answer


def _commit_unknown(request: Request[Any, Any, State], _error: CommitUnknown) -> Response[bytes]:
    if pages := _pages_of(request):
        sentence = "it is not certain whether this happened; look before you do it once more"
        answer: Response[bytes] = pages.refused(request, Unavailable(sentence))
        return answer
    return errors.try_again(
        "it is not certain whether this happened; ask again with the same Idempotency-Key"
    )


def _database_away(request: Request[Any, Any, State], _error: Exception) -> Response[bytes]:
    sentence = "the system is busy or restarting; nothing was changed, try again"
    if pages := _pages_of(request):
        answer: Response[bytes] = pages.refused(request, Unavailable(sentence))
        return answer
    return errors.try_again(sentence)
