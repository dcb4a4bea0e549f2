"""A file of words with times in each of the formats that labels are read from."""

from label_samples import labels, write


def json_lines(path, words):
    return write(path.with_suffix(".jsonl"), {"audio": "speech.wav", "words": labels(*words)})


def whisper(path, words):
    return write(path.with_suffix(".json"), {"segments": [{"words": labels(*words)}]})


def ctm(path, words):
    lines = (f"speech A {start} {round(end - start, 3)} {text}\n" for text, start, end in words)
    return write(path.with_suffix(".ctm"), "".join(lines))


def text_grid(path, words):
    """One tier, as no program but hands would write it."""
    intervals = "".join(f'{start}\n{end}\n"{text}"\n' for text, start, end in words)
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n3\n<exists>\n1\n"IntervalTier"\n"words"\n0\n3\n'
    return write(path.with_suffix(".TextGrid"), f"{head}{len(words)}\n{intervals}")


def cues(head, point, words):
    stamp = "00:00:{:06.3f}".format
    return head + "\n\n".join(
        f"{i}\n{stamp(start)} --> {stamp(end)}\n{text}".replace(".", point)
        for i, (text, start, end) in enumerate(words, 1)
    )


def srt(path, words):
    return write(path.with_suffix(".srt"), cues("", ",", words))


def vtt(path, words):
    return write(path.with_suffix(".vtt"), cues("WEBVTT\n\n", ".", words))
