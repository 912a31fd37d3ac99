/** Clients that run in this process. */
import packageJson from '../../../package.json' with { type: 'json' };
import { type Call, type Client, eventsBeforeLeaving, type Observation, type Raised, type Scene } from '../client.ts';

/** Shows a value or an event to the application. */
export type See = (seen: unknown) => void;
export type Act = (scene: Scene, see: See) => Promise<void>;

/** `library`: the package, of which the exact version is in package.json. */
export function inProcess(
  name: string,
  library: keyof typeof packageJson.devDependencies,
  acts: Readonly<Partial<Record<Call, Act>>>,
): Client {
  return {
    name,
    version: packageJson.devDependencies[library],
    can: new Set(Object.keys(acts) as Call[]),
    async observe(call, scene): Promise<Observation> {
      const saw: unknown[] = [];
      try {
        // A copy as plain JSON, taken now: some clients go on to change what they gave out.
        await acts[call]!(scene, (seen) => void saw.push(JSON.parse(JSON.stringify(seen ?? null))));
        return { saw, raised: null };
      } catch (error) {
        return { saw, raised: raisedOf(error) };
      }
    },
  };
}

/** Sees each event; with `leave`, only a few, and then leaves: what was on its way already is nobody's. */
export async function seeUntil(stream: AsyncIterable<unknown>, see: See, leave?: () => void): Promise<void> {
  let events = 0;
  for await (const event of stream) {
    events += 1;
    if (leave === undefined || events <= eventsBeforeLeaving) see(event);
    if (events === eventsBeforeLeaving) leave?.();
  }
}

function raisedOf(error: unknown): Raised {
  if (!(error instanceof Error)) return { class: typeof error, message: String(error) };
  const { status, status_code: nativeStatus, error: body } = error as Error & Partial<Record<string, unknown>>;
  const code = typeof status === 'number' ? status : nativeStatus;
  return {
    class: error.constructor.name === error.name ? error.name : `${error.constructor.name} ${error.name}`,
    message: error.message,
    ...(typeof code === 'number' ? { status: code } : {}),
    ...(body === undefined || body === error.message ? {} : { body: JSON.parse(JSON.stringify(body)) as unknown }),
  };
}
