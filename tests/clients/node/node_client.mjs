// OpenAI's npm clients against `duet serve`: `openai` (OpenAIRealtimeWS) and `@openai/agents-realtime` (RealtimeSession).
//
// Run by hand:  npm install    (in this folder)
//               duet serve --port 8998 --tls-self-signed &        (`openai` speaks nothing but wss)
//               NODE_EXTRA_CA_CERTS=duet-tls/duet-cert.pem node node_client.mjs https://127.0.0.1:8998/v1 QUESTION.wav
// Each asks the question (mono 16-bit WAV) in real time, hears the answer, asks again and interrupts in the middle.
// Exit code 1 and a line when something is missing.
import { readFileSync } from 'node:fs';
import { RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';

const RATE = 24000;
const PIECE = RATE / 25;

function fail(line) {
  console.error(`node_client: ${line}`);
  process.exit(1);
}

/** The question at 24 kHz. */
function load(path) {
  const file = readFileSync(path);
  const rate = file.readUInt32LE(24);
  const at = file.indexOf('data', 36, 'latin1') + 8;
  const data = new Int16Array(file.buffer.slice(file.byteOffset + at, file.byteOffset + file.length - ((file.length - at) % 2)));
  return Int16Array.from({ length: Math.floor((data.length * RATE) / rate) }, (_, i) => {
    const x = (i * rate) / RATE, left = Math.floor(x), right = Math.min(left + 1, data.length - 1);
    return data[left] + (data[right] - data[left]) * (x - left);
  });
}

/** Feeds the question, then silence, in real time as a microphone does. Returns a function that stops it. */
function talk(question, send) {
  const begin = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    while (sent / RATE < (performance.now() - begin) / 1000) {
      const piece = new Int16Array(PIECE);
      if (sent < question.length) piece.set(question.subarray(sent, Math.min(sent + PIECE, question.length)));
      send(piece);
      sent += PIECE;
    }
  }, 20);
  return () => clearInterval(timer);
}

function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no ${what} within ${seconds} s`)), seconds * 1000); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function sdk(base, question) {
  const client = new OpenAI({ apiKey: 'none', baseURL: base });
  const link = new OpenAIRealtimeWS({ model: 'duet' }, client);
  const failed = new Promise((_, reject) => link.on('error', (error) => reject(new Error(`error: ${error.message}`))));
  failed.catch(() => {});
  const either = (seconds, what, promise) => within(seconds, what, Promise.race([promise, failed]));
  await either(10, 'session.created', new Promise((resolve) => link.on('session.created', resolve)));
  link.send({ type: 'session.update', session: { type: 'realtime', audio: { input: { transcription: { model: 'whisper-1' } } } } });

  const ask = async (cancelAfter) => {
    const got = { audio: 0, said: '', heard: '' };
    const on = {
      'response.output_audio.delta': (event) => {
        got.audio += Buffer.from(event.delta, 'base64').length / 2;
        if (cancelAfter && got.audio > cancelAfter) {
          cancelAfter = 0;
          link.send({ type: 'response.cancel' });
        }
      },
      'response.output_audio_transcript.done': (event) => { got.said = event.transcript; },
      'conversation.item.input_audio_transcription.completed': (event) => { got.heard += event.transcript; },
    };
    for (const [name, handler] of Object.entries(on)) link.on(name, handler);
    const stop = talk(question, (piece) => link.send({ type: 'input_audio_buffer.append', audio: Buffer.from(piece.buffer).toString('base64') }));
    try {
      got.status = await either(60, 'response.done',
        new Promise((resolve) => link.once('response.done', (event) => resolve(event.response.status))));
    } finally {
      stop();
      for (const [name, handler] of Object.entries(on)) link.off(name, handler);
    }
    return got;
  };
  const whole = await ask(0);
  console.log(`openai: ${whole.status}, ${(whole.audio / RATE).toFixed(2)} s, said "${whole.said}", heard "${whole.heard}"`);
  if (whole.status !== 'completed' || !whole.said || whole.audio < RATE / 2) fail('openai: no whole answer');
  const cut = await ask(3 * 1920);
  console.log(`openai: ${cut.status} after ${(cut.audio / RATE).toFixed(2)} s`);
  if (cut.status !== 'cancelled') fail(`openai: cancelled was expected, not ${cut.status}`);
  link.close();
}

async function agents(base, question) {
  const session = new RealtimeSession(new RealtimeAgent({ name: 'duet', instructions: 'Answer.' }), { transport: 'websocket', model: 'duet' });
  const failed = new Promise((_, reject) => session.on('error', ({ error }) => reject(new Error(JSON.stringify(error?.error ?? error)))));
  failed.catch(() => {});
  const either = (seconds, what, promise) => within(seconds, what, Promise.race([promise, failed]));
  await either(10, 'connection', session.connect({ apiKey: 'none', url: `${base.replace('https:', 'wss:')}/realtime?model=duet` }));

  const ask = async (interruptAfter) => {
    let audio = 0, interrupted = false;
    const heard = (event) => {
      audio += event.data.byteLength / 2;
      if (interruptAfter && audio > interruptAfter) {
        interruptAfter = 0;
        session.interrupt();
      }
    };
    const cut = () => { interrupted = true; };
    session.on('audio', heard);
    session.on('audio_interrupted', cut);
    const stop = talk(question, (piece) => session.sendAudio(piece.buffer));
    try {
      await either(60, 'end of a turn', new Promise((resolve) => session.transport.once('turn_done', resolve)));
    } finally {
      stop();
      session.off('audio', heard);
      session.off('audio_interrupted', cut);
    }
    return { audio, interrupted };
  };
  const said = () => session.history.filter((item) => item.role === 'assistant')
    .flatMap((item) => item.content.map((part) => part.transcript ?? '')).join(' ').trim();
  const whole = await ask(0);
  console.log(`agents: ${(whole.audio / RATE).toFixed(2)} s, said "${said()}"`);
  if (whole.audio < RATE / 2 || whole.interrupted || !said()) fail('agents: no whole answer');
  const cut = await ask(3 * 1920);
  console.log(`agents: interrupted ${cut.interrupted} after ${(cut.audio / RATE).toFixed(2)} s`);
  if (!cut.interrupted || cut.audio >= whole.audio) fail('agents: the answer was not interrupted');
  session.close();
}

const [base, path] = process.argv.slice(2);
if (!path) fail('expected https://HOST:PORT/v1 and QUESTION.wav');
const question = load(path);
try {
  await sdk(base, question);
  await agents(base, question);
} catch (error) {
  fail(error.message);
}
console.log('ok');
process.exit(0);
