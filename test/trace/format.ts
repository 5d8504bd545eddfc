/** What the documents of the trace event format ask of a file, and Perfetto of what it shows. */
import type { ChromeEvent, ChromeTrace } from "user-page";

const PHASES = "BEbneiCM";
function bad_values(value: unknown, path: string): string[] {
  if (typeof value === "number") return Number.isFinite(value) ? [] : [`${path} is ${value}`];
  if (typeof value !== "object") return value === undefined ? [`${path} is undefined`] : [];
  return Object.entries(value ?? {}).flatMap(([key, inner]) => bad_values(inner, `${path}.${key}`));
}
/** Every violation, a sentence each. */
export function violations({ traceEvents }: ChromeTrace): string[] {
  const wrong: string[] = [];
  const named = new Set<string>();
  const stacks = new Map<string, ChromeEvent[]>();
  const open = new Map<string, ChromeEvent>();
  let last = 0;
  traceEvents.forEach((event, i) => {
    const { ph, name, pid, tid, ts, id, args } = event;
    const say = (what: string): void => void wrong.push(`${i}: ${ph} ${name}: ${what}`);
    const track = `${pid}/${tid}`;
    wrong.push(...bad_values(event, String(i)));
    if (!PHASES.includes(ph)) say("no phase");
    if (typeof name !== "string" || name === "") say("no name");
    if (!Number.isInteger(pid) || !Number.isInteger(tid) || pid < 1 || tid < 1) say("no track");
    if (ph === "M") {
      if (typeof args?.["name"] !== "string") say("names nothing");
      named.add(name === "process_name" ? `process ${pid}` : track);
      return;
    }
    if (!named.has(track) || !named.has(`process ${pid}`)) say(`track ${track} has no name`);
    if (!Number.isSafeInteger(ts) || ts! < last) say(`goes back to ${ts} from ${last}`);
    last = ts ?? last;
    if ((ph === "i") !== (event.s !== undefined)) say("scope");
    if ("bne".includes(ph) !== (id !== undefined)) say("id");
    if ("bneBi".includes(ph) && !event.cat) say("no category");
    const stack = stacks.get(track) ?? [];
    stacks.set(track, stack);
    if (ph === "B") stack.push(event);
    if (ph === "E" && stack.pop()?.name !== name) say("ends what did not begin");
    const key = `${event.cat} ${id}`;
    if (ph === "b") {
      if (open.has(key)) say(`${key} begins twice`);
      open.set(key, event);
    }
    if (ph === "n" || ph === "e") {
      const begun = open.get(key);
      if (begun?.name !== name || begun.pid !== pid || begun.tid !== tid) say(`no ${key} is open`);
    }
    if (ph === "e") open.delete(key);
    if (ph === "C" && !Object.values(args ?? {}).every((n) => typeof n === "number"))
      say("counter");
  });
  for (const [key, { name }] of open) wrong.push(`${key} ${name} never ends`);
  for (const [track, stack] of stacks) if (stack.length > 0) wrong.push(`${track} is not balanced`);
  return wrong;
}
