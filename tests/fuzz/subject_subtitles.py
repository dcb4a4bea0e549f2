"""Results with hostile texts to files: what is written is read back, or refused with the cue's number."""

import json

import hostile_cues
import odd_texts

SHARE = 20
SECONDS = 10


def prepare():
    import transformers_qwen3_asr.formats.writing  # noqa: F401


def make(random, folder):
    chunks, time = [], 0
    for _ in range(random.randint(0, 5)):
        end = time + random.choice((0, 1, 4, 5, 400, 3_600_000))
        texts = hostile_cues.PIECES if random.random() < 0.8 else [odd_texts.text(random, pieces=3)]
        text = "".join(random.choice(texts) for _ in range(random.randint(1, 6)))
        chunks.append([text, time, end])
        time = end + random.choice((0, 7, 1000))
    return {"chunks": chunks, "suffix": random.choice((".srt", ".vtt", ".ass", ".json")), "names": ["cue "]}


def run(case, folder):
    from transformers_qwen3_asr.formats.writing import write_alignment

    chunks = [
        {"text": text, "timestamp": (start / 1000, end / 1000), "score": 0.5} for text, start, end in case["chunks"]
    ]
    path = folder / f"a{case['suffix']}"
    try:
        write_alignment({"text": [text for text, _, _ in case["chunks"]], "chunks": chunks}, path)
    except ValueError:
        assert not path.exists() and path.suffix != ".json"
        late = path.suffix == ".ass" and any(end > 35_999_000 for _, _, end in case["chunks"])
        assert late or any(hostile_cues.refused(text) for text, _, _ in case["chunks"])
        raise
    if path.suffix == ".json":
        stored = json.loads(path.read_bytes())
        assert [chunk["text"] for chunk in stored["chunks"]] == [text for text, _, _ in case["chunks"]]
        return
    cues = [(start, end, hostile_cues.cleaned(text)) for text, start, end in case["chunks"]]
    hostile_cues.check(path, [cue for cue in cues if cue[2]])
