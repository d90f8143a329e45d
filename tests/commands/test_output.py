import json
import os
import subprocess
import sys

import graphdl


def shell(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "graphdl", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout
    return done


def test_a_version_json_and_shell_completion(run, entropy, tmp_path):
    assert run("--version") == f"graphdl {graphdl.__version__}\n"
    found = json.loads(run("summary", entropy, "--json"))
    assert found["inputs"] == ["x", "target"]
    assert [node["operator"] for node in found["nodes"]][-1] == "CrossEntropyLoss"
    assert json.loads(run("draw", entropy, "-o", tmp_path / "a.dot", "--json")) == {
        "written": [str(tmp_path / "a.dot")]
    }


def test_the_shell_completes_commands_and_examples():
    completing = {"_GRAPHDL_COMPLETE": "complete_bash"}
    from typer.testing import CliRunner

    from graphdl.cli import app

    def completed(words, at):
        environment = {**completing, "COMP_WORDS": words, "COMP_CWORD": str(at)}
        return CliRunner().invoke(app, [], env=environment, prog_name="graphdl").output.split()

    assert {"train", "resume", "predict"} <= set(completed("graphdl ", 1))
    assert {"disc", "digits"} <= set(completed("graphdl run d", 2))


def test_exit_codes(tmp_path):
    wrong = shell("summary", tmp_path / "absent.json")
    assert wrong.returncode == 1
    assert len(wrong.stderr.strip().splitlines()) == 1
    assert shell("trian").returncode == 2
