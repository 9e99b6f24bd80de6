/* Writes down every call of a process that changes a file below RECORD_BELOW, in RECORD_TO.

   cc -shared -fPIC -O1 -o record.so record.c -ldl; LD_PRELOAD=record.so RECORD_TO=log …

   A record: kind (1 byte), inode, offset, length of each of two texts and of the data (5 × 8 bytes,
   native order), then these. Kinds: C created, D folder made, W written, T cut, R renamed, L linked,
   U removed, S synced. */
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
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void record(char kind, uint64_t inode, uint64_t offset, const char *one, const char *two,
                   const void *data, uint64_t length) {
    static int log = -1;
    int before = errno;
    pthread_mutex_lock(&lock);
    if (log < 0) {
        const char *to = getenv("RECORD_TO");
        log = to ? syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    }
    uint64_t head[5] = {inode, offset, strlen(one), strlen(two), length};
    struct iovec parts[5] = {{&kind, 1}, {head, sizeof head}, {(void *)one, head[2]},
                             {(void *)two, head[3]}, {(void *)data, length}};
    if (log >= 0) syscall(SYS_writev, log, parts, 5);
    pthread_mutex_unlock(&lock);
    errno = before;
}

static int below(const char *path) {
    const char *top = getenv("RECORD_BELOW");
    return top && !strncmp(path, top, strlen(top));
}

static char *name_at(int folder, const char *name, char *into) {
    char link[64];
    ssize_t length = 0;
    if (name[0] == '/') return strncpy(into, name, PATH_MAX - 1);
    if (folder == AT_FDCWD) strcpy(link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, into, PATH_MAX - 1);
    if (length < 0) length = 0;
    snprintf(into + length, PATH_MAX - length, "/%s", name);
    return into;
}

static int file_of(int fd, char *path, struct stat *status) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path) && !fstat(fd, status);
}

static int opened(int fd, const char *path, int flags, int was_there) {
    struct stat status;
    if (fd >= 0 && below(path) && !fstat(fd, &status)) {
        if (!was_there && (flags & O_CREAT)) record('C', status.st_ino, 0, path, "", "", 0);
        else if (flags & O_TRUNC) record('T', status.st_ino, 0, path, "", "", 0);
    }
    return fd;
}

static int open_any(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX] = "";
    name_at(folder, name, path);
    int was_there = !faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW);
    return opened(syscall(SYS_openat, folder, name, flags, mode), path, flags, was_there);
}

#define MODE va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, int); va_end(rest)
int open(const char *name, int flags, ...) { MODE; return open_any(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE; return open_any(AT_FDCWD, name, flags, mode); }
int openat(int f, const char *name, int flags, ...) { MODE; return open_any(f, name, flags, mode); }
int openat64(int f, const char *name, int flags, ...) { MODE; return open_any(f, name, flags, mode); }

static FILE *stream(FILE *file, const char *name, const char *mode, int was_there) {
    char path[PATH_MAX] = "";
    name_at(AT_FDCWD, name, path);
    if (file) opened(fileno(file), path, mode[0] == 'w' ? O_CREAT | O_TRUNC : O_CREAT, was_there);
    return file;
}
FILE *fopen(const char *name, const char *mode) {
    REAL(FILE *, "fopen", const char *, const char *);
    int was_there = !access(name, F_OK);
    return stream(real(name, mode), name, mode, was_there);
}
FILE *fopen64(const char *name, const char *mode) {
    REAL(FILE *, "fopen64", const char *, const char *);
    int was_there = !access(name, F_OK);
    return stream(real(name, mode), name, mode, was_there);
}

static void written(int fd, const void *data, ssize_t length, off_t offset) {
    char path[PATH_MAX];
    struct stat status;
    if (length > 0 && file_of(fd, path, &status)) {
        if (offset < 0) offset = lseek(fd, 0, SEEK_CUR) - length;
        record('W', status.st_ino, offset, path, "", data, length);
    }
}
ssize_t write(int fd, const void *data, size_t length) {
    ssize_t done = syscall(SYS_write, fd, data, length);
    written(fd, data, done, -1);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    ssize_t done = syscall(SYS_pwrite64, fd, data, length, offset);
    written(fd, data, done, offset);
    return done;
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return pwrite(fd, data, length, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t total = 0;
    for (int part = 0; part < count; part++) {
        ssize_t done = write(fd, parts[part].iov_base, parts[part].iov_len);
        if (done < 0) return total ? total : done;
        total += done;
        if ((size_t)done < parts[part].iov_len) break;
    }
    return total;
}
ssize_t sendfile(int to, int from, off_t *offset, size_t count) {
    char data[1 << 16];
    ssize_t got = offset ? pread(from, data, count < sizeof data ? count : sizeof data, *offset)
                         : read(from, data, count < sizeof data ? count : sizeof data);
    if (got <= 0) return got;
    ssize_t done = write(to, data, got);
    if (offset && done > 0) *offset += done;
    return done;
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t count) {
    return sendfile(to, from, offset, count);
}
ssize_t copy_file_range(int a, off64_t *b, int c, off64_t *d, size_t e, unsigned f) {
    errno = ENOSYS;
    return -1;
}
int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    struct stat status;
    int done = syscall(SYS_ftruncate, fd, size);
    if (!done && file_of(fd, path, &status)) record('T', status.st_ino, size, path, "", "", 0);
    return done;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int renamed(char kind, int done, int a, const char *from, int b, const char *to) {
    char one[PATH_MAX] = "", two[PATH_MAX] = "";
    name_at(a, from, one);
    name_at(b, to, two);
    if (!done && (below(one) || below(two))) record(kind, 0, 0, one, two, "", 0);
    return done;
}
int renameat(int a, const char *from, int b, const char *to) {
    return renamed('R', syscall(SYS_renameat2, a, from, b, to, 0), a, from, b, to);
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    return renamed('L', syscall(SYS_linkat, a, from, b, to, flags), a, from, b, to);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX] = "";
    int done = syscall(SYS_unlinkat, folder, name, flags);
    name_at(folder, name, path);
    if (!done && below(path)) record('U', 0, 0, path, "", "", 0);
    return done;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX] = "";
    int done = syscall(SYS_mkdirat, folder, name, mode);
    name_at(folder, name, path);
    if (!done && below(path)) record('D', 0, 0, path, "", "", 0);
    return done;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

static int synced(int fd, int done) {
    char path[PATH_MAX];
    struct stat status;
    if (!done && file_of(fd, path, &status))
        record('S', S_ISDIR(status.st_mode) ? 0 : status.st_ino, 0, path, "", "", 0);
    return done;
}
int fsync(int fd) { return synced(fd, syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { return synced(fd, syscall(SYS_fdatasync, fd)); }
