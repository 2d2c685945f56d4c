"""verifier.toml: defaults, and mistakes that are named with where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from brakeline.verifier.config import CONFIG_NAME, load_config, split_address
from brakeline.verifier.errors import ConfigError


def write(directory: Path, text: str) -> Path:
    (directory / CONFIG_NAME).write_text(text, "utf-8")
    return directory


def test_a_name_is_all_that_a_configuration_must_say(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, 'name = "verifier.party-a.example"\n'))
    assert config.name == "verifier.party-a.example"
    assert config.limits.streams >= 1
    assert config.listen.grpc is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "name"),
        ('name = "v.example"\ncolour = "red"\n', "colour"),
        ('name = "v.example"\n[limits]\ncalls = 0\n', "limits.calls"),
        ('name = "v.example"\n[limits]\ncalls = true\n', "limits.calls"),
        ('name = "v.example"\n[listen]\nhttp = "nowhere"\n', "listen.http"),
        ('name = "v.example"\npin = "abc"\n', "pin"),
    ],
)
def test_a_mistake_is_named_with_where_it_stands(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert caught.value.code == "config-malformed"
    assert where in caught.value.message


def test_text_that_is_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "name = "))
    assert caught.value.code == "config-malformed"


def test_a_directory_without_a_verifier_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert caught.value.code == "config-missing"
    assert "init" in caught.value.fix


@pytest.mark.parametrize("address", ["host", ":1", "host:", "host:99999", "host:-1", "host:١"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        split_address(address)
