/** Where traces go, as OpenTelemetry's own variables say it. */
import type { Environment } from '../config/env-layer.ts';

/** The URL to POST spans to, or null when none is named or OpenTelemetry is turned off. */
export function traceEndpoint(env: Environment): string | null {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: base = '', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: whole = '' } = env;
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || env['OTEL_TRACES_EXPORTER'] === 'none') return null;
  if (whole !== '') return whole;
  return base === '' ? null : `${base.replace(/\/+$/, '')}/v1/traces`;
}
