"""The command `qwen3-asr align` on the small random aligner of tests/goldens."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pysubs2
import pytest
from conftest import ROOT

from transformers_qwen3_asr.cli.align import DEFAULT_MODEL
from transformers_qwen3_asr.cli.main import build_parser, main
from transformers_qwen3_asr.pipelines import forced_alignment

ALIGNER = str(ROOT / "tests" / "goldens" / "aligner")
RECORDING = ROOT / "examples" / "sense_and_sensibility.flac"
TEXT_FILE = RECORDING.with_suffix(".txt")
TEXT = TEXT_FILE.read_text(encoding="utf-8").strip()
WORDS = [word.strip(",.") for word in TEXT.split()]
LINE = re.compile(r" *(\d+\.\d{3}) +(\d+\.\d{3})  ([01]\.\d{3})  (\S+)")


def run(*arguments):
    """Runs `align` with the random aligner; gives the exit status."""
    try:
        return main(["align", *map(str, arguments), "--model", ALIGNER, "--device", "cpu", "--dtype", "float32"])
    except SystemExit as exit:
        return exit.code


def without_doubts(err):
    """What was said on stderr, but for the random aligner's texts that do not fit."""
    return "".join(line for line in err.splitlines(keepends=True) if "may not be what is said" not in line)


@pytest.fixture
def fails(capsys):
    """Runs a call that must fail with status 2 and one line on stderr, and nothing else there; gives the line."""

    def check(*arguments):
        assert run(*arguments) == 2
        captured = capsys.readouterr()
        (line,) = without_doubts(captured.err).splitlines()
        assert line.startswith("qwen3-asr align: error: ")
        return line

    return check


def test_a_recogniser_is_no_aligner(fails, monkeypatch):
    recogniser = str(ROOT / "tests" / "goldens" / "asr")
    monkeypatch.setitem(globals(), "ALIGNER", recogniser)
    line = fails(RECORDING)
    assert f"--model {recogniser} is a speech recogniser, and gives no times: an aligner is needed" in line


@pytest.fixture
def folder(tmp_path):
    """Three recordings with their texts beside them."""
    for name, text in (("a", "one two"), ("b", TEXT), ("c", "three")):
        shutil.copy(RECORDING, tmp_path / f"{name}.flac")
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def words_of(path):
    return [chunk["text"] for chunk in json.loads(path.read_text(encoding="utf-8"))["chunks"]]


def test_words_on_standard_output(capsys):
    assert run(RECORDING, "--text", TEXT, "--language", "English") == 0
    captured = capsys.readouterr()
    matches = [LINE.fullmatch(line) for line in captured.out.splitlines()]
    assert [match[4] for match in matches] == WORDS
    times = [float(time) for match in matches for time in (match[1], match[2])]
    assert times == sorted(times)
    assert without_doubts(captured.err) == ""  # the bar is for terminals


def test_text_file_and_text_beside_the_recording_say_the_same(capsys):
    outputs = []
    for arguments in (["--text", TEXT], ["--text-file", TEXT_FILE], []):
        assert run(RECORDING, *arguments) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] == outputs[2] != ""


def test_json_and_subtitles(tmp_path, capsys):
    assert run(RECORDING, "--output", tmp_path / "new" / "out.json") == 0
    stored = json.loads((tmp_path / "new" / "out.json").read_text(encoding="utf-8"))
    assert stored["text"] == TEXT and [chunk["text"] for chunk in stored["chunks"]] == WORDS
    assert run(RECORDING, "--output", tmp_path / "out.srt") == 0
    events = pysubs2.load(str(tmp_path / "out.srt")).events
    assert [event.plaintext for event in events] == WORDS
    assert [event.start / 1000 for event in events] == [chunk["timestamp"][0] for chunk in stored["chunks"]]
    assert run(RECORDING, "--output", tmp_path / "lines.srt", "--cues", "lines") == 0
    lines = [event.plaintext for event in pysubs2.load(str(tmp_path / "lines.srt")).events]
    assert " ".join(" ".join(lines).split()) == TEXT and len(lines) < len(WORDS)
    assert capsys.readouterr().out == ""
    assert run(RECORDING, "--output", tmp_path / "out.srt", "--show") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == WORDS


