"""The bundled aligner's recipe: exact labels, features, batches. A handful of clips is synthesized here."""

import ctypes
import itertools
import json
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import ROOT

from transformers_qwen3_asr import Qwen3ASRFeatureExtractor
from transformers_qwen3_asr.text.words import split_words, word_texts

RECIPE = ROOT / "recipes" / "tiny_en"


@pytest.fixture(scope="module", autouse=True)
def _recipe_on_the_path():
    sys.path.insert(0, str(RECIPE))
    yield
    sys.path.remove(str(RECIPE))


def need(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        pytest.skip(f"{library} is not installed")


@pytest.fixture(scope="module")
def espeak():
    need("libespeak-ng.so.1")
    from speakers import EspeakSpeaker

    return EspeakSpeaker()


@pytest.fixture(scope="module")
def flite():
    need("libflite_cmu_us_slt.so.1")
    from speakers import FliteSpeaker

    return FliteSpeaker(["slt"])


def check_words(utterance, text):
    """Words are the aligner's own, in order, inside the sound, and it sounds where they are."""
    assert [w for w, _, _ in utterance.words] == word_texts(split_words(text))
    edges = np.array([[start, end] for _, start, end in utterance.words])
    assert (edges[:, 0] < edges[:, 1]).all()
    assert (edges[1:, 0] >= edges[:-1, 1] - 1e-6).all()
    assert edges[-1, 1] <= len(utterance.samples) / utterance.rate + 1e-6
    spoken = np.zeros(len(utterance.samples), dtype=bool)
    for start, end in edges:
        spoken[round(start * utterance.rate) : round(end * utterance.rate)] = True
    power = utterance.samples.astype(np.float64) ** 2
    assert power[spoken].mean() > 20 * power[~spoken].mean()


SENTENCES = [
    "What is in the house of the Lord, and who was there?",
    "Wait: it was 25 of the well-known men. Didn't he see?",
]


@pytest.mark.parametrize("text", SENTENCES)
def test_espeak_says_when_it_says_each_word(espeak, text):
    check_words(espeak.speak(text, "en-us+f2", rate=160), text)


@pytest.mark.parametrize("text", SENTENCES)
def test_flite_says_when_it_says_each_word(flite, text):
    check_words(flite.speak(text, "slt", stretch=1.1), text)


def test_a_number_ends_with_its_last_word(espeak):
    utterance = espeak.speak("In 21345 houses", "en-us")
    (_, _, before), (number, start, end), (_, after, _) = utterance.words
    assert number == "21345" and before <= start
    silent = [time for name, time in utterance.phones if not name and start < time < end]
    assert silent  # it pauses inside the number
    sounding = [time for name, time in utterance.phones if name and start <= time < after]
    assert max(sounding) < end <= after


def test_a_pause_ends_a_word(espeak):
    utterance = espeak.speak("cats, dogs", "en-us")
    (_, _, end), (_, start, _) = utterance.words
    assert start - end > 0.1


def test_slower_speech_has_longer_words(espeak, flite):
    for slow, fast in (
        (espeak.speak("good morning", "en", rate=120), espeak.speak("good morning", "en", rate=240)),
        (flite.speak("good morning", "slt", stretch=1.4), flite.speak("good morning", "slt", stretch=0.8)),
    ):
        assert slow.words[1][2] - slow.words[0][1] > 1.3 * (fast.words[1][2] - fast.words[0][1])


def test_unknown_voices_are_refused(espeak, flite):
    with pytest.raises(ValueError, match="no voice 'xx-none'"):
        espeak.speak("hello", "xx-none")
    with pytest.raises(ValueError, match="'nobody' is not loaded"):
        flite.speak("hello", "nobody")


def test_features_are_the_extractors_once_scaled():
    from features import raw_log_mel, whisper_scale

    samples = np.random.default_rng(0).normal(0, 0.1, 16240).astype(np.float32)
    expected = Qwen3ASRFeatureExtractor()(samples, sampling_rate=16000)["input_features"][0]
    got = whisper_scale(raw_log_mel(samples)).T
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    padded = torch.nn.functional.pad(raw_log_mel(samples), (0, 0, 0, 7), value=5.0)
    masked = whisper_scale(padded[None], torch.arange(len(padded))[None] < len(padded) - 7)[0]
    torch.testing.assert_close(masked[:-7].T, expected, rtol=1e-4, atol=1e-4)
    assert (masked[-7:] == 0).all()


def test_positions_and_times_are_inverse():
    from corpus import position_of, position_times

    times = position_times(40)
    assert times[13] == 1.0  # thirteen positions a second
    assert position_of(times + 0.01).tolist() == list(range(40))


def test_held_out_voices_and_texts_are_none_of_the_training_ones():
    import make_data
    from texts import is_held_out

    assert not set(make_data.TEST_VARIANTS) & set(make_data.VARIANTS)
    training = {(engine, voice) for engine, voice, _, _ in make_data.PLAN if voice}
    assert not training & {(engine, voice) for engine, voice, _, _ in make_data.TEST_PLAN if voice}
    texts = [f"sentence number {i}" for i in range(2000)]
    share = sum(map(is_held_out, texts)) / len(texts)
    assert 0.02 < share < 0.06  # a part, and always the same one
    assert [is_held_out(t) for t in texts] == [is_held_out(t) for t in texts]


@pytest.fixture(scope="module")
def corpus_folder(espeak, tmp_path_factory):
    """Four clips as make_data writes them."""
    from features import raw_log_mel, to_16k

    folder = tmp_path_factory.mktemp("data")
    entries, blocks, first = [], [], 0
    for text in ("the cat sat", "one two three four five", "a good day", "there is no other way to say it"):
        utterance = espeak.speak(text, "en-us+m3")
        block = raw_log_mel(to_16k(utterance.samples, utterance.rate)).numpy().astype(np.float16)
        entries.append(
            {
                "engine": "espeak",
                "voice": "en-us+m3",
                "first": first,
                "frames": len(block),
                "words": utterance.words,
                "phones": utterance.phones,
            }
        )
        blocks.append(block)
        first += len(block)
    np.save(folder / "part.npy", np.concatenate(blocks))
    (folder / "part.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from tokenizer import train_tokenizer

    words = Counter("the cat sat one two three four five a good day there is no other way to say it".split())
    return train_tokenizer(words, tmp_path_factory.mktemp("tokenizer"), size=280)


def test_the_tokenizer_is_qwens_and_reads_any_word(tokenizer):
    assert type(tokenizer).__name__.startswith("Qwen2Tokenizer")
    for word in ("cat", "naïve", "Übermut", "don't", "1845", "日本"):
        assert tokenizer.decode(tokenizer(word).input_ids) == word
    ids = tokenizer("<|audio_start|><|audio_pad|><|audio_end|>the<timestamp><timestamp>").input_ids
    assert ids[-2:] == [tokenizer.convert_tokens_to_ids("<timestamp>")] * 2
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|audio_start|>")


def test_plain_batches_hold_the_clips_times(corpus_folder, tokenizer):
    from corpus import Prompter, TrainingCollator, load_clips, phoneme_names

    clips = load_clips(corpus_folder)
    words = {w for clip in clips for w in clip.words}
    prompter = Prompter(tokenizer, words)
    collator = TrainingCollator(
        clips, prompter, lambda i: 0, lambda i: False, 1600, augment=False, phonemes=phoneme_names(clips)
    )
    batch = collator([(0, [0, 1, 2, 3])])
    for row, clip in enumerate(clips):
        found = batch["labels"][row][batch["labels"][row] != -100]
        times = np.stack([clip.starts, clip.ends], 1).ravel()
        assert np.abs(found.numpy() - times / 0.02).max() <= 0.5 + 1e-6
        targets = batch["pointer_targets"][row][batch["pointer_targets"][row] >= 0]
        assert np.abs(targets.numpy() / 13 - times).max() < 0.16
        assert int(batch["input_features_mask"][row].sum()) == clip.frames
    assert (batch["labels"] != -100).eq(batch["input_ids"] == prompter.slot).all()
    assert torch.equal(batch["logits_to_keep"], batch["labels"] != -100)
    assert (batch["phonemes"] >= -100).all() and (batch["phonemes"] > 0).any()


def test_augmented_batches_move_the_labels_with_the_sound(corpus_folder, tokenizer, monkeypatch):
    import corpus
    from corpus import Prompter, TrainingCollator, load_clips

    monkeypatch.setattr(corpus, "FOREIGN", 0.0)  # such transcripts have no labels
    clips = load_clips(corpus_folder)
    prompter = Prompter(tokenizer, {w for clip in clips for w in clip.words})
    collator = TrainingCollator(clips, prompter, lambda i: 500, lambda i: False, 1600)
    seen = set()
    for step in range(4):
        batch = collator([(step, [1, 1, 1])])
        again = collator([(step, [1, 1, 1])])
        assert batch.pop("row_names") == again.pop("row_names")
        assert all(torch.equal(batch[name], again[name]) for name in batch)  # a resumed training sees the same
        assert torch.isfinite(batch["input_features"]).all()
        for row in range(3):
            labels = batch["labels"][row][batch["labels"][row] != -100]
            length = float(labels[-1] - labels[0]) * 0.02
            true = clips[1].ends[-1] - clips[1].starts[0]
            assert true / 1.55 < length < true * 1.55
            frames = int(batch["input_features_mask"][row].sum())
            assert int(labels[-1]) * 2 <= frames + 2
            seen.add(int(labels[0]))
    assert len(seen) > 4  # leading silence differs


def test_words_that_are_not_said_have_no_labels(corpus_folder, tokenizer):
    from corpus import BEHIND_SLIPS, BESIDE_SLIPS, Prompter, TrainingCollator, load_clips

    clips = load_clips(corpus_folder)
    prompter = Prompter(tokenizer, {w for clip in clips for w in clip.words})
    collator = TrainingCollator(clips, prompter, lambda i: 0, lambda i: False, 1600, slips=1.0)
    missing = added = 0
    for step in range(50):
        batch = collator([(step, [0, 1, 2, 3])])
        slots, labelled = batch["input_ids"] == prompter.slot, batch["labels"] != -100
        assert not (labelled & ~slots).any()
        assert torch.equal(batch["pointer_targets"] >= 0, labelled)
        assert (batch["labels"][labelled] - batch["places"]).abs().max() <= 0.5 + 1e-3
        assert batch["weights"].shape == batch["places"].shape
        assert set(batch["weights"].tolist()) <= {1.0, BESIDE_SLIPS, BEHIND_SLIPS}
        added += int((slots & ~labelled).sum()) // 2
        missing += sum(len(clip.words) for clip in clips) - int(labelled.sum()) // 2
        for row in batch["labels"]:
            assert (row[row != -100].diff() >= 0).all()
    assert min(added, missing) > 40  # a word that is another one is both


def test_a_transcript_may_go_on_behind_what_is_said_and_begin_before_it(corpus_folder, tokenizer, monkeypatch):
    import corpus
    from corpus import MOST_EARLY, Prompter, TrainingCollator, load_clips
    from windows import MOST_SURPLUS

    monkeypatch.setattr(corpus, "FOREIGN", 0.0)
    clips = load_clips(corpus_folder)
    prompter = Prompter(tokenizer, {w for clip in clips for w in clip.words} | {"x"})
    collator = TrainingCollator(clips, prompter, lambda i: 0, lambda i: False, 1600)
    for surplus, early in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)):
        monkeypatch.setattr(corpus, "SURPLUS", surplus)
        monkeypatch.setattr(corpus, "EARLY", early)
        batch = collator([(0, [0, 1, 2, 3])])
        unsaid = torch.full(batch["input_ids"].shape, -1)
        unsaid[batch["logits_to_keep"]] = batch["unsaid"]
        for row, clip in enumerate(clips[:4]):
            slots = batch["input_ids"][row] == prompter.slot
            said = (batch["labels"][row][slots] != -100)[::2].numpy()
            assert said.sum() == len(clip.words)
            first = int(said.argmax())
            behind = len(said) - first - len(clip.words)
            assert said[first : first + len(clip.words)].all()  # all of it, in one piece
            assert (1 <= first <= MOST_EARLY) if early else first == 0
            assert (1 <= behind <= min(MOST_SURPLUS, len(clips[row - 1].words))) if surplus else behind == 0
            # the others are learned to be doubted
            assert ((unsaid[row][slots] >= 0)[::2].numpy() == ~said).all()


