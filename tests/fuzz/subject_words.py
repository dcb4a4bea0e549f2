"""Texts of all kinds, cut into words, sentences, lines and characters: nothing may be lost or stand elsewhere."""

from importlib.util import find_spec

import odd_texts

#: texts in languages whose word splitters are extras, where they are installed
EXTRAS = {"Japanese": ("nagisa", "こんにちは"), "Korean": ("soynlp", "안녕하세요")}
SPLIT = {language: text for language, (package, text) in EXTRAS.items() if find_spec(package)}
LANGUAGES = (None, "English", "Chinese", "Thai", *SPLIT)
SHARE = 20
SECONDS = 10


def prepare():
    import transformers_qwen3_asr.alignment.chunks  # noqa: F401
    from transformers_qwen3_asr.text.words import split_words

    for language, text in SPLIT.items():
        split_words(text, language)  # their splitters take a while to load


def make(random, folder):
    text = odd_texts.text(random)
    if random.random() < 0.2:
        text = [odd_texts.text(random, pieces=2) for _ in range(random.randint(0, 5))]
    language = random.choice([*LANGUAGES, odd_texts.text(random, pieces=1)])
    return {"text": text, "language": language, "names": ["word ", "text", "character"]}


def run(case, folder):
    from transformers_qwen3_asr.alignment.chunks import make_chunks
    from transformers_qwen3_asr.text.words import split_words

    words = split_words(case["text"], case["language"])
    whole = case["text"] if isinstance(case["text"], str) else " ".join(case["text"])
    for word, after in zip(words, [*words[1:], None]):
        assert word.text and 0 <= word.start < word.end <= len(whole)
        assert after is None or word.start <= after.start
        assert len(word.origins) == len(word.text)
    times = [
        {"text": word.text, "start_time": i / 2, "end_time": i / 2 + 0.5, "score": 1.0} for i, word in enumerate(words)
    ]
    for unit in ("word", "char", "sentence", "line"):
        chunks = make_chunks(case["text"], words, times, unit, True)
        if chunks:
            assert "".join(chunk["text"] for chunk in chunks) == whole
