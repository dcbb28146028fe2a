"""Resources that the conformance suite reads."""

from __future__ import annotations

import json
from typing import Final

from mcp.shared.uri_template import UriTemplate
from mcp_types import (
    BlobResourceContents,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from server.mcp.services import RequestContext

PIXEL_PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
"""One red pixel."""

RESOURCES: Final = {
    uri: Resource(uri=uri, name=name, description=name, mime_type=mime_type)
    for uri, name, mime_type in (
        ("test://static-text", "A text", "text/plain"),
        ("test://static-binary", "A picture", "image/png"),
        ("test://watched-resource", "A text to subscribe to", "text/plain"),
    )
}
_TEMPLATE: Final = UriTemplate.parse("test://template/{id}/data")
TEMPLATES: Final = {
    str(_TEMPLATE): ResourceTemplate(
        uri_template=str(_TEMPLATE), name="Data", description="Data by id", mime_type="application/json"
    )
}


async def read_resource(_context: RequestContext, params: ReadResourceRequestParams) -> ReadResourceResult | None:
    """A resource of the suite; ``None`` for others."""
    uri = params.uri
    if uri == "test://static-binary":
        return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL_PNG)])
    if uri in RESOURCES:
        text = "This is the content of the static text resource."
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="text/plain", text=text)])
    if (variables := _TEMPLATE.match(uri)) is not None:
        data = {"id": variables["id"], "templateTest": True, "data": f"Data for ID: {variables['id']}"}
        return ReadResourceResult(
            contents=[TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(data))]
        )
    return None
