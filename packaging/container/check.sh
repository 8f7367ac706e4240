#!/bin/bash
# What the image promises, without a container engine: the static program alone in an empty root, as process 1 with no
# privilege, serving a user of another root over the shared socket, and ending on SIGTERM.
#
#   packaging/container/check.sh [FILE]      FILE: a static mailchute; else one is built for musl (needs rustup's
#                                            target x86_64-unknown-linux-musl and Debian's musl-tools)
set -euo pipefail
top=$(dirname "$(realpath "$0")")/../..

if [ "${1-}" != inside ]; then
    program=${1-}
    if [ -z "$program" ]; then
        target=$(uname -m)-unknown-linux-musl
        (cd "$top" && CC=musl-gcc cargo build --release --locked --bin mailchute --target "$target")
        program=${CARGO_TARGET_DIR:-$top/target}/$target/release/mailchute
    fi
    exec unshare --mount --net --pid --ipc --fork --mount-proc --kill-child "$0" inside "$(realpath "$program")"
fi

program=$2
ip link set lo up
mount -t tmpfs -o mode=755 check /mnt
cd /mnt

# As the Dockerfile makes it.
mkdir -p image/{usr/bin,etc/ssl/certs,etc/mailchute,run/mailchute,run/secrets,var/spool/mailchute,proc,dev} web/{usr/sbin,run/mailchute,proc}
install "$program" image/usr/bin/mailchute
install "$program" web/usr/sbin/sendmail
echo 'mailchute:x:65532:65532:Mail spooler:/nonexistent:/usr/bin/mailchute' >image/etc/passwd
echo 'mailchute:x:65532:' >image/etc/group
echo '127.0.0.1 relay.test' >image/etc/hosts
chmod 700 image/var/spool/mailchute
printf hunter2-canary >image/run/secrets/relay-password
chmod 400 image/run/secrets/relay-password
chown -R 65532:65532 image/run image/var/spool/mailchute
new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
$new -subj '/CN=check CA' -keyout ca.key -out image/etc/ssl/certs/ca-certificates.crt 2>/dev/null
$new -subj /CN=relay.test -addext subjectAltName=DNS:relay.test -addext basicConstraints=critical,CA:FALSE \
    -CA image/etc/ssl/certs/ca-certificates.crt -CAkey ca.key -keyout key -out pem 2>/dev/null
cat >image/etc/mailchute/config.toml <<'TOML'
log-file = "/dev/stderr"
[accounts.relay]
host = "relay.test"
port = 465
user = "machine"
credential = "relay-password"
from = "machine@example.test"
TOML
mount --bind image/run/mailchute web/run/mailchute
# Every engine gives a container these, and its user the stream.
: >log
chown 65532:65532 log
mknod -m 666 image/dev/null c 1 3
ln -s /proc/self/fd/2 image/dev/stderr

PYTHONPATH=$top/tests/realworld python3 -c '
from sink import Sink
import time
relay = Sink("127.0.0.1", ("pem", "key"), login=("machine", "hunter2-canary"))
open("ready", "w").close()
for mail in relay.take(2, 60):
    print(mail.reverse_path, mail.recipients, mail.values("Subject"), flush=True)
open("both", "w").close()
time.sleep(3600)
' >arrived &
relay=$!
while [ ! -e ready ]; do sleep 0.1; done

# Process 1 of its own world, read-only but for spool and socket, without a capability.
cat >start <<'START'
mount --bind image image
mount -o remount,ro,bind image
mount --bind image/var/spool/mailchute image/var/spool/mailchute && mount -o remount,rw,bind image/var/spool/mailchute
mount --bind image/run/mailchute image/run/mailchute && mount -o remount,rw,bind image/run/mailchute
mount -t proc proc image/proc
exec setpriv --no-new-privs env -i MAILCHUTE_CONFIG=/etc/mailchute/config.toml CREDENTIALS_DIRECTORY=/run/secrets \
    "$(command -v chroot)" --userspec=65532:65532 --groups= image /usr/bin/mailchute serve
START
unshare --mount --pid --fork --kill-child sh -e start 2>log &
outer=$!
for _ in $(seq 100); do [ -S image/run/mailchute/submit.sock ] && break; sleep 0.1; done
first=$(cat /proc/$outer/task/$outer/children)
grep -E '^(NSpid|Uid|CapEff|NoNewPrivs)' "/proc/${first%% *}/status"

send() { printf 'Subject: %s\n\nhello\n' "$1" | setpriv --no-new-privs env -i "$(command -v chroot)" --userspec=33:33 --groups= web /usr/sbin/sendmail -i bob@example.test; }
send 'from a user that the image does not know'
send 'and once more'
while [ ! -e both ]; do sleep 0.1; done
cat log arrived
if [ "$(wc -l <arrived)" != 2 ]; then
    setpriv --no-new-privs env -i "$(command -v chroot)" web /usr/sbin/sendmail -bp
    exit 1
fi

kill -TERM "${first%% *}"
wait $outer
kill $relay
echo "process 1 ended with $?, and left in the spool: $(find image/var/spool/mailchute/queue image/var/spool/mailchute/dead -type f | wc -l)"
