"""Augmentation of raw log10-mel batches: voices, rooms, microphones and noise without touching a waveform."""

import torch
import torch.nn.functional as F
from features import BANDS

_LN10 = 2.302585092994046


def _band_hertz() -> torch.Tensor:
    """Centre frequencies of the 128 Slaney mel bands up to 8 kHz."""
    top = 15 + 27 * torch.log(torch.tensor(8.0)) / torch.log(torch.tensor(6.4))  # mel value of 8000 Hz
    mels = torch.linspace(0, float(top), BANDS + 2)[1:-1]
    return torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * torch.log(torch.tensor(6.4)) / 27))


def _mean_power(raw: torch.Tensor) -> torch.Tensor:
    """The mean power of a clip, both in log10."""
    return (raw * _LN10).exp().mean().clamp(min=1e-9).log10()


def _hertz_band(hertz: torch.Tensor) -> torch.Tensor:
    """Fractional band index of frequencies, the inverse of `_band_hertz`."""
    top = 15 + 27 * torch.log(torch.tensor(8.0)) / torch.log(torch.tensor(6.4))
    mels = torch.where(
        hertz < 1000, hertz * 3 / 200, 15 + 27 * torch.log(hertz.clamp(min=1) / 1000) / torch.log(torch.tensor(6.4))
    )
    return mels / top * (BANDS + 1) - 1


