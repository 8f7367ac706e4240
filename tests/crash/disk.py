"""A disk that remembers: a file system in this process (FUSE, spoken without a library) with two files. `disk` takes
the block writes and flushes of a loop device, `mark` takes notes; both go into one log, in order."""

import ctypes
import os
import pathlib
import struct
import subprocess
import sys

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = 1, 2, 3, 4, 14, 15, 16, 17, 18, 20
FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET = 25, 26, 27, 29, 36, 38, 42
ENOENT, ENOSYS = 2, 38
ROOT, DISK, MARK = 1, 2, 3
DIRECT = 1  # FOPEN_DIRECT_IO

libc = ctypes.CDLL(None, use_errno=True)


def mount_fuse(folder):
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"crash", str(folder).encode(), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mounting FUSE")
    return device


class Recorder:
    """Mounts on a folder; the log is a list of ("write", offset, octets), ("flush",), ("mark", octets)."""

    def __init__(self, folder, image):
        self.folder, self.log_path = pathlib.Path(folder), pathlib.Path(f"{folder}.log")
        self.folder.mkdir()
        device = mount_fuse(self.folder)
        self.child = os.fork()
        if self.child == 0:
            try:
                serve(device, image, open(self.log_path, "wb"))
            finally:
                os._exit(0)
        os.close(device)
        self.mark_file = os.open(self.folder / "mark", os.O_WRONLY)

    def mark(self, text):
        os.write(self.mark_file, text.encode())

    def close(self):
        os.close(self.mark_file)
        subprocess.run(["umount", self.folder], check=True)
        os.waitpid(self.child, 0)
        return read_log(self.log_path)


def read_log(path):
    events = []
    with open(path, "rb") as log:
        while head := log.read(13):
            kind, offset, length = struct.unpack("<BQI", head)
            octets = log.read(length)
            events.append((("write", "flush", "mark")[kind], offset, octets))
    return events


def attributes(node, size):
    mode = 0o40755 if node == ROOT else 0o100600
    return struct.pack("<QQQQQQ10I", node, size, (size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def serve(device, image, log):
    backing = os.open(image, os.O_RDWR)
    sizes = {ROOT: 4096, DISK: os.fstat(backing).st_size, MARK: 1 << 30}

    def note(kind, offset, octets):
        log.write(struct.pack("<BQI", kind, offset, len(octets)) + octets)

    while True:
        try:
            request = os.read(device, (1 << 20) + 4096)
        except OSError as error:
            if error.errno == 4:
                continue
            break  # unmounted
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        body = memoryview(request)[40:]
        error, answer = 0, b""
        if opcode == INIT:
            answer = struct.pack("<IIIIHHIIHHII6I", 7, 31, 1 << 17, 0, 16, 12, 1 << 17, 1, 0, 0, 0, 0, *[0] * 6)
        elif opcode == LOOKUP:
            found = {b"disk": DISK, b"mark": MARK}.get(bytes(body).split(b"\0")[0])
            if found:
                answer = struct.pack("<QQQQII", found, 0, 3600, 3600, 0, 0) + attributes(found, sizes[found])
            else:
                error = ENOENT
        elif opcode in (GETATTR, SETATTR):
            answer = struct.pack("<QII", 3600, 0, 0) + attributes(node, sizes[node])
        elif opcode in (OPEN, OPENDIR):
            answer = struct.pack("<QII", 0, DIRECT if node == MARK else 0, 0)
        elif opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            answer = os.pread(backing, size, offset)
        elif opcode == WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            octets = bytes(body[40 : 40 + size])
            if node == MARK:
                note(2, 0, octets)
            else:
                os.pwrite(backing, octets, offset)
                note(0, offset, octets)
            answer = struct.pack("<II", size, 0)
        elif opcode == FSYNC:
            if node == DISK:
                note(1, 0, b"")
        elif opcode == STATFS:
            answer = struct.pack("<5Q10I", 1 << 20, 1 << 20, 1 << 20, 10, 10, 4096, 255, 4096, *[0] * 7)
        elif opcode in (RELEASE, RELEASEDIR, FLUSH):
            pass
        elif opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            continue
        elif opcode == DESTROY:
            break
        else:
            error = ENOSYS
        os.write(device, struct.pack("<IiQ", 16 + len(answer), -error, unique) + answer)
    log.close()


if __name__ == "__main__":
    sys.exit("imported by power.py")
