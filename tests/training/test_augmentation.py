"""Augmented recordings: times right to a sample, noise at the ratio asked for, nothing over the limit, same draws."""

import numpy as np
import pytest

from transformers_qwen3_asr.training import Augmentation, Concatenation, Gain, Noise, RowSize, Silence, Speed
from transformers_qwen3_asr.training.augmentation import Clip, Step, resampled
from transformers_qwen3_asr.training.randomness import row_key

RATE = 16000


def draws(seed=0):
    return np.random.default_rng(seed)


def impulses(edges, samples, name="clip"):
    """A row that is silent but for an impulse at each word's first sample and at the one behind its last."""
    sound = np.zeros(samples, dtype=np.float32)
    sound[np.array(edges).ravel()] = 0.5
    words = [{"text": f"{name}{i}", "start": a / RATE, "end": b / RATE} for i, (a, b) in enumerate(edges)]
    return {"id": name, "audio": (sound, RATE), "words": words, "language": "English"}


def clip_of(row):
    return Clip.of_row(row, row["audio"][0], RATE, str(row["id"]))


def edges_of(clip):
    """The words' times in samples, which are whole numbers unless a time is off."""
    places = np.array([[w["start"], w["end"]] for w in clip.words]) * clip.rate
    assert np.abs(places - places.round()).max() < 1e-6
    return places.round().astype(int)


def speech(seconds=2.0, level=0.05, seed=0, name="speech"):
    sound = (level * draws(seed).standard_normal(int(seconds * RATE))).astype(np.float32)
    return {
        "id": name, "audio": (sound, RATE), "language": "English",
        "words": [{"text": "a", "start": 0.25, "end": 0.5}, {"text": "b", "start": 1.0, "end": seconds - 0.25}],
    }  # fmt: skip


# times


EDGES = [(800, 4000), (4000, 4400), (8000, 15600)]


@pytest.mark.parametrize("seed", range(5))
def test_silence_moves_the_words_with_their_impulses(seed):
    clip = clip_of(impulses(EDGES, 16000))
    made = Silence((0.1, 0.9), (0.0, 0.5)).apply(clip, draws(seed), 60.0)
    assert np.array_equal(np.flatnonzero(made.samples), np.unique(edges_of(made)))
    assert 0.1 * RATE <= edges_of(made)[0, 0] - 800 <= 0.9 * RATE
    assert len(made.samples) - 16000 <= 1.4 * RATE
    assert [w["text"] for w in made.words] == ["clip0", "clip1", "clip2"]


@pytest.mark.parametrize("step", [Gain(), Gain((-40, 40))])
@pytest.mark.parametrize("seed", range(3))
def test_gain_leaves_the_impulses_where_they_are(step, seed):
    clip = clip_of(impulses(EDGES, 16000))
    made = step.apply(clip, draws(seed), 60.0)
    assert np.array_equal(np.flatnonzero(made.samples), np.unique(edges_of(made)))
    assert made.words == clip.words
    assert 0 < made.samples.max() <= 1


def test_noise_leaves_the_impulses_where_they_are():
    clip = clip_of(impulses(EDGES, 16000))
    made = Noise((20, 20), kinds=["white"]).apply(clip, draws(), 60.0)
    assert made.words == clip.words
    assert np.array_equal(np.flatnonzero(made.samples > 0.3), np.unique(edges_of(made)))


