"""URIs of what can be read: each a template of RFC 6570, made and matched by the SDK."""

from __future__ import annotations

from typing import Final

from mcp.shared.uri_template import UriTemplate

VOICES: Final = "antiphon://voices"
OF_AUDIO: Final = (VOICES, "antiphon://audio/")
"""What is no conversation."""
AUDIO: Final = UriTemplate.parse("antiphon://audio/{audio_id}")
CONVERSATION: Final = UriTemplate.parse("antiphon://sessions/{session_id}/conversation")
LATENCY: Final = UriTemplate.parse("antiphon://sessions/{session_id}/latency")
AGENT_AUDIO: Final = UriTemplate.parse("antiphon://sessions/{session_id}/audio/{item_id}{?start_ms,end_ms}")
