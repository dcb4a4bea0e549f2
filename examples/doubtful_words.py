"""Where a text and its recording part. Run in the repository's root: python examples/doubtful_words.py"""

# %% A text that has words which are not said, and lacks some that are
from pathlib import Path

from transformers import pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.pictures import write_page

out = Path("build/examples")
recording = "examples/sense_and_sensibility.flac"
text = "And Mister John Dashwood had then leisure to consider, with great care, how much there might be in his power."
align = pipeline("forced-alignment", model=str(bundled_model("tiny-en")))
result = align(recording, text=text)

# %% How far each word can be believed, from 0 to 1
for word in result["chunks"]:
    start, end = word["timestamp"]
    print(f"{start:6.2f} {end:6.2f}  {word['score']:.2f}  {word['text']}{'  <- look' if word['score'] < 0.4 else ''}")

# %% Whether text and recording belong together, what may not be said, and what the text lacks
print(f"fits: {result['fits']}, score {result['score']:.2f}, heard {result['heard']:.1f} s of audio for it")
for passage in result["unfit"]:
    print("may not be said:", text[passage["char_start"] : passage["char_end"]])
for passage in result["untranscribed"]:
    print("is heard, and has no text: {:.2f} to {:.2f} s".format(*passage["timestamp"]))

# %% A page to listen to it: D goes from one doubt to the next
write_page(result, recording, out / "doubts.html", title="Doubts")
