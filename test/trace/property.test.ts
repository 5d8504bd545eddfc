/** Random programs that are traced: nothing changes, what is open is what is held, and every trace is well-formed. */
import fc from "fast-check";
import { start_trace, trace_machine, type Tracing } from "user-page";
import { expect, test } from "vitest";
import { debug_mode } from "../fixtures.js";
import { program, run, type Watch } from "../properties/program.js";
import { violations } from "./format.js";

const CONFIG_DEBUG_USER_PAGE_REFERENCES = debug_mode ? ("owners" as const) : false;
const options = { CONFIG_DEBUG_USER_PAGE_REFERENCES };

test("a program answers the same and counts the same while it is traced", () => {
  let heard = 0;
  fc.assert(
    fc.property(program, (ops) => {
      const watch: Watch = ({ machine }) => {
        trace_machine(machine, () => heard++);
        return () => undefined;
      };
      expect(run(options, ops, watch)).toEqual(run(options, ops));
    }),
    { numRuns: 15 },
  );
  expect(heard).toBeGreaterThan(1000);
}, 120_000);
test("after every step the references that are open in the trace are those that debug mode holds", () => {
  if (!debug_mode) return;
  fc.assert(
    fc.property(program, (ops) => {
      const watch: Watch = ({ machine, state }) => {
        const open = new Map<number, number>();
        trace_machine(machine, (event) => {
          if (!("serial" in event.fields)) return;
          const { serial, pfn } = event.fields;
          if (/^(get|pin|split)_/.test(event.name)) open.set(serial, pfn);
          else if (!event.name.startsWith("bio_add")) {
            if (open.get(serial) !== pfn) throw new Error(`${event.name}: ${serial} is not open`);
            open.delete(serial);
          }
        });
        return () => {
          const held = state.probe!.leaks().map(({ acquisition, pfn }) => [acquisition, pfn]);
          const by_serial = (a: number[], b: number[]): number => a[0]! - b[0]!;
          expect([...open].sort(by_serial)).toEqual(held.sort(by_serial as never));
        };
      };
      run(options, ops, watch);
    }),
    { numRuns: 15 },
  );
}, 120_000);
test("whatever was dropped of it, the trace is well-formed", () => {
  fc.assert(
    fc.property(program, fc.integer({ min: 1, max: 3000 }), (ops, limit) => {
      let tracing: Tracing | null = null;
      run(options, ops, ({ machine }) => {
        tracing = start_trace(machine, { limit });
        return () => undefined;
      });
      expect(violations(tracing!.to_chrome())).toEqual([]);
    }),
    { numRuns: 15 },
  );
}, 120_000);
