"""Languages by name or code, as Qwen3-ASR was trained with them."""

# The 30 languages of the ASR models; prompts and answers spell them as here.
ASR_LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fil": "Filipino",
    "fr": "French",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "mk": "Macedonian",
    "ms": "Malay",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "yue": "Cantonese",
    "zh": "Chinese",
}

# The 11 of them that the forced aligner was trained on.
ALIGNER_LANGUAGES = {
    code: ASR_LANGUAGES[code] for code in ("zh", "en", "yue", "fr", "de", "it", "ja", "ko", "pt", "ru", "es")
}

_NAMES = {key.lower(): name for code, name in ASR_LANGUAGES.items() for key in (code, name)}


def language_name(language: str | None) -> str | None:
    """
    The name in `ASR_LANGUAGES` of a name or code in any case; `None` stays `None` (language unknown).

    Raises `ValueError` for a language that is not in the table.
    """
    if language is None:
        return None
    name = _NAMES.get(str(language).strip().lower())
    if name is None:
        known = ", ".join(f"{name} ({code})" for code, name in ASR_LANGUAGES.items())
        raise ValueError(f"language {language!r} is not known; known are {known}")
    return name


def aligner_language(language: str | None) -> str | None:
    """
    The name of a language to align in.

    Names and codes are known in any case. `None` (not stated) stays; a language in no table keeps its spelling. Raises
    `ValueError` where `language` is not text or is empty.
    """
    if language is None:
        return None
    if not isinstance(language, str) or not language.strip():
        raise ValueError(f"language must be a name, a code or None, not {language!r}")
    return _NAMES.get(language.strip().lower(), language.strip())
