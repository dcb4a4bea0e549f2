"""Synthesizers that say exactly when each word and phoneme is spoken: eSpeak NG, Flite and Festival.

Each speaker turns a text into an `Utterance`, or into None when the engine's account of its words does not fit the
text's own words one to one (an engine that joined, dropped or invented a word has no exact times for that text).
"""

import ctypes as C
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from texts import clean_word


@dataclass
class Utterance:
    """A spoken text. `samples` int16 mono at `rate` hertz; times in seconds.

    words: (word, start, end); phones: (name, start), a name of "" is silence.
    """

    samples: np.ndarray
    rate: int
    words: list[tuple[str, float, float]]
    phones: list[tuple[str, float]]


class _EventId(C.Union):
    _fields_ = [("number", C.c_int), ("name", C.c_char_p), ("string", C.c_char * 8)]


class _Event(C.Structure):
    _fields_ = [
        ("type", C.c_int),
        ("unique_identifier", C.c_uint),
        ("text_position", C.c_int),
        ("length", C.c_int),
        ("audio_position", C.c_int),
        ("sample", C.c_int),
        ("user_data", C.c_void_p),
        ("id", _EventId),
    ]


_WORD, _PHONEME = 1, 7
_RATE, _PITCH, _RANGE, _WORDGAP = 1, 3, 4, 7


class EspeakSpeaker:
    """eSpeak NG through its library, because only the library's events carry exact times.

    Raises:
        OSError: libespeak-ng is not installed.
    """

    def __init__(self):
        self.library = C.CDLL("libespeak-ng.so.1")
        # 2: AUDIO_OUTPUT_SYNCHRONOUS, samples go to the callback; option 1: phoneme events.
        self.rate = self.library.espeak_Initialize(2, 0, None, 1)
        self._audio: list[bytes] = []
        self._events: list[tuple[int, int, int, str]] = []
        callback = C.CFUNCTYPE(C.c_int, C.POINTER(C.c_short), C.c_int, C.POINTER(_Event))

        def collect(samples, count, events):
            if count > 0:
                self._audio.append(C.string_at(samples, count * 2))
            i = 0
            while events[i].type:
                event = events[i]
                if event.type == _WORD:
                    self._events.append((_WORD, event.sample, event.text_position - 1, ""))
                elif event.type == _PHONEME:
                    name = event.id.string.decode("utf-8", "replace")
                    self._events.append((_PHONEME, event.sample, 0, "" if name.startswith("_") else name))
                i += 1
            return 0

        self._callback = callback(collect)  # kept alive: C holds only the address
        self.library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, rate=175, pitch=50, pitch_range=50, wordgap=0) -> Utterance | None:
        """Speak `text`. rate: words a minute; pitch, pitch_range: 0 to 100; wordgap: units of 10 ms."""
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice!r}")
        for key, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range), (_WORDGAP, wordgap)):
            self.library.espeak_SetParameter(key, int(value), 0)
        tokens = text.split()
        # A no-break space keeps eSpeak from speaking two words as one ("of the"); after punctuation it would read
        # the punctuation's name, so a plain space stays there.
        spoken = "".join(t + ("\u00a0" if t[-1].isalnum() else " ") for t in tokens).rstrip()
        self._audio.clear()
        self._events.clear()
        data = spoken.encode()
        self.library.espeak_Synth(C.c_char_p(data), C.c_size_t(len(data) + 1), 0, 1, 0, 1, None, None)
        samples = np.frombuffer(b"".join(self._audio), dtype=np.int16)
        owner = []
        for i, token in enumerate(tokens):
            owner += [i] * (len(token) + 1)
        starts: dict[int, float] = {}
        latest = -1
        for kind, sample, position, _ in self._events:
            if kind != _WORD:
                continue
            # Between clauses eSpeak repeats an event of the clause before, often on a blank: that one is no word.
            if position >= len(spoken) or spoken[position].isspace() or owner[position] < latest:
                continue
            index = owner[position]
            starts.setdefault(index, sample / self.rate)
            latest = index
        if sorted(starts) != list(range(len(tokens))):
            return None
        begin = [starts[i] for i in range(len(tokens))] + [len(samples) / self.rate]
        phones = [(name, sample / self.rate) for kind, sample, _, name in self._events if kind == _PHONEME]
        words = []
        for i, token in enumerate(tokens):
            inside = [(name, time) for name, time in phones if begin[i] < time < begin[i + 1]]
            # a number is said as several words with pauses between, and ends at the pause behind the last one
            number = any(character.isdigit() for character in token)
            sounding = max([time for name, time in inside if name], default=begin[i]) if number else begin[i]
            end = min([time for name, time in inside if not name and time > sounding], default=begin[i + 1])
            words.append((clean_word(token), begin[i], end))
        return Utterance(samples, self.rate, words, phones)


