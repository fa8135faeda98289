/* Logs what a process does to the files below a directory, in order. Loaded into the process with LD_PRELOAD.
 *
 * HOOKWRIGHT_TEST_POWER_ROOT is the directory, HOOKWRIGHT_TEST_POWER_LOG the file. From the log, `tests/it/power_loss.rs`
 * computes what the disk may hold after a power cut at any moment. It also checks that the whole log gives the directory as it is. A change
 * that is missed here (a call that does not go through the C library) fails that check.
 *
 * A record: kind (1 byte), number (8 bytes, little-endian), length of the path (4), length of the data (4), path, data.
 *
 *   C  a file was made            D  a directory was made      R  renamed: the data is the new path
 *   U  a file was removed         X  a directory was removed   T  a file has this length now (number)
 *   W  written: offset (number), data
 *   S  a sync begins (number: which)     E  that sync has succeeded
 *
 * Writes and changes of names are logged when they have happened, under one lock, so that the log has the order in which they happened. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1;
static uint64_t syncs;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("HOOKWRIGHT_TEST_POWER_ROOT"), *log = getenv("HOOKWRIGHT_TEST_POWER_LOG");
    if (!directory || !log) return;
    snprintf(root, sizeof root, "%s", directory);
    root_len = strlen(root);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    /* Only this process: what it starts does not write into its store. */
    unsetenv("LD_PRELOAD");
}

static void broken(const char *what) {
    dprintf(2, "power_loss: %s: %s\n", what, strerror(errno));
    abort();
}

/* The path below the root, or NULL. */
static const char *below(const char *path) {
    if (log_fd < 0 || strncmp(path, root, root_len) != 0) return NULL;
    if (path[root_len] == 0) return path + root_len;
    return path[root_len] == '/' ? path + root_len + 1 : NULL;
}

static const char *below_fd(int fd, char *buffer) {
    char link[64];
    if (log_fd < 0) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0) return NULL;
    buffer[length] = 0;
    return below(buffer);
}

static const char *below_at(int directory, const char *path, char *buffer) {
    if (path[0] == '/') return below(path);
    if (directory == AT_FDCWD) {
        if (!getcwd(buffer, PATH_MAX / 2)) return NULL;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, buffer, PATH_MAX / 2);
        if (length < 0) return NULL;
        buffer[length] = 0;
    }
    strcat(buffer, "/");
    strncat(buffer, path, PATH_MAX / 2 - 2);
    return below(buffer);
}

/* Called with the lock held. */
static void note(char kind, uint64_t number, const char *path, const void *data, size_t length) {
    struct __attribute__((packed)) { char kind; uint64_t number; uint32_t path, data; } head = {
        kind, number, (uint32_t)strlen(path), (uint32_t)length };
    struct iovec parts[3] = { { &head, sizeof head }, { (void *)path, head.path }, { (void *)data, length } };
    size_t whole = sizeof head + head.path + length;
    int saved = errno;
    if (syscall(SYS_writev, log_fd, parts, 3) != (long)whole) broken("the log cannot be written");
    errno = saved;
}

static void noted(char kind, uint64_t number, const char *path, const void *data, size_t length) {
    pthread_mutex_lock(&lock);
    note(kind, number, path, data, length);
    pthread_mutex_unlock(&lock);
}

static int opened(int directory, const char *path, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *seen = flags & (O_CREAT | O_TRUNC) ? below_at(directory, path, buffer) : NULL;
    if (!seen) return (int)syscall(SYS_openat, directory, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat before;
    int is_new = syscall(SYS_newfstatat, directory, path, &before, 0) != 0;
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (fd >= 0 && is_new) note('C', 0, seen, NULL, 0);
    if (fd >= 0 && !is_new && flags & O_TRUNC) note('T', 0, seen, NULL, 0);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE(flags) return opened(directory, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { MODE(flags) return opened(directory, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static ssize_t written_at(int fd, const void *data, size_t length, off_t offset) {
    char buffer[PATH_MAX];
    const char *seen = below_fd(fd, buffer);
    if (!seen) return syscall(SYS_pwrite64, fd, data, length, offset);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_pwrite64, fd, data, length, offset);
    if (done > 0) note('W', (uint64_t)offset, seen, data, (size_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return written_at(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return written_at(fd, data, length, offset); }

ssize_t write(int fd, const void *data, size_t length) {
    char buffer[PATH_MAX];
    const char *seen = below_fd(fd, buffer);
    if (!seen) return syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_write, fd, data, length);
    if (done > 0) note('W', (uint64_t)(lseek(fd, 0, SEEK_CUR) - done), seen, data, (size_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char buffer[PATH_MAX];
    if (!below_fd(fd, buffer)) return syscall(SYS_writev, fd, parts, count);
    /* A short write is a write: the caller goes on with the rest. */
    for (int n = 0; n < count; n++) if (parts[n].iov_len) return write(fd, parts[n].iov_base, parts[n].iov_len);
    return 0;
}

static int truncated(int fd, off_t length) {
    char buffer[PATH_MAX];
    const char *seen = below_fd(fd, buffer);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (seen && done == 0) note('T', (uint64_t)length, seen, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t length) { return truncated(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }

/* Not used by the store today: better noticed than missed. */
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
    char buffer[PATH_MAX];
    if (below_fd(to, buffer)) { errno = ENOSYS; return -1; }
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
}
int fallocate(int fd, int mode, off_t offset, off_t length) {
    char buffer[PATH_MAX];
    if (below_fd(fd, buffer)) { errno = EOPNOTSUPP; return -1; }
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

static int synced(int fd, long call) {
    char buffer[PATH_MAX];
    const char *seen = below_fd(fd, buffer);
    if (!seen) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    uint64_t number = ++syncs;
    note('S', number, seen, NULL, 0);
    pthread_mutex_unlock(&lock);
    int done = (int)syscall(call, fd);
    if (done == 0) noted('E', number, seen, NULL, 0);
    return done;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char from_buffer[PATH_MAX], to_buffer[PATH_MAX];
    const char *seen = below_at(from_at, from, from_buffer), *seen_to = below_at(to_at, to, to_buffer);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (done == 0 && seen && seen_to) note('R', 0, seen, seen_to, strlen(seen_to));
    pthread_mutex_unlock(&lock);
    return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) { return renamed(from_at, from, to_at, to, 0); }
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) { return renamed(from_at, from, to_at, to, flags); }

static int removed(int directory, const char *path, int flags) {
    char buffer[PATH_MAX];
    const char *seen = below_at(directory, path, buffer);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_unlinkat, directory, path, flags);
    if (done == 0 && seen) note(flags & AT_REMOVEDIR ? 'X' : 'U', 0, seen, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int directory, const char *path, int flags) { return removed(directory, path, flags); }

static int made(int directory, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    const char *seen = below_at(directory, path, buffer);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_mkdirat, directory, path, mode);
    if (done == 0 && seen) note('D', 0, seen, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int directory, const char *path, mode_t mode) { return made(directory, path, mode); }