def test_slots_beside_slips_count_more():
    from corpus import BEHIND_SLIPS, BESIDE_SLIPS, slip_weights

    beside, behind = [BESIDE_SLIPS, BESIDE_SLIPS], [BEHIND_SLIPS, BESIDE_SLIPS]
    assert 1 < BESIDE_SLIPS < BEHIND_SLIPS

    def weights(heard, said):
        return slip_weights(np.array(heard), said).reshape(-1, 2).tolist()

    assert weights([0, 1, 2], 3) == [[1, 1]] * 3
    # the second of four is missing; a word is added; the last is another
    assert weights([0, 2, 3], 4) == [beside, behind, [1, 1]]
    assert weights([0, -1, 1, 2], 3) == [beside, behind, behind, [1, 1]]
    assert weights([0, 1, -1], 3) == [[1, 1], beside, behind]
    # the first is missing
    assert weights([1, 2], 3) == [behind, [1, 1]]


def test_a_part_of_a_joined_recording_may_be_left_out_of_the_transcript(corpus_folder):
    from augment import Augmenter
    from corpus import LONGEST_JOINED, join_clips, load_clips

    clips = load_clips(corpus_folder) * 20
    rng = np.random.default_rng(0)
    joined = [recording for _ in range(5) for recording in join_clips(clips, rng, Augmenter())]
    assert all(recording.frames <= LONGEST_JOINED for recording in joined)
    parts = {tuple(clip.words) for clip in clips}
    out = [recording for recording in joined if recording.left_out]
    assert 0 < len(out) < len(joined) / 2
    for recording in out:
        words = tuple(recording.words[i] for i in sorted(recording.left_out))
        assert words in parts and len(words) < len(recording.words)
    pauses = np.concatenate([recording.starts[1:] - recording.ends[:-1] for recording in joined])
    assert pauses.max() > 3  # seconds