class _Wave(C.Structure):
    _fields_ = [
        ("type", C.c_char_p),
        ("sample_rate", C.c_int),
        ("num_samples", C.c_int),
        ("num_channels", C.c_int),
        ("samples", C.POINTER(C.c_short)),
    ]


class _Voice(C.Structure):
    _fields_ = [("name", C.c_char_p), ("features", C.c_void_p)]


class FliteSpeaker:
    """Flite's voices kal16, awb, rms and slt, built from recordings of people; times from its utterance relations.

    Raises:
        OSError: libflite or one of its voice libraries is not installed.
    """

    def __init__(self, voices=("kal16", "awb", "rms", "slt")):
        self.flite = C.CDLL("libflite.so.1", mode=C.RTLD_GLOBAL)
        for name in ("libflite_cmulex.so.1", "libflite_usenglish.so.1"):
            C.CDLL(name, mode=C.RTLD_GLOBAL)
        self.flite.flite_init()
        pointer = C.c_void_p
        for name, result, arguments in (
            ("flite_synth_text", pointer, [C.c_char_p, pointer]),
            ("utt_wave", C.POINTER(_Wave), [pointer]),
            ("utt_relation", pointer, [pointer, C.c_char_p]),
            ("relation_head", pointer, [pointer]),
            ("item_next", pointer, [pointer]),
            ("item_daughter", pointer, [pointer]),
            ("ffeature_string", C.c_char_p, [pointer, C.c_char_p]),
            ("ffeature_float", C.c_float, [pointer, C.c_char_p]),
            ("feat_set_float", None, [pointer, C.c_char_p, C.c_float]),
            ("delete_utterance", None, [pointer]),
        ):
            function = getattr(self.flite, name)
            function.restype, function.argtypes = result, arguments
        self.voices = {}
        for name in voices:
            register = getattr(C.CDLL(f"libflite_cmu_us_{name}.so.1", mode=C.RTLD_GLOBAL), f"register_cmu_us_{name}")
            register.restype, register.argtypes = pointer, [pointer]
            self.voices[name] = register(None)

    def speak(self, text: str, voice: str, stretch=1.0, pitch=None) -> Utterance | None:
        """Speak `text`. stretch: factor on every duration; pitch: mean of the melody in hertz (kal16 only)."""
        if voice not in self.voices:
            raise ValueError(f"Flite voice {voice!r} is not loaded; there are {sorted(self.voices)}")
        features = C.cast(self.voices[voice], C.POINTER(_Voice)).contents.features
        self.flite.feat_set_float(features, b"duration_stretch", stretch)
        if pitch is not None:
            self.flite.feat_set_float(features, b"int_f0_target_mean", pitch)
        utterance = self.flite.flite_synth_text(text.encode(), self.voices[voice])
        try:
            return self._read(utterance, text.split())
        finally:
            self.flite.delete_utterance(utterance)

    def _items(self, utterance, relation: bytes):
        item = self.flite.relation_head(self.flite.utt_relation(utterance, relation))
        while item:
            yield item
            item = self.flite.item_next(item)

    def _read(self, utterance, tokens) -> Utterance | None:
        sound = self.flite.utt_wave(utterance).contents
        samples = np.ctypeslib.as_array(sound.samples, (sound.num_samples,)).copy()
        words = []
        items = list(self._items(utterance, b"Token"))
        if len(items) != len(tokens):
            return None
        for item, token in zip(items, tokens, strict=True):
            name = self.flite.ffeature_string(item, b"name").decode("utf-8", "replace")
            if clean_word(name) != clean_word(token):
                return None
            word = self.flite.item_daughter(item)
            start = end = None
            while word:
                if start is None:
                    start = self._time(word, b"R:SylStructure.daughter1.daughter1.R:Segment.p.end")
                end = self._time(word, b"R:SylStructure.daughtern.daughtern.R:Segment.end")
                word = self.flite.item_next(word)
            if start is None or end <= start:
                return None
            words.append((clean_word(token), start, end))
        phones, begin = [], 0.0
        for item in self._items(utterance, b"Segment"):
            name = self.flite.ffeature_string(item, b"name").decode()
            phones.append(("" if name == "pau" else name, begin))
            begin = self._time(item, b"end")
        return Utterance(samples, sound.sample_rate, words, phones)

    def _time(self, item, path: bytes) -> float:
        return float(self.flite.ffeature_float(item, path))


