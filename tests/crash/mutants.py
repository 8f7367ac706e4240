"""Copies of the program with one safeguard taken out. A campaign that does not notice is worth nothing."""

import pathlib
import shutil
import subprocess

from subject import ROOT

DURABLE, CLAIM, ENTRY, DRAFT = (f"src/spool/{name}.rs" for name in ("durable", "claim", "entry", "draft"))

NO_SYNC = "let synced = sync_file(&file.file).and_then(|()| sync_directory(directory));"
FIRST_SYNC = "match file.link(directory, name) {"

# name: [(file, what stands there, what is put in its place)], and the campaign that must notice.
MUTANTS = {
    "no fsync": ("power", [(DURABLE, NO_SYNC, "let synced: io::Result<()> = Ok(());")]),
    "fsync, then link, no fsync of the directory": (
        "power",
        [
            (DURABLE, NO_SYNC, "let synced: io::Result<()> = Ok(());"),
            (DURABLE, FIRST_SYNC, "sync_file(&file.file).map_err(Unpublished::Undone)?;\n    match file.link(directory, name) {"),
        ],
    ),
    "fsync, then rename, no fsync of the directory": (
        "power",
        [
            (DURABLE, NO_SYNC, "let synced: io::Result<()> = Ok(());"),
            (
                DURABLE,
                FIRST_SYNC,
                "sync_file(&file.file).map_err(Unpublished::Undone)?;\n"
                "    let temporary = file.temporary.take().unwrap_or_default();\n"
                "    match retry(|| renameat(&file.home.as_ref(), temporary.as_str(), directory, name)).map_err(io::Error::from) {",
            ),
            (DURABLE, "if birth == Birth::Nameless && ", "if birth == Birth::Nameless && false && "),
        ],
    ),
    "no checksum": ("power", [(CLAIM, "crc if crc == layout.crc =>", "_crc if true =>")]),
    "removed before the relay has answered": (
        "kill",
        [("tests/crash/stand_in.rs", "self.0.get_mut().write_all(&wire)?;",
          "std::fs::remove_file(std::path::Path::new(&std::env::args().nth(2).unwrap()).join(\"queue\").join(entry.id().as_str()))?;\n"
          "        self.0.get_mut().write_all(&wire)?;")],
    ),
    "bounced before the bounce is there": (
        "kill",
        [("tests/crash/stand_in.rs", "        bounce(spool, entry.id(), sender)?;",
          "        entry.mark_bounced()?;\n        bounce(spool, entry.id(), sender)?;")],
    ),
    "named before it is complete": (
        "kill",
        [(DRAFT, "        let layout = self.complete(shape)?;\n        self.publish_anew(Place::Queue)?;",
          "        self.publish_anew(Place::Queue)?;\n        let layout = self.complete(shape)?;")],
    ),
    "an error of fsync ignored": ("errno", [(DURABLE, NO_SYNC, NO_SYNC.replace(";", ".or(Ok::<(), io::Error>(()));"))]),
    "the name kept after an error": (
        "errno",
        [(DURABLE, "match unlink(directory, name).or_else(|_| file.file.set_len(0)) {", "match Ok::<(), ()>(()) {")],
    ),
    "no lock": ("storm", [(CLAIM, "Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => return Ok(false),",
                           "Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => return Ok(true),")]),
}


def build(name, folder):
    """Builds the stand-in with this mutation; returns its path."""
    copy = pathlib.Path(folder) / "mutant"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for part in ("src", "tests", "Cargo.toml", "Cargo.lock"):
        source = ROOT / part
        shutil.copytree(source, copy / part) if source.is_dir() else shutil.copy2(source, copy / part)
    for file, old, new in MUTANTS[name][1]:
        text = (copy / file).read_text()
        if text.count(old) != 1:
            raise SystemExit(f"mutant {name!r}: {file} has changed: {old!r} stands there {text.count(old)} times")
        (copy / file).write_text(text.replace(old, new))
    target = ROOT / "target/mutants"
    # Without the long optimisation of a release: the order of system calls is the same.
    done = subprocess.run(
        ["cargo", "build", "-q", "--example", "stand_in", "--target-dir", target], cwd=copy, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"mutant {name!r} does not build:\n{done.stderr}")
    binary = pathlib.Path(folder) / "stand_in"
    shutil.copy2(target / "debug/examples/stand_in", binary)
    return binary
