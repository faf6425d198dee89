"""What programs read: JSON, whatever a YAML file held."""

import json

import yaml

from llm_gateway.results import Result

ODD = """
version: 2024-10-21
at: 2024-10-21T10:00:00Z
binary: !!binary aGk=
set: !!set {b, a}
pairs: !!pairs [k: 1]
numbers: [.inf, .nan, 1.5]
2024-10-21: key
1.5: key
2: key
true: key
null: key
!!binary aGk=: key
"""


def test_every_value_of_a_yaml_file_can_be_carried():
    envelope = Result("config show", {"config": yaml.safe_load(ODD)}).envelope()

    def refuse(name):
        raise AssertionError(name)

    assert json.loads(envelope, parse_constant=refuse)["data"]["config"] == {
        "version": "2024-10-21",
        "at": "2024-10-21T10:00:00+00:00",
        "binary": "aGk=",
        "set": ["a", "b"],
        "pairs": [["k", 1]],
        "numbers": ["inf", "nan", 1.5],
        "2024-10-21": "key",
        "1.5": "key",
        "2": "key",
        "true": "key",
        "null": "key",
        "aGk=": "key",
    }
