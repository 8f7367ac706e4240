"""Two release builds in two folders are the same program, byte for byte."""

import hashlib
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def campaign(_binary, folder, _full):
    digests = []
    # Once, since somebody may go on working meanwhile.
    source = pathlib.Path(folder) / "source.tar"
    tracked = subprocess.run(["git", "ls-files", "-z", "Cargo.toml", "Cargo.lock", "src", "tests"], cwd=ROOT, check=True,
                             capture_output=True)
    subprocess.run(["tar", "--null", "-T", "-", "-cf", source], input=tracked.stdout, cwd=ROOT, check=True)
    for name in ("one", "another-place"):
        place = pathlib.Path(folder) / name
        place.mkdir()
        subprocess.run(["tar", "-xf", source, "-C", place], check=True)
        # Paths of the place and of the registry must not be in the program.
        cargo = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
        flags = f"--remap-path-prefix={place}=/mailchute --remap-path-prefix={cargo}=/cargo"
        subprocess.run(["cargo", "build", "-q", "--release", "--locked", "--bin", "mailchute"], cwd=place, check=True,
                       env={**os.environ, "RUSTFLAGS": flags, "SOURCE_DATE_EPOCH": "0", "CARGO_TARGET_DIR": f"{place}/target"})
        program = (place / "target/release/mailchute").read_bytes()
        digests.append(hashlib.sha256(program).hexdigest())
    different = [] if digests[0] == digests[1] else [f"{digests[0]} and {digests[1]}"]
    return {"sha256": digests[0], "octets": len(program)}, different
