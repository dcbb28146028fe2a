"""Structured logs: one line an event, on stderr, to read or as JSON.

Events carry ids, counts and durations; never transcripts, texts, audio, query strings or headers. So tracebacks are
without the values of local variables, which structlog shows unless told not to.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Final

import structlog
from structlog.dev import ConsoleRenderer, RichTracebackFormatter
from structlog.processors import JSONRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from server.settings import LogSettings

_SHARED: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure_logs(settings: LogSettings) -> None:
    """Send our events and those of libraries through one formatter."""
    if settings.format == "json":
        as_data = ExceptionDictTransformer(show_locals=False)
        renderers: list[Processor] = [structlog.processors.ExceptionRenderer(as_data), JSONRenderer()]
    else:
        as_text = RichTracebackFormatter(show_locals=False)
        renderers = [ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=as_text)]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": list(_SHARED),
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"structlog": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
            # Libraries say little of use below warnings, and uvicorn's own access log has raw paths.
            "root": {"handlers": ["stderr"], "level": "WARNING"},
            "loggers": {"antiphon": {"level": settings.level.upper()}, "uvicorn.access": {"level": "CRITICAL"}},
        }
    )
