"""Transcripts: their `words`, `languages` and `sentences`, and which characters a word came from (`spans`)."""
