"""Every operation on a file that durability makes: a protocol, and the operating system's version of it.

Whoever promises that data survives has to be tested against each operation failing, so all of them go through here.
Files are plain descriptors: an implementation that counts, fails or forgets needs no second class. Errors are
the `OSError`s of the operating system; what they mean is decided above.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Protocol

__all__ = ["FileSystem", "OsFileSystem"]


class FileSystem(Protocol):
    """The file operations of a data directory. Every one may raise `OSError`."""

    def make_directory(self, path: str) -> None:
        """Make the directory, open to its owner alone, and its parents. One that is there is left as it is."""
        ...

    def lock_directory(self, path: str) -> int:
        """Lock a directory that may be written to and return the descriptor whose `close` unlocks it.

        Makes no file. The lock is advisory, and the system drops it with the process. Raises
        `BlockingIOError` at once if anybody, this process included, holds it.
        """
        ...

    def lock_holder(self, path: str) -> int | None:
        """The process that has locked the directory, where the system tells."""
        ...

    def sync_directory(self, path: str) -> None:
        """Return when the directory's entries (what was created, renamed, removed) are on disk."""
        ...

    def read(self, path: str) -> bytes:
        """The file's whole content."""
        ...

    def create(self, path: str) -> int:
        """Create the file, mode 0600 whatever the umask, and open it for writing. It must not exist."""
        ...

    def write(self, file: int, data: bytes) -> None:
        """Write all of `data`."""
        ...

    def write_at(self, file: int, data: bytes, offset: int) -> None:
        """Write all of `data` from `offset` on."""
        ...

    def allocate(self, file: int, size: int) -> None:
        """Set space aside, so that the file has `size` bytes; new ones read as zeros."""
        ...

    def truncate(self, path: str, size: int) -> None:
        """Cut the file to `size` bytes."""
        ...

    def list(self, path: str) -> list[str]:
        """The names in the directory, in order."""
        ...

    def sync_data(self, file: int) -> None:
        """As `sync`, less what reading the data back doesn't need, such as its time of change."""
        ...

    def sync(self, file: int) -> None:
        """Return when all that was written is on disk. After a failure the file can't be trusted: throw it away."""
        ...

    def close(self, file: int) -> None:
        """Close the descriptor; it is gone even if this raises."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give the file its new name in one step, in place of whatever had it."""
        ...

    def remove(self, path: str) -> None:
        """Remove the file; one that isn't there is fine."""
        ...


class OsFileSystem:
    """The operating system's files."""

    def make_directory(self, path: str) -> None:
        if os.path.lexists(path):
            return
        parents = [os.path.dirname(os.path.abspath(path))]
        while not os.path.lexists(parents[-1]):
            parents.append(os.path.dirname(parents[-1]))
        os.makedirs(path, mode=0o700)
        for parent in parents:
            self.sync_directory(parent)

    def lock_directory(self, path: str) -> int:
        directory = _open_directory(path)
        try:
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError("it can't be written to")
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(directory)
            raise
        return directory

    def lock_holder(self, path: str) -> int | None:
        try:
            inode = os.stat(path).st_ino
            with open("/proc/locks", encoding="ascii") as locks:
                return _holder_of(inode, locks.read())
        except OSError:
            return None

    def sync_directory(self, path: str) -> None:
        directory = _open_directory(path)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def create(self, path: str) -> int:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(file, 0o600)  # a umask can have taken more away
        except BaseException:
            os.close(file)
            raise
        return file

    def write(self, file: int, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]

    def write_at(self, file: int, data: bytes, offset: int) -> None:
        left = memoryview(data)
        while left:
            written = os.pwrite(file, left, offset)
            left, offset = left[written:], offset + written

    def allocate(self, file: int, size: int) -> None:
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            os.truncate(file, size)  # this file system sets nothing aside; zeros are all that is needed

    def truncate(self, path: str, size: int) -> None:
        os.truncate(path, size)

    def list(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def sync_data(self, file: int) -> None:
        os.fdatasync(file)

    def sync(self, file: int) -> None:
        os.fsync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def rename(self, old: str, new: str) -> None:
        os.replace(old, new)

    def remove(self, path: str) -> None:
        try:
            os.remove(path)
        except FileNotFoundError:
            return


def _open_directory(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _holder_of(inode: int, locks: str) -> int | None:
    """The process with an flock on the inode, by the text of Linux's /proc/locks; no waiters, no strangers (pid 0).

    >>> _holder_of(77, "1: POSIX  ADVISORY  WRITE 12 08:01:77 0 EOF\\n2: FLOCK  ADVISORY  WRITE 34 08:01:77 0 EOF")
    34
    """
    for line in locks.splitlines():
        match line.split():
            case [_, "FLOCK", _, _, pid, place, *_] if place.endswith(f":{inode}") and int(pid) > 0:
                return int(pid)
    return None
