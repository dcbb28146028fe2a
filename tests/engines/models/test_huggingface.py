from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import respx

from engines.models import huggingface
from engines.models.catalog import HuggingFaceOrigin, ModelFile
from engines.models.huggingface import HuggingFaceAccess, download
from engines.models.weights import OriginError, Progress
from schemas.errors import ErrorCode, SpeechError

pytestmark = pytest.mark.usefixtures("quick_retries")

ORIGIN = HuggingFaceOrigin(repo="people/tiny", revision="abc123", folder="en/")
MODEL_URL = "https://hub.test/people/tiny/resolve/abc123/en/model.bin"
CONFIG_URL = "https://hub.test/people/tiny/resolve/abc123/en/config/voice.json"


class Fetch:
    """One download of the small model into a folder."""

    def __init__(self, folder: Path, files: tuple[ModelFile, ...]) -> None:
        self.folder = folder
        self.progress: list[Progress] = []
        self._files = files

    def __call__(self, token: str | None = "hf_secret") -> None:
        access = HuggingFaceAccess("https://hub.test", token)
        download(ORIGIN, self._files, self.folder, access, self.progress.append)


@pytest.fixture
def fetch(tmp_path: Path, files: tuple[ModelFile, ...]) -> Fetch:
    return Fetch(tmp_path, files)


@pytest.fixture
def hub(content: dict[str, bytes]) -> Iterator[respx.MockRouter]:
    """A hub that has the small model."""
    with respx.mock(assert_all_called=False) as router:
        router.get(MODEL_URL, name="model").respond(content=content["model.bin"])
        router.get(CONFIG_URL, name="config").respond(content=content["config/voice.json"])
        yield router


@pytest.mark.usefixtures("hub")
def test_files_are_fetched_into_the_folder(fetch: Fetch, content: dict[str, bytes]) -> None:
    fetch()
    assert {path: (fetch.folder / path).read_bytes() for path in content} == content


@pytest.mark.usefixtures("hub")
def test_progress_counts_the_bytes_of_all_files(fetch: Fetch, content: dict[str, bytes]) -> None:
    fetch()
    total_bytes = sum(map(len, content.values()))
    done = [progress.done_bytes for progress in fetch.progress]
    assert done == sorted(done)
    assert fetch.progress[-1] == Progress("Hugging Face people/tiny", total_bytes, total_bytes)


def test_the_token_is_sent_to_the_hub(fetch: Fetch, hub: respx.MockRouter) -> None:
    fetch()
    assert hub["model"].calls.last.request.headers["authorization"] == "Bearer hf_secret"


def test_without_a_token_none_is_sent(fetch: Fetch, hub: respx.MockRouter) -> None:
    fetch(token=None)
    assert "authorization" not in hub["model"].calls.last.request.headers


def test_the_token_does_not_follow_a_redirect_to_another_host(
    fetch: Fetch, hub: respx.MockRouter, content: dict[str, bytes]
) -> None:
    hub["model"].respond(302, headers={"location": "https://cdn.test/blob"})
    cdn = hub.get("https://cdn.test/blob").respond(content=content["model.bin"])
    fetch()
    assert "authorization" in hub["model"].calls.last.request.headers
    assert "authorization" not in cdn.calls.last.request.headers


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(fetch: Fetch, hub: respx.MockRouter, content: dict[str, bytes], status: int) -> None:
    hub["model"].side_effect = [
        httpx.Response(status, headers={"retry-after": "7"}),
        httpx.Response(status),
        httpx.Response(200, content=content["model.bin"]),
    ]
    fetch()
    assert hub["model"].call_count == 3


def test_a_hub_that_stays_busy_is_given_up(fetch: Fetch, hub: respx.MockRouter) -> None:
    hub["model"].respond(429)
    with pytest.raises(OriginError, match="HTTP 429"):
        fetch()


def test_a_transfer_that_breaks_off_starts_again(
    fetch: Fetch, hub: respx.MockRouter, content: dict[str, bytes]
) -> None:
    def broken() -> Iterator[bytes]:
        yield content["model.bin"][:100]
        raise httpx.ReadError("connection reset")

    hub["model"].side_effect = [
        httpx.Response(200, content=broken()),
        httpx.Response(200, content=content["model.bin"]),
    ]
    fetch()
    assert (fetch.folder / "model.bin").read_bytes() == content["model.bin"]


def test_a_hub_out_of_reach_is_given_up(fetch: Fetch, hub: respx.MockRouter) -> None:
    hub["model"].side_effect = httpx.ConnectError("no route to hub.test")
    with pytest.raises(OriginError, match=r"could not be reached \(ConnectError\)"):
        fetch()
    assert hub["model"].call_count == 3


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "set HF_TOKEN"), (403, "set HF_TOKEN"), (404, "it has no model.bin"), (418, "HTTP 418")],
)
def test_a_refusal_is_told_in_plain_words_and_not_repeated(
    fetch: Fetch, hub: respx.MockRouter, status: int, reason: str
) -> None:
    hub["model"].respond(status)
    with pytest.raises(OriginError, match=reason) as caught:
        fetch()
    assert hub["model"].call_count == 1
    assert "hf_secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"x" * 32_000, "another SHA-256"), (b"x" * 32_001, "larger than"), (b"x", "1 bytes instead of 32,000")],
)
def test_a_file_that_is_another_is_refused(fetch: Fetch, hub: respx.MockRouter, body: bytes, reason: str) -> None:
    hub["model"].respond(content=body)
    with pytest.raises(OriginError, match=reason):
        fetch()
    assert hub["model"].call_count == 1
    assert not (fetch.folder / "model.bin").exists()


def test_a_redirect_without_end_is_given_up(fetch: Fetch, hub: respx.MockRouter) -> None:
    hub["model"].respond(302, headers={"location": MODEL_URL})
    with pytest.raises(OriginError, match="could not be reached"):
        fetch()


@pytest.mark.parametrize("endpoint", ["not an address", "https://hub.test:port", "ftp://hub.test"])
def test_an_endpoint_that_is_no_web_address_is_told(
    tmp_path: Path, files: tuple[ModelFile, ...], endpoint: str
) -> None:
    with pytest.raises(OriginError, match=r"could not be reached|not a web address"):
        download(ORIGIN, files, tmp_path, HuggingFaceAccess(endpoint), lambda _: None)


@pytest.mark.usefixtures("hub")
def test_a_transfer_past_its_deadline_is_given_up(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "_FILE_DEADLINE_S", -1.0)
    with pytest.raises(OriginError, match=r"model\.bin took longer"):
        fetch()


def test_access_is_read_from_the_environment() -> None:
    access = HuggingFaceAccess.from_environment({"HF_ENDPOINT": "https://mirror.test/", "HF_TOKEN": " hf_secret\n"})
    assert access == HuggingFaceAccess("https://mirror.test", "hf_secret")
    assert HuggingFaceAccess.from_environment({}) == HuggingFaceAccess("https://huggingface.co", None)


def test_the_token_is_not_shown() -> None:
    assert "hf_secret" not in repr(HuggingFaceAccess(token="hf_secret"))
    assert "hf_secret" not in f"{HuggingFaceAccess(token='hf_secret')}"


def test_a_token_that_cannot_be_sent_is_refused_without_repeating_it() -> None:
    with pytest.raises(SpeechError) as caught:
        HuggingFaceAccess.from_environment({"HF_TOKEN": "hf_sécret"})
    assert caught.value.code is ErrorCode.INVALID_SETTING
    assert "hf_s" not in caught.value.message