@pytest.mark.parametrize("batch", [("--batch-size", 1), ("--batch-size", 5), ("--batch-seconds", 7.5)])
def test_several_recordings_into_a_folder(folder, batch):
    recordings = [folder / f"{name}.flac" for name in "abc"]
    assert run(*recordings, "--output", folder / "out", *batch) == 0
    assert {path.name for path in (folder / "out").iterdir()} == {"a.json", "b.json", "c.json"}
    assert [words_of(folder / "out" / f"{name}.json") for name in "abc"] == [["one", "two"], WORDS, ["three"]]
    assert run(*recordings, "--output", f"{folder}/v1.0/", "--format", "srt") == 0
    assert {path.name for path in (folder / "v1.0").iterdir()} == {"a.srt", "b.srt", "c.srt"}


def test_several_recordings_on_standard_output_are_headed(folder, capsys):
    a, c = folder / "a.flac", folder / "c.flac"
    assert run(a, c, "--text-file", folder / "c.txt", "--text-file", folder / "a.txt") == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in out] == [str(a), "three", str(c), "one", "two"]
    assert out[0].startswith("# ") and out[2].startswith("# ")
    assert run(a, c, "--text", "x", "--text", "y z") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [str(a), "x", str(c), "y", "z"]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_good_recordings_are_written_and_all_bad_ones_named(folder, fails, batch_size):
    (folder / "noise.wav").write_bytes(b"this is no recording")
    (folder / "noise.txt").write_text("x", encoding="utf-8")
    (folder / "silent.flac").write_bytes(RECORDING.read_bytes())
    (folder / "latin.flac").write_bytes(RECORDING.read_bytes())
    (folder / "latin.txt").write_bytes("für".encode("latin-1"))
    names = ["a", "noise", "missing", "b", "silent", "latin", "c"]
    recordings = [folder / (f"{name}.wav" if name == "noise" else f"{name}.flac") for name in names]
    line = fails(*recordings, "--output", folder / "out", "--batch-size", batch_size)
    assert {path.stem for path in (folder / "out").iterdir()} == {"a", "b", "c"}
    assert words_of(folder / "out" / "b.json") == WORDS
    assert "4 of 7 recordings failed" in line
    for name, reason in {
        "noise.wav": "cannot be decoded",
        "missing.flac": "no such file",
        "silent.flac": "silent.txt cannot be read",
        "latin.flac": "is not UTF-8",
    }.items():
        assert re.search(rf"{re.escape(str(folder / name))}: [^;]*{reason}", line), name
    assert "a.flac" not in line and "item 0" not in line
    places = [line.index(str(recordings[index])) for index in (1, 2, 4, 5)]
    assert places == sorted(places)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_result_is_written_before_more_is_read(folder, batch_size, monkeypatch):
    read, opened = [], forced_alignment.open_long

    def spy(source, *args):
        read.append((Path(source).stem, sorted(path.stem for path in folder.glob("out/*"))))
        return opened(source, *args)

    monkeypatch.setattr(forced_alignment, "open_long", spy)
    recordings = [folder / f"{name}.flac" for name in "abc"]
    assert run(*recordings, "--output", folder / "out", "--batch-size", batch_size) == 0
    assert read == [("a", []), ("b", ["a"] if batch_size == 1 else []), ("c", ["a", "b"])]


@pytest.mark.parametrize("bad", [False, True])
def test_the_next_batch_is_read_while_one_computes(folder, bad, monkeypatch, capsys):
    """As on a GPU: in a thread, with the same files and the same errors as in turn."""
    if bad:
        (folder / "b.flac").write_bytes(b"this is no recording")
    recordings = [folder / f"{name}.flac" for name in "abc"]
    outcomes, readers, opened = [], set(), forced_alignment.open_long

    def spy(source, *args):
        readers.add(threading.current_thread())
        return opened(source, *args)

    monkeypatch.setattr(forced_alignment, "open_long", spy)
    for threads in (0, 1, 2):
        readers.clear()
        monkeypatch.setattr(forced_alignment, "threads_ahead", lambda device, threads=threads: threads)
        out = folder / f"out {threads}"
        status = run(*recordings, "--output", out)
        assert any(thread.name.startswith("work-ahead") for thread in readers) == (threads > 0)
        assert (threading.current_thread() in readers) == (threads == 0)
        written = {path.stem: path.read_text(encoding="utf-8") for path in out.iterdir()}
        outcomes.append((status, written, capsys.readouterr().err))
        assert set(written) == set("ac" if bad else "abc")
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0][0] == (2 if bad else 0) and ("b.flac: " in outcomes[0][2]) == bad
    assert not any(thread.name.startswith("work-ahead") for thread in threading.enumerate())


