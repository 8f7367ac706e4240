"""A password in a real keyring: gnome-keyring-daemon on a session bus of its own, filled by us and by secret-tool(1), then locked."""

import os

import gate

PASSWORD = "CANARY keyring 1"
HOST, PORT, USER = "sink.test", 2465, "tester@sink.test"
MESSAGE = b"From: tester@sink.test\nTo: someone@else.test\nSubject: keyring\n\nhello\n"
CONFIG = f"""[accounts.test]
host = "{HOST}"
port = {PORT}
tls = "implicit"
tls-ca-file = "/etc/ca.pem"
user = "{USER}"
keyring = true
"""

# One session: what is on the command line happens in it, one shell command a line of standard input.
SESSION = """
printf secret-of-login | gnome-keyring-daemon --unlock --components=secrets --daemonize >/dev/null 2>&1
owned="dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets"
until $owned | grep -q true; do sleep 0.1; done
while read -r line; do eval "$line" </dev/null; echo "= $?"; done
"""
ATTRIBUTES = f"service smtp host {HOST} user {USER}"
LOCK = (
    "dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets "
    "org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null"
)
SEND = "sendmail -t <mail"


def run(lab, report):
    relay = gate.Gate("127.0.0.9", PORT, lab.certificate(HOST), "PLAIN", lambda user, secret: (user, secret) == (USER, PASSWORD))
    view = lab.view("keyring", "keyring")
    view.install(lab.client)
    view.write("/home/tester/mail", MESSAGE, owner=1000)

    def session(*lines, config=CONFIG):
        """Output and exit status of each line, in a session whose keyring has been unlocked."""
        view.write("/home/tester/.config/mailchute/config.toml", config, mode=0o600, owner=1000)
        for folder in ("/home/tester/.config", "/home/tester/.config/mailchute"):
            os.chown(view / folder, 1000, 1000)
        argv = ["dbus-run-session", "--", "bash", "-c", SESSION]
        done = view.call(argv, "\n".join(lines).encode() + b"\n", user="tester", seconds=120)
        text = (done.stdout + done.stderr).decode(errors="replace")
        with open(lab.logs / "keyring.txt", "a") as log:
            log.write(text + "\n--\n")
        report.check("keyring: no output shows the password", text if PASSWORD in text.replace("lookup: " + PASSWORD, "") else "")
        return text

    text = session("sendmail -t <mail", "mailq")
    report.check("keyring: an item that is not there holds the account and keeps the mail", wants(text, ["= 0", "no such item", "hint: mailchute login", "held"]))

    login = f"printf '%s\\n' '{PASSWORD}' | mailchute login --password-stdin"
    text = session(login, f'echo "lookup: $(secret-tool lookup {ATTRIBUTES})"', SEND)
    report.check("keyring: what mailchute login stores is found by secret-tool and used", wants(text, ["accepted by", "is in the keyring", f"lookup: {PASSWORD}"]))
    report.check("keyring: the held mail and the new one arrive", "" if relay.count(2) == 2 else f"{relay.count(2)} arrived\n{text}")

    text = session(SEND)
    report.check("keyring: it is still there in the next session", "" if relay.count(3) == 3 else text)

    text = session(f"{LOCK}", SEND, "mailq", "mailchute doctor")
    report.check("keyring: a locked one is explained, and its mail stays", wants(text, ["the keyring is locked", "hint: unlock it", "held"]))

    prompter = view / "/usr/share/dbus-1/services/org.gnome.keyring.SystemPrompter.service"
    before = prompter.read_text()
    prompter.write_text("[D-BUS Service]\nName=org.gnome.keyring.SystemPrompter\nExec=/bin/sleep 90\n")
    text = session(LOCK, "sendmail -q", "mailq")
    prompter.write_text(before)
    report.check("keyring: nor is one waited for longer whose question nobody answers", wants(text, ["the keyring is locked", "held"]))

    text = session("secret-tool clear " + ATTRIBUTES, f"echo '{PASSWORD}' | secret-tool store --label=x " + ATTRIBUTES, "sendmail -q", SEND)
    report.check("keyring: what secret-tool stores, line end and all, is used", "" if relay.count(5) == 5 else text)

    setup = f"mailchute setup {USER} --host {HOST} --port {PORT} --user {USER} --password-stdin --keyring"
    text = session(f"printf '%s\\n' '{PASSWORD}' | SSL_CERT_FILE=/etc/ca.pem {setup}", "cat .config/mailchute/config.toml", config="")
    report.check("keyring: mailchute setup puts it there and not into the file", wants(text, ["keyring = true"]))


def wants(text, words):
    missing = [word for word in words if word not in text]
    return f"not said: {missing}\n{text}" if missing else ""
