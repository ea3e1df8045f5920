"""Logs: one JSON object a line where a machine reads them, plain lines where a person does."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def _without(*packages: str) -> Iterator[None]:
    """Have packages look as if they were not installed, unless something loaded them before."""
    hidden = {name: None for name in packages if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]  # None is how Python is told so
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


# structlog takes along what it finds installed: five megabytes in each process, for tracebacks
# that we print plain and for threads of another kind.
with _without("rich", "greenlet"):
    import structlog


def configure(out: TextIO | None = None) -> None:
    """Write structured lines to ``out``, or standard output; JSON unless that is a terminal.

    What is merely for debugging costs a call and is not written.
    """
    out = out or sys.stdout
    renderer: structlog.types.Processor = (
        # The default one prints local variables, among which may be a secret.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if out.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
