"""Subtitles: one module a format, and in `cues` what they share."""
