"""Write transcriptions.json: what qwen-asr's transcribe() answers with the golden checkpoints.

Run in an environment of its own with qwen-asr==0.0.6:

    python tests/goldens/make_transcriptions.py

Both models in float32 with eager attention and, as in make_goldens.py, with their attention windows kept. Each case is
asked for by itself, and its text in a batch of all as well.
"""

import json
from importlib.metadata import version
from pathlib import Path

import torch
from clips import load_clip
from make_goldens import keep_windows
from qwen_asr import Qwen3ASRModel

HERE = Path(__file__).resolve().parent
NEW_TOKENS = 16
# (clip, language or None, context)
CASES = [
    ("sense_0890.flac", None, ""),
    ("sense_0890.flac", "English", ""),
    ("sense_0870.flac", None, "Sense and Sensibility, a novel."),
    ("sense_0870.flac", "German", "Sense and Sensibility, a novel."),
    ("made:12:128000", "French", ""),
    ("made:13:32000", "Chinese", "OK"),
    ("made:14:11680", "German", ""),
]


def load(tokens: int) -> Qwen3ASRModel:
    options = {"dtype": torch.float32, "device_map": "cpu", "attn_implementation": "eager"}
    model = Qwen3ASRModel.from_pretrained(
        str(HERE / "asr"),
        forced_aligner=str(HERE / "aligner"),
        forced_aligner_kwargs=options,
        max_new_tokens=tokens,
        **options,
    )
    for part in (model.model, model.forced_aligner.model):
        keep_windows(part)
    return model


def source(clip: str):
    value = load_clip(clip)
    return value if isinstance(value, str) else (value, 16000)


def answer(result) -> dict:
    items = result.time_stamps.items if result.time_stamps is not None else []
    words = [[item.text, item.start_time, item.end_time] for item in items]
    return {"language": result.language, "text": result.text, "words": words}


def main() -> None:
    torch.set_num_threads(1)
    model = load(NEW_TOKENS)
    cases = []
    for clip, language, context in CASES:
        (result,) = model.transcribe(source(clip), context=context, language=language, return_time_stamps=True)
        cases.append({"clip": clip, "asked_language": language, "context": context, **answer(result)})
    clips, languages, contexts = map(list, zip(*CASES, strict=True))
    together = model.transcribe([source(clip) for clip in clips], context=contexts, language=languages)
    for case, result in zip(cases, together, strict=True):
        case["text_in_batch"] = result.text
    content = {
        "made_by": f"make_transcriptions.py with qwen-asr {version('qwen-asr')}",
        "max_new_tokens": NEW_TOKENS,
        "cases": cases,
    }
    path = HERE / "transcriptions.json"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
