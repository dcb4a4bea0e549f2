"""
Scores at slots into times and results. Nothing here imports transformers.

- scores into times: `decoding` (all of it), `joint_decoding` (the path), `batch_decoding` (of a whole batch at once),
  `probabilities`, `voice_activity` and `durations` (what else a path is judged by), `confidence`
- what comes out: `chunks`, of which `results` (beside this folder) is made, and `untranscribed`
"""
