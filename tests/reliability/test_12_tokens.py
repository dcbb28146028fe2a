"""Row 12: access tokens that are forged, for others or out of date are 401; too few scopes are 403."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import jwt
import pytest
import respx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from msgspec.structs import replace
from websockets.asyncio.client import connect

from schemas.errors import ErrorCode, SpeechError
from server.auth.key_set import KEPT_S, STALE_S, UNKNOWN_RETRY_S, KeySet
from server.settings import AuthSettings, Settings

pytestmark = pytest.mark.anyio

ISSUER = "https://issuer.example"
RESOURCE = "https://speech.example"
RSA_KEY = rsa.generate_private_key(65_537, 2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = rsa.generate_private_key(65_537, 2_048)


def jwk(key: Any, **fields: str) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), **fields}  # type: ignore[attr-defined]


KEYS = {
    "keys": [
        jwk(RSA_KEY, kid="rsa", use="sig", alg="RS256"),
        jwk(EC_KEY, kid="ec"),
        jwk(OTHER_KEY, kid="for-encryption", use="enc"),
        {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("=")},
        {"kty": "PQC", "kid": "of-the-future"},
    ]
}


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    given = {"iss": ISSUER, "aud": RESOURCE, "sub": "ada", "tenant": "acme", "iat": now, "exp": now + 300}
    return {name: value for name, value in (given | {"scope": "audio sessions"} | changes).items() if value is not None}


def token(
    key: Any = RSA_KEY, kid: str | None = "rsa", algorithm: str = "RS256", typ: str | None = "at+jwt", **changes: object
) -> str:
    headers = {"typ": typ} if kid is None else {"typ": typ, "kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def unsigned(header: dict[str, str], secret: bytes | None = None) -> str:
    """A token made by hand, as libraries refuse to make them."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"typ": "at+jwt"} | header, claims())
    ]
    signed = b".".join(parts)
    signature = b"" if secret is None else hmac.digest(secret, signed, hashlib.sha256)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def public_pem() -> bytes:
    return RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEYS))
    return Settings(
        auth=AuthSettings(
            mode="on", issuer=ISSUER, jwks=str(path), resource=RESOURCE, keys_file=str(tmp_path / "keys.json")
        )
    )


FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned({"alg": "none", "kid": "rsa"}),
    "alg None": lambda: unsigned({"alg": "None", "kid": "rsa"}),
    "HS256 by the public key": lambda: unsigned({"alg": "HS256", "kid": "rsa"}, public_pem()),
    "HS256 by a key of the set": lambda: unsigned({"alg": "HS256", "kid": "shared"}, b"s" * 32),
    "another's key": lambda: token(OTHER_KEY),
    "a key for encryption": lambda: token(OTHER_KEY, kid="for-encryption"),
    "unknown kid": lambda: token(kid="nobody"),
    "no kid": lambda: token(kid=None),
    "an algorithm that is not the key's": lambda: token(algorithm="PS256"),
    "an algorithm that is not allowed": lambda: token(algorithm="RS512"),
    "the key of another kind": lambda: token(EC_KEY, kid="rsa", algorithm="ES256"),
    "wrong aud": lambda: token(aud="https://other.example"),
    "no aud": lambda: token(aud=None),
    "wrong iss": lambda: token(iss="https://evil.example"),
    "no iss": lambda: token(iss=None),
    "expired": lambda: token(exp=int(time.time()) - 60),
    "no exp": lambda: token(exp=None),
    "not yet": lambda: token(nbf=int(time.time()) + 60),
    "no sub": lambda: token(sub=None),
    "an endless sub": lambda: token(sub="a" * 256),
    "a tenant that is no name": lambda: token(tenant=["acme"]),
    "changed": lambda: token()[:-8] + "AAAAAAAA",
    "cut": lambda: token().rpartition(".")[0],
    "one for signing in": lambda: token(typ="JWT"),
    "no typ": lambda: token(typ=None),
    "no token": lambda: "nonsense",
    "endless": lambda: "a." * 10_000,
    "a key of ours that is none": lambda: "antiphon_0123456789ab_x",
}


