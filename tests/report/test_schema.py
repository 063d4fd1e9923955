from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from nmcompiler.errors import UsageError
from nmcompiler.report.schema import SCHEMAS, load_schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_a_valid_schema_that_names_its_version(name: str) -> None:
    schema = load_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"] == {"const": f"nmcompiler.{name}/1"}


def test_facts_match_their_schemas(program_facts: dict[str, Any], run_facts: dict[str, Any]) -> None:
    jsonschema.validate(program_facts, load_schema("compile"))
    jsonschema.validate(run_facts, load_schema("run"))


def test_a_missing_or_wrong_key_is_refused(program_facts: dict[str, Any]) -> None:
    del program_facts["cores"]["used"]
    with pytest.raises(jsonschema.ValidationError, match="'used' is a required property"):
        jsonschema.validate(program_facts, load_schema("compile"))


def test_further_keys_are_welcome(run_facts: dict[str, Any]) -> None:
    jsonschema.validate({**run_facts, "more": 1}, load_schema("run"))


def test_an_unknown_schema_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'inspect'"):
        load_schema("inspct")
