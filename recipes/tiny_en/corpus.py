"""The made speech as training batches: clips from the parts, mel-domain augmentation, prompts and labels."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architecture import SEGMENT_MILLISECONDS
from augment import Augmenter
from features import BANDS, whisper_scale
from objectives import FAMILIES, PHONES_A_POSITION
from transformers import PreTrainedTokenizerBase
from windows import MOST_SURPLUS, WINDOW, WINDOW_EDGE, WORDLESS, WORDLESS_FRAMES, as_window, without_silence

from transformers_qwen3_asr.models.configuration_qwen3_asr import audio_token_lengths

SEGMENT = SEGMENT_MILLISECONDS / 1000  # seconds a class
CHUNK, POSITIONS = 100, 13  # mel frames of an encoder chunk and its positions
LONG = 1600  # frames of the longest training clip


def position_times(count: int) -> np.ndarray:
    """Seconds at which each of `count` audio positions begins: 13 to a second, 80 ms apart, the last one shorter."""
    index = np.arange(count)
    return index // POSITIONS * (CHUNK / 100) + index % POSITIONS * 0.08


def position_of(times: np.ndarray) -> np.ndarray:
    """Audio position that covers each time (seconds)."""
    second = np.floor(times)
    return (second * POSITIONS + np.minimum((times - second) / 0.08, POSITIONS - 1)).astype(np.int64)


@dataclass
class Clip:
    """One utterance: where its features lie and what is said when (seconds)."""

    features: np.ndarray
    engine: str
    words: list[str]
    starts: np.ndarray
    ends: np.ndarray
    phones: list[list]
    voice: str = ""
    left_out: frozenset[int] = frozenset()  # words that are said and not in the transcript
    unsaid: int = 0  # words at the end of the transcript that are not said any more
    firsts: frozenset[int] = frozenset()  # words with which another clip begins

    @property
    def frames(self) -> int:
        return len(self.features)

    @property
    def family(self) -> int:
        """Whose phoneme names these are (index into FAMILIES); those of people's teacher are Flite's."""
        return 0 if self.engine == "espeak" else 1


def load_clips(folder: Path) -> list[Clip]:
    """All clips of a split, features mapped from disk."""
    clips = []
    for path in sorted(Path(folder).glob("*.json")):
        features = np.load(path.with_suffix(".npy"), mmap_mode="r")
        for entry in json.loads(path.read_text()):
            words, starts, ends = zip(*entry["words"], strict=True)
            block = features[entry["first"] : entry["first"] + entry["frames"]]
            clips.append(
                Clip(
                    block,
                    entry["engine"],
                    list(words),
                    np.array(starts),
                    np.array(ends),
                    entry["phones"],
                    entry["voice"],
                )
            )
    if not clips:
        raise ValueError(f"no parts in {folder}: run make_data.py first")
    return clips


#: How much slots count whose word has another neighbour in the transcript than in the recording,
BESIDE_SLIPS = 2.0
#: and the start behind it, which is not the end of the word before.
BEHIND_SLIPS = 4.0
LONGEST_JOINED = 3100  # frames, below the last class
FOREIGN = 0.1  # share of the clips whose transcript is another clip's; of its words as of slips', doubt is learned
TELEPHONE = 0.2  # share of the clips that have a telephone's band
#: Share of the clips whose transcript goes on with words that are not said any more, as windows of long recordings
#: have it, and of those whose transcript begins with up to so many that are not said there.
SURPLUS, EARLY, MOST_EARLY = 0.25, 0.1, 8
#: How much the start of a clip's first word counts, and the end of the word before, where clips are joined.
BESIDE_PAUSES = 3.0


def join_clips(clips: list[Clip], rng: np.random.Generator, augmenter: Augmenter, windows: float = 0.0) -> list[Clip]:
    """Recordings of 6 to 30 s, or the longest that can be had, out of `clips`, with pauses of 0 to 2 s between.

    Three pauses in ten last up to 10 s, a quarter of the recordings has a clip that the transcript leaves out, and in
    three out of ten clips have noise of their own, which ends with them. The share `windows` is as a long recording is
    heard: shorter, without the inside of pauses, with a beginning or an end somewhere between two words, with words
    that the transcript leaves out, before others or between them, and now and then with noise or music before a clip.
    """
    # voices of one engine stand together, so that most recordings name their phonemes in one way
    left = sorted(clips, key=lambda clip: clip.engine)
    joined = []
    while left:
        window = windows > 0 and rng.random() < windows  # no draw without, so that batches stay what they were
        # a window ends within its last clip; to others a pause of 200 frames may come on top
        limit = rng.uniform(*WINDOW) if window else rng.uniform(600, LONGEST_JOINED - 200)
        parts, words, starts, ends, phones = [], [], [], [], []
        begin = 0
        taken, firsts = [], []
        noisy = rng.random() < 0.3
        while left and (not taken or begin + (0 if window else left[0].frames) < limit):
            clip = left.pop(0)
            if window:
                clip = without_silence(clip, *rng.integers(1, WINDOW_EDGE + 1, 2).tolist())
                if rng.random() < WORDLESS:
                    generator = _generator(rng)
                    like = torch.from_numpy(np.asarray(clip.features, dtype=np.float32))
                    parts.append(augmenter.without_words(like, int(rng.integers(*WORDLESS_FRAMES)), generator).numpy())
                    begin += len(parts[-1])
            elif taken:
                pause = int(rng.choice([0, 1, 1, 1]) * rng.uniform(10, 200))
                if rng.random() < 0.3:
                    pause = int(np.clip(LONGEST_JOINED - begin - clip.frames, pause, rng.uniform(200, 1000)))
                parts.append(quiet_frames(parts[-1], pause, rng))
                begin += pause
            taken.append(clip)
            firsts.append(len(words))
            block = np.asarray(clip.features, dtype=np.float32)
            if noisy and rng.random() < 0.8:
                generator = _generator(rng)
                block = augmenter.with_noise(torch.from_numpy(block), generator).numpy()
            parts.append(block)
            words += clip.words
            starts.append(clip.starts + begin / 100)
            ends.append(clip.ends + begin / 100)
            phones += [[name, (100 * min(start, clip.frames / 100) + begin) / 100] for name, start in clip.phones]
            begin += clip.frames
            phones.append(["", begin / 100])
        if len({clip.family for clip in taken}) > 1:
            phones = []
        times = np.concatenate(starts), np.concatenate(ends)
        clip = Clip(np.concatenate(parts), taken[0].engine, words, *times, phones, firsts=frozenset(firsts[1:]))
        if window:
            clip = as_window(clip, limit, len(taken[0].words), rng)
        elif len(taken) > 1 and rng.random() < 0.25:
            out = int(rng.integers(len(taken)))
            clip.left_out = frozenset(range(firsts[out], [*firsts, len(words)][out + 1]))
        joined.append(clip)
    return joined


def _generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def quiet_frames(block: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` frames of a pause: in half of the cases digital silence, in the others frames that are drawn from the
    quietest tenth of `block`, which is how a pause sounds where people are recorded."""
    if rng.random() < 0.5:
        return np.full((count, block.shape[1]), -10.0, dtype=np.float32)
    level = block.mean(1)
    quietest = np.flatnonzero(level <= np.quantile(level, 0.1))
    return block[rng.choice(quietest, count)]


