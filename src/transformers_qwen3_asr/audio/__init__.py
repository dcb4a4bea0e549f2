"""
Recordings in, whatever a user has. No model is known here.

- `sources`: files, pipes, downloads and base64 as open files
- `decoding`: samples of any source; `streams`: of recordings of any length
"""

from .decoding import audio_list, load_audio, load_audios
from .streams import AudioStream, NotReadTwice

__all__ = ["AudioStream", "NotReadTwice", "audio_list", "load_audio", "load_audios"]

# Limits, which may be set: `audio.MOST_SECONDS = 3600`. Those of pipes and downloads are in `audio.sources`.
MOST_SECONDS = 24 * 3600  # of a recording; what is longer is a mistake, or made to fill up memory
MOST_SECONDS_AT_ONCE = 4 * 3600  # of a file that is decoded into memory in one piece: 0.9 GB at 16 kHz
# hertz; there is no speech below, and what is said in a byte there would take minutes to compute
LOWEST_RATE, HIGHEST_RATE = 1000, 10**6
MOST_CHANNELS = 64  # that FFmpeg's resampler takes
