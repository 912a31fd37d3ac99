/** `${VAR}` and `${VAR:-default}` inside a file's texts. */

/** Looks a variable up; undefined when there is none. */
export type Variables = (name: string) => { readonly value: string } | { readonly problem: string } | undefined;

export interface Interpolated {
  readonly text: string;
  readonly problems: readonly string[];
}

/**
 * Fills the variables in. `${VAR:-default}` takes the default when VAR is unset or empty; `${VAR}` of an unset variable is a
 * problem, because an empty credential is worse than no start; `$${` stands for a literal `${`. What is filled in is not
 * searched again.
 */
export function interpolate(text: string, variables: Variables): Interpolated {
  const problems: string[] = [];
  const filled = text.replace(/\$\$\{|\$\{([^}]*)\}?/g, (whole, inside: string | undefined) => {
    if (inside === undefined) return '${';
    const parts = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inside);
    if (!parts || !whole.endsWith('}')) {
      problems.push(`\`${whole}\` is not \`\${VAR}\` or \`\${VAR:-default}\`; write \`$\${\` for a literal \`\${\``);
      return '';
    }
    const [, name, fallback] = parts;
    const found = variables(name!);
    if (found && 'problem' in found) problems.push(found.problem);
    if (found && 'value' in found && (found.value !== '' || fallback === undefined)) return found.value;
    if (fallback === undefined && !found)
      problems.push(`\`${name}\` is not set in the environment, and has no default`);
    return fallback ?? '';
  });
  return { text: filled, problems };
}
