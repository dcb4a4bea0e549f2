"""Results as what is answered: JSON under the keys of OpenAI's API, and subtitles."""

from typing import Any

from ..formats.spoken import Spoken
from ..formats.table import BY_NAME
from ..results import AlignmentResult, Passage

#: Response format -> what writes it, and its media type.
SUBTITLES = {
    "srt": (BY_NAME["srt"].write_cues, "application/x-subrip"),
    "vtt": (BY_NAME["vtt"].write_cues, "text/vtt"),
}


def alignment(result: AlignmentResult, language: str | None, seconds: float) -> dict[str, Any]:
    """The words, and what else the pipeline knows."""
    return {
        "text": result["text"],
        "language": language,
        "duration": seconds,
        "words": _words(result),
        "score": result["score"],
        "fits": result["fits"],
        "unfit": [_timed(passage) for passage in result["unfit"]],
        "untranscribed": [_timed(passage) for passage in result["untranscribed"]],
    }


def verbose(result: dict[str, Any], seconds: float, granularities: set[str]) -> dict[str, Any]:
    """A transcription as `verbose_json`: sentences as segments and words, those that were asked for."""
    answer = {"task": "transcribe", "language": result["language"], "duration": seconds, "text": result["text"]}
    if "segment" in granularities:
        lines = Spoken("", result).lines(sentences=True)
        answer["segments"] = [
            {"id": number, "start": line.start, "end": line.end, "text": line.text}
            for number, line in enumerate(lines)
        ]
    if "word" in granularities:
        answer["words"] = _words(result)
    return answer


def subtitles(result: dict[str, Any], response_format: str, granularities: set[str]) -> str:
    """
    A transcription as a file of subtitles: a cue a word, or of a size to be read. Raises `ValueError` for what the
    format cannot hold, such as NUL.
    """
    spoken = Spoken("", result)
    cues = spoken.words if granularities == {"word"} else spoken.lines(breaks=True)
    return SUBTITLES[response_format][0](cues)


def _words(result: AlignmentResult) -> list[dict[str, Any]]:
    return [_timed(chunk, word=chunk["text"], score=chunk["score"]) for chunk in result["chunks"]]


def _timed(passage: Passage, **more: Any) -> dict[str, Any]:
    start, end = passage["timestamp"]
    return {**more, "start": start, "end": end, "char_start": passage["char_start"], "char_end": passage["char_end"]}
