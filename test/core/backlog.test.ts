import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createBacklog } from '../../src/core/backlog.ts';

const model = 'tiny:latest';

describe('backlog', () => {
  it('predicts nothing while nothing is known', () => {
    const backlog = createBacklog();
    assert.equal(backlog.predict(model, { ahead: 5, slots: 1 }), null);
    backlog.joined(model, 0);
    assert.equal(backlog.predict(model, { ahead: 5, slots: 1 }), null);
  });

  it('tells the wait from how long leases are held until jobs have left the queue', () => {
    const backlog = createBacklog();
    for (let lease = 0; lease < 50; lease += 1) backlog.held(model, 8000);
    assert.equal(backlog.predict(model, { ahead: 3, slots: 4 }), 6000);
    assert.equal(backlog.predict(model, { ahead: 3, slots: 0 }), null);
    assert.equal(backlog.predict('other:latest', { ahead: 3, slots: 4 }), null);
  });

  it('tells the wait from how fast the queue moves once it does', () => {
    const backlog = createBacklog();
    backlog.held(model, 60_000);
    for (let job = 0; job < 40; job += 1) backlog.joined(model, 0);
    for (let job = 1; job <= 30; job += 1) backlog.left(model, 'served', job * 500);
    assert.equal(backlog.waiting(model), 10);
    assert.equal(Math.round(backlog.predict(model, { ahead: 10, slots: 1 })!), 5000);
  });

  it('is not misled by jobs that give up', () => {
    const backlog = createBacklog();
    for (let job = 0; job < 10; job += 1) backlog.joined(model, 0);
    backlog.left(model, 'served', 1000);
    for (let job = 0; job < 5; job += 1) backlog.left(model, 'gave-up', 1001);
    backlog.left(model, 'served', 2000);
    assert.equal(backlog.predict(model, { ahead: 1, slots: 1 }), 1000);
  });

  it('does not take an outage for a slow queue', () => {
    const backlog = createBacklog();
    for (let job = 0; job < 10; job += 1) backlog.joined(model, 0);
    backlog.left(model, 'served', 100);
    backlog.stalled(model);
    backlog.left(model, 'served', 60_100);
    assert.equal(backlog.predict(model, { ahead: 8, slots: 1 }), 800);
    backlog.left(model, 'served', 60_200);
    assert.equal(backlog.predict(model, { ahead: 7, slots: 1 }), 700);
  });

  it('begins anew when a queue that had stalled is empty', () => {
    const backlog = createBacklog();
    backlog.joined(model, 0);
    backlog.stalled(model);
    backlog.left(model, 'gave-up', 100);
    backlog.joined(model, 200);
    backlog.left(model, 'served', 250);
    assert.equal(backlog.predict(model, { ahead: 1, slots: 1 }), 50);
  });

  it('forgets how fast an earlier queue moved when a new one begins', () => {
    const backlog = createBacklog();
    backlog.held(model, 4000);
    backlog.joined(model, 0);
    backlog.left(model, 'served', 90_000);
    assert.equal(backlog.predict(model, { ahead: 1, slots: 1 }), 90_000);
    backlog.joined(model, 500_000);
    assert.equal(backlog.predict(model, { ahead: 1, slots: 1 }), 4000);
  });

  it('remembers only so many models, but never forgets one that has jobs waiting', () => {
    const backlog = createBacklog();
    backlog.joined('waits:latest', 0);
    for (let number = 0; number < 5000; number += 1) backlog.held(`m${number}:latest`, 1000);
    assert.equal(backlog.waiting('waits:latest'), 1);
    assert.equal(backlog.predict('m0:latest', { ahead: 1, slots: 1 }), null);
    assert.equal(backlog.predict('m4999:latest', { ahead: 1, slots: 1 }), 1000);
  });

  it('remembers a thousand models, and forgets the one that nothing was heard of for longest', () => {
    const backlog = createBacklog();
    const knows = (number: number) => backlog.predict(`m${number}:latest`, { ahead: 1, slots: 1 }) !== null;
    for (let number = 0; number < 1000; number += 1) backlog.held(`m${number}:latest`, 1000);
    assert.ok(knows(0));
    backlog.held('m0:latest', 1000);
    backlog.held('m1000:latest', 1000);
    assert.deepEqual([0, 1, 2, 1000].map(knows), [true, false, true, true]);
  });

  it('gives the newest of the times a tenth of the weight', () => {
    const backlog = createBacklog();
    backlog.held(model, 1000);
    backlog.held(model, 2000);
    assert.equal(backlog.predict(model, { ahead: 1, slots: 1 }), 1100);
  });
});
