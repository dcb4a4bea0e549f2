"""Joined clips as windows of long recordings are: cut between words, and with a transcript that lacks some of them."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from corpus import Clip

#: Frames of silence that windows of long recordings have at most on either side of what is said, and after how many
#: frames at least and at most they end.
WINDOW_EDGE, WINDOW = 20, (350, 1300)
#: Share of the windows that end before their transcript does, of those that begin between two words of their first
#: clip, and of those whose transcript leaves out their first words, or some in the middle.
ENDS_EARLY, BEGINS_LATE, LEAD, MIDDLE = 0.7, 0.35, 0.3, 0.1
#: Share of the clips in windows before which there is noise or music, and frames of it at least and at most.
WORDLESS, WORDLESS_FRAMES = 0.06, (50, 600)
#: Words of the transcript at most behind what is said.
MOST_SURPLUS = 20


def as_window(clip: "Clip", limit: float, first: int, rng: np.random.Generator) -> "Clip":
    """A joined clip that often ends at about frame `limit`, begins late within its `first` words, and lacks words."""
    if rng.random() < ENDS_EARLY:
        clip = ended_early(clip, int((100 * clip.ends <= limit).sum()))
    if rng.random() < BEGINS_LATE:
        clip = begun_late(clip, int(rng.integers(1, max(2, first))))
    return replace(clip, left_out=passage(len(clip.words) - clip.unsaid, clip.firsts, rng))


def without_silence(clip: "Clip", before: int, behind: int) -> "Clip":
    """A clip with at most so many frames before its first word and behind its last."""
    first = max(0, int(100 * clip.starts[0]) - before)
    past = min(clip.frames, math.ceil(100 * clip.ends[-1]) + behind)
    shift = first / 100
    phones = [[name, max(0.0, start - shift)] for name, start in clip.phones if start < past / 100]
    times = clip.starts - shift, np.minimum(clip.ends, past / 100) - shift
    return replace(clip, features=clip.features[first:past], starts=times[0], ends=times[1], phones=phones)


def passage(said: int, firsts: frozenset[int], rng: np.random.Generator) -> frozenset[int]:
    """Words of a window that its transcript leaves out: of those that are `said`, the first or some in the middle,
    often from or up to where a clip begins, one of `firsts`."""
    draw, inner = rng.random(), [first for first in sorted(firsts) if first < said]
    if said < 2 or draw >= LEAD + MIDDLE:
        return frozenset()

    def cut() -> int:
        return int(rng.choice(inner)) if inner and rng.random() < 0.6 else int(rng.integers(1, said))

    if draw < LEAD:
        return frozenset(range(cut()))
    return frozenset(range(*sorted((cut(), cut()))))


def frame_before(clip: "Clip", word: int) -> int:
    """The frame half way between a word and the one before it."""
    end = clip.ends[word - 1]
    return round(50 * (end + max(end, clip.starts[word])))


def begun_late(clip: "Clip", word: int) -> "Clip":
    """A clip that begins before one of its words, without those before it."""
    if word >= len(clip.words) - clip.unsaid:
        return clip
    first = frame_before(clip, word)
    shift = first / 100
    phones = [[name, max(0.0, start - shift)] for name, start in clip.phones]
    before = sum(start == 0 for _, start in phones)  # the last of these reaches into what is left
    return replace(
        clip,
        features=clip.features[first:],
        words=clip.words[word:],
        starts=np.maximum(0.0, clip.starts[word:] - shift),
        ends=np.maximum(0.0, clip.ends[word:] - shift),
        phones=phones[max(0, before - 1) :],
        firsts=frozenset(place - word for place in clip.firsts if place >= word),
    )


def ended_early(clip: "Clip", said: int) -> "Clip":
    """A clip that ends between the first `said` words and the others, of which the transcript has some more."""
    said = max(1, said)
    if said >= len(clip.words):
        return clip
    past = frame_before(clip, said)
    count = min(len(clip.words), said + MOST_SURPLUS)
    phones = [[name, start] for name, start in clip.phones if start < past / 100]
    return replace(
        clip,
        features=clip.features[:past],
        words=clip.words[:count],
        starts=np.minimum(clip.starts[:count], past / 100),
        ends=np.minimum(clip.ends[:count], past / 100),
        phones=phones,
        unsaid=count - said,
    )
