"""Versions of RabbitMQ that Debian has, each in a folder of its own beside the installed one.

`python3 tests/rabbitmq_versions.py 4.3` installs one of them; it takes half a minute, requires root and
the package mmdebstrap, and downloads 80 MB from the machine's own Debian mirror. `AMQP_RABBITMQ=4.3` makes the tests
run on it, and `AMQP_RABBITMQ=installed,4.3` on the installed one too. To install a newer package of the same version, delete the folder first.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UPSTREAM_4_3 = """
deprecated_features.permit.transient_nonexcl_queues = false
"""
"""What RabbitMQ's own 4.3 denies by default, and Debian's package permits."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version of RabbitMQ in Debian.

    Attributes:
        suite: of Debian that has it.
        configuration: lines of rabbitmq.conf with which it behaves like RabbitMQ's own release.
    """

    suite: str
    configuration: str = ""


# No suite has 4.1 or 4.2.
RELEASES = {
    "3.10": Release("bookworm"),
    "4.0": Release("trixie"),
    "4.3": Release("forky", UPSTREAM_4_3),
}

CACHE = Path.home() / ".cache"
"""The default cache folder, before a test changes HOME."""

PROGRAMS = ("rabbitmq-server", "rabbitmqctl", "epmd")

# The mounts are seen by this process and its children only, and end with them. The folder with
# temporary files is the same inside, for the node's data and the certificates of the tests.
SCRIPT = """\
#!/bin/sh
exec unshare --mount sh -ec '
root=$1 temporary=${{TMPDIR:-/tmp}}
shift
mkdir -p "$root$temporary"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$temporary" "$root$temporary"
exec chroot "$root" /usr/bin/env LANG=C.UTF-8 PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/bin {program} "$@"
' sh "${{0%/bin/*}}/root" "$@"
"""

# Packages must not start a daemon in the folder.
SETUP = r"""
mkdir -p "$1/usr/sbin" "$1/etc"
printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d"
echo '127.0.0.1 localhost' >"$1/etc/hosts"
"""


class NotInstallable(Exception):
    """The version cannot be installed here; the message says why."""


def release(version: str) -> Release:
    """Return the release with this version; raise ValueError for an unknown version."""
    if version not in RELEASES:
        known = ", ".join(RELEASES)
        raise ValueError(f"RabbitMQ {version} is not among the versions for tests: {known}")
    return RELEASES[version]


def folder_of(version: str) -> Path:
    """Return the folder of a version, which may not exist, below the XDG cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or CACHE
    return Path(cache, "aioamqp", "rabbitmq", version)


def server_of(version: str) -> Path | None:
    """Return the path of the script that starts this version, or None if it is not installed."""
    program = folder_of(version) / "bin/rabbitmq-server"
    return program if program.exists() else None


def install(version: str) -> Path:
    """Install a version unless its folder exists.

    Returns:
        the folder.

    Raises:
        NotInstallable: without root, mmdebstrap or the packages.
        ValueError: for an unknown version.
    """
    suite, folder = release(version).suite, folder_of(version)
    if folder.exists():
        return folder
    if os.geteuid() != 0:
        raise NotInstallable(f"installing RabbitMQ {version} requires root")
    for program in ("mmdebstrap", "apt-get", "unshare"):
        if shutil.which(program) is None:
            raise NotInstallable(f"installing RabbitMQ {version} requires {program} on PATH")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{version}-", dir=folder.parent))
    try:
        make_root(suite, unfinished / "root")
        found = installed_version(unfinished / "root")
        if not f"{found}.".startswith(f"{version}."):
            raise NotInstallable(f"Debian {suite} has RabbitMQ {found}, no longer {version}")
        write_scripts(unfinished / "bin")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def make_root(suite: str, root: Path) -> None:
    """Make a root folder with rabbitmq-server from a suite of Debian."""
    options = (
        "--mode=root",
        "--variant=essential",
        "--include=rabbitmq-server",
        '--aptopt=APT::Install-Recommends "false"',
        # A mirror may be a copy of an earlier day.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        f"--setup-hook={SETUP}",
    )
    run = subprocess.run(
        ["mmdebstrap", *options, suite, str(root), debian_mirror()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if run.returncode != 0:
        output = run.stdout.decode(errors="replace")[-4000:]
        raise NotInstallable(f"mmdebstrap failed for Debian {suite}:\n{output}")


def debian_mirror() -> str:
    """Return the URL of the Debian mirror that apt is configured for."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    mirrors = targets.stdout.decode().split()
    if not mirrors:
        raise NotInstallable("apt has no Debian mirror; perhaps apt-get update was not run")
    return mirrors[0]


def installed_version(root: Path) -> str:
    """Return the version of RabbitMQ in a root folder, such as 4.3.6."""
    [found] = root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*")
    return found.name.partition("-")[2]


def write_scripts(folder: Path) -> None:
    """Write the scripts that run RabbitMQ's programs in the root folder beside this folder."""
    folder.mkdir()
    for program in PROGRAMS:
        script = folder / program
        script.write_text(SCRIPT.format(program=program))
        script.chmod(0o755)


def main(versions: Sequence[str]) -> int:
    """Install these versions; return 1 if one of them cannot be installed."""
    try:
        for version in versions:
            folder = install(version)
            print(f"RabbitMQ {installed_version(folder / 'root')} is in {folder}")  # noqa: T201
    except (NotInstallable, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
