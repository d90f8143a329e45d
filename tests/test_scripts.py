import pytest

from graphdl import scripts
from graphdl.errors import SettingError
from graphdl.scripts import Script, find_scripts


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "small.py"
    path.write_text('"""A small script. Run it."""\n\ndef main(epochs=3, folder="out"):\n    print(epochs, folder)\n')
    return Script(path)


def test_main_gets_the_settings_that_are_given(script, capsys):
    script.run({"epochs": None, "folder": "here", "seed": None})
    script.run({"epochs": 2, "folder": "there"})
    assert capsys.readouterr().out == "3 here\n2 there\n"
    assert script.title == "A small script"


def test_a_setting_that_main_does_not_take(script):
    with pytest.raises(SettingError, match=r"The example small has no seed: it takes epochs and folder\."):
        script.run({"seed": 1})


def test_a_main_that_draws_nothing_needs_no_folder(tmp_path, capsys):
    path = tmp_path / "silent.py"
    path.write_text("def main():\n    print('done')\n")
    Script(path).run({"folder": "out"})
    assert capsys.readouterr().out == "done\n"


def test_scripts_are_found_in_the_package_first_and_beside_it_else(tmp_path, monkeypatch):
    package = tmp_path / "graphdl"
    package.mkdir()
    monkeypatch.setattr(scripts, "__file__", str(package / "scripts.py"))
    assert find_scripts() == {}
    for folder, name in ((tmp_path / "examples", "clone"), (package / "examples", "installed")):
        folder.mkdir()
        (folder / f"{name}.py").touch()
        assert list(find_scripts()) == [name]
