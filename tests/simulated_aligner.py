"""An aligner that knows the truth and has the faults that aligners are known for, to try the window logic against."""

import numpy as np

from transformers_qwen3_asr.longform.long_audio import Answer, Window

#: Beta distributions of scores: words that fit (half of them above 0.84), words that do not (half of them above 0.2),
#: and words behind the end of the audio.
GOOD, NULL, BEHIND = (4, 1), (1, 3.2), (1, 500)


class SimulatedAligner:
    """
    Args:
        truth: `(words, 2)` start and end in seconds, NaN for words that are not said.
        duration: of the recording, in seconds.
        reach: the most seconds of audio without text, and a fifth of it in words that are not said, that it gets over
            at the beginning of a window; behind that it is lost.
        lost: the share of windows that are lost for no reason.
        plateau: "end", where words without audio all stand at the window's end, or "collapse", where they are spread
            over its last seconds with middling scores.
        scale: of all scores.
        silences: whether pauses of over half a second are told, but for the first 0.05 s behind a word,
            in which speech dies away.
        hasty: in windows of more words than that it has the words beside every other such pause on the wrong side of
            it, with scores that are a little lower: in turn the last word before, and the first one behind the pause.
    """

    def __init__(
        self,
        truth,
        duration,
        *,
        reach=12.0,
        lost=0.0,
        plateau="end",
        scale=1.0,
        silences=False,
        hasty=10**9,
        seed=0,
    ):
        self.truth, self.duration, self.reach = np.asarray(truth, float), duration, reach
        self.lost, self.plateau, self.scale = lost, plateau, scale
        self.random = np.random.default_rng(seed)
        said = self.truth[np.isfinite(self.truth[:, 0])]
        pauses = np.flatnonzero(said[1:, 0] - said[:-1, 1] > 0.5)
        self.silences = np.stack([said[pauses, 1] + 0.05, said[pauses + 1, 0]], 1) if silences else np.zeros((0, 2))
        self.hasty, self.turned = hasty, self._turned()
        self.windows: list[Window] = []

    def answer(self, window):
        assert 0 <= window.start < window.end and 0 <= window.first < window.last <= len(self.truth), window
        self.windows.append(window)
        end = max(min(window.end, self.duration), min(window.start, self.duration))
        lost = self.random.random() < self.lost
        seed = int(self.random.integers(2**32))

        def decode(count, fit):
            assert 0 <= count <= window.last - window.first
            return self._decode(window, end, count, lost, np.random.default_rng(seed))

        heard = np.clip(self.silences, window.start, end)
        heard = heard[heard[:, 1] > heard[:, 0]]
        return Answer(end=end, final=window.end >= self.duration, decode=decode, silences=heard)

    def _turned(self):
        """The truth with words on the wrong side of pauses."""
        turned = self.truth.copy()
        for k, word in enumerate(np.flatnonzero(self.truth[1:, 0] - self.truth[:-1, 1] > 0.5)[::2]):
            side = word if k % 2 else word + 1  # what is said there becomes both words
            begin, end = self.truth[side]
            turned[word], turned[word + 1] = (begin, (begin + end) / 2), ((begin + end) / 2, end)
        return turned

    def _scores(self, shape, count, random):
        return self.scale * random.beta(*shape, count)

    def _decode(self, window, end, count, lost, random):
        truth = self.truth[window.first : window.first + count]
        inside = (truth[:, 0] >= window.start - 0.05) & (truth[:, 1] <= end + 0.05) & (not window.backwards)
        found = np.flatnonzero(inside)
        if lost or not len(found) or truth[found[0], 0] - window.start > self.reach or found[0] > self.reach / 5:
            times = np.sort(random.uniform(window.start, end, 2 * count)).reshape(-1, 2)
            return times, self._scores(NULL, count, random)
        times = np.full((count, 2), np.nan)
        hasty = window.last - window.first > self.hasty
        said = (self.turned[window.first : window.first + count] if hasty else truth)[found]
        times[found] = said + random.normal(0, 0.01, (len(found), 2))
        scores = np.where(inside, self._scores(GOOD, count, random), self._scores(NULL, count, random))
        scores[found[np.abs(said - truth[found]).max(1) > 0.05]] *= 0.8
        behind = np.arange(count) > found[-1]
        if self.plateau == "end":
            times[behind] = end
            scores[behind] = self._scores(BEHIND, int(behind.sum()), random)
        else:
            last = truth[found[-1], 1]
            spread = np.sort(random.uniform(min(max(last, end - 4), end), end, 2 * int(behind.sum())))
            times[behind] = spread.reshape(-1, 2)
        flat = times.reshape(-1)
        known = np.flatnonzero(np.isfinite(flat))
        flat = np.interp(np.arange(len(flat)), known, flat[known])
        flat = np.clip(np.maximum.accumulate(flat), window.start, end)
        return flat.reshape(-1, 2), scores


def drive(generator, answer):
    """Runs a generator of windows to its end; returns its result and how many rounds it took."""
    rounds = 0
    try:
        windows = next(generator)
        while True:
            rounds += 1
            windows = generator.send([answer(window) for window in windows])
    except StopIteration as stop:
        return stop.value, rounds
