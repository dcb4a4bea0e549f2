"""What the ASR models write, read as qwen-asr reads it."""

import json

import pytest
from conftest import GOLDENS

from transformers_qwen3_asr.processing.transcription import parse_transcription, repair_repetitions

GOLDEN = json.loads((GOLDENS / "transcripts.json").read_text(encoding="utf-8"))


def test_answers_are_parsed_as_by_qwen_asr():
    for answer, language, text in GOLDEN["parsed"]:
        assert parse_transcription(answer) == (language or None, text), answer


def test_repetitions_are_repaired_as_by_qwen_asr():
    changed = 0
    for text, expected in GOLDEN["repaired"]:
        assert repair_repetitions(text) == expected, text
        changed += text != expected
    assert changed > 20  # the golden does not only hold texts that stay


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, (None, "")),
        ("system\n\nuser\n\nassistant\nlanguage French<asr_text>Oui.", ("French", "Oui.")),
        ("Oui.", (None, "Oui.")),
    ],
)
def test_answers_beyond_qwen_asr(answer, expected):
    assert parse_transcription(answer) == expected