@pytest.mark.parametrize("text", ["", " \n", "*** …"])
@pytest.mark.parametrize("unit", ["word", "sentence"])
def test_a_text_without_words_gives_an_empty_result(folder, capsys, text, unit):
    (folder / "b.txt").write_text(text, encoding="utf-8")
    recordings = [folder / f"{name}.flac" for name in "abc"]
    note = f"qwen3-asr align: note: there are no words in the text of {folder / 'b.flac'}\n"
    for suffix in ("json", "srt"):
        assert run(*recordings, "--output", folder / "out", "--format", suffix, "--unit", unit, "--batch-size", 2) == 0
        captured = capsys.readouterr()
        assert (captured.out, without_doubts(captured.err)) == ("", note)
    assert json.loads((folder / "out" / "b.json").read_text(encoding="utf-8"))["chunks"] == []
    assert (folder / "out" / "b.srt").read_text(encoding="utf-8").strip() == ""
    assert words_of(folder / "out" / "c.json") == ["three"]
    assert run(recordings[1], "--unit", unit) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", note)


def test_units_and_the_original_text(folder, capsys):
    a, text = folder / "a.flac", "  “One,” she said. Mr. Two:\nthree-four…\n***\n五六\n"
    (folder / "a.txt").write_text(text, encoding="utf-8")
    expected = {
        "word": ["One", "she", "said", "Mr", "Two", "threefour", "五", "六"],
        "char": [*"OneshesaidMrTwothreefour五六"],
        "sentence": ["“One,” she said.", "Mr. Two:\nthree-four…", "***\n五六"],
        "line": ["“One,” she said. Mr. Two:", "three-four…", "五六"],
    }
    for unit, texts in expected.items():
        assert run(a, "--unit", unit, "--output", folder / "a.json") == 0
        stored = json.loads((folder / "a.json").read_text(encoding="utf-8"))
        # white space at the end is left out; offsets count in the file from its beginning
        assert stored["text"] == text.rstrip() and words_of(folder / "a.json") == texts
        for chunk in stored["chunks"]:
            assert text[chunk["char_start"] : chunk["char_end"]].replace("-", "") == chunk["text"].replace("-", "")
        assert run(a, "--unit", unit, "--original-text", "--output", folder / "a.json") == 0
        assert "".join(words_of(folder / "a.json")) == text.rstrip()
        # by line "***" has no line of its own, and goes with the one before
        assert len(words_of(folder / "a.json")) == len(texts)
        assert run(a, "--unit", unit) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(maxsplit=3)[-1] for line in lines] == [" ".join(text.split()) for text in texts]
    assert run(a, "--unit", "line", "--output", folder / "a.srt") == 0
    assert [event.plaintext for event in pysubs2.load(str(folder / "a.srt")).events] == expected["line"]
    assert run(a, "--original-text", "--output", folder / "a.srt") == 0
    cues = [event.plaintext for event in pysubs2.load(str(folder / "a.srt")).events]
    assert cues == ["“One,”", "she", "said.", "Mr.", "Two:", "three-four… ***", "五", "六"]


def test_recordings_longer_than_the_model_reaches(folder, capsys):
    import av
    import numpy as np

    path = folder / "long.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000 * 500), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    assert run(path, "--text", "One two. Three", "--unit", "sentence") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=3)[-1] for line in lines] == ["One two.", "Three"]


