"""Settings: read once at start-up, passed down, never changed.

Sources, each stronger than the one before: the defaults below, a TOML file with one table a section
(``--config FILE`` or ``ANTIPHON_CONFIG``), environment variables ``ANTIPHON_<SECTION>_<KEY>``, command-line flags.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Quotas
from schemas.webhooks import WEBHOOK_EVENTS

ENV_PREFIX: Final = "ANTIPHON_"
CONFIG_ENV: Final = "ANTIPHON_CONFIG"

TokenAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Those with a public key; with the others, whoever can check a token can make one."""
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Where the server listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    """0 takes a free port."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, besides ``localhost`` and IP addresses, under which clients and web pages may reach the server;
    ``*.example.com`` allows subdomains, ``*`` everything."""
    drain_s: Seconds = 30.0
    """After SIGTERM, how long running requests may take to finish."""


class AuthSettings(Struct, frozen=True, kw_only=True):
    """Who may use the server."""

    mode: Literal["auto", "on", "off"] = "auto"
    """Whether callers need a key; ``auto``: unless ``server.host`` can be reached from this machine alone."""
    keys_file: str | None = None
    """Where ``antiphon keys`` keeps the hashes of API keys; left out: in the user's data folder."""
    resource: str | None = None
    """The address under which clients know this server, as in ``https://speech.example.com``; left out: that of the
    request."""
    issuer: str | None = None
    """Of access tokens (JWT), as their claim ``iss`` has it; left out: only API keys are taken."""
    jwks: str | None = None
    """The issuer's public keys, a URL or a file; left out: ``/.well-known/jwks.json`` of the issuer."""
    audience: tuple[str, ...] = ()
    """Whom tokens must be for, any of these; left out: ``auth.resource`` and its ``/mcp``."""
    algorithms: tuple[TokenAlgorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    """That tokens may be signed with."""
    token_types: tuple[str, ...] = ("at+jwt", "application/at+jwt")
    """What a token may say to be in its header ``typ`` (RFC 9068): one for signing in is not one for this server. For
    issuers that call access tokens plain ``JWT``, add that; their other tokens must then differ in ``aud``."""
    tenant_claim: str = "tenant"
    """The claim that says whose a token's sessions are; without it in a token, they are its subject's own."""


class ModelSettings(Struct, frozen=True, kw_only=True):
    """Which models are the defaults. Left out, the catalog's defaults are."""

    dir: str | None = None
    """Folder of the weights; left out: the user's cache folder."""
    asr: str | None = None
    voice: str | None = None
    """A voice id, and with it the synthesis model; left out: the first voice of the catalog's default."""
    turn_detector: str | None = None
    warm: bool = True
    """Whether to load the defaults at start, so that the first request is fast."""


class EngineSettings(Struct, frozen=True, kw_only=True):
    """How models run."""

    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    compute_type: Literal[
        "auto",
        "default",
        "int8",
        "int8_float16",
        "int8_float32",
        "int8_bfloat16",
        "int16",
        "float16",
        "bfloat16",
        "float32",
    ] = "auto"
    asr_workers: Annotated[int, Meta(ge=1, le=64)] | None = None
    """Recognitions at the same time; left out: one a core, up to four. On a CPU, workers beat threads."""
    asr_max_batch: Annotated[int, Meta(ge=1, le=64)] | None = None
    """Turns recognised in one call; left out: as many as are measured to be best when the model is loaded."""
    asr_exact_window: bool = False
    """Whether turns are recognised in Whisper's whole window of 30 s, to the letter as faster-whisper does it, and
    several times slower."""
    cpu_threads: Annotated[int, Meta(ge=1, le=256)] | None = None
    """Threads of one recognition; left out: workers share the cores, with two each at least, and where it is two, turns
    have one, on a second copy of the weights if these are small."""
    keep_alive_s: Seconds | None = None
    """Models unused for this long are unloaded; left out: never."""
    max_queued: Count = 32
    """Jobs that may wait for an engine; more are refused with ``overloaded``."""
    max_queued_audio_s: Seconds = 3_600.0
    """Audio they may have, unless it is one job alone."""
    prompt_cache_mb: Annotated[int, Meta(ge=0, le=65_536)] = 64
    """Memory for the audio of what was spoken lately: the same prompt again needs no engine. 0 keeps none."""


class LimitSettings(Struct, frozen=True, kw_only=True):
    """What one request, and all together, may use."""

    max_body_bytes: Count = 100_000_000
    max_bodies_bytes: Count = 400_000_000
    """Of the bodies of all requests at the same time; more are refused with ``overloaded``. Where callers need a key, a
    tenant gets half of what the others leave, and twice ``max_body_bytes`` is the least."""
    max_audio_s: Seconds = 3_600.0
    """Decoded length of one upload."""
    max_text_chars: Count = 20_000
    """Length of one text to speak."""
    head_timeout_s: Seconds = 10.0
    """Time in which the head of a request must have arrived."""
    body_timeout_s: Seconds = 60.0
    """Time in which the body of a request must have arrived."""
    request_timeout_s: Seconds = 300.0
    """Time in which the engine must have finished one request; of a long recording, each of its pieces."""
    max_sessions: Count = 64
    session_idle_s: Seconds = 300.0
    """Sessions without audio and without calls for this long are closed."""


class FetchSettings(Struct, frozen=True, kw_only=True):
    """Audio by URL, which the server fetches."""

    enabled: bool = False
    """Whether callers may name a URL in place of audio."""
    timeout_s: Seconds = 30.0
    """Time for one file, redirects included. Its size is limited by ``limits.max_body_bytes``."""
    trusted_hosts: tuple[str, ...] = ()
    """Hosts, as ``host:port``, that are reached though their address is not a public one."""


class WebhookSettings(Struct, frozen=True, kw_only=True):
    """Where events of sessions are posted: docs/webhooks.md."""

    urls: tuple[str, ...] = ()
    secret: str | None = None
    """Signs what is posted: ``whsec_`` and 24 to 64 bytes in base64, shared with the endpoints."""
    events: tuple[str, ...] = WEBHOOK_EVENTS
    include_text: bool = False
    """Whether to post what was said, and the settings of sessions, which may tell what to expect."""
    by_session: bool = False
    """Whether callers may name an address for the events of a session that they open."""
    timeout_s: Seconds = 10.0
    """Time for one attempt."""
    trusted_hosts: tuple[str, ...] = ()
    """Hosts, as ``host:port``, that ``urls`` may name though their address is not a public one."""
    session_trusted_hosts: tuple[str, ...] = ()
    """The same, for addresses that callers name: whoever opens a session can post to them."""


class StoreSettings(Struct, frozen=True, kw_only=True):
    """Where the event logs of sessions are kept."""

    kind: Literal["sqlite", "memory"] = "sqlite"
    path: str | None = None
    """The SQLite file; left out: in the user's data folder."""
    retention_s: Seconds = 86_400.0
    """Logs of sessions that are over are kept for this long, counted from when they were opened."""


class DecisionLogSettings(Struct, frozen=True, kw_only=True):
    """Whether the decisions of turn-taking are written down, to be replayed with ``antiphon replay``."""

    dir: str | None = None
    """Folder of the logs, a file or two a session; left out: there are none."""
    texts: bool = False
    """Whether they hold what was said. If not, a hash and the number of words are in its place; they replay alike."""
    session_mb: Count = 32
    """Size of one session's log, two and a half hours; of a longer session the end is kept."""
    total_mb: Count = 1_024
    """Size of all together; the oldest are deleted."""


class LogSettings(Struct, frozen=True, kw_only=True):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class TelemetrySettings(Struct, frozen=True, kw_only=True):
    """What is measured, besides ``/metrics``."""

    spans: bool = False
    """Whether to export OpenTelemetry spans of requests and turns, by OTLP over HTTP. Where to is read from the
    variables ``OTEL_*`` of the environment. Needs the extra ``otel``."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set, by topic."""

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    models: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()
    quotas: Quotas = Quotas()
    fetch: FetchSettings = FetchSettings()
    webhooks: WebhookSettings = WebhookSettings()
    store: StoreSettings = StoreSettings()
    decision_log: DecisionLogSettings = DecisionLogSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()


class SettingField(Struct, frozen=True):
    """One setting: its key, type and default."""

    section: str
    name: str
    type: Any
    default: object

    @property
    def key(self) -> str:
        """As in ``server.port``."""
        return f"{self.section}.{self.name}"

    @property
    def env(self) -> str:
        """As in ``ANTIPHON_SERVER_PORT``."""
        return f"{ENV_PREFIX}{self.section}_{self.name}".upper()


class LoadedSettings(Struct, frozen=True):
    """Settings, and for each key where its value comes from."""

    settings: Settings
    sources: Mapping[str, str]
    """Key, as in ``server.port``, to ``default``, a file, an environment variable or a flag."""


def without_secrets(settings: Settings) -> Settings:
    """Settings as they may be shown."""
    if settings.webhooks.secret is None:
        return settings
    return replace(settings, webhooks=replace(settings.webhooks, secret="(set)"))  # noqa: S106  no secret, that is the point


def setting_fields() -> Iterator[SettingField]:
    """Every setting there is, in the order of the sections."""
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            yield SettingField(section.name, field.name, field.type, field.default)


def load_settings(
    environ: Mapping[str, str], *, config: Path | None = None, flags: Mapping[str, object] | None = None
) -> LoadedSettings:
    """Read the settings from every source.

    Args:
        environ: The environment.
        config: The TOML file; left out, the one named by ``ANTIPHON_CONFIG``, if any.
        flags: Values of command-line flags by key, as in ``server.port``; ``None`` values were not given.

    Raises:
        SpeechError: ``invalid_setting``, naming the key, the source, the value and what is allowed.
    """
    fields = {field.key: field for field in setting_fields()}
    if config is None and environ.get(CONFIG_ENV):
        config = Path(environ[CONFIG_ENV])
    values: dict[str, object] = {}
    sources = dict.fromkeys(fields, "default")
    layers = (
        _from_file(config, fields) if config is not None else {},
        _from_environment(environ, fields),
        {key: (value, "the flag") for key, value in (flags or {}).items() if value is not None},
    )
    for layer in layers:
        for key, (value, source) in layer.items():
            values[key] = _converted(fields[key], value, source)
            sources[key] = source
    sections = {
        section.name: section.type(
            **{key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{section.name}.")}
        )
        for section in msgspec.structs.fields(Settings)
    }
    return LoadedSettings(Settings(**sections), sources)


Layer = dict[str, tuple[object, str]]


def _from_file(path: Path, fields: Mapping[str, SettingField]) -> Layer:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SpeechError(
            ErrorCode.INVALID_SETTING, f"The settings file {path} cannot be read: {error.strerror}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpeechError(ErrorCode.INVALID_SETTING, f"The settings file {path} is not valid TOML: {error}.") from error
    layer: Layer = {}
    for section, table in tables.items():
        entries = cast("dict[str, object]", table) if isinstance(table, dict) else {"": cast("object", table)}
        for name, value in entries.items():
            key = f"{section}.{name}".rstrip(".")
            if key not in fields:
                raise SpeechError(
                    ErrorCode.INVALID_SETTING,
                    f"{key} in {path} is not a setting. {_known(key, fields)}",
                    param=key,
                )
            layer[key] = (value, f"{key} in {path}")
    return layer


def _from_environment(environ: Mapping[str, str], fields: Mapping[str, SettingField]) -> Layer:
    by_env = {field.env: field for field in fields.values()}
    # Other names that begin with ANTIPHON_ are not ours to judge: Kubernetes makes some from the names of services.
    prefixes = tuple({f"{ENV_PREFIX}{field.section}_".upper() for field in fields.values()})
    layer: Layer = {}
    for name, text in environ.items():
        if name in by_env:
            field = by_env[name]
            is_list = isinstance(field.default, tuple)
            value = tuple(part.strip() for part in text.split(",") if part.strip()) if is_list else text
            layer[field.key] = (value, f"the environment variable {name}")
        elif name.startswith(prefixes):
            raise SpeechError(
                ErrorCode.INVALID_SETTING,
                f"The environment variable {name} is not a setting. {_known(name, by_env)}",
                param=name,
            )
    return layer


def _converted(field: SettingField, value: object, source: str) -> object:
    try:
        return msgspec.convert(value, field.type, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        where = "" if field.key in source else f" ({field.key})"
        raise SpeechError(
            ErrorCode.INVALID_SETTING,
            f"{source[0].upper()}{source[1:]}{where} is {value!r}; allowed: {_allowed(field.type)}.",
            param=field.key,
        ) from error


def _allowed(kind: Any) -> str:  # noqa: ANN401  the annotation of a field can be anything
    schema = msgspec.json.schema(kind)
    choices: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return " or ".join(_described(choice) for choice in choices if choice.get("type") != "null")


def _described(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(sorted(str(value) for value in schema["enum"]))
    names = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list of texts"}
    text = names.get(schema.get("type", ""), "a text")
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "pattern": "of the form",
    }
    return " ".join([text, *(f"{words} {schema[bound]}" for bound, words in bounds.items() if bound in schema)])


def _known(name: str, names: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]}?" if near else "Known settings: antiphon serve --print-settings."
