"""Words of long recordings that stand on the wrong side of a silence, found and moved (`alignment.sides`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..alignment.decoding import decode_slots
from ..alignment.pace import letters
from ..alignment.sides import STAGES, across_odds, beside_odds
from .pause_excerpts import Excerpt, Found, Place, places
from .refining import Aligned, Hear
from .silences import Shortened, without_long_silences

#: Words that are moved over a pause at most, one after the other.
MOST = 3


def choose_sides(recording: Aligned, hear: Hear, segment_time: float, batch_size: int) -> None:
    """
    Moves words beside pauses to the other side where more speaks for it. Only pauses count in which there is a silence
    (`silences`). Arguments as of `refining.refine_long`.
    """
    for group in places(recording, batch_size):
        for _ in range(MOST):
            group = _moved(recording, group, hear, segment_time)


@dataclass(frozen=True)
class _Answer:
    """To an excerpt with these `words`: its samples as they were `heard`, and the model's `logits` `(slots,
    classes)`."""

    excerpt: Excerpt
    words: Sequence[str]
    heard: Shortened
    logits: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 1))

    def scores(self, segment_time: float) -> torch.Tensor:
        """The logits, -inf where it is silent, unless it is silent throughout."""
        silent = self.heard.silent(np.arange(self.logits.shape[-1]) * segment_time / 1000)
        if silent.all():
            return self.logits
        return self.logits.masked_fill(torch.from_numpy(silent).to(self.logits.device), -torch.inf)

    def decoded(self, segment_time: float) -> Found:
        """The words' times and scores."""
        scores, lengths = self.scores(segment_time), [letters(word) for word in self.words]
        heard, whole = len(self.heard.samples) / self.excerpt.rate, len(self.excerpt.samples) / self.excerpt.rate
        times, values = decode_slots(scores, None, segment_time, duration=heard, lengths=lengths)
        times = np.minimum(self.heard.put_back(times), whole) + self.excerpt.start
        return Found(self.excerpt.words.start, times, values)


@dataclass
class _Evidence:
    """What was said to the questions about a word beside a pause: log-odds that it belongs on the pause's other side;
    and what was found on that side with it, and on its own without it."""

    across: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    there: Found | None = None
    left: Found | None = None

    @property
    def total(self) -> float:
        return sum(float(np.mean(odds)) for odds in (self.across, self.beside) if odds)


#: By the number of a place in a group and of a word beside its pause.
_Questions = dict[tuple[int, int], _Evidence]


def _moved(recording: Aligned, group: Sequence[Place], hear: Hear, segment_time: float) -> list[Place]:
    """Moves at most one word over each pause, and none beside one that was moved, whose pause is another then; returns
    the places where one was moved, with the words as they are then."""
    questions: _Questions = {
        (number, word): _Evidence()
        for number, place in enumerate(group)
        if place.words.start < place.border < place.words.stop
        for word in (place.border - 1, place.border)
    }
    for stage in STAGES:
        _ask_across(recording, group, questions, stage.across, hear, segment_time)
        _ask_beside(recording, group, questions, stage.beside, hear, segment_time)
        questions = {key: evidence for key, evidence in questions.items() if evidence.total > stage.least}
    changed, moved = [], set()
    for (number, word), evidence in sorted(questions.items(), key=lambda entry: -entry[1].total):
        place = group[number]
        if not moved.isdisjoint((place.border - 1, place.border)):
            continue
        if (as_moved := place.move(word, evidence.there, evidence.left)) is not None:
            moved.add(word)
            changed.append(as_moved)
    return changed


def _ask_across(
    recording: Aligned,
    group: Sequence[Place],
    questions: _Questions,
    counts: Sequence[tuple[int, int]],
    hear: Hear,
    segment_time: float,
) -> None:
    """Adds to the evidence where words are put by who hears both sides, with so many words before and behind."""
    asked = [(number, group[number].excerpt_across(*both)) for number in {n for n, _ in questions} for both in counts]
    answers = _answers(recording, [excerpt for _, excerpt in asked], hear)
    for (number, excerpt), answer in zip(asked, answers, strict=True):
        border = group[number].border
        middle = int(1000 * answer.heard.left(np.array([excerpt.middle])).item() / segment_time)
        slots = 2 * (border - 1 - excerpt.words.start)
        probabilities = answer.scores(segment_time)[slots : slots + 4].softmax(-1, dtype=torch.float32)
        parts = probabilities[:, :middle].sum(-1), probabilities[:, middle:].sum(-1)
        before, behind = torch.stack(parts).cpu().numpy()
        for word, slots, sign in ((border - 1, slice(2), 1), (border, slice(2, 4), -1)):
            if (number, word) in questions:
                questions[number, word].across.append(sign * across_odds(before[slots], behind[slots]))


def _ask_beside(
    recording: Aligned,
    group: Sequence[Place],
    questions: _Questions,
    counts: Sequence[int],
    hear: Hear,
    segment_time: float,
) -> None:
    """Adds to the evidence what is said on each side with words and without them, by who hears so many words there."""
    asked = [(number, word, count) for number, word in questions for count in counts]
    excerpts = []
    for number, word, count in asked:
        place = group[number]
        excerpts += [place.excerpt_before(stop, count) for stop in (word + 1, word)]
        excerpts += [place.excerpt_behind(first, count) for first in (word, word + 1)]
    answers = iter(_answers(recording, excerpts, hear))
    for (number, word, _), *parts in zip(asked, answers, answers, answers, answers, strict=True):
        evidence, later = questions[number, word], word < group[number].border
        found = [part.decoded(segment_time) for part in parts]
        odds = beside_odds(*((found[side].scores, found[side + 1].scores) for side in (0, 2)))
        evidence.beside.append(odds if later else -odds)
        if evidence.there is None:
            evidence.there, evidence.left = (found[2], found[1]) if later else (found[0], found[3])


def _answers(recording: Aligned, excerpts: Sequence[Excerpt], hear: Hear) -> list["_Answer"]:
    """What the model says to excerpts."""
    answers, asked = [], []
    for excerpt in excerpts:
        words = recording.words[excerpt.words.start : excerpt.words.stop]
        answers.append(_Answer(excerpt, words, without_long_silences(excerpt.samples, excerpt.rate)))
        if words:
            item = {"audio": answers[-1].heard.samples, "words": words, "language": recording.item["language"]}
            asked.append((len(answers) - 1, item))
    for (number, _), item in zip(asked, hear([item for _, item in asked]) if asked else [], strict=True):
        answers[number] = replace(answers[number], logits=item["logits"].logits)
    return answers
