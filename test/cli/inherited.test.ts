import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inheritedSockets } from '../../src/cli/inherited.ts';

describe('inherited sockets', () => {
  it('are none without the variables, or when they are meant for another process', () => {
    assert.deepEqual(inheritedSockets({}, 7), {});
    assert.deepEqual(inheritedSockets({ LISTEN_FDS: 'x' }, 7), {});
    assert.deepEqual(inheritedSockets({ LISTEN_FDS: '1', LISTEN_PID: '8' }, 7), {});
  });

  it('are taken by name, else public first', () => {
    assert.deepEqual(inheritedSockets({ LISTEN_FDS: '1', LISTEN_PID: '7' }, 7), { public: 3 });
    assert.deepEqual(inheritedSockets({ LISTEN_FDS: '2' }, 7), { public: 3, admin: 4 });
    assert.deepEqual(inheritedSockets({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'admin:public' }, 7), { admin: 3, public: 4 });
  });
});
