"""What is said, with the times of its words. Run in the repository's root: python examples/transcription.py"""

# %% A recogniser writes the text, an aligner gives its words times; both are downloaded when they are first used
from pathlib import Path

from transformers import pipeline

import transformers_qwen3_asr  # noqa: F401  registers the family with transformers
from transformers_qwen3_asr.formats import write_alignment

out = Path("build/examples")
recording = "examples/sense_and_sensibility.flac"
recognise = pipeline("automatic-speech-recognition", model="Qwen/Qwen3-ASR-0.6B", aligner="tiny-en")

# %% The text, and the language if the model is to find it out
heard = recognise(recording)
print(heard["language"], heard["text"])

# %% Words that will be said, such as names, are given as context
heard = recognise(recording, language="English", context="Dashwood, Norland", return_timestamps="word")
for word in heard["chunks"]:
    print(word["timestamp"], word["text"])

# %% Subtitles, or any other file
write_alignment(heard, out / "heard.srt", "lines")
write_alignment(heard, out / "heard.json")
