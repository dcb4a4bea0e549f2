"""Batches for training: slots for some words, draws that a resumed training repeats, budgets of tokens."""

import copy
import hashlib
import math

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler
from torch.utils.data import DataLoader
from transformers import AutoModelForTokenClassification, AutoProcessor, Trainer, TrainingArguments

from transformers_qwen3_asr.checkpoints import resolve_model
from transformers_qwen3_asr.processing.processing_alignment import written_gap
from transformers_qwen3_asr.training import (
    AlignmentMetrics,
    Augmentation,
    Concatenation,
    EpochCallback,
    Gain,
    Noise,
    Silence,
    SlotCollator,
    Speed,
    TokenBudgetBatchSampler,
    row_sizes,
    row_tokens,
    slot_predictions,
)

CLASSES = 50
TEXTS = "good morning to all the people who are here with us today".split()


@pytest.fixture(scope="module")
def processor():
    processor = AutoProcessor.from_pretrained(resolve_model("tiny-en"))
    processor.timestamp_segment_time = 80  # what the numbers below were counted with
    return processor


def make_rows(count, seed=0, least=0.5, most=3.0):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        seconds = rng.uniform(least, most)
        words = int(rng.integers(1, 12))
        edges = np.sort(rng.uniform(0, seconds, 2 * words)).reshape(words, 2)
        rows.append(
            {
                "id": f"labels.jsonl:{i + 1}",
                "audio": (rng.normal(0, 0.1, int(seconds * 16000)).astype(np.float32), 16000),
                "text": " ".join(TEXTS[:words]),
                "words": [{"text": TEXTS[k], "start": float(a), "end": float(b)} for k, (a, b) in enumerate(edges)],
                "language": "English",
            }
        )
    return rows


def prompts(processor, batch):
    """The text of each row without the audio and the padding."""
    texts = []
    for ids, mask in zip(batch["input_ids"], batch["attention_mask"]):
        kept = ids[mask.bool() & (ids != processor.audio_token_id)]
        texts.append(processor.tokenizer.decode(kept).split(processor.audio_eos_token)[1])
    return texts


# prompts


def test_words_without_slots_are_written_as_text(processor):
    head = f"{processor.audio_bos_token}{processor.audio_token}{processor.audio_eos_token}"
    slots = "<timestamp><timestamp>"
    for words, marks, expected in (
        ("the old house".split(), [True, True, True], f"the{slots}old{slots}house{slots}"),
        ("the old house".split(), [False, True, True], f"the old{slots}house{slots}"),
        ("the old house".split(), [True, False, False], f"the{slots}old house"),
        ("the old house".split(), [False, False, True], f"the old house{slots}"),
        (list("我爱你"), [False, True, False], f"我爱{slots}你"),
        (["我", "love", "you"], [False, False, True], f"我love you{slots}"),
        (["ひらがな", "と", "カタカナ"], [False, False, True], f"ひらがなとカタカナ{slots}"),
        (["나는", "학생"], [False, True], f"나는 학생{slots}"),
    ):
        assert processor.slot_prompt(words, marks) == head + expected
        # where words have slots, nothing but the words before them differs from the prompt that aligning has
        assert processor.slot_prompt(words, [True] * len(words)) == processor.slot_prompt(words)
    with pytest.raises(ValueError, match="2 slot marks for 3 words"):
        processor.slot_prompt(["a", "b", "c"], [True, False])
    with pytest.raises(ValueError, match="2 word lists do not fit 1 slot marks"):
        processor.tokenize_slots([["a"], ["b"]], [3, 3], slots=[None])
    assert [written_gap(*pair) for pair in ("ab", "a我", "我a", "ไท", "가나", "々a", ("a", ""))] == [
        *" ",
        "",
        "",
        "",
        *" ",
        "",
        " ",
    ]


# collator


def test_without_shares_the_prompt_is_the_one_of_aligning(processor):
    rows = make_rows(6)
    batch = SlotCollator(processor, classify_num=CLASSES)(rows)
    inputs, _ = processor.prepare_forced_aligner_inputs(
        [row["audio"] for row in rows], [[w["text"] for w in row["words"]] for row in rows], "English"
    )
    for name in ("input_ids", "attention_mask", "input_features", "input_features_mask"):
        # the processor fills features up to whole chunks
        assert torch.equal(batch[name], inputs[name][..., : batch[name].shape[-1]]), name
    assert inputs["input_features_mask"].sum() == batch["input_features_mask"].sum()


