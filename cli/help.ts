// What --help prints.
const EXIT_CODES = `exit codes of all commands
  0  nothing was found
  1  findings: refused lines, reports, leaks, lost pages, wrong data, rows that differ; with
     --inject all also a driver that fails though nothing was made to fail
  2  wrong arguments, a missing file, an unknown name
  3  the driver cannot be loaded, threw an exception of its own or did not end; or no
     TypeScript was found`;

export const HELP = `user-page: pinned user pages as types, and a machine to run drivers on

usage: npx user-page COMMAND [OPTIONS]

  check DRIVER.ts...   what the compiler refuses, and which rule each refused line breaks
  run DRIVER.ts        runs a driver: reports of misuse, leaks, lost pages, wrong data
  explain [ID]         a misuse with a wrong and a right program; all of them without ID
  conform [ROWS.json]  the model beside counters that a live Linux kernel recorded

  COMMAND --help       more about one of them
  --json               one JSON document on stdout instead of text, for every command
  --version

A driver is a TypeScript module. Its default export gets a world: a task, a disk with a
file's bytes, and as many bytes of user memory.

  // driver.ts
  import { direct_io, get_user_page, IS_ERR, ITER_DEST, put_user_page } from "user-page";
  import type { DriverWorld } from "user-page";

  export default function driver({ current, disk, buf, len }: DriverWorld) {
    const page = get_user_page(current, buf, ITER_DEST); // pins the first page
    if (IS_ERR(page)) return page;
    put_user_page(page); // put_page(page) would not compile
    return direct_io(current, disk, "REQ_OP_READ", buf, len, 0);
  }

First  npx user-page check driver.ts, then  npx user-page run driver.ts --debug --inject all

${EXIT_CODES}`;

const CHECK = `usage: npx user-page check DRIVER.ts... [--json]

Compiles the drivers with the TypeScript of your project (5.9 or later) and your
tsconfig.json, if there is one; without one under "strict". Nothing is run. For each
refused line: the message, the misuse it stands for, what to write instead, and what Linux
would do.

${EXIT_CODES}`;

const RUN = `usage: npx user-page run DRIVER.ts [OPTIONS]

  --file FILE       the bytes of the disk; 384 KiB of a pattern by default
  --debug[=LEVEL]   report each misuse at the call that does it; without it the driver
                    runs as in Linux, and only the damage is counted.  LEVEL is
                      true     every reference, and the lines that took and released it
                      owners   the same without the lines
                      tags     a pin released as a page, and a page released as a pin
                      false    as without --debug
  --inject WHAT     make calls fail on purpose.  WHAT is
                      all         each call that can fail, one in each run, with --debug;
                                  the driver has to end before it returns
                      NAME@N,...  one run, in which NAME fails the N-th time; the line
                                  "reproduce" of each report has it
                      SEED        one run, in which an integer decides what fails
                    NAME is fail_page_alloc, fail_make_request, fail_usercopy, short_pin,
                    fault_in_pin, fail_migrate, delay_completion or kill_wait
  --trace OUT.json  the trace events of the run, for https://ui.perfetto.dev
  --proc VIEW,...   files of /proc at the end of the run: vmstat, meminfo, buddyinfo,
                    kpagecount, kpageflags, page_owner; of the task maps, smaps, pagemap
  --timeout SECONDS ends a driver that says nothing for so long; 60 by default
  --json            one JSON document on stdout; what the driver prints goes to stderr

A driver module exports one of
  default             (world: DriverWorld) => unknown
  dio_read, dio_write (current, disk, buf, len, position) => Result<number, error>
                      the file is read from the disk into memory, then written to a
                      second disk, and every byte is compared
and may export
  verify(world, result)  called when the driver claims success; false, or an exception:
                         what it claims is not so
  cleanup(world)         releases what the driver keeps on purpose
  options                for boot(): { mem, shuffle, ... }

  npx user-page run driver.ts                       runs it once, as Linux would
  npx user-page run driver.ts --debug --inject all  finds what is wrong, and where

A driver with compile errors is run all the same: C would have compiled it.

${EXIT_CODES}`;

const EXPLAIN = `usage: npx user-page explain [ID] [--json]

Prints one misuse: its sentence, what to do instead, what Linux would do, a wrong program
with what the compiler and debug mode say to it, and the right one. Without ID, all ids.

  npx user-page explain pin-to-put_page

${EXIT_CODES}`;

const CONFORM = `usage: npx user-page conform [ROWS.json] [--debug] [--json]

Runs the operations of recorded rows on the model and compares how many pins were taken
and released with what a live Linux kernel counted. Without a file: the rows of Linux 6.18
that come with the package. --debug runs them in debug mode, which must change nothing.

${EXIT_CODES}`;

export const HELP_OF = { check: CHECK, run: RUN, explain: EXPLAIN, conform: CONFORM } as const;
