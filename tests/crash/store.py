"""The same sweep for mail that stays on this machine: dies, or is refused, at every system call on the way into a
Maildir and into an mbox; then undisturbed queue runs, and the folder is read by Python's own mailbox module."""

import collections
import hashlib
import mailbox

from subject import Home, Mailchute, Message
from sweep import FALLIBLE, points, wrapper

RECIPIENTS = ["bob@web.example", "carol@web.example"]


class Keeper(Mailchute):
    """The program with a folder in the place of a relay."""

    def __init__(self, binary, kind):
        super().__init__(binary)
        self.kind = kind

    def environment(self, home, port):
        (home / "config.toml").write_text(
            f'[accounts.here]\n{self.kind} = "mail"\n[spool]\ndirectory = "spool"\n'
        )
        if self.kind == "maildir":
            for part in ("", "tmp", "new", "cur"):
                (home / "mail" / part).mkdir(exist_ok=True)
        else:
            (home / "mail").write_text("From old Tue Nov 24 14:04:05 2026\nMessage-ID: <old>\n\nFirst\n\n")
        return super().environment(home, port)

    def open(self, home):
        kind = mailbox.Maildir if self.kind == "maildir" else mailbox.mbox
        return kind(home.path / "mail", create=False)


def body(found):
    return hashlib.sha256(found.get_payload().rstrip("\n").encode()).hexdigest()


def sweep(subject, folder, what, calls, every):
    """Sends in the foreground, disturbed; the message is there in the end, whole, and nothing else is."""
    number, violations, copies = 0, [], collections.Counter()
    message = Message("keep", 150_000)
    wanted = hashlib.sha256(message.body.replace(b"\r\n", b"\n").rstrip(b"\n")).hexdigest()
    home = Home(subject, folder / f"{subject.kind}-points", 0)
    todo = points(home, subject.send(home.path, 0, RECIPIENTS), message.octets)
    for call, n in [(call, n) for call, n in todo if not calls or call in calls][::every]:
        number += 1
        home = Home(subject, folder / f"{subject.kind}-{what.replace('=', '-')}-{call}-{n}", 0)
        point = f"{subject.kind} {what} {call}#{n}"
        status = home.send(message, RECIPIENTS, wrapper(call, n, what))
        for _ in range(2):
            home.flush()
        found = [m for m in subject.open(home) if m["Message-ID"] != "<old>"]
        copies[len(found)] += 1
        if any(m["Message-ID"] != f"<{message.id}>" or body(m) != wanted for m in found):
            violations.append(f"{point}: not what was sent: {[m['Message-ID'] for m in found]}")
        if any(m.get_all("Delivered-To") != RECIPIENTS for m in found):
            violations.append(f"{point}: not for whom it was")
        if status == 0 and not found:
            violations.append(f"{point}: acknowledged, and not there")
        if status > 0 and found and "KILL" not in what:
            violations.append(f"{point}: exit {status}, and yet it is there: the caller sends again")
        if subject.kind == "mbox" and len(list(subject.open(home))) != len(found) + 1:
            violations.append(f"{point}: the old message is gone")
        may_leave = "KILL" in what or call.startswith("unlink")
        if subject.kind == "maildir" and any((home.path / "mail/tmp").iterdir()) and not may_leave:
            violations.append(f"{point}: left behind in tmp")
    return number, copies, violations


def campaign(binary, folder, errors, every):
    figures, violations = {}, []
    for kind in ("maildir", "mbox"):
        for what in ["signal=KILL", *(f"error={error}" for error in errors)]:
            calls, step = ((), 1) if "KILL" in what else (FALLIBLE, every)
            number, copies, wrong = sweep(Keeper(binary, kind), folder, what, calls, step)
            figures[f"{kind}, {what}"] = f"{number} points, copies {dict(sorted(copies.items()))}"
            violations += wrong
    return figures, violations
