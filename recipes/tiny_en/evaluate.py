"""Whether an aligner listens: real readings against PocketSphinx's forced alignment, and with another reading's audio.

    python recipes/tiny_en/evaluate.py --model tiny-en

needs Debian's pocketsphinx-testdata. On made speech `qwen3-asr evaluate` measures (see make_held_out.py).
"""

import argparse
import wave
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, AutoProcessor

import transformers_qwen3_asr
from transformers_qwen3_asr.training.metrics import accumulated_average_shift

LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")


def _aligned(model, processor, inputs, word_lists) -> list[np.ndarray]:
    """Times `(words, 2)` in seconds of each clip."""
    slots = inputs["input_ids"] == processor.timestamp_token_id
    with torch.inference_mode():
        logits = model(**inputs, logits_to_keep=slots).logits
    clips = processor.decode_forced_alignment(
        logits, inputs["input_ids"], word_lists, processor.timestamp_token_id, model.config.timestamp_segment_time
    )
    return [np.array([[w["start_time"], w["end_time"]] for w in words]) for words in clips]


def _show(name: str, errors) -> None:
    values = np.concatenate([e.ravel() for e in errors])
    figures = accumulated_average_shift(values)
    print(
        f"{name}: {len(errors)} clips, {len(values)} times, mean {figures['aas_ms']:.1f} ms, "
        f"median {figures['median_ms']:.1f} ms, within 80 ms {figures['within_80ms']:.1%}, "
        f"beyond 500 ms {(values > 500).mean():.1%}"
    )


def readings() -> list[tuple[str, np.ndarray, str]]:
    """(name, samples int16 at 16 kHz, transcript in lower case) of the LibriVox readings. Used for testing only."""
    lines = (LIBRIVOX / "transcription").read_text().splitlines()
    found = []
    for name, line in zip((LIBRIVOX / "fileids").read_text().split(), lines, strict=True):
        with wave.open(str(LIBRIVOX / f"{name}.wav")) as sound:
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype=np.int16)
        text = line.rsplit("(", 1)[0].replace("<s>", "").replace("</s>", "").strip().lower()
        found.append((name, samples, text))
    return found


def sphinx_times(samples: np.ndarray, text: str) -> np.ndarray:
    """PocketSphinx's forced alignment, `(words, 2)` seconds."""
    from pocketsphinx import Decoder

    decoder = Decoder(lm=None, loglevel="FATAL")
    decoder.set_align_text(text)
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    # Names of fillers begin with "<" or "["; frames are 10 ms, the last one included.
    segments = [s for s in decoder.seg() if s.word[0] not in "<["]
    if [s.word.split("(")[0] for s in segments] != text.split():
        raise ValueError(f"PocketSphinx aligned other words than {text!r}")
    return np.array([[s.start_frame / 100, (s.end_frame + 1) / 100] for s in segments])


def librivox(model, processor) -> tuple[float, float]:
    """Mean difference to PocketSphinx in milliseconds, with the right audio and with the next reading's audio."""
    clips = readings()
    right, wrong = [], []
    for i, (name, samples, text) in enumerate(clips):
        reference = sphinx_times(samples, text)
        for found, audio in ((right, samples), (wrong, clips[(i + 1) % len(clips)][1])):
            inputs, words = processor.prepare_forced_aligner_inputs(
                audio=audio.astype(np.float32) / 32768, transcript=text, language="English"
            )
            (times,) = _aligned(model, processor, dict(inputs), words)
            found.append(np.abs(times - reference) * 1000)
        print(f"{name}: {len(reference)} words, {right[-1].mean():.0f} ms, wrong audio {wrong[-1].mean():.0f} ms")
    _show("LibriVox against PocketSphinx", right)
    _show("the same with another reading's audio", wrong)
    return float(np.concatenate(right).mean()), float(np.concatenate(wrong).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the aligner, or tiny-en")
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    model_name = transformers_qwen3_asr.checkpoints.resolve_model(arguments.model)
    model = AutoModelForTokenClassification.from_pretrained(model_name, dtype=getattr(torch, arguments.dtype)).eval()
    processor = AutoProcessor.from_pretrained(model_name)
    librivox(model, processor)


if __name__ == "__main__":
    main()
