"""`read_labels`: labels in any of the formats as checked rows."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from ..labels.checking import END_TOLERANCE, ended_with_audio, entries_of, is_time, time_problems
from ..labels.mappings import StoredRecording, is_dataset, read_rows
from ..labels.matching import match_words
from ..labels.recordings import Recordings, decoded_duration, stated_duration
from ..labels.rows import Draft, LabelProblem, LabelRows, join_texts
from ..text.languages import aligner_language
from .spoken import Spoken, of_draft
from .table import BY_NAME, BY_SUFFIX, FORMATS, READERS_BY_SUFFIX, TURNS_ALONE

_SHOWN_PER_ROW = 5
_SHOWN = 10


def read_labels(
    source: Any,
    *,
    format: str | None = None,
    audio: str | os.PathLike | None = None,
    language: str | None = None,
    on_error: str = "raise",
    check_audio: bool = True,
    require_words: bool = True,
    share_times: bool = False,
    tier: str | None = None,
) -> LabelRows:
    """
    Labelled recordings as checked rows, ready for training and evaluation.

    A row is `{"id", "audio", "text", "language", "words": [{"text", "start", "end"}, …]}`, times in seconds, and
    "duration" where the recording was looked at. "words" are the aligner's words of the transcript, spelled as there
    (see `matching.match_words`). Every row passes `check_row`; nothing is dropped without a problem or a note that
    says so.

    Args:
        source: a label file; several; a folder, whose label files are read with those in folders below it; or a
            `datasets.Dataset`, or an iterable of mappings with the keys of a JSON line.
        format: one of `FORMATS`; default: by the extension. A folder with several formats needs it.
        audio: the recording, or the folder of the recordings, of label files that do not name theirs; default: the
            recording of the same name beside the label file. For rows that name one, the folder in which paths are
            looked for that are not found from the label file.
        language: name or code, for rows that do not state theirs.
        on_error: ``"raise"``: one `ValueError` that names all bad rows; ``"skip"``: bad rows are left out, kept in
            `problems`, and one warning says how many.
        check_audio: whether recordings are opened for their duration; without it, no time is compared with it.
        require_words: whether a row must have labels. Without it a row may have a transcript only, with
            `"words": []`, as for training a speech recogniser.
        share_times: whether a label that is several words to the aligner (a Chinese phrase) has its time shared out
            among them by letters, which is a guess, instead of being a problem.
        tier: of a TextGrid or an ELAN file, where its words are not in "words" or "NAME - words".

    Raises:
        ValueError: an argument that does not fit; a source that is not there or holds no row; with
            ``on_error="raise"``, bad rows.
        ImportError: the library of a format or of a language is missing.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', not {on_error!r}")
    if format is not None and format not in FORMATS:
        raise ValueError(f"format={format!r}: known are {', '.join(FORMATS)}")
    language = aligner_language(language)

    rows = LabelRows()
    settings = {"check_audio": check_audio, "require_words": require_words, "share_times": share_times}
    count = 0
    places: dict[str, str] = {}  # where an id that a row states was met first
    for recordings, draft in _drafts(source, format, audio, tier):
        count += 1
        row, problems, notes = _finished(draft, recordings, language, **settings)
        name = draft.place if draft.id is None else f"{draft.place} (id {draft.id!r})"
        if problems:
            if len(problems) > _SHOWN_PER_ROW:
                problems[_SHOWN_PER_ROW:] = [f"and {len(problems) - _SHOWN_PER_ROW} more in this row"]
            rows.problems += [LabelProblem(name, problem) for problem in problems]
            rows.skipped += 1
        else:
            if draft.id is not None:
                if row["id"] in places:
                    notes.append(f"its id is that of {places[row['id']]}, too, so that it names neither of them")
                places.setdefault(row["id"], draft.place)
            rows.notes += [LabelProblem(name, note) for note in notes]
            rows.append(row)
    if count == 0:
        raise ValueError(f"{_source_name(source)} holds no rows")
    if rows.problems:
        shown = [str(problem) for problem in rows.problems[:_SHOWN]]
        more = len(rows.problems) - len(shown)
        told = f"{rows.skipped} of {count} rows of {_source_name(source)} " + "{}:\n  " + "\n  ".join(shown)
        told += f"\n  and {more} more problems" if more else ""
        if on_error == "raise":
            raise ValueError(told.replace("{}", "are bad", 1))
        warnings.warn(told.replace("{}", "are left out", 1), stacklevel=2)
    return rows


def _source_name(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], (str, os.PathLike)):
        return os.fspath(source[0]) + (f" and {len(source) - 1} more" if len(source) > 1 else "")
    return f"the {type(source).__name__}"