def test_a_joined_recording_may_be_as_a_long_one_is_heard(corpus_folder, monkeypatch):
    import corpus
    from augment import Augmenter
    from corpus import join_clips, load_clips
    from windows import MOST_SURPLUS, WINDOW, WINDOW_EDGE

    monkeypatch.setattr(corpus, "WORDLESS", 0.0)  # which the next test has
    clips = load_clips(corpus_folder) * 20
    rng = np.random.default_rng(0)
    joined = [recording for _ in range(5) for recording in join_clips(clips, rng, Augmenter(), windows=1.0)]
    early = [recording for recording in joined if recording.unsaid]
    late = [recording for recording in joined if recording.words[0] not in {clip.words[0] for clip in clips}]
    left = [recording for recording in joined if recording.left_out]
    first = [recording for recording in left if 0 in recording.left_out]
    for some in (early, late, left, first):
        assert len(joined) / 8 < len(some) < 0.9 * len(joined)
    assert len(first) < len(left)
    for recording in joined:
        count = len(recording.words) - recording.unsaid
        assert recording.frames <= WINDOW[1] + max(clip.frames for clip in clips)
        assert recording.unsaid <= MOST_SURPLUS and recording.ends[count - 1] <= recording.frames / 100 + 1e-6
        assert not recording.left_out or max(recording.left_out) < count - 1  # and something is left to learn
        firsts = [first for first in sorted(recording.firsts) if 0 < first < count]
        pauses = [recording.starts[first] - recording.ends[first - 1] for first in firsts]
        assert all(-1e-6 <= pause <= 2 * (WINDOW_EDGE + 1) / 100 for pause in pauses)
        for first, past in itertools.pairwise(firsts):  # clips keep their words and times
            (clip,) = {id(clip): clip for clip in clips[:4] if clip.words == recording.words[first:past]}.values()
            shift = recording.starts[first] - clip.starts[0]
            np.testing.assert_allclose(recording.ends[first:past], clip.ends + shift, atol=0.01)  # a frame