class Augmenter:
    """`(clips, frames, 128)` raw log10 mel -> the same, each clip changed in its own way."""

    def __init__(self):
        hertz = _band_hertz()
        self.warps = torch.stack([self._warp(hertz, factor) for factor in torch.linspace(0.82, 1.22, 41)])
        # A band of few FFT bins fluctuates more in noise.
        bins = (hertz / 8000 * 110).clamp(min=1) * 0.12 + 1
        self.flutter = 1 / bins.sqrt()
        self.curve = torch.arange(BANDS) / BANDS

    @staticmethod
    def _warp(hertz: torch.Tensor, factor: float) -> torch.Tensor:
        """Matrix that moves every formant (and the pitch) by `factor`: vocal tract length perturbation."""
        source = _hertz_band(hertz / factor).clamp(0, BANDS - 1.001)
        low = source.floor().long()
        matrix = torch.zeros(BANDS, BANDS)
        columns = torch.arange(BANDS)
        matrix[low, columns] = 1 - (source - low)
        matrix[low + 1, columns] = source - low
        return matrix

    def _smooth(self, rows: int, generator, size: float) -> torch.Tensor:
        """Random smooth curves over the bands, `(rows, 1, bands)`, of about `size` (log10 power)."""
        terms = torch.arange(1, 6)
        weight = torch.randn(rows, 5, generator=generator) * size / terms
        phase = torch.rand(rows, 5, 1, generator=generator) * 6.283
        waves = torch.cos(phase + terms[:, None] * torch.pi * self.curve)
        return (weight[..., None] * waves).sum(1, keepdim=True)

    def __call__(self, raw: torch.Tensor, mask: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        rows = len(raw)

        def uniform(low, high):
            return low + (high - low) * torch.rand(rows, 1, 1, generator=generator)

        def some(share):
            return torch.rand(rows, 1, 1, generator=generator) < share

        choice = torch.randint(len(self.warps), (rows,), generator=generator)
        choice[torch.rand(rows, generator=generator) < 0.25] = 20  # a quarter keeps its voice
        raw = raw @ self.warps[choice]
        raw = self._reverberate(raw, generator)
        loud = ((raw * _LN10).exp() * mask[..., None]).sum((1, 2), keepdim=True)
        loud = (loud / (mask.sum(1)[:, None, None] * BANDS)).clamp(min=1e-9).log10()
        raw = raw + self._smooth(rows, generator, 0.5) * some(0.8)
        raw = self._noise(raw, loud - some(0.1) * 3.0, uniform(0.3, 4.5), generator)
        if torch.rand(1, generator=generator) < 0.15 and rows > 1:  # someone else speaks in the background
            other = raw.roll(1, 0) - uniform(1.0, 2.5)
            raw = torch.logaddexp(raw * _LN10, other * _LN10) / _LN10
        raw = raw + uniform(-2.0, 1.0)
        return self._blank(raw, generator)

    def with_noise(self, block: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One clip `(frames, 128)` with noise 3 to 25 dB below it."""
        loud = _mean_power(block)
        below = 0.3 + 2.2 * torch.rand(1, 1, 1, generator=generator)
        return self._noise(block[None], loud, below, generator)[0]

    def _noise(self, raw: torch.Tensor, loud: torch.Tensor, below: torch.Tensor, generator) -> torch.Tensor:
        """`raw` with stationary noise, `below` the level `loud` (both log10 power); mostly it falls with frequency, as
        real noise does."""
        tilt = (-0.5 + 2.5 * torch.rand(len(raw), 1, 1, generator=generator)) * (0.5 - self.curve)
        noise = loud - below + tilt + self._smooth(len(raw), generator, 0.4)
        grain = torch.rand(raw.shape, generator=generator).clamp(1e-4, 0.9999)
        noise = noise + (-grain.log()).log10() * self.flutter
        return torch.logaddexp(raw * _LN10, noise * _LN10) / _LN10

    def without_words(self, like: torch.Tensor, frames: int, generator: torch.Generator) -> torch.Tensor:
        """`(frames, 128)` without speech, about as loud as the clip `like` `(any, 128)` or up to 15 dB less: noise, or
        notes of a keyboard over some."""
        loud = _mean_power(like)
        draw = torch.rand(2, generator=generator)
        quiet = torch.full((1, frames, BANDS), -10.0)
        if draw[0] < 0.5:
            return self._noise(quiet, loud, 1.5 * draw[1].view(1, 1, 1), generator)[0]
        notes, at = torch.zeros(frames, BANDS), 0
        while at < frames:  # some notes at once, which die away until the next ones
            lasting = min(frames - at, int(torch.randint(15, 80, (1,), generator=generator)))
            pitch = 80 * 2 ** (3.5 * torch.rand(4, 1, generator=generator))
            bands = _hertz_band((pitch * torch.arange(1, 9)).clamp(max=7900)).flatten()
            power = torch.arange(1, 9).float().pow(-2.0).repeat(4)
            lines = (power[:, None] * torch.exp(-((bands[:, None] - torch.arange(BANDS)) ** 2))).sum(0)
            decay = 10 ** (-(0.01 + 0.04 * torch.rand(1, generator=generator)) * torch.arange(lasting))
            notes[at : at + lasting] = decay[:, None] * lines
            at += lasting
        notes = (notes / notes.mean()).clamp(min=1e-10).log10() + loud - 1.5 * draw[1]
        return self._noise(notes[None].clamp(min=-10), loud, torch.full((1, 1, 1), 2.0), generator)[0]

    def telephone(self, raw: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
        """`share` of the clips as over a telephone: what lies below 200 to 400 Hz and above 3 to 3.8 kHz falls by 20
        to 70 dB, within a third of an octave."""
        rows = len(raw)

        def uniform(low, high):
            return low + (high - low) * torch.rand(rows, 1, 1, generator=generator)

        octaves = _band_hertz().log2()
        below, above = uniform(200, 400).log2() - octaves, octaves - uniform(3000, 3800).log2()
        outside = below.clamp(min=0) + above.clamp(min=0)
        depth = uniform(2.0, 7.0) * (torch.rand(rows, 1, 1, generator=generator) < share)
        return (raw - depth * (3 * outside).clamp(max=1)).clamp(min=-10)

    def _reverberate(self, raw: torch.Tensor, generator) -> torch.Tensor:
        """A third of the clips in a room: power smeared backwards in time with an exponential tail."""
        rows = torch.nonzero(torch.rand(len(raw), generator=generator) < 0.33).flatten()
        if len(rows) == 0:
            return raw
        # 6.9 is ln(1000): the amplitude falls by 60 dB within 0.15 to 0.6 s.
        taps = torch.arange(25.0)
        decay = 6.9 / (15 + 45 * torch.rand(len(rows), 1, generator=generator))
        tail = 0.02 + 0.25 * torch.rand(len(rows), 1, generator=generator)
        kernel = tail * torch.exp(-2 * decay * taps)
        kernel[:, 0] = 1.0
        power = (raw[rows] * _LN10).exp().transpose(1, 2)  # rows, bands, frames
        power = F.pad(power, (len(taps) - 1, 0)).transpose(0, 1)  # bands, rows, frames
        smeared = F.conv1d(power, kernel.flip(-1)[:, None], groups=len(rows)).permute(1, 2, 0)
        raw = raw.clone()
        raw[rows] = smeared.clamp(min=1e-10).log10()
        return raw

    @staticmethod
    def _blank(raw: torch.Tensor, generator) -> torch.Tensor:
        """Blank a band range and a short time range in half of the clips (SpecAugment)."""
        rows, frames, bands = raw.shape
        time, band = torch.arange(frames), torch.arange(bands)

        def ranges(size, widest, axis):
            begin = torch.randint(size, (rows, 1), generator=generator)
            width = torch.randint(widest + 1, (rows, 1), generator=generator)
            width = width * (torch.rand(rows, 1, generator=generator) < 0.5)
            return (axis >= begin) & (axis < begin + width)

        blank = ranges(frames, 12, time)[:, :, None] | ranges(bands, 18, band)[:, None, :]
        return torch.where(blank, raw.mean((1, 2), keepdim=True), raw)
