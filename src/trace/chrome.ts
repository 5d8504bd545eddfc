/** The trace in the format that Chrome and Perfetto read (ours): which event is drawn where. */

import type { MisuseReport } from "../machine/misuse.js";
import type { TraceEvent } from "../machine/tracepoint.js";
import { Disks, is_of_disk, type Named } from "./disks.js";
import { Tracks, type Track } from "./tracks.js";

/** One event of the format; `ph` says what it is. */
export interface ChromeEvent {
  /** B, E: a span of its track; b, n, e: a span with an identity; i: an instant; C: a counter; M: a name */
  readonly ph: "B" | "E" | "b" | "n" | "e" | "i" | "C" | "M";
  readonly name: string;
  readonly cat?: string;
  /** 1 contexts, 2 pages, 3 disks, 4 files */
  readonly pid: number;
  /** above 0; of a page its frame number */
  readonly tid: number;
  /** microseconds of the format: one for each event of the machine */
  readonly ts?: number;
  readonly id?: string;
  readonly s?: "g" | "p" | "t";
  readonly cname?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}
/** The JSON object format: traceEvents, and what they do not say. */
export interface ChromeTrace {
  readonly traceEvents: readonly ChromeEvent[];
  readonly displayTimeUnit: "ns";
  readonly otherData: Readonly<Record<string, string | number>>;
}
/** A misuse that was added, by the number of the event that it stands behind. */
export interface AddedMisuse {
  readonly after: number;
  readonly report: MisuseReport;
}

/** Spans of references, by the kind of reference: how they are called and counted. */
const HELD = {
  page: { cat: "reference", of: "referenced", counter: "pages" },
  folio: { cat: "reference", of: "referenced", counter: "pages" },
  user_page: { cat: "pin", of: "pinned", counter: "pins" },
  bvec: { cat: "pin", of: "extent pinned", counter: "extents" },
} as const;
type HeldKind = keyof typeof HELD;
type Counter = (typeof HELD)[HeldKind]["counter"];

