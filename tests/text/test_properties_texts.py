"""Whatever the text: words, spans, chunks, languages and answers keep what they promise (hypothesis)."""

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from transformers_qwen3_asr.alignment.chunks import UNITS, make_chunks
from transformers_qwen3_asr.alignment.durations import letters
from transformers_qwen3_asr.processing.transcription import parse_transcription, repair_repetitions
from transformers_qwen3_asr.text import words as splitting
from transformers_qwen3_asr.text.languages import ASR_LANGUAGES, aligner_language, language_name
from transformers_qwen3_asr.text.spans import pieces, whole_text
from transformers_qwen3_asr.text.words import LONGEST_WORD, prompt_text, split_words, word_texts

# the same cases each time, and no database of earlier ones
BOUNDED = settings(derandomize=True, deadline=None, max_examples=150, database=None)
# letters, marks, punctuation, invisible characters, white space and whatever Unicode has; no half surrogate pairs
MIXED = st.text(
    st.one_of(
        st.sampled_from(
            "aZé'’ßñЖ你好こカ한ไทहिع\u0301\u093f\u0e31\u200b\u200d\u202e\ufeff.,!?…«»\"()-“”¿ \n\u2028\t0１㌀\0"
        ),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=40,
)


@BOUNDED
@given(MIXED, st.sampled_from([None, "English", "Chinese", "Thai"]))
@example("㌀", None)
@example("a\u0301\u0301b", None)
def test_words_stand_where_they_say(text, language):
    words = split_words(text, language)
    past = 0
    for word in words:
        assert word.text and past <= word.start < word.end <= len(text)
        assert [text[start:end] for start, end in word.origins] == list(word.text)
        assert word.origins[0][0] == word.start and word.origins[-1][1] == word.end
        assert letters(word.text) >= 1
        assert 0 < len(prompt_text(word.text)) <= LONGEST_WORD
        past = word.end
    # what was cut once is not cut again
    assert word_texts(split_words(word_texts(words), language)) == word_texts(words)


@BOUNDED
@given(st.one_of(MIXED, st.text("aé1'’-., \n好\u0301\u200d", max_size=12)))
@example("'a' '' -'b- ½ x²")
def test_plain_words_are_found_as_all_others_are(text):
    pieces = (
        splitting._Piece(character, i, i + 1, character.isspace() or splitting._is_cjk(character))
        for i, character in enumerate(text)
    )
    one_by_one = list(splitting._collect(pieces, single=splitting._is_cjk))
    assert split_words(text) == one_by_one
    assert [word.origins for word in split_words(text)] == [word.origins for word in one_by_one]


@BOUNDED
@given(MIXED)
def test_halves_of_surrogate_pairs_are_refused(text):
    with pytest.raises(ValueError, match="half a surrogate pair"):
        split_words(text + "\udc80")
    with pytest.raises(ValueError, match="word 1 holds"):
        split_words(["a", text + "\ud800"])


@BOUNDED
@given(st.one_of(MIXED, st.lists(MIXED.map(lambda text: text + "a"), max_size=4)), st.sampled_from(UNITS))
def test_chunks_joined_are_the_text(text, unit):
    words = split_words(text)
    aligned = [{"start_time": i, "end_time": i + 1, "score": 1.0} for i in range(len(words))]
    chunks = make_chunks(text, words, aligned, unit, original_text=True)
    whole = whole_text(text)
    assert bool(chunks) == bool(words)
    if words:
        assert "".join(chunk["text"] for chunk in chunks) == whole
    for chunk in chunks + make_chunks(text, words, aligned, unit):
        assert 0 <= chunk["char_start"] <= chunk["char_end"] <= len(whole)
    times = [time for chunk in chunks for time in chunk["timestamp"]]
    assert times == sorted(times)
    spans = pieces(text, [(word.start, word.end) for word in words])
    assert "".join(whole[start:end] for start, end in spans) == (whole if words else "")


@BOUNDED
@given(MIXED)
def test_languages(text):
    assert aligner_language(None) is None and language_name(None) is None
    try:
        name = aligner_language(text)
    except ValueError as error:
        assert not text.strip() and repr(text) in str(error)  # noqa: PT017, either end is right
    else:
        assert name == text.strip() or name in ASR_LANGUAGES.values()
    if text.strip().lower() not in {key.lower() for pair in ASR_LANGUAGES.items() for key in pair}:
        with pytest.raises(ValueError, match="is not known"):
            language_name(text)


@BOUNDED
@given(st.sampled_from([*ASR_LANGUAGES, *ASR_LANGUAGES.values()]), st.sampled_from([str.upper, str.lower, str.title]))
def test_known_languages_in_any_case(name, case):
    assert language_name(f" {case(name)} ") == aligner_language(case(name)) == language_name(name)


@BOUNDED
@given(MIXED, st.sampled_from(["English", "None", "french", ""]))
def test_answers(text, language):
    named, transcript = parse_transcription(f"language {language}<asr_text>{text}")
    assert named in (language.capitalize() or None, None)
    assert transcript == transcript.strip()
    # a transcript may hold a prompt's words; otherwise it comes back as it is, but for what was repeated without end
    if "assistant\n" not in text and "<asr_text>" not in text:
        assert transcript == repair_repetitions(f"language {language}<asr_text>{text}".strip()).partition(
            "<asr_text>"
        )[2].strip()  # fmt: skip
    assert repair_repetitions(text * 30) == repair_repetitions(repair_repetitions(text * 30)) or len(text) < 2
