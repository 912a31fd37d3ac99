/**
 * The Grafana dashboard as code: what `tools/generate.ts` writes to deploy/grafana/dashboards/llamero.json. A panel here is a title,
 * a kind and its queries; where it stands and what every panel of its kind has in common follows.
 */

/** A query with the name its series get; `{{label}}` stands for a label. */
type Query = readonly [expression: string, legend: string];

interface Panel {
  readonly title: string;
  /** What it tells, and what to make of it; Grafana shows it on demand. */
  readonly about: string;
  readonly kind: 'lines' | 'stack' | 'heat' | 'number' | 'states' | 'bars';
  /** One of Grafana's units. */
  readonly unit: string;
  /** Of 24 columns. */
  readonly width: number;
  readonly queries: readonly Query[];
  /** `states` only: value → text and colour. */
  readonly values?: Readonly<Record<string, readonly [text: string, color: string]>>;
}

interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

const ROW_HEIGHT = 8;
const NUMBER_HEIGHT = 4;

/** What the variables at the top of the dashboard leave of the series. */
const gateway = 'job=~"$job"';
const ofModel = `${gateway}, model=~"$model"`;
const ofBackend = `${gateway}, backend=~"$backend"`;
const ofBoth = `${ofBackend}, model=~"$model"`;

const rate = (metric: string, by: string, selector: string) =>
  `sum by (${by}) (rate(${metric}{${selector}}[$__rate_interval]))`;
const quantile = (q: number, metric: string, by: string, selector: string) =>
  `histogram_quantile(${q}, ${rate(`${metric}_bucket`, `${by}le`, selector)})`;

const traffic: Row = {
  title: 'Traffic',
  panels: [
    {
      title: 'Requests a second',
      about: 'Finished requests, whatever became of them.',
      kind: 'number',
      unit: 'reqps',
      width: 4,
      queries: [[rate('llamero_requests_total', 'job', gateway), '{{job}}']],
    },
    {
      title: 'Failed',
      about: 'Share of the requests that ended in a failure of a backend or of the gateway, over five minutes.',
      kind: 'number',
      unit: 'percentunit',
      width: 4,
      queries: [[`job:llamero_requests_failed:ratio_rate5m{${gateway}}`, '{{job}}']],
    },
    {
      title: 'First token, p95',
      about: 'Nineteen of twenty streams begin within this time.',
      kind: 'number',
      unit: 's',
      width: 4,
      queries: [[quantile(0.95, 'llamero_time_to_first_token_seconds', '', ofBoth), 'p95']],
    },
    {
      title: 'Output tokens a second',
      about: 'Of all backends together.',
      kind: 'number',
      unit: 'none',
      width: 4,
      queries: [[`sum(rate(llamero_tokens_total{${ofBoth}, type="output"}[$__rate_interval]))`, 'tokens']],
    },
    {
      title: 'In flight, waiting',
      about: 'Requests that backends are working on, and requests that wait for a slot.',
      kind: 'number',
      unit: 'none',
      width: 4,
      queries: [
        [`sum(llamero_inflight_requests{${ofBoth}})`, 'in flight'],
        [`sum(llamero_queue_depth{${ofModel}})`, 'waiting'],
      ],
    },
    {
      title: 'Backends that take requests',
      about: 'The smallest number among the gateways.',
      kind: 'number',
      unit: 'none',
      width: 4,
      queries: [[`min(sum by (instance) (llamero_backend_up{${ofBackend}}))`, 'up']],
    },
    {
      title: 'Requests by outcome',
      about: 'ok, client-gone, client-error, backend-error, or a code of docs/errors.md.',
      kind: 'stack',
      unit: 'reqps',
      width: 12,
      queries: [[rate('llamero_requests_total', 'outcome', `${ofModel}, backend=~"$backend|"`), '{{outcome}}']],
    },
    {
      title: 'Requests by model',
      about: 'Names that no backend has are counted as other.',
      kind: 'stack',
      unit: 'reqps',
      width: 12,
      queries: [[rate('llamero_requests_total', 'model', ofBoth), '{{model}}']],
    },
    {
      title: 'Turned away, left, cut off',
      about:
        'Requests refused before a backend was asked, clients that left, and answers that were lost in the middle.',
      kind: 'lines',
      unit: 'reqps',
      width: 12,
      queries: [
        [rate('llamero_rejected_total', 'reason', gateway), 'refused: {{reason}}'],
        [rate('llamero_client_disconnects_total', 'phase', gateway), 'left: {{phase}}'],
        [rate('llamero_stream_aborted_total', 'cause', ofBackend), 'cut off: {{cause}}'],
      ],
    },
    {
      title: 'Saved by another backend',
      about:
        'Attempts that failed and were followed by another, moves between backends, and lost streams that went on elsewhere.',
      kind: 'lines',
      unit: 'reqps',
      width: 12,
      queries: [
        [rate('llamero_retries_total', 'reason', gateway), 'tried again: {{reason}}'],
        [rate('llamero_failovers_total', 'outcome', gateway), 'moved: {{outcome}}'],
        [rate('llamero_resumes_total', 'outcome', gateway), 'stream lost: {{outcome}}'],
      ],
    },
  ],
};

