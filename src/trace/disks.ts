/** Bios, requests and direct I/O as spans of their disk (ours). */

import type { TraceEvent } from "../machine/tracepoint.js";
import type { Track, Tracks } from "./tracks.js";

export type Named<N extends TraceEvent["name"]> = Extract<TraceEvent, { name: N }>;
type OfBio = Named<
  | "block_bio_queue"
  | "block_split"
  | "block_bio_backmerge"
  | "block_bio_frontmerge"
  | "block_getrq"
  | "block_bio_complete"
>;
type OfRequest = Named<"block_rq_issue" | "block_rq_complete">;
type OfDio = Named<"iomap_dio_rw_begin" | "iomap_dio_complete">;

/** Whether the event is of a disk, and says of which. */
export function is_of_disk(event: TraceEvent): event is OfBio | OfRequest | OfDio {
  return "dev" in event.fields;
}

export class Disks {
  readonly #tracks: Tracks;
  /** bytes that are left of a request */
  readonly #left = new Map<number, number>();
  constructor(tracks: Tracks) {
    this.#tracks = tracks;
  }
  draw(event: OfBio | OfRequest | OfDio, disk: Track): void {
    switch (event.name) {
      case "iomap_dio_rw_begin":
      case "iomap_dio_complete":
        this.#dio(event, disk);
        return;
      case "block_rq_issue":
      case "block_rq_complete":
        this.#request(event, disk);
        return;
      default:
        this.#bio(event, disk);
    }
  }
  #dio(event: OfDio, disk: Track): void {
    const { iocb, rwbs } = event.fields;
    const name = `direct ${rwbs === "R" ? "read" : "write"}`;
    if (event.name === "iomap_dio_complete") {
      this.#tracks.close(disk, name, "dio", iocb, { ret: event.fields.ret });
    } else this.#tracks.open(disk, name, "dio", iocb, { ...event.fields }, "open");
  }
  #bio(event: OfBio, disk: Track): void {
    const tracks = this.#tracks;
    const { bio, rwbs, dev, sector } = event.fields;
    const name = `bio ${bio} ${rwbs}`;
    if (event.name === "block_bio_complete") {
      tracks.close(disk, name, "bio", bio, { error: event.fields.error });
      return;
    }
    const began = tracks.open(disk, name, "bio", bio, { ...event.fields }, "open");
    if (!began) tracks.step("bio", bio, event.name, { ...event.fields });
    if (event.name === "block_getrq") {
      const { request } = event.fields;
      tracks.open(disk, `request ${request} ${rwbs}`, "request", request, { dev, sector }, "open");
    }
    if (event.name === "block_split") {
      const { part, new_sector } = event.fields;
      const args = { dev, sector, nr_sector: new_sector - sector, rwbs, part_of: bio };
      tracks.open(disk, `bio ${part} ${rwbs}`, "bio", part, args, "open");
    }
  }
  #request(event: OfRequest, disk: Track): void {
    const tracks = this.#tracks;
    const { request, rwbs, bytes } = event.fields;
    if (tracks.args_of("request", request) === undefined) {
      tracks.instant(disk, event.name, "block", { ...event.fields });
      return;
    }
    if (event.name === "block_rq_issue") {
      this.#left.set(request, bytes);
      tracks.step("request", request, event.name, { ...event.fields });
      return;
    }
    const { error } = event.fields;
    const left = (this.#left.get(request) ?? bytes) - bytes;
    this.#left.set(request, left);
    // With an error it ends whole.
    if (left > 0 && error === 0) {
      tracks.step("request", request, event.name, { ...event.fields });
      return;
    }
    this.#left.delete(request);
    tracks.close(disk, `request ${request} ${rwbs}`, "request", request, { error });
  }
}
