"""`lightning-nas export`: what its words mean."""

from __future__ import annotations

import pytest

from lightning_nas.cli.export import _description, _parser
from lightning_nas.export.formats import ExportError

WORDS = ["network.ckpt", "--output", "network.onnx"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[yes,no,1e5,007]", ("yes", "no", "1e5", "007")),
        ("[on, off, null, ~, 12:30]", ("on", "off", "null", "~", "12:30")),
        ("['new york', \"l'or\", a b]", ("new york", "l'or", "a b")),
    ],
)
def test_class_names_are_taken_as_words(text: str, names: tuple[str, ...]) -> None:
    options = _parser().parse_args([*WORDS, "--class-names", text])
    assert tuple(_description(options).class_names or ()) == names


@pytest.mark.parametrize("text", ["cat,dog", "[cat,dog", "[cat,[dog]]", "[cat,'dog]", "[]x", "{cat: dog}"])
def test_class_names_that_are_no_list_are_refused(text: str) -> None:
    options = _parser().parse_args([*WORDS, "--class-names", text])
    with pytest.raises(ExportError, match=r"--class-names .*: (give|each name)|is no list of names"):
        _description(options)
