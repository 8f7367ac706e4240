"""What is built in, against deny.toml. Needs cargo-deny; advisories also the network, and are left out without it."""

import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def campaign(_binary, _folder, _full):
    if not shutil.which("cargo-deny"):
        return "no cargo-deny: cargo install cargo-deny --locked", []
    figures, violations = {}, []
    for check in ("bans", "licenses", "sources", "advisories"):
        done = subprocess.run(["cargo", "deny", "--color", "never", "check", check], cwd=ROOT, capture_output=True, text=True)
        if done.returncode and check == "advisories" and "failed to fetch advisory database" in done.stderr:
            figures[check] = "skipped (no advisory database)"
        else:
            figures[check] = "denied" if done.returncode else "ok"
            violations += [done.stderr[-1000:]] if done.returncode else []
    return figures, violations
