"""Subtitles whose words light up as they are said. Run in the repository's root: python examples/karaoke.py"""

# %% Words with their times
from pathlib import Path

from transformers import pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.formats import convert, write_alignment

out = Path("build/examples")
align = pipeline("forced-alignment", model=str(bundled_model("tiny-en")))
text = Path("examples/sense_and_sensibility.txt").read_text(encoding="utf-8").strip()
result = align("examples/sense_and_sensibility.flac", text=text, original_text=True)

# %% ASS for players and editors of video: {\k25} is a word of 0.25 s
write_alignment(result, out / "song.ass", "karaoke")
print(next(line for line in (out / "song.ass").read_text(encoding="utf-8").splitlines() if "\\k" in line))

# %% WebVTT for browsers, out of a result that was kept
write_alignment(result, out / "song.json")
convert(out / "song.json", out / "song.vtt", cues="karaoke")
print((out / "song.vtt").read_text(encoding="utf-8"))
