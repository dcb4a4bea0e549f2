"""
Recordings of any length, and words that are asked for again. Nothing here imports transformers.

- the walk: `long_audio`, `windows` (what is asked and answered), `window_fit` (what of it fits), `place_search` (where
  it goes on), `word_times`, `chain` and `pauses` (what becomes of all windows)
- asking again: `refinement` (which windows, and what they say together), `side_odds` (on which side of a silence a
  word is)
- with a model at hand: `long_recordings`, `refining`, `side_choice`, `pause_excerpts`
"""
