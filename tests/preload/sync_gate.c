/* Holds up the disk: every fdatasync of a process waits while the file HOOKWRIGHT_TEST_SYNC_GATE exists. When one begins to wait, the file
 * HOOKWRIGHT_TEST_SYNC_GATE.reached is created. Loaded into a process with LD_PRELOAD. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static char gate[PATH_MAX], reached[PATH_MAX + 16];

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("HOOKWRIGHT_TEST_SYNC_GATE");
    if (!path) return;
    snprintf(gate, sizeof gate, "%s", path);
    snprintf(reached, sizeof reached, "%s.reached", gate);
    /* Only this process. */
    unsetenv("LD_PRELOAD");
}

int fdatasync(int fd) {
    if (gate[0] && access(gate, F_OK) == 0) {
        close(open(reached, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        while (access(gate, F_OK) == 0) usleep(1000);
    }
    return (int)syscall(SYS_fdatasync, fd);
}
