"""The other side of test_qwen_asr_interop.py's comparison of times, run in an environment with qwen-asr 0.0.6.

    python qwen_asr_times.py FOLDER RECORDING TEXT LANGUAGE

Aligns as qwen-asr's users do and prints the words as JSON; imports nothing of this project.
"""

import json
import sys

import torch
from qwen_asr import Qwen3ForcedAligner

folder, recording, text, language = sys.argv[1:]
aligner = Qwen3ForcedAligner.from_pretrained(
    folder, dtype=torch.float32, device_map="cpu", attn_implementation="eager"
)
(words,) = aligner.align(audio=recording, text=text, language=language)
print(json.dumps([[word.text, word.start_time, word.end_time] for word in words]))
