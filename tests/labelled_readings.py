"""Labelled rows for tests of evaluation: made-up ones, and a reading with the times that PocketSphinx gives it."""

from conftest import ROOT

EXAMPLES = ROOT / "examples"
# Beginnings and ends in hundredths of a second, from PocketSphinx 5.1.1's forced alignment
READINGS = {
    "sense_and_sensibility.flac": (
        "and mister john dashwood had then leisure to consider how much there might be prudently in his power to do "
        "for them",
        (20, 37), (37, 63), (63, 98), (98, 158), (158, 184), (184, 225), (225, 271), (271, 289), (289, 344),
        (344, 400), (400, 433), (433, 452), (452, 479), (479, 494), (494, 546), (546, 556), (556, 575), (575, 604),
        (604, 614), (614, 635), (635, 661), (661, 679),
    ),
}  # fmt: skip


def words(text, *times):
    """Words of a row; times in milliseconds."""
    return [
        {"text": word, "start": start / 1000, "end": end / 1000}
        for word, (start, end) in zip(text.split(), times, strict=True)
    ]


def row(id, text, *times, language="English", **more):
    return {"id": id, "audio": f"{id}.wav", "text": text, "language": language, "words": words(text, *times), **more}


def readings():
    return [
        row(name, text, *[(10 * start, 10 * end) for start, end in times], audio=EXAMPLES / name)
        for name, (text, *times) in READINGS.items()
    ]
