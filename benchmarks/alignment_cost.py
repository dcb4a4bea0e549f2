"""What joint decoding costs against one log-softmax over the same scores: 1,500 slots, 5,000 classes, 300 seconds."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from alignment_stages import ScoredClip

from transformers_qwen3_asr.alignment.decoding import decode_slots
from transformers_qwen3_asr.alignment.durations import letters
from transformers_qwen3_asr.alignment.joint_decoding import joint_bins
from transformers_qwen3_asr.alignment.voice_activity import VoiceActivity, heard_in

SLOTS, CLASSES, SEGMENT_TIME, SECONDS, RATE = 1500, 5000, 80, 300.0, 16000


def seconds(call: Callable, device: str, threads: int, repeats: int = 3) -> float:
    """The quickest of some calls: others are disturbed by what else runs. On one thread, the processor's time, which
    does not count what else runs; otherwise the clock's."""
    clock = time.process_time if threads == 1 and device == "cpu" else time.perf_counter
    best = float("inf")
    for _ in range(repeats):
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        start = clock()
        call()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return best


def long_scores(clips: Sequence[ScoredClip]) -> tuple[torch.Tensor, list[float], VoiceActivity]:
    """
    Scores of `SLOTS` slots over `CLASSES` classes of 80 ms: clips one behind the other, the fastest speech first, so
    that the slots fit into 300 seconds. At its own time each has its scores, merged to 80 ms, and elsewhere noise
    about the least of them. Also the words' letters, and what is heard: the clips' samples at their own times.
    """
    merge = max(1, round(SEGMENT_TIME / clips[0].segment_time))
    order = sorted(clips, key=lambda clip: len(clip.clip.words) / clip.clip.seconds, reverse=True)
    total, lengths, samples = torch.empty(SLOTS, CLASSES), [], np.zeros(int(SECONDS * RATE), np.float32)
    slot = number = place = 0
    while slot < SLOTS:
        clip = order[number % len(order)]
        number += 1
        scores = clip.logits.log_softmax(-1)
        scores = scores[:, : scores.shape[-1] // merge * merge].unflatten(-1, (-1, merge)).logsumexp(-1)
        scores = scores[: SLOTS - slot, : int(clip.clip.seconds * 1000 / SEGMENT_TIME)]
        scores = scores[:, : int(SECONDS * 1000 / SEGMENT_TIME) - place]
        rows = slice(slot, slot + len(scores))
        total[rows] = scores.min(-1, keepdim=True).values + torch.randn(len(scores), CLASSES)
        total[rows, place : place + scores.shape[-1]] = scores
        first, past = (int(end * SEGMENT_TIME * RATE / 1000) for end in (place, place + scores.shape[-1]))
        sound = clip.clip.samples[: past - first]
        samples[first : first + len(sound)] = sound
        slot, place = rows.stop, place + scores.shape[-1]
        lengths += [letters(word) for word in clip.clip.words[: len(scores) // 2]]
    return total, lengths, heard_in(samples, RATE)


def cost_table(clips: Sequence[ScoredClip], device: str) -> str:
    """Milliseconds, and as multiples of the log-softmax, for scores of real clips and for scores of no sense."""
    torch.manual_seed(0)
    lines = [
        "| scores | threads | log-softmax | joint path | decode, joint | without voice | decode, argmax |",
        "| --- |" + " ---: |" * 6,
    ]
    threads = torch.get_num_threads()
    noise = heard_in(np.random.default_rng(0).normal(0, 0.1, int(SECONDS * RATE)), RATE)
    for name, (scores, lengths, voice) in (
        ("of speech", long_scores(clips)),
        ("random", (torch.randn(SLOTS, CLASSES), [5.0] * (SLOTS // 2), noise)),
    ):
        scores = scores.to(device)
        for count in sorted({1, threads}):
            torch.set_num_threads(count)
            calls = {
                "log_softmax": lambda scores=scores: scores.log_softmax(-1),
                "path": lambda scores=scores: joint_bins(scores, int(SECONDS * 1000 / SEGMENT_TIME) + 1),
                # as everyone gets it, but for the sound's levels, which are known before
                "joint": lambda scores=scores, lengths=lengths, voice=voice: decode_slots(
                    scores, None, SEGMENT_TIME, duration=SECONDS, lengths=lengths, voice=voice
                ),
                "no voice": lambda scores=scores, lengths=lengths: decode_slots(
                    scores, None, SEGMENT_TIME, duration=SECONDS, lengths=lengths
                ),
                "argmax": lambda scores=scores: decode_slots(scores, None, SEGMENT_TIME, decoding="argmax"),
            }
            for call in calls.values():
                call()
            # in turns, so that a slow moment meets all
            taken = dict.fromkeys(calls, np.inf)
            for _ in range(5):
                for key, call in calls.items():
                    taken[key] = min(taken[key], seconds(call, device, count))
            once = taken["log_softmax"]
            ways = [key for key in calls if key != "log_softmax"]
            cells = [f"{1000 * taken[key]:.1f} ms ({taken[key] / once:.1f})" for key in ways]
            lines.append(f"| {name} | {count} | {1000 * once:.1f} ms | " + " | ".join(cells) + " |")
        torch.set_num_threads(threads)
    return "\n".join(lines)
