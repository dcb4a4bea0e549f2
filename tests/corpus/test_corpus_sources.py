"""What a corpus is read from: every form gives the same rows, and says in one line what is wrong."""

import io
import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_clips import clips

from transformers_qwen3_asr.corpus import open_source

ROWS = clips(20)
NAN = float("nan")


def tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def recordings(folder, rows=ROWS):
    for row in rows:
        (folder / f"{row['id']}.wav").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{row['id']}.wav").write_bytes(row["audio"])
    return folder


def lines(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def as_parquet(folder):
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table.slice(0, 8), folder / "a.parquet", row_group_size=3)
    pq.write_table(table.slice(8), folder / "b.parquet")
    return folder, None


def as_parquet_of_datasets(folder):
    from datasets import Audio, Dataset

    rows = [{**row, "audio": {"bytes": row["audio"], "path": None}, "speaker": 5} for row in ROWS]
    Dataset.from_list(rows).cast_column("audio", Audio(decode=False)).to_parquet(folder / "x.parquet")
    return folder / "x.parquet", None


def as_json_lines(folder):
    recordings(folder / "clips")
    rows = [{"id": row["id"], "audio": f"clips/{row['id']}.wav", "text": row["text"]} for row in ROWS]
    return lines(folder / "x.jsonl", rows), None


def as_a_nemo_manifest(folder):
    recordings(folder / "clips")
    rows = [{"audio_filepath": f"clips/{row['id']}.wav", "duration": 1, "text": row["text"]} for row in ROWS]
    return lines(folder / "x.json", rows), {"format": "jsonl"}


def as_a_folder(folder):
    recordings(folder)
    for row in ROWS:
        (folder / f"{row['id']}.txt").write_text(row["text"], "utf-8")
    return folder, None


def as_tars(folder):
    for shard, rows in enumerate((ROWS[:9], ROWS[9:])):
        members = []
        for row in rows:
            members += [(f"{row['id']}.wav", row["audio"]), (f"{row['id']}.txt", row["text"].encode())]
        tar(folder / "shards" / f"{shard}.tar", members)
    return f"{folder}/shards/*.tar", None


def as_tars_with_json(folder):
    members = []
    for row in ROWS:
        members += [(f"./a/{row['id']}.json", json.dumps({"text": row["text"]}).encode())]
        members += [(f"./a/{row['id']}.wav", row["audio"])]
    return tar(folder / "x.tar", members), None


FORMS = {name: value for name, value in globals().items() if name.startswith("as_")}
OTHER_IDS = {"as_a_nemo_manifest", "as_a_folder", "as_tars", "as_tars_with_json"}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(form, tmp_path):
    from transformers_qwen3_asr.audio import load_audio

    path, options = FORMS[form](tmp_path)
    source = open_source(path, **(options or {}))
    assert source.count == (None if "tar" in form else len(ROWS))
    found = list(source)
    assert [row.text for row in found] == [row["text"] for row in ROWS]
    assert all(row.error is None for row in found)
    assert len({row.id for row in found}) == len(ROWS)
    if form not in OTHER_IDS:
        assert [row.id for row in found] == [row["id"] for row in ROWS]
    for row, expected in zip(found, ROWS):
        np.testing.assert_array_equal(load_audio(row.audio), load_audio(expected["audio"]))
    again = open_source(path, **(options or {}))
    assert [row.id for row in again] == [row.id for row in found]


def test_ids_do_not_depend_on_where_the_corpus_lies(tmp_path):
    for form in OTHER_IDS:
        ids = []
        for place in ("here", "there"):
            (tmp_path / form / place).mkdir(parents=True)
            path, options = FORMS[form](tmp_path / form / place)
            ids.append([row.id for row in open_source(path, **(options or {}))])
        assert ids[0] == ids[1], form


def test_recordings_that_nobody_wants_are_not_read_from_parquet(tmp_path):
    pq.write_table(pa.Table.from_pylist(clips(100)), tmp_path / "x.parquet", row_group_size=20)
    ids = [row.id for row in open_source(tmp_path / "x.parquet")]
    wanted = {ids[45], ids[99]}
    rows = list(open_source(tmp_path / "x.parquet").only(wanted.__contains__))
    assert [row.id for row in rows] == ids
    there = [place for place, row in enumerate(rows) if row.audio is not None]
    assert there == [*range(20), *range(40, 60), *range(80, 100)]  # of the first some were read to know the columns


