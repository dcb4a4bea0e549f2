"""Texts around an ASR model and an aligner: no text of a user becomes a control token, and prompts stay short."""

from pathlib import Path

import odd_texts

SHARE = 25
SECONDS = 20
GOLDENS = Path(__file__).resolve().parents[1] / "goldens"
LOADED = {}


def prepare():
    from transformers import AutoProcessor

    import transformers_qwen3_asr  # noqa: F401

    for name in ("asr", "aligner"):
        LOADED[name] = AutoProcessor.from_pretrained(GOLDENS / name)


def make(random, folder):
    return {
        "kind": random.choice(("prompt", "blocks", "language", "words", "row")),
        "texts": [odd_texts.text(random, pieces=4) for _ in range(random.randint(1, 3))],
        "names": ["prompt 0", "system's text", "message ", "language ", "word ", "row 0", "transcript 0"],
    }


def control(processor, ids):
    tokens = processor.tokenizer.added_tokens_decoder
    return sorted(tokens[int(index)].content for index in ids if int(index) in tokens)


def run(case, folder):
    import numpy as np

    from transformers_qwen3_asr.text.words import LONGEST_WORD
    from transformers_qwen3_asr.training.transcription_collator import TranscriptionCollator

    audio, texts = np.zeros(8000, np.float32), case["texts"]
    asr, aligner = LOADED["asr"], LOADED["aligner"]
    plain = control(asr, asr.apply_transcription_request(audio, prompt="a")["input_ids"][0])
    if case["kind"] == "prompt":
        ids = asr.apply_transcription_request(audio, prompt=texts[0])["input_ids"][0]
        assert control(asr, ids) == plain
    elif case["kind"] == "blocks":
        blocks = [{"type": "text", "text": text} for text in texts]
        user = {"role": "user", "content": [{"type": "audio", "audio": audio}]}
        inputs = asr.apply_chat_template(
            [{"role": "system", "content": blocks}, user], add_generation_prompt=True, tokenize=True, return_dict=True
        )
        assert control(asr, inputs["input_ids"][0]) == plain
    elif case["kind"] == "language":
        ids = asr.apply_transcription_request(audio, language=texts[0])["input_ids"][0]
        assert control(asr, ids) == sorted([*plain, "<asr_text>"])
    elif case["kind"] == "words":
        text = texts if len(texts) > 1 else texts[0]
        inputs, [words] = aligner.prepare_forced_aligner_inputs([audio], [text])
        ids = inputs["input_ids"][0]
        assert (ids == aligner.timestamp_token_id).sum() == 2 * len(words)
        assert len(ids) <= 20 + (4 * LONGEST_WORD + 2) * len(words)
        raw = aligner.tokenize_slots([texts], [3])["input_ids"][0]
        assert (raw == aligner.timestamp_token_id).sum() == 2 * len(texts)
    else:
        row = {"audio": (audio, 16000), "text": texts[0], "language": texts[-1]}
        ids = TranscriptionCollator(asr)([row])["input_ids"][0]
        assert control(asr, ids) == sorted([*plain, "<asr_text>", "<|im_end|>"])
