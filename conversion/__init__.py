"""Conversion of checkpoints between the published layout and the -hf one; see README.md.

A tool beside the package, not part of it: it imports `transformers_qwen3_asr`, nothing imports it.
"""