class BatchPlan(torch.utils.data.Dataset):
    """Item i is the i-th batch of training, as clip indices of similar length; the same for the same seed.

    Args:
        clips: the training clips.
        steps: batches in all.
        frames: mel frames a batch, padding not counted; at most `most` clips.
        longest: `longest(i)` gives the longest clip, in frames, that batch i may hold (the curriculum).
        together: so many batches in a row are of the same length, for processes that wait for each other.
    """

    def __init__(self, clips, steps: int, frames: int, longest, most: int = 64, seed: int = 0, together: int = 1):
        self.together = together
        self.lengths = np.array([clip.frames for clip in clips])
        self.steps, self.frames, self.longest, self.most, self.seed = steps, frames, longest, most, seed
        self.order = np.argsort(self.lengths, kind="stable")
        self.sorted_lengths = self.lengths[self.order]
        self.seconds = self.sorted_lengths.cumsum() / 100

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, i: int) -> tuple[int, list[int]]:
        rng = np.random.default_rng((self.seed, i))
        usable = int(np.searchsorted(self.sorted_lengths, self.longest(i - i % self.together), side="right"))
        # Drawn in proportion to length, as in an epoch: an hour of long clips is met as often as one of short clips.
        share = np.random.default_rng((self.seed, i // self.together, 2)).random()
        middle = int(np.searchsorted(self.seconds[:usable], share * self.seconds[usable - 1]))
        count = int(np.clip(self.frames // self.sorted_lengths[middle], 4, self.most))
        # Neighbours in length, drawn from a window eight batches wide so that batches differ from epoch to epoch.
        low = max(0, min(middle - 4 * count, usable - 8 * count))
        pool = self.order[low : min(usable, low + 8 * count)]
        return i, rng.choice(pool, min(count, len(pool)), replace=False).tolist()


class Prompter:
    """Token ids of words, each tokenised alone, as the processor does it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, words: set[str]):
        names = ["<|audio_start|>", "<|audio_end|>", "<|audio_pad|>", "<timestamp>", "<|endoftext|>"]
        self.start, self.end, self.audio, self.slot, self.pad = tokenizer.convert_tokens_to_ids(names)
        ordered = sorted(words)
        encoded = tokenizer(ordered, add_special_tokens=False).input_ids if ordered else []
        self.ids = dict(zip(ordered, encoded, strict=True))
        # characters of each piece; a byte-level piece of English has as many as it has letters
        self.words = ordered
        self.lengths = {
            word: [len(piece) for piece in tokenizer.convert_ids_to_tokens(ids)] for word, ids in self.ids.items()
        }

    def row(self, words: list[str], positions: int) -> list[int]:
        ids = [self.start, *[self.audio] * positions, self.end]
        for word in words:
            ids += [*self.ids[word], self.slot, self.slot]
        return ids

    def spoken(self, words: list[str], times: np.ndarray, positions: int) -> np.ndarray:
        """The text piece that is spoken at each of `positions` audio positions, by letters spread over each word.

        `times` holds each word's start and end (seconds). Where nothing is said stands the end-of-audio token.
        """
        begins, pieces = [0.0], [self.end]
        for word, start, end in zip(words, times[::2], times[1::2], strict=True):
            lengths = self.lengths[word]
            shares = np.cumsum([0, *lengths[:-1]]) / max(sum(lengths), 1)
            begins += [*(start + shares * (end - start)), end]
            pieces += [*self.ids[word], self.end]
        # a word that starts where the last one ends leaves no room for the silence between: the later entry wins
        index = np.searchsorted(np.array(begins), position_times(positions) + 0.04, side="right") - 1
        return np.array(pieces)[index]


class TrainingCollator:
    """Clip indices -> the model's inputs, with labels at the slots and, early in training, at the audio positions.

    Args:
        lead: `lead(i)` gives the most leading silence, in frames, in batch i.
        frame_labels: `frame_labels(i)` says whether audio positions are labelled with their own time in batch i.
        classes: of the classifier; clips are laid out to end below the last one.
        augment: change speed, and in some batches voice, room and noise.
        joined: `joined(i)` says whether the clips of batch i are joined to long recordings.
        slips: share of the clips whose transcript is wrong in some words; wrong words have no labels.
        windows: share of the joined recordings that are as windows of long ones are heard.
        noisy: `noisy(i)` gives their share; a small model learns faster from speech that it can also hear clearly.
        phonemes: phoneme names of each family in `objectives.FAMILIES`; given, the batch also holds their targets.
    """

    def __init__(
        self,
        clips,
        prompter: Prompter,
        lead,
        frame_labels,
        classes: int,
        augment=True,
        seed=0,
        phonemes=None,
        noisy=lambda i: 0.5,
        joined=lambda i: False,
        slips=0.0,
        windows=0.0,
    ):
        self.phonemes = phonemes and [{name: i for i, name in enumerate(names)} for names in phonemes]
        self.clips, self.prompter, self.lead, self.frame_labels = clips, prompter, lead, frame_labels
        self.classes, self.augment, self.seed = classes, augment, seed
        self.augmenter, self.noisy, self.joined, self.slips = Augmenter(), noisy, joined, slips
        self.windows = windows

    def __call__(self, items) -> dict[str, torch.Tensor]:
        ((step, chosen),) = items
        rng = np.random.default_rng((self.seed, step, 1))
        generator = _generator(rng)
        clips = [self.clips[index] for index in chosen]
        names = [f"clip {index} ({clip.voice})" for index, clip in zip(chosen, clips, strict=True)]
        if self.joined(step):
            clips = join_clips(clips, rng, self.augmenter, self.windows)
        blocks, leads, tempos = [], [], []
        for clip in clips:
            block = torch.from_numpy(np.asarray(clip.features, dtype=np.float32))
            tempo = 1.0
            if self.augment and rng.random() < 0.7:
                widest = 1.22 if rng.random() < 0.8 else 1.5  # people in conversation speak fast, and slowly
                factor = rng.uniform(1 / widest, widest)
                count = min(round(len(block) / factor), max(len(block), LONGEST_JOINED))
                tempo = len(block) / count
                block = F.interpolate(block.T[None], size=count, mode="linear")[0].T
            room = int((self.classes - 2) * SEGMENT * 100) - len(block)
            most = 6 * self.lead(step) if rng.random() < 0.15 else self.lead(step)
            lead = min(int(rng.integers(most + 1)), max(0, room))
            tail = int(rng.integers(60)) if self.augment and rng.random() < 0.5 else 0
            tail = min(tail, max(0, room - lead))
            blocks.append(F.pad(block, (0, 0, lead, tail), value=-10.0))
            leads.append(lead / 100)
            tempos.append(tempo)
        lengths = torch.tensor([len(block) for block in blocks])
        raw = torch.full((len(blocks), int(lengths.max()), BANDS), -10.0)
        for row, block in zip(raw, blocks, strict=True):
            row[: len(block)] = block
        mask = torch.arange(raw.shape[1]) < lengths[:, None]
        if self.augment and rng.random() < self.noisy(step):
            raw = self.augmenter(raw, mask, generator)
        if self.augment:
            raw = self.augmenter.telephone(raw, TELEPHONE, generator)
        batch = {
            "input_features": whisper_scale(raw, mask).transpose(1, 2).contiguous(),
            "input_features_mask": mask.long(),
        }
        rows, labels, targets, spoken = [], [], [], []
        places, weights, own_times, unsaid = [], [], [], []
        for number, (clip, lead, tempo, frames) in enumerate(zip(clips, leads, tempos, lengths.tolist(), strict=True)):
            words = [w.lower() for w in clip.words] if rng.random() < 0.5 else clip.words
            positions = audio_token_lengths(frames)
            said = np.stack([clip.starts, clip.ends], 1).ravel() / tempo + lead
            others = []
            if self.augment and len(clips) > 1 and rng.random() < FOREIGN:
                others = (other.words for other in clips[number + 1 :] + clips[:number])
            if written := next((other for other in others if _folded(other) != _folded(words)), None):
                heard = np.full(len(written), -1)
            else:
                written, heard = self._transcript(words, clip, rng)
                if self.augment and len(clips) > 1:
                    written, heard = self._surplus(written, heard, clips[number - 1].words, rng)
            ids = np.array(self.prompter.row(written, positions))
            right = np.repeat(heard >= 0, 2)
            times = said.reshape(-1, 2)[heard].ravel()  # of wrong words, those of any word
            label = np.full(len(ids), -100)
            place = np.clip(times / SEGMENT, 0, self.classes - 1)
            label[ids == self.prompter.slot] = np.where(right, np.rint(place), -100)
            places.append(place[right])
            weights.append(np.maximum(slip_weights(heard, len(words)), pause_weights(heard, clip.firsts))[right])
            last = np.full(len(ids), -1)
            last[ids == self.prompter.slot] = np.where(right, -1, min(int(frames / 100 / SEGMENT), self.classes - 1))
            unsaid.append(last)
            own = np.full(len(ids), -1.0)
            if self.frame_labels(step):
                own[1 : 1 + positions] = np.minimum(position_times(positions) / SEGMENT, self.classes - 1)
            own_times.append(own)
            target = np.full(len(ids), -1)
            # An end lies in the position before it, so look a little earlier there.
            inside = times - np.tile([0.0, 0.01], len(written))
            looks = np.clip(position_of(np.maximum(inside, 0)), 0, positions - 1)
            target[ids == self.prompter.slot] = np.where(right, looks, -1)
            rows.append(ids)
            count = len(words) - clip.unsaid
            spoken.append(self.prompter.spoken(words[:count], said[: 2 * count], positions))
            labels.append(label)
            targets.append(target)
        width = max(map(len, rows))

        def padded(values, fill):
            return torch.from_numpy(np.stack([np.pad(v, (0, width - len(v)), constant_values=fill) for v in values]))

        batch["row_names"] = names  # which a loss that is not finite is told with
        batch["input_ids"] = padded(rows, self.prompter.pad)
        batch["attention_mask"] = padded([np.ones(len(r), np.int64) for r in rows], 0)
        batch["labels"] = padded(labels, -100)
        own_times = padded(own_times, -1.0)
        unsaid = padded(unsaid, -1)
        batch["logits_to_keep"] = (batch["labels"] != -100) | (own_times >= 0) | (unsaid >= 0)
        batch["unsaid"] = unsaid[batch["logits_to_keep"]]
        batch["places"] = torch.from_numpy(np.concatenate(places)).float()
        batch["weights"] = torch.from_numpy(np.concatenate(weights)).float()
        batch["own_times"] = own_times[batch["logits_to_keep"]].float()
        batch["pointer_targets"] = padded(targets, -1)
        batch["spoken"] = torch.full((len(rows), max(map(len, spoken))), -100)
        for row, pieces in zip(batch["spoken"], spoken, strict=True):
            row[: len(pieces)] = torch.from_numpy(pieces)
        if self.phonemes:
            batch["phonemes"], batch["family"] = self._phoneme_targets(clips, leads, tempos, lengths.tolist())
        return batch

    def _transcript(self, words, clip, rng) -> tuple[list[str], np.ndarray]:
        """The words that are written, and which of `words` each one is (-1 for a word that is not said)."""
        written, heard = [], []
        rate = rng.uniform(0.03, 0.2) if self.augment and rng.random() < self.slips else 0.0
        for i, word in enumerate(words):
            slip = rng.choice(["missing", "other", "added"]) if rng.random() < rate else None
            if i in clip.left_out or (slip == "missing" and len(words) > 1):
                continue
            if slip == "added":
                written.append(self.prompter.words[rng.integers(len(self.prompter.words))])
                heard.append(-1)
            other = slip == "other"
            written.append(self.prompter.words[rng.integers(len(self.prompter.words))] if other else word)
            heard.append(-1 if other or i >= len(words) - clip.unsaid else i)
        if max(heard, default=-1) < 0:  # nothing left that could be learned
            words = words[: len(words) - clip.unsaid]
            return words, np.arange(len(words))
        return written, np.array(heard)

    def _surplus(self, written, heard, others, rng) -> tuple[list[str], np.ndarray]:
        """A transcript with words of another clip behind it, and before it, that are not said."""
        if rng.random() < SURPLUS:
            more = others[: int(rng.integers(1, MOST_SURPLUS + 1))]
            written, heard = [*written, *more], np.append(heard, [-1] * len(more))
        if rng.random() < EARLY:
            more = others[-int(rng.integers(1, MOST_EARLY + 1)) :]
            written, heard = [*more, *written], np.append([-1] * len(more), heard)
        return list(written), heard.astype(np.int64)

    def _phoneme_targets(self, clips, leads, tempos, lengths):
        """Phoneme classes `(clips, positions, PHONES_A_POSITION)` and families `(clips,)`."""
        counts = [audio_token_lengths(n) for n in lengths]
        targets = np.full((len(clips), max(counts), PHONES_A_POSITION), -100)
        family = np.array([clip.family for clip in clips])
        within = (np.arange(PHONES_A_POSITION) + 0.5) * 0.08 / PHONES_A_POSITION
        for row, clip, lead, tempo, count, own in zip(targets, clips, leads, tempos, counts, family, strict=True):
            if not clip.phones:  # joined from both families
                continue
            names = self.phonemes[own]
            times = (position_times(count)[:, None] + within - lead) * tempo
            classes = np.array([names[""], *(names[name] for name, _ in clip.phones), names[""]])
            starts = np.array([start for _, start in clip.phones] + [clip.frames / 100])
            row[:count] = classes[np.searchsorted(starts, times, side="right")]
        return torch.from_numpy(targets), torch.from_numpy(family)


def _folded(words: list[str]) -> list[str]:
    return [word.casefold() for word in words]


def slip_weights(heard: np.ndarray, said: int) -> np.ndarray:
    """What each slot counts, `(2 * words,)`, where `heard` says which of the `said` words each written one is, -1 for
    none: those beside slips count more."""
    other = np.diff(np.where(heard < 0, np.nan, heard), prepend=-1, append=said) != 1
    weights = np.where(other[:-1] | other[1:], BESIDE_SLIPS, 1.0).repeat(2)
    weights[::2] = np.where(other[:-1], BEHIND_SLIPS, weights[::2])
    return weights


def pause_weights(heard: np.ndarray, firsts: frozenset[int]) -> np.ndarray:
    """What each slot counts, `(2 * words,)`: more where clips are joined, at the words `firsts`."""
    behind = np.isin(heard, list(firsts))
    before = np.isin(heard + 1, list(firsts)) & (heard >= 0)
    return np.where(np.stack([behind, before], 1).ravel(), BESIDE_PAUSES, 1.0)


def phoneme_names(clips: list[Clip]) -> list[list[str]]:
    """Phoneme names of each family, silence ("") first."""
    names = [{""} for _ in FAMILIES]
    for clip in clips:
        names[clip.family].update(name for name, _ in clip.phones)
    return [sorted(family) for family in names]
