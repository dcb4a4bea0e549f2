"""Make the data, the tokenizer and the bundled aligner, from nothing.

    python recipes/tiny_en/train.py --work-dir DIR --export-dir src/transformers_qwen3_asr/bundled/tiny-en

Six stages, each kept in DIR and left out when its result is there: data, people's data (teacher.py, make_people.py),
tokenizer, encoder (phonemes, with a head that is thrown away), aligner (transformers.Trainer) and export. Training
stages write checkpoints and go on from the last one after a kill, so the same command is given again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from architecture import CLASSES, build_config
from corpus import LONG, BatchPlan, Prompter, TrainingCollator, load_clips, phoneme_names
from export import export
from grow import grow
from make_data import make_all
from objectives import Lexicon, PhonemeHead, Pointer, doubt, smooth_cross_entropy
from texts import TextSource
from tokenizer import train_tokenizer
from transformers import AutoTokenizer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from transformers_qwen3_asr.models.modeling_qwen3_asr import Qwen3ASRAudioEncoder, Qwen3ASRForTokenClassification
from transformers_qwen3_asr.training.metrics import AlignmentMetrics, slot_predictions
from transformers_qwen3_asr.training.trainer import ROW_NAMES, AlignmentTrainer, NonFiniteLoss

DOUBT = 0.3  # what the words that are not said count beside those that are


def make_synthesized(work: Path, scale: float, processes: int) -> None:
    """Make the synthesizers' data, unless they are there.

    Raises `ValueError` where they were made at another scale; what older runs made is taken as it is.
    """
    made = work / "data" / "hours.json"
    if not made.exists():
        hours = {key: value / 3600 for key, value in make_all(work, scale, processes).items()}
        made.write_text(json.dumps({"scale": scale, **hours}))
    elif (before := json.loads(made.read_text()).get("scale", scale)) != scale:
        raise ValueError(f"{made} was made with --scale {before}, not {scale}")


def make_tokenizer(folder: Path, grow_from: Path | None = None):
    """The tokenizer: that of the aligner that is gone on from, or learned from the words of the training texts."""
    if grow_from and not folder.exists() and (grow_from / "tokenizer_config.json").exists():
        AutoTokenizer.from_pretrained(grow_from).save_pretrained(folder)
    if not (folder / "tokenizer_config.json").exists():
        source = TextSource(held_out=False, seed=0)
        words = Counter(source.spoken)
        words.update(source.dictionary)
        for word, count in list(words.items()):
            words[word.lower()] += count
        train_tokenizer(words, folder)
    return AutoTokenizer.from_pretrained(folder)


def one_cycle(step: int, steps: int, warmup: int) -> float:
    """Factor on the learning rate: linear warm-up, then a linear fall to zero."""
    return min((step + 1) / warmup, max(0.0, (steps - step) / (steps - warmup)))


def train_encoder(work: Path, clips, prompter, config, arguments) -> Path:
    """Teach the encoder phonemes; returns the file of its weights."""
    done, resume = work / "encoder.pt", work / "encoder-checkpoint.pt"
    if done.exists():
        return done
    steps, names = arguments.encoder_steps, phoneme_names(clips)
    set_seed(0)
    encoder = Qwen3ASRAudioEncoder(config.thinker_config.audio_config)
    head = PhonemeHead(config.thinker_config.audio_config.output_dim, [len(n) for n in names])
    model = torch.nn.ModuleList([encoder, head])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    first = 0
    if resume.exists():
        state = torch.load(resume)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    plan = BatchPlan(clips, steps, arguments.batch_frames, lambda i: LONG, seed=1)
    collator = TrainingCollator(clips, prompter, lambda i: 60, lambda i: False, CLASSES, seed=1, phonemes=names)
    begin, losses, shares = time.time(), [], []
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * max(0.1, one_cycle(step, steps, 50))
        batch = collator([plan[step]])
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            hidden = encoder(batch["input_features"], batch["input_features_mask"]).last_hidden_state
            loss, share = head(hidden, batch["phonemes"], batch["family"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        shares.append(share)
        if (step + 1) % 25 == 0:
            mean = sum(losses[-25:]) / len(losses[-25:]), sum(shares[-25:]) / len(shares[-25:])
            pace = (time.time() - begin) / (step + 1 - first)
            print(
                f"encoder {step + 1}/{steps}: loss {mean[0]:.3f}, right {mean[1]:.3f}, {pace:.2f} s a step", flush=True
            )
        if (step + 1) % 100 == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, resume.with_suffix(".partial"))
            resume.with_suffix(".partial").rename(resume)
    torch.save(encoder.state_dict(), done.with_suffix(".partial"))
    done.with_suffix(".partial").rename(done)
    return done


class AlignerTrainer(AlignmentTrainer):
    """The kit's trainer; `Pointer` (guided attention) and `Lexicon` come beside the model's loss and fade slowly."""

    def __init__(self, *args, pointers: list[Pointer], lexicon: Lexicon, fading, **kwargs):
        super().__init__(*args, **kwargs)
        self.pointers, self.lexicon, self.fading = pointers, lexicon, fading
        self.notes: dict[str, list[float]] = {}

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if not model.training:
            asides = ("pointer_targets", "spoken", "places", "weights", "own_times", "unsaid")
            inputs = {k: v for k, v in inputs.items() if k not in asides}
            return super().compute_loss(model, inputs, return_outputs)
        names = inputs.pop(ROW_NAMES)
        targets, spoken, places = inputs.pop("pointer_targets"), inputs.pop("spoken"), inputs.pop("places")
        weights = inputs.pop("weights")
        own, phonemes, family = inputs.pop("own_times"), inputs.pop("phonemes"), inputs.pop("family")
        labels, unsaid = inputs.pop("labels"), inputs.pop("unsaid")
        # asked for inner states, the model leaves the batch padded, which is how the pointers look at it
        outputs = model(**inputs, output_hidden_states=True)
        unwrapped = model.module if hasattr(model, "module") else model  # wrapped when distributed
        at_slots = (labels != -100)[inputs["logits_to_keep"]]
        loss = smooth_cross_entropy(outputs.logits[at_slots], places, weights)
        if len(places):
            self.notes.setdefault("at slots", []).append(loss.item())
        if (unsaid >= 0).any():
            doubted = doubt(outputs.logits[unsaid >= 0], unsaid[unsaid >= 0])
            self.notes.setdefault("doubt", []).append(doubted.item())
            loss = loss + DOUBT * doubted
        if (own >= 0).any():
            loss = loss + 0.3 * smooth_cross_entropy(outputs.logits[own >= 0], own[own >= 0])
        audio = inputs["input_ids"] == unwrapped.config.thinker_config.audio_token_id
        asides = {f"layer {p.layer} looks right": p.loss(targets, audio) for p in self.pointers}
        asides["pieces right"] = self.lexicon.loss(spoken)
        heard, self.lexicon.heard = self.lexicon.heard, None
        asides["phonemes right"] = unwrapped.phoneme_head(heard, phonemes, family)
        for name, (aside, share) in asides.items():
            if share is not None:
                self.notes.setdefault(name, []).append(share)
            loss = loss + self.fading(self.state.global_step) * aside
        if not loss.isfinite():
            raise NonFiniteLoss("loss", self.state.global_step + 1, names)
        self._step_rows += names
        return (loss, outputs) if return_outputs else loss

    def log(self, logs, *args, **kwargs):
        logs.update({name: round(sum(shares) / len(shares), 4) for name, shares in self.notes.items()})
        self.notes = {}
        super().log(logs, *args, **kwargs)


class LogFile(TrainerCallback):
    """One JSON line for everything that Trainer logs, with the seconds since the start."""

    def __init__(self, path: Path):
        self.path, self.begin = path, time.time()

    def on_log(self, arguments, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero:
            return
        with self.path.open("a") as file:
            file.write(
                json.dumps({"step": state.global_step, "seconds": round(time.time() - self.begin), **logs}) + "\n"
            )


def weighted(clips, people: int):
    """Diphone voices, which are few and sound unlike all others, and clips with long numbers count several times, and
    people `people` times."""

    def weight(clip):
        if clip.engine == "people":
            return people
        long_number = any(word.isdigit() and len(word) > 2 for word in clip.words)
        return {"kal_diphone": 3, "kal16": 2}.get(clip.voice, 1) * (4 if long_number else 1)

    return [clip for clip in clips for _ in range(weight(clip))]


def train_aligner(work: Path, clips, tests, prompter, config, arguments) -> Path:
    """Train the aligner with transformers.Trainer; returns the folder of the final weights."""
    done = work / "aligner"
    if (done / "config.json").exists():
        return done
    steps = arguments.steps
    set_seed(0)
    if arguments.grow_from:
        model = grow(Qwen3ASRForTokenClassification.from_pretrained(arguments.grow_from, dtype="float32"), config)
    else:
        model = Qwen3ASRForTokenClassification(config)
        model.thinker.audio_tower.load_state_dict(torch.load(work / "encoder.pt"))
    names = phoneme_names(clips)
    model.phoneme_head = PhonemeHead(config.thinker_config.audio_config.output_dim, [len(n) for n in names])
    if not torch.cuda.is_available():  # PyTorch's fused attention is slow backwards on a CPU: a quarter of the step
        model.set_attn_implementation("eager")
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {steps} steps", flush=True)

    world = int(os.environ.get("WORLD_SIZE", 1))
    items = steps * world  # an item of the plan is one process's share of a step

    def longest(i):  # 4.5 s until words are found by their sound, then ever longer; every eighth step is long anyway
        share = 1.0 if arguments.grow_from else (i / items - 0.55) / 0.15
        return LONG if i // world % 8 == 0 else int(min(LONG, max(450, 450 + (LONG - 450) * share)))

    def joined(i):
        share, step = arguments.joined[i >= 0.6 * items], i // world
        return int((step + 1) * share) > int(step * share) and longest(i) == LONG

    drawn = weighted(clips, arguments.people_weight)
    plan = BatchPlan(drawn, items, arguments.batch_frames // world, longest, together=world, seed=arguments.seed)
    collator = TrainingCollator(
        drawn,
        prompter,
        lead=lambda i: 100,
        frame_labels=lambda i: i // world % (2 if i < 0.25 * items else 6) == 1,
        classes=CLASSES,
        noisy=lambda i: arguments.noisy if i < 0.85 * items else 0.8 * arguments.noisy,
        phonemes=names,
        joined=joined,
        slips=arguments.slips,
        windows=arguments.windows,
        seed=arguments.seed,
    )
    # A glance at the held-out part: 64 clips of all lengths, 16 alike in length at a time.
    order = sorted(range(len(tests)), key=lambda i: tests[i].frames)
    glance = [order[i : i + 16] for i in range(0, len(order) - 15, max(16, len(order) // 4))][:4]
    plain = TrainingCollator(tests, prompter, lambda i: 0, lambda i: False, CLASSES, augment=False, seed=7)

    class EitherCollator:  # Trainer has one collator for both; held-out batches are told apart by their wrapper
        def __call__(self, items):
            (item,) = items
            return plain([item[1]]) if item[0] == "held out" else collator([item])

    trainer = AlignerTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(work / "checkpoints"),
            max_steps=steps,
            per_device_train_batch_size=1,  # an item of the plan is a whole batch
            per_device_eval_batch_size=1,
            learning_rate=arguments.learning_rate,
            adam_beta2=0.98,
            weight_decay=0.01,
            max_grad_norm=1.0,
            warmup_steps=min(200, steps // 10),
            lr_scheduler_type="linear",
            bf16=arguments.bf16,
            logging_steps=50,
            eval_strategy="steps",
            eval_steps=arguments.eval_steps,
            save_steps=arguments.eval_steps,
            save_total_limit=3,
            dataloader_num_workers=arguments.workers,
            remove_unused_columns=False,
            label_names=["labels"],
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            ddp_backend="gloo" if world > 1 else None,
            ddp_broadcast_buffers=False if world > 1 else None,
            ddp_find_unused_parameters=False if world > 1 else None,
            seed=0,
        ),
        train_dataset=plan,
        eval_dataset=[("held out", (i, chosen)) for i, chosen in enumerate(glance)],
        data_collator=EitherCollator(),
        compute_metrics=AlignmentMetrics(config.timestamp_segment_time),
        preprocess_logits_for_metrics=slot_predictions,
        callbacks=[LogFile(work / "aligner.log.jsonl")],
        pointers=[Pointer(model.thinker.model, layer) for layer in arguments.pointer_layers],
        lexicon=Lexicon(model.thinker),
        fading=lambda i: arguments.aside_weight * min(1.0, max(0.1, 2.0 - 2.0 * i / steps)),
    )
    # The plan decides the order, so that a resumed training sees the batches that are still due.
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(plan)
    checkpoints = work / "checkpoints"
    trainer.train(resume_from_checkpoint=get_last_checkpoint(checkpoints) if checkpoints.exists() else None)
    if trainer.is_world_process_zero():
        del model.phoneme_head
        model.save_pretrained(done.with_suffix(".partial"))
        done.with_suffix(".partial").rename(done)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, required=True, help="data, checkpoints and logs (several GB)")
    parser.add_argument("--export-dir", type=Path, help="where the finished aligner goes")
    parser.add_argument("--people-note", type=Path, help="text for the exported note that names people's recordings")
    parser.add_argument("--people", type=Path, nargs="+", help="folders of people's recordings with transcripts, too")
    parser.add_argument("--without", nargs="*", default=[], help="sets of transcripts.jsonl that are left out")
    parser.add_argument("--check", help="an aligner that has to agree with people's teacher, such as tiny-en")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the amount of training speech")
    parser.add_argument("--encoder-steps", type=int, default=600)
    parser.add_argument("--steps", type=int, default=8000, help="steps of the aligner; 0 stops after the encoder")
    parser.add_argument("--batch-frames", type=int, default=16000, help="mel frames a batch (100 a second)")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--pointer-layers", type=int, nargs="*", default=[2, 3, 4], help="whose first head is guided")
    parser.add_argument("--aside-weight", type=float, default=0.5, help="of the losses beside the aligner's, at first")
    parser.add_argument("--grow-from", type=Path, help="begin as this aligner, which has the same tokenizer")
    parser.add_argument("--eval-steps", type=int, default=500)
    parser.add_argument("--slips", type=float, default=0.8, help="share of the clips whose transcripts have slips")
    parser.add_argument("--joined", type=float, nargs=2, default=[0.5, 0.75], metavar="SHARE",
                        help="batches of joined clips, at first and in the last two fifths")  # fmt: skip
    parser.add_argument("--windows", type=float, default=0.0,
                        help="share of the joined recordings that are as windows of long ones are heard")  # fmt: skip
    parser.add_argument("--people-weight", type=int, default=3, help="how often a clip of people counts")
    parser.add_argument("--noisy", type=float, default=0.5, help="share of the batches with other voices and noise")
    parser.add_argument("--seed", type=int, default=0, help="other batches, for weights whose mean is taken")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
    parser.add_argument("--processes", type=int, default=2, help="training processes, one thread each")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    arguments = parser.parse_args()
    if not arguments.people and (arguments.check or arguments.without):
        parser.error("--check and --without are about --people")
    if arguments.people_note and not arguments.export_dir:
        parser.error("--people-note needs --export-dir")
    people_note = arguments.people_note and arguments.people_note.read_text(encoding="utf-8")
    work = arguments.work_dir
    learn_people = arguments.people and "WORLD_SIZE" not in os.environ
    if learn_people:
        from teacher import check_tools, teach

        check_tools()
        from make_people import make_people
    make_synthesized(work, arguments.scale, arguments.processes)
    if learn_people:
        teach(work, arguments.people, tuple(arguments.without), arguments.processes)
        make_people(work, arguments.check, arguments.processes)
    tokenizer = make_tokenizer(work / "tokenizer", arguments.grow_from)
    config = build_config(tokenizer)
    clips, tests = load_clips(work / "data" / "train"), load_clips(work / "data" / "test")
    words = {word for clip in clips + tests for word in clip.words}
    prompter = Prompter(tokenizer, words | {word.lower() for word in words})
    print(f"{len(clips)} clips, {sum(c.frames for c in clips) / 360000:.1f} h; held out {len(tests)}", flush=True)
    if not arguments.grow_from:
        train_encoder(work, clips, prompter, config, arguments)
    if arguments.steps == 0:
        return
    if arguments.processes > 1 and "WORLD_SIZE" not in os.environ and not (work / "aligner" / "config.json").exists():
        # One process a core: small operations do not divide well over the threads of one process.
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        subprocess.run([*launcher, f"--nproc-per-node={arguments.processes}", *sys.argv], check=True)
    trained = train_aligner(work, clips, tests, prompter, config, arguments)
    if arguments.export_dir and int(os.environ.get("RANK", 0)) == 0:
        export(trained, work / "tokenizer", arguments.export_dir, people_note)


if __name__ == "__main__":
    main()
