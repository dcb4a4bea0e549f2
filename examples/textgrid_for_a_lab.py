"""TextGrids of a folder of recordings. Run in the repository's root: python examples/textgrid_for_a_lab.py

Writing TextGrids needs the extra [labels].
"""

# %% A folder of recordings with their texts, as a lab has it
import shutil
from pathlib import Path

from praatio import textgrid
from transformers import pipeline

from transformers_qwen3_asr import bundled_model
from transformers_qwen3_asr.formats import write_alignment

folder, grids = Path("build/examples/recordings"), Path("build/examples/grids")
folder.mkdir(parents=True, exist_ok=True)
for name in ("first", "second"):
    for suffix in (".flac", ".txt"):
        shutil.copy(f"examples/sense_and_sensibility{suffix}", folder / f"{name}{suffix}")

# %% All of them as one stream: one that cannot be read does not stop the others
align = pipeline("forced-alignment", model=str(bundled_model("tiny-en")))
recordings = sorted(folder.glob("*.flac"))
rows = ({"audio": path, "text": path.with_suffix(".txt").read_text(encoding="utf-8")} for path in recordings)
for path, result in zip(recordings, align(rows, batch_seconds=60, on_error="return"), strict=True):
    if result["error"]:
        print(f"{path}: {result['error']}")
    else:
        write_alignment(result, grids / f"{path.stem}.TextGrid")

# %% Two tiers, words and sentences, for Praat
grid = textgrid.openTextgrid(str(grids / "first.TextGrid"), includeEmptyIntervals=False)
for name in grid.tierNames:
    for start, end, label in grid.getTier(name).entries[:3]:
        print(f"{name:9} {start:6.3f} {end:6.3f}  {label}")
