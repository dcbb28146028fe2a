"""The examples of docs/speech-text.md."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from engines.speech_pipeline import Say, Script
from engines.text.lexicon import Lexicon
from engines.text.ssml import Break
from schemas import speech
from schemas.speech import SpeechOptions


@pytest.fixture(scope="module")
def example(root: Path) -> dict[str, str]:
    document = (root / "docs" / "speech-text.md").read_text("utf-8")
    return dict(re.findall(r"^```(\w+)\n(.*?)^```$", document, re.DOTALL | re.MULTILINE))


def test_the_examples_are_spoken_as_it_says(example: dict[str, str]) -> None:
    cases = tomllib.loads(example["toml"])
    assert len(cases) >= 6
    for written, spoken in cases.items():
        parts = Script(written, "en-US", SpeechOptions()).parts()
        assert "".join(part.text.text for part in parts if isinstance(part, Say)) == spoken


def test_its_lexicon_is_one(example: dict[str, str]) -> None:
    entries = msgspec.json.decode(example["json"], type=speech.Lexicon)
    text = "Nguyen told US and us of Zhivago, 10 km away."
    assert [(text[edit.start : edit.end], edit.text, edit.ipa) for edit in Lexicon(entries).edits(text)] == [
        ("Nguyen", "win", None),
        ("US", "U S", None),
        ("Zhivago", "Zhivago", "ʒɪˈvɑːɡoʊ"),
        ("10 km", "ten K", None),
    ]


def test_its_ssml_is_spoken(example: dict[str, str]) -> None:
    script = Script(example["xml"], "en-US", SpeechOptions(ssml=True))
    spoken = [part if isinstance(part, Break) else (part.text.text.split(), part.rate) for part in script.parts()]
    assert spoken == [
        ("Your code is four seven one one.".split(), 1.0),
        Break(400),
        ("It opens the front door.".split(), 0.75),
        Break(500),
        ("Bring a tomato by April third, twenty twenty-six.".split(), 1.0),
    ]
