"""Specifications small enough to read in a test."""

from collections.abc import Callable
from pathlib import Path

import pytest

import amqp_spec

Files = dict[str, str]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[Files], amqp_spec.Spec]:
    """Write XML files, given by name, and load them."""

    def load(files: Files) -> amqp_spec.Spec:
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return amqp_spec.load(tmp_path)

    return load
