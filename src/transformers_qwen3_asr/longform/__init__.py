"""
Recordings of any length, and words that are asked for again. Nothing here imports transformers.

- `sound`: a long recording in frames, its speech and its pauses
- `walk`: from anchor to anchor; `windows`: where the recording is cut; `window_path`: how much of a window is said
- `search`: where words and audio meet again
- `rescoring`: the words of a stretch or a clip, from all that was heard of them, and what is asked again
- `constants`: what was chosen, and on what
- `asking`: the loop that answers; `long_recordings`: how recordings come and go
"""