const latency: Row = {
  title: 'How fast answers begin and go on',
  panels: [
    {
      title: 'Time to first token',
      about:
        'Every streamed answer; queue and load included. Two bands are two kinds of request: warm ones and cold ones.',
      kind: 'heat',
      unit: 's',
      width: 12,
      queries: [[rate('llamero_time_to_first_token_seconds_bucket', 'le', ofBoth), '{{le}}']],
    },
    {
      title: 'Time per output token',
      about:
        'Mean of each answer. Wanders upwards when a backend works on more requests at a time than it has room for.',
      kind: 'heat',
      unit: 's',
      width: 12,
      queries: [[rate('llamero_time_per_output_token_seconds_bucket', 'le', ofBoth), '{{le}}']],
    },
    {
      title: 'Time to first token, warm and cold',
      about: 'p50 and p95; cold means that the model was not known to be in memory where the request went.',
      kind: 'lines',
      unit: 's',
      width: 12,
      queries: [0.5, 0.95].map((q) => [
        quantile(q, 'llamero_time_to_first_token_seconds', 'warm, ', ofBoth),
        `p${q * 100}, warm: {{warm}}`,
      ]),
    },
    {
      title: 'Whole requests by route',
      about: 'p95 from the arrival of a request to the close of its answer.',
      kind: 'lines',
      unit: 's',
      width: 12,
      queries: [[quantile(0.95, 'llamero_request_duration_seconds', 'route, ', ofModel), '{{route}}']],
    },
  ],
};

const queue: Row = {
  title: 'Queue',
  panels: [
    {
      title: 'Waiting',
      about: 'Requests that wait for a slot, by model, under the most that may.',
      kind: 'stack',
      unit: 'none',
      width: 8,
      queries: [[`sum by (model) (llamero_queue_depth{${ofModel}})`, '{{model}}']],
    },
    {
      title: 'Wait for a slot',
      about:
        'p50 and p99 of all requests, those that did not have to wait among them, and p90 of each band of the queue.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: [
        ...[0.5, 0.99].map((q): Query => [quantile(q, 'llamero_queue_wait_seconds', '', ofModel), `p${q * 100}`]),
        [quantile(0.9, 'llamero_queue_wait_seconds', 'priority, ', ofModel), 'p90, {{priority}}'],
      ],
    },
    {
      title: 'Slots in use',
      about:
        'Of the requests a backend is given at the same time; a flat line at 100 % is a backend that could use help.',
      kind: 'lines',
      unit: 'percentunit',
      width: 8,
      queries: [
        [
          `sum by (backend) (llamero_inflight_requests{${ofBackend}}) / sum by (backend) (llamero_backend_slots{${ofBackend}})`,
          '{{backend}}',
        ],
      ],
    },
  ],
};

/** One number for the state a backend is in, out of the series that are 1 for it and 0 for the others. */
const stateNumber = ['up', 'probation', 'draining', 'ejected', 'down']
  .map(
    (state, index) =>
      `sum by (instance, backend) (llamero_backend_state{${ofBackend}, state="${state}"}) * ${index + 1}`,
  )
  .join(' + ');

