/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the simulation notice bugs? Each seeded bug of mutations.py runs in a process of its own,
 * because many end in a broken INVARIANT or an endless loop; all of these count as noticed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mutations.h"
#include "sim.h"

enum { MAX_SCHEDULES = 2000, PATIENCE_S = 20 };

int sched_bug; /* read by the mutated sources */

static const char *const names[] = {MUTATION_NAMES};

/* In the child: 0 if all schedules went well, 1 if one failed, which is told to the parent. */
static int run_schedules(int out) {
    struct sim_report report = {.n_ticks = 0};
    (void)alarm(PATIENCE_S); /* its default action ends the process: noticed, too */
    for (uint64_t seed = 1; seed <= MAX_SCHEDULES; seed++) {
        dprintf(out, "seed %" PRIu64 ": it crashed or hung", seed);
        (void)lseek(out, 0, SEEK_SET);
        if (!sim_run(seed, &report)) {
            dprintf(out, "%s", report.failure);
            return 1;
        }
    }
    return 0;
}

/* True if the child found something; how is left in the file. */
static bool notices(int bug, FILE *how) {
    const pid_t child = fork();
    if (child == 0) {
        sched_bug = bug;
        FILE *nowhere = freopen("/dev/null", "w", stderr); /* crashes are wanted, their words not */
        (void)nowhere;                                     /* at worst they are seen */
        _exit(run_schedules(fileno(how)));
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && status != 0;
}

static bool report_on(int bug) {
    FILE *how = tmpfile();
    char text[512] = "";
    if (!how)
        return false;

    const bool noticed = notices(bug, how);
    rewind(how);
    if (!fgets(text, sizeof text, how))
        text[0] = '\0';
    (void)fclose(how);
    if (bug == 0)
        (void)printf("%-8s no bug\n", noticed ? "FALSE" : "ok");
    else
        (void)printf("%-8s %2d %-45s %s\n", noticed ? "noticed" : "MISSED", bug, names[bug - 1],
                     noticed ? text : "");
    (void)fflush(stdout);
    return noticed;
}

int main(void) {
    int n_wrong = report_on(0) ? 1 : 0; /* else everything below would be noticed for free */
    for (int bug = 1; bug <= (int)(sizeof names / sizeof *names); bug++)
        n_wrong += report_on(bug) ? 0 : 1;
    return n_wrong > 0;
}