def test_windows_have_noise_and_music_without_words(corpus_folder, monkeypatch):
    import corpus
    import torch
    import windows
    from augment import Augmenter

    shortest = windows.WORDLESS_FRAMES[0] / 100
    monkeypatch.setattr(corpus, "WORDLESS", 1.0)
    monkeypatch.setattr(windows, "BEGINS_LATE", 0.0)
    clips = corpus.load_clips(corpus_folder) * 10
    for recording in corpus.join_clips(clips, np.random.default_rng(0), Augmenter(), windows=1.0):
        assert recording.starts[0] >= shortest
        firsts = [first for first in sorted(recording.firsts) if first < len(recording.words) - recording.unsaid]
        assert all(recording.starts[at] - recording.ends[at - 1] >= shortest for at in firsts)
    like = torch.from_numpy(np.asarray(clips[0].features, dtype=np.float32))
    power = (2.302585 * like).exp().mean().log10()
    for seed in range(12):  # as loud as speech, or less, and not silent anywhere
        made = Augmenter().without_words(like, 300, torch.Generator().manual_seed(seed))
        assert made.shape == (300, like.shape[1]) and made.isfinite().all() and made.min() > -9
        assert -2.2 < (2.302585 * made).exp().mean().log10() - power < 0.8


def test_sound_stays_with_its_words_where_a_clip_is_cut(corpus_folder):
    from corpus import load_clips
    from windows import begun_late, ended_early, without_silence

    for clip in load_clips(corpus_folder):
        cut = without_silence(clip, 5, 5)
        first = round(100 * (clip.starts[0] - cut.starts[0]))
        assert cut.starts[0] < 0.07 and cut.frames / 100 - cut.ends[-1] < 0.07
        assert np.array_equal(cut.features, clip.features[first : first + cut.frames])
        assert cut.phones[-1][1] <= cut.frames / 100 and cut.phones[0][1] >= 0
        early = ended_early(clip, 2)
        assert early.unsaid == len(clip.words) - 2 and early.words == clip.words
        assert clip.ends[1] <= early.frames / 100 + 0.01 and early.frames / 100 <= clip.starts[2] + 0.01
        assert (early.ends <= early.frames / 100).all()
        assert ended_early(clip, len(clip.words)) is clip
        late = begun_late(clip, 2)
        first = clip.frames - late.frames
        assert late.words == clip.words[2:] and np.array_equal(late.features, clip.features[first:])
        assert clip.ends[1] - 0.01 <= first / 100 <= clip.starts[2] + 0.01
        np.testing.assert_allclose(late.ends, clip.ends[2:] - first / 100, atol=1e-9)
        assert late.phones[0][1] == 0 and all(a[1] < b[1] for a, b in itertools.pairwise(late.phones))
        inside = [[name, start - first / 100] for name, start in clip.phones if start > first / 100]
        assert [name for name, _ in late.phones[1:]] == [name for name, _ in inside]
        assert begun_late(early, 2) is early  # nothing would be said


