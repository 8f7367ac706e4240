"""Postfix's `sendmail -t` as a reader of address lists: its package unpacked in a folder, nothing installed, no daemon. It
leaves the recipients it found in a queue file, from which they are read."""

import os
import pathlib
import shutil
import subprocess


class Postfix:
    def __init__(self, folder):
        self.root = pathlib.Path(folder) / "postfix"
        self.queue, etc, bin = (self.root / name for name in ("queue", "etc", "bin"))
        for path in (self.queue / "maildrop", self.queue / "public", etc, bin):
            path.mkdir(parents=True)
        subprocess.run(["apt-get", "-qq", "download", "postfix"], cwd=self.root, check=True, capture_output=True)
        package = next(self.root.glob("postfix_*.deb"))
        self.version = package.name.split("_")[1]
        subprocess.run(["dpkg", "-x", package, self.root], check=True)
        libraries = self.root / "usr/lib/postfix"
        (etc / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {self.queue}\ncommand_directory = {bin}\n"
            f"daemon_directory = {libraries}/sbin\nshlib_directory = {libraries}\ndata_directory = {self.root}/data\n"
            "mail_owner = mail\nsetgid_group = nogroup\ndefault_privs = games\nmyhostname = host.example\n")
        # What it is told about libraries, sendmail does not tell its postdrop.
        (bin / "postdrop").write_text(
            f'#!/bin/sh\nexport LD_LIBRARY_PATH={libraries} MAIL_CONFIG={etc}\nexec {self.root}/usr/sbin/postdrop "$@"\n')
        (bin / "postdrop").chmod(0o755)
        os.mkfifo(self.queue / "public/pickup")
        self.environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(libraries), "MAIL_CONFIG": str(etc)}

    @staticmethod
    def to_be_had():
        return os.getuid() == 0 and shutil.which("apt-get") and shutil.which("dpkg")

    def recipients(self, text):
        """Those of a To field, not quoted."""
        message = f"To: {text}\nSubject: s\n\ntext\n".encode()
        sendmail, postcat = (self.root / "usr/sbin" / name for name in ("sendmail", "postcat"))
        subprocess.run([sendmail, "-t", "-i"], input=message, env=self.environment, capture_output=True, timeout=60)
        found = set()
        for file in (self.queue / "maildrop").iterdir():
            shown = subprocess.run([postcat, "-e", file], env=self.environment, capture_output=True, text=True, timeout=60)
            found |= {line.removeprefix("recipient: ") for line in shown.stdout.splitlines() if line.startswith("recipient: ")}
            file.unlink()
        return found
