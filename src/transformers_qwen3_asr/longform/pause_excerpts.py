"""Pauses of long recordings with what is heard around them (`longform.side_odds`): excerpts to ask a model about, and
words that are moved from one side to the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..audio.silences import silences_of
from .refining import Aligned
from .side_odds import PAUSE, SILENT_ACROSS, SILENT_BESIDE, Pause, pauses, since, until

#: Seconds that an excerpt has at least, as far as there are any.
SHORTEST = 0.5
#: How often the audio around pauses is taken to be heard at a time; with more of them at once memory grows.
_HEARD = 4
#: Seconds that a word may go to make room for one that comes over a pause.
FAR = 2.0


@dataclass(frozen=True)
class Excerpt:
    """`samples` at `rate` hertz, from `start` on (seconds of the recording), and the `words` that are asked for in
    them; across a pause, `middle` is where it is, in seconds from there."""

    samples: np.ndarray
    rate: int
    words: range
    start: float
    middle: float = 0.0


@dataclass(frozen=True)
class Found:
    """Times `(words, 2)` (seconds of the recording) and scores `(words,)` of words from `first` on."""

    first: int
    times: np.ndarray
    scores: np.ndarray

    def __contains__(self, word: int) -> bool:
        return 0 <= word - self.first < len(self.times)


@dataclass(frozen=True)
class Place:
    """A pause of `recording`, as it is aligned, with the word `border` behind it. `before` and `behind` are the
    samples around its silence, with `silent` of it (as many in both), and `since` and `until` the seconds of the
    recording that they begin and end at."""

    recording: Aligned
    border: int
    words: range
    before: np.ndarray
    behind: np.ndarray
    silent: int
    since: float
    until: float

    @property
    def rate(self) -> int:
        return self.recording.stream.sampling_rate

    def excerpt_before(self, stop: int, count: int) -> Excerpt:
        """What `count` words before the pause take, with the words up to `stop - 1`."""
        first = max(self.border - count, self.words.start)
        latest = self.since + max(0.0, len(self.before) / self.rate - SHORTEST)
        start = min(max(self.since, since(self.recording.times, first)), latest)
        samples = self.before[round((start - self.since) * self.rate) :]
        return Excerpt(samples, self.rate, range(first, stop), start)

    def excerpt_behind(self, first: int, count: int) -> Excerpt:
        """What `count` words behind the pause take, with the words from `first` on."""
        stop = min(self.border + count, self.words.stop)
        start = self.until - len(self.behind) / self.rate
        end = max(until(self.recording.times, stop, self.recording.seconds), start + SHORTEST)
        samples = self.behind[: max(0, round((end - start) * self.rate))]
        return Excerpt(samples, self.rate, range(first, stop), start)

    def excerpt_across(self, before: int, behind: int) -> Excerpt:
        """So many words on both sides, and what they take."""
        here, there = self.excerpt_before(self.border, before), self.excerpt_behind(self.border, behind)
        cut = max(0, self.silent - round(SILENT_ACROSS * self.rate))
        left = here.samples[: len(here.samples) - cut]
        samples, words = np.concatenate([left, there.samples[cut:]]), range(here.words.start, there.words.stop)
        return Excerpt(samples, self.rate, words, here.start, len(left) / self.rate)

    @property
    def silence(self) -> tuple[float, float]:
        """From when to when it is silent, in seconds of the recording."""
        begin = self.since + (len(self.before) - self.silent) / self.rate
        return begin, self.until - (len(self.behind) - self.silent) / self.rate

    def is_one(self) -> bool:
        """Whether there still is a pause between the words."""
        return self.recording.times[self.border, 0] - self.recording.times[self.border - 1, 1] > PAUSE

    def move(self, word: int, there: Found, left: Found) -> set[int]:
        """
        Gives the word before the pause or behind it the time that it has `there` on the other side, and those around
        it what they have there, as far as they would be in its way; and its neighbour on the side that it has `left`
        what it has without it, if that is about where it is. Returns the words that have other times then: none, where
        there is no room.
        """
        later, known, scores = word < self.border, self.recording.times, self.recording.scores.copy()
        times, step = known.copy(), 1 if later else -1
        moved = [word]
        times[word] = there.times[word - there.first]
        while not _in_order(times, moved[-1], moved[-1] + step):
            moved.append(moved[-1] + step)
            if moved[-1] not in there:
                return set()
            times[moved[-1]] = there.times[moved[-1] - there.first]
            if np.abs(times[moved[-1]] - known[moved[-1]]).max() > FAR:
                return set()
        scores[moved] = there.scores[np.array(moved) - there.first]
        neighbour = word - step
        if neighbour in left:
            times[neighbour] = start, end = left.times[neighbour - left.first]
            overlaps = start < known[neighbour, 1] and known[neighbour, 0] < end
            if overlaps and _in_order(times, neighbour, neighbour - step):
                scores[neighbour] = left.scores[neighbour - left.first]
                moved.append(neighbour)
            else:
                times[neighbour] = known[neighbour]
        if not _in_order(times, word, neighbour):
            return set()
        known[:], self.recording.scores[:] = times, scores
        return set(moved)


def _in_order(times: np.ndarray, word: int, other: int) -> bool:
    """Whether the first of two neighbours ends before the second begins; so it is where there is no `other`."""
    first, second = sorted((word, other))
    return first < 0 or second >= len(times) or times[first, 1] <= times[second, 0]


def places(recording: Aligned, seconds: float) -> Iterator[list[Place]]:
    """Pauses with what is around them, as many at a time as have up to so many seconds of audio to be heard."""
    group, taken = [], 0.0
    for border, pause in pauses(recording.times, recording.seconds, recording.item["seconds"] / 2).items():
        if (place := place_of(recording, border, pause)) is None:
            continue
        length = _HEARD * (len(place.before) + len(place.behind)) / place.rate
        if group and taken + length > seconds:
            yield group
            group, taken = [], 0.0
        group.append(place)
        taken += length
    if group:
        yield group


def place_of(recording: Aligned, border: int, pause: Pause) -> Place | None:
    """A pause around its longest silence; `None` where there is none."""
    rate, spans = recording.stream.sampling_rate, (pause.before, pause.behind)
    before, behind = (recording.stream.read(round(start * rate), round(end * rate)) for start, end in spans)
    samples, joint = np.concatenate([before, behind]), len(before)
    quiet = silences_of(samples, rate)
    if not pause.whole:  # what is between the two is not known
        quiet = [(first, past) for first, past in quiet if first <= joint <= past]
    reach = joint - round((pause.before[1] - recording.times[border - 1, 1]) * rate)
    end = joint + round((recording.times[border, 0] - pause.behind[0]) * rate)
    quiet = [(first, past) for first, past in quiet if past > reach and first < end]
    if not quiet:
        return None
    first, past = max(quiet, key=lambda silence: silence[1] - silence[0])
    silent = min(round(SILENT_BESIDE * rate), (past - first) // 2)
    return Place(
        recording,
        border,
        pause.words,
        samples[: first + silent],
        samples[past - silent :],
        silent,
        pause.before[0],
        pause.behind[0] + len(behind) / rate,
    )
