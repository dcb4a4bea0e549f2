"""
Transcripts into words, scores at slots into times, results and their files. Nothing here imports transformers.

- the text: `languages`, `words`, `spans` (which characters), `sentences`, `segments` (what chunks are made of)
- scores into times: `decoding` (all of it), `joint_decoding` (the path), `batch_decoding` (of a whole batch at once),
  `posterior` (all paths), `pace`, `confidence`
- recordings of any length: `long_audio` (the walk), `windows` (what is asked and answered), `window_fit` (what of it
  fits), `place_search` (where it goes on), `word_times`, `chain` and `pauses` (what becomes of all windows)
- what comes out: `results`, `untranscribed`, `writers`
"""
