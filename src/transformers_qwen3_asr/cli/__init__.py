"""The command `qwen3-asr`: main.py dispatches, one file holds one verb."""
