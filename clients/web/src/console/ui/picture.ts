/** Runs something before the next picture is drawn; soon, on a page that nobody sees. Gives what calls it off. */
export function nextPicture(run: () => void): () => void {
  if (document.hidden) {
    const timer = setTimeout(run, 100);
    return () => clearTimeout(timer);
  }
  const request = requestAnimationFrame(run);
  return () => cancelAnimationFrame(request);
}

/** The longest pause between two drawings, in milliseconds. */
const LONGEST_PAUSE = 400;

/**
 * Draws something that changes faster than it can be seen: with the next picture, or later when the last drawing took
 * long, so that a third of the time is drawn at most, and the page always answers.
 */
export class Drawing {
  readonly #draw: () => void;
  #notBefore = 0;
  #callOff: (() => void) | undefined;

  constructor(draw: () => void) {
    this.#draw = draw;
  }

  /** Something has changed. */
  request(): void {
    if (this.#callOff !== undefined) return;
    const wait = this.#notBefore - performance.now();
    if (wait <= 0) {
      this.#callOff = nextPicture(() => this.#run());
      return;
    }
    const timer = setTimeout(() => (this.#callOff = nextPicture(() => this.#run())), wait);
    this.#callOff = () => clearTimeout(timer);
  }

  stop(): void {
    this.#callOff?.();
    this.#callOff = undefined;
  }

  #run(): void {
    const began = performance.now();
    this.#callOff = undefined;
    this.#draw();
    // What a timer runs comes after style, layout and paint.
    setTimeout(() => {
      const now = performance.now();
      this.#notBefore = now + Math.min(2 * (now - began), LONGEST_PAUSE);
    });
  }
}