const backends: Row = {
  title: 'Backends',
  panels: [
    {
      title: 'State',
      about: 'Up and probation take requests.',
      kind: 'states',
      unit: 'none',
      width: 12,
      queries: [[stateNumber, '{{instance}}: {{backend}}']],
      values: {
        0: ['unknown', 'gray'],
        1: ['up', 'green'],
        2: ['probation', 'yellow'],
        3: ['draining', 'blue'],
        4: ['ejected', 'orange'],
        5: ['down', 'red'],
      },
    },
    {
      title: 'Circuit breaker',
      about: 'Open: requests failed too often, and none are sent. Half-open: one is, on trial.',
      kind: 'states',
      unit: 'none',
      width: 12,
      queries: [[`max by (backend) (llamero_backend_circuit_state{${ofBackend}})`, '{{backend}}']],
      values: { 0: ['closed', 'green'], 1: ['open', 'red'], 2: ['half-open', 'yellow'] },
    },
    {
      title: 'Requests in flight',
      about: 'By backend.',
      kind: 'stack',
      unit: 'none',
      width: 8,
      queries: [[`sum by (backend) (llamero_inflight_requests{${ofBoth}})`, '{{backend}}']],
    },
    {
      title: 'Failed attempts',
      about: 'Whether or not another backend saved the request.',
      kind: 'lines',
      unit: 'reqps',
      width: 8,
      queries: [[rate('llamero_attempt_failures_total', 'backend, reason', ofBackend), '{{backend}}: {{reason}}']],
    },
    {
      title: 'Why there',
      about: 'What decided where a request went.',
      kind: 'stack',
      unit: 'reqps',
      width: 8,
      queries: [[rate('llamero_routing_decisions_total', 'reason', gateway), '{{reason}}']],
    },
  ],
};

const models: Row = {
  title: 'Memory and warm models',
  panels: [
    {
      title: 'Warm models',
      about: 'Which model is in the memory of which backend.',
      kind: 'states',
      unit: 'none',
      width: 16,
      queries: [[`max by (backend, model) (llamero_model_resident{${ofBoth}})`, '{{backend}}: {{model}}']],
      values: { 0: ['gone', 'gray'], 1: ['in memory', 'green'] },
    },
    {
      title: 'VRAM in use',
      about: 'What the models in memory take, as Ollama tells.',
      kind: 'stack',
      unit: 'bytes',
      width: 8,
      queries: [[`max by (backend) (llamero_backend_vram_bytes{${ofBackend}})`, '{{backend}}']],
    },
    {
      title: 'Loads a minute',
      about: 'Above two a minute on one backend models push each other out.',
      kind: 'lines',
      unit: 'none',
      width: 8,
      queries: [
        [`sum by (backend) (rate(llamero_model_loads_total{${ofBoth}}[$__rate_interval])) * 60`, '{{backend}}'],
      ],
    },
    {
      title: 'Loads and unloads by reason',
      about: 'What brought models into memory, and what removed them.',
      kind: 'bars',
      unit: 'none',
      width: 8,
      queries: [
        [`sum by (reason) (increase(llamero_model_loads_total{${ofBoth}}[$__interval]))`, 'load: {{reason}}'],
        [`sum by (reason) (increase(llamero_model_unloads_total{${ofBoth}}[$__interval]))`, 'unload: {{reason}}'],
      ],
    },
    {
      title: 'How long a load takes',
      about: 'p50 and p95 of what requests that found their model cold waited for it.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: [0.5, 0.95].map((q) => [quantile(q, 'llamero_model_load_seconds', '', ofBoth), `p${q * 100}`]),
    },
  ],
};

