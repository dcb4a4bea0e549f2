"""Which words of a window fit its audio: evidence from scores and pace, runs of fitting words, anchors at pauses.

How large a model's scores are is not taken for granted. What a score says is judged between two levels that are
measured on the recording itself: that of words that fit, and that of words that were said elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

#: Characters a second of fluent speech, a word counting one more than it has letters; what holds until some was heard.
FIRST_PACE = 15.0
#: Nobody speaks so many times faster than the speaker does on average: words pressed together have no place there.
_CROWDED = 3.0
_CROWD = 5  # words over which the local pace is taken
#: Evidence that a change between fitting and not fitting costs; single words that do not fit then break no run.
_CHANGE = 1.5
_MEMORY = 400  # words whose scores and pace are remembered
#: Of scores that fit to those that do not, as far as is expected, and at most. In noise many
#: words that are said score a quarter of what others do, and are still far above those that are said elsewhere.
_LEAST_RATIO, _MOST_RATIO = 2.5, 9.0
_SURE_RATIO = 4.0  # the same where hardly any word that fits scores low: one that does is then worth a doubt
_LOW = 0.1  # the part of the words that fit which may score so low that they speak for neither
_EXPECTED = 0.7  # what words that fit score, as long as none were heard and nothing speaks against it
_PAUSE = 0.6  # seconds between words that make as good an anchor as any
_GAP = 0.3  # seconds between words that still belong to fluent speech


@dataclass
class Levels:
    """
    What scores and what pace to expect, learned on the way.

    `null` is the score of words that do not belong to the audio, `good` that of words that do. `pace` is characters a
    second, each word counting one more than it has letters.
    """

    null: float = 0.0
    good: float = 0.0
    pace: float = FIRST_PACE
    _high: float = 0.0
    _ratio: float = _MOST_RATIO
    _scores: list[float] = field(default_factory=list)
    _spoken: list[tuple[float, float]] = field(default_factory=list)

    def begin(self, scores: np.ndarray, foreign: np.ndarray) -> None:
        """First guesses: scores of the first window's words, and of words from elsewhere on the same audio."""
        self.null = float(np.median(foreign))
        self._high = max(float(np.quantile(scores, 0.9)), _LEAST_RATIO * self.null, 1e-9)
        self.good = max(self._high, _EXPECTED)

    def lower(self) -> bool:
        """Expects no more of words that fit than the first window's scored, if none have been heard so far. Returns
        whether that is less than before."""
        lower = not self.heard and self._high < self.good
        self.good = self._high if lower else self.good
        return lower

    @property
    def heard(self) -> bool:
        """Whether enough words that fit have been heard to know what they score."""
        return len(self._scores) >= 20

    def learn(self, scores: np.ndarray, times: np.ndarray, units: np.ndarray) -> None:
        """Takes in words that fit: their scores, times `(words, 2)` in seconds, and units (letters and one)."""
        self._scores = [*self._scores, *scores.tolist()][-_MEMORY:]
        if self.heard:
            self.good = max(float(np.median(self._scores)), 1e-9)
            low = max(float(np.quantile(self._scores, _LOW)), 1e-9)
            self._ratio = float(np.clip((self.good / low) ** 2, _SURE_RATIO, _MOST_RATIO))
        if len(times) > 1:
            steps = times[1:, 0] - times[:-1, 0]
            fluent = (times[1:, 0] - times[:-1, 1] < _GAP) & (steps > 0)
            self._spoken = [*self._spoken, *zip(units[:-1][fluent].tolist(), steps[fluent].tolist())][-_MEMORY:]
            said, seconds = np.sum(self._spoken, axis=0) if self._spoken else (0.0, 0.0)
            if len(self._spoken) >= 20 and seconds > 0:
                self.pace = float(np.clip(said / seconds, FIRST_PACE / 4, FIRST_PACE * 4))

    def evidence(self, times: np.ndarray, scores: np.ndarray, units: np.ndarray, end: float) -> np.ndarray:
        """
        From -1 (as words from elsewhere) to 1 (as words that fit), for each word.

        The logarithm of the score, set so that `good` gives 1 and `null` -1. Words that stand at the audio's `end`,
        or come faster than can be spoken, have -1 whatever they score: there the words run out of audio.
        """
        null = min(max(self.null, self.good / self._ratio), self.good / 1.5)
        middle = np.sqrt(self.good * null)
        scale = max(np.log(self.good / middle), 0.2)
        found = np.clip(np.log(np.maximum(scores, 1e-12) / middle) / scale, -1, 1)
        found[times[:, 0] >= end - 1e-3] = -1
        size = min(_CROWD, len(times))
        if size > 2:
            # of the groups that a word is in, the slowest counts: speech before a crowd is no part of it
            spans = times[size - 1 :, 0] - times[: len(times) - size + 1, 0]
            said = np.convolve(units, np.ones(size - 1), "valid")[: len(spans)]
            crowded = spans * _CROWDED * self.pace < said
            slow = np.convolve(~crowded, np.ones(size), "full")[: len(times)] > 0
            found[~slow] = -1
        return found


def fitting_runs(evidence: np.ndarray) -> list[tuple[int, int]]:
    """
    The runs of words that fit, `(first, past the last)`, that gather the most evidence when every change between
    fitting and not fitting costs some (two states, Viterbi).
    """
    apart, fits = 0.0, 0.0
    stay = np.zeros((len(evidence), 2), dtype=bool)  # whether the best way to (word, state) comes from the same state
    for i, value in enumerate(evidence):
        stay[i] = apart >= fits - _CHANGE, fits >= apart - _CHANGE
        apart, fits = max(apart, fits - _CHANGE), max(fits, apart - _CHANGE) + value
    state = int(fits > apart)
    states = np.zeros(len(evidence), dtype=int)
    for i in reversed(range(len(evidence))):
        states[i] = state
        if not stay[i, state]:
            state = 1 - state
    edges = np.flatnonzero(np.diff(np.r_[0, states, 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def pause_anchor(
    times: np.ndarray, evidence: np.ndarray, run: tuple[int, int], latest: float, open_end: bool
) -> int | None:
    """
    The word of a run before which a new window may best begin: after a pause, late, among words that fit.

    `latest` (seconds) bounds the end of the word before it. With `open_end` the words behind the run do not fit, so
    that its last words are not quite sure; a few of them are then left to the next window. `None` where the run has no
    such place.
    """
    first, past = run
    places = np.arange(first + 1, past - (2 if open_end else 0))
    places = places[(times[places - 1, 1] <= latest) & (evidence[places - 1] > 0) & (evidence[places] > 0)]
    if not len(places):
        return None
    begin, final = times[first, 0], times[places[-1], 0]
    progress = (times[places, 0] - begin) / max(final - begin, 1e-9)
    gaps = np.clip(times[places, 0] - times[places - 1, 1], 0, _PAUSE) / _PAUSE
    gaps[progress < 0.4] = 0
    return int(places[np.argmax(gaps + 0.8 * progress)])


def words_within(units: Sequence[int] | np.ndarray, first: int, amount: float, least: int) -> int:
    """Past the last word, from `first` on, until which `units` add up to `amount`; at least `least` words."""
    sums = np.cumsum(units[first : first + max(least, int(amount) + 1)])
    return first + max(min(least, len(sums)), int(np.searchsorted(sums, amount, side="right")))