@pytest.mark.parametrize("percent", [80, 90, 93, 104, 110, 125, 150])
def test_speed_moves_every_impulse_to_its_words_new_time(percent):
    edges = [(percent * a, percent * b) for a, b in ((10, 40), (40, 44), (80, 120))]
    clip = clip_of(impulses(edges, percent * 150))
    made = Speed((percent / 100, percent / 100)).apply(clip, draws(), 600.0)
    # sample n is now sample n * 100 / percent, a whole number for these
    assert np.array_equal(edges_of(made), np.array(edges) * 100 // percent)
    assert len(made.samples) == 150 * 100
    for place in np.unique(edges_of(made)):
        assert made.samples[place - 100 : place + 101].argmax() == 100
    assert made.samples.max() == pytest.approx(0.5 * min(1, 100 / percent), rel=0.02)


def test_joined_rows_keep_their_impulses():
    rng = draws(3)
    rows = []
    for i in range(30):
        edges = np.sort(rng.choice(15000, 6, replace=False)).reshape(3, 2)
        rows.append(impulses(edges, 16000 + 37 * i, f"row{i}."))
    sizes = [RowSize(len(row["audio"][0]) / RATE, 9) for row in rows]
    join = Concatenation(rows, sizes, 12.0, probability=1.0, gap=(0.0, 0.3))
    joined = 0
    for i, row in enumerate(rows):
        made = join.apply(clip_of(row), draws(i), 12.0)
        assert np.array_equal(np.flatnonzero(made.samples), np.unique(edges_of(made)))
        names = made.name.split(" + ")
        assert str(row["id"]) in names
        assert [w["text"] for w in made.words] == [f"{name}{k}" for name in names for k in range(3)]
        joined += len(names) > 1
    assert joined > 20


def test_all_steps_together_keep_every_time():
    rows = [impulses([(960 * k, 960 * k + 480) for k in range(1, 12)], 16320, f"row{i}.") for i in range(10)]
    sizes = [RowSize(1.02, 35)] * 10
    steps = [Concatenation(rows, sizes, 8.0, 1.0, gap=(0.3, 0.3)), Speed((0.96, 0.96)), Silence(), Gain((-3, 3))]
    augment = Augmentation([*steps, Noise((35, 35), kinds=["white"])])
    for i, row in enumerate(rows):
        made = augment(clip_of(row), draws(i), 20.0)
        # samples are multiples of 0.96 and gaps, too, so that all new places are whole
        places = np.unique(edges_of(made))
        peaks = made.samples > 0.5 * made.samples.max()
        found = [p for p in np.flatnonzero(peaks) if made.samples[p] == made.samples[max(0, p - 50) : p + 51].max()]
        assert np.array_equal(found, places)


def test_a_word_that_ends_behind_the_audio_by_rounding_ends_with_it():
    row = {"audio": (np.ones(1000, np.float32), RATE), "words": [{"text": "a", "start": 0.01, "end": 0.065}]}
    assert clip_of({**row, "id": None}).words == [{"text": "a", "start": 0.01, "end": 1000 / RATE}]


# resampling


@pytest.mark.parametrize(("up", "down"), [(9, 10), (11, 10), (93, 100), (5, 4), (1, 1), (100, 37)])
def test_a_tone_is_read_at_other_places(up, down):
    hertz, n = 440.0, 8000
    made = resampled(np.sin(2 * np.pi * hertz * np.arange(n) / RATE).astype(np.float32), up, down)
    assert len(made) == -(-n * down // up)
    expected = np.sin(2 * np.pi * hertz * np.arange(len(made)) * up / down / RATE)
    inner = slice(300, -300)
    assert np.abs(made - expected)[inner].max() < 1e-3


def test_what_the_new_rate_cannot_hold_is_gone():
    tone = np.sin(2 * np.pi * 7500 * np.arange(RATE) / RATE).astype(np.float32)
    assert np.abs(resampled(tone, 5, 4)[300:-300]).max() < 0.01  # would be 9375 Hz and fold down to 6625


def test_resampling_against_a_plain_sum():
    samples = draws(1).standard_normal(300).astype(np.float32)
    made = resampled(samples, 7, 5)
    cutoff, width = 5 / 7, int(np.ceil(24 * 7 / 5))
    for k in range(len(made)):
        total = 0.0
        for j in range(300):
            x = j - k * 7 / 5
            if abs(x) < width:
                total += samples[j] * cutoff * np.sinc(cutoff * x) * np.cos(np.pi * x / (2 * width)) ** 2
        assert made[k] == pytest.approx(total, abs=1e-5)


# noise


def speech_power(clip, samples):
    inside = [samples[round(w["start"] * RATE) : round(w["end"] * RATE)] for w in clip.words]
    return np.mean(np.concatenate(inside).astype(np.float64) ** 2)


OTHERS = [speech(seconds, 0.1, i + 10, f"other{i}") for i, seconds in enumerate((0.9, 2.5, 4.0))]


@pytest.mark.parametrize("snr", [-5.0, 0.0, 12.5, 40.0])
@pytest.mark.parametrize("kind", ["white", "pink", "recordings", "babble"])
def test_noise_has_the_ratio_that_was_asked_for(kind, snr):
    row = speech(level=0.01)
    row["audio"][0][:4000] = 0  # a pause in front of the words does not count
    clip = clip_of(row)
    given = {"recordings": {"recordings": [o["audio"] for o in OTHERS]}, "babble": {"rows": OTHERS}}.get(kind, {})
    made = Noise((snr, snr), kinds=[kind], **given).apply(clip, draws(2), 60.0)
    noise = made.samples.astype(np.float64) - clip.samples
    ratio = 10 * np.log10(speech_power(clip, clip.samples) / np.mean(noise**2))
    assert ratio == pytest.approx(snr, abs=0.02)


def test_a_loud_mixture_is_scaled_and_not_clipped():
    clip = clip_of(speech(level=0.2))
    made = Noise((-10, -10), kinds=["white"]).apply(clip, draws(2), 60.0)
    assert np.abs(made.samples).max() == pytest.approx(1.0)
    assert (np.abs(made.samples) > 0.999).sum() == 1


def test_pink_noise_falls_by_three_decibels_an_octave():
    clip = clip_of({**speech(20.0, 0.01), "id": "long"})
    noise = Noise((0, 0), kinds=["pink"]).apply(clip, draws(), 60.0).samples - clip.samples
    power, hertz = np.abs(np.fft.rfft(noise)) ** 2, np.fft.rfftfreq(len(noise), 1 / RATE)
    octaves = [power[(hertz >= f) & (hertz < 2 * f)].mean() for f in (62.5, 125, 250, 500, 1000, 2000, 4000)]
    assert np.diff(10 * np.log10(octaves)) == pytest.approx([-3.01] * 6, abs=0.6)


def test_a_recording_is_repeated_from_a_random_place():
    ramp = np.linspace(0.1, 0.9, 5000, dtype=np.float32)
    clip = clip_of(speech(level=0.001))
    step = Noise((0, 0), kinds=["recordings"], recordings=[(ramp, RATE)])
    starts = set()
    for seed in range(4):
        noise = step.apply(clip, draws(seed), 60.0).samples - clip.samples
        noise *= ramp.mean() / noise[:5000].mean()
        start = int(np.abs(ramp - noise[0]).argmin())
        assert noise == pytest.approx(np.resize(np.roll(ramp, -start), len(noise)), abs=2e-3)
        starts.add(start)
    assert len(starts) == 4


def test_babble_is_of_other_rows():
    def tone(hertz, name):
        sound = 0.1 * np.sin(2 * np.pi * hertz * np.arange(2 * RATE) / RATE)
        return {**speech(), "id": name, "audio": (sound.astype(np.float32), RATE)}

    rows = [tone(500, "own"), tone(1000, "b"), tone(2000, "c"), tone(3000, "d")]
    clip = clip_of(rows[0])
    heard = set()
    for seed in range(6):
        noise = (
            Noise((0, 0), kinds=["babble"], rows=rows, voices=3).apply(clip, draws(seed), 60.0).samples - clip.samples
        )
        spectrum = np.abs(np.fft.rfft(noise))
        loud = {hertz for hertz in (500, 1000, 2000, 3000) if spectrum[2 * hertz] > 100}
        assert 500 not in loud
        heard |= loud
    assert heard == {1000, 2000, 3000}


def test_silent_clips_and_silent_noise():
    silent = clip_of({**speech(), "audio": (np.zeros(2 * RATE, np.float32), RATE)})
    assert Noise().apply(silent, draws(), 60.0) is silent
    empty = {**speech(), "id": "x", "audio": (np.zeros(RATE, np.float32), RATE)}
    clip = clip_of(speech())
    assert Noise(kinds=["babble"], rows=[empty]).apply(clip, draws(), 60.0) is clip
    with pytest.raises(ValueError, match="the recording is silent"):
        Noise(kinds=["recordings"], recordings=[empty["audio"]]).apply(clip, draws(), 60.0)
    with pytest.raises(ValueError, match=r"Noise: missing\.wav: .*missing\.wav"):
        Noise(kinds=["recordings"], recordings=["missing.wav"]).apply(clip, draws(), 60.0)


# the whole


def small_corpus(count=40):
    rng = draws(5)
    rows = [speech(rng.uniform(1.6, 4.0), 0.05, i, f"r{i}") for i in range(count)]
    for i, row in enumerate(rows):
        row["language"] = "German" if i % 4 == 0 else "English"
    return rows, [RowSize(len(row["audio"][0]) / RATE, 8) for row in rows]


def everything(rows, sizes, **kwargs):
    steps = [Concatenation(rows, sizes, 15.0, 0.5), Speed(probability=0.7), Silence(probability=0.7), Gain()]
    return Augmentation([*steps, Noise(rows=rows, probability=0.5)], **kwargs)


def test_the_same_seed_gives_the_same_clip():
    rows, sizes = small_corpus()
    augment = everything(rows, sizes)
    for row in rows[:8]:
        clip = clip_of(row)
        before = clip.samples.copy(), [dict(w) for w in clip.words]
        first, again, other = (augment(clip, draws(seed), 20.0) for seed in (1, 1, 2))
        assert np.array_equal(first.samples, again.samples) and first.words == again.words
        assert not np.array_equal(first.samples, other.samples)
        assert np.array_equal(clip.samples, before[0]) and clip.words == before[1]


@pytest.mark.parametrize("limit", [5.0, 15.0])
def test_no_clip_is_made_longer_than_the_limit_or_than_its_bound(limit):
    rows, sizes = small_corpus()
    augment = everything(rows, sizes, limit_seconds=limit)
    longest = 0.0
    for row, size in zip(rows, sizes):
        bound = augment.bound(size, row_key(row))
        for seed in range(4):
            made = augment(clip_of(row), draws(seed), 20.0)
            assert made.seconds <= max(limit, size.seconds) + 1 / RATE
            assert made.seconds <= bound.seconds + 1 / RATE
            assert 8 * len(made.name.split(" + ")) <= bound.text_tokens
            ends = [t for w in made.words for t in (w["start"], w["end"])]
            assert ends == sorted(ends) and ends[-1] <= made.seconds + 1e-9
            longest = max(longest, made.seconds)
    assert longest > 0.9 * limit


def test_a_clip_at_the_limit_is_neither_slowed_nor_padded():
    clip = clip_of(speech(4.0))
    assert Speed((0.5, 0.5)).apply(clip, draws(), 4.0) is clip
    assert len(Speed((0.5, 0.5)).apply(clip, draws(), 5.0).samples) == 5 * RATE
    assert len(Silence((1, 1), (3, 3)).apply(clip, draws(), 4.0).samples) == len(clip.samples)
    made = Silence((1, 1), (3, 3)).apply(clip, draws(), 6.0)
    assert made.words[0]["start"] == 0.25 + 0.5  # two seconds are left, one to three
    assert made.seconds == 6.0
    longer = Silence((1, 1)).apply(clip, draws(), 3.0)
    assert np.array_equal(longer.samples, clip.samples)


def test_the_same_rows_are_joined_in_each_epoch_but_with_others():
    rows, sizes = small_corpus()
    join = Concatenation(rows, sizes, 20.0, 0.5)
    partners = []
    for row, size in zip(rows, sizes):
        names = [join.apply(clip_of(row), draws(seed), 20.0).name for seed in range(3)]
        if join.bound(size, row_key(row)) == size:
            assert names == [row["id"]] * 3
        partners.append(len(set(names)))
        languages = {rows[int(part[1:])]["language"] for name in names for part in name.split(" + ")}
        assert languages == {row["language"]}
    assert 10 <= sum(count > 1 for count in partners) <= 30
    assert sum(count == 3 for count in partners) > 0


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probability_is_the_share_of_clips(probability):
    class Mark(Step):
        def apply(self, clip, random, limit):
            return Clip(clip.samples, clip.rate, clip.words, "marked", clip.key)

    augment, clip = Augmentation([Mark(probability)]), clip_of(speech())
    share = np.mean([augment(clip, draws(seed)).name == "marked" for seed in range(400)])
    assert share == pytest.approx(probability, abs=0.07)
    rows, sizes = small_corpus(300)
    joined = [
        b != s
        for s, b in (
            (s, Concatenation(rows, sizes, 30.0, probability).bound(s, row_key(r))) for r, s in zip(rows, sizes)
        )
    ]
    assert np.mean(joined) == pytest.approx(probability, abs=0.1)


def test_rows_that_cannot_be_joined_are_named():
    rows, sizes = small_corpus(8)
    with pytest.raises(ValueError, match="not among the rows"):
        Concatenation(rows, sizes, 20.0, 1.0).apply(clip_of({**rows[1], "id": "foreign"}), draws(), 20.0)
    broken = [{**row, "audio": "gone.wav"} for row in rows]
    with pytest.raises(ValueError, match=r"joined with row r\d: 'gone\.wav'"):
        Concatenation(broken, sizes, 60.0, 1.0).apply(clip_of(rows[1]), draws(), 60.0)
    late = [{**row, "words": [{"text": "a", "start": 0.1, "end": 99.0}]} for row in rows]
    with pytest.raises(ValueError, match=r"r\d \(joined\), word 0 \('a'\) ends at 99\.0 s"):
        Concatenation(late, sizes, 60.0, 1.0).apply(clip_of(rows[1]), draws(), 60.0)


ROWS, SIZES = small_corpus(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gain((3, -3)), "Gain: decibels must be two rising numbers"),
        (lambda: Gain(3), "Gain: decibels must be two numbers"),
        (lambda: Gain(probability=1.5), "Gain: probability"),
        (lambda: Silence((-1, 0)), "Silence: before must be two rising numbers of at least 0"),
        (lambda: Speed((0, 1)), "Speed: factors"),
        (lambda: Noise((float("nan"), 3)), "Noise: snr"),
        (lambda: Noise(kinds=["brown"]), "the kind 'brown' is not known"),
        (lambda: Noise(kinds=["babble"]), "the kind 'babble' needs rows"),
        (lambda: Noise(kinds=["recordings"]), "the kind 'recordings' needs recordings"),
        (lambda: Noise(kinds=["white"], rows=ROWS), "rows are given, but 'babble' is no kind"),
        (lambda: Noise(kinds=[]), "kinds is empty"),
        (lambda: Noise(voices=0), "voices"),
        (lambda: Concatenation(ROWS, SIZES[1:], 9.0), "2 sizes for 3 rows"),
        (lambda: Concatenation([], [], 9.0), "no rows"),
        (lambda: Concatenation(ROWS, SIZES, float("inf")), "limit_seconds"),
        (lambda: Concatenation(ROWS, SIZES, 9.0, 2.0), "probability"),
        (lambda: Concatenation(ROWS, SIZES, 9.0, gap=(-1, 1)), "gap"),
        (lambda: Augmentation([Gain(), Concatenation(ROWS, SIZES, 9.0)]), "must be the first step, not number 2"),
        (lambda: Augmentation(["noise"]), "step 0 of the augmentation is of type str"),
        (lambda: Augmentation([], limit_seconds=0), "limit_seconds"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_an_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
