"""Recordings and texts into what a model takes, and its answers back: feature extractor, processor, prompts."""
