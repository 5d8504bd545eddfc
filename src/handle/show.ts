/** Any value in a message (ours): nothing of it is called, since it may be the wrong argument that the message is about. */

/** characters of a string that are shown */
const MAX_SHOWN = 200;
export function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.slice(0, MAX_SHOWN));
    case "object":
      return value === null ? "null" : "an object";
    case "function":
      return "a function";
    default:
      return String(value);
  }
}
