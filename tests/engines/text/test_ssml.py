from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.text.ssml import MAX_DEPTH, Break, Passage, parse, text_of
from schemas.errors import ErrorCode, SpeechError


def outline(source: str) -> list[object]:
    return [
        part.duration_ms if isinstance(part, Break) else (part.text.text.strip(), part.rate) for part in parse(source)
    ]


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("<speak>Hello.</speak>", [("Hello.", 1.0)]),
        ('<speak version="1.1" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en">A</speak>', [("A", 1.0)]),
        ("<?xml version='1.0' encoding='UTF-8'?><!-- x --><speak>A <![CDATA[<b>]]></speak>", [("A <b>", 1.0)]),
        ("<speak/>", []),
        ("<speak>A<break/>B</speak>", [("A", 1.0), 500, ("B", 1.0)]),
        ('<speak>A<break time="1.5s"/>B</speak>', [("A", 1.0), 1_500, ("B", 1.0)]),
        ('<speak>A<break time="20ms"/></speak>', [("A", 1.0), 20]),
        ('<speak>A<break strength="strong"/>B</speak>', [("A", 1.0), 750, ("B", 1.0)]),
        ('<speak>A<break strength="none"/>B</speak>', [("A", 1.0), ("B", 1.0)]),
        ("<speak><p>A</p><p><s>B</s><s>C</s></p></speak>", [("A", 1.0), 500, ("B", 1.0), ("C", 1.0)]),
        ('<speak>A <prosody rate="slow">B</prosody> C</speak>', [("A", 1.0), ("B", 0.75), ("C", 1.0)]),
        (
            '<speak><prosody rate="50%">A <prosody rate="+100%">B</prosody></prosody></speak>',
            [("A", 0.5), ("B", 1.0)],
        ),
        ('<speak><prosody rate="-20%">A</prosody></speak>', [("A", 0.8)]),
        (
            '<speak><prosody rate="25%"><prosody rate="25%">A</prosody></prosody></speak>',
            [("A", 0.25)],
        ),
    ],
)
def test_a_document_is_passages_and_breaks(source: str, parts: list[object]) -> None:
    assert outline(source) == parts


def test_elements_with_words_say_how_they_are_said() -> None:
    source = (
        '<speak><sub alias="a\tb">x</sub> <phoneme alphabet="ipa" ph="ə">a</phoneme> '
        '<say-as interpret-as="date" format="dmy"> 1/2/2026 </say-as><sub alias="y"> </sub></speak>'
    )
    (passage,) = parse(source)
    assert isinstance(passage, Passage)
    text = passage.text.text
    assert [(text[edit.start : edit.end], edit.text, edit.ipa) for edit in passage.edits] == [
        ("x", "a b", None),
        ("a", "a", "ə"),
    ]
    assert [(text[each.start : each.end], each.kind, each.form) for each in passage.say_as] == [
        ("1/2/2026", "date", "dmy")
    ]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1))
def test_every_character_knows_its_place_in_the_document(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    source = f"<speak>ü{escaped}<!-- € --><s>1 &amp; ü</s></speak>"
    passages = [part for part in parse(source) if isinstance(part, Passage)]
    for passage in passages:
        for at, char in enumerate(passage.text.text):
            written = source[passage.text.starts[at] : passage.text.ends[at]]
            assert written == {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(char, char)
    assert "".join(passage.text.text for passage in passages) == f"ü{text}1 & ü"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("hello", "not well-formed"),
        ("<speak>a & b</speak>", "Write & as &amp;"),
        ("<speak>open", "not well-formed"),
        ("<speak>&nbsp;</speak>", "undefined entity"),
        ("<p>a</p>", "begins with <speak>, not with <p>"),
        ("<speak><audio src='x'/></speak>", "<audio> is not supported; there are: speak, p, s, break"),
        ("<speak><speak/></speak>", "cannot stand in <speak>"),
        ("<speak><sub alias='x'><s>a</s></sub></speak>", "<s> cannot stand in <sub>"),
        ("<speak><break>x</break></speak>", "has nothing in it"),
        ("<speak><break time='1'/></speak>", "500ms or 1.5s"),
        ("<speak><break time='11s'/></speak>", "10s at most"),
        ("<speak><break strength='huge'/></speak>", "strength of <break> is one of"),
        ("<speak>" + "<break time='10s'/>" * 7 + "</speak>", "60 s at most"),
        ("<speak><prosody rate='fastest'>a</prosody></speak>", "rate of <prosody> is one of"),
        ("<speak><prosody rate='900%'>a</prosody></speak>", "from 25% to 400%"),
        ("<speak><prosody pitch='high'>a</prosody></speak>", "attribute pitch of <prosody> is not supported"),
        ("<speak><say-as interpret-as='song'>a</say-as></speak>", "interpret-as of <say-as> is one of"),
        ("<speak><phoneme alphabet='x-sampa' ph='a'>a</phoneme></speak>", 'is "ipa"'),
        ("<speak><phoneme ph='A!'>a</phoneme></speak>", "not IPA"),
        ("<speak><sub>a</sub></speak>", "needs an alias"),
        ("<speak>" + "<p>" * MAX_DEPTH + "</p>" * MAX_DEPTH + "</speak>", "elements deep"),
        ('<!DOCTYPE speak [<!ENTITY a "b">]><speak>&a;</speak>', "without a document type"),
        ('<!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak/>', "without a document type"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(source: str, why: str) -> None:
    with pytest.raises(SpeechError) as raised:
        parse(source)
    assert why in raised.value.message
    assert (raised.value.code, raised.value.param) == (ErrorCode.INVALID_REQUEST, "text")


def test_the_words_of_a_document_are_told_without_marks() -> None:
    assert text_of("<speak>Tom &amp; <s>Jerry</s> &lt;3\n </speak>") == "Tom & Jerry <3"
    assert text_of("Jerry</s> again</speak>") == "Jerry again"
