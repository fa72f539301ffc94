// The page's conversation: OpenAI Realtime events with PCM16 at 24 kHz over a WebSocket, with the duplex extensions: a
// connection that drops is made again and the conversation goes on where it stood.
const RATE = 24000;
const LOST_AFTER_MS = 30000;  // The server keeps a dropped conversation so long by default.
const ACK_EVERY = 32;         // Events; half a minute of speech is kept by the server for those that did not come.
const MAX_RECORDED_S = 1800;
const $ = (id) => document.getElementById(id);
const ui = Object.fromEntries(['status', 'talk', 'mute', 'record', 'download', 'latency', 'session',
  'transcript', 'hint', 'key', 'level-you', 'level-agent'].map((id) => [id, $(id)]));

let call = null;  // Everything of the running conversation; null between conversations.

function say(text, bad = false) {
  ui.status.textContent = text;
  ui.status.classList.toggle('bad', bad);
}

function toBase64(samples) {
  const bytes = new Uint8Array(samples.length * 2);
  const view = new DataView(bytes.buffer);
  samples.forEach((x, i) => view.setInt16(2 * i, Math.max(-1, Math.min(1, x)) * 32767, true));
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]);
  return btoa(text);
}

function fromBase64(text) {
  const raw = atob(text);
  const samples = new Float32Array(raw.length >> 1);
  for (let i = 0; i < samples.length; i++) {
    const value = raw.charCodeAt(2 * i) | (raw.charCodeAt(2 * i + 1) << 8);
    samples[i] = (value > 32767 ? value - 65536 : value) / 32768;
  }
  return samples;
}

const rms = (samples) => Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
const shown = (level) => Math.max(0, Math.min(1, 1 + 20 * Math.log10(level + 1e-6) / 60));  // -60..0 dB

function turn(id, who) {
  let line = call.lines.get(id);
  if (!line) {
    ui.hint.hidden = true;
    line = document.createElement('p');
    line.className = `turn ${who}`;
    call.lines.set(id, line);
    ui.transcript.append(line);
  }
  return line;
}

function write(id, who, text, whole = false) {
  if (whole && !text.trim()) return;
  const line = turn(id, who);
  line.textContent = whole ? text.trim() : line.textContent + text;
  ui.transcript.scrollTop = ui.transcript.scrollHeight;
}

// What each event of the server does to the page.
const on = {
  'session.queued': ({position}) => say(`All conversations are taken: you are number ${position} in line`),
  'session.created': (event) => {
    ui.session.textContent = call.id = event.session.id;
    call.token = event.resume_token;
    call.send({type: 'session.update', session: {type: 'realtime', audio: {input: {transcription: {model: 'default'}}}}});
  },
  'session.updated': () => say('Listening'),
  'session.resumed': (event) => {
    call.token = event.resume_token;
    call.lostAt = null;
    say('Listening');
  },
  'session.go_away': ({reason, time_left_s}) => say(
    `${{idle: 'It is very quiet', shutdown: 'The server is closing', session_length: 'Time is nearly up'}[reason] || reason}: this conversation ends in ${Math.round(time_left_s)} s`),
  'session.replaced': () => {
    call.send = null;  // It is not this page's to close any more.
    stop('The conversation goes on elsewhere');
  },
  'input_audio_buffer.speech_started': () => { call.userStopped = null; },
  'input_audio_buffer.speech_stopped': () => {},
  'conversation.item.input_audio_transcription.delta': (event) => write(event.item_id, 'you', event.delta),
  'conversation.item.input_audio_transcription.completed': (event) => write(event.item_id, 'you', event.transcript, true),
  'response.output_audio.delta': (event) => {
    const samples = fromBase64(event.delta);
    call.node.port.postMessage(samples, [samples.buffer]);
  },
  'response.output_audio.done': () => call.node.port.postMessage('end'),
  'response.output_audio_transcript.delta': (event) => write(event.item_id, 'agent', event.delta),
  'response.done': (event) => {
    const item = event.response.output[0];
    if (event.response.status === 'cancelled' && item) {
      call.node.port.postMessage('clear');
      turn(item.id, 'agent').classList.add('cut');
    }
  },
  'error': (event) => say(event.error.message, true),
};

// Latency as the user hears it: last loud piece of the microphone to first loud piece of the speaker.
function follow({mic, agent}) {
  const you = rms(mic), it = rms(agent), now = performance.now();
  ui['level-you'].value = call.muted ? 0 : shown(you);
  ui['level-agent'].value = shown(it);
  if (!call.muted && you > 0.02) call.lastLoud = now;
  if (it > 0.01) {
    if (call.agentQuiet && call.lastLoud && now - call.lastLoud < 5000)
      ui.latency.textContent = `${Math.max(0, Math.round(now - call.lastLoud))} ms`;
    call.agentQuiet = false;
    call.lastAgent = now;
  } else if (now - (call.lastAgent || 0) > 500) {
    call.agentQuiet = true;
  }
  if (call.recording && call.pieces.length < MAX_RECORDED_S * 25) call.pieces.push([call.muted ? new Float32Array(mic.length) : mic, agent]);
}

function wav(pieces) {
  const count = pieces.reduce((sum, [mic]) => sum + mic.length, 0);
  const view = new DataView(new ArrayBuffer(44 + count * 4));
  const text = (at, s) => [...s].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, 'RIFF'); view.setUint32(4, 36 + count * 4, true); text(8, 'WAVEfmt ');
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 2, true);
  view.setUint32(24, RATE, true); view.setUint32(28, RATE * 4, true); view.setUint16(32, 4, true); view.setUint16(34, 16, true);
  text(36, 'data'); view.setUint32(40, count * 4, true);
  let at = 44;
  for (const [mic, agent] of pieces)
    for (let i = 0; i < mic.length; i++, at += 4) {
      view.setInt16(at, Math.max(-1, Math.min(1, mic[i])) * 32767, true);
      view.setInt16(at + 2, Math.max(-1, Math.min(1, agent[i])) * 32767, true);
    }
  return new Blob([view], {type: 'audio/wav'});
}

