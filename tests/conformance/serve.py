"""Our application with the fixtures of the conformance suite, on a free port, until it is terminated.

``python tests/conformance/serve.py`` prints its URL. The engines are fakes: the protocol is what is tested.
"""

from __future__ import annotations

import anyio
import uvicorn
from fixtures import add_fixtures

from server import speech_engines
from server.app import create_app
from server.cli.serve import bind
from server.logs import configure_logs
from server.settings import LogSettings, ServerSettings, Settings, StoreSettings


async def main() -> None:
    settings = Settings(server=ServerSettings(port=0, drain_s=1.0), store=StoreSettings(kind="memory"))
    configure_logs(LogSettings(level="warning"))
    listener = bind(settings.server)
    app = create_app(settings, host=speech_engines.fake_host(settings))
    add_fixtures(app.state.mcp)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)).serve([listener])


anyio.run(main)
