"""Files of words with times, spoiled: converted, or refused by the file's name with nothing written."""

from importlib.util import find_spec

SHARE = 20
SECONDS = 10

WORDS = [("So", 0.1, 0.4, "ann"), ("it’s", 0.5, 0.75, "ann"), ("known.", 2.5, 2.75, "bob")]
PIECES = (
    *(b"nan", b"inf", b"-1", b"1e999", b"null", b"true", b"9" * 20, b"\0", b"\xff", b"\t", b"\n", b""),
    *(b'"', b"<", b">", b"{", b"}", b"\\k", b"-->", b",", b";;", b"[[a]]", b"<v ", b"Dialogue:"),
)
LIBRARIES = {"textgrid": "praatio", "eaf": "pympi", "vtt": "webvtt"}


def prepare():
    from pathlib import Path

    from transformers_qwen3_asr.formats import writing

    for name in kinds():
        writing.format_to_write(Path("a"), name)


def kinds():
    from transformers_qwen3_asr.formats.writing import WRITTEN

    return [name for name in WRITTEN if name not in LIBRARIES or find_spec(LIBRARIES[name])]


def make(random, folder):
    from transformers_qwen3_asr.formats.writing import write_alignment

    chunks = [{"text": t, "timestamp": (s, e), "score": 0.5, "speaker": who} for t, s, e, who in WORDS]
    kind = random.choice(kinds())
    cues = "karaoke" if kind in ("vtt", "ass") and random.random() < 0.5 else "words"
    path = write_alignment({"text": "So it’s known.", "chunks": chunks}, folder / "spoiled", cues, kind)
    content = path.read_bytes()
    for _ in range(random.choice((1, 1, 2, 3))):
        place, length = random.randint(0, len(content)), random.choice((0, 1, 2, 5, 20, 10_000))
        piece = random.choice((*PIECES, random.randbytes(2)))
        content = content[:place] + piece + content[place + length :]
    path.write_bytes(content)
    return {"kind": kind, "target": random.choice(kinds()), "names": ["spoiled"]}


def run(case, folder):
    from transformers_qwen3_asr.formats import convert

    target = folder / "out"
    refused = None
    try:
        convert(folder / "spoiled", target, source_format=case["kind"], format=case["target"])
    except ValueError as error:
        refused = error
    assert target.exists() == (refused is None)
    if refused is not None:
        assert "\n" not in str(refused)
        # what the new format cannot hold is told by the new file's name
        raise ValueError(str(refused).replace(str(target), "spoiled, as out,")) from refused
