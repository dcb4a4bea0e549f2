"""TextGrid and CTM, as the Montreal Forced Aligner, Praat and Kaldi write them."""

import builtins
from pathlib import Path

import pytest
from label_samples import CTM, MFA, problems_of, recording, text_grid, triples, write

from transformers_qwen3_asr.formats import read_labels


@pytest.fixture
def speech(tmp_path):
    """A folder with speech.wav, three seconds."""
    recording(tmp_path / "speech.wav")
    return tmp_path


# TextGrid

SPOKEN = [("Don't", 0.33, 0.71), ("say", 0.71, 1.2), ("Hello", 1.5, 1.98)]


def test_text_grid_as_mfa_writes_it(speech):
    path = write(speech / "speech.TextGrid", MFA)
    [row] = read_labels(path, language="English")
    assert triples(row) == [("don't", 0.33, 0.71), ("say", 0.71, 1.2), ("hello", 1.5, 1.98)]
    assert row["text"] == "don't say hello" and row["audio"] == str(speech / "speech.wav") and row["id"] == str(path)
    # with the transcript beside, words are spelled as there; .lab is what MFA's corpora have
    write(speech / "speech.lab", "“Don't say\n Hello!”\n")
    [row] = read_labels(path)
    assert triples(row) == SPOKEN and row["text"] == "“Don't say Hello!”"


@pytest.mark.parametrize("form", ["short_textgrid", "long_textgrid", "textgrid_json", "json"])
def test_text_grid_in_every_format_of_praatio(speech, form):
    words = [(0.3, 0.7, 'the "end"'), (0.7, 1.2, "ÿ")]
    path = text_grid(speech / "speech.TextGrid", {"words": words, "phones": [(0.3, 0.7, "x")]}, form)
    [row] = read_labels(path, share_times=True)
    assert triples(row) == [("the", 0.3, 0.5), ("end", 0.5, 0.7), ("ÿ", 0.7, 1.2)]
    if form.endswith("json"):  # MFA's --output_format json has the extension of JSON
        [again] = read_labels(path.rename(speech / "speech.json"), share_times=True)
        assert again["words"] == row["words"]


def test_text_grid_as_praat_writes_it(speech):
    """Long format, UTF-16 with a mark, Windows lines, no empty line at the end."""
    content = MFA.rstrip("\n").replace("hello", "größe").replace("\n", "\r\n")
    [row] = read_labels(write(speech / "speech.TextGrid", content, "utf-16"))
    assert triples(row)[-1] == ("größe", 1.5, 1.98)


def test_speakers_are_one_row_in_order_of_time(speech):
    tiers = {
        "ann - words": [(0.1, 0.4, "so"), (1.0, 1.3, "goes")],
        "ann - phones": [(0.1, 0.4, "s")],
        "bob - words": [(0.5, 0.8, "it"), (0.9, 1.0, "sp")],
    }
    path = text_grid(speech / "speech.TextGrid", tiers)
    assert triples(read_labels(path)[0]) == [("so", 0.1, 0.4), ("it", 0.5, 0.8), ("goes", 1.0, 1.3)]
    tiers["bob - words"] = [(0.3, 0.8, "it")]
    assert triples(read_labels(text_grid(path, tiers))[0])[:2] == [("so", 0.1, 0.4), ("it", 0.3, 0.8)]
    tiers["bob - words"] = [(0.3, 0.8, "<unk>")]
    with pytest.raises(ValueError, match="interval 2 of 'bob - words': '<unk>' stands for a word that is not known"):
        read_labels(text_grid(path, tiers))


def test_other_tiers(speech):
    path = text_grid(speech / "speech.TextGrid", {"palavras": [(0.1, 0.4, "olá")]})
    assert triples(read_labels(path)[0]) == [("olá", 0.1, 0.4)]
    text_grid(path, {"palavras": [(0.1, 0.4, "olá")], "sons": [(0.1, 0.4, "o")]})
    with pytest.raises(ValueError, match=r"no interval tier 'words' or 'NAME - words'; it has 'palavras', 'sons'"):
        read_labels(path)
    assert triples(read_labels(path, tier="palavras")[0]) == [("olá", 0.1, 0.4)]
    with pytest.raises(ValueError, match="no interval tier 'x'"):
        read_labels(path, tier="x")


