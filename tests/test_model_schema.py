"""docs/model.schema.json is that of the classes, and holds for the files of all networks but hostile ones."""

import json
import runpy
from pathlib import Path

import jsonschema
import pytest

from docs import catalogue, schema
from graphdl import Network
from graphdl.experiments import EXPERIMENTS
from graphdl.serialization import to_dict
from tests.hostile import make
from tests.test_network_files import NETWORKS

VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema.PAGE.read_text()))
# two examples have operators of their own
FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in ("custom_operator", "vae")]
JSON = [case for case in map(json.loads, make.CASES.read_text().splitlines()) if case["file"] == "model.json"]


def check(data):
    VALIDATOR.validate(json.loads(json.dumps(data)))


def test_the_schema_is_that_of_the_classes():
    assert schema.PAGE.read_text() == schema.page(), "run python -m docs.schema"
    VALIDATOR.check_schema(VALIDATOR.schema)


def test_every_setting_has_a_schema():
    open_ended = [
        (name, setting)
        for name, each in VALIDATOR.schema["$defs"].items()
        for setting, found in each.get("properties", {}).items()
        if found == {} or {} in found.get("anyOf", ())
    ]
    assert open_ended == []


def test_every_operator_with_every_settings_of_its_tests():
    cases = [case.operator for of in catalogue.cases().values() for case in of]
    definitions = VALIDATOR.schema["$defs"]
    for operator in cases:
        stored = json.loads(json.dumps(to_dict({"a": operator}, {})["operators"]["a"]))
        of_class = {"$defs": definitions, "$ref": f"#/$defs/operator.{stored['type']}"}
        jsonschema.Draft202012Validator(of_class).validate(stored)
    print(f"{len(cases)} operators")


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "own operator"])
def test_networks_of_the_tests(name):
    check(Network(*NETWORKS[name]).to_dict())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments(name):
    check(EXPERIMENTS[name].network(0).to_dict())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path):
    found = runpy.run_path(str(path))
    check(Network(found["operators"], found["connectivity"]).to_dict())


def test_hostile_files_mostly_have_no_place_in_it():
    refused = [case for case in JSON if case["kind"] in ("no_network", "operators") and case["gives"] is not None]
    valid = [case["name"] for case in refused if VALIDATOR.is_valid(json.loads(make.content_of(case)))]
    print(f"{len(refused)} files, valid by their form: {', '.join(valid)}")
    assert len(valid) < len(refused) / 5


def test_hostile_files_that_load_fit():
    for case in JSON:
        if case["gives"] is None and len(make.content_of(case)) < 5_000:
            check(json.loads(make.content_of(case)))