const tokens: Row = {
  title: 'Tokens',
  panels: [
    {
      title: 'Tokens by model',
      about: 'As the backends count them.',
      kind: 'stack',
      unit: 'none',
      width: 8,
      queries: [[rate('llamero_tokens_total', 'model, type', ofBoth), '{{model}} {{type}}']],
    },
    {
      title: 'Speed of generation',
      about: 'Median of the output tokens per second of an answer, by the clock of the backend.',
      kind: 'lines',
      unit: 'none',
      width: 8,
      queries: [
        [quantile(0.5, 'llamero_generation_tokens_per_second', 'backend, model, ', ofBoth), '{{backend}}: {{model}}'],
      ],
    },
    {
      title: 'Tokens by client',
      about: 'Empty unless metrics.clients allows it.',
      kind: 'stack',
      unit: 'none',
      width: 8,
      queries: [[rate('llamero_client_tokens_total', 'client, type', gateway), '{{client}} {{type}}']],
    },
  ],
};

/** Of the gateways only: other programs in Node have metrics of these names. */
const own = `and on (job, instance) llamero_build_info{${gateway}}`;

const internals: Row = {
  title: 'The gateway itself',
  panels: [
    {
      title: 'What the gateway adds',
      about: 'From the last byte of a request until a backend was asked, without the queue.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: [0.5, 0.99].map((q) => [quantile(q, 'llamero_overhead_seconds', '', gateway), `p${q * 100}`]),
    },
    {
      title: 'Event loop lag',
      about: 'When this is high, every stream stutters.',
      kind: 'lines',
      unit: 's',
      width: 8,
      queries: [
        [`nodejs_eventloop_lag_p99_seconds ${own}`, '{{instance}} p99'],
        [`nodejs_eventloop_lag_max_seconds ${own}`, '{{instance}} max'],
      ],
    },
    {
      title: 'Event loop in use',
      about: 'At 100 % everything waits.',
      kind: 'lines',
      unit: 'percentunit',
      width: 8,
      queries: [[`nodejs_eventloop_utilization_ratio ${own}`, '{{instance}}']],
    },
    {
      title: 'Memory',
      about:
        'Resident, JavaScript heap, buffers outside of it, and the bodies of requests that wait, which are among those.',
      kind: 'lines',
      unit: 'bytes',
      width: 8,
      queries: [
        [`process_resident_memory_bytes ${own}`, '{{instance}} resident'],
        [`nodejs_heap_used_bytes ${own}`, '{{instance}} heap'],
        [`nodejs_external_memory_bytes ${own}`, '{{instance}} buffers'],
        [`sum by (instance) (llamero_queue_bytes{${gateway}})`, '{{instance}} bodies that wait'],
      ],
    },
    {
      title: 'File descriptors',
      about: 'Open ones, of those the system allows. A connection takes one.',
      kind: 'lines',
      unit: 'percentunit',
      width: 8,
      queries: [[`(process_open_fds / process_max_fds) ${own}`, '{{instance}}']],
    },
    {
      title: 'Series, bugs, refused configurations',
      about: 'Label sets in use of the budget; failed assertions in the last hour; 1 while a configuration is refused.',
      kind: 'lines',
      unit: 'none',
      width: 8,
      queries: [
        [`llamero_metrics_series{${gateway}} / llamero_metrics_series_budget{${gateway}}`, '{{instance}} budget used'],
        [`increase(llamero_bugs_total{${gateway}}[1h])`, '{{instance}} bugs'],
        [`1 - llamero_config_last_reload_successful{${gateway}}`, '{{instance}} configuration refused'],
      ],
    },
  ],
};

const rows: readonly Row[] = [traffic, latency, queue, backends, models, tokens, internals];

const datasource = { type: 'prometheus', uid: '${datasource}' };

/** As Grafana imports and provisions it. */
export function dashboard(): Readonly<Record<string, unknown>> {
  return {
    uid: 'llamero',
    title: 'Llamero',
    description:
      'Traffic, speed, queue, backends, memory and tokens of a Llamero gateway. Generated by tools/dashboard.ts.',
    tags: ['llamero', 'ollama'],
    timezone: 'browser',
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {} },
        variable('job', 'Gateway', 'label_values(llamero_build_info, job)'),
        variable('backend', 'Backend', 'label_values(llamero_backend_up{job=~"$job"}, backend)'),
        variable('model', 'Model', 'label_values(llamero_requests_total{job=~"$job"}, model)'),
      ],
    },
    annotations: {
      list: [
        {
          name: 'Configuration loaded',
          datasource,
          enable: true,
          iconColor: 'blue',
          expr: `changes(llamero_config_last_reload_timestamp_seconds{${gateway}}[$__interval]) > 0`,
          titleFormat: 'configuration loaded by {{instance}}',
        },
      ],
    },
    panels: placed(),
  };
}