def test_text_grids_that_cannot_be_read(speech):
    path = speech / "speech.TextGrid"
    for content, message in (
        ("no TextGrid", "cannot be read as a TextGrid"),
        (MFA.replace("xmin = 0.71", "xmin = soon"), "cannot be read as a TextGrid"),
        (MFA[: MFA.index("        intervals [5]")], r"is damaged: .* hold \[6\] intervals, but \[4\] can be read"),
        (MFA.replace('"sil"', '"<unk>"'), r"interval 6: '<unk>' stands for a word that is not known"),
        (MFA.replace("xmax = 1.98", "xmax = 1.1"), r"word 2 \('hello', interval 5\) ends at 1.1 s, before its start"),
    ):
        write(path, content)
        with pytest.raises(ValueError, match=rf"speech\.TextGrid: .*{message}"):
            read_labels(path)
    # praatio stops silently where a short one is damaged
    short = text_grid(path, {"words": [(0.1, 0.4, "so"), (0.5, 0.8, "it")]}).read_text()
    assert short.count('"so"\n') == 1
    write(path, short.replace('"so"\n', "so\n"))
    with pytest.raises(ValueError, match=r"speech\.TextGrid: is damaged: .* hold \[5\] intervals"):
        read_labels(path)


def test_marks_that_are_no_words_are_noted(speech):
    path = write(speech / "speech.TextGrid", MFA.replace('"sil"', '"[laughter]"'))
    rows = read_labels(path)
    assert [word["text"] for word in rows[0]["words"]] == ["don't", "say", "hello"]
    assert [str(note) for note in rows.notes] == [
        f"{path}: left out, because it is a mark and no word: '[laughter]' (interval 6)"
    ]
    assert "1 row with notes" in rows.summary()


def test_missing_libraries_are_named(speech, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] in ("praatio", "webvtt"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    write(speech / "speech.TextGrid", MFA)
    write(speech / "speech.vtt", "WEBVTT\n")
    for name, library in (("TextGrid", "praatio"), ("vtt", "webvtt-py")):
        with pytest.raises(ImportError, match=rf"need {library}: pip install transformers-qwen3-asr\[labels\]"):
            read_labels(speech / f"speech.{name}", on_error="skip")


# CTM


def test_ctm_of_several_recordings(speech):
    recording(speech / "other.wav")
    write(speech / "speech.txt", "So it goes.")
    path = write(speech / "all.ctm", CTM)
    rows = read_labels(path)
    assert [row["id"] for row in rows] == [f"{path}:3", f"{path}:5"]
    assert [Path(row["audio"]).name for row in rows] == ["speech.wav", "other.wav"]
    assert [row["text"] for row in rows] == ["So it goes.", "well yes"]
    # 0.5 + 0.26 reaches into the next word by the rounding of both, as people's words do by more
    assert triples(rows[0]) == [("So", 0.1, 0.4), ("it", 0.5, 0.76), ("goes", 0.75, 1.25)]
    assert triples(rows[1]) == [("well", 0.9, 1.3), ("yes", 1.4, 1.6)]
    assert rows.notes == []


def test_ctm_problems_name_the_line(speech):
    recording(speech / "other.wav")
    path = write(speech / "a.ctm", CTM.replace("0.26", "long") + "other A 0.2 0.1 late\nother B 2\nlost 1 0 1 a\n")
    rows, problems = problems_of(path)
    assert rows == [] and rows.skipped == 3
    assert problems == [
        f"{path}:3: line 4 ('it'): start and duration must be numbers of seconds, not '0.50' and 'long'",
        f"{path}:5: line 10 holds 3 fields; 'file channel start duration word' are expected",
        f"{path}:5: word 1 ('late', line 9) starts at 0.2 s, before the start of word 0 ('well', line 7) in front of "
        "it, 0.9 s: words must be in order of time",
        f"{path}:11: there is no recording 'lost' in {speech}",
    ]
