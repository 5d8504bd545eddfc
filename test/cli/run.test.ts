/** user-page run: what a stranger reads of drivers with bugs, and how drivers that misbehave end. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { document_of, marked, project, project_of, user_page, type Said } from "./command.js";

/** The three bugs of the issue, hidden from the compiler in different ways. */
const STRANGERS = [
  ["casts.ts", ["casts.ts"]],
  ["helpers.ts", ["helpers.ts", "helpers_of.ts"]],
  ["aliases.ts", ["aliases.ts"]],
] as const;

describe.each(STRANGERS)("%s", (driver, files) => {
  const cwd = project_of(...files);
  const bugs = files.flatMap((file) => [...marked(file)].map(([id, line]) => ({ id, file, line })));
  let all: Promise<Said>;
  beforeAll(() => {
    all = user_page(cwd, "run", driver, "--debug", "--inject", "all");
  });
  test("every cause is named with its id and its line, from one command", async () => {
    const { code, out } = await all;
    expect(code).toBe(1);
    const paragraphs = out.split("\n\n");
    expect(bugs.length).toBeGreaterThanOrEqual(2);
    for (const { id, file, line } of bugs) {
      const about = paragraphs.filter((text) => text.startsWith(`[${id}] `));
      expect(about, id).toHaveLength(1);
      expect(about[0]).toMatch(new RegExp(` ${file.replace(".", "\\.")}:${line}:\\d+$`, "m"));
      expect(about[0]).toMatch(/^ {2}instead /m);
      // Without a failure, or with one: which, in what, and where the driver called that.
      expect(about[0]).toMatch(
        /^ {2}when {6}(in every run, without any failure$|\w+@\d+(:\d+)? in \w+\(\) at \w+\.ts:\d+:\d+: [A-Z])/m,
      );
    }
    // Nothing else is named: a cause is told once, and not by what follows from it.
    expect(paragraphs.filter((text) => /^(\[|lost|threw|data|hung)/.test(text))).toHaveLength(
      bugs.length,
    );
    expect(out).not.toContain(cwd);
  });
  test("what stands behind reproduce shows the cause again", async () => {
    const { out } = await all;
    const lines = new Set(out.split("\n").filter((line) => line.startsWith("  reproduce ")));
    for (const line of lines) {
      const [, ...args] = line.replace("  reproduce npx ", "").split(" ");
      const again = await user_page(cwd, ...args);
      expect(again.code).toBe(1);
      // Which bugs that are: those whose paragraph had this line.
      const of_line = out.split("\n\n").filter((text) => text.split("\n").includes(line));
      for (const text of of_line) expect(again.out).toContain(/^\[(\S+)\]/.exec(text)![0]);
      expect(again.out).toContain(line);
    }
  });
});

test("without debug mode the damage is counted, and how to see where", async () => {
  const { code, out } = await user_page(project_of("casts.ts"), "run", "casts.ts");
  expect(code).toBe(1);
  expect(out).toMatch(/^ {2}pins {6}6 taken, 1 released$/m);
  expect(out).toMatch(/^ {2}pages {5}512 lost/m);
  expect(out).not.toContain("[pin-to-put_page]");
});
test("one failure: what failed, and what leaked with it", async () => {
  const cwd = project_of("aliases.ts");
  const { code, out } = await user_page(
    cwd,
    "run",
    "aliases.ts",
    "--debug",
    "--inject",
    "fail_make_request@1",
  );
  expect(code).toBe(1);
  const line = marked("aliases.ts").get("leak")!;
  expect(out).toMatch(/^\[leak\] at shutdown 16 references are held/);
  expect(out).toContain(`acquired  by pin_user_pages_fast() in task 1 at aliases.ts:${line}:`);
  expect(out).toContain("injected  fail_make_request@1 in submit_bio()");
  expect(out).toContain("driver    failed: EIO");
  expect(out).toContain(
    "reproduce npx user-page run aliases.ts --debug --inject fail_make_request@1",
  );
  expect(out).toContain("Found: 16 references leaked");
});

const RIGHT = `import { direct_io, type BlockDevice, type DriverWorld, type Task, type UserAddr } from "user-page";
export default ({ current, disk, buf, len }: DriverWorld) => direct_io(current, disk, "REQ_OP_READ", buf, len, 0);
`;
describe("a right driver", () => {
  test("nothing is found in any run", async () => {
    const cwd = project({ "driver.ts": RIGHT });
    for (const args of [
      [],
      ["--debug"],
      ["--debug=owners", "--inject", "3"],
      ["--inject", "all"],
    ]) {
      const { code, out } = await user_page(cwd, "run", "driver.ts", ...args);
      expect(code).toBe(0);
      expect(out).toMatch(/[Nn]othing was found/);
    }
  });
  test("dio_read and dio_write move the bytes of a file, and every byte is compared", async () => {
    const cwd = project_of("aliases.ts");
    writeFileSync(
      join(cwd, "data"),
      new Uint8Array(70_000).map((_, i) => i * 7),
    );
    const { code, out } = await user_page(cwd, "run", "aliases.ts", "--file", "data");
    expect(code).toBe(0);
    expect(out).toContain(
      "dio_read() moved 70,144 of 70,144 bytes, all right; dio_write() moved 70,144 of",
    );
  });
  test("its trace and its views", async () => {
    const cwd = project({ "driver.ts": RIGHT });
    const args = ["--debug", "--trace", "t.json", "--proc", "vmstat,maps"];
    const { code, json } = await document_of(cwd, "run", "driver.ts", ...args);
    expect(code).toBe(0);
    const { proc } = json as { proc: Record<string, string> };
    expect(proc["/proc/vmstat"]).toMatch(/^nr_foll_pin_acquired \d+$/m);
    expect(proc["/proc/maps"]).toContain("rw-p");
    const { traceEvents } = JSON.parse(readFileSync(join(cwd, "t.json"), "utf8")) as {
      traceEvents: unknown[];
    };
    expect(traceEvents.length).toBeGreaterThan(10);
  });
});

describe("a driver that does not wait for its bio", () => {
  const driver = (end_io: string, verify = "") => `import {
  bio_add_user_page, bio_alloc_pinned, bio_put, bio_release_pages, bio_set_end_io, copy_from_user, get_user_page, IS_ERR,
  ITER_DEST, submit_bio, type DriverWorld,
} from "user-page";
export default ({ current, disk, buf }: DriverWorld) => {
  const page = get_user_page(current, buf, ITER_DEST);
  if (IS_ERR(page)) return page;
  const bio = bio_alloc_pinned(disk, 1, "REQ_OP_READ");
  bio_add_user_page(bio, page, 4096, 0);
  bio_set_end_io(bio, (ended) => { ${end_io} });
  submit_bio(bio);
};
${verify}`;
  test("what it leaks is shown with its life", async () => {
    const cwd = project({ "d.ts": driver("") });
    const { code, out } = await user_page(cwd, "run", "d.ts", "--inject", "all");
    expect(code).toBe(1);
    const about = out.split("\n\n").filter((text) => text.startsWith("[leak]"));
    const life = about.find((text) => text.includes("pinned user page"))!.split("\n");
    expect(life).toEqual([
      expect.stringMatching(
        /^\[leak\] a reference was never released: 1 x pinned user page, 4096 bytes, \d/,
      ),
      "  when      in every run, without any failure",
      expect.stringMatching(/^ {2}acquired {2}by get_user_page\(\) in task 1 at d\.ts:6:\d+$/),
      expect.stringMatching(/^ {2}moved .* by bio_add_user_page\(\) in process at d\.ts:9:3$/),
      expect.stringMatching(/^ {2}submitted by submit_bio\(\) in process at d\.ts:11:3$/),
      expect.stringMatching(/^ {2}completed by bio_endio\(\) in softirq/),
      "  instead   release it when its bio ended: bio_release_pages()",
      "  reproduce npx user-page run d.ts --debug",
    ]);
  });
  test("is judged when that ended, in every run", async () => {
    const verify = `
export const verify = ({ current, buf }: DriverWorld) => {
  const bytes = new Uint8Array(4096);
  copy_from_user(current, bytes, buf)._unsafeUnwrap();
  return bytes.some((byte) => byte !== 0);
};
`;
    const end_io = "bio_release_pages(ended, false); bio_put(ended);";
    const cwd = project({ "d.ts": driver(end_io, verify) });
    const once = await user_page(cwd, "run", "d.ts", "--debug");
    expect(once).toMatchObject({ code: 0 });
    const { out } = await user_page(cwd, "run", "d.ts", "--inject", "all");
    expect(out).toContain("verify() found nothing wrong");
    // The driver does not look at the status of its bio, and that is all.
    expect(out.match(/^data lost: .*/gm)).toEqual(["data lost: verify() returned false"]);
    expect(out).toMatch(/^ {2}when {6}fail_make_request@1 in submit_bio\(\) at d\.ts:11:3: /m);
    expect(out).toContain("1 cause found.");
  });
});

describe("data that is wrong", () => {
  const transfer = (body: string) => `import { ok, type Result } from "neverthrow";
import { direct_io, type BlockDevice, type Task, type UserAddr } from "user-page";
export function dio_read(current: Task, disk: BlockDevice, buf: UserAddr, len: number, position: number) {
  ${body}
}
`;
  test("bytes that were never moved are no success", async () => {
    const half = 'direct_io(current, disk, "REQ_OP_READ", buf, len / 2, position); return ok(len);';
    const { code, out } = await user_page(project({ "d.ts": transfer(half) }), "run", "d.ts");
    expect(code).toBe(1);
    expect(out).toMatch(
      /dio_read\(\) says it moved 393216 bytes, and \d+ of them are wrong, from byte 19660\d on/,
    );
    expect(out).toContain("Found: wrong data");
  });
  test("verify() of the driver's own", async () => {
    const cwd = project({ "d.ts": `${RIGHT}export const verify = () => false;\n` });
    const { code, out } = await user_page(cwd, "run", "d.ts");
    expect(code).toBe(1);
    expect(out).toContain("verify() returned false");
  });
  test("an error that is not looked at is found by making each call fail", async () => {
    const blind = 'direct_io(current, disk, "REQ_OP_READ", buf, len, position); return ok(len);';
    const cwd = project({ "d.ts": transfer(blind) });
    expect(await user_page(cwd, "run", "d.ts")).toMatchObject({ code: 0 });
    const { code, out } = await user_page(cwd, "run", "d.ts", "--inject", "all");
    expect(code).toBe(1);
    expect(out).toMatch(/^data lost: .*dio_read\(\) says it moved/m);
    expect(out).toMatch(/^ {2}when .*fail_page_alloc@1/m);
    expect(out).toMatch(/^ {2}or with .*fail_make_request@1/m);
  });
});

describe("only the driver is made to fail", () => {
  test("not what judges it", async () => {
    const text = `import { alloc_page, IS_ERR, put_page, type DriverWorld } from "user-page";
export default ({ current }: DriverWorld) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  put_page(page);
};
export const verify = (world: DriverWorld) => !(IS_ERR as (page: unknown) => boolean)(driver(world));
const driver = ({ current }: DriverWorld) => {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  put_page(page);
  return 0;
};
`;
    const cwd = project({ "d.ts": text });
    const first = await user_page(cwd, "run", "d.ts", "--inject", "fail_page_alloc@1");
    expect(first.out).toContain("driver    failed: ENOMEM");
    const second = await user_page(cwd, "run", "d.ts", "--inject", "fail_page_alloc@2");
    expect(second.out).toContain("nothing: the driver did not come to fail_page_alloc@2");
    expect(second.out).toContain("verify() found nothing wrong");
    expect(second.code).toBe(0);
  });
  test("not what prepares its world", async () => {
    const text = `import { direct_io, type BlockDevice, type Task, type UserAddr } from "user-page";
export const dio_write = (current: Task, disk: BlockDevice, buf: UserAddr, len: number, at: number) =>
  direct_io(current, disk, "REQ_OP_WRITE", buf, len, at);
`;
    const cwd = project({ "d.ts": text });
    const { code, out } = await user_page(cwd, "run", "d.ts", "--inject", "fail_usercopy@1");
    expect(out).toContain("nothing: the driver did not come to fail_usercopy@1");
    expect(out).toContain("dio_write() moved 393,216 of 393,216 bytes, all right");
    expect(code).toBe(0);
  });
});
test("several files, by the names that compilers and Node accept", async () => {
  const cwd = project({
    "driver.ts": `import { one } from "./one.js";
import { two } from "./two.ts";
import { where } from "./plain.mjs";
export default () => { if (one + two + where.length < 4) throw new Error("no"); };
`,
    "one.ts": "export const one = 1 as number;\n",
    "two.ts": 'import { one } from "./one.js";\nexport const two = one + 1;\n',
    "plain.mjs": "export const where = import.meta.url;\n",
    "plain.d.mts": "export const where: string;\n",
  });
  expect(await user_page(cwd, "run", "driver.ts")).toMatchObject({ code: 0 });
});