def test_columns_that_are_called_differently(tmp_path):
    rows = [{"sound": row["audio"], "words": row["text"], "key": 5 + place} for place, row in enumerate(ROWS)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet", audio_column="sound", text_column="words", id_column="key")
    assert [(row.id, row.text) for row in source] == [(str(5 + i), row["text"]) for i, row in enumerate(ROWS)]


def test_a_data_set_of_the_hub_streams(monkeypatch):
    import datasets

    rows = [{**row, "audio": {"bytes": row["audio"], "path": "x.wav"}, "sentence": row["text"]} for row in ROWS]
    for row in rows:
        del row["text"]
    made = datasets.Dataset.from_list(rows).cast_column("audio", datasets.Audio(decode=True))
    asked = []

    def load_dataset(*arguments, **keywords):
        asked.append((arguments, keywords))
        return made.to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = list(open_source("owner/name", config="en", split="test"))
    assert asked == [(("owner/name", "en"), {"split": "test", "streaming": True})]
    assert [(row.id, row.text) for row in found] == [(row["id"], row["text"]) for row in ROWS]
    assert found[0].audio == ROWS[0]["audio"]


def test_what_cannot_be_read_is_a_row_with_an_error(tmp_path):
    recordings(tmp_path / "clips", ROWS[:2])
    row = {"audio": "clips/clip-00000.wav", "text": "one"}
    source = open_source(lines(tmp_path / "x.jsonl", [row, "{no json\n", "5\n", "\n", {**row, "text": "two"}]))
    found = list(source)
    assert [row.text for row in found] == ["one", None, None, "two"]
    assert [row.id for row in found[1:3]] == ["line x.jsonl:2", "line x.jsonl:3"]
    assert "no JSON" in found[1].error and "not 5" in found[2].error


def test_a_broken_file_is_a_row_and_the_others_are_read(tmp_path):
    members = [
        (f"{row['id']}.{kind}", row["audio"] if kind == "wav" else b"one") for row in ROWS for kind in ("txt", "wav")
    ]
    broken = tar(tmp_path / "tar" / "a.tar", members)
    broken.write_bytes(broken.read_bytes()[:200_000])
    tar(tmp_path / "tar" / "b.tar", members)
    found = list(open_source(tmp_path / "tar"))
    [bad] = [row for row in found if row.error]
    assert bad.id == "file a.tar" and "a.tar cannot be read" in bad.error
    assert sum(row.id.startswith("b/") for row in found) == len(ROWS)
    (tmp_path / "parquet").mkdir()
    as_parquet(tmp_path / "parquet")
    (tmp_path / "parquet" / "a.parquet").write_bytes(b"no parquet")
    found = list(open_source(tmp_path / "parquet"))
    assert found[0].id == "file a.parquet" and len(found) == 13


def test_a_sample_without_its_text_is_a_row(tmp_path):
    members = [("a.wav", ROWS[0]["audio"]), ("b.wav", ROWS[1]["audio"]), ("b.txt", b"one"), ("c.txt", b"two")]
    members += [("d.wav", ROWS[0]["audio"]), ("d.txt", b"\xff\xfe\x00")]
    found = list(open_source(tar(tmp_path / "x.tar", members)))
    assert [row.id for row in found] == ["x/a", "x/b", "x/c", "x/d"]
    assert [row.text for row in found] == [None, "one", "two", b"\xff\xfe\x00"] and found[2].audio is None


def test_a_recording_without_its_text_is_a_row(tmp_path):
    recordings(tmp_path, ROWS[:2])
    (tmp_path / "clip-00001.txt").write_bytes("größer".encode("latin-1"))
    one, two = open_source(tmp_path)
    assert one.text is None and one.error is None and "UTF-8" in two.error


def test_what_is_refused_is_named_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "a.pdf").write_bytes(b"")
    several = recordings(tmp_path / "several", ROWS[:1])
    lines(several / "x.jsonl", [{"audio": "a", "text": "b"}])
    pq.write_table(pa.table({"audio": ["a"], "words": ["b"]}), tmp_path / "x.parquet")
    lines(tmp_path / "no_text.jsonl", [{"audio": "a.wav", "label": 5}])
    lines(tmp_path / "broken.jsonl", ["{\n"])
    lines(tmp_path / "none.jsonl", [])
    (tmp_path / "cut.tar").write_bytes(b"nothing")
    cases = {
        "empty": ({}, "the folder is empty"),
        "strange": ({}, "nothing of a format"),
        "several": ({}, "several formats .*1 of audiofolder, 1 of jsonl"),
        "x.parquet": ({}, "no column 'text' or 'txt'.*it has audio, words"),
        "no_text.jsonl": ({}, "no column 'text'.*audio, label"),
        "broken.jsonl": ({}, "no JSON"),
        "none.jsonl": ({}, "no rows"),
        "cut.tar": ({}, "cut.tar cannot be read"),
        "*.flac": ({}, "no such file"),
    }
    cases = {name: (options, message) for name, (options, message) in cases.items()}
    for name, (options, message) in cases.items():
        with pytest.raises(ValueError, match=message) as caught:
            open_source(tmp_path / name, **options)
        assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value), name
    for options, message in (
        ({"format": "csv"}, "format='csv'"),
        ({"text_column": "nothing"}, "no column 'nothing'"),
        ({"text_column": "words", "id_column": "nothing"}, "no column 'nothing'"),
        ({"split": "test"}, "no data set of the hub"),
    ):
        with pytest.raises(ValueError, match=message):
            open_source(tmp_path / "x.parquet", **options)
    with pytest.raises(ValueError, match="a folder of recordings, which has no columns"):
        open_source(recordings(tmp_path / "sounds"), text_column="text")


def test_a_data_set_that_cannot_be_had_is_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="owner/nothing-of-this-name: there is no such file"):
        open_source("owner/nothing-of-this-name")


def test_several_formats_in_a_folder_can_be_told_apart(tmp_path):
    recordings(tmp_path, ROWS[:3])
    lines(tmp_path / "x.jsonl", [{"audio": f"{row['id']}.wav", "text": row["text"]} for row in ROWS[:3]])
    assert [row.text for row in open_source(tmp_path, format="jsonl")] == [row["text"] for row in ROWS[:3]]
    assert [os.path.exists(row.audio) for row in open_source(tmp_path, format="jsonl")] == [True] * 3
