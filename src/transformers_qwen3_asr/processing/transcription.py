"""What the ASR models write, read: the language and the transcript."""

import re

#: Stands between the language and the transcript.
ANSWER_TAG = "<asr_text>"

# A character more than 20 times in a row, and then a stretch of up to 20 characters at least 20 times in a row, is a
# decoder that got stuck; one of them stays. qwen-asr looks for stretches only where 40 characters are left.
_STUCK_CHARACTER = re.compile(r"(.)\1{20,}", re.DOTALL)
_STUCK_STRETCH = re.compile(r"(?=.{40})(.{1,20}?)\1{19,}", re.DOTALL)


def repair_repetitions(text: str) -> str:
    """`text` with endless repetitions reduced to one, as qwen-asr 0.0.6 reduces them (threshold 20)."""
    return _STUCK_STRETCH.sub(r"\1", _STUCK_CHARACTER.sub(r"\1", text))


def parse_transcription(text: str | None) -> tuple[str | None, str]:
    """
    `(language, transcript)` of an answer `language NAME<asr_text>TRANSCRIPT`.

    The language is `None` where the answer names none: for "language None" (nothing was heard), and without
    `<asr_text>`, as answers are whose language was given in the prompt; all of it is then transcript. A chat prompt
    before the answer is skipped, repetitions are repaired.
    """
    if text is None:
        return None, ""
    if "assistant\n" in text:  # the prompt was decoded with the answer
        text = text.split("assistant\n", 1)[1]
    head, tag, transcript = repair_repetitions(text.strip()).partition(ANSWER_TAG)
    if not tag:
        return None, head.strip()
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    named = next((line[len("language ") :] for line in lines if line.lower().startswith("language ")), None)
    # transformers' own processor reads a first line without "language" as the name; qwen-asr gives up on it
    language = (named if named is not None else lines[0] if lines else "").strip()
    if language.lower() in ("", "none", "language"):
        return None, transcript.strip()
    return language[:1].upper() + language[1:].lower(), transcript.strip()