function variable(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: 'query',
    datasource,
    query: { query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    // Whatever there is, series that lack the label included.
    allValue: '.*',
    current: { selected: true, text: ['All'], value: ['$__all'] },
  };
}

/** Rows below each other, panels from left to right in lines of 24 columns. */
function placed(): object[] {
  const panels: object[] = [];
  let y = 0;
  for (const { title, panels: members } of rows) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    let lineHeight = 0;
    for (const member of members) {
      if (x + member.width > 24) {
        x = 0;
        y += lineHeight;
      }
      lineHeight = member.kind === 'number' ? NUMBER_HEIGHT : ROW_HEIGHT;
      const gridPos = { x, y, w: member.width, h: lineHeight };
      panels.push({ id: panels.length + 1, gridPos, ...panelOf(member) });
      x += member.width;
    }
    y += lineHeight;
  }
  return panels;
}

function panelOf(panel: Panel): object {
  const targets = panel.queries.map(([expr, legendFormat], index) => ({
    refId: String.fromCharCode(65 + index),
    datasource,
    expr,
    legendFormat,
    ...(panel.kind === 'heat' ? { format: 'heatmap' } : {}),
    // The points of a stack or a timeline need no link to a trace.
    ...(panel.kind === 'lines' || panel.kind === 'heat' ? { exemplar: expr.includes('_bucket') } : {}),
  }));
  return { title: panel.title, description: panel.about, datasource, targets, ...appearance(panel) };
}

function appearance({ kind, unit, values }: Panel): object {
  const legend = { displayMode: 'list', placement: 'bottom', showLegend: true };
  const tooltip = { mode: 'multi', sort: 'desc' };
  switch (kind) {
    case 'number':
      return {
        type: 'stat',
        fieldConfig: { defaults: { unit, decimals: 2, color: { mode: 'thresholds' } }, overrides: [] },
        options: { reduceOptions: { calcs: ['lastNotNull'] }, graphMode: 'area', colorMode: 'none', textMode: 'auto' },
      };
    case 'heat':
      return {
        type: 'heatmap',
        fieldConfig: { defaults: {}, overrides: [] },
        options: {
          calculate: false,
          yAxis: { unit, reverse: false },
          color: { mode: 'scheme', scheme: 'Oranges', steps: 64 },
          cellGap: 1,
          exemplars: { color: 'rgba(31, 120, 193, 0.7)' },
          tooltip: { mode: 'single', yHistogram: true },
          legend: { show: true },
        },
      };
    case 'states':
      return {
        type: 'state-timeline',
        fieldConfig: {
          defaults: { unit, mappings: mappings(values ?? {}), custom: { fillOpacity: 80 } },
          overrides: [],
        },
        options: { mergeValues: true, showValue: 'never', rowHeight: 0.8, legend, tooltip: { mode: 'single' } },
      };
    case 'lines':
    case 'stack':
    case 'bars':
      return {
        type: 'timeseries',
        fieldConfig: {
          defaults: {
            unit,
            min: 0,
            custom: {
              drawStyle: kind === 'bars' ? 'bars' : 'line',
              lineWidth: 1,
              fillOpacity: kind === 'lines' ? 0 : 40,
              stacking: { mode: kind === 'lines' ? 'none' : 'normal' },
              showPoints: 'never',
              spanNulls: false,
            },
          },
          overrides: [],
        },
        options: { legend, tooltip },
      };
  }
}

function mappings(values: NonNullable<Panel['values']>): object[] {
  const options = Object.fromEntries(
    Object.entries(values).map(([value, [text, color]], index) => [value, { text, color, index }]),
  );
  return [{ type: 'value', options }];
}
