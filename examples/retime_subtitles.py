"""New times for subtitles that are off. Run in the repository's root: python examples/retime_subtitles.py"""

# %% Subtitles whose cues are right and whose times are not
from pathlib import Path

import pysubs2
from transformers import pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.formats import write_alignment

out = Path("build/examples")
out.mkdir(parents=True, exist_ok=True)
old = pysubs2.SSAFile()
for number, line in enumerate(
    (
        "And Mister John Dashwood had then leisure",
        "to consider, how much there might be",
        "prudently in his power to do for them.",
    )
):
    old.append(pysubs2.SSAEvent(start=5000 * number, end=5000 * number + 4000, text=line))
old.save(str(out / "old.srt"))

# %% A cue is a line of the text, and lines get times
align = pipeline("forced-alignment", model=str(bundled_model("tiny-en")))
text = "\n".join(" ".join(cue.plaintext.split()) for cue in pysubs2.load(str(out / "old.srt")))
result = align("examples/sense_and_sensibility.flac", text=text, return_timestamps="line", original_text=True)
write_alignment(result, out / "new.srt")

# %% The same by the command: qwen3-asr align lecture.mp3 --text-file old.srt --output new.srt
for before, after in zip(old, pysubs2.load(str(out / "new.srt")), strict=True):
    print(f"{before.start / 1000:6.2f} -> {after.start / 1000:6.2f}  {after.plaintext}")
