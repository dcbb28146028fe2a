"""Asking the client for input in the course of a request, by the rules of 2026-07-28."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

Question = tuple[str, Mapping[str, str]]
"""A message, and the types of the fields of a form, by their names."""


def form(question: Question) -> ElicitRequest:
    """A form to fill in."""
    message, fields = question
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": list(fields),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def asked(*, state: str | None = None, **questions: Question) -> InputRequiredResult:
    """The result that asks for more input, by key."""
    return InputRequiredResult(
        input_requests={key: form(question) for key, question in questions.items()}, request_state=state
    )


def accepted(responses: Mapping[str, Any] | None, key: str, field: str) -> str | int | float | bool | None:
    """What was filled in; ``None`` if nothing was."""
    response = (responses or {}).get(key)
    if not isinstance(response, ElicitResult) or response.action != "accept":
        return None
    value = (response.content or {}).get(field)
    return None if isinstance(value, list) else value