def _drafts(source: Any, format: str | None, audio: Any, tier: str | None) -> Iterator[tuple[Recordings, Draft]]:
    """Every row of the source, with where to look for its recording."""
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    if isinstance(source, Mapping):
        raise ValueError(
            f"the labels are a mapping with the keys {sorted(map(str, source))[:8]}; a list of rows is expected, and "
            "of a DatasetDict one of its parts"
        )
    if not is_dataset(source):
        if not isinstance(source, Iterable):
            raise ValueError(f"labels must be a path, paths or rows, not {type(source).__name__}")
        rest = iter(source)
        first = next(rest, None)
        source = chain([] if first is None else [first], rest)
        if isinstance(first, (str, os.PathLike)):
            if format == "rows":
                raise ValueError("format='rows' is for rows in memory, not for paths")
            yield from _file_drafts([Path(path) for path in source], format, audio, tier)
            return
    if format not in (None, "rows"):
        raise ValueError(f"format={format!r} is for files; these are rows in memory")
    if tier is not None:
        raise ValueError(f"tier={tier!r} is for TextGrid files; these are rows in memory")
    recordings = Recordings(audio)
    for draft in read_rows(source):
        yield recordings, draft


def _file_drafts(
    paths: list[Path], format: str | None, audio: Any, tier: str | None
) -> Iterator[tuple[Recordings, Draft]]:
    files: list[tuple[Recordings, Path, str]] = []
    of_root: dict[Path, Recordings] = {}  # folders are listed once
    for path in paths:
        if os.path.isdir(path):
            recordings = of_root.setdefault(path, Recordings(audio, path))
            files += [(recordings, file, kind) for file, kind in _label_files(path, format)]
        elif os.path.isfile(path):
            recordings = of_root.setdefault(path.parent, Recordings(audio, path.parent))
            files.append((recordings, path, format or _format_of(path)))
        else:
            raise ValueError(f"there is no label file {os.fspath(path)!r}")
    if tier is not None and not all(BY_NAME[kind].tiers for _, _, kind in files):
        raise ValueError(f"tier={tier!r} is for TextGrid files and ELAN's")
    if audio is not None and len(files) > 1 and files[0][0].one_file:
        raise ValueError(f"audio={os.fspath(audio)!r} is one recording, but there are {len(files)} label files")
    for recordings, path, kind in files:
        try:
            found = list(_read(path, kind, tier))
        except ValueError as error:
            found = [Draft(str(path), file=path, errors=[str(error).removeprefix(f"{path}").lstrip(": ")])]
        if recordings.one_file and len(found) > 1:
            raise ValueError(f"audio={os.fspath(audio)!r} is one recording, but {path} has labels of {len(found)}")
        for draft in found:
            yield recordings, draft


def _read(path: Path, kind: str, tier: str | None) -> Iterator[Draft]:
    format = BY_NAME[kind]
    return format.read(path, tier) if format.tiers else format.read(path)


def _format_of(path: Path) -> str:
    format = BY_SUFFIX.get(path.suffix.lower())
    if format is not None and format.read is not None:
        return format.name
    if format is not None:
        raise ValueError(f"{path}: {TURNS_ALONE}")
    known = ", ".join(dict.fromkeys(suffix for suffixes in FORMATS.values() for suffix in suffixes))
    raise ValueError(f"{path}: the extension {path.suffix!r} is not one of label files ({known}); say format=")


