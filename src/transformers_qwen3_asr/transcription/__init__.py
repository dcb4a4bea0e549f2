"""Recordings in, text out, and with an aligner the times of its words."""
