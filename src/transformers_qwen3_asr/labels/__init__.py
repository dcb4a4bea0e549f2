"""Rows of recordings with their words' times, whatever they were read from, and the checks that they have to pass."""