def test_calls_that_make_no_sense(folder, fails):
    a, b = folder / "a.flac", folder / "b.flac"
    assert "2 recordings but 1 --text" in fails(a, b, "--text", "x")
    assert "1 recordings but 2 --text-file" in fails(a, "--text-file", TEXT_FILE, "--text-file", TEXT_FILE)
    assert "not allowed with" in fails(a, "--text", "x", "--text-file", TEXT_FILE)
    assert "unknown extension .txt; known are .json" in fails(a, "--output", folder / "out.txt")
    assert "one file for 2 recordings" in fails(a, b, "--output", folder / "out.srt")
    assert "--format srt disagrees" in fails(a, "--output", folder / "out.json", "--format", "srt")
    assert "--format needs --output" in fails(a, "--format", "srt")
    assert "--show needs --output" in fails(a, "--show")
    assert "--cues needs --output" in fails(a, "--cues", "lines")
    assert "--max-lines needs --cues lines or karaoke" in fails(a, "--output", folder / "a.srt", "--max-lines", "1")
    assert "is for subtitles; a .json file holds the words" in fails(a, "--output", folder / "out", "--cues", "lines")
    assert "by --unit line there is one cue for each" in fails(
        a, "--output", folder / "out.srt", "--cues", "lines", "--unit", "line"
    )
    assert "--unit" in fails(a, "--unit", "syllable")
    assert "several recordings would be written to" in fails(a, a, "--output", folder / "out")
    assert "several recordings would be written to" in fails(a, folder / "A.wav", "--output", folder / "out")
    assert "b.txt is no folder" in fails(a, "--output", folder / "b.txt" / "out.json")
    assert "b.txt is no folder" in fails(a, "--output", folder / "b.txt" / "more" / "out" / "")
    assert "AUDIO" in fails()
    assert "--batch-size" in fails(a, "--batch-size", "0")
    assert "argument --batch-seconds: 0.5 is not a number from 1 on" in fails(a, "--batch-seconds", "0.5")
    for wrong in ("0.5", "-3", "nan", "inf"):
        assert f"argument --budget: {wrong} is not a number from 1 on" in fails(a, f"--budget={wrong}")
    assert "argument --budget: invalid number value: 'twice'" in fails(a, "--budget", "twice")
    assert "--dtype" in fails(a, "--dtype", "int4")
    assert not (folder / "out").exists()


def test_a_text_file_may_begin_with_a_byte_order_mark(folder, capsys):
    (folder / "c.txt").write_bytes("\ufeffthree".encode())
    assert run(folder / "c.flac", "--original-text", "--output", folder / "c.json") == 0
    result = json.loads((folder / "c.json").read_text(encoding="utf-8"))
    assert result["text"] == "three" and [chunk["char_start"] for chunk in result["chunks"]] == [0]


def test_a_text_that_is_no_text_does_not_stop_the_others(folder, fails):
    line = fails(
        folder / "a.flac", folder / "c.flac", "--text", "caf\udce9", "--text", "c", "--output", folder / "out"
    )
    assert f"1 of 2 recordings failed: {folder / 'a.flac'}: its --text is not UTF-8" in line
    assert words_of(folder / "out" / "c.json") == ["c"]


def test_a_missing_word_splitter_is_one_line(folder, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "nagisa", None)
    line = fails(folder / "a.flac", folder / "c.flac", "--language", "ja")
    assert "2 of 2 recordings failed: " in line and "need nagisa: pip install" in line


def test_an_empty_language_is_refused(folder, fails):
    assert "language must be a name, a code or None, not ''" in fails(folder / "a.flac", "--language", "")


def test_recordings_by_url(folder, capsys):
    name = f"FILE://{folder / 'a.flac'}"
    assert run(name, "--text", "one two", "--output", folder / "out" / "") == 0
    assert words_of(folder / "out" / "a.json") == ["one", "two"]


def test_a_warning_is_a_note_of_one_line(folder, capsys):
    assert run(folder / "a.flac", "--language", "Thai") == 0
    (line,) = without_doubts(capsys.readouterr().err).splitlines()
    assert line.startswith("qwen3-asr: note: the aligner was not trained on Thai")


def test_the_text_file_is_named(folder, fails):
    assert "nowhere.txt cannot be read (No such file or directory)" in fails(
        folder / "a.flac", "--text-file", folder / "nowhere.txt"
    )


