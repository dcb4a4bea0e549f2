"""model_cards/: metadata that huggingface_hub reads, figures equal to their source, and examples that run."""

import re

import pytest
from conftest import ROOT
from huggingface_hub import ModelCard
from transformers import AutoConfig

import transformers_qwen3_asr  # noqa: F401 (registers the classes)
from transformers_qwen3_asr.checkpoints import bundled_models
from transformers_qwen3_asr.checkpoints.published import PUBLISHED_MODELS

CARDS = {path.stem: path for path in sorted((ROOT / "model_cards").glob("*.md"))}
PUBLISHED = [name.split("/")[1] for name in PUBLISHED_MODELS]
GOLDENS = ROOT / "tests" / "goldens"
SHARED = ROOT.parent / "shared"
# ISO codes of the languages that the published configs list by name
CODES = {
    "Arabic": "ar", "Cantonese": "yue", "Chinese": "zh", "Czech": "cs", "Danish": "da", "Dutch": "nl", "English": "en",
    "Filipino": "fil", "Finnish": "fi", "French": "fr", "German": "de", "Greek": "el", "Hindi": "hi",
    "Hungarian": "hu", "Indonesian": "id", "Italian": "it", "Japanese": "ja", "Korean": "ko", "Macedonian": "mk",
    "Malay": "ms", "Persian": "fa", "Polish": "pl", "Portuguese": "pt", "Romanian": "ro", "Russian": "ru",
    "Spanish": "es", "Swedish": "sv", "Thai": "th", "Turkish": "tr", "Vietnamese": "vi",
}  # fmt: skip


def examples(name):
    return re.findall(r"```python\n(.*?)```", CARDS[name].read_text(encoding="utf-8"), flags=re.DOTALL)


def test_every_published_and_bundled_model_has_a_card():
    assert set(CARDS) >= {*PUBLISHED, *bundled_models()}


@pytest.mark.parametrize("name", CARDS)
def test_metadata(name):
    card = ModelCard.load(CARDS[name])
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    task = "automatic-speech-recognition" if "-ASR-" in name else "token-classification"
    assert card.data.pipeline_tag == task
    languages = card.data.language if isinstance(card.data.language, list) else [card.data.language]
    assert languages and set(languages) <= set(CODES.values())
    assert len(set(languages)) == len(languages)
    assert "transformers-qwen3-asr" in card.data.tags
    if name in PUBLISHED:
        assert card.data.base_model == f"Qwen/{name}"
    for heading in ("## Languages", "## Use", "## Limits"):
        assert heading in card.text, heading


@pytest.mark.parametrize("name", PUBLISHED)
def test_languages_are_the_configs(name):
    path = SHARED / "checkpoints" / f"{name}.config.json"
    if not path.is_file():
        pytest.skip("../shared/checkpoints (the published configs) is not here")
    card = ModelCard.load(CARDS[name])
    listed = AutoConfig.from_pretrained(path).support_languages
    assert set(card.data.language) == {CODES[language] for language in listed}
    text = card.text.split("## Languages")[1].split("##")[0]
    assert all(re.search(rf"\b{language}\b", text) for language in listed)


def rows_of(text):
    """Tables as {first cells: numbers}, bold marks and dashes dropped."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            yield [cell.strip().strip("*") for cell in line.strip("|").split("|")]


def test_the_aligners_published_shift():
    """The card's table holds the report's figures, and its metadata the two averages."""
    card = ModelCard.load(CARDS["Qwen3-ForcedAligner-0.6B"])
    assert "2601.21337" in card.text and "Table 2" in card.text
    table = {row[0]: row[1:] for row in rows_of(card.text)}
    averages = [result.metric_value for result in card.data.eval_results]
    assert averages == [float(table["MFA, average"][0]), float(table["people, average"][0])] == [42.9, 32.4]
    assert all(result.source_url == "https://arxiv.org/abs/2601.21337" for result in card.data.eval_results)

    report = SHARED / "REPORT.md"
    if not report.is_file():
        pytest.skip("../shared/REPORT.md (the report's figures) is not here")
    group, compared = "", 0
    for row in rows_of(report.read_text(encoding="utf-8")):
        if len(row) != 6 or row[0] == "set":
            continue
        source, language, _, nfa, whisperx, ours = row
        group = source or group
        if group.startswith("MFA-labelled, raw"):
            key = f"MFA, {language}"
        elif group.startswith("MFA-labelled, joined"):
            key = "MFA, joined to 300 s"
        else:
            key = group.replace("human-labelled, ", "people, ").replace("human-labelled", "people, average")
        number = re.match(r"[\d.]+", ours).group()
        assert table[key] == [number, nfa, whisperx], key
        compared += 1
    assert compared == len(table) - 1 == 18


@pytest.mark.parametrize("name", PUBLISHED)
def test_examples_run(name, capsys):
    """Every Python example, on the golden checkpoint of the same kind and a clip of the goldens."""
    kind = "asr" if "-ASR-" in name else "aligner"
    blocks = examples(name)
    assert blocks
    for block in blocks:
        assert f"Qwen/{name}" in block and "recording.flac" in block
        block = block.replace(f"Qwen/{name}", str(GOLDENS / kind))
        block = block.replace("recording.flac", str(GOLDENS / "clips" / "sense_0890.flac"))
        exec(compile(block, str(CARDS[name]), "exec"), {})
        said = capsys.readouterr().out
        expected = ("language", "transcription") if kind == "asr" else ("Unless", "hearted")
        assert all(word in said for word in expected), said
