"""Build backend of the repository, which is not a distribution: it names the commands to use."""

import sys
from typing import NoReturn

_SENTENCE = """
The root of this repository is not a distribution. `hatch run build` builds all four distributions
into dist/, and `hatch build` in a folder under packages/ builds one of them.
"""


def get_requires_for_build_sdist(*_: object) -> NoReturn:
    """Refuse to build, with a sentence."""
    sys.exit(_SENTENCE)


get_requires_for_build_wheel = get_requires_for_build_editable = get_requires_for_build_sdist
build_sdist = build_wheel = build_editable = get_requires_for_build_sdist
