/** The command that runs one test again, for a POSIX shell. */

/** A word that the shell takes as it is. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
/** A regular expression that matches this text and nothing else. */
function pattern_of(text: string): string {
  const controls: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  const escaped = text
    .replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")
    .replace(/[\n\r\t]/g, (control) => controls[control]!);
  return `^${escaped}$`;
}
interface Named {
  readonly name: string;
  /** the describe() that it is in; none for one of the file */
  readonly suite?: Named | undefined;
}
/** As vitest joins the names before it compares them with the pattern. */
function full_name({ name, suite }: Named): string {
  return suite ? `${full_name(suite)} ${name}` : name;
}
/** The pattern is quoted always: `$` is in each. */
export function command_of(file: string, test: Named): string {
  return `npx vitest run ${quoted(file)} -t ${quoted(pattern_of(full_name(test)))}`;
}
