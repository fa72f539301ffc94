// Runs on the audio thread: microphone to pieces of 24 kHz, the agent's pieces to the speaker.
// The context runs at 24 kHz, so nothing is resampled here.
const PIECE = 960;            // 40 ms
const START = 2400;           // Playback begins with 100 ms in hand: what the network may be late.
const CAPACITY = 24000 * 60;  // A minute of speech that came ahead of its time.

class Duplex extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(PIECE);
    this.filled = 0;
    this.queue = [];
    this.offset = 0;
    this.queued = 0;
    this.playing = false;
    this.ending = false;
    this.port.onmessage = ({data}) => {
      if (data === 'clear') {
        this.queue = [];
        this.offset = this.queued = 0;
        this.playing = this.ending = false;
      } else if (data === 'end') {
        this.ending = true;  // Nothing more comes: play what is there, however little.
      } else if (this.queued + data.length <= CAPACITY) {
        this.ending = false;
        this.queue.push(data);
        this.queued += data.length;
      }
    };
  }

  process(inputs, outputs) {
    const out = outputs[0][0];
    if (!this.playing && (this.queued >= START || (this.ending && this.queued > 0))) this.playing = true;
    if (this.playing) {
      let i = 0;
      while (i < out.length && this.queue.length) {
        const first = this.queue[0];
        const take = Math.min(out.length - i, first.length - this.offset);
        out.set(first.subarray(this.offset, this.offset + take), i);
        i += take;
        this.offset += take;
        this.queued -= take;
        if (this.offset === first.length) { this.queue.shift(); this.offset = 0; }
      }
      if (!this.queue.length) this.playing = false;
    }
    for (let c = 1; c < outputs[0].length; c++) outputs[0][c].set(out);
    const mic = inputs[0] && inputs[0][0];
    for (let i = 0; i < out.length; i++) {
      this.piece[this.filled] = mic ? mic[i] : 0;
      if (!this.spoken) this.spoken = new Float32Array(PIECE);
      this.spoken[this.filled] = out[i];
      if (++this.filled === PIECE) {
        this.port.postMessage({mic: this.piece.slice(), agent: this.spoken.slice(), queued: this.queued});
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor('duplex', Duplex);
