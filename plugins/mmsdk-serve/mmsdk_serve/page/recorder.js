function recorder(shown) {
  const button = make("button", { type: "button" }, "Record");
  let running = null;
  button.addEventListener("click", async () => {
    if (running) { running.stop(); return; }
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true }).catch(() => null);
    if (!stream) { button.textContent = "No microphone"; return; }
    const parts = [];
    running = new MediaRecorder(stream);
    running.ondataavailable = event => parts.push(event.data);
    running.onstop = async () => {
      stream.getTracks().forEach(track => track.stop());
      const context = new AudioContext();
      const sound = await context.decodeAudioData(await new Blob(parts).arrayBuffer());
      context.close();
      running = null;
      button.textContent = "Record";
      shown(new File([wav(sound)], "recorded.wav", { type: "audio/wav" }));
    };
    running.start();
    button.textContent = "Stop";
  });
  return button;
}

function wav(sound) { // 16 bit, one channel
  const samples = sound.getChannelData(0), view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, place) => view.setInt16(44 + 2 * place, 32767 * Math.max(-1, Math.min(1, value)), true));
  return view.buffer;
}

