"""Renderer: prints the plan through the templates and formats the result."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import jinja2

import amqp_spec
from names import local_name
from plan import plan, value_count

TEMPLATES = Path(__file__).with_name("templates")


def render(spec: Path) -> dict[str, str]:
    """Generate the modules for a protocol, whose XML files are in a folder, or in one file.

    Returns:
        The text of each module by its file name.

    Raises:
        amqp_spec.SpecError: a file is not a valid specification.
        RuntimeError: the templates printed something that is not Python.
    """
    sources = [p.name for p in amqp_spec.sources(spec)]
    planned = plan(amqp_spec.load(spec))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["local"] = local_name
    environment.filters["ints"] = ints
    environment.filters["tuple_of"] = tuple_of
    files = {
        name: environment.get_template(f"{name}.j2").render(plan=planned, sources=sources)
        for name in ("__init__.py", "constants.py")
    }
    template = environment.get_template("module.py.j2")
    for module in planned.modules:
        files[f"{module.name}.py"] = template.render(module=module, sources=sources)
    return {name: tidy(name, text) for name, text in files.items()}


def ints(struct_format: str) -> str:
    """Return the types of the values that a format unpacks."""
    return ", ".join(["int"] * value_count(struct_format))


def tuple_of(expressions: Iterable[str]) -> str:
    """Return a tuple of expressions, without a trailing comma, which the formatter would keep."""
    items = list(expressions)
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def tidy(name: str, text: str) -> str:
    """Remove unused imports, and format a file."""
    rules = "I" if name == "__init__.py" else "F401,I"  # templates import all that modules need
    fix = ("check", "--quiet", "--fix-only", "--select", rules)
    text = ruff(*fix, "--stdin-filename", name, "-", text=text)
    return ruff("format", "--quiet", "--stdin-filename", name, "-", text=text)


def ruff(*arguments: str, text: str) -> str:
    """Run ruff on a text and return its output."""
    command = [sys.executable, "-m", "ruff", *arguments]
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the templates printed what ruff cannot read: {done.stderr}")
    return done.stdout
