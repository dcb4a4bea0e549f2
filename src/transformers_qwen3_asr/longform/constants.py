"""
The constants of long recordings and of asking again that were chosen, all in one place.

Unless something else is said, they were chosen on people's speech: 96 labelled clips, joined in several orders to
recordings of six and ten minutes, with the bundled aligner (`benchmarks/long_recordings.py`). Seconds of a window are
without the inside of pauses; `OVERLAP` is of speech; `HORIZON`, `PAUSE` and `VOICE_CONTEXT` are of the recording.
"""

# What is heard (`sound`)

#: Seconds on either side by which it is judged what is speech and what silence.
VOICE_CONTEXT = 10.0
#: Seconds of quiet that are a pause. Of a longer one the model hears half of that at either side, and as much before
#: speech where a window begins. A pause that is heard whole costs exactness, and so does one that is not heard.
PAUSE = 0.3

# How well words fit (`window_path`)

#: Weight of a uniform guess that is mixed into each slot's probabilities. So a slot costs at most `-log(GUESS)` nats,
#: as where its word is not said.
GUESS = 0.1
#: Fit of a word, 0 for a guess and 1 for a word whose start and end are certain, above which it speaks for its place.
#: The median of words that are said is 0.77, of others 0.17.
FITS = 0.45
#: Evidence is the sum of `fit - FITS` over a run of words, 0.55 for a word that is certain. A window fits with so much
#: behind an anchor; at the recording's beginning, where nothing speaks for the text yet; and for each word, where the
#: text has few left. In a search, two windows that have half of the first fit with the second together.
EVIDENCE, EVIDENCE_AT_FIRST, EVIDENCE_A_WORD = 1.5, 2.0, 0.15

# Windows and anchors (`long_recordings`, `windows`, `walk`)

#: Seconds of audio in a window, and the part of what the model takes that one has if that is more: 60 s with the
#: published aligner. The first was chosen with a model of 30 s, the second not on anything.
SHORT_WINDOW, WINDOW_PART = 12.0, 1 / 3
#: How many times as fast as in fluent speech people may speak, or as slowly. Words are given to a window for so many
#: times its audio: the model is causal, so that surplus words do not disturb those before them. A search goes back by
#: so much less than a window, and words in doubt are asked for in so much more, and less, than they need.
TEMPO = 1.4
#: Part of a window behind which it ends at a pause, if there is one.
LATE_PAUSE = 0.6
#: Seconds of speech behind an anchor, which two windows hear; behind the last word that fits, where others should be;
#: and between two beginnings that a search tries, where there is no pause.
OVERLAP = 1.0
#: Scores from which a word is sure, and below which it is in doubt. An anchor is in the last pause between two words
#: that are sure, or else in that between the surest that are not in doubt.
SURE, DOUBTFUL = 0.7, 0.4
#: Words at the edge of a run are not relied on. Without such a pause, or where words and audio part, an anchor is so
#: many before the last that fits. Words in doubt are asked for with so many before and behind them. In a search,
#: windows begin so many words apart.
AROUND = 4

# The search for a lost place (`search`)

#: Seconds ahead that are searched, and in which the first word of a text is waited for.
HORIZON = 300.0
#: Seconds of audio in a window of a search: 4. Where one fits, one of `SHORT_WINDOW` is tried at the same place. A gap
#: of more than two of them is searched, too. A place without a pause before it counts as twice as far away, and as so
#: many seconds more.
GLANCE = WINDOW_PART * SHORT_WINDOW
#: Evidence of a window in a search from which a longer one is heard.
PROMISING_EVIDENCE = 1.2
#: What is asked beyond `EVIDENCE`, times the logarithm of 1 and the seconds of text that are stepped over.
EVIDENCE_FOR_DISTANCE = 0.4

# Words that are asked for again (`rescoring`), chosen on clips whose words were replaced or left out

#: Part of what is heard between sure words that such a window may have at most.
SHORTER = 0.8
