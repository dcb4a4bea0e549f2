"""A corpus, which may be killed and goes on. Run in the repository's root: python examples/corpus.py"""

# %% A folder of recordings with their texts; one of them is no recording
import shutil
from pathlib import Path

from datasets import load_dataset

from transformers_qwen3_asr.corpus import CorpusAligner, CorpusFolder, align_corpus, open_source, read_report

source, out = Path("build/examples/corpus"), Path("build/examples/aligned")
source.mkdir(parents=True, exist_ok=True)
shutil.rmtree(out, ignore_errors=True)
for name in ("one", "two"):
    shutil.copy("examples/sense_and_sensibility.flac", source / f"{name}.flac")
    shutil.copy("examples/sense_and_sensibility.txt", source / f"{name}.txt")
(source / "three.flac").write_bytes(b"no sound")
(source / "three.txt").write_text("nothing", encoding="utf-8")

# %% Rows in, Parquet files out: the same again would go on where it was
aligner = CorpusAligner("tiny-en", language="English", batch_size=8)
with CorpusFolder(out) as folder:
    folder.begin({"source": str(source)})
    done = align_corpus(open_source(source), folder, aligner)
    print(f"{done.aligned} aligned, {done.failed} failed, {done.audio_seconds:.1f} s of audio")

# %% What fails is a row with its error
print(read_report(out).table())

# %% Any library reads the words
files = str(out / "rank-*" / "*.parquet")
rows = load_dataset("parquet", data_files=files, split="train", cache_dir="build/examples/cache")
for row in rows:
    print(row["id"], row["error"] or row["words"][0])
