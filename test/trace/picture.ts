/** The picture of docs/tracing.md: two traced direct reads, drawn from the spans of their traces. */
import * as api from "user-page";
import { PAGE_SIZE as P, type ChromeEvent, type TraceEvent } from "user-page";
import { map_anon, must } from "../fixtures.js";

const NR_PAGES = 4;
/** One direct read that its disk takes in two requests, and what was told of it. */
interface Panel {
  readonly title: string;
  readonly events: readonly TraceEvent[];
  readonly spans: readonly Span[];
}
interface Span {
  readonly event: ChromeEvent;
  readonly from: number;
  readonly to: number;
  /** where something happened to it, and what */
  readonly steps: ReadonlyArray<readonly [ts: number, step: string]>;
}
function spans_of(events: readonly ChromeEvent[]): Span[] {
  const same = ({ cat, id }: ChromeEvent, other: ChromeEvent): boolean =>
    other.cat === cat && other.id === id;
  return events
    .filter(({ ph }) => ph === "b")
    .map((event) => ({
      event,
      from: event.ts!,
      to: events.find((end) => end.ph === "e" && same(event, end))!.ts!,
      steps: events
        .filter((step) => step.ph === "n" && same(event, step))
        .map(({ ts, args }) => [ts!, String(args!["step"])] as const),
    }));
}
function read(title: string, huge: boolean): Panel {
  using machine = api.boot({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: "owners" });
  const current = api.create_task(machine);
  const disk = must(api.brd_alloc(machine, 1 << 20));
  api.queue_limits_set(disk, { max_sectors: (NR_PAGES * P) / 512 / 2 });
  const buf = map_anon(current, huge ? api.PMD_SIZE : NR_PAGES * P);
  if (huge) api.madvise(current, buf, api.PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
  api.copy_to_user(current, buf, new Uint8Array(NR_PAGES * P))._unsafeUnwrap();
  const transfer = huge ? api.direct_io : api.direct_io_pages;
  using tracing = api.start_trace(machine);
  transfer(current, disk, "REQ_OP_READ", buf, NR_PAGES * P, 0)._unsafeUnwrap();
  // Counts are told beside each reference, and would only make the picture wider.
  const events = tracing.events.filter(({ system }) => system !== "page_ref");
  return { title, events, spans: spans_of(tracing.to_chrome().traceEvents) };
}

// --- drawing ------------------------------------------------------------------------------------------------
const WIDTH = 1000;
const LEFT = 128;
const STEP = 28;
const ROW = 25;
const BAR = 17;
const AXIS = 100;

const STYLE = `
text{font:11px ui-sans-serif,system-ui,"DejaVu Sans",sans-serif;fill:#1f2328}
.h{font-size:14px;font-weight:600}.m{fill:#59636e}.c{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:10px}
.card{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0;stroke-dasharray:1 3}.edge{stroke:#59636e}
.task{fill:#b6d4fb}.softirq{fill:#ffd8a8}.pin{fill:#a5e3b4}.bio{fill:#d7c4f5}.wait{fill:#e3e7ec}.disk{fill:#f9c6d3}.held{fill:#a5e3b4}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.m{fill:#9198a1}.card{fill:#0d1117;stroke:#3d444d}.grid{stroke:#3d444d}.edge{stroke:#9198a1}
.task{fill:#1f4b85}.softirq{fill:#7a4a12}.pin{fill:#1d6a35}.bio{fill:#553691}.wait{fill:#32383f}.disk{fill:#8a2846}.held{fill:#1d6a35}}
`.trim();

const escaped = (text: string): string => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
const text = (x: number, y: number, words: string, attributes = ""): string =>
  `<text x="${x}" y="${y}"${attributes}>${escaped(words)}</text>`;

class Drawing {
  readonly #parts: string[] = [];
  readonly #panel: Panel;
  readonly #top: number;
  /** below the rows that were drawn */
  #y: number;
  constructor(panel: Panel, top: number) {
    this.#panel = panel;
    this.#top = top;
    this.#y = top + 34;
  }
  /** Where an event stands; one that is not shown stands where the next one does. */
  #x(ts: number): number {
    const { events } = this.#panel;
    const at = events.findIndex((event) => event.ts >= ts);
    return LEFT + 14 + (at < 0 ? events.length : at) * STEP;
  }
  #row(label: string): number {
    const y = this.#y;
    this.#y += ROW;
    this.#parts.push(text(LEFT - 8, y + 13, label, ' text-anchor="end" class="m"'));
    return y;
  }
  #bar(y: number, from: number, to: number, kind: string, words: string): void {
    const [x, width] = [this.#x(from), this.#x(to) - this.#x(from)];
    this.#parts.push(
      `<rect x="${x}" y="${y}" width="${width}" height="${BAR}" rx="3" class="${kind}"/>`,
    );
    if (words !== "") this.#parts.push(text(x + 6, y + 12.5, words));
  }
  #tick(y: number, ts: number): void {
    const x = this.#x(ts);
    this.#parts.push(`<path d="M${x} ${y}v${BAR}" class="edge"/>`);
  }
  #contexts(): void {
    const y = this.#row("runs");
    const { events } = this.#panel;
    for (let first = 0; first < events.length;) {
      const { context, ts } = events[first]!;
      let next = first;
      while (events[next]?.context === context) next++;
      const kind = context === "softirq" ? "softirq" : "task";
      this.#bar(y, ts, events[next]?.ts ?? Infinity, kind, context);
      first = next;
    }
  }
  #of(cat: string): Span[] {
    return this.#panel.spans.filter(({ event }) => event.cat === cat);
  }
  #pins(): void {
    for (const { event, from, to, steps } of this.#of("pin")) {
      const { acquired_by, ended_by } = event.args as Record<string, string>;
      const y = this.#row(event.name.replace(/ pinned| extent pinned/, ""));
      this.#bar(y, from, to, "pin", "");
      const words = `by ${acquired_by}, ended by ${ended_by}`;
      this.#parts.push(text(this.#x(steps[0]![0]) + 6, y + 12.5, words));
      for (const [ts] of steps) this.#tick(y, ts);
    }
  }
  #bios(): void {
    for (const { event, from, to, steps } of this.#of("bio")) {
      const { sector, nr_sector, part_of } = event.args as Record<string, number>;
      const y = this.#row(
        part_of === undefined ? event.name : `bio ${Number(event.id)}, of bio ${part_of}`,
      );
      const sectors = `sectors ${sector} to ${sector! + nr_sector! - 1}`;
      const split = steps.find(([, step]) => step === "block_split")?.[0];
      this.#bar(y, from, to, "bio", "");
      const words = split === undefined ? `its front, ${sectors}` : `${sectors}, split here`;
      this.#parts.push(text(this.#x(split ?? from) + 6, y + 12.5, words));
      if (split !== undefined) this.#tick(y, split);
    }
    for (const { event, from, to, steps } of this.#of("request")) {
      const y = this.#row(event.name);
      const issued = steps.find(([, step]) => step === "block_rq_issue")![0];
      this.#bar(y, from, issued, "wait", "in the plug");
      this.#bar(y, issued, to, "disk", "at the disk");
    }
  }
  /** References that are held, as steps. */
  #held(): void {
    const y = this.#row("references held");
    const pins = this.#of("pin");
    const held = (ts: number): number => pins.filter((p) => p.from <= ts && ts < p.to).length;
    const changes = [...new Set(pins.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
    const most = Math.max(...changes.map(held));
    let path = `M${this.#x(changes[0]!)} ${y + BAR}`;
    for (const ts of changes) path += `H${this.#x(ts)}V${y + BAR - (held(ts) / most) * BAR}`;
    this.#parts.push(`<path d="${path}Z" class="held"/>`);
    const middle = (this.#x(changes[0]!) + this.#x(changes.at(-1)!)) / 2;
    this.#parts.push(text(middle, y + 12.5, String(most), ' text-anchor="middle"'));
  }
  /** What happened, under each moment. */
  #axis(): void {
    const from = this.#top + 30;
    this.#panel.events.forEach(({ name, ts }) => {
      const x = this.#x(ts);
      this.#parts.unshift(`<path d="M${x} ${from}V${this.#y}" class="grid"/>`);
      const turned = ` class="c m" text-anchor="end" transform="rotate(-50 ${x + 4} ${this.#y + 8})"`;
      this.#parts.push(text(x + 4, this.#y + 8, name, turned));
    });
    this.#y += AXIS;
  }
  draw(): { svg: string; bottom: number } {
    this.#contexts();
    this.#pins();
    this.#bios();
    this.#held();
    this.#axis();
    const { title } = this.#panel;
    const heading = text(16, this.#top + 18, title, ' class="h"');
    return { svg: [heading, ...this.#parts].join("\n"), bottom: this.#y };
  }
}
/** The picture as it is in docs. */
export function picture(): string {
  const panels = [
    read("direct_io_pages(): 16 KiB of four pages, one pin for each", false),
    read("direct_io(): the same of a huge page, one reference for the extent", true),
  ];
  let top = 12;
  const drawn = panels.map((panel) => {
    const { svg, bottom } = new Drawing(panel, top).draw();
    top = bottom + 8;
    return svg;
  });
  const height = top + 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="t d">
<title id="t">Two traced direct reads</title>
<desc id="d">Each event of the trace is one step to the right. Pins begin before the bio and end in softirq context, when the last part of the bio completed. With one reference for the extent there is one bar instead of four.</desc>
<style>${STYLE}</style>
<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8" class="card"/>
${drawn.join("\n")}
</svg>
`;
}
