"""Write the goldens: two tiny checkpoints in the published layout, and what qwen-asr computes with them.

Run in an environment of its own, which the project's cannot be (qwen-asr pins transformers 4.57.6):

    pip install qwen-asr==0.0.6 && python tests/goldens/make_goldens.py

Writes aligner/ and asr/ beside this file. Each holds a checkpoint with random weights (wide ones, so that a wrong port
shows, rounded to bfloat16 so that the stored weights are the ones that ran), a byte-level tokenizer with the published
special tokens under other ids, expected.json (seed, versions, dtype, words, times, ids) and expected.safetensors
(encoder output, slot logits, features). All numbers are float32 with eager attention on a CPU.

qwen-asr's encoder computes the bounds of its attention windows (`cu_seqlens`) but only flash attention heeds them; on
a CPU every position would attend over the whole clip. `keep_windows` passes them on as a mask, which is what flash
attention, and so the training of the published weights, does.
"""

import importlib.metadata
import json
import platform
import sys
from pathlib import Path

import soundfile
import torch
from clips import load_clip
from qwen_asr.core.transformers_backend import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRProcessor
from qwen_asr.inference.qwen3_forced_aligner import Qwen3ForceAlignProcessor, Qwen3ForcedAligner
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent

# (clip, language, transcript); see clips.py for the names. Together: several attention windows, a window that ends
# with the clip, a clip of whole chunks, one shorter than a chunk, one a few samples off the frame grid.
ALIGNER_CASES = [
    ("sense_0890.flac", "English", "Unless to be rather cold-hearted, and rather selfish, is to be ill-disposed."),
    (
        "sense_0870.flac",
        "English",
        "And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do "
        "for them. Unless to be rather cold hearted",
    ),
    ("made:11:278437", "Spanish", "¿Dónde está la biblioteca? ¡Mañana será otro día, y no llueve!"),
    ("made:12:128000", "French", "L'été n'est pas fini, c'est vrai."),
    ("made:13:32000", "Chinese", "今天下午3点开会，OK吗？"),
    ("made:14:11680", "German", "Grüß Gott!"),
]
# (clip, language or None, context)
ASR_CASES = [
    ("sense_0890.flac", "English", ""),
    ("sense_0870.flac", None, "Sense and Sensibility, a novel."),
    ("made:13:32000", "Chinese", ""),
]
NEW_TOKENS = 16

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
SPECIAL += ["<|video_pad|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>"]
PLAIN = ["<asr_text>", "<timestamp>"]  # added, but not special: a decoder that skips special tokens keeps them
NAMED = {
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
    "audio_token": "<|audio_pad|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}
# One system turn, one user turn with a placeholder for every audio part, and the opening of the answer.
TEMPLATE = (
    "{%- set found = namespace(system='', audio='') -%}"
    "{%- for message in messages -%}{%- for part in ([{'type': 'text', 'text': message.content}]"
    " if message.content is string else message.content) -%}"
    "{%- if part.type == 'audio' -%}"
    "{%- set found.audio = found.audio + '<|audio_start|><|audio_pad|><|audio_end|>' -%}"
    "{%- elif message.role == 'system' -%}{%- set found.system = found.system + part.text -%}{%- endif -%}"
    "{%- endfor -%}{%- endfor -%}"
    "{{- '<|im_start|>system\\n' + found.system + '<|im_end|>\\n' -}}"
    "{{- '<|im_start|>user\\n' + found.audio + '<|im_end|>\\n' -}}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path, kind: str) -> dict[str, int]:
    """A byte-level BPE of 256 bytes and 64 merges learnt from the cases' texts; returns the added tokens' ids."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = [text for _, _, text in ALIGNER_CASES] + ["language English", "language None", "system user assistant"]
    bpe.train_from_iterator(texts, trainer)
    bpe.model.save(str(folder))  # vocab.json and merges.txt
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    added = SPECIAL + PLAIN[: 2 if kind == "aligner" else 1]
    ids = {token: len(vocabulary) + i for i, token in enumerate(added)}
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": {
                str(i): {
                    "content": token,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": token in SPECIAL,
                }
                for token, i in ids.items()
            },
            "additional_special_tokens": SPECIAL[1:],
            "bos_token": None,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "errors": "replace",
            "extra_special_tokens": NAMED,
            "model_max_length": 131072,
            "pad_token": "<|endoftext|>",
            "processor_class": "Qwen3ASRProcessor",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
            **NAMED,
        },
    )
    return ids


def write_side_files(folder: Path, ids: dict[str, int]) -> None:
    write_json(folder / "chat_template.json", {"chat_template": TEMPLATE})
    stops = [ids["<|endoftext|>"], ids["<|im_end|>"]]
    write_json(
        folder / "generation_config.json",
        {"_from_model_config": True, "eos_token_id": stops, "pad_token_id": stops[0], "do_sample": False},
    )
    write_json(
        folder / "preprocessor_config.json",
        {
            "chunk_length": 30,
            "dither": 0.0,
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": 128,
            "hop_length": 160,
            "n_fft": 400,
            "n_samples": 480000,
            "nb_max_frames": 3000,
            "padding_side": "right",
            "padding_value": 0.0,
            "processor_class": "Qwen3ASRProcessor",
            "return_attention_mask": True,
        },
    )


def make_config(kind: str, ids: dict[str, int]) -> dict:
    """A published config.json in small: the same keys at the same depth, other sizes and token ids."""
    audio = {
        "model_type": "qwen3_asr_audio_encoder",
        "activation_dropout": 0,
        "activation_function": "gelu",
        "attention_dropout": 0,
        "conv_chunksize": 500,
        "d_model": 48,
        "downsample_hidden_size": 12,
        "dropout": 0,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 80,
        "encoder_layers": 2,
        "initializer_range": 0.02,
        "max_source_positions": 1500,
        "n_window": 50,
        "n_window_infer": 800,
        "num_hidden_layers": 2,
        "num_mel_bins": 128,
        "output_dim": 40,
        "scale_embedding": False,
    }
    text = {
        "model_type": "qwen3",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": 24,
        "hidden_act": "silu",
        "hidden_size": 40,
        "initializer_range": 0.02,
        "intermediate_size": 96,
        "max_position_embeddings": 8192,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {
            "interleaved": True,
            "mrope_interleaved": True,
            "mrope_section": [4, 4, 4],
            "rope_type": "default",
            "type": "default",
        },
        "rope_theta": 1000000,
        "tie_word_embeddings": kind == "asr",
        "use_cache": True,
        "vocab_size": 352,  # wider than the tokenizer, as the published ones are
    }
    thinker = {
        "model_type": "qwen3_forced_aligner" if kind == "aligner" else "qwen3_asr",
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "audio_config": audio,
        "text_config": text,
        "audio_end_token_id": ids["<|audio_end|>"],
        "audio_start_token_id": ids["<|audio_start|>"],
        "audio_token_id": ids["<|audio_pad|>"],
        "dtype": "bfloat16",
        "initializer_range": 0.02,
    }
    config = {
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "model_type": "qwen3_asr",
        "support_languages": ["Chinese", "English", "French", "German", "Spanish"],
        "thinker_config": thinker,
        "transformers_version": importlib.metadata.version("transformers"),
    }
    if kind == "aligner":
        thinker["classify_num"] = 250
        config |= {"timestamp_token_id": ids["<timestamp>"], "timestamp_segment_time": 80}
    return config


def keep_windows(model) -> None:
    """Have every attention of the encoder stay within the windows it is told (see the module's docstring)."""

    def add_mask(module, args, kwargs):
        bounds = kwargs["cu_seqlens"]
        positions = torch.arange(int(bounds[-1]))
        window = torch.bucketize(positions, bounds[1:].long(), right=True)
        hidden = window[:, None] != window[None, :]
        kwargs["attention_mask"] = torch.zeros(hidden.shape).masked_fill(hidden, torch.finfo(torch.float32).min)[
            None, None
        ]
        return args, kwargs

    for layer in model.thinker.audio_tower.layers:
        layer.self_attn.register_forward_pre_hook(add_mask, with_kwargs=True)


@torch.no_grad()
def fill(model, seed: int) -> None:
    """Random weights of unit gain and more; norms about one; every value one that bfloat16 can hold."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        value = torch.randn(weight.shape, generator=generator)
        if weight.ndim == 1:
            gain = name.endswith("weight")  # of a norm: the other vectors are biases
            value = value * 0.1 + (1.0 if gain else 0.0)
        elif "embed_tokens" in name:
            value = value * 0.2  # what a token hears and reads should outweigh what it is
        else:
            value = value * (1.8 / weight[0].numel() ** 0.5)
        weight.copy_(value.bfloat16())
    thinker = model.thinker
    if thinker.config.text_config.tie_word_embeddings:
        thinker.lm_head.weight = thinker.model.embed_tokens.weight


def samples_of(clip: str):
    value = load_clip(clip)
    if isinstance(value, str):
        value, rate = soundfile.read(value, dtype="float32")
        assert rate == 16000 and value.ndim == 1
    return value


@torch.no_grad()
def expect_aligner(model, processor, folder: Path) -> tuple[dict, dict, float]:
    """What qwen-asr answers: tensors, the JSON side, and the smallest lead of a slot's best class over its second."""
    words_of = Qwen3ForceAlignProcessor()
    aligner = Qwen3ForcedAligner(model, processor, words_of)
    tensors, cases, lead = {}, [], float("inf")
    for i, (clip, language, text) in enumerate(ALIGNER_CASES):
        audio = samples_of(clip)
        words, prompt = words_of.encode_timestamp(text, language)
        inputs = processor(text=[prompt], audio=[audio], return_tensors="pt", padding=True)
        frames = inputs["feature_attention_mask"].sum(-1)
        features = inputs["input_features"][0, :, : int(frames)]
        slots = inputs["input_ids"][0] == model.config.timestamp_token_id
        logits = model.thinker(**inputs).logits[0][slots]
        best = logits.topk(2).values
        lead = min(lead, float((best[:, 0] - best[:, 1]).min()))
        tensors[f"{i}.encoder"] = model.thinker.audio_tower(features, feature_lens=frames).last_hidden_state
        tensors[f"{i}.slot_logits"] = logits
        # every eighth frame and the last ones, where padding would show; all of them would not fit the budget
        keep = sorted({*range(0, int(frames), 8), *range(max(0, int(frames) - 4), int(frames))})
        tensors[f"{i}.features"] = features[:, keep]
        items = aligner.align([(audio, 16000)], [text], [language])[0]
        cases.append(
            {
                "clip": clip,
                "language": language,
                "text": text,
                "words": words,
                "frames": int(frames),
                "feature_frames": keep,
                "input_ids": inputs["input_ids"][0].tolist(),
                "items": [[item.text, item.start_time, item.end_time] for item in items],
            }
        )
    clips, languages, texts = map(list, zip(*ALIGNER_CASES, strict=True))
    together = aligner.align([(samples_of(clip), 16000) for clip in clips], texts, languages)
    for case, items in zip(cases, together, strict=True):
        case["items_in_batch"] = [[item.text, item.start_time, item.end_time] for item in items]
    return tensors, {"cases": cases}, lead


@torch.no_grad()
def expect_asr(model, processor, folder: Path) -> tuple[dict, dict, float]:
    """The prompt's ids, the logits after it and the greedy continuation, alone and in a batch."""
    stops = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    options = {"max_new_tokens": NEW_TOKENS, "eos_token_id": stops, "pad_token_id": stops[0], "do_sample": False}
    tensors, cases, prompts, lead = {}, [], [], float("inf")
    for i, (clip, language, context) in enumerate(ASR_CASES):
        turns = [
            {"role": "system", "content": context},
            {"role": "user", "content": [{"type": "audio", "audio": ""}]},
        ]
        prompt = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        prompts.append(prompt + (f"language {language}<asr_text>" if language else ""))
        inputs = processor(text=[prompts[-1]], audio=[samples_of(clip)], return_tensors="pt", padding=True)
        length = inputs["input_ids"].shape[1]
        answer = model.generate(**inputs, **options, output_logits=True)
        ids, logits = answer.sequences[0], torch.cat(answer.logits)
        best = logits.topk(2).values
        lead = min(lead, float((best[:, 0] - best[:, 1]).min()))
        tensors[f"{i}.step_logits"] = logits  # the scores that each generated id was chosen by
        raw = processor.batch_decode([ids[length:]], skip_special_tokens=True, clean_up_tokenization_spaces=False)[0]
        cases.append(
            {
                "clip": clip,
                "language": language,
                "context": context,
                "input_ids": inputs["input_ids"][0].tolist(),
                "generated": ids[length:].tolist(),
                "raw": raw,
            }
        )
    audios = [samples_of(clip) for clip, _, _ in ASR_CASES]
    inputs = processor(text=prompts, audio=audios, return_tensors="pt", padding=True)
    ids = model.generate(**inputs, **options).sequences[:, inputs["input_ids"].shape[1] :]
    for case, row in zip(cases, ids.tolist(), strict=True):
        case["generated_in_batch"] = row
    return tensors, {"max_new_tokens": NEW_TOKENS, "cases": cases}, lead


def good_enough(kind: str, answer: dict, lead: float) -> bool:
    """Times should vary and stand well clear of the second best, or rounding would decide the tests."""
    if lead < 0.005:
        return False
    if kind == "asr":
        return all(
            len(set(c["generated"])) >= 5 and c["generated"] == c["generated_in_batch"] for c in answer["cases"]
        )
    several = sum(len({t for _, *times in case["items"] for t in times}) for case in answer["cases"])
    return several >= 30 and all(case["items"] == case["items_in_batch"] for case in answer["cases"])


def make(kind: str, first_seed: int) -> None:
    folder = HERE / kind
    folder.mkdir(exist_ok=True)
    ids = write_tokenizer(folder, kind)
    write_side_files(folder, ids)
    raw_config = make_config(kind, ids)
    write_json(folder / "config.json", raw_config)
    config = Qwen3ASRConfig(**raw_config)
    config._attn_implementation = "eager"
    model = Qwen3ASRForConditionalGeneration(config).float().eval()
    keep_windows(model)
    processor = Qwen3ASRProcessor.from_pretrained(str(folder), fix_mistral_regex=True)
    expect = expect_aligner if kind == "aligner" else expect_asr
    for seed in range(first_seed, first_seed + 500):
        fill(model, seed)
        tensors, answer, lead = expect(model, processor, folder)
        print(f"{kind}: seed {seed}, smallest lead {lead:.5f}", flush=True)
        if good_enough(kind, answer, lead):
            break
    else:
        raise SystemExit(f"{kind}: no seed gave goldens that are worth keeping")
    state = {name: tensor.bfloat16().contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "expected.safetensors")
    sources = {name: importlib.metadata.version(name) for name in ("qwen-asr", "transformers", "torch", "numpy")}
    header = {
        "script": Path(__file__).name,
        "seed": seed,
        "sources": {"python": platform.python_version(), **sources},
        "dtype": "float32, eager attention, windows kept",
        "smallest_lead": round(lead, 5),
    }
    write_json(folder / "expected.json", {**header, **answer})
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{kind}: seed {seed}, smallest lead {lead:.4f}, {len(state)} tensors, {size / 1e3:.0f} kB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for kind in sys.argv[1:] or ("aligner", "asr"):
        make(kind, first_seed=100)
