"""Texts of all kinds, cut into words, sentences, lines and characters: nothing may be lost or stand elsewhere."""

import odd_texts

LANGUAGES = (None, "English", "Chinese", "Thai", "Japanese", "Korean")
SHARE = 20
SECONDS = 10


def prepare():
    import transformers_qwen3_asr.alignment.segments  # noqa: F401
    from transformers_qwen3_asr.alignment.words import split_words

    for text, language in (("こんにちは", "Japanese"), ("안녕하세요", "Korean")):
        split_words(text, language)  # their splitters take a while to load


def make(random, folder):
    text = odd_texts.text(random)
    if random.random() < 0.2:
        text = [odd_texts.text(random, pieces=2) for _ in range(random.randint(0, 5))]
    language = random.choice([*LANGUAGES, odd_texts.text(random, pieces=1)])
    return {"text": text, "language": language, "names": ["word ", "text", "character"]}


def run(case, folder):
    from transformers_qwen3_asr.alignment.segments import make_chunks
    from transformers_qwen3_asr.alignment.words import split_words

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
