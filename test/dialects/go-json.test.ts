import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodeGoJson,
  foldKey,
  GoJsonError,
  GoNumber,
  GoObject,
  goJsonMistake,
  goJsonString,
  goQuoted,
  goQuotedByte,
  type GoValue,
} from '../../src/dialects/go-json.ts';

/** Body → what Go's Decoder says of it; null: it takes it. */
const mistakes: readonly (readonly [string, string | null])[] = [
  ['', 'EOF'],
  [' \n\t\r', 'EOF'],
  ['{"model":', 'unexpected EOF'],
  ['{"model"', 'unexpected EOF'],
  ['{"mod', 'unexpected EOF'],
  ['{', 'unexpected EOF'],
  ['{"a":1', 'unexpected EOF'],
  ['{"a":1,', 'unexpected EOF'],
  ['[', 'unexpected EOF'],
  ['[1', 'unexpected EOF'],
  ['"\\', 'unexpected EOF'],
  ['"\\u12', 'unexpected EOF'],
  ['tru', 'unexpected EOF'],
  ['-', 'unexpected EOF'],
  ['1.', 'unexpected EOF'],
  ['1e+', 'unexpected EOF'],
  ['{"model": tiny}', "invalid character 'i' in literal true (expecting 'r')"],
  ['{"a": fan}', "invalid character 'n' in literal false (expecting 'l')"],
  ['{"a": nil}', "invalid character 'i' in literal null (expecting 'u')"],
  ['\u001F\u008B', "invalid character '\\x1f' looking for beginning of value"],
  ['\uFEFF{}', "invalid character 'ï' looking for beginning of value"],
  ["'a'", "invalid character '\\'' looking for beginning of value"],
  ['{1:2}', "invalid character '1' looking for beginning of object key string"],
  ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
  ['{,}', "invalid character ',' looking for beginning of object key string"],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b":2}', "invalid character '\"' after object key:value pair"],
  ['{"a":1]', "invalid character ']' after object key:value pair"],
  ['{"a":01}', "invalid character '1' after object key:value pair"],
  ['[1 2]', "invalid character '2' after array element"],
  ['[1}', "invalid character '}' after array element"],
  ['[1,]', "invalid character ']' looking for beginning of value"],
  ['[,1]', "invalid character ',' looking for beginning of value"],
  ['+1', "invalid character '+' looking for beginning of value"],
  ['.5', "invalid character '.' looking for beginning of value"],
  ['-x', "invalid character 'x' in numeric literal"],
  ['1.x', "invalid character 'x' after decimal point in numeric literal"],
  ['1ex', "invalid character 'x' in exponent of numeric literal"],
  ['[NaN]', "invalid character 'N' looking for beginning of value"],
  ['"a\nb"', "invalid character '\\n' in string literal"],
  ['"a\u0000b"', "invalid character '\\x00' in string literal"],
  ['"\\x"', "invalid character 'x' in string escape code"],
  ['"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"],
  ['['.repeat(10_001), "invalid character '[' exceeded max depth"],
  [`${'['.repeat(10_000)}${']'.repeat(10_000)}`, null],
  [`${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`, null],
  ['{} trailing', null],
  ['{"a":1}}', null],
  ['1 2', null],
  ['"\u007F"', null],
  ['-0.5e-10', null],
];

function said(body: string | Buffer): string | null {
  try {
    decodeGoJson(Buffer.from(body as string));
    return null;
  } catch (error) {
    assert.ok(error instanceof GoJsonError);
    return error.message;
  }
}

/** As JSON.parse gives it: the last duplicate wins. */
function plain(value: GoValue): unknown {
  if (value instanceof GoNumber) {
    return Number(value.text);
  }
  if (value instanceof GoObject) {
    return Object.fromEntries(value.entries.map(([key, member]) => [key, plain(member)]));
  }
  return Array.isArray(value) ? value.map(plain) : value;
}

describe('decodeGoJson', () => {
  for (const [body, message] of mistakes) {
    const shown = JSON.stringify(body.length > 40 ? `${body.slice(0, 10)}…` : body);
    it(`says ${message ?? 'nothing'} of ${shown}`, () => assert.equal(said(body), message));
  }

  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom('', ' ', '\n'), (text, blanks) => {
        const { value, end } = decodeGoJson(Buffer.from(blanks + text + blanks));
        assert.deepEqual(plain(value), JSON.parse(text));
        assert.equal(end, Buffer.byteLength(blanks + text));
      }),
    );
  });

  it('refuses what JSON.parse refuses, but for what follows the value', () => {
    const scrap = fc.constantFrom(...'{}[]",:0123-+.eEtrufalsn \n\\ux"a'.split(''));
    fc.assert(
      fc.property(fc.array(scrap, { maxLength: 14 }), (scraps) => {
        const text = scraps.join('');
        let whole: string | null = null;
        try {
          const { end } = decodeGoJson(Buffer.from(text));
          whole = text.slice(0, end);
        } catch (error) {
          assert.ok(error instanceof GoJsonError);
        }
        assert.equal(goJsonMistake(Buffer.from(text))?.message ?? null, said(text));
        if (whole === null) {
          assert.throws(() => JSON.parse(text), text);
        } else {
          JSON.parse(whole);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('keeps duplicates in order, and numbers as they were written', () => {
    const { value } = decodeGoJson(Buffer.from('{"a":12345678901234567890,"a":1.50}'));
    assert.ok(value instanceof GoObject);
    assert.deepEqual(value.entries, [
      ['a', new GoNumber('12345678901234567890')],
      ['a', new GoNumber('1.50')],
    ]);
  });

  it('takes bytes that are not UTF-8 and halves of pairs for U+FFFD', () => {
    assert.equal(decodeGoJson(Buffer.from([0x22, 0x61, 0xff, 0x22])).value, 'a\uFFFD');
    assert.equal(decodeGoJson(Buffer.from('"\\ud83d\\ude00 \\ud83d x \\udc00"')).value, '😀 \uFFFD x \uFFFD');
  });
});

describe('foldKey', () => {
  it("folds ASCII and Unicode's two odd letters, and nothing else", () => {
    assert.equal(foldKey('MODEL'), 'model');
    assert.equal(foldKey('keep_ALIVE'), 'keep_alive');
    assert.equal(foldKey('\u212Aeep_alive'), 'keep_alive');
    assert.equal(foldKey('\u017Ftream'), 'stream');
    assert.equal(foldKey('\u0130nput'), '\u0130nput');
    assert.equal(foldKey('модель'), 'модель');
    assert.equal(foldKey('МОДЕЛЬ'), 'МОДЕЛЬ');
  });
});

describe("Go's quoting", () => {
  it('writes strings as json.Marshal does', () => {
    assert.equal(
      goJsonString('<a> & "b"\n\t\\ \u2028\u2029\u0001\u007F é 😀'),
      ['"\\u003ca\\u003e \\u0026 \\"b\\"\\n\\t\\\\ \\u2028\\u2029\\u0001\u007F é 😀"'].join(''),
    );
    assert.equal(goJsonString('\uD800'), '"\uFFFD"');
  });

  it('writes strings as %q does', () => {
    assert.equal(
      goQuoted('a "b" \\ \n\t\u0001\u007F\u00A0 é \u200B 😀'),
      '"a \\"b\\" \\\\ \\n\\t\\x01\\x7f\\u00a0 é \\u200b 😀"',
    );
  });

  it('writes any byte', () => {
    assert.equal(goQuotedByte(0x78), "'x'");
    assert.equal(goQuotedByte(0x22), "'\"'");
    assert.equal(goQuotedByte(0x27), "'\\''");
    assert.equal(goQuotedByte(0x5c), "'\\\\'");
    assert.equal(goQuotedByte(0x07), "'\\a'");
    assert.equal(goQuotedByte(0x8b), "'\\u008b'");
    assert.equal(goQuotedByte(0xa0), "'\\u00a0'");
    assert.equal(goQuotedByte(0xad), "'\\u00ad'");
    assert.equal(goQuotedByte(0xff), "'ÿ'");
  });
});
