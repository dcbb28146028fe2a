"""Access tokens of an OAuth 2.1 authorization server: this one is the resource server, and makes none.

A token is a JWT (RFC 9068): signed by a key of the issuer with one of the algorithms that the settings allow, for this
server, and not out of date. The algorithm is never the token's to choose: ``none`` and shared secrets are not on the
list that it can choose from, and a key is used with its own algorithm only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import jwt
import msgspec
from jwt.exceptions import PyJWTError
from msgspec import Meta

from schemas.errors import ErrorCode, SpeechError
from schemas.principal import Principal, Quotas, Scope, Tenant
from server.auth.key_set import KeySet
from server.settings import AuthSettings

_LEEWAY_S: Final = 10.0
"""By which clocks may differ."""
_MAX_CHARS: Final = 16_384
_Subject = Annotated[str, Meta(min_length=1, max_length=255)]
"""OpenID Connect's bound."""


class _WrongTypeError(PyJWTError):
    pass


class TokenVerifier:
    """Checks tokens of one issuer.

    Args:
        settings: The issuer, its keys, and whom its tokens must be for.
        quotas: Of every subject.
        wall_clock: Seconds since 1970.

    Raises:
        SpeechError: ``invalid_setting`` if it is not said whom tokens must be for.
    """

    def __init__(self, settings: AuthSettings, quotas: Quotas, wall_clock: Callable[[], float] = time.time) -> None:
        assert settings.issuer is not None
        self._issuer = settings.issuer
        self._audience = audience(settings)
        if not self._audience:
            raise SpeechError(
                ErrorCode.INVALID_SETTING,
                "auth.issuer is set, and it is not said whom its tokens must be for: without that, one for another "
                "service would do. Set auth.resource to the address under which clients know this server, or "
                "auth.audience.",
                param="auth.audience",
            )
        self._algorithms = settings.algorithms
        self._types = {kind.lower() for kind in settings.token_types}
        self._tenant_claim = settings.tenant_claim
        self._quotas = quotas
        self._wall_clock = wall_clock
        self._keys = KeySet(settings.jwks or f"{settings.issuer.rstrip('/')}/.well-known/jwks.json")

    async def principal(self, token: str) -> tuple[Principal, float]:
        """Whom a token is about, and for how many seconds it is good.

        Raises:
            SpeechError: ``unauthenticated``; ``overloaded`` if it cannot be checked now.
        """
        try:
            claims = await self._claims(token)
            subject = msgspec.convert(claims["sub"], _Subject)
            principal = Principal(
                tenant=self._tenant(claims, subject),
                subject=f"token:{subject}",
                scopes=_scopes(claims),
                quotas=self._quotas,
            )
        except (PyJWTError, msgspec.ValidationError, TypeError, ValueError) as error:
            raise SpeechError(
                ErrorCode.UNAUTHENTICATED, f"The token is not valid here: {_reason(error)}. Get a new one."
            ) from error
        return principal, float(claims["exp"]) + _LEEWAY_S - self._wall_clock()

    async def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > _MAX_CHARS:
            raise ValueError
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms:
            raise jwt.InvalidAlgorithmError
        if str(header.get("typ", "")).lower() not in self._types:
            raise _WrongTypeError
        key = await self._keys.find(key_id)
        if key is None or algorithm not in key.algorithms:
            raise jwt.InvalidSignatureError
        return jwt.decode(
            token,
            key.material,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )

    def _tenant(self, claims: Mapping[str, Any], subject: str) -> str:
        if self._tenant_claim in claims:
            return msgspec.convert(claims[self._tenant_claim], Tenant)
        # Its own, and none that a claim or a key could name: those hold no space.
        return f"subject {subject}"


def audience(settings: AuthSettings) -> list[str]:
    """Whom a token may be for: this server, or its MCP endpoint, which clients of MCP take for one of its own."""
    if settings.audience:
        return list(settings.audience)
    base = (settings.resource or "").rstrip("/")
    return [base, f"{base}/", f"{base}/mcp"] if base else []


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """Of RFC 9068's claim ``scope``, or of ``scp``, as some issuers call it; others' scopes are no concern of ours."""
    given = claims.get("scope", claims.get("scp", ""))
    names = given.split() if isinstance(given, str) else given
    return frozenset(scope for scope in Scope if scope.value in names)


def _reason(error: Exception) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "it has expired"
        case jwt.InvalidAudienceError():
            return "it is for another server"
        case jwt.InvalidIssuerError():
            return "it is of another issuer"
        case jwt.MissingRequiredClaimError(claim=claim):
            return f"it has no claim {claim}"
        case jwt.InvalidAlgorithmError():
            return "it is signed with an algorithm that is not allowed"
        case _WrongTypeError():
            return "its typ is not that of an access token (auth.token_types)"
        case jwt.InvalidSignatureError():
            return "it is not signed by a key of the issuer"
        case _:
            return "it is damaged, or not of the right form"
