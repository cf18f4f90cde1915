"""Benchmarks, most of them compared with other libraries in one run: `hatch run bench [NAME]`."""

import sys

from benchmarks import client, codec, fake, soak

BENCHMARKS = {"client": client.main, "codec": codec.main, "fake": fake.main, "soak": soak.main}


def main(arguments: list[str]) -> int:
    """Run the benchmark named on the command line, by default that of the client."""
    if not arguments or arguments[0].startswith("-"):
        return client.main(arguments)
    if arguments[0] not in BENCHMARKS:
        print(f"usage: hatch run bench [{{{','.join(BENCHMARKS)}}}]", file=sys.stderr)
        return 2
    return BENCHMARKS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
