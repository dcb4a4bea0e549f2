"""
The constants of long recordings and of asking again, all in one place.

Unless something else is said, they were chosen on people's speech: 96 labelled clips, joined in several orders to
recordings of six and ten minutes, with the bundled aligner (`benchmarks/long_recordings.py`). Seconds are of audio as
the model hears it, without the inside of pauses.
"""

# What is heard (`sound`)

#: Seconds on either side by which it is judged what is speech and what silence.
VOICE_CONTEXT = 10.0
#: Seconds of quiet that are a pause. Of a longer one the model hears half of that at either side, and as much before
#: speech where a window begins. A pause that is heard whole costs exactness, and so does one that is not heard.
PAUSE = 0.3

# How well words fit (`window_path`)

#: The part of a slot's probabilities that is taken for a guess. A word that is skipped then costs at most what this
#: says.
GUESS = 0.1
#: Fit of a word, 0 for a guess and 1 for a word whose start and end are certain, above which it speaks for its place.
#: The median of words that are said is 0.77, of others 0.17.
FITS = 0.45
#: Evidence, in words that are certain, without which a window does not fit: behind an anchor, and at the recording's
#: beginning, where nothing speaks for the text yet. And what each word has to give where the text has few left.
#: Half of it counts in a search, together with a window that has the next words.
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
#: So many words beside others are not relied on: an anchor where there is no such pause, or where words and audio
#: part, is so many before the last that fits; words in doubt are asked for with so many before and behind them. And
#: there are so many between two beginnings that a search tries.
AROUND = 4

# The search for a lost place (`search`)

#: Seconds ahead that are searched, and in which the first word of a text is waited for.
HORIZON = 300.0
#: Seconds of audio in a window, the same part of a short one: 4 s. Where it fits, one of `SHORT_WINDOW` hears more. A
#: gap of two is worth a search of its own. A place counts as so many seconds further away where there is no pause
#: before it.
GLANCE = WINDOW_PART * SHORT_WINDOW
#: Evidence of a window in a search from which a longer one is heard.
PROMISING_EVIDENCE = 1.2
#: What is asked beyond `EVIDENCE`, times the logarithm of 1 and the seconds of text that are stepped over.
EVIDENCE_FOR_DISTANCE = 0.4

# Words that are asked for again (`rescoring`), chosen on clips whose words were replaced or left out

#: How much of what is heard between sure words a window has at most.
SHORTER = 0.8
