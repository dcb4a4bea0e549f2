"""Words of long recordings that stand on the wrong side of a silence, found and moved (`longform.side_odds`)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..alignment.decoding import decode_slots
from ..alignment.durations import letters
from ..alignment.voice_activity import heard_in
from ..audio.silences import Shortened, without_long_silences
from .pause_excerpts import Excerpt, Found, Place, places
from .refining import Aligned, Hear
from .side_odds import STAGES, across_odds, beside_odds

#: Words that are moved over a pause at most, one after the other.
MOST = 3


def choose_sides(recording: Aligned, hear: Hear, segment_time: float, batch_size: int) -> None:
    """
    Moves words beside pauses to the other side where more speaks for it. Only pauses count in which there is a silence
    (`silences`). Arguments as of `refining.refine_long`.
    """
    seconds = batch_size * recording.item["seconds"]
    asking = _Asking(recording, hear, segment_time, seconds)
    for group in places(recording, seconds):
        for _ in range(MOST):
            group = _moved(group, asking)


@dataclass(frozen=True)
class _Answer:
    """To an excerpt with these `words`: its samples as they were `heard`, and the model's `logits` `(slots, classes)`,
    a class for each `segment_time` milliseconds."""

    excerpt: Excerpt
    words: Sequence[str]
    heard: Shortened
    segment_time: float
    logits: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 1))

    @property
    def scores(self) -> torch.Tensor:
        """The logits, -inf where it is silent."""
        silent = self.heard.silent(np.arange(self.logits.shape[-1]) * self.segment_time / 1000)
        return self.logits.masked_fill(torch.from_numpy(silent).to(self.logits.device), -torch.inf)

    @property
    def found(self) -> Found:
        """The words' times and scores."""
        lengths = [letters(word) for word in self.words]
        heard, whole = len(self.heard.samples) / self.excerpt.rate, len(self.excerpt.samples) / self.excerpt.rate
        voice = heard_in(self.heard.samples, self.excerpt.rate)
        times, values = decode_slots(
            self.scores, None, self.segment_time, duration=heard, lengths=lengths, voice=voice
        )
        times = np.minimum(self.heard.put_back(times), whole) + self.excerpt.start
        return Found(self.excerpt.words.start, times, values)

    def around(self, slots: slice) -> tuple[np.ndarray, np.ndarray]:
        """How much of their probability `slots` have before the excerpt's middle, and behind it, each `(slots,)`."""
        middle = int(1000 * self.heard.left(np.array([self.excerpt.middle])).item() / self.segment_time)
        probabilities = self.scores[slots].softmax(-1, dtype=torch.float32)
        before, behind = torch.stack([probabilities[:, :middle].sum(-1), probabilities[:, middle:].sum(-1)]).cpu()
        return before.numpy(), behind.numpy()


@dataclass(frozen=True)
class _Asking:
    """Asks a model about excerpts of a recording, so many `seconds` of audio at a time."""

    recording: Aligned
    hear: Hear
    segment_time: float
    seconds: float

    def answers(self, excerpts: Iterable[Excerpt]) -> Iterator[_Answer]:
        waiting: list[Excerpt] = []
        seconds = 0.0
        for excerpt in excerpts:
            length = len(excerpt.samples) / excerpt.rate
            if waiting and seconds + length > self.seconds:
                yield from self._heard(waiting)
                waiting, seconds = [], 0.0
            waiting.append(excerpt)
            seconds += length
        yield from self._heard(waiting)

    def _heard(self, excerpts: Sequence[Excerpt]) -> list[_Answer]:
        answers, asked = [], []
        for excerpt in excerpts:
            words = self.recording.words[excerpt.words.start : excerpt.words.stop]
            heard = without_long_silences(excerpt.samples, excerpt.rate)
            answers.append(_Answer(excerpt, words, heard, self.segment_time))
            if words:
                item = {"audio": heard.samples, "words": words, "language": self.recording.item["language"]}
                asked.append((len(answers) - 1, item))
        for (number, _), item in zip(asked, self.hear([item for _, item in asked]) if asked else [], strict=True):
            answers[number] = replace(answers[number], logits=item["logits"].logits)
        return answers


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


def _moved(group: Sequence[Place], asking: _Asking) -> list[Place]:
    """Moves at most one word over each silence, and none beside one that was moved, whose pause is another then;
    returns the places where one was moved, with the words as they are then."""
    questions: _Questions = {
        (number, word): _Evidence()
        for number, place in enumerate(group)
        if place.words.start < place.border < place.words.stop
        for word in (place.border - 1, place.border)
    }
    for stage in STAGES:
        _ask_across(group, questions, stage.across, asking)
        _ask_beside(group, questions, stage.beside, asking)
        questions = {key: evidence for key, evidence in questions.items() if evidence.total > stage.least}
    changed: list[Place] = []
    moved: set[int] = set()
    for (number, word), evidence in sorted(questions.items(), key=lambda entry: -entry[1].total):
        place = group[number]
        if not moved.isdisjoint((place.border - 1, place.border)) or not place.is_one():
            continue
        if any(_overlap(place.silence, other.silence) for other in changed):
            continue
        if words := place.move(word, evidence.there, evidence.left):
            moved |= words
            changed.append(replace(place, border=word if word < place.border else word + 1))
    return changed


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _ask_across(
    group: Sequence[Place], questions: _Questions, counts: Sequence[tuple[int, int]], asking: _Asking
) -> None:
    """Adds to the evidence where words are put by who hears both sides, with so many words before and behind."""
    asked = [(number, both) for number in dict.fromkeys(number for number, _ in questions) for both in counts]
    answers = asking.answers(group[number].excerpt_across(*both) for number, both in asked)
    for (number, _), answer in zip(asked, answers, strict=True):
        border = group[number].border
        for word, sign in ((border - 1, 1), (border, -1)):
            if (number, word) in questions:
                slot = 2 * (word - answer.excerpt.words.start)
                odds = across_odds(*answer.around(slice(slot, slot + 2)))
                questions[number, word].across.append(sign * odds)


def _ask_beside(group: Sequence[Place], questions: _Questions, counts: Sequence[int], asking: _Asking) -> None:
    """Adds to the evidence what is said on each side with words and without them, by who hears so many words there."""
    asked = [
        (group[number], word, count, evidence) for (number, word), evidence in questions.items() for count in counts
    ]
    answers = asking.answers(
        excerpt
        for place, word, count, _ in asked
        for excerpt in (
            place.excerpt_before(word + 1, count),
            place.excerpt_before(word, count),
            place.excerpt_behind(word, count),
            place.excerpt_behind(word + 1, count),
        )
    )
    for (place, word, _, evidence), *four in zip(asked, answers, answers, answers, answers, strict=True):
        before, before_without, behind, behind_without = (answer.found for answer in four)
        later = word < place.border
        odds = beside_odds((before.scores, before_without.scores), (behind.scores, behind_without.scores))
        evidence.beside.append(odds if later else -odds)
        if evidence.there is None:
            evidence.there, evidence.left = (behind, before_without) if later else (before, behind_without)
