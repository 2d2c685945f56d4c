"""Names have one spelling."""

from __future__ import annotations

import pytest
from brakeline.treaty.errors import NamingError
from brakeline.treaty.names import NameKind, check_name, lab_of


@pytest.mark.parametrize("name", ["lab-1.party-a.example/site-1", "a.b/c"])
def test_sites(name: str) -> None:
    assert check_name(name, NameKind.SITE) == name
    with pytest.raises(NamingError):
        check_name(name, NameKind.LAB)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "example",
        "Lab.example",
        "lab..example",
        "-lab.example",
        "lab-.example",
        "läb.example",
        "lab.example\n",
        "lab.example.",
        "lab.example/",
        "lab.example/a/b",
        "lab .example",
        "a." + "b" * 64,
        "a." * 120 + "b",
    ],
)
def test_other_spellings_are_refused(name: str) -> None:
    for kind in (NameKind.LAB, NameKind.SITE):
        with pytest.raises(NamingError) as error:
            check_name(name, kind)
        assert error.value.code == "name-malformed"


def test_a_site_belongs_to_its_lab() -> None:
    assert lab_of("lab-1.party-a.example/site-1") == "lab-1.party-a.example"
