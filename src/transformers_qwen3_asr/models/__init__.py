"""Configurations and models, under the names that transformers gives to such files. Nothing here knows processing."""