def test_an_output_that_cannot_be_written(folder, fails):
    (folder / "out").mkdir()
    (folder / "out" / "a.json").mkdir()
    recordings = [folder / "a.flac", folder / "c.flac"]
    assert "a.json cannot be written (Is a directory)" in fails(*recordings, "--output", folder / "out")
    assert words_of(folder / "out" / "c.json") == ["three"]


def test_models_and_devices_that_are_not_there(tmp_path, capsys):
    for option, value in (("--model", str(tmp_path)), ("--device", "abacus")):
        arguments = ["align", str(RECORDING), "--model", ALIGNER, "--device", "cpu", option, value]
        assert main(arguments) == 2
        captured = capsys.readouterr()
        (line,) = [line for line in captured.err.splitlines() if not line.startswith("[transformers]")]
        assert line.startswith(f"qwen3-asr align: error: {option} {value}: ") and len(line) < 1000


def test_the_model_is_the_published_one_unless_said_otherwise():
    assert build_parser().parse_args(["align", "a.wav"]).model == DEFAULT_MODEL == "Qwen/Qwen3-ForcedAligner-0.6B"


def test_the_bundled_aligner_by_its_name(capsys):
    """What `make demo` runs. The recording lasts 7.1 s and is spoken through but for half a second at either end."""
    assert main(["align", str(RECORDING), "--language", "English", "--model", "tiny-en", "--device", "cpu"]) == 0
    matches = [LINE.fullmatch(line) for line in capsys.readouterr().out.splitlines()]
    assert [match[4] for match in matches] == WORDS
    starts, ends = ([float(match[group]) for match in matches] for group in (1, 2))
    assert starts[0] < 1.0 and 6.0 < ends[-1] < 7.2
    assert all(start < end for start, end in zip(starts, ends, strict=True))


def test_a_text_that_is_not_said_is_noted(capsys):
    arguments = ["align", str(RECORDING), "--language", "English", "--model", "tiny-en", "--device", "cpu", "--text"]
    assert main([*arguments, TEXT]) == 0
    assert "note" not in capsys.readouterr().err
    assert main([*arguments, "The boats lay on the sand before the rain, and nobody saw the old garden."]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("qwen3-asr")]
    assert f"note: the text may not be what is said in {RECORDING} (score 0." in line


def test_words_that_are_not_said_are_noted(capsys):
    arguments = ["align", str(RECORDING), "--language", "English", "--model", "tiny-en", "--device", "cpu", "--text"]
    text = " ".join([*WORDS[:8], "elephants garden yellow mountain", *WORDS[12:]])
    assert main([*arguments, text]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("qwen3-asr")]
    assert re.fullmatch(rf".* note: some words may not be what is said in {RECORDING} \([23]\.\d-[45]\.\d s\)", line)


def test_what_the_text_leaves_out_is_noted(capsys):
    arguments = ["align", str(RECORDING), "--language", "English", "--model", "tiny-en", "--device", "cpu", "--text"]
    assert main([*arguments, "And mister john dashwood had then leisure to consider"]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("qwen3-asr")]
    stretches = re.fullmatch(rf".* note: something is heard that the text lacks in {RECORDING} \((.*)\)", line)[1]
    times = [float(time) for pair in re.findall(r"([\d.]+)-([\d.]+) s", stretches) for time in pair]
    assert len(times) >= 2 and 2.5 < times[0] < times[-1] < 7.2


def command(*arguments, **options):
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    options = {"capture_output": True, "text": True, "env": environment, **options}
    return subprocess.run([sys.executable, "-m", "transformers_qwen3_asr", *map(str, arguments)], **options)


