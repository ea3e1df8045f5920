"""Logs: one JSON object a line where a machine reads them, plain lines where a person does."""

import sys

import structlog


def configure() -> None:
    """Write structured lines to standard output; JSON unless that is a terminal."""
    renderer: structlog.types.Processor = (
        # The default one prints local variables, among which may be a secret.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stdout.isatty()
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
        cache_logger_on_first_use=True,
    )
