import { forecast, prompt, weather } from '../client.ts';
import { inProcess, seeUntil } from './in-process.ts';
import { connect } from './openai.ts';

const tools = [{ type: 'function' as const, strict: null, ...weather }];

export const openaiResponsesJs = inProcess('openai (JS), responses', 'openai', {
  async chat({ url, model }, see) {
    see(await connect(url).responses.create({ model, input: prompt }));
  },
  async stream({ url, model }, see) {
    await seeUntil(await connect(url).responses.create({ model, input: prompt, stream: true }), see);
  },
  async tools({ url, model }, see) {
    const { responses } = connect(url);
    const called = await responses.create({ model, input: prompt, tools });
    see(called);
    const call = called.output.find((item) => item.type === 'function_call')!;
    const answered = { type: 'function_call_output' as const, call_id: call.call_id, output: forecast };
    see(await responses.create({ model, input: [{ role: 'user', content: prompt }, call, answered], tools }));
    await seeUntil(await responses.create({ model, input: prompt, tools, stream: true }), see);
  },
  async leave({ url, model }, see) {
    const stream = await connect(url).responses.create({ model, input: prompt, stream: true });
    await seeUntil(stream, see, () => stream.controller.abort());
  },
});
