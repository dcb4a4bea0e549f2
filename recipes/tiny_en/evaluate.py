"""How good an aligner is: on the held-out made speech, and on real readings against PocketSphinx's forced alignment.

python recipes/tiny_en/evaluate.py --model FOLDER --work-dir DIR     (held-out part of the made speech)
python recipes/tiny_en/evaluate.py --model FOLDER --librivox         (Debian's pocketsphinx-testdata)
"""

import argparse
import wave
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, AutoProcessor

import transformers_qwen3_asr
from transformers_qwen3_asr.configuration_qwen3_asr import audio_token_lengths
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


def held_out_errors(model, processor, clips, batch: int = 16):
    """Absolute errors in milliseconds of every start and end, an array for each clip, in the clips' order."""
    from features import whisper_scale

    errors: list = [None] * len(clips)
    order = sorted(range(len(clips)), key=lambda i: clips[i].frames)
    for first in range(0, len(order), batch):
        chosen = order[first : first + batch]
        features = [whisper_scale(torch.from_numpy(clips[i].features.astype(np.float32))) for i in chosen]
        inputs = dict(
            processor.tokenize_slots([clips[i].words for i in chosen], [audio_token_lengths(len(f)) for f in features])
        )
        inputs["input_features"] = torch.nn.utils.rnn.pad_sequence(features, batch_first=True).transpose(1, 2)
        mask = [torch.ones(len(f), dtype=torch.long) for f in features]
        inputs["input_features_mask"] = torch.nn.utils.rnn.pad_sequence(mask, batch_first=True)
        for i, times in zip(chosen, _aligned(model, processor, inputs, [clips[i].words for i in chosen]), strict=True):
            truth = np.stack([clips[i].starts, clips[i].ends], 1)
            errors[i] = np.abs(times - truth) * 1000
    return errors


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
    parser.add_argument("--work-dir", type=Path, help="evaluate on DIR/data/test")
    parser.add_argument("--librivox", action="store_true", help="evaluate on the readings of pocketsphinx-testdata")
    parser.add_argument("--tokenizer", help="folder of the tokenizer, for checkpoints that lack one")
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    model_name = transformers_qwen3_asr.checkpoints.resolve_model(arguments.model)
    model = AutoModelForTokenClassification.from_pretrained(model_name, dtype=getattr(torch, arguments.dtype)).eval()
    if arguments.tokenizer:
        from transformers import AutoTokenizer

        from transformers_qwen3_asr.feature_extraction_qwen3_asr import Qwen3ASRFeatureExtractor
        from transformers_qwen3_asr.processing_qwen3_asr import Qwen3ASRProcessor

        processor = Qwen3ASRProcessor(
            Qwen3ASRFeatureExtractor(),
            AutoTokenizer.from_pretrained(arguments.tokenizer),
            timestamp_segment_time=model.config.timestamp_segment_time,
        )
    else:
        processor = AutoProcessor.from_pretrained(model_name)
    if arguments.work_dir:
        from corpus import load_clips

        clips = load_clips(arguments.work_dir / "data" / "test")
        errors = held_out_errors(model, processor, clips)
        for engine in sorted({clip.engine for clip in clips}):
            _show(engine, [e for e, clip in zip(errors, clips, strict=True) if clip.engine == engine])
        for low, high in ((2, 5), (5, 10), (10, 15)):
            within = [low * 100 <= clip.frames < high * 100 + (high == 15) for clip in clips]
            _show(f"{low} to {high} s", [e for e, take in zip(errors, within, strict=True) if take])
        _show("held out", errors)
    if arguments.librivox:
        librivox(model, processor)


if __name__ == "__main__":
    main()
