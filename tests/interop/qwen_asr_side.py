"""The other side of test_qwen_asr_interop.py, run by the interpreter of an environment with qwen-asr 0.0.6.

    python qwen_asr_side.py FOLDER IN.npz OUT.npz

Loads FOLDER as qwen-asr's own users do and answers the inputs in IN.npz; imports nothing of this project.
"""

import json
import sys

import numpy as np
import torch
import transformers
from qwen_asr.core.transformers_backend import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRProcessor
from transformers import AutoConfig, AutoModel, AutoProcessor

folder, given, answer = sys.argv[1:]
AutoConfig.register("qwen3_asr", Qwen3ASRConfig)
AutoModel.register(Qwen3ASRConfig, Qwen3ASRForConditionalGeneration)
AutoProcessor.register(Qwen3ASRConfig, Qwen3ASRProcessor)

model, info = AutoModel.from_pretrained(
    folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
)
processor = AutoProcessor.from_pretrained(folder, fix_mistral_regex=True)
inputs = np.load(given)
prompt = str(inputs["prompt"])
batch = processor(text=[prompt], audio=[inputs["audio"]], return_tensors="pt", padding=True)
with torch.no_grad():
    logits = model.eval().thinker(**batch).logits
text = model.config.thinker_config.text_config
np.savez(
    answer,
    logits=logits.numpy(),
    input_ids=batch["input_ids"].numpy(),
    facts=json.dumps(
        {
            "class": type(model).__name__,
            "transformers": transformers.__version__,
            "missing": sorted(info["missing_keys"]),
            "unexpected": sorted(info["unexpected_keys"]),
            "mismatched": sorted(str(key) for key in info["mismatched_keys"]),
            "rope_theta": text.rope_theta,
            "model_type": model.config.thinker_config.model_type,
            "timestamp_token_id": getattr(model.config, "timestamp_token_id", None),
            "languages": model.get_support_languages(),
        }
    ),
)