_FESTIVAL = """
(define (report utt)
  (mapcar (lambda (token) (if (not (item.parent token)) (begin
    (format t "T|%s\\n" (item.name token))
    (mapcar (lambda (word)
        (format t "W|%f|%f\\n" (item.feat word "R:Word.word_start") (item.feat word "R:Word.word_end")))
      (item.daughters token)))))
    (utt.relation.items utt 'Token))
  (mapcar (lambda (segment) (format t "P|%s|%f\\n" (item.name segment) (item.feat segment "end")))
    (utt.relation.items utt 'Segment))
  (format t "END\\n"))
(define (say text file)
  (let ((utt (utt.synth (eval (list 'Utterance 'Text text)))))
    (utt.wave.resample utt 16000)
    (utt.save.wave utt file 'riff)
    (report utt)))
"""


class FestivalSpeaker:
    """Festival's diphone and HTS voices, a batch of texts in one process.

    Raises:
        OSError: festival is not installed.
    """

    def speak_all(self, texts: list[str], voice: str, stretches: list[float]) -> list[Utterance | None]:
        """Speak every text with `voice`; stretches: factors on the durations, one a text."""
        with tempfile.TemporaryDirectory() as folder:
            script = [_FESTIVAL, f"(voice_{voice})"]
            for i, (text, stretch) in enumerate(zip(texts, stretches, strict=True)):
                script.append(f"(Parameter.set 'Duration_Stretch {stretch:.3f})")
                quoted = text.replace("\\", "").replace('"', "")
                script.append(f'(say "{quoted}" "{folder}/{i}.wav")')
            path = Path(folder, "script.scm")
            path.write_text("\n".join(script))
            done = subprocess.run(["festival", "-b", str(path)], capture_output=True, text=True)
            reports = done.stdout.split("END\n")
            if len(reports) != len(texts) + 1:
                raise ValueError(
                    f"festival voice {voice!r} spoke {len(reports) - 1} of {len(texts)} texts: {done.stderr}"
                )
            return [self._read(f"{folder}/{i}.wav", reports[i], text) for i, text in enumerate(texts)]

    @staticmethod
    def _read(path: str, report: str, text: str) -> Utterance | None:
        with wave.open(path) as sound:
            rate = sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype=np.int16)
        tokens = [[clean_word(t), None, None] for t in text.replace('"', "").split()]
        index, phones, begin = -1, [], 0.0
        for line in report.splitlines():
            kind, *rest = line.split("|")
            if kind == "T":
                index += 1
                if index >= len(tokens) or clean_word(rest[0]) != tokens[index][0]:
                    return None
            elif kind == "W":
                if float(rest[1]) == 0.0:  # punctuation counts as a word without segments
                    continue
                if tokens[index][1] is None:
                    tokens[index][1] = float(rest[0])
                tokens[index][2] = float(rest[1])
            elif kind == "P":
                phones.append(("" if rest[0] == "pau" else rest[0], begin))
                begin = float(rest[1])
        if index != len(tokens) - 1 or any(s is None or e <= s for _, s, e in tokens):
            return None
        return Utterance(samples, rate, [tuple(t) for t in tokens], phones)
