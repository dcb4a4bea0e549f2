"""Transcripts into words, scores at slots into times, results and their files.

Nothing here imports transformers.
"""