def _label_files(folder: Path, format: str | None) -> list[tuple[Path, str]]:
    """The label files below a folder, sorted by path; hidden ones (macOS leaves such beside copies) are no labels."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if format is not None:
            kind = format if suffix in FORMATS[format] else None
        else:
            kind = BY_SUFFIX[suffix].name if suffix in READERS_BY_SUFFIX else None
        if kind is not None and path.is_file() and not path.name.startswith("."):
            found.setdefault(kind, []).append(path)
    if format is not None:
        found.setdefault(format, [])
    if not any(found.values()):
        raise ValueError(f"the folder {folder} holds no label files" + (f" of the format {format}" if format else ""))
    if len(found) > 1:
        held = ", ".join(f"{len(found[kind])} of {kind}" for kind in FORMATS if kind in found)
        raise ValueError(f"the folder {folder} holds labels in several formats ({held}): say format=")
    [(kind, paths)] = found.items()
    return [(path, kind) for path in paths]


def read_spoken(path: Path, format: str | None = None, tier: str | None = None, words: bool = True) -> list[Spoken]:
    """
    The recordings of a file of words or cues, as they are: without a look at the audio or a transcript.

    Args:
        format: one of `FORMATS`; default: by the extension.
        tier: as in `read_labels`.
        words: whether each word is to have times where there are lines with times, too.

    Marks that are left out are warned about.

    Raises:
        ValueError: naming file and line or cue.
        ImportError: the library of the format is missing.
    """
    kind = format or _format_of(path)
    if tier is not None and not BY_NAME[kind].tiers:
        raise ValueError(f"tier={tier!r} is for TextGrid files and ELAN's, and {path} is read as {kind}")
    drafts = list(_read(path, kind, tier))
    if not drafts:
        raise ValueError(f"{path} holds no rows")
    spoken = [of_draft(draft, words) for draft in drafts]
    for draft in drafts:
        for note in draft.notes:
            warnings.warn(f"{draft.place}: {note}", stacklevel=2)
    if kind == "srt":
        # players show one at a time, and nobody can tell which is meant
        for before, cue in pairwise(drafts[0].entries):
            if cue.start < before.end:
                raise ValueError(
                    f"{path}: {cue.place} ({cue.text!r:.60}) begins at {cue.start:g} s, "
                    f"before {before.place} has ended at {before.end:g} s"
                )
    return spoken


def _finished(
    draft: Draft,
    recordings: Recordings,
    language: str | None,
    check_audio: bool,
    require_words: bool,
    share_times: bool,
) -> tuple[dict, list[str], list[str]]:
    """The row that a draft becomes, what is wrong with it, and what was put in order."""
    problems, notes = [*draft.errors, *([draft.lacks] if draft.lacks else [])], list(draft.notes)
    try:
        language = aligner_language(draft.language) if draft.language is not None else language
    except ValueError as error:
        problems.append(str(error))
    if problems and not draft.entries:
        return {}, problems, notes  # what could not be read cannot be judged further
    audio, duration = None, None
    text, text_name = draft.text, "the transcript"
    try:
        audio = _found_audio(draft, recordings)
        if text is None and draft.name is not None and draft.file is not None:
            found = recordings.transcript(draft.name, draft.file, audio)
            if found is not None:
                text, text_name = found[0], f"the transcript {found[1]}"
        if check_audio:
            duration = _duration(audio, draft)
    except ValueError as error:
        problems.append(str(error))
    if text is not None and not isinstance(text, str):
        problems.append(f"text must be a string, not {type(text).__name__}")
        text = None
    text = text.strip() if text is not None else None

    entries, rounded = draft.entries or [], []
    if duration is not None:
        entries, rounded = ended_with_audio(entries, duration)
    words = []
    if entries or require_words:
        text = join_texts([entry.text for entry in entries]) if text is None else text
        wrong = time_problems(entries, duration)
        problems += wrong
        if not entries:
            problems.append("it holds no words with times")
        else:
            matched = match_words(entries, text, language, text_name, share_times and not wrong)
            problems += matched.problems
            if share_times and not wrong:  # what is shared out of labels that overlap need not be in order
                problems += time_problems(entries_of(matched.words), duration)
            notes += [*rounded, *matched.notes]
            words = matched.words
    elif not (text or "").strip():
        problems.append(f"{text_name} is empty")
    id = draft.place if draft.id is None else str(draft.id)
    row = {"id": id, "audio": audio, "text": text, "language": language, "words": words}
    if duration is not None:
        row["duration"] = duration
    return row, problems, notes


def _found_audio(draft: Draft, recordings: Recordings) -> Any:
    if draft.audio is None:
        if draft.name is None or draft.file is None:
            raise ValueError("it names no audio")
        return recordings.called(draft.name, draft.file)
    if recordings.one_file:
        raise ValueError(f"it names its audio, so that audio={str(recordings.audio)!r} can only be a folder")
    if isinstance(draft.audio, (str, os.PathLike)):
        return recordings.named(os.fspath(draft.audio), draft.file)
    if isinstance(draft.audio, Mapping) and draft.audio.get("bytes") is None and draft.audio.get("array") is None:
        if not isinstance(draft.audio.get("path"), str):
            raise ValueError("its audio is empty: no path, no bytes and no samples")
        return recordings.named(draft.audio["path"], draft.file)
    return draft.audio


def _duration(audio: Any, draft: Draft) -> float:
    """
    Seconds; decoded only where a label ends behind what the container states, or so near to it that it may lie behind
    what is decoded: training would stop at such a label.
    """
    stored = audio.value if isinstance(audio, StoredRecording) else audio
    duration, padding = stated_duration(stored)
    if padding is not None:
        limit = duration + END_TOLERANCE - padding
        if any(entry.end > limit for entry in draft.entries or [] if is_time(entry.end)):
            duration = decoded_duration(stored)
    return duration
