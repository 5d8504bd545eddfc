// What a driver module exports, made into one driver with what is to be checked when it returned.
import type { Result } from "neverthrow";
import {
  brd_alloc,
  copy_from_user,
  copy_to_user,
  create_task,
  direct_io,
  exit_task,
  IS_ERR,
  IS_SHORT,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  mmap,
  PROT_READ,
  PROT_WRITE,
  type BlkError,
  type BlockDevice,
  type Driver,
  type DriverWorld,
  type GupError,
  type MachineOptions,
  type Task,
  type UserAddr,
} from "user-page";

/** What a driver may export as dio_read() and dio_write(): how many of `len` bytes it moved. */
export type Transfer = (
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
  position: number,
) => Result<number, GupError | BlkError>;

/** The world of a driver that reads and writes: a second disk to write to. */
interface TwoDisks extends DriverWorld {
  readonly target?: BlockDevice;
}
type Moved = Partial<Record<"dio_read" | "dio_write", unknown>>;
export interface DriverModule {
  readonly driver: Driver<TwoDisks>;
  readonly prepare: (world: DriverWorld) => TwoDisks;
  /** throws a sentence if what the driver claims is not so; returns what was compared, or null */
  readonly verify: (world: TwoDisks, result: unknown) => string | null;
  readonly cleanup: ((world: TwoDisks) => unknown) | undefined;
  readonly options: MachineOptions;
}
/** The module is no driver; the message says what it should export. */
export class NoDriver extends Error {
  override readonly name = "NoDriver";
}
/** Data is lost; the message says all. */
class WrongData extends Error {
  override readonly name = "WrongData";
}
type Call = (...args: unknown[]) => unknown;

function exported(exports: Record<string, unknown>, name: string): Call | undefined {
  const found = exports[name];
  if (found === undefined) return undefined;
  if (typeof found !== "function") {
    throw new NoDriver(
      `it exports ${name}, which is ${typeof found === "object" ? "an object" : `a ${typeof found}`} and no function`,
    );
  }
  return found as Call;
}
const of_error = ({ errno, message }: Partial<Record<"errno" | "message", unknown>>): string =>
  [errno, message].filter((part) => typeof part === "string").join(": ") || "an error";
/** What a driver says of its failure, in the forms that inject_each() knows; null if it claims success. */
export function failure_of(result: unknown): string | null {
  if (result === false) return "it returned false";
  if (typeof result === "number" && result < 0) return `it returned ${result}`;
  if (typeof result === "object" && result !== null && "isErr" in result) {
    const answer = result as Result<unknown, object>;
    return answer.isErr() ? of_error(answer.error) : null;
  }
  if (IS_ERR(result)) return of_error(result);
  return IS_SHORT(result) ? "fewer pages were pinned than asked for" : null;
}
const PROT = PROT_READ | PROT_WRITE;
function bytes_of_memory(task: Task, at: UserAddr, len: number): Uint8Array {
  const bytes = new Uint8Array(len);
  copy_from_user(task, bytes, at)._unsafeUnwrap();
  return bytes;
}
/** Reads a disk by a way that is known to be right. */
function bytes_of_disk({ machine, len }: DriverWorld, disk: BlockDevice): Uint8Array {
  const reader = create_task(machine);
  const at = mmap(reader, null, len, PROT, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
  direct_io(reader, disk, "REQ_OP_READ", at, len, 0)._unsafeUnwrap();
  const bytes = bytes_of_memory(reader, at, len);
  exit_task(reader);
  return bytes;
}
function compare(name: string, result: unknown, found: Uint8Array, wanted: Uint8Array): string {
  const moved = (result as Result<number, unknown>).unwrapOr(0);
  if (!Number.isSafeInteger(moved) || moved < 0 || moved > wanted.length)
    throw new WrongData(`${name}() says it moved ${String(moved)} of ${wanted.length} bytes`);
  let first = -1;
  let wrong = 0;
  for (let i = 0; i < moved; i++) {
    if (found[i] === wanted[i]) continue;
    wrong++;
    if (first === -1) first = i;
  }
  if (wrong > 0) {
    throw new WrongData(
      `${name}() says it moved ${moved} bytes, and ${wrong} of them are wrong, from byte ${first} on`,
    );
  }
  return `${name}() moved ${moved.toLocaleString("en-US")} of ${wanted.length.toLocaleString("en-US")} bytes, all right`;
}
function transfers(exports: Record<string, unknown>): Omit<DriverModule, "cleanup" | "options"> {
  const read = exported(exports, "dio_read") as Transfer | undefined;
  const write = exported(exports, "dio_write") as Transfer | undefined;
  const answer_of = (
    name: string,
    call: Transfer,
    disk: BlockDevice,
    world: DriverWorld,
  ): unknown => {
    const result: unknown = call(world.current, disk, world.buf, world.len, 0);
    if (typeof result === "object" && result !== null && "isErr" in result) return result;
    throw new TypeError(`${name}() returned no Result`);
  };
  return {
    prepare: (world) => {
      if (!write) return world;
      const target = brd_alloc(world.machine, world.len);
      if (IS_ERR(target)) throw new Error(target.message);
      // What is only written has to be in memory first.
      if (!read)
        copy_to_user(world.current, world.buf, bytes_of_disk(world, world.disk))._unsafeUnwrap();
      return { ...world, target };
    },
    driver: (world) => {
      const moved: Moved = {};
      if (read) {
        moved.dio_read = answer_of("dio_read", read, world.disk, world);
        if (failure_of(moved.dio_read) !== null) return moved.dio_read;
      }
      if (write && world.target) {
        moved.dio_write = answer_of("dio_write", write, world.target, world);
        if (failure_of(moved.dio_write) !== null) return moved.dio_write;
      }
      return moved;
    },
    verify: (world, result) => {
      const { dio_read, dio_write } = result as Moved;
      const said: string[] = [];
      const memory = bytes_of_memory(world.current, world.buf, world.len);
      if (dio_read !== undefined)
        said.push(compare("dio_read", dio_read, memory, bytes_of_disk(world, world.disk)));
      if (dio_write !== undefined && world.target)
        said.push(compare("dio_write", dio_write, bytes_of_disk(world, world.target), memory));
      return said.join("; ") || null;
    },
  };
}
/** Reads what a module exports. */
export function driver_of(exports: Record<string, unknown>): DriverModule {
  const chosen = exported(exports, "default") as Driver<TwoDisks> | undefined;
  const verify = exported(exports, "verify");
  const cleanup = exported(exports, "cleanup");
  const options = exports["options"] ?? {};
  if (typeof options !== "object") throw new NoDriver("its export `options` is no object");
  const has_transfer = exports["dio_read"] !== undefined || exports["dio_write"] !== undefined;
  if (!chosen && !has_transfer) {
    throw new NoDriver(
      "it exports no driver: `export default function (world: DriverWorld) { … }`, or dio_read() and dio_write()",
    );
  }
  const own = chosen ? null : transfers(exports);
  return {
    driver: chosen ?? own!.driver,
    prepare: own?.prepare ?? ((world) => world),
    verify: (world, result) => {
      const said = own?.verify(world, result) ?? null;
      const answer = verify?.(world, result);
      if (answer === false) throw new WrongData("verify() returned false");
      if (answer instanceof Promise)
        throw new WrongData("verify() returned a promise: it has to answer at once");
      return said ?? (verify ? "verify() found nothing wrong" : null);
    },
    cleanup,
    options,
  };
}
