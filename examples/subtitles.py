"""Subtitles of a recording whose text is known. Run in the repository's root: python examples/subtitles.py"""

# %% The aligner. tiny-en is bundled and for English; Qwen/Qwen3-ForcedAligner-0.6B is for 11 languages.
from pathlib import Path

from transformers import pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.formats import write_alignment
from transformers_qwen3_asr.formats.subtitles.layout import CueLimits, subtitle_cues

out = Path("build/examples")
align = pipeline("forced-alignment", model=str(bundled_model("tiny-en")))

# %% The times of all words
recording = "examples/sense_and_sensibility.flac"
text = Path("examples/sense_and_sensibility.txt").read_text(encoding="utf-8").strip()
result = align(recording, text=text, language="English")

# %% Cues that a person would want to read: two lines of 42 columns at most
for cue in subtitle_cues(result):
    print(f"{cue.start:6.2f} - {cue.end:6.2f}\n{cue.text}\n")
write_alignment(result, out / "lecture.srt", "lines")

# %% Short ones, for a phone, with a gap between them
limits = CueLimits(max_line_length=24, max_lines=1, min_gap=0.08)
write_alignment(result, out / "phone.vtt", "lines", limits=limits)
print((out / "phone.vtt").read_text(encoding="utf-8"))
