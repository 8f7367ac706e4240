"""What reaches the journal while a relay repeats the login it was given: never the secret. In a mount namespace of its own,
with a journal socket that is read here."""

import base64
import ctypes
import os
import pathlib
import random
import socket
import subprocess
import threading

CLONE_NEWNS = 0x20000
PASSWORD = "CANARY+5up3r=s3cret/of the journal"
TOKEN = "".join(random.Random(7).choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", k=4500))


def spellings(secret):
    """As it is, in base64 at each of three alignments, in hexadecimal; of a long one, its start, middle and end."""
    pieces = [secret] if len(secret) < 100 else [secret[:40], secret[len(secret) // 2:][:40], secret[-40:]]
    for piece in (piece.encode() for piece in pieces):
        yield piece
        yield piece.hex().encode()
        for shift in range(3):
            yield base64.b64encode(b"\0" * shift + piece)[4:-4]


def echo(listener):
    """A relay that refuses every login with what it heard."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            say = lambda text: connection.sendall(text + b"\r\n")
            say(b"220 relay.example")
            for line in lines:
                line = line.strip()
                if line.upper().startswith(b"EHLO"):
                    say(b"250-relay.example\r\n250 AUTH PLAIN XOAUTH2")
                elif line.upper().startswith(b"AUTH") and line.count(b" ") == 1:
                    say(b"334 ")
                elif line.upper().startswith(b"QUIT"):
                    break
                else:
                    whole = base64.b64decode(line.split(b" ")[-1] + b"===", validate=False)
                    say(b"535-5.7.8 no: " + line[:3000] + b"\r\n535 5.7.8 " + whole.replace(b"\0", b" ").replace(b"\1", b" ")[:3000])


def within(sendmail, folder):
    """In the namespace: yields the place of each copy that was found, then how many datagrams came."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    os.makedirs("/run/systemd/journal")
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.bind("/run/systemd/journal/socket")
    journal.setblocking(False)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    count = 0
    for name, secret, key in (("password", PASSWORD, "password-file"), ("token", TOKEN, "token-command")):
        (folder / "secret").write_text(secret)
        (folder / "secret").chmod(0o600)
        value = '"secret"' if key == "password-file" else f'["/bin/cat", "{folder}/secret"]'
        config = folder / "config.toml"
        config.write_text(
            f'[accounts.test]\nhost = "127.0.0.1"\nport = {listener.getsockname()[1]}\ntls = "none"\nfrom = "a@example.com"\n'
            f'user = "alice"\n{key} = {value}\n[spool]\ndirectory = "{folder}/spool"\n')
        config.chmod(0o600)
        environment = {"HOME": str(folder), "MAILCHUTE_CONFIG": str(config)}
        for words in (["-v", "-i", "bob@example.org"], ["-q", "-v"]):
            subprocess.run([sendmail, *words], input=b"Subject: s\n\ntext\n", env=environment, capture_output=True, timeout=60)
            while True:
                try:
                    datagram = journal.recv(1 << 20)
                except BlockingIOError:
                    break
                count += 1
                if any(spelling in datagram for spelling in spellings(secret)):
                    yield f"{name} in the journal: {datagram!r}"
    yield f"{count}"


def campaign(binary, folder):
    """How many lines the journal got, and what was wrong with them. As root."""
    folder = pathlib.Path(folder) / "journal"
    folder.mkdir()
    sendmail = folder / "sendmail"
    sendmail.symlink_to(binary)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            os.write(write, "\n".join(within(sendmail, folder)).encode())
        except BaseException as error:
            os.write(write, f"{error!r}\n0".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        *wrong, count = pipe.read().split("\n")
    os.waitpid(child, 0)
    if int(count) == 0:
        wrong.append("the journal heard nothing")
    return int(count), wrong