async def test_a_token_that_is_not_valid_here_is_401_and_says_where_to_get_one(
    serving: Any, settings: Settings, client: Any
) -> None:
    metadata = f'resource_metadata="{RESOURCE}/.well-known/oauth-protected-resource"'
    async with serving(settings) as url, client(url) as anyone:
        for name, make in FORGED.items():
            refused = await anyone.get("/v1/models", headers={"Authorization": f"Bearer {make()}"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthenticated"), name
            assert refused.headers["www-authenticate"] == f'Bearer {metadata}, error="invalid_token"', name
        refused = await anyone.get("/v1/models")
        assert refused.headers["www-authenticate"] == f"Bearer {metadata}"


@pytest.mark.parametrize(
    "make",
    [
        token,
        lambda: token(EC_KEY, kid="ec", algorithm="ES256"),
        lambda: token(aud=["https://other.example", RESOURCE]),
        lambda: token(aud=f"{RESOURCE}/mcp"),
        lambda: token(typ="application/AT+JWT"),
        lambda: token(scope=None, scp=["audio", "sessions", "somebody-elses"]),
    ],
)
async def test_a_good_token_lets_in_with_its_scopes_and_its_tenant(
    serving: Any, settings: Settings, client: Any, make: Callable[[], str]
) -> None:
    async with serving(settings) as url, client(url, {"Authorization": f"Bearer {make()}"}) as known:
        session_id = (await known.post("/v1/sessions", json={})).raise_for_status().json()["session_id"]
        colleague = {"Authorization": f"Bearer {token(sub='grace')}"}
        assert (await known.get(f"/v1/sessions/{session_id}", headers=colleague)).status_code == 200
        for stranger in (token(tenant="other"), token(tenant=None), token(tenant=None, sub="acme")):
            headers = {"Authorization": f"Bearer {stranger}"}
            assert (await known.get(f"/v1/sessions/{session_id}", headers=headers)).status_code == 404
        refused = await known.post("/v1/models/fake-asr/unload")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")
        assert 'error="insufficient_scope", scope="admin"' in refused.headers["www-authenticate"]


async def test_an_issuer_may_call_its_access_tokens_otherwise(serving: Any, settings: Settings, client: Any) -> None:
    settings = replace(settings, auth=replace(settings.auth, token_types=("JWT",)))
    async with serving(settings) as url, client(url) as anyone:
        for typ, status in (("JWT", 200), ("at+jwt", 401)):
            headers = {"Authorization": f"Bearer {token(typ=typ)}"}
            assert (await anyone.get("/v1/models", headers=headers)).status_code == status


async def test_the_metadata_names_the_issuer(serving: Any, settings: Settings, client: Any) -> None:
    async with serving(settings) as url, client(url) as anyone:
        for path in ("", "/mcp"):
            metadata = (await anyone.get(f"/.well-known/oauth-protected-resource{path}")).raise_for_status().json()
            assert metadata["resource"] == f"{RESOURCE}{path}"
            assert metadata["authorization_servers"] == [ISSUER]
            assert set(metadata["scopes_supported"]) == {"audio", "sessions", "metrics", "admin"}


async def test_a_stream_ends_when_its_token_does(serving: Any, settings: Settings, client: Any) -> None:
    soon = token(exp=int(time.time()) - 8)  # within the leeway for clocks that differ
    headers = {"Authorization": f"Bearer {soon}"}
    async with serving(settings) as url, client(url, headers) as known:
        session_id = (await known.post("/v1/sessions", json={})).raise_for_status().json()["session_id"]
        address = f"{url.replace('http', 'ws')}/v1/sessions/{session_id}/stream"
        with anyio.fail_after(10):
            async with connect(address, additional_headers=headers) as socket:
                await socket.wait_closed()
        assert socket.close_code == 4401


def test_an_issuer_without_an_audience_is_an_invalid_setting() -> None:
    from server.auth.access import Access  # noqa: PLC0415

    with pytest.raises(SpeechError) as caught:
        Access(Settings(auth=AuthSettings(mode="on", issuer=ISSUER)))
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_SETTING, "auth.audience")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_keys_are_asked_for_seldom_whatever_names_callers_make_up(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(f"{ISSUER}/keys").respond(json={"keys": [jwk(RSA_KEY, kid="old")]})
    clock = Clock()
    keys = KeySet(f"{ISSUER}/keys", clock)
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(keys.find, "old")
    assert route.call_count == 1
    for number in range(100):
        assert await keys.find(f"made up {number}") is None
    assert route.call_count == 1

    route.respond(json={"keys": [jwk(EC_KEY, kid="new")]})  # the issuer changes its keys
    clock.now_s += UNKNOWN_RETRY_S
    assert await keys.find("new") is not None
    assert await keys.find("old") is None
    assert route.call_count == 2


async def test_while_the_issuer_does_not_answer_the_keys_there_are_stay_good_for_a_while(
    respx_mock: respx.MockRouter,
) -> None:
    route = respx_mock.get(f"{ISSUER}/keys").mock(side_effect=httpx.ConnectError)
    clock = Clock()
    keys = KeySet(f"{ISSUER}/keys", clock)
    with pytest.raises(SpeechError) as caught:
        await keys.find("rsa")
    assert caught.value.http_status == 503  # the token may be good: it is not the caller's fault
    route.mock(side_effect=None, return_value=httpx.Response(200, json=KEYS))
    clock.now_s += UNKNOWN_RETRY_S
    assert await keys.find("rsa") is not None
    for answer in (
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b"[" * 2_000_000),
    ):
        route.mock(return_value=answer)
        clock.now_s += KEPT_S
        assert await keys.find("rsa") is not None
    clock.now_s += STALE_S
    with pytest.raises(SpeechError):
        await keys.find("rsa")
