"""The guide for methods of one's own, followed step by step."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from command import main

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs/guides/own-methods.md"
PACKAGES = ("amqp-spec/src/amqp_spec", "amqp-codec/src/amqp_codec")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_guide_makes_a_codec_with_the_methods(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / "packages" / package,
            tmp_path / Path(package).name,
            ignore=shutil.ignore_patterns("__pycache__", "*.so"),
        )
    [overlay], [session] = blocks("xml"), blocks("pycon")
    (tmp_path / "amqp_spec/shop.xml").write_text(overlay)

    spec, target = tmp_path / "amqp_spec", tmp_path / "amqp_codec/protocol"
    assert main(["--spec", str(spec), "--target", str(target)]) == 0

    (tmp_path / "session.txt").write_text(session)
    doctest = [sys.executable, "-m", "doctest", "session.txt"]
    done = subprocess.run(doctest, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode == 0
    assert ">>> Decoder()" in session
