/** What the matrix asks of a client: to do what an application does, and to tell what the application sees of it. */

/** `leave` is a stream that the application gives up after a few events. */
export type Call = 'list' | 'show' | 'chat' | 'generate' | 'embed' | 'stream' | 'tools' | 'leave';

export interface Scene {
  /** Base URL of an Ollama, or of what stands in for one; without a path. */
  readonly url: string;
  readonly model: string;
}

/** What was thrown, as far as an application can tell one error from another. */
export interface Raised {
  readonly class: string;
  readonly message: string;
  /** HTTP status, where the client tells one. */
  readonly status?: number;
  /** The answer's body, where the client keeps it. */
  readonly body?: unknown;
}

export interface Observation {
  /** Values and events in the order in which the application gets them. */
  readonly saw: readonly unknown[];
  readonly raised: Raised | null;
}

export interface Client {
  readonly name: string;
  readonly version: string;
  readonly can: ReadonlySet<Call>;
  observe(call: Call, scene: Scene): Promise<Observation>;
}

/** Events of a stream before the application leaves. */
export const eventsBeforeLeaving = 3;

export const messages = [{ role: 'user' as const, content: 'Tell me about water' }];
export const prompt = 'Tell me about water';
export const texts = ['the river', 'a young llama'];
/** Of a tool that every client is offered. */
export const weather = {
  name: 'weather',
  description: 'The weather of a city',
  parameters: { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] },
};
/** What the tool answers. */
export const forecast = 'mild, with rain in the evening';