def test_words_of_a_window_that_it_does_not_reach_have_no_labels(corpus_folder, tokenizer, monkeypatch):
    import corpus
    from corpus import Prompter, TrainingCollator, load_clips
    from windows import ended_early

    monkeypatch.setattr(corpus, "SURPLUS", 0.0)
    monkeypatch.setattr(corpus, "EARLY", 0.0)
    monkeypatch.setattr(corpus, "FOREIGN", 0.0)
    clips = [ended_early(clip, 2) for clip in load_clips(corpus_folder)]
    prompter = Prompter(tokenizer, {w for clip in clips for w in clip.words})
    batch = TrainingCollator(clips, prompter, lambda i: 0, lambda i: False, 1600)([(0, [0, 1, 2, 3])])
    slots = batch["input_ids"] == prompter.slot
    for row, clip in enumerate(clips):
        labels = batch["labels"][row][slots[row]].reshape(-1, 2)
        assert len(labels) == len(clip.words)
        assert (labels[:2] != -100).all() and (labels[2:] == -100).all()
    assert (batch["unsaid"] >= 0).sum() == 2 * sum(clip.unsaid for clip in clips)


def test_words_beside_a_pause_count_more():
    from corpus import BESIDE_PAUSES, pause_weights

    weights = pause_weights(np.array([0, 1, 2, -1, 4]), frozenset({2, 4})).reshape(-1, 2).tolist()
    assert weights == [[1, 1], [1, BESIDE_PAUSES], [BESIDE_PAUSES, 1], [1, 1], [BESIDE_PAUSES, 1]]
    assert (pause_weights(np.arange(3), frozenset()) == 1).all()


