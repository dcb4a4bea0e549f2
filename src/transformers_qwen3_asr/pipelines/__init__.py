"""Pipelines: recordings and texts in, words with times out."""