def test_words_that_have_slots_keep_their_own_labels(processor):
    rows = make_rows(12)
    # every word has a text of its own, so that labels can be traced back to it
    collator = SlotCollator(processor, classify_num=CLASSES, slot_sample_share=1.0, slot_word_share=0.4)
    batch = collator(rows)
    expected_all = SlotCollator(processor, classify_num=CLASSES)(rows)
    for i, (row, prompt) in enumerate(zip(rows, prompts(processor, batch))):
        pieces = prompt.split("<timestamp><timestamp>")
        slotted = [piece.split()[-1] for piece in pieces[:-1]]
        assert len(slotted) == max(1, math.floor(0.4 * len(row["words"]) + 0.5))
        # all words are there, in order, written with a space where there are no slots
        assert " ".join(piece for piece in pieces if piece).split() == [w["text"] for w in row["words"]]
        places = [[w["text"] for w in row["words"]].index(text) for text in slotted]
        labels = expected_all["labels"][i][expected_all["labels"][i] != -100].view(-1, 2)
        assert torch.equal(batch["labels"][i][batch["labels"][i] != -100].view(-1, 2), labels[places])
    slots = batch["input_ids"] == processor.timestamp_token_id
    assert torch.equal(batch["logits_to_keep"], slots)
    assert torch.equal(batch["labels"] != -100, slots)


def test_shares_are_what_was_asked_for(processor):
    rows = [{**row, "id": f"{row['id']}/{k}"} for row in make_rows(20, least=0.2, most=0.3) for k in range(15)]
    batch = SlotCollator(processor, classify_num=CLASSES, slot_sample_share=0.5)(rows)
    left = (batch["labels"] != -100).sum(-1) / 2
    words = torch.tensor([len(row["words"]) for row in rows])
    several = words > 1
    assert float((left < words)[several].float().mean()) == pytest.approx(0.5, abs=0.08)
    assert set(left[left < words].tolist()) <= {max(1, math.floor(n / 2 + 0.5)) for n in words.tolist()}
    first = [
        prompt.startswith(f"{TEXTS[0]}<") for prompt, few, n in zip(prompts(processor, batch), left, words) if few < n
    ]
    assert 0.3 < np.mean(first) < 0.7  # no word is preferred


def augmented_collator(processor, rows, **kwargs):
    steps = [
        Concatenation(rows, row_sizes(rows, processor), 3.9, 0.5),
        Speed(probability=0.5),
        Silence((0, 0.3), (0, 0.3), probability=0.5),
        Gain(),
        Noise(rows=rows, probability=0.5),
    ]
    kwargs = {"slot_sample_share": 0.5, "augmentation": Augmentation(steps), "row_names": True, **kwargs}
    return SlotCollator(processor, classify_num=CLASSES, **kwargs)


def content(batch, i):
    """What a batch holds of its row i, without the padding."""
    mask, frames = batch["attention_mask"][i].bool(), batch["input_features_mask"][i].bool()
    tensors = batch["input_ids"][i][mask], batch["labels"][i][mask], batch["input_features"][i][:, frames]
    return [tensor.numpy().tobytes() for tensor in tensors], batch["row_names"][i]


def test_draws_belong_to_the_row_and_the_epoch(processor):
    rows = make_rows(16)
    collator = augmented_collator(processor, rows)
    collator.set_epoch(2)
    whole = collator(rows)
    alone = [collator([row]) for row in reversed(rows)][::-1]
    other_process = augmented_collator(processor, rows)
    other_process.set_epoch(2)
    again = other_process(rows[5:9])
    for i in range(16):
        assert content(whole, i) == content(alone[i], 0)
        if 5 <= i < 9:
            assert content(whole, i) == content(again, i - 5)
    collator.set_epoch(3)
    later = collator(rows)
    differs = [content(whole, i) != content(later, i) for i in range(16)]
    assert all(differs)  # the gain alone is another one
    assert any(" + " in name for name in whole["row_names"])
    another_seed = augmented_collator(processor, rows, seed=1)
    another_seed.set_epoch(2)
    assert content(another_seed(rows), 0) != content(whole, 0)


def test_what_slots_are_drawn_does_not_depend_on_the_augmentation(processor):
    rows = make_rows(10)
    plain = SlotCollator(processor, classify_num=CLASSES, slot_sample_share=0.5)(rows)
    noisy = SlotCollator(processor, classify_num=CLASSES, slot_sample_share=0.5, augmentation=Augmentation([Gain()]))(
        rows
    )
    assert torch.equal(plain["labels"], noisy["labels"])
    assert not torch.equal(plain["input_features"], noisy["input_features"])


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_hear_of_the_epoch(processor, persistent):
    rows = make_rows(4)
    collator = SlotCollator(processor, classify_num=CLASSES, augmentation=Augmentation([Gain()]), row_names=True)
    loader = DataLoader(rows, 2, collate_fn=collator, num_workers=1, persistent_workers=persistent)
    for epoch in range(3):
        collator.set_epoch(epoch)
        expected = collator(rows)
        found = [content(batch, i) for batch in loader for i in range(2)]
        assert found == [content(expected, i) for i in range(4)]


