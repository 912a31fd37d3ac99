/** The routes that make text, and what each dialect's request becomes on its way to the one handler. */
import { anthropicErrorBody, messagesVoice } from './anthropic-voice.ts';
import { estimatedTokens, messagesAsk, messagesRequest } from './anthropic-requests.ts';
import { converse } from './converse.ts';
import { chatAsk, chatRequest, generateAsk, generateRequest } from './native-requests.ts';
import { nativeVoice } from './native-voice.ts';
import { chatCompletionAsk, chatCompletionRequest, completionAsk, completionRequest } from './openai-requests.ts';
import { chatCompletionVoice, completionVoice, openaiErrors } from './openai-voice.ts';
import { type Errors, jsonRoute, nativeErrors } from './requests.ts';
import { responsesAsk, responsesRequest } from './responses-requests.ts';
import { responsesVoice } from './responses-voice.ts';
import type { Route } from './router.ts';
import { transcriptionRoute } from './transcriptions.ts';
import { compatError } from './voice.ts';
import { voiceContext, type World } from './world.ts';

export function inferenceRoutes(world: World): Route[] {
  return [
    ...nativeRoutes(world),
    ...openaiRoutes(world),
    ...agentRoutes(world),
    transcriptionRoute(world, openaiErrors),
  ];
}

const model = (request: { readonly model: string }): string => request.model;

function nativeRoutes(world: World): Route[] {
  const missing = 'missing request body';
  return [
    jsonRoute(world, {
      path: '/api/chat',
      shape: chatRequest,
      errors: nativeErrors,
      emptyText: missing,
      model,
      handle(exchange, request, faults) {
        const voice = nativeVoice('chat', voiceContext(world, request.model));
        converse(world, exchange, { ask: chatAsk(request), voice, faults });
      },
    }),
    jsonRoute(world, {
      path: '/api/generate',
      shape: generateRequest,
      errors: nativeErrors,
      emptyText: missing,
      model,
      handle(exchange, request, faults) {
        const voice = nativeVoice('generate', voiceContext(world, request.model));
        converse(world, exchange, { ask: generateAsk(request), voice, faults });
      },
    }),
  ];
}

function openaiRoutes(world: World): Route[] {
  return [
    jsonRoute(world, {
      path: '/v1/chat/completions',
      shape: chatCompletionRequest,
      errors: openaiErrors,
      model,
      handle(exchange, request, faults) {
        const includeUsage = request.stream_options?.include_usage ?? false;
        const voice = chatCompletionVoice({ ...voiceContext(world, request.model), includeUsage });
        converse(world, exchange, { ask: chatCompletionAsk(request), voice, faults });
      },
    }),
    jsonRoute(world, {
      path: '/v1/completions',
      shape: completionRequest,
      errors: openaiErrors,
      model,
      handle(exchange, request, faults) {
        const includeUsage = request.stream_options?.include_usage ?? false;
        const voice = completionVoice({ ...voiceContext(world, request.model), includeUsage });
        converse(world, exchange, { ask: completionAsk(request), voice, faults });
      },
    }),
  ];
}

/** The APIs that agents speak. */
function agentRoutes(world: World): Route[] {
  const anthropicErrors: Errors = {
    reply: (status, text, place) => compatError(anthropicErrorBody(world.luck(), status, text), place),
  };
  return [
    jsonRoute(world, {
      path: '/v1/responses',
      shape: responsesRequest,
      errors: openaiErrors,
      model,
      handle(exchange, request, faults) {
        const voice = responsesVoice({ ...voiceContext(world, request.model), request });
        converse(world, exchange, { ask: responsesAsk(request), voice, faults });
      },
    }),
    jsonRoute(world, {
      path: '/v1/messages',
      shape: messagesRequest,
      errors: anthropicErrors,
      model,
      handle(exchange, request, faults) {
        const ask = messagesAsk(request);
        const context = { ...voiceContext(world, request.model), estimatedTokens: estimatedTokens(request) };
        converse(world, exchange, { ask, voice: messagesVoice({ ...context, stream: request.stream }), faults });
      },
    }),
  ];
}
