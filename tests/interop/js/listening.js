// How loud the model's voice is, as the browser plays it.

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let context;
let analyser;

// The largest sample (0 to 1) of the next 300 ms.
export async function listenTo(audioElement) {
  if (!context) {
    context = new AudioContext();
    analyser = context.createAnalyser();
    analyser.fftSize = 2048;
    context.createMediaStreamSource(audioElement.srcObject).connect(analyser);
    await context.resume();
    await pause(100);
  }
  const samples = new Float32Array(analyser.fftSize);
  let peak = 0;
  for (let round = 0; round < 10; round += 1) {
    await pause(30);
    analyser.getFloatTimeDomainData(samples);
    peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), peak);
  }
  return peak;
}
