"""Where people may pause. Where sentences end is tested with the chunks that are made of them."""

import pytest

from transformers_qwen3_asr.text.sentences import breaks_behind
from transformers_qwen3_asr.text.words import split_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He said: “Go on!” and\nwent, well-known, on.", [0, 1, 0, 2, 0, 1, 1, 2]),
        ("No marks at all\n\nhere 5 $ or so", [0] * 8),
        ("An - other … e.g. this", [1, 2, 2, 0]),
        ("3.14 is pi, Mr. Smith; really?", [0, 0, 1, 2, 1, 2]),
        ("他说：你好。再见", [0, 1, 0, 2, 0, 0]),
        ("नमस्ते। आप", [2, 0]),
        (["It", "is so.", "(Yes)", "Mr."], [0, 2, 1, 2]),
        ("", []),
    ],
)
def test_people_may_pause_where_punctuation_is(text, expected):
    """2 where its marks end sentences, 1 for others."""
    assert breaks_behind(text, split_words(text)) == expected