class Drawing {
  readonly #tracks: Tracks;
  /** the thread of each context, disk and file, by its name */
  readonly #threads = new Map<string, number>();
  readonly #held = { pages: 0, pins: 0, extents: 0 };
  readonly #disks: Disks;
  constructor(first_ts: number) {
    this.#tracks = new Tracks(first_ts);
    this.#disks = new Disks(this.#tracks);
  }
  // --- tracks -----------------------------------------------------------------------------------------------
  #thread(pid: number, process: string, name: string): Track {
    const tid = this.#threads.get(`${pid} ${name}`) ?? this.#threads.size + 1;
    this.#threads.set(`${pid} ${name}`, tid);
    return this.#tracks.name({ pid, tid }, process, name);
  }
  #context({ context }: TraceEvent): Track {
    return this.#thread(1, "contexts", context);
  }
  #page(pfn: number): Track {
    return this.#tracks.name({ pid: 2, tid: pfn }, "pages", `pfn ${pfn}`);
  }
  #disk(dev: string): Track {
    return this.#thread(3, "disks", dev);
  }
  #file(file: number): Track {
    return this.#thread(4, "files", `file ${file}`);
  }

  // --- events -----------------------------------------------------------------------------------------------
  draw(event: TraceEvent): void {
    const { name, system, fields, ts } = event;
    const tracks = this.#tracks;
    tracks.ts = ts;
    switch (event.name) {
      case "get_page":
      case "pin_user_page":
      case "get_user_bvec":
      case "split_user_bvec":
        this.#acquired(event);
        return;
      case "bio_add_user_page":
      case "bio_add_user_bvec":
        this.#moved(event);
        return;
      case "put_page":
      case "unpin_user_page":
      case "put_user_bvec":
        this.#released(event);
        return;
      case "page_ref_set":
      case "page_ref_mod":
      case "page_ref_mod_and_test":
        this.#count(event.fields);
        return;
      case "page_ref_freeze":
      case "page_ref_unfreeze":
        tracks.instant(this.#page(event.fields.pfn), name, system, { ...fields });
        this.#count(event.fields);
        return;
      case "mm_page_alloc":
        tracks.begin(this.#page(event.fields.pfn), "allocated", system, { ...fields });
        return;
      case "mm_page_free": {
        const page = this.#page(event.fields.pfn);
        // A page that was part of a block when it was allocated, or came before the trace.
        if (tracks.is_open(page)) tracks.end(page, "allocated", system);
        else tracks.instant(page, name, system, { ...fields });
        return;
      }
      case "mm_filemap_add_to_page_cache":
      case "mm_filemap_delete_from_page_cache":
      case "writeback_dirty_folio":
      case "folio_wait_writeback":
      case "folio_clear_dirty_for_io":
      case "page_mkwrite":
      case "bad_page":
        tracks.instant(this.#page(event.fields.pfn), name, system, { ...fields });
        return;
      case "folio_start_writeback":
      case "folio_end_writeback":
        this.#writeback(event);
        return;
      case "softirq_entry":
        tracks.begin(this.#context(event), "softirq", system, { ...fields });
        return;
      case "softirq_exit":
        tracks.end(this.#context(event), "softirq", system);
        return;
      case "workqueue_execute_start":
        tracks.begin(this.#context(event), "work", system, { ...fields });
        return;
      case "workqueue_execute_end":
        tracks.end(this.#context(event), "work", system);
        return;
      case "misuse":
        tracks.alarm(this.#context(event), event.fields.id, { ...fields });
        return;
      case "block_plug":
      case "block_unplug":
        tracks.instant(this.#context(event), name, system, { ...fields });
        return;
      case "page_fault_user":
      case "handle_mm_fault": {
        const address = `0x${event.fields.address.toString(16)}`;
        tracks.instant(this.#context(event), name, system, { ...fields, address });
        return;
      }
      default:
        if (is_of_disk(event)) this.#disks.draw(event, this.#disk(event.fields.dev));
        else tracks.instant(this.#context(event), name, system, { ...fields });
    }
  }
  misuse({ id, sentence, called, handle }: MisuseReport): void {
    const track = this.#thread(1, "contexts", "caught");
    this.#tracks.alarm(track, id, { id, sentence, called, handle });
  }
  finish(): ChromeEvent[] {
    return this.#tracks.finish();
  }

  // --- references -------------------------------------------------------------------------------------------
  #acquired(event: OfReference): void {
    const { pfn, serial, by } = event.fields;
    const { cat, of, counter } = HELD[event.fields.kind as HeldKind];
    const handle = `pfn ${pfn}, acquisition ${serial}`;
    const args = { handle, acquired_by: by, acquired_in: event.context, acquired_at: event.at };
    const name = `pfn ${pfn} ${of}`;
    if (!this.#tracks.open(this.#page(pfn), name, cat, serial, args, "leaked")) return;
    this.#hold(counter, 1);
  }
  #moved(event: OfReference & { fields: { bio: number } }): void {
    const { serial, by, bio } = event.fields;
    const { cat } = HELD[event.fields.kind as HeldKind];
    this.#tracks.step(cat, serial, `into bio ${bio}`, { by, bio, at: event.at });
  }
  #released(event: OfReference): void {
    const { pfn, serial, by } = event.fields;
    const { cat, of, counter } = HELD[event.fields.kind as HeldKind];
    const args = { ended_by: by, ended_in: event.context, ended_at: event.at };
    const known = this.#tracks.args_of(cat, serial) !== undefined;
    this.#tracks.close(this.#page(pfn), `pfn ${pfn} ${of}`, cat, serial, args);
    if (known) this.#hold(counter, -1);
  }
  /** Of the references that began in the trace. */
  #hold(counter: Counter, n: number): void {
    this.#held[counter] += n;
    const track = this.#thread(1, "contexts", "counters");
    this.#tracks.counter(track, `${counter} held`, { held: this.#held[counter] });
  }
  #count({ pfn, count }: { readonly pfn: number; readonly count: number }): void {
    this.#tracks.counter(this.#page(pfn), `refcount of pfn ${pfn}`, { count });
  }

  // --- files and disks --------------------------------------------------------------------------------------
  #writeback(event: Named<"folio_start_writeback" | "folio_end_writeback">): void {
    const { pfn, index, file } = event.fields;
    const track = this.#file(file);
    const name = `writeback of page ${index}`;
    const args = { pfn, index };
    // One page of a file is under way once at a time.
    const id = file * 2 ** 32 + index;
    if (event.name === "folio_end_writeback")
      this.#tracks.close(track, name, "writeback", id, args);
    else this.#tracks.open(track, name, "writeback", id, args, "open");
  }
}
/** What the events of references have in common. */
type OfReference = Pick<TraceEvent, "context" | "at"> & {
  readonly fields: Named<"get_page">["fields"];
};

/** Draws the events, and the misuses that were added. */
export function chrome_trace(
  events: readonly TraceEvent[],
  misuses: readonly AddedMisuse[],
  notes: Readonly<Record<string, string | number>>,
): ChromeTrace {
  const drawing = new Drawing(events[0]?.ts ?? 0);
  let next = 0;
  const added = (upto: number): void => {
    for (; next < misuses.length && misuses[next]!.after <= upto; next++) {
      drawing.misuse(misuses[next]!.report);
    }
  };
  for (const event of events) {
    added(event.ts - 1);
    drawing.draw(event);
  }
  added(Infinity);
  const clock = "one microsecond for each event: the machine has no clock";
  const otherData = { producer: "user-page", clock, ...notes };
  return { traceEvents: drawing.finish(), displayTimeUnit: "ns", otherData };
}