def test_for_evaluation_nothing_is_drawn(processor):
    rows = make_rows(6)
    collator = augmented_collator(processor, rows)
    plain = collator.for_evaluation()
    expected = SlotCollator(processor, classify_num=CLASSES, row_names=True)(rows)
    got = plain(rows)
    assert all(torch.equal(got[name], expected[name]) for name in expected if name != "row_names")
    assert got["row_names"] == [row["id"] for row in rows]
    assert collator.augmentation is not None and collator.slot_sample_share == 0.5


def test_augmented_labels_are_the_augmented_times(processor):
    rows = make_rows(1)

    class Later(Silence):
        def apply(self, clip, random, limit):
            return Silence((0.8, 0.8), (0, 0)).apply(clip, random, limit)

    plain = SlotCollator(processor, classify_num=CLASSES)(rows)
    late = SlotCollator(processor, classify_num=CLASSES, augmentation=Augmentation([Later()]))(rows)
    # 0.8 s are 10 classes of 80 ms
    assert torch.equal(late["labels"][late["labels"] != -100], plain["labels"][plain["labels"] != -100] + 10)
    assert late["input_features"].shape[-1] == plain["input_features"].shape[-1] + 80


def test_bad_rows_are_named(processor):
    collator = augmented_collator(processor, make_rows(2))
    plain = collator.for_evaluation()
    row = make_rows(2)[1]
    name = r"row 0 \(id 'labels\.jsonl:2'\)"
    long = np.zeros(16000 * 5, np.float32)
    broken = row["audio"][0].copy()
    broken[100] = np.nan
    late = [{"text": "late", "start": 3.9, "end": 3.99}]
    for wrong, message in (
        ({**row, "audio": (broken, 16000)}, f"{name}: .*NaN"),
        ({**row, "text": "  "}, f"{name}: its text is empty"),
        ({**row, "words": []}, f"{name} holds no words"),
        (
            {**row, "audio": (long, 16000)},
            f"{name}: the recording is 5.00 s long, .* 50 time classes of 80 ms reach 4 s",
        ),
        (
            {**row, "audio": (long[:64000], 16000), "words": late},
            f"{name}, word 0 .*beyond the last of 50 classes, 3.92",
        ),
        (
            {**row, "words": [{"text": "a", "start": 0.1, "end": 9.0}]},
            f"{name}, word 0 .* ends at 9.0 s, but the audio",
        ),
    ):
        for each in (collator, plain):
            with pytest.raises(ValueError, match=f"^{message}"):
                each([wrong])
    features = {key: value for key, value in row.items() if key != "audio"}
    features["input_features"] = np.zeros((128, 300), np.float32)
    plain([{**features, "words": row["words"][:1]}])
    with pytest.raises(ValueError, match=f"{name} holds input_features, which cannot be augmented"):
        collator([features])
    features["input_features"][3, 4] = np.inf
    with pytest.raises(ValueError, match=f"{name}: input_features hold NaN or infinite"):
        plain([features])
    with pytest.raises(ValueError, match=f"{name}: it is not among the rows that Concatenation was given"):
        augmented_collator(processor, make_rows(1))([row])
    for wrong in ({"slot_sample_share": 1.2}, {"slot_word_share": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SlotCollator(processor, classify_num=CLASSES, **wrong)


def test_the_model_answers_for_the_slots_alone(processor):
    model = AutoModelForTokenClassification.from_pretrained(resolve_model("tiny-en"), dtype=torch.float32).eval()
    collator = SlotCollator(processor, classify_num=model.config.num_labels, slot_sample_share=1.0)
    batch = collator(make_rows(5))
    with torch.no_grad():
        kept = model(**batch)
        every = model(**{name: value for name, value in batch.items() if name != "logits_to_keep"})
    slots = batch["labels"] != -100
    assert kept.logits.shape == (int(slots.sum()), model.config.num_labels)
    torch.testing.assert_close(kept.loss, every.loss)
    predicted = slot_predictions(kept.logits, batch["labels"])
    assert torch.equal(predicted, slot_predictions(every.logits, batch["labels"]))
    figures = AlignmentMetrics(80)(
        type("Prediction", (), {"predictions": predicted.numpy(), "label_ids": batch["labels"].numpy()})
    )
    assert figures["words"] == int(slots.sum()) // 2


# budgets


def lengths(count=500, seed=0):
    return np.random.default_rng(seed).integers(5, 200, count).tolist()


@pytest.mark.parametrize("processes", [1, 2, 8])
@pytest.mark.parametrize("budget", [200, 1000, 50000])
def test_every_batch_is_within_the_budget_and_every_row_comes_once(budget, processes):
    tokens = lengths()
    sampler = TokenBudgetBatchSampler(tokens, budget, processes=processes)
    orders = set()
    for epoch in range(6):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert len(batches) % processes == 0
        assert sorted(i for batch in batches for i in batch) == list(range(500))
        assert all(len(batch) * max(tokens[i] for i in batch) <= budget for batch in batches)
        orders.add(str(batches))
    assert len(orders) == 6
    assert list(TokenBudgetBatchSampler(tokens, budget, processes=processes, seed=1)) not in (batches, list(sampler))


def test_batches_are_those_of_the_epoch_whatever_came_before():
    tokens = lengths()
    walked, resumed = TokenBudgetBatchSampler(tokens, 1000), TokenBudgetBatchSampler(tokens, 1000)
    for epoch in range(4):
        walked.set_epoch(epoch)
        batches = list(walked)
    resumed.set_epoch(3)
    assert list(resumed) == batches
    assert list(SkipBatchSampler(resumed, skip_batches=7)) == batches[7:]


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_accelerate_deals_every_process_the_same_number(processes):
    sampler = TokenBudgetBatchSampler(lengths(), 1000, processes=processes)
    dealt = [list(BatchSamplerShard(sampler, processes, i)) for i in range(processes)]
    assert {len(batches) for batches in dealt} == {len(sampler) // processes}
    assert sorted(i for batches in dealt for batch in batches for i in batch) == list(range(500))


def test_too_few_rows_for_all_processes_come_twice():
    sampler = TokenBudgetBatchSampler([10, 10, 10], 20, processes=4)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == [1] * 4
    assert {i for batch in batches for i in batch} == {0, 1, 2}


def test_padding_is_what_a_count_gives_and_little():
    tokens = lengths()
    sampler = TokenBudgetBatchSampler(tokens, 1000)
    for epoch in (0, 4):
        room = real = 0
        for batch in sampler.batches(epoch):
            longest = max(tokens[i] for i in batch)
            for i in batch:
                room, real = room + longest, real + tokens[i]
        assert sampler.padding_share(epoch) == pytest.approx(1 - real / room)
        assert sampler.padding_share(epoch) < 0.12
    unsorted = [range(i, i + 8) for i in range(0, 500, 8)]
    assert 1 - sum(tokens) / sum(len(b) * max(tokens[i] for i in b if i < 500) for b in unsorted) > 0.35


def test_rows_meet_others_in_each_epoch():
    sampler = TokenBudgetBatchSampler(lengths(), 1000)
    pairs = [{(a, b) for batch in sampler.batches(epoch) for a in batch for b in batch if a < b} for epoch in (0, 1)]
    assert len(pairs[0] & pairs[1]) < 0.8 * len(pairs[0])


def test_rows_over_the_budget_are_named():
    with pytest.raises(ValueError, match=r"budget of 100 tokens a batch is less than a row has: b\.jsonl:2 \(150\)$"):
        TokenBudgetBatchSampler([50, 150, 100], 100, names=["b.jsonl:1", "b.jsonl:2", "b.jsonl:3"])
    with pytest.raises(ValueError, match=r"0 \(101\), .*, 9 \(101\) and 5 more"):
        TokenBudgetBatchSampler([101] * 15, 100)
    for arguments in ({"tokens": []}, {"processes": 0}, {"seed": -1}, {"blur": 1.0}, {"names": ["a"]}):
        with pytest.raises(ValueError):
            TokenBudgetBatchSampler(**{"tokens": [1, 2], "budget": 10, **arguments})


@pytest.mark.parametrize("augmented", [False, True])
def test_batches_hold_the_tokens_that_were_counted(processor, augmented):
    rows = make_rows(60, most=3.5)
    sizes = row_sizes(rows, processor)
    collator = augmented_collator(processor, rows) if augmented else SlotCollator(processor, classify_num=CLASSES)
    tokens = row_tokens(rows, sizes, processor, collator.augmentation)
    sampler = TokenBudgetBatchSampler(tokens, 500)
    for epoch in range(2):
        collator.set_epoch(epoch)
        sampler.set_epoch(epoch)
        for numbers in sampler:
            batch = collator([rows[i] for i in numbers])
            assert batch["input_ids"].numel() <= 500
            real = batch["attention_mask"].sum(-1).tolist()
            assert all(n <= tokens[i] for n, i in zip(real, numbers))
            if not augmented:  # one to spare for audio that is longer than it says
                assert all(n >= tokens[i] - 2 for n, i in zip(real, numbers))


def test_sizes_come_from_the_row_or_its_recording(processor, tmp_path):
    import av

    row = make_rows(1)[0]
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 12000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    on_disk, stated = {**row, "audio": str(path)}, {**row, "audio": "not/there.wav", "duration": 2.5}
    found = row_sizes([row, on_disk, stated], processor)
    assert [size.seconds for size in found] == [len(row["audio"][0]) / 16000, 1.5, 2.5]
    ids = processor.tokenizer(processor.slot_prompt([w["text"] for w in row["words"]]), add_special_tokens=False)
    assert {size.text_tokens for size in found} == {len(ids["input_ids"]) - 1}
    with pytest.raises(ValueError, match=r"row 'labels\.jsonl:1': .*not/there\.wav"):
        row_sizes([{**row, "audio": "not/there.wav"}], processor)
    with pytest.raises(ValueError, match=r"row 'labels\.jsonl:1' holds no words"):
        row_sizes([{**row, "words": None}], processor)


# Trainer


class Watching(Trainer):
    """Plain Trainer with a batch sampler, which notes down what each step was trained on."""

    def __init__(self, *args, batch_sampler, **kwargs):
        super().__init__(*args, **kwargs)
        self.batch_sampler = batch_sampler
        self.seen = []

    def get_train_dataloader(self):
        loader = DataLoader(self.train_dataset, batch_sampler=self.batch_sampler, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)

    def compute_loss(self, model, inputs, *args, **kwargs):
        names = inputs.pop("row_names")
        digest = hashlib.sha256()
        for name in ("input_ids", "labels", "input_features"):
            digest.update(inputs[name].numpy().tobytes())
        self.seen.append((names, digest.hexdigest()))
        return super().compute_loss(model, inputs, *args, **kwargs)


def train(processor, folder, resume=None, **arguments):
    model = AutoModelForTokenClassification.from_pretrained(resolve_model("tiny-en"), dtype=torch.float32)
    rows = make_rows(12)
    collator = augmented_collator(processor, rows)
    sizes = row_sizes(rows, processor)
    sampler = TokenBudgetBatchSampler(row_tokens(rows, sizes, processor, collator.augmentation), 350)
    assert len(sampler) > 3
    trainer = Watching(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder), remove_unused_columns=False, report_to="none", disable_tqdm=True, use_cpu=True,
            learning_rate=1e-4, seed=3, save_strategy="steps", **arguments,
        ),
        train_dataset=rows,
        data_collator=collator,
        batch_sampler=sampler,
        callbacks=[EpochCallback(collator, sampler)],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return trainer, len(sampler)


def test_a_resumed_training_sees_the_same_batches(processor, tmp_path):
    _, batches = train(processor, tmp_path / "probe", max_steps=1, save_steps=100)
    steps, cut = 2 * batches + 2, batches + 2  # killed in the second epoch, goes on into the third
    whole, _ = train(processor, tmp_path / "whole", max_steps=steps, save_steps=cut)
    resumed, _ = train(
        processor, tmp_path / "resumed", str(tmp_path / "whole" / f"checkpoint-{cut}"), max_steps=steps, save_steps=cut
    )
    assert len(whole.seen) == steps
    assert resumed.seen == whole.seen[cut:]
    assert len({digest for _, digest in whole.seen}) == steps  # no epoch repeats another's
    for (name, a), b in zip(whole.model.named_parameters(), resumed.model.parameters()):
        torch.testing.assert_close(a, b, msg=name)


def test_epochs_are_told_to_what_listens(processor):
    collator, sampler = SlotCollator(processor, classify_num=CLASSES), TokenBudgetBatchSampler([1], 1)
    state = type("State", (), {"epoch": 2.75})
    EpochCallback(collator, sampler).on_epoch_begin(None, state, None)
    assert sampler.epoch == collator._epoch.get() == 2
    assert copy.deepcopy(collator)._epoch.get() == 2
    with pytest.raises(ValueError, match="dict has no set_epoch"):
        EpochCallback({})
