"""Shells complete the command: the script is tried in bash itself."""

import shutil
import subprocess
import sys

import pytest

from transformers_qwen3_asr.cli.main import main


def printed(capsys, shell: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["--print-completion", shell])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_verbs_and_options(capsys, tmp_path):
    pytest.importorskip("shtab", reason="completion needs the extra [completion]")
    script = tmp_path / "completion.bash"
    script.write_text(printed(capsys, "bash"))

    def completed(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in words)
        ask = f"""source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMP_TYPE=9
        function=$(complete -p qwen3-asr | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function; printf '%s\\n' "${{COMPREPLY[@]}}" """
        return set(subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split())

    assert completed("qwen3-asr", "al") == {"align", "align-dataset"}
    assert completed("qwen3-asr", "align", "--max-l") == {"--max-line-length", "--max-lines"}
    assert completed("qwen3-asr", "align", "--format", "Te") == {"TextGrid"}


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells(capsys, shell):
    pytest.importorskip("shtab", reason="completion needs the extra [completion]")
    script = printed(capsys, shell)
    assert "align-dataset" in script and "max-line-length" in script


def test_a_missing_shtab_is_one_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as end:
        main(["--print-completion", "bash"])
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and "needs shtab: pip install transformers-qwen3-asr[completion]" in line