def test_batches_are_planned_the_same_each_time(corpus_folder):
    from corpus import BatchPlan, load_clips

    clips = load_clips(corpus_folder) * 50
    plan = BatchPlan(clips, 40, 2000, lambda i: 250 if i < 20 else 1600, together=2)
    other = BatchPlan(clips, 40, 2000, lambda i: 250 if i < 20 else 1600, together=2)
    assert [plan[i] for i in range(40)] == [other[i] for i in range(40)]
    assert all(max(clips[c].frames for c in plan[i][1]) <= 250 for i in range(20))
    assert len({tuple(plan[i][1]) for i in range(40)}) > 30


def test_guided_attention_falls_when_it_is_learned(tokenizer, corpus_folder):
    from architecture import build_config
    from corpus import Prompter, TrainingCollator, load_clips
    from objectives import Pointer

    from transformers_qwen3_asr import Qwen3ASRForTokenClassification

    clips = load_clips(corpus_folder)
    prompter = Prompter(tokenizer, {w for clip in clips for w in clip.words})
    batch = TrainingCollator(clips, prompter, lambda i: 0, lambda i: False, 1600, augment=False)([(0, [0, 1, 2, 3])])
    targets = batch.pop("pointer_targets")
    for name in ("spoken", "places", "own_times", "row_names"):
        batch.pop(name)
    model = Qwen3ASRForTokenClassification(build_config(tokenizer))
    pointer = Pointer(model.thinker.model, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(15):
        model(**batch, output_hidden_states=True)
        loss, _ = pointer.loss(targets, batch["input_ids"] == prompter.audio)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_joined_clips_keep_their_times(corpus_folder):
    from augment import Augmenter
    from corpus import LONGEST_JOINED, join_clips, load_clips

    clips = load_clips(corpus_folder) * 20
    joined = join_clips(clips, np.random.default_rng(0), Augmenter())
    assert len(joined) >= 3
    assert sum(len(clip.words) for clip in joined) == sum(len(clip.words) for clip in clips)
    assert all(clip.frames <= LONGEST_JOINED for clip in joined)
    originals = iter(clips)
    noisy = []
    for clip in joined:
        silent = np.ones(clip.frames, dtype=bool)
        assert (clip.starts < clip.ends).all()
        assert (clip.starts[1:] >= clip.ends[:-1] - 0.01).all()  # a word may end within a clip's last frame
        first = 0
        while first < len(clip.words):
            original = next(originals)
            last = first + len(original.words)
            assert clip.words[first:last] == original.words
            shift = clip.starts[first] - original.starts[0]
            np.testing.assert_allclose(clip.ends[first:last], original.ends + shift, atol=1e-9)
            begin = round(shift * 100)
            block = clip.features[begin : begin + original.frames]
            noisy.append(not np.array_equal(block, original.features))
            if noisy[-1]:  # and nothing else
                assert (block >= original.features - 1e-4).all()
            silent[begin : begin + original.frames] = False
            first = last
        assert not silent.any() or clip.features[silent].mean() < clip.features[~silent].mean()
        starts = [start for _, start in clip.phones]
        assert starts == sorted(starts) and clip.phones[-1] == ["", clip.frames / 100]
    assert any(noisy) and not all(noisy)


def test_a_batch_of_joined_clips_labels_each_position_with_its_time(corpus_folder, tokenizer):
    from corpus import Prompter, TrainingCollator, load_clips, phoneme_names, position_times

    clips = load_clips(corpus_folder) * 20
    prompter = Prompter(tokenizer, {w for clip in clips for w in clip.words})
    collator = TrainingCollator(
        clips, prompter, lambda i: 100, lambda i: True, 1600, phonemes=phoneme_names(clips), joined=lambda i: True
    )
    batch = collator([(3, list(range(80)))])
    assert 1500 < batch["input_features"].shape[-1] < 3200
    audio = batch["input_ids"] == prompter.audio
    assert batch["logits_to_keep"].eq(audio | (batch["input_ids"] == prompter.slot)).all()  # of words not said, doubt
    own = batch["own_times"][batch["own_times"] >= 0]
    assert len(own) == audio.sum() and len(batch["places"]) == (batch["labels"] != -100).sum()
    count = int(audio[0].sum())
    np.testing.assert_allclose(own[:count].numpy(), position_times(count) / 0.02, rtol=1e-5)
    assert (batch["labels"][batch["labels"] != -100] - batch["places"]).abs().max() <= 0.5 + 1e-4


def test_the_bell_lies_around_the_exact_time():
    from objectives import smooth_cross_entropy

    logits = torch.randn(3, 40, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([0.0, 17.4, 39.0])
    expected = 0.0
    for row, place in zip(logits, places, strict=True):
        near = [k for k in range(40) if abs(k - round(float(place))) <= 3]
        bell = torch.tensor([np.exp(-((k - float(place)) ** 2) / (2 * 0.7**2)) for k in near])
        expected -= float((bell / bell.sum() * row.log_softmax(0)[near]).sum()) / 3
    assert abs(float(smooth_cross_entropy(logits, places)) - expected) < 1e-5
    each = [float(smooth_cross_entropy(logits[k : k + 1], places[k : k + 1])) for k in range(3)]
    weighted = smooth_cross_entropy(logits, places, torch.tensor([1.0, 0.0, 3.0]))
    assert float(weighted) == pytest.approx((each[0] + 3 * each[2]) / 4, abs=1e-5)


def test_the_mean_of_aligners(tmp_path):
    from average import mean_weights
    from safetensors.torch import save_file

    values = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    for number, value in enumerate(values):
        (tmp_path / str(number)).mkdir()
        weights = {"layer.weight": value.clone(), "phoneme_head.weight": torch.ones(number + 1)}
        save_file(weights, tmp_path / str(number) / "model.safetensors")
    folders = [tmp_path / str(number) for number in range(3)]
    mean = mean_weights(folders)
    assert list(mean) == ["layer.weight"]
    assert torch.allclose(mean["layer.weight"], values.mean(0), atol=1e-6)
    save_file({"layer.weight": torch.ones(4, 6)}, folders[1] / "model.safetensors")
    with pytest.raises(ValueError, match="1 has other weights than"):
        mean_weights(folders)


def test_a_grown_aligner_says_what_the_small_one_says():
    from grow import grow
    from tiny import slots, tiny_config, tiny_inputs, widen

    from transformers_qwen3_asr import Qwen3ASRForTokenClassification

    small = widen(Qwen3ASRForTokenClassification(tiny_config()))
    more = {"audio": {"encoder_layers": 4, "encoder_ffn_dim": 80}, "text": {"num_hidden_layers": 3}}
    large = grow(small, tiny_config(classes=200, timestamp_segment_time=20, **more)).eval()
    inputs = tiny_inputs(small.config)
    with torch.no_grad():
        wanted = small(**inputs, logits_to_keep=slots(inputs)).logits
        found = large(**inputs, logits_to_keep=slots(inputs)).logits
    assert found.shape[-1] == 200
    torch.testing.assert_close(found[:, ::4], wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"is no feed-forward weight"):
        grow(small, tiny_config(audio={"d_model": 64}))