def test_as_a_process(tmp_path):
    given = ["--model", ALIGNER, "--device", "cpu", "--dtype", "float32", "--output", tmp_path / "out.srt"]
    done = command("align", RECORDING, *given)
    assert (done.returncode, done.stdout, without_doubts(done.stderr)) == (0, "", "")
    failed = command("align", tmp_path / "nowhere.wav", "--text", "x")
    assert failed.returncode == 2
    assert failed.stderr == (
        f"qwen3-asr align: error: 1 of 1 recordings failed: {tmp_path / 'nowhere.wav'}: no such file\n"
    )
    usage = command()
    assert usage.returncode == 2 and usage.stderr.startswith("qwen3-asr: error: ")
    assert len(usage.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
def test_progress_bar_on_a_terminal(folder):
    import fcntl
    import pty
    import struct
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    recordings = [folder / f"{name}.flac" for name in "abc"]
    arguments = ["align", *recordings, "--model", ALIGNER, "--device", "cpu", "--output", folder / "out"]
    done = command(*arguments, capture_output=False, stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    seen = b""
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:  # Linux says end of file so
            break
        if not part:
            break
        seen += part
    os.close(reader)
    assert done.returncode == 0 and done.stdout == ""
    assert b"3/3" in seen and b"recording" in seen


def test_the_dispatcher_imports_nothing_heavy():
    """The package itself imports torch in order to register; the command's own modules must add nothing to that."""
    script = (
        "import sys, types\n"
        "package = types.ModuleType('transformers_qwen3_asr')\n"
        f"package.__path__ = [{str(ROOT / 'src' / 'transformers_qwen3_asr')!r}]\n"
        "sys.modules['transformers_qwen3_asr'] = package\n"
        "from transformers_qwen3_asr.cli.main import main\n"
        "try:\n    main(['align', '--help'])\nexcept SystemExit as exit:\n    assert exit.code == 0\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}\n"
        "             & {'torch', 'transformers', 'numpy', 'datasets', 'av', 'pysubs2', 'tqdm'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "texts:" in done.stdout and "--text-file" in done.stdout


def test_decodings_are_chosen(tmp_path):
    from transformers import pipeline

    from transformers_qwen3_asr.alignment import decoding
    from transformers_qwen3_asr.cli import common

    assert common.DECODINGS == decoding.DECODINGS and common.DECODINGS[0] == decoding.DEFAULT_DECODING
    pipe = pipeline("forced-alignment", model=str(ALIGNER), dtype="float32", device="cpu")
    seen = {}
    for name in (None, *common.DECODINGS):
        file = tmp_path / f"{name}.json"
        assert run(RECORDING, "--output", file, *(["--decoding", name] if name else [])) == 0
        seen[name] = [chunk["timestamp"] for chunk in json.loads(file.read_text(encoding="utf-8"))["chunks"]]
        expected = pipe(str(RECORDING), text=TEXT, **({"decoding": name} if name else {}))["chunks"]
        assert seen[name] == [list(chunk["timestamp"]) for chunk in expected]
    assert seen[None] == seen["joint"] != seen["argmax"]
    assert run(RECORDING, "--decoding", "viterbi") == 2


def test_the_budget_is_handed_on_and_the_seconds_heard_are_told(tmp_path, capsys):
    from transformers import pipeline

    pipe = pipeline("forced-alignment", model=str(ALIGNER), dtype="float32", device="cpu")
    text = " ".join(TEXT.split()[:12])  # all of them would need nearly all that is heard, and so no shorter windows
    heard = {}
    for options in ([], ["--budget", "1"], ["--budget", "2"], ["--budget", "8"], ["--no-refine"]):
        file = tmp_path / "out.json"
        assert run(RECORDING, "--text", text, "--output", file, *options) == 0
        stored = json.loads(file.read_text(encoding="utf-8"))
        budget = {"budget": float(options[1])} if "--budget" in options else {}
        refine = {"refine": False} if options == ["--no-refine"] else {}
        result = pipe(str(RECORDING), text=text, **budget, **refine)
        assert stored["heard"] == result["heard"]
        assert [chunk["timestamp"] for chunk in stored["chunks"]] == [list(c["timestamp"]) for c in result["chunks"]]
        heard[" ".join(options)] = stored["heard"]
    # the random aligner is sure of nothing, so that all that may be asked again is
    seconds = heard["--no-refine"]
    assert heard["--budget 1"] == seconds < heard["--budget 2"] <= 2 * seconds
    assert heard["--budget 2"] < heard["--budget 8"] == heard[""] <= 8 * seconds
    assert run("--help") == 0
    assert f"(default: {forced_alignment.BUDGET:g})" in " ".join(capsys.readouterr().out.split())