function stopRecording() {
  if (!call || !call.recording) return;
  call.recording = false;
  ui.record.setAttribute('aria-pressed', 'false');
  ui.record.textContent = 'Record';
  if (!call.pieces.length) return;
  URL.revokeObjectURL(ui.download.href);
  ui.download.href = URL.createObjectURL(wav(call.pieces));
  ui.download.hidden = false;
}

function stop(text, bad = false) {
  if (!call) return;
  stopRecording();
  clearTimeout(call.retry);
  call.send && call.send({type: 'session.close'});  // Else the server would keep the seat for a while.
  call.socket && call.socket.close();
  call.stream && call.stream.getTracks().forEach((track) => track.stop());
  call.context && call.context.close();
  call = null;
  ui.talk.textContent = 'Talk';
  ui.mute.disabled = ui.record.disabled = true;
  ui.mute.setAttribute('aria-pressed', 'false');
  ui.mute.textContent = 'Mute';
  ui['level-you'].value = ui['level-agent'].value = 0;
  say(text, bad);
}

function connect() {
  const protocols = ['realtime'];
  if (ui.key.value) protocols.push(`openai-insecure-api-key.${ui.key.value}`);
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const resumes = call.token ? `&autostart=0&resume=${encodeURIComponent(call.id)}` : '';
  const socket = new WebSocket(`${scheme}://${location.host}/v1/realtime?duplex=1${resumes}`, protocols);
  const mine = call;
  mine.socket = socket;
  mine.send = (event) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(event));
  socket.onopen = () => resumes && mine.send({type: 'session.resume', session_id: mine.id, resume_token: mine.token,
    last_received_server_event_seq: mine.seq});
  socket.onmessage = ({data}) => {
    if (call !== mine || mine.socket !== socket) return;
    const event = JSON.parse(data);
    if (event.server_event_seq > mine.seq) {
      mine.seq = event.server_event_seq;
      if (mine.seq - mine.acked >= ACK_EVERY) {
        mine.acked = mine.seq;
        mine.send({type: 'session.event_ack', server_event_seq: mine.seq});
      }
    }
    (on[event.type] || (() => {}))(event);
  };
  socket.onclose = ({code, reason}) => {
    if (call !== mine || mine.socket !== socket) return;
    if (code === 1006 && mine.token) return reconnect();
    const why = code === 1013 ? 'All conversations are taken. Try again in a moment.'
      : code === 1006 ? 'No connection. Is the server running, and the key right?'
      : `The conversation has ended${reason ? `: ${reason}` : ''}`;
    stop(why, code !== 1000);
  };
}

// The connection went without a word. The server lets the conversation stand still and takes it up again.
function reconnect() {
  const now = performance.now();
  call.lostAt ??= now;
  if (now - call.lostAt > LOST_AFTER_MS) return stop('The connection was lost', true);
  say('The connection was lost: trying to take the conversation up again', true);
  call.retry = setTimeout(connect, now - call.lostAt < 1000 ? 200 : 1000);
}

async function start() {
  call = {lines: new Map(), pieces: [], recording: false, muted: false, agentQuiet: true,
    id: '', token: '', seq: 0, acked: 0, lostAt: null};
  const mine = call;
  ui.talk.textContent = 'Stop';
  ui.transcript.querySelectorAll('.turn').forEach((line) => line.remove());
  ui.latency.textContent = ui.session.textContent = '–';
  say('Asking for the microphone');
  try {
    if (!navigator.mediaDevices)
      throw new Error('Browsers give the microphone to https pages and localhost only (duet serve --tls-self-signed)');
    mine.stream = await navigator.mediaDevices.getUserMedia(
      {audio: {echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1}});
    mine.context = new AudioContext({sampleRate: RATE, latencyHint: 'interactive'});
    await mine.context.audioWorklet.addModule('/page/worklet.js');
  } catch (error) {
    if (call === mine) stop(error.name === 'NotAllowedError' ? 'The microphone is not allowed' : error.message, true);
    return;
  }
  if (call !== mine) {
    mine.stream.getTracks().forEach((track) => track.stop());
    mine.context.close();
    return;
  }
  mine.node = new AudioWorkletNode(mine.context, 'duplex', {numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1]});
  mine.context.createMediaStreamSource(mine.stream).connect(mine.node).connect(mine.context.destination);
  await mine.context.resume();
  mine.node.port.onmessage = ({data}) => {
    if (call !== mine) return;
    follow(data);
    mine.send({type: 'input_audio_buffer.append', audio: toBase64(mine.muted ? new Float32Array(data.mic.length) : data.mic)});
  };
  ui.mute.disabled = ui.record.disabled = false;
  say('Connecting');
  connect();
}

ui.talk.onclick = () => (call ? stop('Not connected') : start());
ui.mute.onclick = () => {
  call.muted = !call.muted;
  ui.mute.setAttribute('aria-pressed', String(call.muted));
  ui.mute.textContent = call.muted ? 'Unmute' : 'Mute';
};
ui.record.onclick = () => {
  if (call.recording) return stopRecording();
  call.pieces = [];
  call.recording = true;
  ui.download.hidden = true;
  ui.record.setAttribute('aria-pressed', 'true');
  ui.record.textContent = 'Stop recording';
};
addEventListener('pagehide', () => stop('Not connected'));
