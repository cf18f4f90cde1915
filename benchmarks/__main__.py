"""Benchmarks, most of them compared with other libraries in one run: `hatch run bench NAME`."""

import sys

from benchmarks import client, codec, fake, soak

BENCHMARKS = {"codec": codec.main, "client": client.main, "fake": fake.main, "soak": soak.main}


def main() -> int:
    """Run the benchmark named on the command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(f"usage: hatch run bench {{{','.join(BENCHMARKS)}}}", file=sys.stderr)
        return 2
    return BENCHMARKS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
